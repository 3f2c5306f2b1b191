"""Members of a cluster in one process: a real etcd, and no S3."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor

from alluxio_s3.cluster.etcd import Etcd
from alluxio_s3.cluster.membership import EtcdMembers
from alluxio_s3.cluster.watched import WatchedPrefix
from alluxio_s3.interfaces import Member

TTL = 2


def boottime() -> float:
    """Seconds, by a clock that runs while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Joined:
    """One of a cluster. ``answers`` is what those who are asked say, by id: everybody answers but who is told not to."""

    def __init__(self, name: str, endpoints: Sequence[str], prefix: str, *, slot: int = 0, boot: str = "1", **options: Any) -> None:
        self.answers: dict[str, bool] = {}
        self.etcd = Etcd(endpoints, reactor, timeout=0.5)
        self.watched = WatchedPrefix(self.etcd, prefix, reactor)
        me = Member(name, boot, "127.0.0.1", None, None, None)
        self.members = EtcdMembers(me, slot, self.etcd, self.watched, reactor, boottime, TTL, self._probe, **options)
        self.sizes: list[int] = []
        self.forgotten: list[str] = []
        self.members.watch(lambda: self.sizes.append(len(self.members.live)))
        self.members.on_mark(self.forgotten.append)

    async def start(self) -> Joined:
        """Join."""
        self.watched.start()
        await self.members.start(1, None, 2)
        return self

    async def leave(self) -> None:
        """Go, as one that is stopped does."""
        await self.members.stop()
        await self.close()

    async def close(self) -> None:
        """Go, as one that is killed does."""
        self.watched.stop()
        self.members._registration.abandon()
        if self.members._probing is not None:
            self.members._probing.cancel()
        await self.etcd.close()

    @property
    def names(self) -> list[str]:
        """Who is there, as it sees it."""
        return [one.worker for one in self.members.live]

    async def _probe(self, member: Member) -> bool:
        return self.answers.get(member.worker, True)

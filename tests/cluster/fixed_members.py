"""Members as a test says that they are: a real ring, and no etcd."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zope.interface import implementer

from alluxio_s3.cluster.ring import Ring
from alluxio_s3.interfaces import IMembers, Member
from alluxio_s3.storage import Unavailable

SECRET = b"a secret of members, of 32 bytes"


def member(worker: str, *, peer_port: int | None = 1, http_port: int | None = 29998, https_port: int | None = None) -> Member:
    """A member on a loopback address of its own."""
    number = int(worker.rpartition("-")[2])
    return Member(worker, f"boot-{worker}", f"127.0.0.{number}", http_port, https_port, peer_port)


@implementer(IMembers)
class FixedMembers:
    """``live``, of whom ``me`` is one; ``change`` makes them others."""

    secret = SECRET
    leased = True

    def __init__(self, me: str, live: Sequence[Member]) -> None:
        self._name = me
        self._watchers: list[Callable[[], None]] = []
        self._on_mark: list[Callable[[str], None]] = []
        self.suspects: set[str] = set()
        self.marked: list[str] = []
        self.certain = True
        self.can_mark = True
        self.alone = False
        self.epoch = 0
        self.change(live)

    def change(self, live: Sequence[Member]) -> None:
        """Have these members."""
        self.live = tuple(live)
        self.me = next(one for one in live if one.worker == self._name)
        self._ring = Ring({one.worker: one.weight for one in live})
        self.epoch += 1
        for changed in self._watchers:
            changed()

    def owners(self, path: str, count: int = 1) -> tuple[Member, ...]:
        """See ``IMembers``."""
        found = self._ring.owners(path, count, self.suspects)
        return tuple(one for name in found if (one := self.find(name)) is not None) or (self.me,)

    def find(self, worker: str) -> Member | None:
        """See ``IMembers``."""
        return next((one for one in self.live if one.worker == worker), None)

    def suspect(self, worker: str) -> None:
        """See ``IMembers``."""
        self.suspects.add(worker)

    def is_certain(self) -> bool:
        """See ``IMembers``."""
        return self.certain

    def is_alone(self) -> bool:
        """See ``IMembers``."""
        return self.alone

    async def mark(self, path: str) -> None:
        """See ``IMembers``."""
        if not self.can_mark:
            raise Unavailable(path)
        self.marked.append(path)

    def watch(self, changed: Callable[[], None]) -> None:
        """See ``IMembers``."""
        self._watchers.append(changed)

    def on_mark(self, forget: Callable[[str], None]) -> None:
        """See ``IMembers``."""
        self._on_mark.append(forget)

    def leave_word(self, path: str) -> None:
        """Another worker has marked ``path``."""
        for forget in self._on_mark:
            forget(path)


def owned_by(members: FixedMembers, worker: str, bucket: str = "b") -> str:
    """A key of ``bucket`` that ``worker`` owns."""
    return next(f"key-{n}" for n in range(10_000) if members._ring.owner(f"/{bucket}/key-{n}") == worker)

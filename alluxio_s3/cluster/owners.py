"""Who owns what among the members, however it is known who they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from attrs import define, field
from twisted.logger import Logger

from alluxio_s3.cluster.ring import Ring
from alluxio_s3.interfaces import Member

# How long nothing is asked of a worker that was not reached, unless it registers anew before.
SUSPECT_SECONDS = 5.0


@define(eq=False)
class Owners:
    """``me`` and the others, on a ring. ``now`` tells seconds by a clock that never goes back."""

    me: Member
    now: Callable[[], float]
    epoch: int = field(default=0, init=False)
    live: tuple[Member, ...] = field(init=False)
    _ring: Ring = field(init=False)
    _members: dict[str, Member] = field(init=False)
    # Until when they are suspect.
    _suspects: dict[str, float] = field(factory=dict, init=False)
    _watchers: list[Callable[[], None]] = field(factory=list, init=False)
    _log: ClassVar[Logger] = Logger()

    def __attrs_post_init__(self) -> None:
        """Nobody else is known yet."""
        self._members = {self.me.worker: self.me}
        self.live = (self.me,)
        self._ring = Ring({self.me.worker: self.me.weight})

    def show(self, others: Mapping[str, Member], epoch: int) -> None:
        """These are there, and this worker; ``epoch`` is etcd's revision. Whoever watches is told, if that is something else."""
        members = dict(others) | {self.me.worker: self.me}
        if members == self._members:
            return
        for worker, member in members.items():
            if self._members.get(worker) != member:
                self._suspects.pop(worker, None)
        before, self._members = self._members, members
        self.live = tuple(members[worker] for worker in sorted(members))
        self._ring.change({worker: member.weight for worker, member in members.items()})
        # etcd's revisions begin anew when its data are lost.
        self.epoch = max(self.epoch + 1, epoch)
        self._report(before)
        for changed in tuple(self._watchers):
            try:
                changed()
            except Exception:  # noqa: BLE001  # one who fails must not keep others from knowing
                self._log.failure("Who watches the members has failed")

    def owners(self, path: str, count: int = 1) -> tuple[Member, ...]:
        """See ``IMembers``."""
        if not self._suspects and count == 1:
            return (self._members[self._ring.owner(path)],)
        suspects = self._still_suspect()
        found = self._ring.owners(path, count, suspects)
        return tuple(self._members[worker] for worker in found) or (self.me,)

    def find(self, worker: str) -> Member | None:
        """See ``IMembers``."""
        return self._members.get(worker)

    def suspect(self, worker: str) -> None:
        """See ``IMembers``. This worker itself is never suspect."""
        if worker != self.me.worker and worker in self._members:
            if worker not in self._suspects:
                self._log.warn(
                    "{worker} is not reached; for {seconds:.0f} s it is asked for nothing", worker=worker, seconds=SUSPECT_SECONDS
                )
            self._suspects[worker] = self.now() + SUSPECT_SECONDS

    def watch(self, changed: Callable[[], None]) -> None:
        """See ``IMembers``."""
        self._watchers.append(changed)

    def _still_suspect(self) -> Mapping[str, float]:
        now = self.now()
        for worker in [worker for worker, until in self._suspects.items() if until <= now]:
            del self._suspects[worker]
        return self._suspects

    def _report(self, before: Mapping[str, Member]) -> None:
        come = sorted(self._members.keys() - before.keys())
        gone = sorted(before.keys() - self._members.keys())
        if come or gone:
            self._log.info(
                "{count} workers: {changes}",
                count=len(self._members),
                changes=", ".join([*(f"{one} has come" for one in come), *(f"{one} has gone" for one in gone)][:20]),
            )


class OwnersKnown:
    """What of ``IMembers`` is the same, however it is known who is there."""

    _owners: Owners

    @property
    def epoch(self) -> int:
        """See ``IMembers``."""
        return self._owners.epoch

    @property
    def live(self) -> tuple[Member, ...]:
        """See ``IMembers``."""
        return self._owners.live

    def owners(self, path: str, count: int = 1) -> tuple[Member, ...]:
        """See ``IMembers``."""
        return self._owners.owners(path, count)

    def find(self, worker: str) -> Member | None:
        """See ``IMembers``."""
        return self._owners.find(worker)

    def suspect(self, worker: str) -> None:
        """See ``IMembers``."""
        self._owners.suspect(worker)

    def watch(self, changed: Callable[[], None]) -> None:
        """See ``IMembers``."""
        self._owners.watch(changed)

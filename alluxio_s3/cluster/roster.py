"""Who is taken to be there, from who is registered. Pure.

When one worker vanishes it is gone. When more than half of them vanish within the time in which each has to show itself, it is etcd that
was away: whoever has vanished is kept until it has been asked itself. Some may be back before anybody looks: who is registered anew, and
was there all the time, has vanished, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from attrs import define, field

from alluxio_s3.interfaces import Member

# So many times in a row must one that is doubted not answer.
CHANCES = 3


@define
class Roster:
    """``window`` is how many seconds a worker may be silent."""

    window: float
    registered: dict[str, Member] = field(factory=dict, init=False)
    # Those that have vanished with many others, and how often they have not answered since.
    doubted: dict[str, Member] = field(factory=dict, init=False)
    _failures: dict[str, int] = field(factory=dict, init=False)
    _lost: dict[str, tuple[float, Member]] = field(factory=dict, init=False)
    _back: dict[str, float] = field(factory=dict, init=False)

    def see(self, registered: Mapping[str, Member], now: float, anew: Collection[str] = ()) -> None:
        """``registered`` are there, at ``now`` seconds; of those ``anew`` are so anew, and not because they were started."""
        before = self.registered
        for worker, member in before.items():
            if worker not in registered:
                self._lost[worker] = (now, member)
        self.registered = dict(registered)
        for worker in registered:
            self._lost.pop(worker, None)
            self.doubted.pop(worker, None)
            self._failures.pop(worker, None)
        self._lost = {worker: (at, member) for worker, (at, member) in self._lost.items() if now - at <= self.window}
        self._back = {worker: at for worker, at in (self._back | dict.fromkeys(anew, now)).items() if now - at <= self.window}
        everybody = before.keys() | self._lost.keys() | self.doubted.keys()
        if self.doubted or len(self._lost.keys() | self._back.keys()) > max(1.0, len(everybody) / 2):
            self.doubted |= {worker: member for worker, (_, member) in self._lost.items()}
            self._lost.clear()

    def answered(self, worker: str, *, well: bool) -> None:
        """One that is doubted was asked."""
        if worker not in self.doubted:
            return
        self._failures[worker] = 0 if well else self._failures.get(worker, 0) + 1
        if self._failures[worker] >= CHANCES:
            del self.doubted[worker], self._failures[worker]

    @property
    def live(self) -> dict[str, Member]:
        """Who is taken to be there, by id."""
        return self.doubted | self.registered

"""What this worker may answer from memory, and whom a writer has to tell: both from who owned a path, and since when.

An owner may give what it remembers of a path if whoever wrote meanwhile has told it. A writer tells the owners of all rings that were in
force lately; so what was learned counts only as far back as this worker has owned the path without a break, less the time that the
others may take to hear of a change. While its own lease is not certain it counts not at all (promises D3).

A path may have several owners, the first ones on the ring, if that is asked for. While not all members agree on how many, an owner counts
on the least that any of them knows of, and a writer tells the most.

What others have not heard of yet may also be that this worker has come, or come back: whoever owned a path before it does then may give
what it remembers, and this one can't know who that was.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence

from attrs import frozen

from alluxio_s3.cluster.ring import Ring
from alluxio_s3.interfaces import IMembers, Member

NOT_AT_ALL = -1.0
# For so long after a change of the members a writer tells those that owned a path before it.
RECENT_SECONDS = 60.0
# Rings take memory by the workers on them: of so many workers in all, and of at least so many rings, those that were in force are kept.
MOST_WORKERS = 8192
LEAST_ERAS, MOST_ERAS = 8, 256
# So many others a worker that has just come tells of each write; of more, nobody can be sure that all know.
MOST_TOLD = 64
_MOST_PATHS = 65536


@frozen(eq=False)
class _Era:
    """A ring, since when it is in force. How many owners of a path some member knows of at ``least``, and at ``most``."""

    ring: Ring
    since: float
    least: int
    most: int


class Ownership:
    """``seconds`` is a clock that goes on while the machine sleeps; ``grace`` how long the others may take to hear of a change.

    ``ring`` names the ring in force: that of the same workers has the same name everywhere.
    """

    def __init__(self, members: IMembers, seconds: Callable[[], float], grace: float) -> None:
        self._members = members
        self._certain = members.is_certain
        self._seconds = seconds
        self._grace = grace
        self._me = members.me.worker
        self._eras: list[_Era] = []
        # Until when a ring was in force that is not kept.
        self._dropped_until = float("-inf")
        self.ring = ""
        # Since when a path is ours without a break; None: it is not.
        self._since: dict[str, float | None] = {}
        self._marked: OrderedDict[str, float] = OrderedDict()
        self._floor = 0.0
        # When this worker came, or came back.
        self._came = float("-inf")
        self._changed()
        members.watch(self._changed)
        members.on_mark(self.forget)

    def limit(self, path: str) -> float:
        """How old, in seconds, what is remembered of ``path`` may be to be given without asking the store. Waits for nothing."""
        try:
            since = self._since[path]
        except KeyError:
            since = self._remember(path)
        if since is None or not self._certain():
            return NOT_AT_ALL
        if self._marked:
            since = max(since, self._marked.get(path, 0.0))
        return self._seconds() - max(since, self._floor)

    def forget(self, path: str) -> None:
        """What was learned of ``path``, or of everything if that is empty, before now does not count any more."""
        if not path:
            self._marked.clear()
            self._floor = self._came = self._seconds()
            return
        self._marked[path] = self._seconds()
        self._marked.move_to_end(path)
        if len(self._marked) > _MOST_PATHS:
            self._floor = max(self._floor, self._marked.popitem(last=False)[1])

    def witnesses(self, path: str) -> list[Member] | None:
        """The other workers that may remember something of ``path``: those that own it, or did so lately, and are there.

        For a worker that has just come those are all that are there. None: nobody can tell any more, since the members have changed too
        often, or are too many.
        """
        now = self._seconds()
        if now - self._came <= self._grace:
            others = [one for one in self._members.live if one.worker != self._me]
            return others if len(others) <= MOST_TOLD else None
        if now - self._dropped_until <= RECENT_SECONDS:
            return None
        found: dict[str, None] = {}
        until = now
        for era in reversed(self._eras):
            if now - until > RECENT_SECONDS:
                break
            found |= dict.fromkeys(_owners(era.ring, path, era.most))
            until = era.since
        members = (self._members.find(worker) for worker in found if worker != self._me)
        return [one for one in members if one is not None]

    def _remember(self, path: str) -> float | None:
        since = None
        if not path.endswith("/"):  # what folders there are depends on all that is in them, whoever owns that
            for era in reversed(self._eras):
                if self._me not in _owners(era.ring, path, era.least):
                    break
                since = era.since + self._grace
        if len(self._since) >= _MOST_PATHS:
            self._since.clear()
        self._since[path] = since
        return since

    def _changed(self) -> None:
        weights = {one.worker: one.weight for one in self._members.live} or {self._me: 1.0}
        counts = [one.owners for one in self._members.live] or [1]
        named = hashlib.blake2b(json.dumps([sorted(weights.items()), min(counts), max(counts)]).encode(), digest_size=9).hexdigest()
        if named == self.ring:
            return
        self.ring = named
        self._eras.append(_Era(Ring(weights), self._seconds(), min(counts), max(counts)))
        self._drop()
        self._since.clear()

    def _drop(self) -> None:
        """Keep no more eras than there is room for."""
        workers, kept = 0, 0
        for era in reversed(self._eras):
            workers += len(era.ring.workers)
            if kept == MOST_ERAS or (kept >= LEAST_ERAS and workers > MOST_WORKERS):
                break
            kept += 1
        if kept < len(self._eras):
            self._dropped_until = self._eras[-kept].since
            del self._eras[:-kept]


def _owners(ring: Ring, path: str, count: int) -> Sequence[str]:
    """The first ``count`` on the ring. One is found sooner."""
    return (ring.owner(path),) if count == 1 else ring.owners(path, count)

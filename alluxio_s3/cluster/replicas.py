"""Whom to ask for an object: its owner, or, if it is asked for often, one of several that own it.

What many ask for at once would be as fast as one worker's network. So of what is hot each worker holds a copy that is among the first
owners on the ring, and the others spread over those. Each finds out for itself what is hot, and nobody is told: a copy is made by the
first read, as in any cache, and is good for as long as its version is what the store has.
"""

from __future__ import annotations

from collections.abc import Callable

from alluxio_s3.cluster.ring import place
from alluxio_s3.interfaces import IMembers, Member

# What is asked for so often, within this window and the one before, is hot.
HOT_READS = 20
WINDOW_SECONDS = 10.0
_MOST_PATHS = 16384


class Replicas:
    """``count`` workers hold what is hot; with 1, nothing is. ``now`` tells seconds by a clock that never goes back."""

    def __init__(self, members: IMembers, count: int, now: Callable[[], float]) -> None:
        self._members = members
        self._me = members.me.worker
        self._count = count
        self._now = now
        self._reads: dict[str, int] = {}
        self._before: dict[str, int] = {}
        self._since = now()

    def note(self, path: str, *, sent: bool = False) -> None:
        """``path`` (``/bucket/key``) is asked for by a client. Of more paths in a window than 16,384 the later ones don't count.

        One that was ``sent`` here, to a worker that is not the first owner, comes from one that has found it hot.
        """
        if self._count == 1:
            return
        self._turn()
        if path in self._reads or len(self._reads) < _MOST_PATHS:
            reads = self._reads.get(path, 0) + 1
            self._reads[path] = max(reads, HOT_READS) if sent and self._is_later_owner(path) else reads

    def owner(self, path: str) -> Member:
        """Who should be asked for it, of those who are not suspect; this worker, if it is one of them."""
        if self._count == 1 or not self._is_hot(path):
            return self._members.owners(path)[0]
        owners = self._members.owners(path, self._count)
        mine = [one for one in owners if one.worker == self._me]
        return mine[0] if mine else owners[place(f"{self._me}{path}") % len(owners)]

    def _is_later_owner(self, path: str) -> bool:
        return self._me in [one.worker for one in self._members.owners(path, self._count)[1:]]

    def _is_hot(self, path: str) -> bool:
        self._turn()
        return self._reads.get(path, 0) + self._before.get(path, 0) >= HOT_READS

    def _turn(self) -> None:
        now = self._now()
        if now - self._since >= WINDOW_SECONDS:
            self._before = self._reads if now - self._since < 2 * WINDOW_SECONDS else {}
            self._reads = {}
            self._since = now

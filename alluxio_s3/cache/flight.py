"""A page on its way from the under-store to the disk, which everybody who wants it reads as it comes; and the memory for such pages."""

from __future__ import annotations

import ctypes
from collections import deque
from contextlib import suppress
from enum import Enum, auto

from twisted.internet.defer import Deferred

# What mallopt(3) calls them in <malloc.h>; and from which size on a piece of memory goes back by itself, whatever is free beside it.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE_BYTES = 4 << 20


class Stage(Enum):
    """How far a page has come.

    COMING: its bytes arrive. WHOLE: they are all here, and on their way to the disk. STORED: the page store has it; its bytes may be here
    still for those who want it (``PageInFlight.let_go``).
    UNKEPT: the page store did not take it; it stays with whoever reads it. DROPPED: nobody wanted it any more before it began to come.
    FAILED: ``PageInFlight.failure`` says why.
    """

    COMING = auto()
    WHOLE = auto()
    STORED = auto()
    UNKEPT = auto()
    DROPPED = auto()
    FAILED = auto()


class PageInFlight:
    """``length`` bytes, page ``number`` of an object. ``wanted`` counts who means to read it and has not yet.

    ``sought``: somebody has asked for it to be in the cache.
    """

    __slots__ = ("_waiting", "failure", "length", "number", "pieces", "received", "sought", "stage", "wanted")

    def __init__(self, number: int, length: int) -> None:
        self.number = number
        self.length = length
        self.pieces: list[bytes] = []
        self.received = 0
        self.stage = Stage.COMING
        self.failure: Exception | None = None
        self.wanted = 0
        self.sought = False
        self._waiting: list[Deferred[None]] = []

    @property
    def here(self) -> bool:
        """Whether the bytes that have come can be read from it."""
        return self.stage in (Stage.COMING, Stage.WHOLE, Stage.UNKEPT)

    def add(self, piece: bytes) -> None:
        """More of its bytes have come."""
        self.pieces.append(piece)
        self.received += len(piece)
        self._wake()

    def become(self, stage: Stage, failure: Exception | None = None) -> None:
        """Go to the next stage. Where nobody can read it any more its bytes are let go of."""
        self.stage = stage
        self.failure = failure
        if not self.here and stage is not Stage.STORED:
            self.pieces = []
        self._wake()

    def let_go(self) -> None:
        """Have its bytes here no more: they are on the disk."""
        self.pieces = []

    def piece(self, offset: int, stop: int) -> bytes:
        """What has come from ``offset`` on, as far as it is of one piece and before ``stop``; empty if nothing has."""
        start = 0
        for piece in self.pieces:
            end = start + len(piece)
            if offset < end:
                whole = offset == start and end <= stop
                return piece if whole else piece[offset - start : stop - start]
            start = end
        return b""

    def more(self) -> Deferred[None]:
        """Fires when more has come, or it has gone to another stage."""
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)


class Budget:
    """So many bytes of memory, given in turn to those who ask; one who asks for more than there is gets all of it alone."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._queue: deque[tuple[int, Deferred[None]]] = deque()

    @property
    def crowded(self) -> bool:
        """Whether somebody waits."""
        return bool(self._queue)

    @property
    def taken(self) -> int:
        """How much is given away."""
        return self._size - self._free

    def has(self, count: int) -> bool:
        """Whether so much is free."""
        return min(count, self._size) <= self._free

    async def take(self, count: int) -> None:
        """Return when that much is the caller's, who gives it back with ``give_back``."""
        count = min(count, self._size)
        if not self._queue and count <= self._free:
            self._free -= count
            return
        turn: Deferred[None] = Deferred(self._leave)
        self._queue.append((count, turn))
        await turn

    def give_back(self, count: int) -> None:
        """What was taken before."""
        self._free += min(count, self._size)
        self._serve()

    def _leave(self, turn: Deferred[None]) -> None:
        self._queue = deque(one for one in self._queue if one[1] is not turn)
        self._serve()

    def _serve(self) -> None:
        while self._queue and self._queue[0][0] <= self._free:
            count, turn = self._queue.popleft()
            self._free -= count
            turn.callback(None)


def hold_freed(size: int) -> None:
    """Have up to ``size`` bytes of memory that is free stay with this process, where the C library can be told so: in each of its arenas.

    By itself it gives a free megabyte back to the kernel, and for the next piece of a page takes it anew, cleared, 4 KiB at a time.
    """
    with suppress(AttributeError):
        told = ctypes.CDLL(None).mallopt
        told(_M_TRIM_THRESHOLD, size)
        told(_M_MMAP_THRESHOLD, _LARGE_BYTES)

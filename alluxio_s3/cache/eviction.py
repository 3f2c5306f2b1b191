"""Which page has to go when there is no room: a pure policy over queues that somebody else keeps.

It is S3-FIFO (Yang et al., SOSP 2023): a new page waits in a small queue; one that is not read again before it reaches the
queue's end goes, and only its name is remembered for a while (a ghost). One that is read again, or comes back while its ghost
is there, enters the main queue, in which whatever was read since it last passed goes round once more. So a scan passes through
the small queue and leaves the rest alone. No queue is reordered when a page is read: a read only leaves a mark, which is what
lets many processes share the queues.

Two things are ours. As long as there is room a new page enters the main queue at once: so of a data set that is read again and
again, and is larger than the cache, a part stays, where the plain policy, and LRU, find nothing of it. And now and then a page
that leaves the small queue takes the place of one in the main queue that nobody reads: so a data set that nobody reads any more
goes in the end, though what is read now is too large for a ghost to tell. docs/eviction.md compares it with others.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from attrs import evolve, frozen

# Of the room, how much the small queue may take before its pages have to go first.
SMALL_SHARE = 0.1
# Of the pages that leave the small queue unread, how many may take the place of one in the main queue.
RENEWED_SHARE = 1 / 32
# More marks than this tell nothing new.
MOST_MARKS = 3
# So many pages at most go round again before one goes, marked or not: making room takes a bounded time.
MOST_MOVES = 128


class Queue(IntEnum):
    """Where a page is."""

    SMALL = 0
    MAIN = 1
    GHOST = 2


@frozen
class Entry:
    """A page's place in the queues. ``weight`` is what it takes of the room; ``size`` is its keeper's own; both in bytes."""

    queue: int
    weight: int
    marks: int = 0
    size: int = 0

    @property
    def is_page(self) -> bool:
        """Whether there is a page, and not only the memory of one."""
        return self.queue != Queue.GHOST


class Shelf(Protocol):
    """Three queues of keys, and their entries."""

    capacity: int

    def find(self, key: bytes) -> Entry | None:
        """The entry of a key, or None."""

    def append(self, key: bytes, entry: Entry) -> None:
        """Put a key that is in no queue at the new end of ``entry.queue``."""

    def remove(self, key: bytes) -> None:
        """Take a key out of its queue; nothing if it is in none."""

    def mark(self, key: bytes, entry: Entry) -> None:
        """Replace the entry of a key by one that differs in its marks only."""

    def oldest(self, queue: Queue) -> bytes | None:
        """The key at the old end of a queue, or None."""

    def weight(self, queue: Queue) -> int:
        """The sum of the weights in a queue."""


class Eviction:
    """The policy. It holds nothing itself. ``chance`` gives numbers from 0 to 1, as ``random.random``."""

    def __init__(self, shelf: Shelf, chance: Callable[[], float] = random.random) -> None:
        self._shelf = shelf
        self._chance = chance

    def admit(self, key: bytes, weight: int, size: int = 0, *, wanted: bool = False) -> None:
        """A page comes for which there is room. It is not there yet. ``wanted``: it is known already that it will be read."""
        ghost = self._shelf.find(key)
        if ghost is not None:
            self._shelf.remove(key)
        known = wanted or ghost is not None or self._is_roomy(weight)
        self._shelf.append(key, Entry(Queue.MAIN if known else Queue.SMALL, weight, 0, size))

    def touch(self, key: bytes) -> None:
        """A page was read."""
        entry = self._shelf.find(key)
        if entry is not None and entry.is_page and entry.marks < MOST_MARKS:
            self._shelf.mark(key, evolve(entry, marks=entry.marks + 1))

    def evict(self) -> tuple[bytes, Entry] | None:
        """Take the page that has to go out of its queue, and what it was; None if there is none."""
        for moves in range(MOST_MOVES + 1):
            queue = self._next_queue()
            key = self._shelf.oldest(queue)
            if key is None:
                return None
            entry = self._shelf.find(key)
            self._shelf.remove(key)
            if entry is None:
                continue
            if entry.marks and moves < MOST_MOVES:
                self._shelf.append(key, evolve(entry, queue=Queue.MAIN, marks=entry.marks - 1 if queue is Queue.MAIN else 0))
                continue
            if queue is Queue.MAIN:
                return key, entry
            return self._renewed(key, entry) or self._remembered(key, entry)
        return None

    def _is_roomy(self, weight: int) -> bool:
        """Whether nothing has to go for a page, nor for the next."""
        small, main, capacity = self._shelf.weight(Queue.SMALL), self._shelf.weight(Queue.MAIN), self._shelf.capacity
        return small + main + 2 * weight <= capacity and main + weight <= (1 - SMALL_SHARE) * capacity

    def _renewed(self, key: bytes, entry: Entry) -> tuple[bytes, Entry] | None:
        """Now and then, have a page that leaves the small queue take the place of the oldest in the main queue; that one goes, unless
        it was read: then it goes round, with a mark less.
        """
        if self._chance() >= RENEWED_SHARE:
            return None
        oldest = self._shelf.oldest(Queue.MAIN)
        other = self._shelf.find(oldest) if oldest is not None else None
        if oldest is None or other is None:
            return None
        self._shelf.remove(oldest)
        if other.marks:
            self._shelf.append(oldest, evolve(other, marks=other.marks - 1))
            return None
        self._shelf.append(key, evolve(entry, queue=Queue.MAIN))
        return oldest, other

    def _next_queue(self) -> Queue:
        small, main = self._shelf.weight(Queue.SMALL), self._shelf.weight(Queue.MAIN)
        return Queue.SMALL if small and (small > SMALL_SHARE * self._shelf.capacity or not main) else Queue.MAIN

    def _remembered(self, key: bytes, entry: Entry) -> tuple[bytes, Entry]:
        """Keep its name, and no more names than those of as many bytes as the main queue holds."""
        self._shelf.append(key, evolve(entry, queue=Queue.GHOST, marks=0))
        while self._shelf.weight(Queue.GHOST) > (1 - SMALL_SHARE) * self._shelf.capacity:
            oldest = self._shelf.oldest(Queue.GHOST)
            if oldest is None:
                break
            self._shelf.remove(oldest)
        return key, entry

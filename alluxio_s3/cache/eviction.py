"""Which page has to go when there is no room: a pure policy over queues that somebody else keeps.

It is S3-FIFO (Yang et al., SOSP 2023): a new page waits in a small queue; one that is not read again before it reaches the queue's end
goes, and only its name is remembered for a while (a ghost). One that is read again, or comes back while its ghost is
there, enters the main queue, in which whatever was read since it last passed goes round once more. So a scan passes through the small queue
and leaves the rest alone. No queue is reordered when a page is read: a read only leaves a mark, which is what lets
many processes share the queues. docs/eviction.md compares it with others.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

from attrs import evolve, frozen

# Of the room, how much the small queue may take before its pages have to go first.
SMALL_SHARE = 0.1
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
    """The policy. It holds nothing itself."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def admit(self, key: bytes, weight: int, size: int = 0) -> None:
        """A page comes for which there is room. It is not there yet."""
        ghost = self._shelf.find(key)
        if ghost is not None:
            self._shelf.remove(key)
        self._shelf.append(key, Entry(Queue.SMALL if ghost is None else Queue.MAIN, weight, 0, size))

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
            assert entry is not None
            self._shelf.remove(key)
            if entry.marks and moves < MOST_MOVES:
                self._shelf.append(key, evolve(entry, queue=Queue.MAIN, marks=entry.marks - 1 if queue is Queue.MAIN else 0))
                continue
            if queue is Queue.SMALL:
                self._remember(key, entry)
            return key, entry
        return None

    def _next_queue(self) -> Queue:
        small, main = self._shelf.weight(Queue.SMALL), self._shelf.weight(Queue.MAIN)
        return Queue.SMALL if small and (small > SMALL_SHARE * self._shelf.capacity or not main) else Queue.MAIN

    def _remember(self, key: bytes, entry: Entry) -> None:
        """Keep its name, and no more names than those of as many bytes as the main queue holds."""
        self._shelf.append(key, evolve(entry, queue=Queue.GHOST, marks=0))
        while self._shelf.weight(Queue.GHOST) > (1 - SMALL_SHARE) * self._shelf.capacity:
            oldest = self._shelf.oldest(Queue.GHOST)
            if oldest is None:
                return
            self._shelf.remove(oldest)

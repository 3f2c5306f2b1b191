"""One client's way through an object: page by page from the disk, from what is on its way there, or past the cache."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from threading import Lock
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from alluxio_s3.cache.fills import RUN_BYTES, STALL_SECONDS, Fills
from alluxio_s3.cache.flight import PageInFlight, Stage
from alluxio_s3.cache.page import Page
from alluxio_s3.cache.source import Source
from alluxio_s3.cache.store import PageStore
from alluxio_s3.interfaces import IHotReader, Span
from alluxio_s3.storage import ObjectChanged

# How many runs one client has under way at once: the one that it reads from, and those ahead of it.
RUNS = 3
# How many pages before the end of what is on its way more is asked for, of a store that is fast.
NEAR = 2
# How long a client waits for a page that another process fetches, before this one does too, and how often it looks. The claim of a
# process that dies is gone at once; one whose store has stalled gives up by then. Who has waited so long in vain waits no more.
PATIENCE_SECONDS = STALL_SECONDS
POLL_SECONDS = 0.005
# How many pages are opened in one turn of a thread, once a client goes from page to page.
OPENED_TOGETHER = 4


class Passage:
    """``count`` bytes of the object of ``source`` from ``offset``. ``keeps``: whether pages that are not there are to be kept."""

    def __init__(self, fills: Fills, source: Source, offset: int, count: int, *, keeps: bool) -> None:
        self._fills = fills
        self._store = fills.store
        self._source = source
        self._keeps = keeps
        self._version = source.thing.version
        self._size = fills.store.page_bytes
        self._position = offset
        self._end = offset + count
        self._last = (offset + count - 1) // self._size
        # The pages on their way that this client wants; and how far its runs have been planned.
        self._wanted: dict[int, PageInFlight] = {}
        self._planned = 0
        self._opened = False
        # Where the bytes that were waited for went to the disk, and perhaps from there, before they were read.
        self._lost = -1
        # Pages that the index has and the disk has not; that another process fetches, and until when that is waited for, or no longer.
        self._unreadable = self._awaited = self._waited_for = -1
        self._waits_until = 0.0
        self._overdue = False

    async def spans(self) -> AsyncIterator[bytes | Span]:
        """See ISpanReader."""
        readers = self._fills.readers
        readers[self._version] += 1
        try:
            while self._position < self._end:
                number = self._position // self._size
                flying = self._wanted.get(number)
                if flying is None or not flying.pieces:
                    page = self._store.hot(self._version, number)
                    if page is None:
                        page = await self._open(number)
                    if page is not None:
                        yield self._span(page, number)
                        continue
                    flying = self._flying(number)
                if number == self._awaited:
                    await self._elsewhere()
                    continue
                pieces = self._past() if flying is None else self._follow(flying)
                given = self._source.figures.from_store if flying is None else self._source.figures.from_flight
                async with aclosing(pieces):  # type: ignore[type-var]  # an async generator
                    async for piece in pieces:
                        self._position += len(piece)
                        given.add(len(piece))
                        yield piece
                self._leave(self._position // self._size)
        finally:
            for flying in self._wanted.values():
                self._fills.leave(flying)
            readers[self._version] -= 1
            if not readers[self._version]:
                del readers[self._version]

    async def _open(self, number: int) -> Page | None:
        """The page from the disk, if it is there."""
        if not self._store.holds(self._version, number):
            return None
        self._unreadable = number
        # The first alone, since somebody waits for it.
        more = OPENED_TOGETHER if self._opened else 1
        self._opened = True
        numbers = range(number, min(number + more - 1, self._last) + 1)
        return await opened(self._fills, self._version, numbers)

    def _span(self, page: Page, number: int) -> Span:
        """What of ``page`` is wanted."""
        offset = self._position - number * self._size
        count = min(self._size - offset, self._end - self._position)
        if page.size < offset + count:
            page.release()
            raise ObjectChanged(self._source.thing.path, "a page of the cache is shorter than the object's")
        self._position += count
        self._source.figures.from_disk.add(count)
        self._leave(number + 1)
        return Span(cast("IHotReader", page), offset, count)

    def _flying(self, number: int) -> PageInFlight | None:
        """The page on its way, begun here if need be; None where the store is to be read past the cache."""
        if not self._keeps or self._lost == self._position:
            return None
        flying = self._want(number)
        if flying is None:
            if self._fills.refusing:
                return None
            begun = self._begin(number, anyway=self._overdue or number == self._unreadable)
            if not begun:
                self._awaited = number
                return None
            flying = begun[0]
        self._planned = max(self._planned, number + 1)
        self._plan()
        return flying

    def _want(self, number: int) -> PageInFlight | None:
        flying = self._wanted.get(number)
        if flying is not None and flying.stage is not Stage.DROPPED:
            return flying
        flying = self._fills.find(self._version, number)
        if flying is not None:
            self._wanted[number] = flying
            flying.wanted += 1
        return flying

    def _begin(self, number: int, *, anyway: bool = False) -> list[PageInFlight]:
        pages = self._fills.begin(self._source, number, self._last, anyway=anyway)
        for page in pages:
            self._wanted[page.number] = page
        self._planned = max(self._planned, number + len(pages))
        return pages

    def _plan(self) -> None:
        """Begin what comes after the run that is read from, as soon as that has begun to give; near its end, if the store is fast."""
        ahead = RUNS * max(1, RUN_BYTES // self._size) - 1 if self._source.slow else NEAR
        reach = min(self._last, self._position // self._size + ahead)
        while self._planned <= reach and self._planned * self._size > self._position and not self._fills.refusing:
            number = self._planned
            missing = not self._store.holds(self._version, number) and self._want(number) is None
            if missing and not (self._has_come() and self._begin(number)):
                return
            self._planned = max(self._planned, number + 1)

    async def _elsewhere(self) -> None:
        """Wait a moment for the page that another process fetches, unless that has taken too long."""
        number, self._awaited = self._awaited, -1
        clock = self._fills.clock
        if self._waited_for != number:
            self._waited_for, self._waits_until = number, clock.seconds() + PATIENCE_SECONDS
        if clock.seconds() < self._waits_until:
            await deferLater(clock, POLL_SECONDS)
        else:
            self._overdue = True

    def _has_come(self) -> bool:
        """Whether the store has given anything of what is wanted: until then it is busy with the first bytes."""
        return any(page.received for page in self._wanted.values())

    async def _follow(self, flying: PageInFlight) -> AsyncIterator[bytes]:
        """The bytes of a page as they come, until it has been read or is somewhere else."""
        start = flying.number * self._size
        stop = min(self._size, self._end - start)
        while (offset := self._position - start) < stop:
            piece = flying.piece(offset, stop)
            if piece:
                yield piece
                self._plan()
            elif flying.failure is not None:
                raise flying.failure
            elif flying.here:
                await flying.more()
            else:
                if flying.stage is Stage.STORED:
                    self._lost = self._position
                self._forget(flying.number)
                return

    async def _past(self) -> AsyncIterator[bytes]:
        """The bytes from the store itself: all, or as far as one looks ahead where it is only that nothing could be kept just now."""
        if not self._keeps:
            reach = self._end
        elif self._lost == self._position:
            reach = (self._position // self._size + 1) * self._size
        else:
            reach = self._position + RUN_BYTES
        pieces = self._source.read(self._position, min(reach, self._end) - self._position)
        async with aclosing(pieces):  # type: ignore[type-var]  # an async generator
            async for piece in pieces:
                yield piece

    def _leave(self, number: int) -> None:
        """The pages before ``number`` have been read."""
        if not self._wanted:
            return
        for passed in [one for one in self._wanted if one < number]:
            self._forget(passed)

    def _forget(self, number: int) -> None:
        flying = self._wanted.pop(number, None)
        if flying is not None:
            self._fills.leave(flying)


class _Opening:
    """Opens pages in a thread: the first is for whoever waits, the others so that they are hot then."""

    def __init__(self, store: PageStore, version: bytes, numbers: range) -> None:
        self._store = store
        self._version = version
        self._numbers = numbers
        self._lock = Lock()
        self._given_up = False
        self._first: Page | None = None

    def run(self) -> None:
        """In a thread."""
        for number in self._numbers:
            page = self._store.open(self._version, number)
            if number != self._numbers[0]:
                if page is None:
                    break
                page.release()
                continue
            with self._lock:
                if not self._given_up:
                    self._first = page
                    page = None
            if page is not None:
                page.release()
            elif self._first is None:
                break

    def take(self) -> Page | None:
        """The first page, for the caller to release."""
        with self._lock:
            page, self._first = self._first, None
            return page

    def give_up(self) -> None:
        """Nobody waits any more."""
        with self._lock:
            self._given_up = True
        page = self.take()
        if page is not None:
            page.release()


async def opened(fills: Fills, version: bytes, numbers: range) -> Page | None:
    """The first of these pages, for the caller to release; the others are hot then. None where it is not there, or no good."""
    opening = _Opening(fills.store, version, numbers)
    running = Deferred.fromCoroutine(fills.threads.run(opening.run))
    try:
        await running
        return opening.take()
    finally:
        opening.give_up()

"""Filling the cache: each page is fetched from the under-store once, however many clients of this process wait for it.

A run is a stretch of pages that are not there, read by one ranged read. Its bytes go to those who wait as they come; each page that is
whole goes to the disk in a thread. How fast a client takes its bytes does not matter to a run, nor does the disk: when that is slower than
the store, pages that clients have read are given up unwritten. A client that leaves ends a run only at the end of the page that it is in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from itertools import groupby

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from alluxio_s3.cache.flight import Budget, PageInFlight, Stage, hold_freed
from alluxio_s3.cache.keeping import TOGETHER, Keeping, Waiting
from alluxio_s3.cache.keys import CachedObject
from alluxio_s3.cache.source import Source
from alluxio_s3.cache.store import PageStore
from alluxio_s3.interfaces import IUnderFileSystem
from alluxio_s3.storage import StorageError, Unavailable
from alluxio_s3.threads import Threads

# The most that one ranged read of the store asks for, where pages are smaller; and of a store that has been fast, for a client that waits:
# each costs a request.
RUN_BYTES, LONG_RUN_BYTES = 8 << 20, 64 << 20
# The memory of all pages that are on their way.
BUDGET_BYTES = 64 << 20
# A store that gives nothing for so long has failed.
STALL_SECONDS = 30.0
# A store whose first byte, or whole run of ``RUN_BYTES``, takes longer than that is read from by several runs at once. Of one that is
# faster the bytes would only be cold when their client takes them.
FIRST_BYTE_SECONDS, RUN_SECONDS = 0.01, 0.1
# When the disks took no page, how long nobody tries again.
REFUSED_SECONDS = 1.0


class Fills:
    """The pages that are on their way, of all objects. One for a process; it belongs to the reactor's thread."""

    log = Logger()

    def __init__(self, store: PageStore, threads: Threads, clock: IReactorTime, budget_bytes: int = BUDGET_BYTES) -> None:
        self.store = store
        self.threads = threads
        self.clock = clock
        self.budget = Budget(budget_bytes)
        hold_freed(budget_bytes)
        # What has gone to the disk can't be given up where that is slow: at most half of the memory, with two writers.
        self.keeping = Keeping(store, threads, clock, self._settled, together=max(1, min(TOGETHER, budget_bytes // store.page_bytes // 4)))
        # How many clients read each version.
        self.readers: Counter[bytes] = Counter()
        # Pages that are on the disk, whose bytes are here still for clients that are about to read them: to take them from there would
        # mean to verify them.
        self._lingering: dict[PageInFlight, None] = {}
        # How many clients wait for memory.
        self._pressed = 0
        self._flying: dict[tuple[bytes, int], PageInFlight] = {}
        self._runs: set[Run] = set()
        self._idle: list[Deferred[None]] = []
        self._refused_at: float | None = None

    @property
    def flying(self) -> int:
        """How many pages are on their way."""
        return len(self._flying)

    @property
    def refusing(self) -> bool:
        """Whether the disks took no page just now, so that to fill would be in vain."""
        return self._refused_at is not None and self.clock.seconds() - self._refused_at < REFUSED_SECONDS

    def length(self, thing: CachedObject, number: int) -> int:
        """How long a page of an object is."""
        size = self.store.page_bytes
        return min(size, thing.size - number * size)

    def reach(self, offset: int, count: int | None) -> tuple[int, int]:
        """Where the first run of a read of these bytes begins (None: of all from there on), and how many bytes it asks for at most."""
        size = self.store.page_bytes
        start, most = offset - offset % size, max(1, RUN_BYTES // size) * size
        return start, most if count is None else min(most, -(-(offset + count - start) // size) * size)

    def find(self, version: bytes, number: int) -> PageInFlight | None:
        """The page if it is on its way."""
        return self._flying.get((version, number))

    def begin(self, source: Source, first: int, last: int, *, urgent: bool = True, anyway: bool = False) -> list[PageInFlight]:
        """Begin a run from page ``first``, which is not there, to ``last`` or as far as pages are missing and a run reaches: its pages.

        The caller wants each of them (``PageInFlight.wanted``), and says so no more when it has read them. ``urgent``: a client waits;
        otherwise it is the cache that they are for. None when another process fetches the first page, or has just done so, unless it
        is to be fetched ``anyway``.
        """
        thing = source.thing
        version = thing.version
        most = max(1, (LONG_RUN_BYTES if urgent and source.quick and not source.slow else RUN_BYTES) // self.store.page_bytes)
        numbers = range(first, min(last, first + most - 1) + 1)
        missing = next((at for at, number in enumerate(numbers) if (version, number) in self._flying), len(numbers))
        numbers = numbers[:missing]
        pages = [PageInFlight(number, self.length(thing, number)) for number in numbers]
        try:
            del pages[len(self._claimed(version, numbers, anyway=anyway)) :]
            for page in pages:
                self._flying[version, page.number] = page
                page.wanted = 1
                page.sought = not urgent
            if pages:
                run = Run(self, source, pages, urgent=urgent)
                self._runs.add(run)
                run.start()
        except MemoryError as problem:
            self.fail(version, pages, problem)
            self.store.claims.give_back(version, numbers)
            raise
        return pages

    def _claimed(self, version: bytes, numbers: range, *, anyway: bool) -> range:
        """Those of these pages, from the first on, that this process is to fetch."""
        count = self.store.claims.take(version, numbers)
        if anyway and numbers and not count:
            return range(numbers.start, self._claimed(version, numbers[1:], anyway=False).stop)
        for at in range(int(anyway), count):
            if self.store.holds(version, numbers[at]):  # who had it before may have kept it meanwhile
                self.store.claims.give_back(version, numbers[at:count])
                return numbers[:at]
        return numbers[:count]

    def ended(self, run: Run) -> None:
        """A run is over."""
        self._runs.discard(run)
        self.keeping.hurry()
        if not any(one.urgent for one in self._runs):
            waiting, self._idle = self._idle, []
            for one in waiting:
                one.callback(None)

    def idle(self) -> Deferred[None] | None:
        """Fires when no client waits for a run; None if that is so now."""
        if not any(run.urgent for run in self._runs):
            return None
        waiting: Deferred[None] = Deferred(self._idle.remove)
        self._idle.append(waiting)
        return waiting

    def drop(self, version: bytes, pages: Sequence[PageInFlight], stage: Stage) -> None:
        """The pages are no more on their way."""
        self._land(version, pages)
        for page in pages:
            page.become(stage)

    def fail(self, version: bytes, pages: Sequence[PageInFlight], failure: Exception) -> None:
        """These pages will not come. Whoever tries again when told so finds none of them on its way."""
        self._land(version, pages)
        for page in pages:
            page.become(Stage.FAILED, failure)

    def _land(self, version: bytes, pages: Iterable[PageInFlight]) -> None:
        landed = sorted(page.number for page in pages if self._flying.get((version, page.number)) is page)
        for number in landed:
            del self._flying[version, number]
        self.store.claims.give_back(version, landed)

    def keep(self, thing: CachedObject, page: PageInFlight) -> None:
        """Give a page that is whole to the page store, and its memory back to the budget."""
        page.become(Stage.WHOLE)
        self.keeping.add(thing, page)

    async def take(self, length: int, *, urgent: bool) -> None:
        """Return when there is memory for so many bytes; ``urgent``: a client waits for them."""
        while self._lingering and not self.budget.has(length):
            self._let_go(next(reversed(self._lingering)))
        if not urgent:
            await self.budget.take(length)
            return
        self._pressed += 1
        try:
            self._make_room(length)
            await self.budget.take(length)
        finally:
            self._pressed -= 1

    def leave(self, page: PageInFlight) -> None:
        """A client wants the page no more."""
        page.wanted -= 1
        if page.wanted:
            return
        if page in self._lingering:
            self._let_go(page)
        if self._pressed:
            self._make_room(self.store.page_bytes)

    def _let_go(self, page: PageInFlight) -> None:
        del self._lingering[page]
        page.let_go()
        self.budget.give_back(page.length)

    def _make_room(self, length: int) -> None:
        while self._pressed and not self.budget.has(length) and (given_up := self.keeping.give_up_one(self.readers)) is not None:
            thing, page = given_up
            self.drop(thing.version, (page,), Stage.UNKEPT)
            self.budget.give_back(page.length)

    def _settled(self, batch: Sequence[Waiting], kept: Sequence[bool]) -> None:
        if not all(kept):
            self._refused_at = self.clock.seconds()
        for version, some in groupby(batch, lambda one: one[0].version):
            self._land(version, [page for _, page in some])
        for (_, page), one in zip(batch, kept, strict=True):
            page.become(Stage.STORED if one else Stage.UNKEPT)
            if one and page.wanted and not self.budget.crowded:
                self._lingering[page] = None
                continue
            if one:
                page.let_go()
            self.budget.give_back(page.length)

    async def end(self, ufs: IUnderFileSystem) -> None:
        """End the runs that read ``ufs``."""
        for run in [one for one in self._runs if one.reads(ufs)]:
            await run.cancel()


class Run:
    """One ranged read of ``source`` that fills ``pages``, which are neighbours."""

    def __init__(self, fills: Fills, source: Source, pages: list[PageInFlight], *, urgent: bool) -> None:
        self.urgent = urgent
        self._fills = fills
        self._source = source.hold()
        self._version = source.thing.version
        self._pages = pages
        self._at = 0
        self._charged = 0
        self._going: Deferred[None] | None = None
        # When the store last gave something, or began to be waited for; and who looks whether that is too long ago.
        self._moved_at: float | None = None
        self._watch: IDelayedCall | None = None
        self._stalled = False

    def start(self) -> None:
        """Begin; it ends by itself."""
        self._watch = self._fills.clock.callLater(STALL_SECONDS, self._look)
        self._going = Deferred.fromCoroutine(self._go())

    def reads(self, ufs: IUnderFileSystem) -> bool:
        """Whether it is that store that it reads."""
        return self._source.ufs is ufs

    async def cancel(self) -> None:
        """End it now."""
        if self._going is not None:
            self._going.cancel()
            await self._going

    async def _go(self) -> None:
        try:
            await self._receive()
        except Exception as problem:  # noqa: BLE001  # whoever waits for a page gets it
            self._fail(problem)
        finally:
            if self._watch is not None and self._watch.active():
                self._watch.cancel()
            self._fills.budget.give_back(self._charged)
            left = self._pages[self._at :]
            self._source.figures.fills("dropped").add(len(left))
            self._fills.drop(self._version, left, Stage.DROPPED)
            self._fills.ended(self)
            await self._source.release()

    async def _receive(self) -> None:
        await self._charge()
        thing = self._source.thing
        offset = self._pages[0].number * self._fills.store.page_bytes
        count = sum(page.length for page in self._pages)
        pieces = self._source.read(offset, count)
        began, limit = self._fills.clock.seconds(), FIRST_BYTE_SECONDS
        async with aclosing(pieces):  # type: ignore[type-var]  # async generators, by the interface's word
            self._moved_at = began
            async for came in pieces:
                piece = came
                self._moved_at = None
                if self._fills.clock.seconds() - began > limit:
                    self._source.slow = True
                limit = RUN_SECONDS * max(1.0, count / RUN_BYTES)
                while piece:
                    page = self._pages[self._at]
                    part = piece[: page.length - page.received]
                    piece = piece[len(part) :]
                    page.add(part)
                    if page.received == page.length and page is not self._pages[-1]:
                        self._complete(thing, page)
                        if not any(one.wanted for one in self._pages[self._at :]) or self._fills.refusing:
                            return
                        await self._charge()
                self._moved_at = self._fills.clock.seconds()
        self._source.quick = True
        # Only now is it certain that the store gave as much as it was asked for.
        self._complete(thing, self._pages[-1])

    def _complete(self, thing: CachedObject, page: PageInFlight) -> None:
        self._at += 1
        self._charged = 0
        self._source.figures.fills("fetched").add()
        self._source.figures.filled.add(page.length)
        self._fills.keep(thing, page)

    async def _charge(self) -> None:
        """Wait for the memory of the page that comes next."""
        length = self._pages[self._at].length
        await self._fills.take(length, urgent=self.urgent)
        self._charged = length

    def _look(self) -> None:
        """End it if the store has given nothing for too long."""
        now = self._fills.clock.seconds()
        since = now if self._moved_at is None else self._moved_at
        left = since + STALL_SECONDS - now
        if left > 0:
            self._watch = self._fills.clock.callLater(left, self._look)
        elif self._going is not None:
            self._stalled = True
            self._going.cancel()

    def _fail(self, problem: Exception) -> None:
        known = isinstance(problem, StorageError)
        if not known and not isinstance(problem, CancelledError):
            self._fills.log.failure("A page could not be fetched")
        said = f"the under-store gave nothing for {STALL_SECONDS:.0f} s" if self._stalled else "the under-store failed"
        failure = problem if known else Unavailable(self._source.thing.path, said)
        failing, self._pages = self._pages[self._at :], self._pages[: self._at]
        self._source.figures.fills("failed").add(len(failing))
        self._fills.fail(self._version, failing, failure)

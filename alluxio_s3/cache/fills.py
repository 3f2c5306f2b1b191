"""Filling the cache: each page is fetched from the under-store once, however many clients of this process wait for it.

A run is a stretch of pages that are not there, read by one ranged read. Its bytes go to those who wait as they come; each page that is
whole goes to the disk in a thread. How fast a client takes its bytes does not matter to a run, and a client that leaves ends it only
at the end of the page that it is in.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import aclosing
from functools import partial
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from alluxio_s3.cache.flight import Budget, PageInFlight, Stage
from alluxio_s3.cache.keys import CachedObject
from alluxio_s3.cache.source import Source
from alluxio_s3.cache.store import PageStore
from alluxio_s3.interfaces import IUnderFileSystem
from alluxio_s3.storage import StorageError, Unavailable
from alluxio_s3.threads import Threads

T = TypeVar("T")

# The most that one ranged read of the store asks for, where pages are smaller.
RUN_BYTES = 8 << 20
# The memory of all pages that are on their way.
BUDGET_BYTES = 64 << 20
# A store that gives nothing for so long has failed.
STALL_SECONDS = 30.0
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
        self._flying: dict[tuple[bytes, int], PageInFlight] = {}
        self._runs: set[Run] = set()
        self._idle: list[Deferred[None]] = []
        self._refused_at: float | None = None

    @property
    def refusing(self) -> bool:
        """Whether the disks took no page just now, so that to fill would be in vain."""
        return self._refused_at is not None and self.clock.seconds() - self._refused_at < REFUSED_SECONDS

    def length(self, thing: CachedObject, number: int) -> int:
        """How long a page of an object is."""
        size = self.store.page_bytes
        return min(size, thing.size - number * size)

    def find(self, version: bytes, number: int) -> PageInFlight | None:
        """The page if it is on its way."""
        return self._flying.get((version, number))

    def begin(self, source: Source, first: int, last: int, *, urgent: bool = True) -> list[PageInFlight]:
        """Begin a run from page ``first``, which is not there, to ``last`` or as far as pages are missing and a run reaches: its pages.

        The caller wants each of them (``PageInFlight.wanted``), and says so no more when it has read them. ``urgent``: a client waits.
        """
        thing = source.thing
        version = thing.version
        most = max(1, RUN_BYTES // self.store.page_bytes)
        pages: list[PageInFlight] = []
        for number in range(first, min(last, first + most - 1) + 1):
            if pages and ((version, number) in self._flying or self.store.holds(version, number)):
                break
            page = self._flying[version, number] = PageInFlight(number, self.length(thing, number))
            page.wanted = 1
            pages.append(page)
        run = Run(self, source, pages, urgent=urgent)
        self._runs.add(run)
        run.start()
        return pages

    def ended(self, run: Run) -> None:
        """A run is over."""
        self._runs.discard(run)
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

    def drop(self, version: bytes, page: PageInFlight, stage: Stage, failure: Exception | None = None) -> None:
        """The page is no more on its way."""
        if self._flying.get((version, page.number)) is page:
            del self._flying[version, page.number]
        page.become(stage, failure)

    def keep(self, thing: CachedObject, page: PageInFlight) -> None:
        """Give a page that is whole to the page store, and its memory back to the budget."""
        page.become(Stage.WHOLE)
        kept = Deferred.fromCoroutine(self.threads.run(_put, self.store, thing, page.number, page.pieces))
        _ = kept.addErrback(self._unkept).addCallback(partial(self._settled, thing, page))

    def _unkept(self, reason: Failure) -> bool:
        self.log.failure("A page could not be kept", reason)
        return False

    def _settled(self, thing: CachedObject, page: PageInFlight, kept: bool) -> None:
        self.budget.give_back(page.length)
        if not kept:
            self._refused_at = self.clock.seconds()
        self.drop(thing.version, page, Stage.STORED if kept else Stage.UNKEPT)

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
        self._stalled = False

    def start(self) -> None:
        """Begin; it ends by itself."""
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
            self._fills.budget.give_back(self._charged)
            for page in self._pages[self._at :]:
                self._fills.drop(self._version, page, Stage.DROPPED)
            self._fills.ended(self)
            await self._source.release()

    async def _receive(self) -> None:
        await self._charge()
        thing = self._source.thing
        offset = self._pages[0].number * self._fills.store.page_bytes
        pieces = self._source.read(offset, sum(page.length for page in self._pages))
        async with aclosing(pieces):  # type: ignore[type-var]  # async generators, by the interface's word
            while (piece := await self._within(anext(pieces, None))) is not None:
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
        # Only now is it certain that the store gave as much as it was asked for.
        self._complete(thing, self._pages[-1])

    def _complete(self, thing: CachedObject, page: PageInFlight) -> None:
        self._at += 1
        self._charged = 0
        self._fills.keep(thing, page)

    async def _charge(self) -> None:
        """Wait for the memory of the page that comes next."""
        length = self._pages[self._at].length
        await self._fills.budget.take(length)
        self._charged = length

    async def _within(self, step: Awaitable[T]) -> T:
        """The result of ``step``, if it comes in time. Raises Unavailable."""

        async def wait() -> T:
            return await step

        waiting = Deferred.fromCoroutine(wait())
        if not waiting.called:
            timer = self._fills.clock.callLater(STALL_SECONDS, self._stall, waiting)
            waiting.addBoth(partial(_stop, timer))  # type: ignore[unused-awaitable]  # it is awaited below
        try:
            return await waiting
        except CancelledError:
            if self._stalled:
                raise Unavailable(self._source.thing.path, f"the under-store gave nothing for {STALL_SECONDS:.0f} s") from None
            raise

    def _stall(self, waiting: Deferred[object]) -> None:
        self._stalled = True
        waiting.cancel()

    def _fail(self, problem: Exception) -> None:
        known = isinstance(problem, StorageError)
        if not known and not isinstance(problem, CancelledError):
            self._fills.log.failure("A page could not be fetched")
        failure = problem if known else Unavailable(self._source.thing.path, "the under-store failed")
        failing, self._pages = self._pages[self._at :], self._pages[: self._at]
        for page in failing:
            self._fills.drop(self._version, page, Stage.FAILED, failure)


def _stop(timer: IDelayedCall, result: T) -> T:
    if timer.active():
        timer.cancel()
    return result


def _put(store: PageStore, thing: CachedObject, number: int, pieces: list[bytes]) -> bool:
    data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    return store.put(thing, number, memoryview(data))

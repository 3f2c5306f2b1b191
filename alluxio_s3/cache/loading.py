"""Loading what nobody waits for yet: one run at a time, behind what clients wait for."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import CancelledError, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from alluxio_s3.cache.fills import Fills
from alluxio_s3.cache.flight import PageInFlight, Stage
from alluxio_s3.cache.source import Source

# How often one looks for a page that another process fetches, and for how long.
POLL_SECONDS = 0.02
OTHERS_SECONDS = 30.0
# For how long a run waits for clients before it goes all the same: else a busy store would never be loaded from.
PATIENCE_SECONDS = 1.0


class Loading:
    """Has pages fetched. One for a process; it belongs to the reactor's thread."""

    def __init__(self, fills: Fills, clock: IReactorTime) -> None:
        self._fills = fills
        self._clock = clock
        self._turn: DeferredLock = DeferredLock()

    async def load(self, source: Source, numbers: Sequence[int]) -> None:
        """Return when the pages of these ``numbers``, which follow each other, are in the cache, or were refused there.

        Raises what the store raises.
        """
        version = source.thing.version
        for number in numbers:
            if self._fills.store.holds(version, number):
                continue
            await self._turn.acquire()
            try:
                await self._load(source, number, numbers[-1])
            finally:
                self._turn.release()

    async def _load(self, source: Source, number: int, last: int) -> None:
        version = source.thing.version
        await self._let_clients_go_first()
        flying = self._fills.find(version, number)
        if flying is not None:
            flying.wanted += 1
            flying.sought = True
            pages = [flying]
        elif self._fills.store.holds(version, number):
            return
        else:
            pages = self._fills.begin(source, number, last, urgent=False)
            if not pages:
                pages = await self._patiently(source, number, last)
        try:
            for page in pages:
                await _settled(page)
        finally:
            for page in pages:
                self._fills.leave(page)

    async def _patiently(self, source: Source, number: int, last: int) -> list[PageInFlight]:
        """The run, unless the process that fetches its first page keeps that in good time."""
        until = self._clock.seconds() + OTHERS_SECONDS
        while self._clock.seconds() < until and not self._fills.store.holds(source.thing.version, number):
            await deferLater(self._clock, POLL_SECONDS)
            if pages := self._fills.begin(source, number, last, urgent=False):
                return pages
        if self._fills.store.holds(source.thing.version, number):
            return []
        return self._fills.begin(source, number, last, urgent=False, anyway=True)

    async def _let_clients_go_first(self) -> None:
        idle = self._fills.idle()
        if idle is None:
            return
        timer = self._clock.callLater(PATIENCE_SECONDS, idle.cancel)
        try:
            await idle
        except CancelledError:
            if timer.active():  # it was not patience that ended
                raise
        finally:
            if timer.active():
                timer.cancel()


async def _settled(page: PageInFlight) -> None:
    """Return when the page is on the disk, or will not be. Raises what it failed with."""
    while page.stage in (Stage.COMING, Stage.WHOLE):
        await page.more()
    if page.failure is not None:
        raise page.failure

"""Pages that are whole, on their way to the disk: a few at a time in threads, the others in a queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from alluxio_s3.cache.flight import PageInFlight
from alluxio_s3.cache.keys import CachedObject, NewPage
from alluxio_s3.cache.store import PageStore
from alluxio_s3.threads import Threads

# How many pages one thread takes together, at most; when there are more than twice as many another one helps, up to so many.
TOGETHER = 8
WRITERS = 2
# For how long pages wait for others to go with them: each turn of a thread costs as much as a page, and its change of the index too.
GATHERING_SECONDS = 0.01

Waiting: TypeAlias = tuple[CachedObject, PageInFlight]


class Keeping:
    """Gives pages to ``store``, ``together`` at once in a thread. ``settled`` is called with those, and whether each was kept.

    ``kept`` and ``shed`` count pages: those that were kept, and those that were given up since the disk was slower than the store.
    """

    _log = Logger()

    def __init__(
        self,
        store: PageStore,
        threads: Threads,
        clock: IReactorTime,
        settled: Callable[[Sequence[Waiting], Sequence[bool]], None],
        together: int = TOGETHER,
    ) -> None:
        self.kept = 0
        self.shed = 0
        self._store = store
        self._threads = threads
        self._clock = clock
        self._settled = settled
        self._together = together
        self._queue: deque[Waiting] = deque()
        self._writers = 0
        # Who ends the wait for more pages, while there is one.
        self._gathering: IDelayedCall | None = None

    def add(self, thing: CachedObject, page: PageInFlight) -> None:
        """Have a page kept, in its turn; soon, or with those that come by then, or before ``hurry``."""
        self._queue.append((thing, page))
        if len(self._queue) == 1 and self._gathering is None:
            with suppress(MemoryError):  # then it waits for no others
                self._gathering = self._clock.callLater(GATHERING_SECONDS, self._gathered)
        self._go_on()

    def hurry(self) -> None:
        """Wait for no more pages."""
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathered()

    def _gathered(self) -> None:
        self._gathering = None
        self._go_on()

    def give_up_one(self, readers: Mapping[bytes, int]) -> Waiting | None:
        """Take the page that came last out of the queue, of those that are of no use to anybody now; None if there is none.

        Nobody is reading it, nor has asked for it to be kept, nor comes after its reader: ``readers`` counts those of each version.
        """
        for at in range(len(self._queue) - 1, -1, -1):
            thing, page = self._queue[at]
            if not page.wanted and not page.sought and readers[thing.version] <= 1:
                found = self._queue[at]
                del self._queue[at]
                self.shed += 1
                return found
        return None

    def _go_on(self) -> None:
        while len(self._queue) >= (1 if self._gathering is None else self._together) and self._may_begin():
            batch = list(islice(self._queue, self._together))
            pages = [NewPage(thing, page.number, page.pieces, page.sought) for thing, page in batch]
            written = Deferred.fromCoroutine(self._threads.run(self._store.put_all, pages))
            for _ in batch:  # not before: where there was no memory for all this, they still wait
                self._queue.popleft()
            self._writers += 1
            _ = written.addErrback(self._failed, len(batch)).addCallback(partial(self._written, batch))

    def _may_begin(self) -> bool:
        return not self._writers or (self._writers < WRITERS and len(self._queue) > 2 * self._together)

    def _failed(self, reason: Failure, count: int) -> list[bool]:
        self._log.failure("Pages could not be kept", reason)
        return [False] * count

    def _written(self, batch: Sequence[Waiting], kept: Sequence[bool]) -> None:
        self._writers -= 1
        self._go_on()
        self.kept += sum(kept)
        self._settled(batch, kept)

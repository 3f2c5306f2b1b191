"""Steps that must not mix, and must not be left half done."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList, DeferredLock
from twisted.python.failure import Failure

T = TypeVar("T")


@define
class Turns:
    """One at a time for each name, among those of this process."""

    _locks: WeakValueDictionary[str, DeferredLock] = field(factory=WeakValueDictionary, init=False)
    _running: set[Deferred[Any]] = field(factory=set, init=False)

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """Wait for the turn of ``name`` and have it."""
        lock = self._locks.setdefault(name, DeferredLock())
        await lock.acquire()
        try:
            yield
        finally:
            lock.release()

    async def to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, which goes on to its end when the one who waits for it is cancelled."""
        running = Deferred.fromCoroutine(work)
        waiting: Deferred[T] = Deferred()

        def ended(result: T | Failure) -> None:
            self._running.discard(running)
            if not waiting.called:
                waiting.callback(result)

        self._running.add(running)
        _ = running.addBoth(ended)
        return await waiting

    async def settle(self) -> None:
        """Wait for everything that still runs."""
        while self._running:
            waiting = [self._end_of(running) for running in self._running]
            await DeferredList(waiting)

    def _end_of(self, running: Deferred[Any]) -> Deferred[None]:
        ended: Deferred[None] = Deferred()

        def note(result: object) -> object:
            ended.callback(None)
            return result

        _ = running.addBoth(note)
        return ended

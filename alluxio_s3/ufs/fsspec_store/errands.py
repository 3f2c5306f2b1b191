"""Blocking work in threads, with an end to patience.

Nothing can stop a thread. So who waits gives up when a call of the library has taken too long; the thread is lost to the pool until the
call returns. As many can be lost as the pool has; then everything else gives up too, until they return.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from alluxio_s3.storage import Unavailable
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.turns import Turns

P = ParamSpec("P")
T = TypeVar("T")

_own = threading.local()


@define(eq=False)
class Errand:
    """What is known of work in a thread: how many calls it has begun, and how long the last one may take, in seconds."""

    calls: int = 0
    allowance: float = 0
    given_up: bool = False
    may_stop: bool = False


def began(allowance: float) -> None:
    """Note that this thread begins a call, which may take so many seconds. Raises Unavailable where nobody waits for it any more."""
    errand: Errand | None = getattr(_own, "errand", None)
    if errand is not None:
        if errand.given_up and errand.may_stop:
            raise Unavailable(message="Unavailable: nobody waits for it")
        errand.calls += 1
        errand.allowance = allowance


def _do(errand: Errand, function: Callable[[], T]) -> T:
    _own.errand = errand
    try:
        return function()
    finally:
        _own.errand = None


@define(eq=False)
class Errands:
    """Has work done in threads; ``timeout`` in seconds is for one call of the library."""

    _threads: Threads
    _clock: IReactorTime
    _timeout: float
    _turns: Turns = field(factory=Turns, init=False)

    async def ask(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of work that changes nothing."""
        errand = Errand(allowance=self._timeout, may_stop=True)
        return await self._patiently(errand, Deferred.fromCoroutine(self._threads.run(_do, errand, partial(function, *args, **kwargs))))

    async def change(self, name: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of work that nobody else's for ``name`` comes between, and that goes on to its end whoever waits for it."""
        errand = Errand(allowance=self._timeout)

        async def work() -> T:
            async with self._turns.of(name):
                if errand.given_up:
                    raise Unavailable(name)
                return await self._threads.run(_do, errand, partial(function, *args, **kwargs))

        # Here and not in ``work``: whatever waits for it gives up by itself.
        return await self._patiently(errand, Deferred.fromCoroutine(self._turns.to_the_end(work())))

    async def settle(self) -> None:
        """Wait for changes that are being made, but not for those that hang."""
        waiting = Deferred.fromCoroutine(self._turns.settle()).addTimeout(self._timeout, self._clock)
        with suppress(TimeoutError):
            await waiting

    async def _patiently(self, errand: Errand, running: Deferred[T]) -> T:
        waiting: Deferred[T] = Deferred(lambda _: running.cancel())
        seen, since = errand.calls, self._clock.seconds()
        later: Any = None

        def look() -> None:
            nonlocal seen, since, later
            if errand.calls != seen:
                seen, since = errand.calls, self._clock.seconds()
            left = since + errand.allowance - self._clock.seconds()
            if left <= 0:
                errand.given_up = True
                waiting.errback(Unavailable(message="Unavailable: the store did not answer in time"))
            else:
                later = self._clock.callLater(min(left, self._timeout), look)

        def ended(result: T | Failure) -> None:
            if waiting.called:
                if isinstance(result, Failure):
                    _ = result.trap(Exception)
                return
            later.cancel()
            waiting.callback(result)

        later = self._clock.callLater(self._timeout, look)
        _ = running.addBoth(ended)
        try:
            return await waiting
        finally:
            errand.given_up = True
            if later.active():
                later.cancel()

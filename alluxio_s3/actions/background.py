"""Work that goes on when whoever waits for it gives up."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

T = TypeVar("T")


class Background(Generic[T]):
    """Runs ``work`` from now on to its end. One at a time may wait for it."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, work: Coroutine[Deferred[Any], Any, T]) -> None:
        self._clock = clock
        self._outcome: list[T | Failure] = []
        self._waiting: Deferred[bool] | None = None
        self._abandoned = False
        Deferred.fromCoroutine(work).addBoth(self._end)  # type: ignore[unused-awaitable]  # that is the point

    async def ends(self, within: float | None) -> bool:
        """Wait until it has ended, but no longer than ``within`` seconds (None: as long as it takes); whether it has."""
        if self._outcome:
            return True
        waiting: Deferred[bool] = Deferred()
        self._waiting = waiting
        timer = None if within is None else self._clock.callLater(within, waiting.callback, False)
        try:
            return await waiting
        finally:
            self._waiting = None
            if timer is not None and timer.active():
                timer.cancel()

    def result(self) -> T:
        """What it returned; raises what it raised. Only once it has ended."""
        (outcome,) = self._outcome
        if isinstance(outcome, Failure):
            outcome.raiseException()
        return outcome

    def abandon(self) -> None:
        """Nobody will ask for the result; if it fails after this, the log says so."""
        self._abandoned = True

    def _end(self, outcome: T | Failure) -> None:
        self._outcome.append(outcome)
        if isinstance(outcome, Failure) and self._abandoned:
            self._log.warn("work that nobody waited for any more has failed: {problem}", problem=outcome.value)
        if self._waiting is not None:
            self._waiting.callback(True)

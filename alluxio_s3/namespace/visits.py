"""Who is still inside: so that an under-store is let go of only when every request that may use it has ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field
from twisted.internet.defer import Deferred


@define(eq=False)
class Period:
    """The time between two departures, and who came in it and is still inside."""

    visitors: int = 0
    over: bool = False
    waiting: list[Deferred[None]] = field(factory=list)


@define(eq=False)
class Visits:
    """Counts the requests under way, by the period in which they began."""

    _periods: deque[Period] = field(factory=lambda: deque([Period()]), init=False)

    @contextmanager
    def visit(self) -> Iterator[None]:
        """Be inside for as long as the block lasts."""
        period = self.enter()
        try:
            yield
        finally:
            self.leave(period)

    def enter(self) -> Period:
        """Be inside until ``leave`` is called with what this returns."""
        period = self._periods[-1]
        period.visitors += 1
        return period

    def leave(self, period: Period) -> None:
        """Be inside no more."""
        period.visitors -= 1
        if period.over:
            self._settle()

    async def departed(self) -> None:
        """Return when everyone has left who is inside now."""
        period = self._periods[-1]
        period.over = True
        self._periods.append(Period())
        waiting: Deferred[None] = Deferred()
        period.waiting.append(waiting)
        self._settle()
        await waiting

    def _settle(self) -> None:
        while self._periods[0].over and not self._periods[0].visitors:
            for waiting in self._periods.popleft().waiting:
                if not waiting.called:
                    waiting.callback(None)

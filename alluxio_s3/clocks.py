"""Two clocks: one that nobody can set, for whatever waits or lasts, and the one on the wall, for what is said to others.

Twisted's reactor takes its seconds from the wall, so that setting the machine's clock would end a wait at once, or put it off
for as long. The daemon's reactor goes by CLOCK_MONOTONIC of clock_gettime(2) instead: its ``seconds()`` are good for
differences. What is a date to somebody else (a header, a token's end, a line of a log, a time that a store keeps) is the wall's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer


def go_steadily(reactor: Any) -> None:
    """Have ``reactor`` go by the monotonic clock. It must not have anything to do yet: what was scheduled would not happen."""
    if reactor.getDelayedCalls():
        raise RuntimeError("the reactor has something to do already, by the other clock")
    reactor.seconds = time.monotonic


def wall_clock(clock: IReactorTime) -> IReactorTime:
    """Seconds since 1970, UTC, whatever ``clock`` goes by; what is scheduled with it is scheduled with ``clock``.

    A clock that was not made to ``go_steadily`` tells the time of day itself, as those of tests do.
    """
    return WallClock(clock) if clock.seconds is time.monotonic else clock


@implementer(IReactorTime)
@frozen
class WallClock:
    """The time of day, which may jump; ``timers`` is what waits."""

    timers: IReactorTime

    def seconds(self) -> float:
        """Since 1970, UTC."""
        return time.time()

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kwargs: object) -> IDelayedCall:  # noqa: A002, N802  # Twisted's names
        """See IReactorTime."""
        return self.timers.callLater(delay, callable, *args, **kwargs)

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:  # noqa: N802  # Twisted's name
        """See IReactorTime."""
        return self.timers.getDelayedCalls()

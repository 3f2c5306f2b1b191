"""Waiting, on the reactor, for what is to come about."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.task import deferLater


async def until(condition: Callable[[], object], what: str = "it", seconds: float = 20.0) -> None:
    """Return when ``condition`` holds. Raises AssertionError when it has not in time."""
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        await deferLater(reactor, 0.01)  # type: ignore[arg-type]
    raise AssertionError(f"{what} did not come about in {seconds} s")

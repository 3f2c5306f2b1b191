"""Looking at all of a kind of thing now and then, which takes no timer for each: a round that fails is not the last."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger


class Rounds:
    """Calls ``look`` every so many ``seconds``; ``whom`` says in the log whom it looks at."""

    _log = Logger()

    def __init__(self, look: Callable[[], None], seconds: float, clock: IReactorTime, whom: str) -> None:
        self._look = look
        self._seconds = seconds
        self._whom = whom
        self._looking = LoopingCall(self._look_anyway)
        self._looking.clock = clock

    def start(self) -> None:
        """Begin to look."""
        ended: Deferred[Any] = self._looking.start(self._seconds, now=False)
        _ = ended.addErrback(lambda reason: self._log.failure("Looking for {whom} has ended", reason, whom=self._whom))

    def stop(self) -> None:
        """Look no more."""
        if self._looking.running:
            self._looking.stop()

    def _look_anyway(self) -> None:
        try:
            self._look()
        except Exception:  # noqa: BLE001  # there may have been no memory for one of them; there are others, and other rounds
            with suppress(MemoryError):
                self._log.failure("{whom} could not be looked at", whom=self._whom)

"""Uploads that nobody goes on with end by themselves."""

from __future__ import annotations

from typing import Any

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from alluxio_s3.namespace.mounts import Namespace

EVERY_SECONDS = 3600.0
# By how much more than time has passed the wall's clock may have gone on, and not have been set.
DRIFT_SECONDS = 5.0


class UploadExpiry(TimerService):
    """Looks, at its start and each hour, for uploads that are older than ``seconds`` by the clock ``wall``, in every store.

    When that clock was set forward, all uploads seem older than they are: then none ends before it has been there for that long.
    """

    _log = Logger()

    def __init__(self, namespace: Namespace, seconds: float, reactor: Any, wall: IReactorTime) -> None:
        super().__init__(EVERY_SECONDS, self._expire)
        self.clock = self._reactor = reactor
        self._wall = wall
        self._namespace = namespace
        self._seconds = seconds
        self._difference = self._now_differs()
        self._not_before = reactor.seconds()

    def _now_differs(self) -> float:
        return float(self._wall.seconds() - self._reactor.seconds())

    def _was_set_forward(self) -> bool:
        """Whether the wall's clock was, and so lately that what is told by it isn't so yet."""
        before, self._difference = self._difference, self._now_differs()
        step = self._difference - before
        if step > DRIFT_SECONDS:
            self._not_before = self._reactor.seconds() + self._seconds
            self._log.warn("The clock was set by {step:.0f} s: no upload expires for {rest:.0f} s", step=step, rest=self._seconds)
        return bool(self._reactor.seconds() < self._not_before)

    async def _expire(self) -> None:
        if self._was_set_forward():
            return
        before = int((self._wall.seconds() - self._seconds) * 10**9)
        for uploads in self._namespace.all_uploads():
            try:
                # A store that hangs must not keep the others from their turn.
                expired = await Deferred.fromCoroutine(uploads.expire(before)).addTimeout(EVERY_SECONDS / 4, self._reactor)
            except Exception:  # noqa: BLE001  # the next round tries again
                self._log.failure("Abandoned uploads could not be expired")
            else:
                if expired:
                    self._log.info("{count} abandoned uploads expired", count=expired)

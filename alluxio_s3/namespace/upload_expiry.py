"""Uploads that nobody goes on with end by themselves."""

from __future__ import annotations

from typing import Any

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from alluxio_s3.namespace.mounts import Namespace

EVERY_SECONDS = 3600.0


class UploadExpiry(TimerService):
    """Looks, at its start and each hour, for uploads that are older than ``seconds``, in every store."""

    _log = Logger()

    def __init__(self, namespace: Namespace, seconds: float, reactor: Any) -> None:
        super().__init__(EVERY_SECONDS, self._expire)
        self.clock = self._reactor = reactor
        self._namespace = namespace
        self._seconds = seconds

    async def _expire(self) -> None:
        before = int((self._reactor.seconds() - self._seconds) * 10**9)
        for uploads in self._namespace.all_uploads():
            try:
                # A store that hangs must not keep the others from their turn.
                expired = await Deferred.fromCoroutine(uploads.expire(before)).addTimeout(EVERY_SECONDS / 4, self._reactor)
            except Exception:  # noqa: BLE001  # the next round tries again
                self._log.failure("Abandoned uploads could not be expired")
            else:
                if expired:
                    self._log.info("{count} abandoned uploads expired", count=expired)

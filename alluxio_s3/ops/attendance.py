"""What the daemon hears from whoever looks after it, and tells them: signals, and the service manager."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from twisted.application.internet import TimerService
from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from alluxio_s3.ops.service_manager import ServiceManager

# How soon it is seen that the daemon serves.
LOOK_SECONDS = 0.05
SERVING = "Serving"


class Attended(Protocol):
    """The daemon. ``serving`` is whether requests are answered."""

    @property
    def serving(self) -> bool:
        """Whether it is."""

    async def reload(self) -> None:
        """Read again what can be."""

    def reopen_logs(self) -> None:
        """Go on in files of the same names."""


class Attendance(MultiService):
    """Has ``attended`` as its only child: SIGHUP is ``reload``, SIGUSR1 ``reopen_logs``; ``manager`` is told what happens."""

    _log = Logger()

    def __init__(self, attended: Attended, manager: ServiceManager, reactor: Any) -> None:
        super().__init__()
        self._attended = attended
        self._manager = manager
        self._reactor = reactor
        self._known = False
        # Twice in the time that the manager would wait.
        self._beat = self._timer(manager.watchdog_seconds / 2, manager.well) if manager.watchdog_seconds else None
        self._look = self._timer(LOOK_SECONDS, self._see)
        IService(attended).setServiceParent(self)

    def startService(self) -> None:  # noqa: N802  # Twisted's name
        """Start the daemon. Raises SystemExit when it can't."""
        # First: who has been told that it serves may send a signal at once, which would end a process that does not listen to it.
        if threading.current_thread() is threading.main_thread():
            self._on(signal.SIGHUP, self._reload)
            self._on(signal.SIGUSR1, self._attended.reopen_logs)
        super().startService()
        self._look.startService()
        if self._beat is not None:
            self._beat.startService()

    def stopService(self) -> Deferred[None]:  # noqa: N802  # Twisted's name
        """Stop the daemon; the manager hears that it is well for as long as that takes."""
        self._manager.stopping()
        if self._look.running:
            _ = self._look.stopService()
        stopped: Deferred[None] = super().stopService()
        return stopped.addBoth(self._stopped)

    def _stopped(self, outcome: Any) -> Any:
        if self._beat is not None and self._beat.running:
            _ = self._beat.stopService()
        return outcome

    def _see(self) -> None:
        if not self._known and self._attended.serving:
            self._known = True
            self._manager.serving(SERVING)
            _ = self._reactor.callLater(0, self._look.stopService)

    def _reload(self) -> None:
        self._manager.reloading()
        done = Deferred.fromCoroutine(self._attended.reload()).addErrback(partial(self._log.failure, "Reloading has failed"))
        _ = done.addCallback(lambda _: self._manager.serving(SERVING))

    def _on(self, number: signal.Signals, act: Callable[[], None]) -> None:
        before = signal.getsignal(number)

        def handle(*given: Any) -> None:
            if callable(before):  # the daemon's own log has its file
                before(*given)
            self._reactor.callFromThread(act)

        signal.signal(number, handle)

    def _timer(self, seconds: float, act: Callable[[], None]) -> TimerService:
        timer = TimerService(seconds, act)
        timer.clock = self._reactor
        return timer

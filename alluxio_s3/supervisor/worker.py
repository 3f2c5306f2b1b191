"""A child: serves until it is told to stop, or its parent is gone."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.logger import Logger, globalLogBeginner
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from alluxio_s3.gateway import Gateway, Share
from alluxio_s3.settings import SettingsError
from alluxio_s3.supervisor.messages import (
    HURRY,
    LOG,
    RELOAD,
    REOPEN,
    REPORT,
    REPORTS,
    STOP,
    WORDS,
    LogToParent,
    Report,
    decode_reload,
    read_commission,
)

REPORT_SECONDS = 1.0

_log = Logger()


def serve(reactor: Any) -> None:
    """The whole life of a child. Returns when it has stopped; raises SystemExit when it can't start."""
    # Whoever stops the daemon with Ctrl-C stops every process of the terminal: the parent says what it means.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    try:
        commission = read_commission(WORDS)
    except EOFError:
        return
    globalLogBeginner.beginLoggingTo([LogToParent(LOG)])
    try:
        sockets = [_inherited(descriptor) for descriptor in commission.sockets]
        share = Share(sockets, commission.announces, commission.number, commission.count)
        gateway = Gateway.build(commission.loaded, reactor, share)
        gateway.startService()
    except (SettingsError, SystemExit) as problem:
        _log.critical("{problem}", problem=problem)
        sys.exit(1)
    worker = Worker(gateway, reactor)
    reactor.addSystemEventTrigger("before", "shutdown", worker.stopped)
    reactor.callWhenRunning(worker.start)
    reactor.run()


class Worker(LineOnlyReceiver):
    """Does what the parent says, and tells it how things are."""

    delimiter = b"\n"
    MAX_LENGTH = 1 << 24

    def __init__(self, gateway: Gateway, reactor: Any) -> None:
        self._gateway = gateway
        self._reactor = reactor
        self._stopping = False
        self._reports = TimerService(REPORT_SECONDS, self._report)
        self._reports.clock = reactor

    def start(self) -> None:
        """Begin to listen to the parent."""
        StandardIO(self, WORDS, REPORTS, self._reactor)  # type: ignore[call-arg]  # that of Windows has no such
        self._reports.startService()

    def stopped(self) -> Deferred[None]:
        """The reactor stops, whoever wanted it: let requests end, then tell the parent what there was to count."""
        self._stopping = True
        return Deferred.fromCoroutine(self._end())

    def lineReceived(self, line: bytes) -> None:  # noqa: N802  # Twisted's name
        """A word of the parent's."""
        if line == REPORT:
            _ = self._report()
        elif line.startswith(RELOAD):
            self._gateway.told_to_reload(*decode_reload(line))
        elif line == REOPEN:
            self._gateway.reopen_logs()
        elif line == STOP:
            self._stop()
        elif line == HURRY:
            self._stop()
            self._gateway.hurry()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # noqa: N802, ARG002
        """The parent is gone."""
        self._stop()

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._reactor.stop()

    def _report(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._send_report()).addErrback(lambda failure: _log.failure("No report", failure))

    async def _send_report(self) -> None:
        report = await self._seen()
        if self.transport is not None:
            self.transport.write(report.encode())

    async def _seen(self) -> Report:
        operations = self._gateway.operations
        return Report(await operations.snapshot(), await operations.reasons(), operations.warnings())

    async def _end(self) -> None:
        await self._gateway.stopService()
        if self._reports.running:
            await self._reports.stopService()
        line = (await self._seen()).encode()
        os.set_blocking(REPORTS, True)
        with suppress(OSError):
            while line:
                line = line[os.write(REPORTS, line) :]


def _inherited(descriptor: int) -> socket.socket:
    found = socket.socket(fileno=descriptor)
    found.setblocking(False)
    return found

"""A place for a child: who is in it, what those counted who were, and when the next one starts."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from attrs import evolve, frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from alluxio_s3.ops.metrics import Snapshot
from alluxio_s3.ops.totals import lasting, merged
from alluxio_s3.settings import Loaded
from alluxio_s3.supervisor.messages import (
    COMPLAINTS,
    FIRST_SOCKET,
    LOG,
    REPORT,
    REPORTS,
    STOP,
    WORDS,
    Commission,
    Report,
    log_of_child,
    read_report,
)
from alluxio_s3.supervisor.sockets import Sockets

# A child that lived for so long is replaced at once; of those that did not, each waits twice as long as the one before.
SETTLED_SECONDS = 10.0
FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 10.0
# A child reports each second; one of which nothing was heard for so long does nothing else either.
SILENT_SECONDS = 10.0
MAX_LINE_BYTES = 16 << 20


# How systemd is told that the daemon is well, and what it opened, which is the parent's business.
_PARENTS_OWN = frozenset({"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"})


class Child(ProcessProtocol):
    """A child process. ``report`` is its latest, None before it serves, and ``heard`` is when that came.

    ``ended`` is called, with its status, when it is gone.
    """

    transport: Any

    def __init__(self, number: int, commission: Commission, clock: IReactorTime, ended: Callable[[Failure], None]) -> None:
        self.report: Report | None = None
        self.heard = 0.0
        self.reported: list[Deferred[None]] = []
        self._number = number
        self._commission = commission
        self._clock = clock
        self._ended = ended
        self._rest = {LOG: b"", COMPLAINTS: b"", REPORTS: b""}

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        """It runs."""
        self.transport.write(self._commission.encode())

    def tell(self, word: bytes) -> None:
        """Send it a word, if it is still there."""
        self.transport.write(word + b"\n")

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")

    async def news(self) -> None:
        """Return when it has reported anew, or is gone."""
        waiting: Deferred[None] = Deferred()
        self.reported.append(waiting)
        self.tell(REPORT)
        await waiting

    def childDataReceived(self, childFD: int, data: bytes) -> None:  # noqa: N802, N803  # Twisted's names
        """What it writes."""
        *lines, rest = (self._rest[childFD] + data).split(b"\n")
        self._rest[childFD] = rest if len(rest) <= MAX_LINE_BYTES else b""
        for line in lines:
            if childFD == REPORTS:
                self._take(line)
            else:
                log_of_child(line, self._number)

    def processEnded(self, reason: Failure) -> None:  # noqa: N802  # Twisted's name
        """It is gone, and has said all that it had to say."""
        self._ended(reason)
        self._told()

    def _take(self, line: bytes) -> None:
        with suppress(ValueError, KeyError, TypeError):  # cut short, where it died
            self.report = read_report(line)
            self.heard = self._clock.seconds()
            self._told()

    def _told(self) -> None:
        waiting, self.reported = self.reported, []
        for one in waiting:
            one.callback(None)


@frozen
class Job:
    """What children of a slot do: serve by ``loaded``, on sockets of their own, beside those of as many slots as ``count`` says."""

    loaded: Loaded
    sockets: Sockets
    announces: bool
    count: int = 1


class Slot:
    """Keeps one child running, until ``stop``."""

    _log = Logger()

    def __init__(self, number: int, job: Job, reactor: Any) -> None:
        self._number = number
        self._job = job
        self._reactor = reactor
        self._child: Child | None = None
        self._settled: Snapshot = ()
        self._starting: IDelayedCall | None = None
        self._started = 0.0
        self._delay = 0.0
        self._announced = False
        self._empty: Deferred[None] | None = None

    def brief(self, loaded: Loaded) -> None:
        """Have children that start from now on serve by ``loaded``."""
        self._job = evolve(self._job, loaded=loaded)

    def start(self) -> None:
        """Start a child."""
        self._starting = None
        files: dict[int, Any] = {WORDS: "w", LOG: "r", COMPLAINTS: "r", REPORTS: "r"}
        files |= {descriptor: one.fileno() for descriptor, one in enumerate(self._job.sockets, FIRST_SOCKET)}
        sockets = range(FIRST_SOCKET, FIRST_SOCKET + len(self._job.sockets))
        announces = self._job.announces and not self._announced
        commission = Commission(self._job.loaded, sockets, announces, self._number, self._job.count)
        self._started = self._reactor.seconds()
        child = Child(self._number, commission, self._reactor, self._ended)
        # The path is the parent's, whatever it was that made it.
        environment = {name: value for name, value in os.environ.items() if name not in _PARENTS_OWN}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        command = [sys.executable, "-P", "-c", "from alluxio_s3.tap import work; work()", f"alluxio-s3 process {self._number}"]
        try:
            self._reactor.spawnProcess(child, sys.executable, command, environment, childFDs=files)
        except OSError as problem:  # the machine is out of processes, descriptors or memory, which passes
            self._again(f"could not be started: {problem.strerror}")
        else:
            self._child = child

    def tell(self, word: bytes) -> None:
        """Send the child a word."""
        if self._child is not None:
            self._child.tell(word)

    def stop(self) -> Deferred[None]:
        """Have the child stop, and no other start. Fires when it is gone."""
        self._empty = Deferred()
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None
        if self._child is None:
            self._empty.callback(None)
        else:
            self._child.tell(STOP)
        return self._empty

    def kill(self) -> None:
        """End the child at once."""
        if self._child is not None:
            self._child.kill()

    async def news(self) -> None:
        """Return when the child has reported anew, if it ever has."""
        if self._child is not None and self._child.report is not None:
            await self._child.news()

    @property
    def serving(self) -> bool:
        """Whether the child serves."""
        return self._child is not None and self._child.report is not None

    @property
    def figures(self) -> Snapshot:
        """What the child counted, and all those before it."""
        report = None if self._child is None else self._child.report
        return merged([self._settled, report.figures if report is not None else ()])

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why the child should get no requests."""
        if self._child is None or self._child.report is None:
            return {f"process {self._number}": "it is not there yet"}
        if self._reactor.seconds() - self._child.heard > SILENT_SECONDS:
            return {f"process {self._number}": "it does not answer"}
        return self._child.report.reasons

    @property
    def warnings(self) -> Mapping[str, str]:
        """What an operator should look at."""
        return {} if self._child is None or self._child.report is None else self._child.report.warnings

    def _ended(self, reason: Failure) -> None:
        child, self._child = self._child, None
        if child is not None and child.report is not None:
            self._announced = True
            self._settled = merged([self._settled, lasting(child.report.figures)])
        if self._empty is not None:
            self._empty.callback(None)
            return
        self._again(f"has ended ({_in_words(reason)})")

    def _again(self, trouble: str) -> None:
        lived = self._reactor.seconds() - self._started
        self._delay = 0.0 if lived >= SETTLED_SECONDS else min(max(2 * self._delay, FIRST_DELAY_SECONDS), LONGEST_DELAY_SECONDS)
        self._log.error(
            "Process {number} {trouble}; the next one starts in {delay:.1f} s", number=self._number, trouble=trouble, delay=self._delay
        )
        self._starting = self._reactor.callLater(self._delay, self.start)


def _in_words(reason: Failure) -> str:
    number = getattr(reason.value, "signal", None)
    if number is not None:
        return signal.Signals(number).name
    return f"status {getattr(reason.value, 'exitCode', None)}"

"""The access log: one line for each request, in a file of its own or among the daemon's events."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Protocol

from attrs import define, evolve, field, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from alluxio_s3.ops.log_forms import REFUSALS, STYLES, Account, Deed, Form, Style, line_of

__all__ = ["AccessLog", "Account", "AuditedLog", "Deed", "EventAccessLog", "FileAccessLog"]

FLUSH_SECONDS = 1.0
FLUSH_LINES = 2000
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class AccessLog(Protocol):
    """Takes the account of each request."""

    def record(self, account: Account) -> None:
        """Write it down."""

    def reopen(self) -> None:
        """The file has been renamed: go on in a new one of its name."""

    def close(self) -> None:
        """Nothing more will come."""


class FileAccessLog:
    """Writes accounts to a file, one line each, a second's worth at a time.

    ``clock`` tells wall time. The file is appended to; ``close`` writes what is left.
    """

    def __init__(self, path: str, clock: IReactorTime, style: Style = STYLES["plain"]) -> None:
        self._path = path
        self._form: Form = style.form
        self._told: Callable[[int], str] = style.time
        self._file = self._opened()
        self._clock = clock
        self._lines: list[str] = []
        self._flushing: IDelayedCall | None = None
        self._second = -1
        self._time = ""

    def record(self, account: Account) -> None:
        """One line."""
        second = int(self._clock.seconds())
        if second != self._second:
            self._second = second
            self._time = self._told(second)
        self._lines.append(self._form(self._time, account))
        if self._flushing is None:
            self._flushing = self._clock.callLater(FLUSH_SECONDS, self._flush)
        elif len(self._lines) >= FLUSH_LINES:
            self._write()

    def reopen(self) -> None:
        """Write what is left, and go on in a file of the same name; or where it was, if that can't be opened."""
        self._write()
        with suppress(OSError):
            before, self._file = self._file, self._opened()
            before.close()

    def close(self) -> None:
        """Write what is left, and let go of the file."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flush()
        self._file.close()

    def _opened(self) -> FileIO:
        return Path(self._path).open("ab", buffering=0)

    def _flush(self) -> None:
        self._flushing = None
        self._write()

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        with suppress(OSError):  # a full disk must not stop the service; the lines of that second are lost
            self._file.write("".join(lines).encode())


@define
class EventAccessLog:
    """Writes accounts to Twisted's log, as events of the namespace ``alluxio_s3.access`` that carry the account."""

    _log: Logger = field(factory=lambda: Logger(namespace="alluxio_s3.access"))

    def record(self, account: Account) -> None:
        """One event."""
        self._log.info("{line}", line=line_of(account), account=account)

    def reopen(self) -> None:
        """The log is another's to reopen."""

    def close(self) -> None:
        """Nothing is held."""


@frozen
class AuditedLog:
    """An access log with an audit log beside it: writes, be they done or not, and whoever was refused. See ``AccessLog``.

    The audit log has a line for the request, and one for each object that its body named.
    """

    access: AccessLog
    audit: AccessLog

    def record(self, account: Account) -> None:
        """See ``AccessLog``."""
        self.access.record(account)
        if account.method not in _READS or account.status in REFUSALS:
            self.audit.record(account)
            for deed in account.deeds or ():
                self.audit.record(evolve(account, raw_target=deed.raw_target, status=deed.status, error=deed.error, deeds=None))

    def reopen(self) -> None:
        """See ``AccessLog``."""
        self.access.reopen()
        self.audit.reopen()

    def close(self) -> None:
        """See ``AccessLog``."""
        self.access.close()
        self.audit.close()

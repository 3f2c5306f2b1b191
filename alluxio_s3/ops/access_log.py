"""The access log: one line for each request, in a file of its own or among the daemon's events."""

from __future__ import annotations

import string
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote_plus

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

FLUSH_SECONDS = 1.0
FLUSH_LINES = 2000

# Query parameters that let in whoever knows them, in lower case.
_SECRETS = frozenset({"awsaccesskeyid", "signature", "x-alluxio-hop", "x-amz-credential", "x-amz-security-token", "x-amz-signature"})


@define
class Account:
    """What is known of a request when it is over.

    ``seconds`` is from the head to the last byte handed to the kernel, ``waited`` from the head to the first; 0: the answer began at once.
    """

    request_id: str
    method: str
    raw_target: str
    peer: str
    action: str = "-"
    user: str = "-"
    status: int = 0
    error: str = "-"
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    waited: float = 0.0


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

    The lines are those of ``EventAccessLog`` behind the time in UTC. ``clock`` tells wall time. The file is appended to; ``close`` writes
    what is left.
    """

    def __init__(self, path: str, clock: IReactorTime) -> None:
        self._path = path
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
            self._time = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._lines.append(f"{self._time} {line_of(account)}\n")
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


def line_of(account: Account) -> str:
    """An account as a line of text, signatures and tokens left out."""
    target = _plain(account.raw_target)
    if "?" in target:
        path, _, query = target.partition("?")
        target = f"{path}?{'&'.join(map(_masked, query.split('&')))}"
    who = f"{account.peer or '-'} {_plain(account.user)}"
    return (
        f'{who} {account.action} "{_plain(account.method)} {target}" {account.status} {account.error}'
        f" in={account.bytes_in} out={account.bytes_out} {account.seconds * 1000:.1f}ms {account.request_id}"
    )


def _plain(text: str) -> str:
    """What a client chose, without what would end a field, or move a terminal's cursor."""
    if text.isprintable() and '"' not in text and " " not in text:
        return text
    return quote(text, safe=string.punctuation.replace('"', ""))


def _masked(parameter: str) -> str:
    name, separator, _ = parameter.partition("=")
    return f"{name}=***" if separator and unquote_plus(name).lower() in _SECRETS else parameter


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

"""What parent and child tell each other, through pipes that nobody else has.

To the child: a ``Commission``, then words, a line each. From it: its log, and reports, a line of JSON each.
"""

from __future__ import annotations

import json
import os
import pickle
import struct
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence

from attrs import frozen
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, eventAsText
from zope.interface import implementer

from alluxio_s3.ops.metrics import Snapshot
from alluxio_s3.ops.totals import from_json, to_json
from alluxio_s3.settings import Loaded

# The descriptors of the child: its words come in at 0, its log goes out at 1, what Python itself complains of at 2.
WORDS, LOG, COMPLAINTS, REPORTS, FIRST_SOCKET = 0, 1, 2, 3, 4

REPORT, RELOAD, REOPEN, STOP, HURRY = b"report", b"reload", b"reopen", b"stop", b"hurry"

_LENGTH = struct.Struct("!I")
_log = Logger()


@frozen
class Commission:
    """What a child is to do: serve by ``loaded`` on ``sockets``, its descriptors; ``announces`` is whether it says where.

    ``number`` is which of the ``count`` children it is.
    """

    loaded: Loaded
    sockets: Sequence[int]
    announces: bool
    number: int = 0
    count: int = 1

    def encode(self) -> bytes:
        """For the pipe: nothing of it, secrets least of all, shows in the list of processes."""
        data = pickle.dumps(self)
        return _LENGTH.pack(len(data)) + data


def read_commission(descriptor: int) -> Commission:
    """What ``Commission.encode`` made. Raises EOFError when the parent is gone."""
    (length,) = _LENGTH.unpack(_read(descriptor, _LENGTH.size))
    commission = pickle.loads(_read(descriptor, length))  # noqa: S301  # from the parent, who could run anything anyway
    assert isinstance(commission, Commission)
    return commission


def encode_reload(loaded: Loaded, but: frozenset[str]) -> bytes:
    """The word for a child to take what has changed in ``loaded``, as ``Renewal.take``."""
    return RELOAD + b" " + b64encode(pickle.dumps((loaded, but)))


def decode_reload(line: bytes) -> tuple[Loaded, frozenset[str]]:
    """What ``encode_reload`` was given."""
    loaded, but = pickle.loads(b64decode(line.removeprefix(RELOAD + b" ")))  # noqa: S301  # as above
    assert isinstance(loaded, Loaded)
    return loaded, but


def _read(descriptor: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = os.read(descriptor, count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


@frozen
class Report:
    """How a child is: its figures, why it should get no requests, and what to look at (see ``Health``)."""

    figures: Snapshot = ()
    reasons: Mapping[str, str] = {}  # frozen
    warnings: Mapping[str, str] = {}

    def encode(self) -> bytes:
        """A line."""
        said = json.dumps({"reasons": dict(self.reasons), "warnings": dict(self.warnings)})
        return b'%s,"figures":%s}\n' % (said.removesuffix("}").encode(), to_json(self.figures).encode())


def read_report(line: bytes) -> Report:
    """What ``Report.encode`` made."""
    fields = json.loads(line)
    return Report(from_json(json.dumps(fields["figures"])), fields["reasons"], fields["warnings"])


@implementer(ILogObserver)
@frozen
class LogToParent:
    """Writes events to ``descriptor``; who reads it is waited for."""

    descriptor: int

    def __call__(self, event: LogEvent) -> None:
        """See ``ILogObserver``."""
        level = event.get("log_level", LogLevel.info)
        text = eventAsText(event, includeTimestamp=False, includeSystem=False)
        data = json.dumps([event.get("log_namespace", ""), level.name, text]).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self.descriptor, data) :]
        except OSError:
            pass  # the parent is gone: who would read it?


def log_of_child(line: bytes, number: int) -> None:
    """Have what a child logged in the parent's log."""
    try:
        namespace, level, text = json.loads(line)
        Logger(namespace).emit(LogLevel.lookupByName(level), "{text}", text=text)
    except (ValueError, TypeError):
        _log.warn("Process {number}: {text}", number=number, text=line.decode(errors="backslashreplace"))

"""Answers that are made in one turn of the event loop, and leave together.

Bytes wake the client that waits for them, and where it sleeps on another processor of the same machine whoever sends them pays for that:
a sixth of what a small request takes (docs/performance.md). So while there are many requests to answer, answers wait for one another: the
first wakes the client, and the others find it awake.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from attrs import define, field
from twisted.logger import Logger

# So many requests at a time make it worth to wait. With fewer, clients would do nothing while the next request is looked at.
FEWEST = 6
# How many answers wait for one another, and how many bytes of them.
MOST = 32
MOST_BYTES = 2 << 20
_KEPT_AS = "_alluxio_s3_outbox"


class Connection(Protocol):
    """Where an answer goes: see ``EagerServer``."""

    waits: Outbox | None

    def abortConnection(self) -> None:
        """See ITCPTransport."""


@define(eq=False)
class Outbox:
    """Holds answers while it ``is_open``. One for an event loop, which opens and closes it."""

    is_open: bool = False
    _held: deque[tuple[Connection, Callable[..., None], tuple[object, ...]]] = field(factory=deque, init=False)
    _bytes: int = field(default=0, init=False)
    _log = Logger()

    def send(self, connection: Connection, size: int, deliver: Callable[..., None], *given: object) -> None:
        """Have ``deliver`` called, which gives ``connection`` some ``size`` bytes: now, or soon. Until then the connection ``waits``."""
        if not self.is_open:
            deliver(*given)
            return
        connection.waits = self
        self._held.append((connection, deliver, given))
        self._bytes += size
        if len(self._held) >= MOST or self._bytes >= MOST_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what is held: before anything that takes its time, or that must come after. What can't be sent ends its connection."""
        self._bytes = 0
        while self._held:
            connection, deliver, given = self._held.popleft()
            connection.waits = None
            try:
                deliver(*given)
            except Exception:  # noqa: BLE001  # whatever it was: others' answers are to go
                self._log.failure("An answer could not be sent")
                connection.abortConnection()

    def close(self) -> None:
        """Send what is held, and hold no more."""
        self.is_open = False
        self.flush()


def outbox_of(reactor: object) -> Outbox:
    """The one of ``reactor``: always the same. It is never open where nobody has ``quicken``-ed its turns."""
    kept = vars(reactor)
    if _KEPT_AS not in kept:
        kept[_KEPT_AS] = Outbox()
    found: Outbox = kept[_KEPT_AS]
    return found

"""Where a connection stands at the event loop: with all others, in its user's line, or in the line of those who drip.

Who drips sends a few bytes at a time and nothing that is whole: thousands of them would be looked at before anybody who asks for something.
In a line (``lines``) they are looked at a few at a time, after everybody else, until what they say is whole or comes in proper pieces.
"""

from __future__ import annotations

from typing import Any

from alluxio_s3.http.back_pressure import PatientChannel
from alluxio_s3.http.lines import DRIPPING

# A piece of so many bytes is a proper one: less than the least that a segment of TCP has to hold (RFC 9293, 3.7.1).
PROPER_BYTES = 512
# Who drips: after so many pieces in a row that are none and bring nothing to its end.
DRIPS = 3


class StandingChannel(PatientChannel):
    """A connection that knows where it stands."""

    # In whose line it stands, unless it drips; None: in none.
    line: str | None = None
    drips = False
    _small = 0

    def stand_in_line(self, user: str) -> None:
        """Be looked at in turn with the other connections of ``user``, where connections can be."""
        stand = getattr(self.transport, "stand_in_line", None)
        if stand is not None and stand(user):
            self.line = user
            self.drips = False

    @property
    def waited_in(self) -> str | None:
        """In whose line a request without a body has waited. Of those that came together only the last has: they had one turn."""
        return None if self._buffer or self._dataBuffer else self.line

    def catch_up(self) -> None:
        """Take what has come and was not looked at yet: before a client is told that nothing has."""
        take = getattr(self.transport, "catch_up", None)
        if take is not None:
            take()

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client."""
        self._small = self._small + 1 if len(data) < PROPER_BYTES else 0
        super().dataReceived(data)
        if (self._small >= DRIPS) is not self.drips:
            self._move()

    def bring_to_end(self) -> None:
        """A head is whole, or a body."""
        self._small = 0

    def _move(self) -> None:
        transport: Any = self.transport
        if self._small >= DRIPS:
            stand = getattr(transport, "stand_in_line", None)
            self.drips = stand is not None and stand(DRIPPING)
        else:
            self.drips = not (transport.leave_line() if self.line is None else transport.stand_in_line(self.line))

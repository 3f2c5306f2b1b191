"""Clients that take no more of what they asked for: a connection whose answer stands still for too long is ended."""

from __future__ import annotations

import fcntl
import struct
import termios
from collections.abc import Collection
from typing import Any

from twisted.internet.interfaces import IReactorTime

from alluxio_s3.http.channel import S3Channel
from alluxio_s3.http.rounds import Rounds
from alluxio_s3.http.sendfile import StandIn

# How often it looks within the time that a client has.
LOOKS = 4


class Stalls:
    """Looks at ``connections`` now and then, and ends those whose client has taken nothing for ``seconds``.

    A client that takes little, however slowly, is left alone: what its machine has acknowledged counts. So is one that waits for us.
    """

    def __init__(self, connections: Collection[S3Channel], clock: IReactorTime, seconds: float) -> None:
        self._connections = connections
        self._clock = clock
        self._seconds = seconds
        self._since: dict[S3Channel, tuple[tuple[int, ...], float]] = {}
        self._rounds = Rounds(self.look, seconds / LOOKS, clock, "clients that stand still")

    def start(self) -> None:
        """Begin to look."""
        self._rounds.start()

    def stop(self) -> None:
        """Look no more."""
        self._rounds.stop()
        self._since = {}

    def look(self) -> None:
        """One round."""
        now = self._clock.seconds()
        since = {}
        for connection in tuple(self._connections):
            state = left_to_take(connection)
            if state is None:
                continue
            before, at = self._since.get(connection, (None, now))
            if before != state:
                at = now
            if now - at >= self._seconds:
                connection.transport.abortConnection()
            else:
                since[connection] = (state, at)
        self._since = since


def left_to_take(connection: S3Channel) -> tuple[int, ...] | None:
    """What of an answer waits for the client to take it, as numbers that change when it does; None if nothing waits for it."""
    transport: Any = connection.transport
    unsent = len(transport.dataBuffer) - transport.offset + transport._tempDataLen  # noqa: SLF001  # FileDescriptor has no word for it
    sender = transport.producer
    if isinstance(sender, StandIn):
        return None if sender.warming else (unsent, sender.sent, _unacknowledged(transport.fileno()))
    if not unsent:
        return None
    requests = connection.requests if connection.streaming is None else (connection.streaming,)
    return unsent, sum(request.bytes_sent for request in requests), _unacknowledged(transport.fileno())


def _unacknowledged(descriptor: int) -> int:
    """The bytes in the kernel's own buffer of a socket: SIOCOUTQ of tcp(7) and unix(7), which is TIOCOUTQ."""
    (count,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))
    return int(count)

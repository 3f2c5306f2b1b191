"""Plain TCP connections that send at once: a write goes to the kernel when it is made, not at the next turn of the reactor.

An answer then costs one system call and no round through the poller. It looks into the buffers
that Twisted's FileDescriptor keeps (``dataBuffer``, ``_tempDataBuffer``, ``_writeDisconnected``, ``_aborting``), and gives
its Port a socket (``_preexistingSocket``);
``tests/http/test_transport.py`` holds this to Twisted's version.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, cast

from attrs import field, frozen
from twisted.internet import main, tcp
from twisted.internet.defer import Deferred, execute
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IPullProducer, IStreamServerEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from alluxio_s3.http.lines import catch_up, leave_line, stand_in_line, step_out_of_line
from alluxio_s3.http.outbox import Outbox
from alluxio_s3.http.sendfile import FileSender
from alluxio_s3.interfaces import IFileBacked
from alluxio_s3.threads import Threads

BACKLOG = 1024
# How many new clients are taken at once.
ACCEPTS = 1
# Where memory is short a read takes less, down to this.
LEAST_READ_BYTES = 4 << 10


class EagerServer(tcp.Server):
    """A connection that a client made."""

    unanswered = False
    """Whether nothing has been sent since it last read."""
    waits: Outbox | None = None
    """Where an answer waits that is made and not sent."""
    # Whether nothing can be sent before hands are shaken, as over TLS.
    _shaking = False
    _in_line = False
    _in_turn = False
    _goes_on = False

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be sent, so that what is sent now keeps its place."""
        return bool(self.connected) and not (
            self._tempDataBuffer
            or self.dataBuffer
            or self._writeDisconnected
            or self.disconnecting
            or self._aborting
            or self.waits
            or self._shaking
            or self.TLS
        )

    def doRead(self) -> Any:
        """See ``IReadDescriptor``."""
        try:
            data = self._received()
        except BlockingIOError:
            return None
        except OSError:
            return main.CONNECTION_LOST
        if not data:
            return main.CONNECTION_DONE
        self.unanswered = True
        self.protocol.dataReceived(data)
        return None

    def _received(self) -> bytes:
        most: int = self.bufferSize
        while True:
            try:
                return self.socket.recv(most)
            except MemoryError:  # there is none for so much at once; for less there may be
                if most <= LEAST_READ_BYTES:
                    raise
                most //= 4

    def writeSomeData(self, data: bytes) -> Any:
        """See FileDescriptor. A producer's turn comes with nothing to write, which is no reason for a system call."""
        return super().writeSomeData(data) if data else 0

    def doWrite(self) -> Any:
        """See ``IWriteDescriptor``. Between two turns of a producer, Twisted's way leaves the poller and comes back: two system calls."""
        producer = self.producer
        if producer is None or self.streamingProducer or not self.idle:
            return super().doWrite()
        self._in_turn, self._goes_on = True, False
        try:
            cast("IPullProducer", producer).resumeProducing()
        finally:
            self._in_turn = False
        if not self._goes_on:
            super().stopWriting()
        return None

    def startWriting(self) -> None:
        """See FileDescriptor."""
        if self._in_turn:
            self._goes_on = True
        else:
            super().startWriting()

    def stopWriting(self) -> None:
        """See FileDescriptor."""
        if self._in_turn:
            self._goes_on = False
        else:
            super().stopWriting()

    def write(self, data: bytes, flags: int = 0) -> None:
        """See ``ITransport``. ``flags`` are send(2)'s, and only advice."""
        self.unanswered = False
        if self.waits:
            self.waits.flush()
        if self.idle:
            try:
                sent = self.socket.send(data, flags)
            except OSError:  # a full socket, or a dead one: the buffered way finds out which
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        super().write(data)

    def write_more(self, data: bytes) -> None:
        """``write`` what more will follow at once."""
        self.write(data, socket.MSG_MORE)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """See ``ITransport``."""
        self.write(b"".join(iovec))

    def end_now(self) -> None:
        """Close, with its descriptor, before this returns. For a connection on which nothing waits to be sent."""
        self.connectionLost(Failure(ConnectionDone()))

    def stand_in_line(self, user: str | None) -> bool:
        """From now on be looked at in turn with the other connections of ``user``, after those of users who ask for little.

        ``user`` is ``lines.DRIPPING`` for those who send a few bytes at a time. False: there is no line.
        """
        stands = stand_in_line(self.reactor, self.fileno(), user)
        self._in_line = self._in_line or stands
        return stands

    def leave_line(self) -> bool:
        """From now on be looked at with all others; whether that is so."""
        self._in_line = not step_out_of_line(self.reactor, self.fileno())
        return not self._in_line

    def catch_up(self) -> None:
        """Read what has come and waits for its turn."""
        catch_up(self.reactor, self)

    def connectionLost(self, reason: Failure) -> None:
        """See ``IReadDescriptor``. An answer that waits goes before the end: the client may still read."""
        if self.waits:
            self.waits.flush()
        if self._in_line:
            self._in_line = False
            self.reactor.removeReader(self)
            self.reactor.removeWriter(self)
            leave_line(self.reactor, self.fileno())
        super().connectionLost(reason)

    def sender(self, channel: Any, threads: Threads, file: IFileBacked, offset: int, count: int) -> FileSender:
        """What sends a range of a file the best way that there is for such connections; see FileSender."""
        return FileSender(self, channel, threads, file, offset, count)


class EagerPort(tcp.Port):
    """Listens for such connections."""

    transport = EagerServer

    def doRead(self) -> None:
        """See ``IReadDescriptor``. Twisted's takes up to a hundred new clients at once, for whom all others would have to wait."""
        self.numberAccepts = min(self.numberAccepts, ACCEPTS)
        with suppress(MemoryError):  # who raises is disconnected, and there are others to come
            super().doRead()


@implementer(IStreamServerEndpoint)
@frozen
class EagerEndpoint:
    """Where to listen: an address and a port (0 for a free one). ``opened`` is a socket that listens there already, to be used."""

    reactor: Any
    interface: str
    port: int
    opened: socket.socket | None = field(default=None, kw_only=True)

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See ``IStreamServerEndpoint``."""
        return execute(self._listen, factory)

    def _listen(self, factory: IProtocolFactory) -> IListeningPort:
        port = self._port(factory)
        if self.opened is not None:
            port._preexistingSocket = self.opened  # noqa: SLF001
        port.startListening()
        return port

    def _port(self, factory: IProtocolFactory) -> EagerPort:
        return EagerPort(self.port, factory, BACKLOG, self.interface, self.reactor)

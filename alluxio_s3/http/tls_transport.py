"""TLS connections in which OpenSSL owns the socket: records go from its hands to the kernel's, with no buffers and no event loop between.

It is the eager transport with another way to read, write, begin and end. Twisted's own TLS passes each byte
through two memory buffers more, which costs as much again as the encryption.

A write that the socket does not take must be repeated with the same bytes, or these and more (SSL_write(3)): what was not
taken therefore stays first in line, in Twisted's buffer or in the file that it comes from. Peers may not renegotiate,
so no write ever waits for a read; a read may wait for a write (the answer to a key update of TLS 1.3).
"""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from typing import Any, Protocol, cast

from attrs import frozen
from cryptography import x509
from twisted.internet import main, tcp
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IProtocolFactory, ISSLTransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from alluxio_s3.http.outbox import outbox_of
from alluxio_s3.http.transport import BACKLOG, EagerEndpoint, EagerPort, EagerServer

# How long the first words may take, and how long the last one may wait for a client that takes nothing.
HANDSHAKE_SECONDS = 30.0
FAREWELL_SECONDS = 5.0
# The most that one turn of the reactor reads from a connection, and the most that it gives to one.
READ_BYTES = 256 << 10
SLICE_BYTES = 256 << 10
# What OpenSSL is given in one call: few calls, and little of a file between the copy and the cipher.
UNIT_BYTES = 64 << 10
# The most that a record holds (RFC 8446, 5.1).
RECORD_BYTES = 16 << 10
# A record of so many bytes is likely to have others behind it.
BULK_BYTES = 4 << 10


class Contexts(Protocol):
    """What gives new connections their certificates; another at any time."""

    @property
    def context(self) -> ssl.SSLContext:
        """That of the next connection."""


@implementer(ISSLTransport)
class TlsServer(EagerServer):
    """A connection that a client made."""

    server: TlsPort
    reactor: Any
    socket: Any  # a plain socket until the client's first byte, an SSLSocket then
    _log = Logger()
    _wrapped = False
    _shaking = True
    _read_waits = False
    _held = False
    _deadline: IDelayedCall | None

    def __init__(self, sock: Any, protocol: Any, client: Any, server: Any, sessionno: int, reactor: Any) -> None:
        super().__init__(sock, protocol, client, server, sessionno, reactor)
        self.setTcpNoDelay(True)
        self._deadline = reactor.callLater(server.patience, self._too_late)

    def getPeerCertificate(self) -> x509.Certificate | None:
        """The certificate that the client has shown, and that was verified, if it has."""
        der = None if self._shaking else self.socket.getpeercert(binary_form=True)
        return None if der is None else x509.load_der_x509_certificate(der)

    def doRead(self) -> Any:
        """See ``IReadDescriptor``."""
        if self._shaking:
            outbox_of(self.reactor).flush()  # hands take longer to shake than many answers to make
            why = self._shake()
            if why is not None or self._shaking:
                return why
        return self._read()

    def doWrite(self) -> Any:
        """See ``IWriteDescriptor``."""
        if self._shaking:
            self.stopWriting()  # it goes on when hands are shaken
            if self.disconnecting:
                if not self._tempDataBuffer:
                    return main.CONNECTION_DONE
                self.startReading()
            return self._shake()
        if self._read_waits:
            self._read_waits = False
            if not self._held:
                self.resumeProducing()
        return super().doWrite()

    def pauseProducing(self) -> None:
        """See ``IPushProducer``."""
        self._held = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """See ``IPushProducer``."""
        self._held = False
        super().resumeProducing()

    def _shake(self) -> Any:
        try:
            if not self._wrapped:
                self._wrap()
            self.socket.do_handshake()
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLWantWriteError:
            self.startWriting()
            return None
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "reason", None)
            if reason and not isinstance(problem, ssl.SSLEOFError):
                self._log.info("{peer} and this daemon do not agree on TLS: {reason}", peer=self.client[0], reason=reason)
            return main.CONNECTION_LOST
        self._shaking = False
        self._no_deadline()
        self.startWriting()
        if self.disconnecting:
            self.stopReading()
        return None

    def _too_late(self) -> None:
        gate = getattr(self.server.factory, "gate", None)
        if gate is not None:
            gate.count("handshake")
        self.abortConnection()

    def _wrap(self) -> None:
        # Where the peer has reset the connection already, wrapping would close the descriptor under the poller. Raises OSError.
        self.socket.getpeername()
        self.socket = self.server.contexts.context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
        )
        self.fileno = self.socket.fileno
        self._wrapped = True

    def _read(self) -> Any:
        buffer = self.server.buffer
        got, why = 0, cast("Any", None)
        try:
            while got <= READ_BYTES - RECORD_BYTES:
                count = self.socket.read(READ_BYTES - got, buffer[got:] if got else buffer)
                if not count:
                    why = main.CONNECTION_DONE
                    break
                got += count
                # What OpenSSL keeps back, no poller would tell of.
                if count < BULK_BYTES and not self.socket.pending():
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLWantWriteError:
            self._read_waits = True
            self.stopReading()  # the poller would tell again and again of what cannot be read yet
            self.startWriting()
        except (OSError, ValueError):  # an end without a word of farewell is one of them
            why = main.CONNECTION_LOST
        if got:
            self.unanswered = True
            self._dataReceived(bytes(buffer[:got]))
        return None if self.disconnected else why

    def give(self, data: bytes | memoryview) -> int:
        """Encrypt and send what the socket takes of ``data``; how much that is. The next call must begin with the rest, and all of it.

        It goes in units, of which OpenSSL takes each whole or, to our knowledge, not at all. Raises ConnectionError when the
        connection is no more.
        """
        given = 0
        try:
            if len(data) <= UNIT_BYTES:
                return self.socket.write(data)  # type: ignore[no-any-return]
            view = memoryview(data)
            while given < len(data):
                given += self.socket.write(view[given : given + UNIT_BYTES])
        except ssl.SSLWantWriteError:
            pass
        except (OSError, ValueError) as problem:
            raise ConnectionAbortedError from problem
        return given

    def writeSomeData(self, data: bytes | memoryview) -> Any:
        """See FileDescriptor."""
        if not data:
            return 0
        try:
            return self.give(memoryview(data)[: self.SEND_LIMIT])
        except ConnectionError:
            return main.CONNECTION_LOST

    def write(self, data: bytes, flags: int = 0) -> None:
        """See ``ITransport``. ``flags`` are send(2)'s, and only advice; here they are of no use."""
        del flags
        self.unanswered = False
        if self.waits:
            self.waits.flush()
        if data and self.idle:
            try:
                given = self.give(data)
            except ConnectionError:  # the buffered way finds out
                given = 0
            if given == len(data):
                return
            data = data[given:]
        tcp.Server.write(self, data)

    def move(self, descriptor: int, offset: int, count: int) -> int:
        """Bytes of a file, as ``sendfile.move``: read and encrypted piece by piece. What the socket refuses is read again."""
        chunk = self.server.chunk
        given, end = 0, min(count, SLICE_BYTES)
        while given < end:
            wanted = min(end - given, UNIT_BYTES)
            got = os.preadv(descriptor, [chunk[:wanted]], offset + given)
            taken = self.give(chunk[:got]) if got else 0
            given += taken
            if taken < wanted:
                if got and not given:
                    raise BlockingIOError
                break
        return given

    def _postLoseConnection(self) -> Any:
        """All has been written: say farewell, without waiting for the client's."""
        try:
            self.socket.unwrap()
        except ssl.SSLWantWriteError:
            if self._deadline is None:
                self._deadline = self.reactor.callLater(FAREWELL_SECONDS, self.abortConnection)
            self.startWriting()
            return None
        except (OSError, ValueError):
            pass
        return main.CONNECTION_DONE

    def _closeWriteConnection(self) -> None:
        """A farewell is the end of what is sent; the socket itself stays, to read."""
        with suppress(OSError, ValueError):
            self.socket.unwrap()

    def connectionLost(self, reason: Failure) -> None:
        """See ``IReadDescriptor``. A farewell is answered."""
        if self.waits:
            self.waits.flush()
        self._no_deadline()
        if not self._shaking and not self.disconnected and reason.check(ConnectionDone):
            self._closeWriteConnection()
        super().connectionLost(reason)

    def _no_deadline(self) -> None:
        if self._deadline is not None:
            deadline, self._deadline = self._deadline, None
            if deadline.active():
                deadline.cancel()


class TlsPort(EagerPort):
    """Listens for such connections; ``contexts`` gives each its certificates. The buffers serve all, one at a time."""

    transport = TlsServer
    _type = "TLS"

    def __init__(self, port: int, factory: IProtocolFactory, interface: str, reactor: Any, contexts: Contexts) -> None:
        super().__init__(port, factory, BACKLOG, interface, reactor)
        self.contexts = contexts
        # None: as the limits of the site have it.
        self.handshake_seconds: float | None = None
        self.buffer = memoryview(bytearray(READ_BYTES))
        self.chunk = memoryview(bytearray(UNIT_BYTES))

    @property
    def patience(self) -> float:
        """How long the first words may take, in seconds."""
        gate = getattr(self.factory, "gate", None)
        return self.handshake_seconds or (gate and gate.limits.head_seconds) or HANDSHAKE_SECONDS


@frozen
class TlsEndpoint(EagerEndpoint):
    """Where to listen for them."""

    contexts: Contexts

    def _port(self, factory: IProtocolFactory) -> TlsPort:
        return TlsPort(self.port, factory, self.interface, self.reactor, self.contexts)

"""Connections to peers: kept open, one request at a time each, and no more bytes in memory than a reader can take.

It speaks just as much HTTP/1.1 as peers answer with: heads with a Content-Length, and a 102 (RFC 2518, 10.1) from one that needs time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from attrs import frozen
from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

# One read of a body takes at most so much, and while any of it waits no more is read: large pieces cost the least for each byte.
READ_BYTES = 256 << 10
MAX_HEAD = 64 << 10
# A body may stand still for so long while somebody wants more of it.
STALL_SECONDS = 4.0


class LinkBroken(Exception):
    """The connection has ended, or the peer says nothing. ``closed``: it ended before there was anything of an answer."""

    def __init__(self, message: str, *, closed: bool = False) -> None:
        super().__init__(message)
        self.closed = closed


@frozen
class Head:
    """The head of an answer: header names in lower case."""

    status: int
    headers: Mapping[str, str]
    length: int


class Link(Protocol):
    """A connection. ``ask``, then ``read`` until all is there; then it can be asked again (``usable``).

    What ``read`` has not given of a body on a plain connection can be left in the socket, for who takes it from there: ``divert``.
    """

    transport: Any
    # Which process of the peer answers it.
    process = ""
    # Whether the transport is the socket itself.
    _at_once = False
    # Called if it ends by itself.
    ended: Callable[[], None] | None = None

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._head = b""
        self._asking: Deferred[Head] | None = None
        self._reading: Deferred[None] | None = None
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._left = 0
        self._paused = False
        self._heard = False
        self._lost = False
        self._timer: IDelayedCall | None = None
        # Who takes the body from the socket, and is told when there is something.
        self._taker: Callable[[], None] | None = None
        self._patience = 0.0

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return not (self._lost or self._asking is not None or self._left or self._held)

    @property
    def lost(self) -> bool:
        """Whether it has ended."""
        return self._lost

    @property
    def left(self) -> int:
        """How many bytes of the body have not come yet."""
        return self._left

    @property
    def bare(self) -> bool:
        """Whether what is left of the body is there as it is: on a plain connection, and nothing of it has been read."""
        return bool(self._left) and not self._held and not self._lost and not ISSLTransport.providedBy(self.transport)

    def divert(self, taker: Callable[[], None]) -> None:
        """Leave what comes in the socket: somebody takes it there, says so (``took``), and is told after ``listen``.

        ``restore`` ends that.
        """
        self._pause()
        self._taker = taker
        self.transport.doRead = self._readable

    def listen(self) -> None:
        """Tell the taker, once, when there is something in the socket, or nothing will come any more."""
        if self._lost:
            self._tell()
            return
        self._wait(STALL_SECONDS)
        self._resume()

    def took(self, count: int) -> None:
        """So many bytes of the body have been taken from the socket."""
        self._left -= count

    def restore(self) -> None:
        """What comes is read again. In the middle of a body the connection is of no more use."""
        if self._taker is None:
            return
        self._taker = None
        if self._left:
            self.abort()
        if not self._lost:
            self._quiet()
            del self.transport.doRead
            self._resume()

    async def ask(self, request: bytes, sign: float, answer: float) -> Head:
        """Send ``request`` and wait for the head of its answer. Raises LinkBroken.

        ``sign`` and ``answer`` are seconds: until there is a sign of life, and from then on until there is an answer.
        """
        if self._lost:
            raise LinkBroken("it is closed", closed=True)
        self._heard = False
        self._head = b""
        self._asking = Deferred(lambda _: self.abort())
        self._patience = answer
        self._wait(sign)
        self._write(request)
        return await self._asking

    def _write(self, request: bytes) -> None:
        """At once, not when the reactor comes round: nothing else waits to be sent, since what was asked before has been answered."""
        sent = 0
        if self._at_once:
            with suppress(OSError):  # a full socket, or a dead one: the transport finds out which
                sent = self.transport.getHandle().send(request)
        if sent < len(request):
            self.transport.write(request[sent:])

    async def read(self) -> bytes:
        """The next piece of the body; empty when there is no more. Raises LinkBroken."""
        if not self._pieces:
            if not self._left:
                return b""
            if self._lost:
                raise LinkBroken("it ended in the middle of a body")
            self._resume()
            self._reading = Deferred(lambda _: self.abort())
            self._wait(STALL_SECONDS)
            await self._reading
        piece = self._pieces.popleft()
        self._held -= len(piece)
        return piece

    def abort(self) -> None:
        """End it."""
        self._lost = True
        self._quiet()
        if self.transport is not None:
            self.transport.abortConnection()

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        """It is there."""
        self._at_once = isinstance(self.transport, Connection)
        self.transport.bufferSize = READ_BYTES
        with suppress(AttributeError, OSError):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        """Bytes of an answer."""
        if self._asking is not None:
            self._head += data
            self._take_heads()
        elif self._left:
            self._take(data)
        else:
            self._fail(LinkBroken("it says more than it was asked"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802  # Twisted's name
        """It is there no more."""
        ended = None if self._lost else self.ended
        self._lost = True
        self._fail(LinkBroken(reason.getErrorMessage(), closed=not self._heard))
        if ended is not None:
            ended()

    def _take_heads(self) -> None:
        while self._asking is not None:
            raw, separator, rest = self._head.partition(b"\r\n\r\n")
            if not separator:
                if len(raw) > MAX_HEAD:
                    self._fail(LinkBroken("its answer makes no sense"))
                return
            self._heard = True
            try:
                head = _parsed(raw)
            except ValueError:
                self._fail(LinkBroken("its answer makes no sense"))
                return
            self._head = rest
            if head.status == 102:
                self._wait(self._patience)
                continue
            asking, self._asking, self._head = self._asking, None, b""
            self._quiet()
            self._left = head.length
            if rest:
                self._take(rest)
            asking.callback(head)

    def _take(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._fail(LinkBroken("it says more than it was asked"))
            return
        self._pieces.append(data)
        self._held += len(data)
        if self._reading is not None:
            reading, self._reading = self._reading, None
            self._quiet()
            reading.callback(None)
        if self._held and self._left:
            self._pause()

    def _readable(self) -> None:
        self._quiet()
        self._pause()
        self._tell()

    def _tell(self) -> None:
        if self._taker is not None:
            self._taker()

    def _pause(self) -> None:
        if not self._paused and not self._lost:
            self._paused = True
            self.transport.pauseProducing()

    def _resume(self) -> None:
        if self._paused and not self._lost:
            self._paused = False
            self.transport.resumeProducing()

    def _fail(self, problem: LinkBroken) -> None:
        self.abort()
        self._left = max(0, self._left)
        asking, self._asking = self._asking, None
        reading, self._reading = self._reading, None
        for waiting in (asking, reading):
            if waiting is not None and not waiting.called:
                waiting.errback(problem)
        self._tell()

    def _wait(self, seconds: float) -> None:
        self._quiet()
        self._timer = self._clock.callLater(seconds, self._late)

    def _late(self) -> None:
        # If it was this process that stood still, what came meanwhile has not been read yet: a turn of the reactor does that.
        self._timer = self._clock.callLater(0, self._fail_silent)

    def _fail_silent(self) -> None:
        self._timer = None
        self._fail(LinkBroken("it says nothing"))

    def _quiet(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            with suppress(error.AlreadyCalled, error.AlreadyCancelled):
                timer.cancel()


def _parsed(raw: bytes) -> Head:
    """Raises ValueError."""
    first, *lines = raw.decode("latin-1").split("\r\n")
    version, status, *_ = first.split(" ")
    if version != "HTTP/1.1":
        raise ValueError(first)
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    length = int(headers.get("content-length", "0"))
    if length < 0 or "transfer-encoding" in headers:
        raise ValueError(first)
    return Head(int(status), headers, length)

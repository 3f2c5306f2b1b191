"""Bytes from and to DataNodes, with back-pressure on both ways."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import cast

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer, IResponse
from zope.interface import implementer

# So much waits for a reader that is slow before the connection is held back.
_MOST_BUFFERED = 512 << 10


class Inflow(Protocol):
    """The body of an answer, piece by piece. ``stall`` seconds without a byte raise TimeoutError (defer's)."""

    def __init__(self, clock: IReactorTime, stall: float) -> None:
        self._clock = clock
        self._stall = stall
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._held = False
        self._ended: Failure | None = None
        self._waiting: Deferred[None] | None = None

    async def all(self) -> bytes:
        """Everything to the end, for what is small."""
        pieces = []
        try:
            while data := await self.next():
                pieces.append(data)
        finally:
            self.abort()
        return b"".join(pieces)

    async def next(self) -> bytes:
        """What has arrived, one byte at least; nothing at the end. Raises what the connection was lost for."""
        while not self._pieces:
            if self._ended is not None:
                if self._ended.check(ResponseDone):
                    return b""
                self._ended.raiseException()
            waiting: Deferred[None] = Deferred()
            self._waiting = waiting
            try:
                await waiting.addTimeout(self._stall, self._clock)
            finally:
                self._waiting = None
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if self._held and self._ended is None:
            self._held = False
            self._producer().resumeProducing()
        return data

    def abort(self) -> None:
        """Take no more, and close the connection if something is still to come."""
        self._pieces.clear()
        if self._ended is None:
            self._producer().stopProducing()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= _MOST_BUFFERED and not self._held:
            self._held = True
            self._producer().pauseProducing()
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802
        self._ended = reason
        self._wake()

    def _producer(self) -> IPushProducer:
        return cast(IPushProducer, self.transport)

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.called:
            self._waiting.callback(None)


def inflow(response: IResponse, clock: IReactorTime, stall: float) -> Inflow:
    """The body of ``response``."""
    body = Inflow(clock, stall)
    response.deliverBody(body)
    return body


@implementer(IBodyProducer)
@define(eq=False)
class Outflow:
    """The body of a request, which ``send`` feeds. Its length need not be known."""

    clock: IReactorTime
    stall: float
    length: object = field(default=UNKNOWN_LENGTH, init=False)
    _consumer: IConsumer | None = field(default=None, init=False)
    _paused: bool = field(default=False, init=False)
    _stopped: bool = field(default=False, init=False)
    _done: Deferred[None] = field(factory=Deferred, init=False)
    _waiting: list[Deferred[None]] = field(factory=list, init=False)

    @property
    def begun(self) -> bool:
        """Whether the head of the request has been sent."""
        return self._consumer is not None

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:  # noqa: N802
        self._consumer = consumer
        self._wake()
        return self._done

    def pauseProducing(self) -> None:  # noqa: N802
        self._paused = True

    def resumeProducing(self) -> None:  # noqa: N802
        self._paused = False
        self._wake()

    def stopProducing(self) -> None:  # noqa: N802
        self.stop()

    async def send(self, data: bytes) -> bool:
        """Give ``data`` on as soon as the connection takes more. False if it takes no more."""
        if not await self._ready():
            return False
        assert self._consumer is not None
        if data:  # a chunk of no bytes is the end
            self._consumer.write(data)
        return await self._ready()

    async def finish(self) -> None:
        """Say that this was all."""
        if await self._ready():
            self._done.callback(None)

    def stop(self) -> None:
        """Send no more: the request has ended, one way or the other."""
        self._stopped = True
        self._wake()

    async def _ready(self) -> bool:
        while not self._stopped and (self._consumer is None or self._paused):
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            try:
                await waiting.addTimeout(self.stall, self.clock)
            finally:
                with suppress(ValueError):
                    self._waiting.remove(waiting)
        return not self._stopped

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.called:
                waiting.callback(None)

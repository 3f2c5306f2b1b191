"""The bodies of requests and answers, as they flow: at the pace of whoever takes them, with little held."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from alluxio_s3.threads import Threads
from alluxio_s3.ufs.s3.inlet import Inlet, inlet

# With so many bytes waiting the store is asked to stop; what is on its way, at most one read of the transport, comes on top.
_HIGH_BYTES = 256 << 10
_LOW_BYTES = 64 << 10
_PIECE_BYTES = 256 << 10
# A body that is larger than that comes by an inlet.
_SMALL_BYTES = 128 << 10


class BrokenOff(Exception):
    """An answer ended before its end, or brought nothing for too long."""


class Flow(Protocol):
    """The body of an answer, of ``length`` bytes; if that is None, to its end, or that of the connection (of a document its parser knows).

    ``pieces`` gives it; ``stop`` gives it up.
    """

    def __init__(self, clock: IReactorTime, length: int | None, idle: float, ended: Callable[[], object]) -> None:
        self._clock = clock
        self.length = length
        self._idle = idle
        self._ended = ended
        self._received = 0
        self._held: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._over: Failure | None = None
        self._inlet: Inlet | None = None
        # Who waits for more, since when, and what looks whether that is too long ago.
        self._wanted: Deferred[None] | None = None
        self._since = 0.0
        self._watch: IDelayedCall | None = None

    def connectionMade(self) -> None:  # noqa: N802
        if self.length is not None and self.length > _SMALL_BYTES:
            self._inlet = inlet(getattr(self._proxy, "_producer", None), self.dataReceived, self.length)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        self._received += len(data)
        self._held.append(data)
        self._size += len(data)
        # Most often it is taken at once.
        self._wake()
        # At the end of the body the connection goes back to the pool, where it must not be paused.
        more = self._over is None and self.length is not None and self._received < self.length
        if more and self._size >= _HIGH_BYTES and not self._paused:
            self._paused = True
            self._proxy.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802
        if self._over is None:
            self._over = reason
            if self._inlet is not None:
                self._inlet.close()
            if self._watch is not None:
                self._watch.cancel()
                self._watch = None
            self._ended()
            self._wake()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body. Raises BrokenOff when it is not whole; what had come by then has been given."""
        while True:
            if not self._held:
                if self._over is not None:
                    break
                await self._more()
                continue
            data = self._held.popleft()
            if self._held and len(data) < _PIECE_BYTES:
                taken, size = [data], len(data)
                while self._held and size < _PIECE_BYTES:
                    size += len(self._held[0])
                    taken.append(self._held.popleft())
                data = b"".join(taken)
            self._size -= len(data)
            if self._paused and self._size <= _LOW_BYTES:
                self._paused = False
                self._proxy.resumeProducing()
            yield data
        if self.length != self._received if self.length is not None else not self._over.check(ResponseDone, PotentialDataLoss):
            raise BrokenOff("the answer broke off")

    def stop(self) -> None:
        """Let go of the connection if the body has not come to its end."""
        self._held.clear()
        if self._over is None:
            # The proxy that Twisted gives to protocols can only close in peace, which over TLS would wait for the other side.
            transport = getattr(self._proxy, "_producer", None)
            if transport is not None:
                transport.abortConnection()
            if self._over is None:
                self.connectionLost(Failure(BrokenOff("given up")))

    @property
    def _proxy(self) -> Any:
        return self.transport

    async def _more(self) -> None:
        self._wanted = Deferred()
        self._since = self._clock.seconds()
        if self._watch is None:
            self._watch = self._clock.callLater(self._idle, self._look)
        try:
            await self._wanted
        finally:
            self._wanted = None

    def _look(self) -> None:
        """Give up if somebody has waited for too long. One look serves many waits: to begin and end one for each costs more."""
        self._watch = None
        if self._wanted is None:
            return
        left = self._since + self._idle - self._clock.seconds()
        if left > 0:
            self._watch = self._clock.callLater(left, self._look)
        else:
            self.stop()

    def _wake(self) -> None:
        if self._wanted is not None:
            wanted, self._wanted = self._wanted, None
            wanted.callback(None)


@implementer(IBodyProducer)
@define(eq=False)
class Sending:
    """The body of a request, read piece by piece by ``read(offset, count)``, which may block; ``moved`` is called as it goes out."""

    length: int
    _read: Callable[[int, int], bytes]
    _threads: Threads
    _moved: Callable[[], object]
    _resumed: Deferred[None] | None = field(default=None, init=False)
    _going: Deferred[None] | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:  # noqa: N802
        self._going = Deferred.fromCoroutine(self._send(consumer))
        told: Deferred[None] = Deferred(lambda _: self.stopProducing())

        def end(result: object) -> None:
            if not self._stopped:
                told.callback(result)  # type: ignore[arg-type]  # a Failure, or None

        _ = self._going.addBoth(end)
        return told

    def pauseProducing(self) -> None:  # noqa: N802
        if self._resumed is None:
            self._resumed = Deferred()

    def resumeProducing(self) -> None:  # noqa: N802
        if self._resumed is not None:
            resumed, self._resumed = self._resumed, None
            resumed.callback(None)

    def stopProducing(self) -> None:  # noqa: N802
        self._stopped = True
        self.resumeProducing()
        if self._going is not None:
            self._going.cancel()

    async def _send(self, consumer: IConsumer) -> None:
        offset = 0
        try:
            while offset < self.length and not self._stopped:
                data = await self._threads.run(self._read, offset, min(_PIECE_BYTES, self.length - offset))
                if not data:
                    raise EOFError("the body is shorter than it was")
                if self._resumed is not None:
                    await self._resumed
                if self._stopped:
                    return
                offset += len(data)
                consumer.write(data)
                self._moved()
        except CancelledError:
            return


@define(eq=False)
class Patience:
    """Gives up a wait when nothing has moved for ``seconds``; ``left`` is what remains of them after it."""

    clock: IReactorTime
    left: float
    _since: float = field(init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    ran_out: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._since = self.clock.seconds()

    def moved(self) -> None:
        """Something has moved: begin anew."""
        self._since = self.clock.seconds()

    def watch(self, waiting: Deferred[Any]) -> None:
        """Cancel ``waiting`` when patience runs out."""
        rest = self._since + self.left - self.clock.seconds()
        if rest <= 0:
            self.ran_out = True
            waiting.cancel()
        else:
            self._timer = self.clock.callLater(rest, self.watch, waiting)

    def end(self) -> float:
        """Stop watching; what is left."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        now = self.clock.seconds()
        self.left, self._since = max(0.0, self.left - (now - self._since)), now
        return self.left

"""The body of a request on its way in, held back while nobody reads it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from alluxio_s3.http.limits.rates import Pace
from alluxio_s3.interfaces import IRequestBody
from alluxio_s3.s3.errors import S3Error

# What may wait unread before the client is held back, and the most that one read gives.
HIGH_WATER = 256 << 10


@implementer(IRequestBody)
class RequestBody:
    """``IRequestBody`` fed by a channel.

    ``hold`` and ``release`` stop and restart the bytes from the client, ``catch_up`` takes those that have come and were not looked at;
    ``ask`` answers ``Expect: 100-continue``.
    A client that sends nothing for ``stall_seconds`` (None: however long) while it is waited for gets RequestTimeout.
    ``pace`` is how fast it may be read (None: as it comes).
    """

    def __init__(
        self,
        length: int | None,
        clock: IReactorTime,
        stall_seconds: float | None,
        *,
        hold: Callable[[], None],
        release: Callable[[], None],
        catch_up: Callable[[], None],
        ask: Callable[[], None] | None,
    ) -> None:
        self.length = length
        self.received = 0
        self.complete = length == 0
        self.pace: Pace | None = None
        self._pieces: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._held = False
        self._discarding = False
        self._error: S3Error | None = None
        self._reader: Deferred[None] | None = None
        self._stall: IDelayedCall | None = None
        self._clock = clock
        self._stall_seconds = stall_seconds
        self._hold, self._release, self._ask = hold, release, ask
        self.catch_up = catch_up

    @property
    def unasked(self) -> bool:
        """Whether the client still waits for ``100 Continue`` and so may never send the body."""
        return self._ask is not None

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for the client to send more."""
        return self._reader is not None

    async def read(self) -> bytes:
        """The next bytes; empty at the end. See ``IRequestBody``."""
        if self._ask is not None:
            ask, self._ask = self._ask, None
            if not self.received:
                ask()
        if not self._pieces and not self.complete and self._error is None:
            await self._more()
        if self._pieces:
            taken = self._take()
            if self.pace is not None:
                await self.pace.wait(len(taken))
            return taken
        if self._error is not None:
            raise self._error
        return b""

    def deliver(self, data: bytes) -> None:
        """Bytes from the client."""
        self.received += len(data)
        if self._discarding:
            return
        self._pieces.append(data)
        self._waiting_bytes += len(data)
        if self._reader is not None:
            self._wake()
        elif self._waiting_bytes >= HIGH_WATER and not self._held:
            self._held = True
            self._hold()

    def end(self) -> None:
        """The last byte has been delivered."""
        self.complete = True
        self._expect_no_more()
        self._wake()

    def fail(self, error: S3Error) -> None:
        """No more will come."""
        if not self.complete and self._error is None:
            self._error = error
            self._expect_no_more()
            self._wake()

    def discard(self) -> None:
        """Nobody will read the rest: let it come and forget it."""
        self._discarding = True
        self._expect_no_more()
        self._pieces.clear()
        self._waiting_bytes = 0
        self._let_go()

    def _take(self) -> bytes:
        pieces, size = [], 0
        while self._pieces and size + len(self._pieces[0]) <= HIGH_WATER:
            piece = self._pieces.popleft()
            size += len(piece)
            pieces.append(piece)
        if not pieces:
            piece = self._pieces.popleft()
            self._pieces.appendleft(piece[HIGH_WATER:])
            pieces, size = [piece[:HIGH_WATER]], HIGH_WATER
        self._waiting_bytes -= size
        if self._waiting_bytes < HIGH_WATER:
            self._let_go()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _let_go(self) -> None:
        if self._held:
            self._held = False
            self._release()

    async def _more(self) -> None:
        self._reader = Deferred(lambda _: None)
        if self._stall_seconds is not None:
            # It stays for the next read: one that is put off costs nothing, and one for each piece of a body that drips would be much.
            if self._stall is None:
                self._stall = self._clock.callLater(self._stall_seconds, self._stalled)
            else:
                self._stall.reset(self._stall_seconds)
        try:
            await self._reader
        finally:
            self._reader = None

    def _wake(self) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.callback(None)

    def _stalled(self) -> None:
        self._stall = None
        waiting = self._reader
        if waiting is not None:
            self.catch_up()
            if self._reader is waiting:
                self.fail(S3Error("RequestTimeout"))

    def _expect_no_more(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

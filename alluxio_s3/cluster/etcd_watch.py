"""The stream of a watch of etcd: lines of JSON that come as long as the connection does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

MAX_LINE_BYTES = 64 << 20


class Stream(Protocol):
    """Hands each line of a response's body to ``take``; when that raises, it is over."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._rest: list[bytes] = []
        self._length = 0
        self._ended: Deferred[None] = Deferred(lambda _: self._close())
        self._over = False

    async def run(self, response: Any) -> None:
        """Read on until it is over. Raises ConnectionError, or what ``take`` raised."""
        response.deliverBody(self)
        await self._ended

    def end(self, why: str) -> None:
        """Have it be over."""
        self._finish(ConnectionError(why))

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        """A piece of the body."""
        head, *lines = data.split(b"\n")
        self._rest.append(head)
        self._length += len(head)
        for line in lines:
            whole, self._rest, self._length = b"".join(self._rest), [line], len(line)
            if whole.strip() and not self._over:
                self._hand(whole)
        if self._length > MAX_LINE_BYTES:
            self.end(f"a line of more than {MAX_LINE_BYTES} bytes")

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802  # Twisted's name
        """It has ended."""
        self._finish(reason.value if isinstance(reason.value, Exception) else ConnectionError())

    def _hand(self, line: bytes) -> None:
        try:
            self._take(line)
        except Exception as problem:  # noqa: BLE001  # whoever runs it raises it
            self._finish(problem)

    def _finish(self, problem: Exception) -> None:
        if not self._over:
            self._close()
            self._ended.errback(problem)

    def _close(self) -> None:
        self._over = True
        if self.transport is not None:
            self.transport.loseConnection()

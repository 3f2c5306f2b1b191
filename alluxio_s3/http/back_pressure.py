"""Clients that ask and ask and take no answer: the next request begins when the answer before it has gone, or is little.

twisted.web goes on with what was sent together, and so keeps all of the answers in memory. It looks into what HTTPChannel keeps to itself
(``_waitingForTransport``, ``_handlingRequest``, ``_networkProducer``, ``_dataBuffer``, ``_optimisticEagerReadSize``);
``tests/http/test_channel.py`` holds this to Twisted's version.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

# What comes meanwhile is put together from here on: its size is counted anew with each piece.
FEW_PIECES = 64


class PatientChannel(HTTPChannel):
    """A connection that takes up a request when its client has taken what was answered before."""

    _next: Callable[[], object] | None = None

    def when_taken(self, go_on: Callable[[], object]) -> None:
        """Call ``go_on`` as soon as the connection has room for more."""
        if self._waitingForTransport:
            self._next = go_on
        else:
            go_on()

    def requestDone(self, request: Any) -> None:
        """A request has been answered. Till the next one may begin the connection counts as busy with it."""
        done = partial(super().requestDone, request)
        if self.persistent:
            self.when_taken(done)
        else:
            done()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client has gone: there is no next request."""
        self._next = None
        super().connectionLost(reason)

    def resumeProducing(self) -> None:
        """The connection has room again."""
        super().resumeProducing()
        if self._next is not None:
            go_on, self._next = self._next, None
            go_on()

    def rawDataReceived(self, data: bytes) -> None:
        """Bytes of a body, or what comes while a request is under way: no more of that than a little is read."""
        if len(self._dataBuffer) > FEW_PIECES:
            self._dataBuffer = [b"".join(self._dataBuffer)]
        super().rawDataReceived(data)
        if self._handlingRequest and self._waitingForTransport and sum(map(len, self._dataBuffer)) > self._optimisticEagerReadSize:
            self._networkProducer.pauseProducing()

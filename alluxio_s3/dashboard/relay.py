"""The way of the pages to S3: requests under ``/s3`` of the admin port go on to the daemon's own S3 endpoint, which answers them.

A page may only ask its own origin without more ado, and this is how it gets to S3 whatever that serves other origins. The request
is any other there: identity, policy, limits and log are those of the S3 endpoint, and there is nothing here that could pass them by. What
is changed of its head:

- ``/s3`` goes from the target: the page signs what is behind it. ``Host`` stays: a signature is over the name that the client
  used, and S3 verifies it over the name that it is told.
- ``X-S3-Authorization`` becomes ``Authorization``; what was in that, and cookies, are for the door of the admin port, and stay here.
- Each request has a connection of its own, so that where its answer ends this connection ends, and bytes pass both ways unread.

A request must bring ``X-S3-Authorization``, if only an empty one. No link, form, image or page of another origin can send it:
what is in a bucket is never shown as a page of this origin, and no other page can ask in the name of who looks at this one.

Beside ``http/channel`` this is the module that touches what HTTPChannel keeps to itself (``_command``, ``_path``, ``_version``,
``_networkProducer``); ``tests/dashboard/test_relay.py`` holds it to Twisted's version.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request

PREFIX = b"/s3"
AUTHORIZATION = b"x-s3-authorization"
# Those of the door, and those of one connection (RFC 9110, 7.6.1).
_LEFT_OUT = frozenset({AUTHORIZATION, b"authorization", b"cookie", b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade"})
# What a request to the pages themselves may bring: only the login has a form, and Twisted collects a body before anybody looks at it.
MAX_BODY_BYTES = 16 << 10
# The S3 endpoint as it is now; None while there is none.
Upstream = Callable[[], IStreamClientEndpoint | None]
Knows = Callable[[Request], bool]


class AdminChannel(HTTPChannel):
    """A connection to the admin port. ``upstream`` and ``knows`` are the factory's (see ``channels``)."""

    # Longer than any presigned URL.
    MAX_LENGTH = 16384
    upstream: Upstream
    knows: Knows
    length: int | None
    _relay: Relay | None = None
    _version: Any
    _command: Any
    _path: Any
    _networkProducer: Any

    def allHeadersReceived(self) -> None:
        """The head of a request is complete: those for S3 go on before their body has come."""
        if self._path.partition(b"?")[0] == PREFIX or self._path.startswith(PREFIX + b"/"):
            self._begin_relay(self.requests[-1])
        elif self.length is None or self.length > MAX_BODY_BYTES:
            self._take_over().refuse(b"413 Content Too Large", b"Nothing here takes so much.")
        else:
            super().allHeadersReceived()

    def allContentReceived(self) -> None:
        """The whole request has come."""
        if self._relay is None:
            super().allContentReceived()
        else:  # it has no body, and nothing after it is read as a request
            self.setRawMode()

    def rawDataReceived(self, data: bytes) -> None:
        """Bytes of a body."""
        if self._relay is None:
            super().rawDataReceived(data)
        else:
            self._relay.forward(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client has gone."""
        if self._relay is not None:
            self._relay.end()
        super().connectionLost(reason)

    def _begin_relay(self, request: Any) -> None:
        request.method, request.uri, request.clientproto = self._command, self._path, self._version
        request.parseCookies()
        relay = self._take_over()
        if not self.knows(request):
            relay.refuse(b"401 Unauthorized", b"Log in at /login.")
        elif not request.requestHeaders.hasHeader(AUTHORIZATION):
            relay.refuse(b"403 Forbidden", b"Only the pages of this port may ask here: X-S3-Authorization is missing.")
        else:
            endpoint = self.upstream()
            if endpoint is None:
                relay.refuse(b"503 Service Unavailable", b"S3 is not served now.")
            else:
                relay.connect(endpoint, head_of(request))

    def _take_over(self) -> Relay:
        """What comes from now on is no request to the pages."""
        self.persistent = False
        self.setTimeout(None)
        self._networkProducer.unregisterProducer()
        self._relay = Relay(self._networkProducer)
        return self._relay


class Relay(Protocol):
    """The connection to S3 for one request, and the client's ``transport``: each reads only as fast as the other takes it."""

    transport: Any

    def __init__(self, client: Any) -> None:
        self._client = client
        self._head = b""
        self._connecting: Deferred[Any] | None = None
        self._over = False

    def connect(self, endpoint: IStreamClientEndpoint, head: bytes) -> None:
        """Reach ``endpoint``, and send ``head`` and whatever is forwarded."""
        self._head = head
        self._client.pauseProducing()
        self._connecting = endpoint.connect(Factory.forProtocol(lambda: self))
        _ = self._connecting.addErrback(self._unreached)

    def forward(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._over:
            return
        if self.transport is None:
            self._head += data  # of the read that brought the head: there is no more before the endpoint is reached
        else:
            self.transport.write(data)

    def refuse(self, status: bytes, why: bytes) -> None:
        """Answer here."""
        self._over = True
        lines = (b"HTTP/1.1 " + status, b"Content-Type: text/plain; charset=utf-8", b"Content-Length: %d" % (len(why) + 1))
        self._client.write(b"\r\n".join((*lines, b"Cache-Control: no-store", b"Connection: close", b"", why + b"\n")))
        self._client.loseConnection()

    def end(self) -> None:
        """The client has gone: so does the request."""
        if self._connecting is not None and self.transport is None:
            self._connecting.cancel()
        if self.transport is not None and not self._over:
            self.transport.abortConnection()

    def connectionMade(self) -> None:
        """S3 is reached."""
        self.transport.registerProducer(self._client, True)
        self._client.registerProducer(self.transport, True)
        self.transport.write(self._head)
        self._head = b""
        self._client.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the answer."""
        self._client.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """S3 has answered, or cut its answer."""
        self._over = True
        self._client.unregisterProducer()
        if reason.check(ConnectionDone):
            self._client.loseConnection()
        else:
            self._client.abortConnection()

    def _unreached(self, reason: Failure) -> None:
        if not reason.check(CancelledError):
            self.refuse(b"502 Bad Gateway", b"The S3 endpoint does not take connections from here: " + reason.getErrorMessage().encode())
            self._client.resumeProducing()


def head_of(request: Any) -> bytes:
    """The head that S3 gets for ``request``."""
    target = request.uri[len(PREFIX) :]
    if not target.startswith(b"/"):
        target = b"/" + target
    lines = [b"%s %s HTTP/1.1" % (request.method, target)]
    for name, values in request.requestHeaders.getAllRawHeaders():
        if name.lower() not in _LEFT_OUT:
            lines += [name + b": " + value for value in values]
    lines += [b"Authorization: " + value for value in request.requestHeaders.getRawHeaders(AUTHORIZATION, []) if value]
    return b"\r\n".join((*lines, b"Connection: close", b"", b""))


def channels(upstream: Upstream, knows: Knows) -> Callable[[], AdminChannel]:
    """What makes connections to the admin port, for its site."""
    return partial(_channel, upstream, knows)


def _channel(upstream: Upstream, knows: Knows) -> AdminChannel:
    channel = AdminChannel()
    channel.upstream, channel.knows = upstream, knows
    return channel

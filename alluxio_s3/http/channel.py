"""The connection: strict framing above twisted.web, and requests that begin at their headers.

twisted.web collects a whole body, on disk if it is large, and answers ``Expect: 100-continue``
before anybody has looked at the request. Here a request is dispatched when its headers are complete
and its body flows to whoever reads it. Only this module and ``back_pressure`` touch what HTTPChannel and
Request keep to themselves (``_command``, ``_path``, ``_version``, ``_savedTimeOut``, ``_networkProducer``,
``_respondToBadRequestAndDisconnect``); ``tests/http/test_channel.py`` holds them to Twisted's version.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.server import Request

from alluxio_s3.http.body import HIGH_WATER, RequestBody
from alluxio_s3.http.limits.gate import RETRY_AFTER
from alluxio_s3.http.limits.rates import Pace
from alluxio_s3.http.sendfile import Crowd
from alluxio_s3.http.standing import StandingChannel
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.target import Target

if TYPE_CHECKING:
    from alluxio_s3.http.plain import PlainRequest
    from alluxio_s3.http.site import S3Site

# The rest of a body that an early answer left unread is swallowed up to here; past it the connection closes.
SWALLOW_BYTES = 1 << 20
LINGER_SECONDS = 3.0
MAX_HEADER_BYTES = 64 << 10
# What one read from a connection takes at most: while a body flows, a piece as large as RequestBody holds.
READ_BYTES = 64 << 10
BODY_READ_BYTES = HIGH_WATER
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class S3Channel(StandingChannel):
    """One connection of a client."""

    site: S3Site
    transport: ITCPTransport
    MAX_LENGTH = 16384
    totalHeadersSize = MAX_HEADER_BYTES
    maxHeaders = 200
    # When it last asked for something: how many others had before.
    seen = 0
    secure = False
    # How fast its answer may go; None: at any pace.
    pace: Pace | None = None
    _broken = False
    _turned_away = False
    # A request beside Twisted's, while its answer is streamed.
    streaming: PlainRequest | None = None
    _peer: str | None = None
    _sending: Deferred[None] | None = None

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client: a whole plain request, perhaps, for which there is a short way."""
        if (
            data[-4:] == b"\r\n\r\n"
            and not self.requests
            and not self._handlingRequest
            and self.line_mode
            and not self._buffer
            and not self._broken
            and getattr(self.transport, "idle", False)
            and self.site.fast.serve(self, data)
        ):
            self.resetTimeout()
            self.seen = self.site.next_seen()
            return
        self.site.outbox.flush()
        if not self.drips:
            self.site.crowd.ask()
        if self._turned_away:
            self._turned_away = False
            self.refuse(S3Error("SlowDown", headers={"Retry-After": RETRY_AFTER}))
            return
        super().dataReceived(data)
        if self.line_mode and not self._broken and (self._buffer or self.requests):
            self.site.arrivals.head_begins(self)

    @property
    def crowd(self) -> Crowd:
        """Who else wants something of the site."""
        return self.site.crowd

    @property
    def peer(self) -> str:
        """The client's address."""
        if self._peer is None:
            self._peer = getattr(self.transport.getPeer(), "host", "")
        return self._peer

    def occupy(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """``coroutine`` sends an answer, beside Twisted's requests, and calls ``vacate``: what comes in meanwhile waits.

        It is cancelled when the client goes, and ends the connection if it fails.
        """
        self._savedTimeOut = self.setTimeout(None)
        self._handlingRequest = True
        self.setRawMode()
        sending = Deferred.fromCoroutine(coroutine).addErrback(self._failed)
        if not sending.called:
            self._sending = sending

    def vacate(self) -> None:
        """That answer has gone out: go on as after any other."""
        self._sending = None
        self.when_taken(self._vacated)

    def _vacated(self) -> None:
        self._handlingRequest = False
        if not self.site.keep_alive:
            self.loseConnection()
            return
        if self._savedTimeOut:
            self.setTimeout(self._savedTimeOut)
        data, self._dataBuffer = b"".join(self._dataBuffer), []
        self._networkProducer.resumeProducing()
        self.setLineMode(data)

    def postpone(self, turn: Coroutine[Any, Any, None], data: bytes) -> None:
        """Take ``data``, which is a whole request, up again when ``turn`` returns."""
        self.occupy(self._take_up(turn, data))

    async def _take_up(self, turn: Coroutine[Any, Any, None], data: bytes) -> None:
        await turn
        self._sending = None
        self.persistent = True  # what came before the end of the site is still answered
        self._handlingRequest = False
        if self._savedTimeOut:
            self.setTimeout(self._savedTimeOut)
        later, self._dataBuffer = b"".join(self._dataBuffer), []
        self._networkProducer.resumeProducing()
        self.setLineMode(data)
        if later:
            self.dataReceived(later)

    def _failed(self, reason: Failure) -> None:
        if not reason.check(CancelledError):
            self._log.failure("A connection is ended", reason)
        if getattr(self.transport, "connected", False):  # whoever cancelled it, nobody else would answer
            self.transport.abortConnection()

    @property
    def busy(self) -> bool:
        """Whether a request is under way, or an answer has not gone out whole."""
        under_way = self._handlingRequest or any(request.begun for request in self.requests)
        transport = self.transport
        return under_way or bool(
            getattr(transport, "dataBuffer", b"") or getattr(transport, "_tempDataBuffer", ()) or getattr(transport, "waits", None)
        )

    @property
    def idle(self) -> bool:
        """Whether it can be closed and nobody loses an answer."""
        return not self.busy and not self._turned_away

    def close_idle(self) -> None:
        """Close at once, for another's sake: not when the reactor comes round, since there may be no descriptors left till then."""
        getattr(self.transport, "end_now", self.loseConnection)()

    def turn_away(self) -> None:
        """There is no room: answer that, and close, when the client asks for something."""
        self._broken = self._turned_away = True

    def end(self) -> None:
        """Close when the request that is under way, if one is, has been answered."""
        self.persistent = False
        if not self._handlingRequest and not any(request.begun for request in self.requests):
            self.loseConnection()

    def connectionMade(self) -> None:
        """A client has come."""
        self.secure = self.isSecure()
        self.seen = self.site.next_seen()
        super().connectionMade()
        self.site.connections.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client has gone."""
        self.site.connections.discard(self)
        self.site.arrivals.head_ends(self)
        if self._sending is not None:
            sending, self._sending = self._sending, None
            sending.cancel()
        super().connectionLost(reason)

    def lineReceived(self, line: bytes) -> None:
        """A line of a request's head. Folded headers (RFC 9112, 5.2) and bare CRs are refused."""
        if self._broken:
            return
        if line[:1] in (b" ", b"\t") or b"\r" in line:
            self.refuse(S3Error("InvalidRequest", "The request is not well-formed HTTP."))
            return
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line that is too long."""
        del line
        self.refuse(S3Error("RequestHeaderSectionTooLarge"))

    def allHeadersReceived(self) -> None:
        """The head is complete: the request begins, whatever has come of its body."""
        request: S3Request = self.requests[-1]
        self.bring_to_end()
        self.site.arrivals.head_ends(self)
        self.seen = self.site.next_seen()
        self.persistent = self.checkPersistence(request, self._version) and self.site.keep_alive
        if self.length != 0:
            # The body's own timer takes over: the bytes may have to wait for a slow store.
            self._savedTimeOut = self.setTimeout(None)
            if self.length is None or self.length > READ_BYTES:
                self._read_at_once(BODY_READ_BYTES)
        request.begin(self._command, self._path, self._version, self.length)

    def allContentReceived(self) -> None:
        """The body is complete."""
        self.bring_to_end()
        self._read_at_once(READ_BYTES)
        super().allContentReceived()

    def _read_at_once(self, count: int) -> None:
        self.transport.bufferSize = count  # type: ignore[attr-defined]  # of tcp.Connection; others have no use for it

    def rawDataReceived(self, data: bytes) -> None:
        """Bytes of a body; those that come when nothing more can be made sense of are dropped."""
        if (self.requests or self._handlingRequest) and not self._broken:
            super().rawDataReceived(data)

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Twisted's own refusals of malformed requests."""
        self.refuse(S3Error("InvalidRequest", "The request is not well-formed HTTP."))

    def refuse(self, error: S3Error) -> None:
        """Answer ``error`` and close: what follows on this connection can't be made sense of."""
        self._broken = True
        self.persistent = False
        self.site.arrivals.head_ends(self)
        if self.requests and self.requests[-1].begun:
            self.requests[-1].break_off(error)
            return
        self.requests.clear()
        self.transport.write(self.site.render_refusal(error, self.peer))
        self.loseConnection()
        self.setRawMode()

    def hold_body(self) -> None:
        """Stop reading from the client."""
        self._networkProducer.pauseProducing()

    def release_body(self) -> None:
        """Read from the client again."""
        if not self._waitingForTransport:
            self._networkProducer.resumeProducing()


class S3Request(Request):
    """A request on its way through the gateway; the pipeline answers it."""

    channel: S3Channel
    site: S3Site
    body: RequestBody
    target: Target | S3Error
    bytes_sent = 0
    begun = False
    _answered = False
    _unreadable = False
    _linger: Any = None

    def begin(self, command: bytes, target: bytes, version: bytes, length: int | None) -> None:
        """The head is complete. A request without a body waits for ``requestReceived``, which comes at once."""
        self.begun = True
        site = self.site = self.channel.site
        self.method, self.uri, self.clientproto = command, target, version
        self.path = target.partition(b"?")[0]
        self.prepath: list[bytes] = []
        expects = (self.getHeader(b"expect") or b"").lower() == b"100-continue" and version == b"HTTP/1.1"
        self.body = RequestBody(
            length,
            site.reactor,
            site.body_stall_seconds,
            hold=self.channel.hold_body,
            release=self.channel.release_body,
            catch_up=self.channel.catch_up,
            ask=(lambda: self.channel.transport.write(CONTINUE)) if expects else None,
        )
        if length != 0:
            site.arrivals.body_begins(self.body)
            self.process()

    def getRequestHostname(self) -> bytes:
        """What Klein asks, and would refuse in its own words if it is odd: no route depends on a host."""
        return b""

    def parseCookies(self) -> None:
        """S3 has no cookies."""

    def gotLength(self, length: int | None) -> None:
        """Nothing is collected."""

    def handleContentChunk(self, data: bytes) -> None:
        """Bytes of the body."""
        if not self._disconnected:
            self.body.deliver(data)
            if self._answered and self.body.received > SWALLOW_BYTES * 64:
                self._give_up()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The whole request has come."""
        del command, path, version
        if self.body.complete:
            self.process()
        else:
            answered = self._answered
            self.site.arrivals.body_ends(self.body)
            self.body.end()
            if answered:
                self._finish_now()

    def process(self) -> None:
        """Hand over to the routes."""
        self.site.serve(self)

    def will_close(self) -> bool:
        """Whether the connection closes after the answer, because the rest of the body is not worth waiting for."""
        if not self.body.complete:
            left = None if self.body.length is None else self.body.length - self.body.received
            if self.body.unasked or left is None or left > SWALLOW_BYTES:
                self.channel.persistent = False
        return not self.channel.persistent

    def finish(self) -> None:
        """The answer is written. What is left of the body is swallowed first, so that the client gets to read it."""
        if self._answered:
            return
        self._answered = True
        self.site.arrivals.body_ends(self.body)
        if self.gone:
            return  # there is nobody to wait for
        if self.body.complete or self._unreadable or (self.body.unasked and not self.body.received):
            self._finish_now()
            return
        self.body.discard()
        self._linger = self.site.reactor.callLater(LINGER_SECONDS, self._give_up)

    def break_off(self, error: S3Error) -> None:
        """The rest of the body cannot be made sense of: whoever reads it gets ``error``, and answers."""
        self._unreadable = True
        self.body.fail(error)
        if self._answered and not self.finished:
            self._finish_now()

    @property
    def gone(self) -> bool:
        """Whether the client has left; there is no channel then."""
        return self._disconnected

    def cut(self) -> None:
        """End the connection where it stands: what was answered so far must not look whole."""
        self._answered = True  # whoever finishes the request now would end the answer properly
        if not self.gone:
            self.channel.forceAbortClient()

    def connectionLost(self, reason: Failure) -> None:
        """The client has gone."""
        if hasattr(self, "body"):
            self.site.arrivals.body_ends(self.body)
            # Whoever reads the body may answer here and now, and begin to linger.
            self.body.fail(S3Error("IncompleteBody"))
        super().connectionLost(reason)
        self._cancel_linger()

    def _finish_now(self) -> None:
        self._cancel_linger()
        super().finish()

    def _give_up(self) -> None:
        self._linger = None
        if not self.finished and not self.gone:
            self.channel.persistent = False
            super().finish()

    def _cancel_linger(self) -> None:
        if self._linger is not None:
            if self._linger.active():
                self._linger.cancel()
            self._linger = None

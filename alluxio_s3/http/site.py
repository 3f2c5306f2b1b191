"""The site: what its connections share, and the door from a raw request to its route."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.web.http import Request
from twisted.web.resource import IResource
from twisted.web.server import Site

from alluxio_s3.http.answer import render_fields, status_line
from alluxio_s3.http.channel import S3Channel, S3Request
from alluxio_s3.http.fastpath import FastPath
from alluxio_s3.http.limits.arrivals import Arrivals
from alluxio_s3.http.limits.connections import Connections
from alluxio_s3.http.outbox import outbox_of
from alluxio_s3.http.sendfile import Crowd
from alluxio_s3.http.stalls import Stalls
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.target import parse_target
from alluxio_s3.s3.xml import error_document


class S3Site(Site):
    """Builds connections. ``idle_seconds`` None keeps idle ones for ever, ``body_stall_seconds`` None those that stall.

    ``crowd`` is who is to be served at the same time, ``outbox`` where answers wait for one another.
    """

    protocol = S3Channel  # type: ignore[assignment]  # HTTP/2 is not on offer, so neither is its switch
    requestFactory = S3Request

    def __init__(
        self,
        resource: IResource,
        reactor: IReactorTime,
        *,
        fast: FastPath,
        keep_alive: bool,
        idle_seconds: float | None,
        body_stall_seconds: float | None,
    ) -> None:
        super().__init__(resource, reactor=reactor, parsePOSTFormSubmission=False)
        self.refused: Callable[[S3Error, str], str] = lambda *_: ""
        self.fast = fast
        self.timeOut = idle_seconds
        self.keep_alive = keep_alive
        self.body_stall_seconds: float | None = None
        self._stalls: Stalls | None = None
        self.gate = fast.gate
        self.connections = Connections(self.gate, reactor)
        self.arrivals = Arrivals(self.gate, reactor)
        self._asked = 0
        self.crowd = Crowd(reactor.seconds)
        self.outbox = outbox_of(reactor)
        self.allow_stalls(body_stall_seconds)

    def allow_stalls(self, seconds: float | None) -> None:
        """From now on clients may stand still for so long; what has begun to come in has its time already."""
        if seconds == self.body_stall_seconds:
            return
        if self._stalls is not None:
            self._stalls.stop()
        self.body_stall_seconds = seconds
        self._stalls = None if seconds is None else Stalls(self.connections, self.reactor, seconds)
        if self._stalls is not None and self.numPorts:
            self._stalls.start()

    def startFactory(self) -> None:
        """The first port listens."""
        super().startFactory()
        self.arrivals.start()
        if self._stalls is not None:
            self._stalls.start()

    def stopFactory(self) -> None:
        """The last port does no more."""
        self.arrivals.stop()
        if self._stalls is not None:
            self._stalls.stop()
        super().stopFactory()

    @property
    def busy(self) -> int:
        """How many connections have a request under way, or an answer that has not gone out whole."""
        return sum(connection.busy for connection in self.connections)

    def end(self) -> None:
        """Answer the requests that are under way and no others."""
        self.keep_alive = False
        for connection in tuple(self.connections):
            connection.end()

    def cut(self) -> None:
        """End every connection where it stands: what was answered so far must not look whole."""
        for connection in tuple(self.connections):
            connection.transport.abortConnection()

    def next_seen(self) -> int:
        """A number for who asks for something: the higher, the later."""
        self._asked += 1
        return self._asked

    def serve(self, request: S3Request) -> None:
        """Parse the target, once, and give the request to the route of what it names."""
        kind = b"service"
        try:
            target = request.target = parse_target(request.uri)
            kind = b"object" if target.key else b"bucket" if target.bucket else b"service"
        except S3Error as error:
            request.target = error.anew()
        request.postpath = [kind]
        request.render(self.resource)

    def log(self, request: Request) -> None:
        """Nothing: the pipeline keeps the access log."""

    def acceptableProtocols(self) -> list[bytes]:
        """What ALPN may choose."""
        return [b"http/1.1"]

    def render_refusal(self, error: S3Error, peer: str = "") -> bytes:
        """The whole answer to what is not a request, and came from ``peer``. It is accounted for by ``refused``."""
        request_id = self.refused(error, peer)
        body = error_document(error, request_id, "")
        fields = {"Content-Type": "application/xml", "Content-Length": str(len(body)), "Connection": "close", **error.headers}
        if request_id:
            fields["x-amz-request-id"] = request_id
        return b"".join((status_line(error.status), render_fields(fields), b"\r\n", body))

"""Plain requests on their way through the pipeline without twisted.web and the router: the long way, less what only others need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from twisted.web.http import toChunk

from alluxio_s3.s3.target import Target

if TYPE_CHECKING:
    from alluxio_s3.http.channel import S3Channel

LAST_CHUNK = b"0\r\n\r\n"


class NoBody:
    """The body of a request that has none: see ``IRequestBody``."""

    length = 0
    received = 0

    async def read(self) -> bytes:
        """Nothing."""
        return b""


class PlainHeaders:
    """Headers of which each is there once, as twisted.web's are asked. Values may have spaces around."""

    def __init__(self, headers: Mapping[bytes, bytes]) -> None:
        self._values = {name.lower(): [value.strip(b" \t")] for name, value in headers.items()}

    def getRawHeaders(self, name: bytes) -> list[bytes] | None:
        """The values of ``name``, which is in lower case."""
        return self._values.get(name)

    def getAllRawHeaders(self) -> Iterator[tuple[bytes, list[bytes]]]:
        """All of them."""
        return iter(self._values.items())


class PlainRequest:
    """What the pipeline and the answer need of an ``S3Request``, for a request without a body."""

    clientproto = b"HTTP/1.1"
    bytes_sent = 0
    code = 0
    startedWriting = 0
    chunked = 0
    is_cut = False

    def __init__(self, channel: S3Channel, method: bytes, uri: bytes, headers: Mapping[bytes, bytes], target: Target | None = None) -> None:
        self.channel = channel
        self.method = method
        self.uri = uri
        self.target = target
        self.client: Any = channel.transport.getPeer()
        self.requestHeaders = PlainHeaders(headers)
        self.body = NoBody()

    @property
    def gone(self) -> bool:
        """Whether the client has left."""
        return not getattr(self.channel.transport, "connected", False)

    def isSecure(self) -> bool:
        """Whether it came over TLS."""
        return bool(self.channel.isSecure())

    def will_close(self) -> bool:
        """Whether the connection closes after the answer."""
        return not (self.channel.persistent and self.channel.site.keep_alive)

    def write(self, data: bytes) -> None:
        """A piece of the answer's body."""
        if data and not self.gone:
            self.channel.writeSequence(toChunk(data) if self.chunked else (data,))

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """From now on ``producer`` is told when the connection takes no more, and when it does again."""
        self.channel.streaming = self
        self.channel.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Not any more."""
        self.channel.streaming = None
        self.channel.unregisterProducer()

    def finish(self) -> None:
        """The answer is written. Whoever runs the request tells the channel."""
        if self.chunked and not self.gone:
            self.channel.write(LAST_CHUNK)

    def cut(self) -> None:
        """End the connection where it stands: what was answered so far must not look whole."""
        self.is_cut = True
        if not self.gone:
            self.channel.forceAbortClient()

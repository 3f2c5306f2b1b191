"""Plain requests on their way through the pipeline without twisted.web and the router: the long way, less what only others need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from alluxio_s3.s3.target import Target

if TYPE_CHECKING:
    from alluxio_s3.http.channel import S3Channel
    from alluxio_s3.http.recognition import Recognised


class NoBody:
    """The body of a request that has none: see ``IRequestBody``."""

    length = 0
    received = 0

    async def read(self) -> bytes:
        """Nothing."""
        return b""


class PlainHeaders:
    """Headers of which each is there once, as twisted.web's are asked."""

    def __init__(self, recognised: Recognised) -> None:
        self._values = {name.lower(): [value.strip(b" \t")] for name, value in recognised.headers.items()}

    def getRawHeaders(self, name: bytes) -> list[bytes] | None:
        """The values of ``name``, which is in lower case."""
        return self._values.get(name)

    def getAllRawHeaders(self) -> Iterator[tuple[bytes, list[bytes]]]:
        """All of them."""
        return iter(self._values.items())


class PlainRequest:
    """What the pipeline and the answer need of an ``S3Request``, for a request without a body whose answer is not streamed."""

    clientproto = b"HTTP/1.1"
    bytes_sent = 0
    code = 0
    startedWriting = 0
    is_cut = False

    def __init__(self, channel: S3Channel, recognised: Recognised) -> None:
        asked = recognised.asked
        self.channel = channel
        self.method = asked.method.encode()
        self.uri = asked.uri
        self.target: Target = asked.target
        self.client: Any = channel.transport.getPeer()
        self.requestHeaders = PlainHeaders(recognised)
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

    def finish(self) -> None:
        """The answer is written. Whoever runs the request tells the channel."""

    def cut(self) -> None:
        """End the connection where it stands: what was answered so far must not look whole."""
        self.is_cut = True
        if not self.gone:
            self.channel.forceAbortClient()

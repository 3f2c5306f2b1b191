"""How an answer is written: the one encoder of response heads, and the ways of a body.

Twisted's header objects would change the case of names, and S3's clients read the case of
``x-amz-meta-*``; so the head is built here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from http import HTTPStatus

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.web.http import toChunk
from zope.interface import implementer

from alluxio_s3.actions.exchange import ReaderBody, Response
from alluxio_s3.http.channel import S3Request
from alluxio_s3.http.plain import LAST_CHUNK
from alluxio_s3.http.relay import LEAST_BYTES, Pipe, Relay, takes_flows
from alluxio_s3.http.sendfile import FileSender, takes_files
from alluxio_s3.http.spans import SpanSender, gathered
from alluxio_s3.interfaces import IFileBacked, IFlowingReader, ISpanReader
from alluxio_s3.storage import ObjectChanged
from alluxio_s3.threads import Threads

# Up to here a body is read whole before its head goes out.
IN_ONE_BYTES = 16 << 10
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}
_NO_BODY = frozenset({204, 304})
# What may not stand in a header's value: controls, less the tab.
_CONTROLS = dict.fromkeys((*range(9), *range(10, 32), 127), " ")


def status_line(status: int) -> bytes:
    """The first line of an answer."""
    return _STATUS_LINES[status]


def render_fields(headers: Mapping[str, str]) -> bytes:
    """Header lines. Control characters in values, line ends above all, become spaces."""
    lines = []
    for name, value in headers.items():
        if not value.isprintable():
            value = value.translate(_CONTROLS)  # noqa: PLW2901  # the rare case
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode()


async def send(request: S3Request, response: Response, common: bytes, threads: Threads) -> None:
    """Write ``response``, with the header lines that are ``common`` to all, wait until the client has been given all, and finish.

    Raises ObjectChanged and whatever the body raises. Once ``request.startedWriting`` is set the head is out: then the answer must be
    cut. Before that another may be sent.
    """
    try:
        await _send(request, response, common, threads)
    finally:
        await response.close()
    request.finish()


async def _send(request: S3Request, response: Response, common: bytes, threads: Threads) -> None:
    body = response.body
    if request.gone:
        raise CancelledError
    has_body = request.method != b"HEAD" and response.status not in _NO_BODY
    head = _head(request, response, common, has_body=has_body)
    request.code = response.status
    pace = None
    if has_body and isinstance(body, ReaderBody) and may_wait(request, body):
        body = await whole(request, body, threads)
        if request.gone:
            raise CancelledError
        pace = request.channel.pace
    request.startedWriting = 1
    if isinstance(body, bytes):  # one segment, and whoever gets it wakes up once
        request.channel.writeSequence([head, *_pieces(request, body)] if has_body else [head])
        request.bytes_sent = len(body) if has_body else 0
        if pace is not None:
            await pace.wait(len(body))
    else:
        request.channel.write(head)
        if has_body:
            await _stream(request, body, threads)


def _head(request: S3Request, response: Response, common: bytes, *, has_body: bool) -> bytes:
    fields = render_fields(_framed(request, response, has_body=has_body))
    return b"".join((status_line(response.status), common, fields, b"\r\n"))


def _pieces(request: S3Request, body: bytes) -> Sequence[bytes]:
    """A body as it goes out, in its chunk if that is how it is framed; then all of it has gone out."""
    if not request.chunked:
        return (body,)
    request.chunked = 0
    return (*toChunk(body), LAST_CHUNK)


def may_wait(request: S3Request, body: ReaderBody) -> bool:
    """Whether the head may wait for such a body. What a file gives is sent from it, and looked at once more before its end."""
    small = 0 < body.count <= IN_ONE_BYTES
    return small and (IFileBacked(body.reader, None) is None or not takes_files(request.channel.transport))


async def whole(request: S3Request, body: ReaderBody, threads: Threads) -> bytes:
    """All of a small body. Raises ObjectChanged when it is not as long as it was said to be, and what reading it raises."""
    reader = body.reader
    spanning = ISpanReader(reader, None) if takes_files(request.channel.transport) else None
    if spanning is not None:
        data = await gathered(spanning.spans(body.offset, body.count), threads)
    else:
        async with aclosing(reader.read(body.offset, body.count)) as pieces:  # type: ignore[type-var]  # async generators
            data = b"".join([piece async for piece in pieces])
    if len(data) != body.count:
        raise ObjectChanged(reader.status.path, "the under-store gave another number of bytes than it announced")
    return data


def _framed(request: S3Request, response: Response, *, has_body: bool) -> dict[str, str]:
    """The headers of ``response`` and those that say how long the body is and whether the connection stays."""
    body = response.body
    length = body.count if isinstance(body, ReaderBody) else len(body) if isinstance(body, bytes) and response.measured else None
    framed = dict(response.headers)
    if length is not None:
        if response.status not in _NO_BODY:
            framed.setdefault("Content-Length", str(length))
    elif has_body and request.clientproto == b"HTTP/1.1":
        framed["Transfer-Encoding"] = "chunked"
        request.chunked = 1
    else:
        request.channel.persistent = False
    if request.will_close():
        framed["Connection"] = "close"
    return framed


async def _stream(request: S3Request, body: ReaderBody | AsyncIterator[bytes], threads: Threads) -> None:
    if not isinstance(body, ReaderBody):
        await _relay(request, body)
        return
    transport = request.channel.transport
    if body.count and takes_files(transport):
        spanning = ISpanReader(body.reader, None)
        if spanning is not None:
            spans = spanning.spans(body.offset, body.count)
            await _deliver(request, body, SpanSender(transport, request.channel, threads, spans, body.count))
            return
        file = IFileBacked(body.reader, None)
        if file is not None:
            await _deliver(request, body, FileSender(transport, request.channel, threads, file, body.offset, body.count))
            return
    if body.count >= LEAST_BYTES and takes_flows(transport):
        flowing = IFlowingReader(body.reader, None)
        pipe = None if flowing is None else Pipe.opened()
        if flowing is not None and pipe is not None:
            flows = flowing.flows(body.offset, body.count)
            await _deliver(request, body, Relay(transport, request.channel, pipe, flows, body.count))
            return
    await _relay(request, body.reader.read(body.offset, body.count))
    _check_whole(request, body)


async def _deliver(request: S3Request, body: ReaderBody, sender: FileSender | SpanSender | Relay) -> None:
    try:
        await sender.send()
    finally:
        request.bytes_sent = sender.sent
    _check_whole(request, body)


def _check_whole(request: S3Request, body: ReaderBody) -> None:
    if request.bytes_sent != body.count:
        raise ObjectChanged(body.reader.status.path, "the under-store gave another number of bytes than it announced")


async def _relay(request: S3Request, pieces: AsyncIterator[bytes]) -> None:
    flow, pace = Flow(), request.channel.pace
    request.registerProducer(flow, True)
    try:
        async with aclosing(pieces) as iterator:  # type: ignore[type-var]  # async generators, by the interface's word
            async for piece in iterator:
                request.write(piece)
                request.bytes_sent += len(piece)
                await flow.open()
                if pace is not None:
                    await pace.wait(len(piece))
    finally:
        if not request.gone:
            request.unregisterProducer()


@implementer(IPushProducer)
class Flow:
    """Lets a writer wait while the connection's buffer is full."""

    def __init__(self) -> None:
        self._paused = False
        self._waiting: Deferred[None] | None = None

    async def open(self) -> None:
        """Return when there is room."""
        if self._paused:
            self._waiting = Deferred()
            try:
                await self._waiting
            finally:
                self._waiting = None

    def pauseProducing(self) -> None:
        """The buffer is full."""
        self._paused = True

    def resumeProducing(self) -> None:
        """There is room again."""
        self._paused = False
        self._go()

    def stopProducing(self) -> None:
        """The client has gone; the request's own cancellation ends the writer."""

    def _go(self) -> None:
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)

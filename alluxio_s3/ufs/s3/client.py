"""Requests to the store: signed, retried, bounded in number, time and memory.

Twisted's own Agent carries them: treq would undo the gzip of objects that are stored so, and rewrite addresses that are signed.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from attrs import define, evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionClosed
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import (  # type: ignore[attr-defined]  # it does not say that RequestNotSent is public
    Agent,
    HTTPConnectionPool,
    RequestGenerationFailed,
    RequestNotSent,
    RequestTransmissionFailed,
    ResponseFailed,
    _HTTP11ClientFactory,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from alluxio_s3.clocks import wall_clock
from alluxio_s3.storage import Unavailable
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.s3.failures import Refused, refusal
from alluxio_s3.ufs.s3.flow import BrokenOff, Flow, Patience, Sending
from alluxio_s3.ufs.s3.options import Options
from alluxio_s3.ufs.s3.signing import EMPTY_SHA256, UNSIGNED, Keyring

# The largest answer that is read as a whole: a page of 1,000 keys of 1,024 bytes, three times as long when escaped.
_MAX_DOCUMENT = 8 << 20
_MAX_ERROR = 64 << 10
_CONNECT_SECONDS = 10
_KEEP_SECONDS = 50
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
# For each connection that requests may use, so many may be open for reading.
_STREAMS = 8
_SAFE = "-_.~"

T = TypeVar("T")
_NO_ANSWER = (
    BrokenOff,
    ConnectError,
    ConnectionClosed,
    OSError,
    ResponseFailed,
    RequestGenerationFailed,
    RequestNotSent,
    RequestTransmissionFailed,
)


@frozen
class Body:
    """The bytes of a request: ``read(offset, count)`` gives them, as often as they are sent; it may block."""

    length: int
    read: Callable[[int, int], bytes]
    sha256: str = UNSIGNED

    @classmethod
    def of(cls, data: bytes) -> Body:
        """A body that is in memory."""
        return cls(len(data), lambda offset, count: data[offset : offset + count], hashlib.sha256(data).hexdigest())


@frozen
class Order:
    """A request. ``key`` is None for one of the bucket. A ``query`` value that is None is a name alone.

    ``document`` says that the answer's body says how it went, whatever its status ("CompleteMultipartUpload": 200 may carry an error).
    """

    method: str
    key: str | None
    query: Mapping[str, str | None] = field(factory=dict)
    headers: Mapping[str, str] = field(factory=dict)
    body: Body | None = None
    document: bool = False


@define
class Answer:
    """What the store answered: a status below 300, headers (names in lower case), and the body, if it was not left in ``flow``."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    flow: Flow | None = None

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises BrokenOff."""
        return _nothing() if self.flow is None else self.flow.pieces()

    def stop(self) -> None:
        """Let go of what has not been taken of the body."""
        if self.flow is not None:
            self.flow.stop()


class Client:
    """Sends Orders to one bucket."""

    def __init__(self, options: Options, reactor: Any, threads: Threads) -> None:
        self._options = options
        self._reactor = reactor
        self._threads = threads
        self._keyring = Keyring(options, threads, reactor)
        self._pool = _Pool(reactor, persistent=True)
        self._pool.maxPersistentPerHost = options.connections
        self._pool.cachedConnectionTimeout = _KEEP_SECONDS
        self._pool.retryAutomatically = False  # it is done here
        self._agent = Agent(reactor, connectTimeout=min(_CONNECT_SECONDS, options.deadline), pool=self._pool)
        self._places = DeferredSemaphore(options.connections)
        # Whoever reads may be slow, and may be writing to this store what it reads: that must not wait for its own end.
        self._streams = DeferredSemaphore(options.connections * _STREAMS)
        parts = urlsplit(options.endpoint)
        self._base = (
            f"{options.endpoint}/{quote(options.bucket, safe=_SAFE)}"
            if options.path_style
            else f"{parts.scheme}://{options.bucket}.{parts.netloc}"
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.closeCachedConnections()

    async def ask(self, order: Order) -> Answer:
        """The answer to ``order``, read whole. Raises Refused, Unavailable."""
        return await self._persist(order, stream=False)

    async def stream(self, order: Order) -> Answer:
        """The answer to ``order``, whose body is to be taken or stopped. Raises as ``ask``."""
        return await self._persist(order, stream=True)

    async def _persist(self, order: Order, *, stream: bool) -> Answer:
        patience, repeated = self._options.deadline, False
        for number in range(self._options.retries + 1):
            trouble: Exception
            watch = Patience(self._reactor, patience)
            try:
                return await self._once(order, stream, watch)
            except Refused as refused:
                if not refused.passing:
                    raise evolve(refused, repeated=repeated) from None
                trouble, after = evolve(refused, repeated=repeated), refused.after
                repeated = repeated or refused.status not in (429, 503)
            except _NO_ANSWER as error:
                trouble, after = Unavailable(order.key or "", f"The S3 store did not answer: {_name(error)}"), None
                repeated = repeated or not isinstance(error, ConnectError | RequestNotSent)
            finally:
                patience = watch.end()
            # Full jitter: "Exponential Backoff And Jitter" in the AWS architecture blog.
            pause = random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**number)) if after is None else after  # noqa: S311
            patience -= pause
            if patience <= 0 or number == self._options.retries:
                break
            await deferLater(self._reactor, pause)
        raise trouble

    async def _once(self, order: Order, stream: bool, watch: Patience) -> Answer:
        places = self._streams if stream else self._places
        await _watched(places.acquire(), watch)
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                places.release()

        try:
            response = await self._send(order, watch)
            headers = _headers(response)
            flow = Flow(self._reactor, _length(response), self._options.idle, release)
            if order.method == "HEAD" or response.code in (204, 304):
                release()
                answer = Answer(response.code, headers)
            else:
                response.deliverBody(flow)
                answer = Answer(response.code, headers, b"", flow)
            if response.code >= 300 or not stream:
                await self._read(answer, _MAX_ERROR if response.code >= 300 else _MAX_DOCUMENT)
        except BaseException:
            release()
            raise
        if response.code >= 300 or (order.document and b"<Error" in answer.body[:400]):
            raise refusal(response.code if response.code >= 300 else 500, headers, answer.body, wall_clock(self._reactor).seconds())
        return answer

    async def _send(self, order: Order, watch: Patience) -> IResponse:
        signer = await self._keyring.signer()
        url, body = self._url(order), order.body
        headers = {"Host": urlsplit(url).netloc, **order.headers}
        signed = signer.sign(order.method, url, headers, EMPTY_SHA256 if body is None else body.sha256)
        wire = Headers()
        for name, value in signed.items():
            wire.addRawHeader(name.encode("ascii"), value.encode() if isinstance(value, str) else value)
        sending = None
        if body is not None:
            sending = Sending(body.length, body.read, self._threads, watch.moved)
        return await _watched(self._agent.request(order.method.encode(), url.encode("ascii"), wire, sending), watch)

    async def _read(self, answer: Answer, limit: int) -> None:
        pieces, size = [], 0
        try:
            async for piece in answer.pieces():
                size += len(piece)
                if size > limit:
                    raise BrokenOff("an answer that is too long")
                pieces.append(piece)
        finally:
            answer.stop()
        answer.body, answer.flow = b"".join(pieces), None

    def _url(self, order: Order) -> str:
        path = "/" if order.key is None else "/" + quote(order.key, safe=f"{_SAFE}/")
        if order.key is None and self._options.path_style:
            path = ""
        query = "&".join(
            quote(name, safe=_SAFE) + ("=" if value is None else f"={quote(value, safe=_SAFE)}") for name, value in order.query.items()
        )
        return f"{self._base}{path}" + (f"?{query}" if query else "")


class _Factory(_HTTP11ClientFactory):
    noisy = False


class _Pool(HTTPConnectionPool):
    """Twisted's, which would log each connection that could not be made: whoever asks is told."""

    _factory = _Factory


async def _nothing() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for piece in nothing:
        yield piece


async def _watched(waiting: Deferred[T], watch: Patience) -> T:
    watch.watch(waiting)
    try:
        return await waiting
    except (CancelledError, ConnectingCancelledError, RequestGenerationFailed, RequestTransmissionFailed, ResponseFailed) as error:
        if watch.ran_out:
            raise BrokenOff("it took too long") from None
        reasons = getattr(error, "reasons", ())
        if isinstance(error, ConnectingCancelledError) or any(one.check(CancelledError) for one in reasons):
            raise CancelledError from None
        raise
    finally:
        watch.end()


def _headers(response: Any) -> dict[str, str]:
    return {name.decode("latin-1").lower(): values[0].decode("utf-8", "replace") for name, values in response.headers.getAllRawHeaders()}


def _length(response: Any) -> int | None:
    return response.length if isinstance(response.length, int) else None


def _name(error: Exception) -> str:
    reasons = getattr(error, "reasons", None)
    if reasons and isinstance(reasons[0], Failure):
        return type(reasons[0].value).__name__
    return str(error) if isinstance(error, BrokenOff) else type(error).__name__

"""The port of peers: what other workers ask this one, by their seals; nobody else is told anything.

It is the site of clients with another way from a request to its answer, so the bytes of an object go out as they do there: by sendfile,
from pages, in slices, with back-pressure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, cast

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource

from alluxio_s3.actions.exchange import ReaderBody, Response
from alluxio_s3.cluster.messages import ANSWERS, ARRIVED, FORGET, GREETING, HELLO, METHODS, STATUS, TOLD, Question, Told
from alluxio_s3.cluster.ownership import Ownership
from alluxio_s3.cluster.seals import HEADER, BadSeal, Sealed, Seals
from alluxio_s3.cluster.store import ClusterStore
from alluxio_s3.http.answer import may_wait, send, whole
from alluxio_s3.http.channel import S3Channel, S3Request
from alluxio_s3.http.fastpath import FastPath
from alluxio_s3.http.limits.gate import Gate
from alluxio_s3.http.plain import PlainRequest
from alluxio_s3.http.site import S3Site
from alluxio_s3.interfaces import ICachedReader, IObjectReader, IRemembering, IUnderFileSystem
from alluxio_s3.namespace.mounts import Namespace
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import ObjectChanged, PathConflict, Provenance, Status, StorageError, Unavailable
from alluxio_s3.threads import Threads

IDLE_SECONDS = 300.0
# Whoever asked is told that work goes on: first after so long, then as often.
SIGN_SECONDS = 0.3
SIGN_AGAIN_SECONDS = 15.0
_SIGN = b"HTTP/1.1 102 Processing\r\n\r\n"
_SEAL = HEADER.encode()
# As ``Peers`` writes it.
_ASKED = re.compile(rb"(GET|POST) (/[!-~]*) HTTP/1\.1\r\nHost: [!-~]+\r\nContent-Length: 0\r\n%b: ([ -~]+)\r\n\r\n" % _SEAL)


class _ShortWay:
    """Takes questions in just the form that peers give them past twisted.web. What limits clients does not limit peers."""

    def __init__(self, reactor: Any, answer: Callable[[PlainRequest], Coroutine[Any, Any, None]]) -> None:
        self.gate = Gate(reactor)
        self._answer = answer

    def serve(self, channel: S3Channel, data: bytes) -> bool:
        """See ``FastPath``."""
        asked = _ASKED.fullmatch(data)
        if asked is None:
            return False
        channel.crowd.ask()
        channel.occupy(self._answer(PlainRequest(channel, asked[1], asked[2], {_SEAL: asked[3]})))
        return True


@frozen(eq=False)
class PeerDesk:
    """Answers questions of peers. ``arrived`` is told of clients that came to other workers, by their names."""

    ownership: Ownership
    namespace: Namespace
    arrived: Callable[[str], None]

    async def answer(self, question: Question) -> tuple[Told, ReaderBody | None]:
        """What is to be said. Raises StorageError, ValueError, KeyError for what makes no sense."""
        values = question.values
        if question.verb == ARRIVED:
            for client in values["clients"].split(","):
                self.arrived(client)
            return Told(self.ownership.ring), None
        here, base, path = self._find(values["path"], values["store"])
        if question.verb == FORGET:
            self.ownership.forget(base + path)
            remembering = IRemembering(here, None)
            if remembering is not None:
                await remembering.forget(path)
            return Told(self.ownership.ring), None
        if question.verb == STATUS:
            return Told(self.ownership.ring, await here.status(path)), None
        try:
            return await self._open(here, path, values)
        except ObjectChanged:
            if values["validator"]:
                raise
            return await self._open(here, path, values)  # what was remembered of it is old; now that is known

    def _find(self, path: str, store: str) -> tuple[IUnderFileSystem, str, str]:
        """The store here, what stands before its paths, and the path in it. Raises Unavailable: it is not one that is shared so."""
        bucket, _, key = path.removeprefix("/").partition("/")
        try:
            place = self.namespace.locate(bucket)
        except S3Error as problem:
            raise Unavailable(path, problem.code) from None
        ufs = place.ufs
        if not isinstance(ufs, ClusterStore) or ufs.name != store:
            raise Unavailable(path, "that bucket is another store here")
        return ufs.here, ufs.base, place.path(key)

    async def _open(self, here: IUnderFileSystem, path: str, values: Mapping[str, str]) -> tuple[Told, ReaderBody | None]:
        if path.endswith("/") or not path:
            raise PathConflict(path)
        offset, count = int(values["offset"]), int(values["count"])
        if offset < 0 or count < 0:
            raise ValueError(values)
        reader = await here.open(path)
        try:
            status = reader.status
            _check_version(status, values["validator"])
            count = max(0, min(count, status.size - offset))
            resident, provenance = await _prepared(reader, offset, count, values)
        except BaseException:
            await reader.close()
            raise
        told = Told(self.ownership.ring, status, provenance, resident, offset)
        return told, ReaderBody(reader, offset, 0 if "dry" in values else count)


def _check_version(status: Status, validator: str) -> None:
    if validator not in ("", status.validator):
        raise ObjectChanged(status.path)


async def _prepared(reader: IObjectReader, offset: int, count: int, values: Mapping[str, str]) -> tuple[int | None, Provenance]:
    cached = ICachedReader(reader, None)
    if cached is None:
        return None, Provenance("bypass")
    resident = await cached.resident(offset, count) if "residency" in values else None
    provenance = await cached.prepare(offset, count)
    if "load" in values:
        await cached.load(offset, count)
    return resident, provenance


class PeerSite(S3Site):
    """Builds connections of peers. ``desk`` knows the answers, ``seals`` who may ask."""

    _log = Logger()

    def __init__(self, desk: PeerDesk, seals: Seals, threads: Threads, reactor: Any) -> None:
        super().__init__(
            Resource(),
            reactor,
            fast=cast("FastPath", _ShortWay(reactor, self._answer)),
            keep_alive=True,
            idle_seconds=IDLE_SECONDS,
            # How long clients may stand still is for the worker to say that they talk to.
            body_stall_seconds=None,
        )
        self._desk = desk
        self._seals = seals
        self._threads = threads
        self._clock = reactor

    def serve(self, request: S3Request) -> None:
        """Answer it. A peer that goes away takes its question with it."""
        asked = Deferred.fromCoroutine(self._serve(request))
        _ = request.notifyFinish().addErrback(lambda _: asked.cancel())
        _ = asked.addErrback(self._failed, request)

    async def _answer(self, request: PlainRequest) -> None:
        """The same, for one beside Twisted's."""
        try:
            await self._serve(cast("S3Request", request))
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001  # whatever it was, that peer must be able to tell
            self._failed(Failure(), cast("S3Request", request))
        if not request.is_cut:
            request.channel.vacate()

    def _failed(self, reason: Failure, request: S3Request) -> None:
        if reason.check(CancelledError):
            return
        if reason.check(StorageError):
            self._log.warn("An answer to a peer was cut: {problem}", problem=reason.value)
        else:
            self._log.failure("An answer to a peer was cut", reason)
        request.cut()

    async def _serve(self, request: S3Request) -> None:
        target = request.uri.decode("latin-1")
        method = request.method.decode("latin-1")
        seals = request.requestHeaders.getRawHeaders(_SEAL) or [b""]
        try:
            sealed = self._seals.open(seals[-1].decode("latin-1"), method, target, greeting=target == GREETING)
        except (BadSeal, ValueError) as problem:
            self._log.warn("{peer}: {problem}", peer=getattr(request.client, "host", ""), problem=str(problem) or "no seal")
            await send(request, Response(403), b"", self._threads)
            return
        signs = _Signs(request, self._clock)
        visit = self._desk.namespace.visits.enter()
        try:
            status, told, body = await self._considered(request, target, method)
            signs.stop()
            await self._send(request, sealed, status, told, body)
        finally:
            signs.stop()
            self._desk.namespace.visits.leave(visit)

    async def _considered(self, request: S3Request, target: str, method: str) -> tuple[int, Told, ReaderBody | bytes | None]:
        try:
            question = Question.read(target)
            if METHODS[question.verb] != method:
                raise ValueError(method)  # noqa: TRY301
            if question.verb == HELLO:
                return 200, Told(self._desk.ownership.ring, process=self._seals.process), None
            told, body = await self._desk.answer(question)
            if body is not None and may_wait(request, body):
                return 200, told, await self._whole(request, body)
        except (StorageError, S3Error) as problem:
            known = type(problem).__name__ if type(problem).__name__ in ANSWERS else f"{type(problem).__name__}: {problem}"
            return 409, Told(self._desk.ownership.ring, error=known), None
        except (OSError, MemoryError) as problem:  # ours to mend; the peer asks another, or the store
            self._log.warn("A peer is told that it can't be had here: {problem!r}", problem=problem)
            return 409, Told(self._desk.ownership.ring, error=type(problem).__name__), None
        except (ValueError, KeyError) as problem:
            return 400, Told(self._desk.ownership.ring, error=f"{type(problem).__name__}: {problem}"), None
        return 200, told, body

    async def _whole(self, request: S3Request, body: ReaderBody) -> bytes:
        """A small body, read before the head goes out: till then there are signs of life. Raises Unavailable: others may be luckier."""
        try:
            return await whole(request, body, self._threads)
        except StorageError as problem:
            raise Unavailable(problem.path, f"its bytes can't be read: {problem}") from None
        finally:
            await body.reader.close()

    async def _send(self, request: S3Request, sealed: Sealed, status: int, told: Told, body: ReaderBody | bytes | None) -> None:
        try:
            text = told.text()
        except Unavailable as problem:
            if isinstance(body, ReaderBody):
                await body.reader.close()
            status, body, text = 409, None, Told(told.ring, error=str(problem)).text()
        length = body.count if isinstance(body, ReaderBody) else len(body or b"")
        seal = self._seals.seal_answer(sealed.mark, status, length, text)
        await send(request, Response(status, {TOLD: text, HEADER: seal}, body or b""), b"", self._threads)


class _Signs:
    """Signs of life on ``request``, until ``stop``."""

    def __init__(self, request: S3Request, clock: Any) -> None:
        self._request = request
        self._clock = clock
        self._call: IDelayedCall | None = clock.callLater(SIGN_SECONDS, self._give)

    def stop(self) -> None:
        """No more of them."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _give(self) -> None:
        if not self._request.gone:
            self._request.channel.transport.write(_SIGN)
            self._call = self._clock.callLater(SIGN_AGAIN_SECONDS, self._give)

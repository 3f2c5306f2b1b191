"""Actions run in-process: a request goes in, what its action answers comes out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import define, evolve, field, frozen
from twisted.internet import reactor
from twisted.internet.task import Clock
from zope.interface import implementer

from alluxio_s3.actions import object_attributes, object_copy, object_delete, object_read, object_write, unsupported  # noqa: F401
from alluxio_s3.actions.exchange import Call, Limits, ReaderBody, Response, Services
from alluxio_s3.actions.registry import REGISTRY
from alluxio_s3.actions.storage_errors import translate
from alluxio_s3.auth.authorizers import OpenAuthorizer
from alluxio_s3.auth.principals import Principal
from alluxio_s3.interfaces import IObjectReader, IObjectWriter, IRangeCopier, IRequestBody
from alluxio_s3.namespace.mounts import Namespace
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import Headers, RequestHead
from alluxio_s3.s3.target import parse_target
from alluxio_s3.storage import Attributes, Status, StorageError
from alluxio_s3.tags.carried import CarriedTagStore
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local.filesystem import LocalUnderFileSystem
from alluxio_s3.ufs.memory import MemoryUnderFileSystem

NOW = 1_767_323_045  # Fri, 02 Jan 2026 03:04:05 GMT


# What a read of a body gives: bytes, an error to raise, or something to do before the next piece.
Piece = bytes | Exception | Callable[[], Awaitable[object]]


@implementer(IRequestBody)
@define
class Body:
    """A body in pieces, each of them one read."""

    pieces: Sequence[Piece]
    length: int | None
    reads: int = 0

    async def read(self) -> bytes:
        while self.reads < len(self.pieces):
            piece = self.pieces[self.reads]
            self.reads += 1
            if isinstance(piece, bytes):
                return piece
            if isinstance(piece, Exception):
                raise piece
            await piece()
        return b""


class Watching:
    """A store that knows which of its readers and writers have not been ended yet.

    Without ``own_copies`` its writers cannot copy by themselves.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.in_use: set[int] = set()
        self.own_copies = True

    async def open(self, path: str) -> IObjectReader:
        return Watched(await super().open(path), self.in_use)

    async def create(self, path: str, attributes: Attributes, length: int | None) -> IObjectWriter:
        writer = await super().create(path, attributes, length)
        copies = self.own_copies and IRangeCopier(writer, None) is not None
        return (WatchedCopier if copies else Watched)(writer, self.in_use)


class WatchedMemory(Watching, MemoryUnderFileSystem):
    """A store in memory, watched."""


class WatchedDirectory(Watching, LocalUnderFileSystem):
    """A local directory, watched."""


@implementer(IObjectReader, IObjectWriter)
class Watched:
    """A reader or writer; in ``in_use`` until it is ended."""

    def __init__(self, stream: Any, in_use: set[int]) -> None:
        self.stream = stream
        self._in_use = in_use
        in_use.add(id(self))

    def __getattr__(self, name: str) -> Any:
        if name in {"close", "commit", "abort"}:
            self._in_use.discard(id(self))
        return getattr(self.stream, name)


@implementer(IRangeCopier)
class WatchedCopier(Watched):
    """A writer that can copy by itself."""

    async def copy_from(self, reader: IObjectReader, offset: int, count: int) -> bool:
        assert isinstance(reader, Watched)
        return await self.stream.copy_from(reader.stream, offset, count)


@frozen
class Answer:
    """A Response, all of its body read."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@define
class Bench:
    """A namespace with the bucket ``bucket``, and everything actions need."""

    services: Services
    clock: Clock
    store: Watching
    bodies: list[Body] = field(factory=list)

    async def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Sequence[Piece] | None = None,
        *,
        user: str = "alice",
        how: str = "simple",
    ) -> Answer:
        """What the action that this asks for answers; raises S3Error when the answer is one.

        A ``body`` of bytes brings its Content-Length; one in pieces brings what ``headers`` say.
        """
        given = dict(headers or {})
        if isinstance(body, bytes):
            given.setdefault("content-length", str(len(body)))
            body = [body]
        length = int(given["content-length"]) if "content-length" in given else None
        head = RequestHead(method, parse_target(target.encode()), Headers(given), target.encode())
        call = self.call(head, body or (), length=length, user=user, how=how)
        try:
            return await _read(await REGISTRY.resolve(head).run(call))
        except StorageError as problem:
            raise await translate(problem, head.target, self.services.namespace) from problem

    def call(
        self, head: RequestHead, pieces: Sequence[Piece], *, length: int | None = None, user: str = "alice", how: str = "simple"
    ) -> Call:
        """The call that an action is given; its body is the last of ``bodies``."""
        self.bodies.append(Body(pieces, length))
        return Call(head, Principal(user, how), self.bodies[-1], "1", self.services)

    async def refusal(self, *request: object, **options: object) -> S3Error:
        """The error that ``ask`` raises."""
        with pytest.raises(S3Error) as caught:
            await self.ask(*request, **options)  # type: ignore[arg-type]  # the same arguments
        return caught.value

    async def status(self, target: str) -> Status:
        """What the store has at ``/bucket/key``."""
        parsed = parse_target(target.encode())
        place = self.services.namespace.locate(parsed.bucket)
        return await place.ufs.status(place.path(parsed.key))

    def limit(self, **limits: object) -> None:
        """Change ``Limits``."""
        self.services = evolve(self.services, limits=Limits(**limits))  # type: ignore[arg-type]  # the same arguments


async def _read(response: Response) -> Answer:
    body = response.body
    if isinstance(body, ReaderBody):
        pieces = [piece async for piece in body.reader.read(body.offset, body.count)]
        await body.reader.close()
        body = b"".join(pieces)
    elif not isinstance(body, bytes):
        async with aclosing(body) as pieces:
            body = b"".join([piece async for piece in pieces])
    return Answer(response.status, response.headers, body)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands at ``NOW``."""
    clock = Clock()
    clock.advance(NOW)
    return clock


@pytest_twisted.async_yield_fixture
async def threads() -> AsyncIterator[Threads]:
    """Two threads."""
    threads = Threads(reactor, 2, "bench")
    threads.start()
    yield threads
    threads.stop()


@pytest_twisted.async_yield_fixture
async def bench(clock: Clock, threads: Threads) -> AsyncIterator[Bench]:
    """A bench on a store in memory, mounted at ``/``. No test may leave a reader or writer behind."""
    async for bench in _bench(WatchedMemory(clock), clock, threads):
        yield bench


@pytest_twisted.async_yield_fixture
async def disk_bench(clock: Clock, threads: Threads, tmp_path: Path) -> AsyncIterator[Bench]:
    """The same on a local directory."""
    async for bench in _bench(WatchedDirectory(str(tmp_path), threads, buckets=True, durability="rename"), clock, threads):
        yield bench


async def _bench(store: Any, clock: Clock, threads: Threads) -> AsyncIterator[Bench]:
    namespace = Namespace(store, "daemon")
    await namespace.create_bucket("bucket", "alice")
    yield Bench(Services(namespace, OpenAuthorizer(anonymous=True), CarriedTagStore(), threads, clock), clock, store)
    assert not store.in_use
    await store.close()

"""Moving bytes from clients and readers into writers: in bounded memory, with their digests taken on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Self

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from alluxio_s3.actions.exchange import Call
from alluxio_s3.interfaces import IObjectReader, IObjectWriter, IRangeCopier
from alluxio_s3.s3.checksums import Digest
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.payload import Payload, Received, check_absent
from alluxio_s3.storage import ObjectChanged
from alluxio_s3.threads import Lane, Threads

MAX_OBJECT_BYTES = 5 << 40  # "Amazon S3 multipart upload limits"
MAX_PART_BYTES = 5 << 30

# For so few bytes a thread costs more than it gives: it takes as long to change over as to hash 20 KiB.
_INLINE_BYTES = 64 << 10

_log = Logger()


class Hashing:
    """Feeds ``update`` with pieces in a thread, while their owner sends them elsewhere.

    A few batches are on their way, so memory is bounded, the order kept, and the thread not idle while bytes come. The
    first 64 KiB are hashed at once; so is everything if ``update`` is ``fast``. ``update`` is None when there is nothing to hash.
    """

    def __init__(self, threads: Threads, update: Callable[[Sequence[bytes]], None] | None, *, fast: bool = False) -> None:
        self._update = update
        self._lane = None if update is None else Lane(threads, update)
        self._seen = 0
        self._fast = fast

    async def take(self, pieces: Sequence[bytes]) -> None:
        """Have ``pieces`` hashed after those before them. Returns when there is room for the next; raises what ``update`` did."""
        if self._update is None or self._lane is None:
            return
        self._seen += sum(map(len, pieces))
        if self._seen <= _INLINE_BYTES or self._fast:
            self._update(pieces)
        else:
            await self._lane.put(pieces)

    async def settle(self) -> None:
        """Return when everything taken is hashed."""
        if self._lane is not None:
            await self._lane.settle()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, problem: object, trace: object) -> None:
        if kind is None:
            await self.settle()
        elif self._lane is not None:
            self._lane.clear()


@asynccontextmanager
async def aborting(writer: IObjectWriter) -> AsyncIterator[None]:
    """Abort ``writer`` when the block ends with an error; cancellation is one, too.

    The abort goes on to its end also when the wait for it is cancelled: a client that leaves ends its
    body first, and its request right after.
    """
    try:
        yield
    except Exception:
        waiting: Deferred[None] = Deferred()
        aborted = Deferred.fromCoroutine(writer.abort())
        # The error that led here is the one to answer.
        aborted = aborted.addErrback(lambda reason: _log.failure("a writer could not be aborted", reason))
        _ = aborted.addCallback(waiting.callback)
        await waiting
        raise


async def receive(call: Call, payload: Payload, writer: IObjectWriter, *, limit: int = MAX_OBJECT_BYTES) -> Received:
    """Move the body of ``call`` into ``writer``, verified; what it was found to be.

    The writer is left for the caller to commit. On any error, and when the client goes away, it is aborted.
    Raises S3Error: EntityTooLarge beyond ``limit`` bytes, and what ``Payload`` and ``IRequestBody`` raise.
    """
    async with aborting(writer):
        check_size(payload.length, limit)
        size = 0
        async with Hashing(call.services.threads, payload.hash if payload.hashes else None, fast=payload.fast) as hashing:
            while data := await call.body.read():
                pieces = payload.decode(data)
                size += sum(map(len, pieces))
                check_size(size, limit)
                await hashing.take(pieces)
                # One write for a read, however small the client's chunks are.
                await writer.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        return payload.finish()


async def copy(
    threads: Threads,
    reader: IObjectReader,
    offset: int,
    count: int,
    writer: IObjectWriter,
    *,
    digests: Sequence[Digest] = (),
) -> None:
    """Append ``count`` bytes of ``reader`` from ``offset`` to ``writer``, and feed them to ``digests``.

    The store copies by its own means if it can; then the bytes are read only for the sake of the
    digests. Reader and writer stay the caller's, but on any error the writer is aborted. Raises ObjectChanged.
    """

    def update(pieces: Sequence[bytes]) -> None:
        for digest in digests:
            for piece in pieces:
                digest.update(piece)

    async with aborting(writer):
        copier = IRangeCopier(writer, None)
        copied = copier is not None and await copier.copy_from(reader, offset, count)
        if not count or (copied and not digests):
            return
        size = 0
        async with Hashing(threads, update if digests else None) as hashing:
            pieces = reader.read(offset, count)
            async with aclosing(pieces):  # type: ignore[type-var]  # async generators, by the interface's word
                async for piece in pieces:
                    size += len(piece)
                    await hashing.take([piece])
                    if not copied:
                        await writer.write(piece)
        if size != count:
            raise ObjectChanged(reader.status.path)


async def read_body(call: Call, limit: int, *, required: bool = True) -> bytes:
    """The whole body of ``call``, verified: the XML documents that requests carry.

    Raises S3Error: MaxMessageLengthExceeded beyond ``limit`` bytes, MissingRequestBodyError if it is empty and
    ``required``, and what ``Payload`` and ``IRequestBody`` raise.
    """
    if not required and "content-length" not in call.headers and "transfer-encoding" not in call.headers:
        check_absent(call.headers)
        return b""
    payload = Payload.of(call.head, md5=False, signature=call.signature)
    _check_message(payload.length or 0, limit)
    body = bytearray()
    async with Hashing(call.services.threads, payload.hash if payload.hashes else None) as hashing:
        while data := await call.body.read():
            pieces = payload.decode(data)
            for piece in pieces:
                body += piece
            _check_message(len(body), limit)
            await hashing.take(pieces)
    payload.finish()
    if required and not body:
        raise S3Error("MissingRequestBodyError")
    return bytes(body)


def check_size(size: int | None, limit: int) -> None:
    """Raise S3Error EntityTooLarge if ``size`` is known and beyond ``limit``."""
    if size is not None and size > limit:
        raise S3Error("EntityTooLarge", ProposedSize=str(size), MaxSizeAllowed=str(limit))


def _check_message(size: int, limit: int) -> None:
    if size > limit:
        raise S3Error("MaxMessageLengthExceeded", MaxMessageLengthBytes=str(limit))

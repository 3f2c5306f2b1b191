"""Objects on their way into the store: one PUT, or for larger ones a multipart upload of which nothing shows before the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress

from attrs import define, evolve, field
from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

from alluxio_s3.interfaces import IObjectReader, IObjectWriter, IRangeCopier
from alluxio_s3.s3.checksums import ALGORITHMS, is_md5_etag
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, Part, PathConflict, Status, StorageError, Unsupported, Upload
from alluxio_s3.ufs.s3 import parts
from alluxio_s3.ufs.s3.attributes import attributes_of, checksum_headers, etag_of, object_headers
from alluxio_s3.ufs.s3.bucket import Bucket
from alluxio_s3.ufs.s3.client import Answer, Order
from alluxio_s3.ufs.s3.copying import Stretch
from alluxio_s3.ufs.s3.documents import etag_in
from alluxio_s3.ufs.s3.failures import Refused
from alluxio_s3.ufs.s3.publication import Published, publish
from alluxio_s3.ufs.s3.spool import Spool, md5_header
from alluxio_s3.ufs.s3.tags import ensure_tags

PART_BYTES = 16 << 20
# What S3 can keep any checksum of: of an object that is made of parts it keeps those alone that were asked for before its bytes.
_WHOLE_BYTES = 64 << 20
_MAX_PARTS = 10_000
_MIB = 1 << 20
# Parts grow with their number when the length is not known: so many of a size, then of twice that. 10,000 hold more than 5 TiB.
_SAME_SIZE = 1000
_IN_FLIGHT = 2


@implementer(IObjectWriter, IRangeCopier)
@define(eq=False)
class S3Writer:
    """Collects the bytes of one object. ``check_place`` raises what forbids an object at ``path`` at the time of commit."""

    _bucket: Bucket
    _path: str
    _attributes: Attributes
    _length: int | None
    _check_place: Callable[[str], Awaitable[None]]
    _spool: Spool = field(init=False)
    _copied: Stretch | None = field(default=None, init=False)
    _upload_id: str | None = field(default=None, init=False)
    _sent: dict[int, Deferred[Part]] = field(factory=dict, init=False)
    _size: int = field(default=0, init=False)
    _ended: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._spool = Spool(self._bucket.threads)

    async def write(self, data: bytes) -> None:
        """See IObjectWriter. Raises PathConflict for a folder, which holds no bytes; NoSpace for the directory of temporary files."""
        if data and self._path.endswith("/"):
            raise PathConflict(self._path, "A folder holds no bytes.")
        if data:
            await self._unfold()
        rest = memoryview(data)
        while rest:
            room = self._part_bytes(len(self._sent) + 1) - self._spool.size
            if not room:
                await self._ship()
                continue
            piece, rest = rest[:room], rest[room:]
            await self._spool.write(data if len(piece) == len(data) else bytes(piece))
            self._size += len(piece)

    async def copy_from(self, reader: IObjectReader, offset: int, count: int) -> bool:
        """See IRangeCopier. A whole object becomes a whole object; what is made of pieces is sent."""
        stretch = Stretch.of(self._bucket, reader, offset, count)
        if stretch is None or not stretch.is_whole or self._size or self._copied is not None or self._path.endswith("/"):
            return False
        self._copied = stretch
        return True

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        """See IObjectWriter. Raises Unsupported if a large object is to have other attributes than it was begun with."""
        await self._check_place(self._path)
        if self._upload_id is not None:
            published = await self._complete(attributes, condition)
        elif self._copied is not None:
            published = await self._copy(self._copied, attributes, condition)
            await ensure_tags(self._bucket, self._path, attributes.tags)
            self._size = self._copied.count
        else:
            published = await self._put(attributes, condition)
        self._ended = True
        await self._spool.close()
        kept = attributes_of(published.headers)
        return Status(
            self._path,
            self._size,
            published.modified_ns,
            published.etag,
            published.etag,
            evolve(attributes, etag=None, owner=None, tags={}, part_sizes=(), checksums=kept.checksums, checksum_type=kept.checksum_type),
        )

    async def abort(self) -> None:
        """See IObjectWriter."""
        if self._ended:
            return
        self._ended = True
        for sending in self._sent.values():
            _ = sending.addErrback(lambda _: None)  # whoever waited for it has been told
            sending.cancel()
        await self._spool.close()
        if self._upload_id is not None:
            # If the store does not take it, its own rule for uploads that nobody completes has the last word.
            with suppress(StorageError):
                await parts.forget(self._bucket, self._path, self._upload_id)

    async def _unfold(self) -> None:
        """What was to be copied by the store comes as bytes, if more bytes are to follow it."""
        stretch, self._copied = self._copied, None
        if stretch is not None:
            async with aclosing(stretch.reader.read(stretch.offset, stretch.count)) as pieces:  # type: ignore[type-var]  # a generator
                async for piece in pieces:
                    await self.write(piece)

    def _part_bytes(self, number: int) -> int:
        if self._length is not None and self._length <= _WHOLE_BYTES:
            return _WHOLE_BYTES
        if self._length is not None:
            least = -(-self._length // _MAX_PARTS)
            return max(PART_BYTES, -(-least // _MIB) * _MIB)
        return PART_BYTES << ((number - 1) // _SAME_SIZE)

    async def _ship(self) -> None:
        """Begin to send what is in the spool as the next part. Raises what sending an earlier part raised."""
        if self._upload_id is None:
            await self._check_place(self._path)
            self._upload_id = await parts.begin(self._bucket, Upload("", self._path, 0, self._attributes))
        number = len(self._sent) + 1
        if number > _IN_FLIGHT:
            await _result(self._sent[number - _IN_FLIGHT])
        spool, self._spool = self._spool, Spool(self._bucket.threads)
        self._sent[number] = Deferred.fromCoroutine(self._send(self._upload_id, number, spool))

    async def _send(self, upload_id: str, number: int, spool: Spool) -> Part:
        try:
            published = await parts.send(self._bucket, self._path, upload_id, number, spool, Attributes())
            return Part(number, spool.size, published.modified_ns, published.etag)
        finally:
            await spool.close()

    async def _complete(self, attributes: Attributes, condition: WriteCondition) -> Published:
        begun = self._attributes
        if object_headers(begun) != object_headers(attributes):
            raise Unsupported(self._path, "The S3 store takes the attributes of a large object before its bytes.")
        if self._spool.size:
            await self._ship()
        made = [await _result(sending) for sending in self._sent.values()]
        assert self._upload_id is not None  # for mypy: _ship has set it
        # The checksum of the whole is not asked for: the store would have had to be told of it when the upload was begun.
        published = await parts.complete(self._bucket, self._path, self._upload_id, made, Attributes(), condition)
        await ensure_tags(self._bucket, self._path, attributes.tags)
        return published

    async def _put(self, attributes: Attributes, condition: WriteCondition) -> Published:
        md5 = attributes.etag if attributes.etag is not None and is_md5_etag(attributes.etag) else await self._spool.md5()
        headers = {**object_headers(attributes), **md5_header(md5), **checksum_headers(attributes)}
        body = self._spool.body()

        async def write(conditions: Mapping[str, str]) -> Answer:
            order = Order("PUT", self._bucket.key(self._path), headers={**headers, **conditions}, body=body)
            return await self._bucket.client.ask(order)

        return await publish(self._bucket, self._path, condition, write, lambda answer: etag_of(answer.headers, self._path), md5)

    async def _copy(self, source: Stretch, attributes: Attributes, condition: WriteCondition) -> Published:
        await source.check()
        headers = {**object_headers(attributes), **source.headers(ranged=False)}
        headers |= {"x-amz-metadata-directive": "REPLACE", "x-amz-tagging-directive": "REPLACE"}
        asked = [name for name in attributes.checksums if name in ALGORITHMS]
        if len(asked) == 1:
            headers["x-amz-checksum-algorithm"] = asked[0]

        async def write(conditions: Mapping[str, str]) -> Answer:
            order = Order("PUT", self._bucket.key(self._path), headers={**headers, **conditions}, document=True)
            try:
                return await self._bucket.client.ask(order)
            except Refused as refused:
                changed = None if conditions else source.changed(refused)
                raise changed or refused from None

        expected = source.reader.status.etag if is_md5_etag(source.reader.status.etag) else None
        return await publish(self._bucket, self._path, condition, write, lambda answer: etag_in(answer.body), expected, careful=True)


async def _result(sending: Deferred[Part]) -> Part:
    """What ``sending`` brings; it goes on if this wait is given up, until the writer is aborted."""
    waiting: Deferred[Part] = Deferred()

    def told(result: Part) -> Part:
        if not waiting.called:
            waiting.callback(result)
        return result

    _ = sending.addBoth(told)
    try:
        return await waiting
    except CancelledError:
        sending.cancel()
        raise

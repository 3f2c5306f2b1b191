"""Multipart uploads, which are the store's own."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias, TypeVar
from weakref import WeakValueDictionary

from attrs import define, evolve, field
from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from alluxio_s3.interfaces import IMultipartUploads, IObjectReader, IObjectWriter, IRangeCopier, IRepeatedCompletions
from alluxio_s3.s3.checksums import is_md5_etag
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, NoSuchPath, NoSuchUpload, Part, Status, Unavailable, Upload
from alluxio_s3.ufs.s3 import parts as requests
from alluxio_s3.ufs.s3.attributes import attributes_of
from alluxio_s3.ufs.s3.bucket import Bucket
from alluxio_s3.ufs.s3.client import Order
from alluxio_s3.ufs.s3.copying import Stretch
from alluxio_s3.ufs.s3.documents import Begun, parts_of, read, uploads_of
from alluxio_s3.ufs.s3.failures import Refused, storage_error
from alluxio_s3.ufs.s3.publication import Published
from alluxio_s3.ufs.s3.spool import Spool
from alluxio_s3.ufs.s3.tags import ensure_tags

V = TypeVar("V")
# By the number of a part: its ETag, and its checksums.
Checksums: TypeAlias = dict[int, tuple[str, Mapping[str, str]]]

_DAY_NS = 86_400 * 10**9
_REMEMBERED = 10_000
_ID = re.compile(r"[!-~]{1,1024}")


@implementer(IMultipartUploads, IRepeatedCompletions)
@define(eq=False)
class S3Uploads:
    """The uploads to ``bucket``. What was begun here is remembered, for what the store does not tell; the store has the last word."""

    _bucket: Bucket
    _check_place: Callable[[str], Awaitable[None]]
    _clock: IReactorTime
    _begun: OrderedDict[str, Upload] = field(factory=OrderedDict, init=False)
    _done: OrderedDict[str, Status] = field(factory=OrderedDict, init=False)
    _checksums: OrderedDict[str, Checksums] = field(factory=OrderedDict, init=False)
    _turns: WeakValueDictionary[str, DeferredLock] = field(factory=WeakValueDictionary, init=False)

    async def create_upload(self, upload: Upload) -> Upload:
        """See IMultipartUploads."""
        self._bucket.check_length(upload.path)
        await self._check_place(upload.path)
        upload_id = await requests.begin(self._bucket, upload)
        begun = evolve(upload, upload_id=upload_id, initiated_ns=self._now())
        _remember(self._begun, upload_id, begun)
        return begun

    async def upload(self, path: str, upload_id: str) -> Upload:
        """See IMultipartUploads. Of an upload that was not begun here the attributes are not known: the object will have them."""
        known = self._begun.get(upload_id)
        if known is not None and known.path == path:
            return known
        if known is not None or upload_id in self._done or not _ID.fullmatch(upload_id):
            raise NoSuchUpload(path)
        query: dict[str, str | None] = {"uploadId": upload_id, "max-parts": "1"}
        try:
            answer = await self._bucket.client.ask(Order("GET", self._bucket.key(path), query))
        except Refused as refused:
            raise (NoSuchUpload(path) if refused.status in (400, 404) else storage_error(refused, path)) from None
        root = read(answer.body)
        if root.value("Key", "") != self._bucket.key(path):
            raise NoSuchUpload(path)
        return Upload(
            upload_id,
            path,
            0,
            checksum_algorithm=root.value("ChecksumAlgorithm") or None,
            checksum_type=root.value("ChecksumType") or None,
        )

    async def uploads(self, prefix: str) -> Sequence[Upload]:
        """See IMultipartUploads."""
        found: list[Begun] = []
        query: dict[str, str | None] = {"uploads": None, "encoding-type": "url", "prefix": self._bucket.key(prefix)}
        while True:
            answer = await self._bucket.told(self._bucket.client.ask(Order("GET", None, query)), prefix)
            page = await self._bucket.threads.run(uploads_of, answer.body)
            found += page.uploads
            if page.markers is None:
                break
            query["key-marker"], query["upload-id-marker"] = page.markers
        under = [one for one in found if one.key.startswith(self._bucket.key(prefix)) and one.key != self._bucket.options.prefix]
        uploads = [self._begun.get(one.upload_id) or Upload(one.upload_id, self._bucket.path(one.key), one.initiated_ns) for one in under]
        return sorted(uploads, key=lambda one: (one.path, one.initiated_ns))

    async def create_part(self, upload: Upload, number: int, length: int | None) -> IObjectWriter:  # noqa: ARG002 the interface's
        """See IMultipartUploads."""
        await self.upload(upload.path, upload.upload_id)
        return PartWriter(self._bucket, upload, number, partial(self.upload, upload.path, upload.upload_id), self._keep)

    async def parts(self, upload: Upload) -> Sequence[Part]:
        """See IMultipartUploads."""
        found: list[Part] = []
        query: dict[str, str | None] = {"uploadId": upload.upload_id}
        while True:
            try:
                answer = await self._bucket.ask(upload.path, "GET", query)
            except NoSuchPath:
                raise NoSuchUpload(upload.path) from None
            page = await self._bucket.threads.run(parts_of, answer.body)
            found += page.parts
            if page.marker is None:
                return [self._with_checksums(upload, part) for part in sorted(found, key=lambda part: part.number)]
            query["part-number-marker"] = page.marker

    async def complete(self, upload: Upload, parts: Sequence[Part], attributes: Attributes, condition: WriteCondition) -> Status:
        """See IMultipartUploads. A part that is not there, or was replaced, is S3Error InvalidPart, and the upload stays."""
        async with self._turn(upload.upload_id):
            await self.upload(upload.path, upload.upload_id)
            await self._check_place(upload.path)
            digests = attributes if upload.checksum_algorithm else Attributes()
            try:
                made = await requests.complete(self._bucket, upload.path, upload.upload_id, parts, digests, condition)
            except (NoSuchPath, NoSuchUpload):
                self._forget(upload.upload_id)
                raise NoSuchUpload(upload.path) from None
            await ensure_tags(self._bucket, upload.path, upload.attributes.tags)
            size = sum(part.size for part in parts)
            kept = evolve(attributes, etag=None, owner=None, tags={}, part_sizes=())
            status = Status(upload.path, size, made.modified_ns or self._now(), made.etag, made.etag, kept)
            self._forget(upload.upload_id)
            _remember(self._done, upload.upload_id, evolve(status, modified_ns=self._now()))
        return status

    async def completed(self, path: str, upload_id: str) -> Status | None:
        """See IMultipartUploads. It is known to the process that completed it."""
        done = self._done.get(upload_id)
        return done if done is not None and done.path == path and done.modified_ns > self._now() - _DAY_NS else None

    async def complete_again(self, path: str, upload_id: str, parts: Sequence[Part]) -> Status | None:
        """See IRepeatedCompletions. AWS is such a store, for a while; others say that there is no such upload."""
        known = self._begun.get(upload_id)
        if not _ID.fullmatch(upload_id) or (known is not None and known.path != path):
            return None
        etag = await requests.complete_again(self._bucket, path, upload_id, parts)
        return None if etag is None else Status(path, 0, self._now(), etag, etag, Attributes())

    async def abort(self, upload: Upload) -> None:
        """See IMultipartUploads."""
        async with self._turn(upload.upload_id):
            await self.upload(upload.path, upload.upload_id)
            self._forget(upload.upload_id)
            await requests.forget(self._bucket, upload.path, upload.upload_id)

    async def expire(self, before_ns: int) -> int:
        """See IMultipartUploads. Only what was begun here: others may be writing to the bucket, and their uploads are their own."""
        count = 0
        for upload in [one for one in self._begun.values() if one.initiated_ns < before_ns]:
            try:
                if all(part.modified_ns < before_ns for part in await self.parts(upload)):
                    await self.abort(upload)
                    count += 1
            except NoSuchUpload:
                self._forget(upload.upload_id)
        return count

    @asynccontextmanager
    async def _turn(self, upload_id: str) -> AsyncIterator[None]:
        lock = self._turns.setdefault(upload_id, DeferredLock())
        await lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _keep(self, upload: Upload, number: int, etag: str, checksums: Mapping[str, str]) -> None:
        """Remember the checksums that a part came with: not every store that has uploads has them."""
        if checksums:
            if upload.upload_id not in self._checksums:
                _remember(self._checksums, upload.upload_id, {})
            self._checksums[upload.upload_id][number] = (etag, checksums)

    def _with_checksums(self, upload: Upload, part: Part) -> Part:
        etag, checksums = self._checksums.get(upload.upload_id, {}).get(part.number, ("", {}))
        if part.checksums:
            return part
        return evolve(part, checksums=checksums) if etag == part.etag else evolve(part, checksums_kept=False)

    def _forget(self, upload_id: str) -> None:
        self._begun.pop(upload_id, None)
        self._checksums.pop(upload_id, None)

    def _now(self) -> int:
        return int(self._clock.seconds() * 10**9)


@implementer(IObjectWriter, IRangeCopier)
@define(eq=False)
class PartWriter:
    """A part on its way: its bytes, or a stretch of an object that the store is to copy."""

    _bucket: Bucket
    _upload: Upload
    _number: int
    _check_upload: Callable[[], Awaitable[object]]
    _keep: Callable[[Upload, int, str, Mapping[str, str]], None]
    _spool: Spool = field(init=False)
    _copied: Stretch | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._spool = Spool(self._bucket.threads)

    async def write(self, data: bytes) -> None:
        """See IObjectWriter."""
        stretch, self._copied = self._copied, None
        if stretch is not None:
            async for piece in stretch.reader.read(stretch.offset, stretch.count):
                await self._spool.write(piece)
        await self._spool.write(data)

    async def copy_from(self, reader: IObjectReader, offset: int, count: int) -> bool:
        """See IRangeCopier. One stretch becomes a part; what is made of pieces is sent."""
        stretch = Stretch.of(self._bucket, reader, offset, count)
        if stretch is None or self._spool.size or self._copied is not None:
            return False
        self._copied = stretch
        return True

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:  # noqa: ARG002 parts have none
        """See IMultipartUploads.create_part."""
        try:
            made = await self._send(attributes)
        except NoSuchPath:
            raise NoSuchUpload(self._upload.path) from None
        except Unavailable:
            await self._check_upload()  # some stores fail when it has ended meanwhile
            raise
        finally:
            size = self._spool.size if self._copied is None else self._copied.count
            await self._spool.close()
        self._keep(self._upload, self._number, made.etag, attributes.checksums)
        kept = attributes_of(made.headers)
        return Status("", size, made.modified_ns, made.etag, made.etag, kept)

    async def abort(self) -> None:
        """See IObjectWriter."""
        await self._spool.close()

    async def _send(self, attributes: Attributes) -> Published:
        bucket, path, upload_id = self._bucket, self._upload.path, self._upload.upload_id
        if self._copied is None:
            return await requests.send(bucket, path, upload_id, self._number, self._spool, attributes)
        expected = attributes.etag if attributes.etag is not None and is_md5_etag(attributes.etag) else None
        return await requests.copy(bucket, path, upload_id, self._number, self._copied, expected)


def _remember(where: OrderedDict[str, V], upload_id: str, value: V) -> None:
    where[upload_id] = value
    while len(where) > _REMEMBERED:
        where.popitem(last=False)

"""Writes through the cache: what is remembered of a path is forgotten, by all processes, before a write of it is answered.

It is forgotten twice: before the store is asked, so that a process that dies in between leaves nothing old behind, and after it, so
that nothing is learned any more that somebody asked before the write.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from zope.interface import implementer

from alluxio_s3.cache.freshness import Memory
from alluxio_s3.cache.reader import CachedReader
from alluxio_s3.interfaces import (
    IAttributeUpdater,
    IBucketContainer,
    IMultipartUploads,
    IObjectReader,
    IObjectWriter,
    IPartLocator,
    IRangeCopier,
    IRepeatedCompletions,
)
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, ObjectChanged, Part, PartPlace, Status, Upload

T = TypeVar("T")


async def changing(memory: Memory, path: str, change: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The result of ``change``, which changes what is at ``path``.

    Once it has begun it goes on to its end, also when nobody waits for it any more: the store may do what it was asked to, and only
    after that is it known that nothing old is remembered.
    """

    async def whole() -> T:
        await memory.forget(path)
        try:
            return await change()
        finally:
            await memory.forget(path)

    waiting: Deferred[T] = Deferred()
    _ = Deferred.fromCoroutine(whole()).addBoth(waiting.callback)
    return await waiting


@implementer(IObjectWriter, IRangeCopier)
class CachedWriter:
    """``writer`` of the object at ``path``."""

    def __init__(self, writer: IObjectWriter, path: str, memory: Memory) -> None:
        self._writer = writer
        self._path = path
        self._memory = memory
        self._committing: Deferred[None] | None = None

    async def write(self, data: bytes) -> None:
        """See IObjectWriter."""
        await self._writer.write(data)

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        """See IObjectWriter."""
        ended = self._committing = Deferred()

        async def commit() -> Status:
            try:
                return await self._writer.commit(attributes, condition)
            finally:
                ended.callback(None)

        return await changing(self._memory, self._path, commit)

    async def abort(self) -> None:
        """See IObjectWriter. A commit that is under way ends first."""
        if self._committing is not None:
            await self._committing
        await self._writer.abort()

    async def copy_from(self, reader: IObjectReader, offset: int, count: int) -> bool:
        """See IRangeCopier."""
        return await _copy_from(self._writer, reader, offset, count)


@implementer(IMultipartUploads, IRepeatedCompletions)
class CachedUploads:
    """``uploads`` of an under-store that has its own."""

    def __init__(self, uploads: IMultipartUploads, memory: Memory) -> None:
        self._uploads = uploads
        self._memory = memory

    async def create_upload(self, upload: Upload) -> Upload:
        """See IMultipartUploads."""
        return await self._uploads.create_upload(upload)

    async def upload(self, path: str, upload_id: str) -> Upload:
        """See IMultipartUploads."""
        return await self._uploads.upload(path, upload_id)

    async def uploads(self, prefix: str) -> Sequence[Upload]:
        """See IMultipartUploads."""
        return await self._uploads.uploads(prefix)

    async def create_part(self, upload: Upload, number: int, length: int | None) -> IObjectWriter:
        """See IMultipartUploads. A part is no object; it may be copied from one."""
        return PartWriter(await self._uploads.create_part(upload, number, length))

    async def parts(self, upload: Upload) -> Sequence[Part]:
        """See IMultipartUploads."""
        return await self._uploads.parts(upload)

    async def complete(self, upload: Upload, parts: Sequence[Part], attributes: Attributes, condition: WriteCondition) -> Status:
        """See IMultipartUploads."""
        return await changing(self._memory, upload.path, lambda: self._uploads.complete(upload, parts, attributes, condition))

    async def completed(self, path: str, upload_id: str) -> Status | None:
        """See IMultipartUploads. Who completed it may have died before all was forgotten."""
        done = await self._uploads.completed(path, upload_id)
        if done is not None:
            await self._memory.forget(path)
        return done

    async def complete_again(self, path: str, upload_id: str, parts: Sequence[Part]) -> Status | None:
        """See IRepeatedCompletions."""
        repeated = IRepeatedCompletions(self._uploads, None)
        if repeated is None:
            return None
        return await changing(self._memory, path, lambda: repeated.complete_again(path, upload_id, parts))

    async def abort(self, upload: Upload) -> None:
        """See IMultipartUploads."""
        await self._uploads.abort(upload)

    async def expire(self, before_ns: int) -> int:
        """See IMultipartUploads."""
        return await self._uploads.expire(before_ns)


@implementer(IObjectWriter, IRangeCopier)
class PartWriter:
    """``writer`` of a part."""

    def __init__(self, writer: IObjectWriter) -> None:
        self._writer = writer

    async def write(self, data: bytes) -> None:
        """See IObjectWriter."""
        await self._writer.write(data)

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        """See IObjectWriter."""
        return await self._writer.commit(attributes, condition)

    async def abort(self) -> None:
        """See IObjectWriter."""
        await self._writer.abort()

    async def copy_from(self, reader: IObjectReader, offset: int, count: int) -> bool:
        """See IRangeCopier."""
        return await _copy_from(self._writer, reader, offset, count)


@implementer(IPartLocator)
class CachedParts:
    """``locator`` of an under-store that is asked for parts: it may say that what is remembered of an object is old."""

    def __init__(self, locator: IPartLocator, memory: Memory) -> None:
        self._locator = locator
        self._memory = memory

    async def part(self, status: Status, number: int) -> PartPlace | None:
        """See IPartLocator. The store is asked each time."""
        try:
            return await self._locator.part(status, number)
        except ObjectChanged:
            await self._memory.forget(status.path)
            raise


@implementer(IAttributeUpdater)
class CachedAttributes:
    """``updater`` of an under-store that can change attributes in place."""

    def __init__(self, updater: IAttributeUpdater, memory: Memory) -> None:
        self._updater = updater
        self._memory = memory

    async def set_tags(self, path: str, tags: Mapping[str, str]) -> None:
        """See IAttributeUpdater."""
        await changing(self._memory, path, lambda: self._updater.set_tags(path, tags))


@implementer(IBucketContainer)
class CachedBuckets:
    """``container``: buckets that come and go are remembered as folders."""

    def __init__(self, container: IBucketContainer, memory: Memory) -> None:
        self._container = container
        self._memory = memory

    async def buckets(self) -> Sequence[Status]:
        """See IBucketContainer."""
        return await self._container.buckets()

    async def bucket(self, name: str) -> Status:
        """See IBucketContainer."""
        return await self._container.bucket(name)

    async def create_bucket(self, name: str, attributes: Attributes) -> Status:
        """See IBucketContainer."""
        return await changing(self._memory, f"{name}/", lambda: self._container.create_bucket(name, attributes))

    async def delete_bucket(self, name: str) -> None:
        """See IBucketContainer."""
        await changing(self._memory, f"{name}/", lambda: self._container.delete_bucket(name))


async def _copy_from(writer: IObjectWriter, reader: IObjectReader, offset: int, count: int) -> bool:
    """See IRangeCopier. The store copies its own objects, past the cache."""
    copier = IRangeCopier(writer, None)
    if copier is None:
        return False
    if isinstance(reader, CachedReader):
        reader = await reader.source.open()
    return await copier.copy_from(reader, offset, count)

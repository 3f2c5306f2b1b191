"""Writes through the cache: what is remembered of a path is forgotten, by all processes, before a write of it is answered.

It is forgotten twice: before the store is asked, so that a process that dies in between leaves nothing old behind, and after it, so
that nothing is learned any more that somebody asked before the write.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from zope.interface import implementer

from alluxio_s3.cache.freshness import Memory
from alluxio_s3.cache.reader import CachedReader
from alluxio_s3.forwarding import ForwardingBuckets, ForwardingUploads, ForwardingWriter
from alluxio_s3.interfaces import IAttributeUpdater, IObjectReader, IObjectWriter, IPartLocator, IRepeatedCompletions
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


class PartWriter(ForwardingWriter):
    """``writer`` of a part."""

    async def source(self, reader: IObjectReader) -> IObjectReader:
        """See ForwardingWriter. The store copies its own objects, past the cache."""
        return await reader.source.open() if isinstance(reader, CachedReader) else reader


@define(eq=False, slots=False)
class CachedWriter(PartWriter):
    """``writer`` of the object at ``path``."""

    path: str
    memory: Memory
    _committing: Deferred[None] | None = field(default=None, init=False)

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        """See IObjectWriter."""
        ended = self._committing = Deferred()

        async def commit() -> Status:
            try:
                return await self.writer.commit(attributes, condition)
            finally:
                ended.callback(None)

        return await changing(self.memory, self.path, commit)

    async def abort(self) -> None:
        """See IObjectWriter. A commit that is under way ends first."""
        if self._committing is not None:
            await self._committing
        await self.writer.abort()


@define(eq=False, slots=False)
class CachedUploads(ForwardingUploads):
    """Those of an under-store that has its own."""

    memory: Memory

    async def create_part(self, upload: Upload, number: int, length: int | None) -> IObjectWriter:
        """See IMultipartUploads. A part is no object; it may be copied from one."""
        return PartWriter(await self.uploads_.create_part(upload, number, length))

    async def complete(self, upload: Upload, parts: Sequence[Part], attributes: Attributes, condition: WriteCondition) -> Status:
        """See IMultipartUploads."""
        return await changing(self.memory, upload.path, lambda: self.uploads_.complete(upload, parts, attributes, condition))

    async def completed(self, path: str, upload_id: str) -> Status | None:
        """See IMultipartUploads. Who completed it may have died before all was forgotten."""
        done = await self.uploads_.completed(path, upload_id)
        if done is not None:
            await self.memory.forget(path)
        return done

    async def complete_again(self, path: str, upload_id: str, parts: Sequence[Part]) -> Status | None:
        """See IRepeatedCompletions."""
        repeated = IRepeatedCompletions(self.uploads_, None)
        if repeated is None:
            return None
        return await changing(self.memory, path, lambda: repeated.complete_again(path, upload_id, parts))


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


@define(eq=False, slots=False)
class CachedBuckets(ForwardingBuckets):
    """Buckets that come and go are remembered as folders."""

    memory: Memory

    async def create_bucket(self, name: str, attributes: Attributes) -> Status:
        """See IBucketContainer."""
        return await changing(self.memory, f"{name}/", lambda: self.container.create_bucket(name, attributes))

    async def delete_bucket(self, name: str) -> None:
        """See IBucketContainer."""
        await changing(self.memory, f"{name}/", lambda: self.container.delete_bucket(name))

"""An under-store in front of another, and what of one is in front of another's: what those are built on that change something about it.

The optional interfaces of the other store show through by ``__conform__``: ``IMultipartUploads(front, None)`` is
what ``front.offers`` makes of the other's. What a front does not know it does not offer, so that nothing goes round it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define, field
from zope.interface import implementer

from alluxio_s3.interfaces import (
    IAttributeUpdater,
    IBucketContainer,
    IEagerReading,
    IHotObjects,
    IIdentified,
    IMultipartUploads,
    IObjectReader,
    IObjectWriter,
    IPartLocator,
    IRangeCopier,
    IReadOnly,
    IRemote,
    IRepeatedCompletions,
    IResidency,
    ITagReader,
    IUnderFileSystem,
)
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, Listing, Part, Status, Upload


@implementer(IUnderFileSystem)
@define(eq=False, slots=False)
class ForwardingUnderFileSystem:
    """``ufs``, as it is. Subclasses change what they have to, and in ``offers`` what of its optional interfaces shows."""

    ufs: IUnderFileSystem
    _offered: dict[Any, object] = field(factory=dict, init=False, repr=False)

    def __conform__(self, interface: Any) -> object:
        """What ``interface(self)`` is, always the same object."""
        if interface not in self._offered:
            self._offered[interface] = self.offers(interface)
        return self._offered[interface]

    def offers(self, interface: Any) -> Any:
        """What of the other store's ``interface`` shows, or None."""
        if interface in (
            IAttributeUpdater,
            IBucketContainer,
            IEagerReading,
            IHotObjects,
            IIdentified,
            IMultipartUploads,
            IPartLocator,
            IReadOnly,
            IRemote,
            IResidency,
            ITagReader,
        ):
            return interface(self.ufs, None)
        return None

    async def status(self, path: str) -> Status:
        """See IUnderFileSystem."""
        return await self.ufs.status(path)

    async def list(self, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
        """See IUnderFileSystem."""
        return await self.ufs.list(prefix, start, limit, delimiter)

    async def open(self, path: str) -> IObjectReader:
        """See IUnderFileSystem."""
        return await self.ufs.open(path)

    async def create(self, path: str, attributes: Attributes, length: int | None) -> IObjectWriter:
        """See IUnderFileSystem."""
        return await self.ufs.create(path, attributes, length)

    async def delete(self, path: str, condition: WriteCondition) -> None:
        """See IUnderFileSystem."""
        await self.ufs.delete(path, condition)

    async def close(self) -> None:
        """See IUnderFileSystem."""
        await self.ufs.close()


@implementer(IObjectWriter, IRangeCopier)
@define(eq=False, slots=False)
class ForwardingWriter:
    """``writer``, as it is. Subclasses say in ``source`` what it may copy from."""

    writer: IObjectWriter

    async def write(self, data: bytes) -> None:
        """See IObjectWriter."""
        await self.writer.write(data)

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        """See IObjectWriter."""
        return await self.writer.commit(attributes, condition)

    async def abort(self) -> None:
        """See IObjectWriter."""
        await self.writer.abort()

    async def copy_from(self, reader: IObjectReader, offset: int, count: int) -> bool:
        """See IRangeCopier."""
        copier = IRangeCopier(self.writer, None)
        return False if copier is None else await copier.copy_from(await self.source(reader), offset, count)

    async def source(self, reader: IObjectReader) -> IObjectReader:
        """What the store knows ``reader`` as."""
        return reader


@implementer(IMultipartUploads, IRepeatedCompletions)
@define(eq=False, slots=False)
class ForwardingUploads:
    """``uploads``, as they are."""

    uploads_: IMultipartUploads

    async def create_upload(self, upload: Upload) -> Upload:
        """See IMultipartUploads."""
        return await self.uploads_.create_upload(upload)

    async def upload(self, path: str, upload_id: str) -> Upload:
        """See IMultipartUploads."""
        return await self.uploads_.upload(path, upload_id)

    async def uploads(self, prefix: str) -> Sequence[Upload]:
        """See IMultipartUploads."""
        return await self.uploads_.uploads(prefix)

    async def create_part(self, upload: Upload, number: int, length: int | None) -> IObjectWriter:
        """See IMultipartUploads."""
        return await self.uploads_.create_part(upload, number, length)

    async def parts(self, upload: Upload) -> Sequence[Part]:
        """See IMultipartUploads."""
        return await self.uploads_.parts(upload)

    async def complete(self, upload: Upload, parts: Sequence[Part], attributes: Attributes, condition: WriteCondition) -> Status:
        """See IMultipartUploads."""
        return await self.uploads_.complete(upload, parts, attributes, condition)

    async def completed(self, path: str, upload_id: str) -> Status | None:
        """See IMultipartUploads."""
        return await self.uploads_.completed(path, upload_id)

    async def complete_again(self, path: str, upload_id: str, parts: Sequence[Part]) -> Status | None:
        """See IRepeatedCompletions."""
        repeated = IRepeatedCompletions(self.uploads_, None)
        return None if repeated is None else await repeated.complete_again(path, upload_id, parts)

    async def abort(self, upload: Upload) -> None:
        """See IMultipartUploads."""
        await self.uploads_.abort(upload)

    async def expire(self, before_ns: int) -> int:
        """See IMultipartUploads."""
        return await self.uploads_.expire(before_ns)


@implementer(IBucketContainer)
@define(eq=False, slots=False)
class ForwardingBuckets:
    """``container``, as it is."""

    container: IBucketContainer

    async def buckets(self) -> Sequence[Status]:
        """See IBucketContainer."""
        return await self.container.buckets()

    async def bucket(self, name: str) -> Status:
        """See IBucketContainer."""
        return await self.container.bucket(name)

    async def create_bucket(self, name: str, attributes: Attributes) -> Status:
        """See IBucketContainer."""
        return await self.container.create_bucket(name, attributes)

    async def delete_bucket(self, name: str) -> None:
        """See IBucketContainer."""
        await self.container.delete_bucket(name)

"""Writes to what workers own: they go to the store here, and the owners are told before they are answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from zope.interface import implementer

from alluxio_s3.cluster.peer_reader import PeerReader
from alluxio_s3.interfaces import IAttributeUpdater, IMultipartUploads, IObjectReader, IObjectWriter, IRangeCopier, IRepeatedCompletions
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, Part, Status, Upload

if TYPE_CHECKING:
    from alluxio_s3.cluster.store import ClusterStore


async def _copy_from(writer: IObjectWriter, reader: IObjectReader, offset: int, count: int) -> bool:
    """See IRangeCopier. What is to be copied need not come from its owner."""
    copier = IRangeCopier(writer, None)
    if copier is None:
        return False
    return await copier.copy_from(await reader.local() if isinstance(reader, PeerReader) else reader, offset, count)


@implementer(IObjectWriter, IRangeCopier)
class SharedWriter:
    """``writer`` of the object at ``path`` of ``store``."""

    def __init__(self, writer: IObjectWriter, path: str, store: ClusterStore) -> None:
        self._writer = writer
        self._path = path
        self._store = store

    async def write(self, data: bytes) -> None:
        """See IObjectWriter."""
        await self._writer.write(data)

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        """See IObjectWriter."""
        store = self._store
        if not store.relies:
            return await self._writer.commit(attributes, condition)
        changing = store.neighbours.notices.changing
        return await changing(store.base + self._path, store.name, lambda: self._writer.commit(attributes, condition))

    async def abort(self) -> None:
        """See IObjectWriter."""
        await self._writer.abort()

    async def copy_from(self, reader: IObjectReader, offset: int, count: int) -> bool:
        """See IRangeCopier."""
        return await _copy_from(self._writer, reader, offset, count)


@implementer(IObjectWriter, IRangeCopier)
class SharedPart:
    """``writer`` of a part, which nobody remembers."""

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


@implementer(IMultipartUploads, IRepeatedCompletions)
class SharedUploads:
    """``uploads`` of ``store``."""

    def __init__(self, uploads: IMultipartUploads, store: ClusterStore) -> None:
        self._uploads = uploads
        self._store = store

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
        """See IMultipartUploads."""
        return SharedPart(await self._uploads.create_part(upload, number, length))

    async def parts(self, upload: Upload) -> Sequence[Part]:
        """See IMultipartUploads."""
        return await self._uploads.parts(upload)

    async def complete(self, upload: Upload, parts: Sequence[Part], attributes: Attributes, condition: WriteCondition) -> Status:
        """See IMultipartUploads."""
        store = self._store
        if not store.relies:
            return await self._uploads.complete(upload, parts, attributes, condition)
        changing = store.neighbours.notices.changing
        return await changing(store.base + upload.path, store.name, lambda: self._uploads.complete(upload, parts, attributes, condition))

    async def completed(self, path: str, upload_id: str) -> Status | None:
        """See IMultipartUploads. Who completed it may have died before it told the owners."""
        done = await self._uploads.completed(path, upload_id)
        store = self._store
        if done is not None and store.relies:
            await store.neighbours.notices.tell(store.base + path, store.name)
        return done

    async def complete_again(self, path: str, upload_id: str, parts: Sequence[Part]) -> Status | None:
        """See IRepeatedCompletions."""
        repeated, store = IRepeatedCompletions(self._uploads, None), self._store
        if repeated is None:
            return None
        if not store.relies:
            return await repeated.complete_again(path, upload_id, parts)
        changing = store.neighbours.notices.changing
        return await changing(store.base + path, store.name, lambda: repeated.complete_again(path, upload_id, parts))

    async def abort(self, upload: Upload) -> None:
        """See IMultipartUploads."""
        await self._uploads.abort(upload)

    async def expire(self, before_ns: int) -> int:
        """See IMultipartUploads."""
        return await self._uploads.expire(before_ns)


@implementer(IAttributeUpdater)
class SharedAttributes:
    """``updater`` of ``store``."""

    def __init__(self, updater: IAttributeUpdater, store: ClusterStore) -> None:
        self._updater = updater
        self._store = store

    async def set_tags(self, path: str, tags: Mapping[str, str]) -> None:
        """See IAttributeUpdater."""
        store = self._store
        if not store.relies:
            await self._updater.set_tags(path, tags)
            return
        await store.neighbours.notices.changing(store.base + path, store.name, lambda: self._updater.set_tags(path, tags))

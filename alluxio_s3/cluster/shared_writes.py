"""Writes to what workers own: they go to the store here, and the owners are told before they are answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import define
from zope.interface import implementer

from alluxio_s3.cluster.peer_reader import PeerReader
from alluxio_s3.forwarding import ForwardingUploads, ForwardingWriter
from alluxio_s3.interfaces import IAttributeUpdater, IObjectReader, IObjectWriter, IRepeatedCompletions
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, Part, Status, Upload

if TYPE_CHECKING:
    from alluxio_s3.cluster.store import ClusterStore


class SharedPart(ForwardingWriter):
    """``writer`` of a part, which nobody remembers."""

    async def source(self, reader: IObjectReader) -> IObjectReader:
        """See ForwardingWriter. What is to be copied need not come from its owner."""
        return await reader.local() if isinstance(reader, PeerReader) else reader


@define(eq=False, slots=False)
class SharedWriter(SharedPart):
    """``writer`` of the object at ``path`` of ``store``."""

    path: str
    store: ClusterStore

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        """See IObjectWriter."""
        store = self.store
        if not store.relies:
            return await self.writer.commit(attributes, condition)
        changing = store.neighbours.notices.changing
        return await changing(store.base + self.path, store.name, lambda: self.writer.commit(attributes, condition))


@define(eq=False, slots=False)
class SharedUploads(ForwardingUploads):
    """Those of ``store``."""

    store: ClusterStore

    async def create_part(self, upload: Upload, number: int, length: int | None) -> IObjectWriter:
        """See IMultipartUploads."""
        return SharedPart(await self.uploads_.create_part(upload, number, length))

    async def complete(self, upload: Upload, parts: Sequence[Part], attributes: Attributes, condition: WriteCondition) -> Status:
        """See IMultipartUploads."""
        store = self.store
        if not store.relies:
            return await self.uploads_.complete(upload, parts, attributes, condition)
        changing = store.neighbours.notices.changing
        return await changing(store.base + upload.path, store.name, lambda: self.uploads_.complete(upload, parts, attributes, condition))

    async def completed(self, path: str, upload_id: str) -> Status | None:
        """See IMultipartUploads. Who completed it may have died before it told the owners."""
        done = await self.uploads_.completed(path, upload_id)
        store = self.store
        if done is not None and store.relies:
            await store.neighbours.notices.tell(store.base + path, store.name)
        return done

    async def complete_again(self, path: str, upload_id: str, parts: Sequence[Part]) -> Status | None:
        """See IRepeatedCompletions."""
        repeated, store = IRepeatedCompletions(self.uploads_, None), self.store
        if repeated is None:
            return None
        if not store.relies:
            return await repeated.complete_again(path, upload_id, parts)
        changing = store.neighbours.notices.changing
        return await changing(store.base + path, store.name, lambda: repeated.complete_again(path, upload_id, parts))


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

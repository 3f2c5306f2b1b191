"""Multipart uploads for under-stores that have none: parts wait in a staging store until Complete writes them on.

The staging store is any ``IUnderFileSystem``, usually a directory of this machine. An upload is a
folder there: ``<id>/upload`` is its record, ``<id>/part-00001`` a part, whose ETag and checksums are the attributes of that
object; ``completed/<id>`` remembers for a day what an upload became.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from attrs import asdict, define, evolve, field
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from alluxio_s3.interfaces import IMultipartUploads, IObjectReader, IObjectWriter, IUnderFileSystem
from alluxio_s3.s3.conditions import ALWAYS, WriteCondition
from alluxio_s3.storage import Attributes, NoSuchPath, NoSuchUpload, Part, Status, StorageError, Upload

REMEMBER_NS = 24 * 3600 * 10**9
PAGE = 1000
_ID = re.compile(r"[A-Za-z0-9_-]{22}")


@implementer(IMultipartUploads)
@define
class StagedUploads:
    """Uploads to ``target`` by way of ``staging``, which nobody else may write to. ``clock`` tells wall time."""

    target: IUnderFileSystem
    staging: IUnderFileSystem
    clock: IReactorTime
    _ending: set[str] = field(factory=set, init=False)

    async def create_upload(self, upload: Upload) -> Upload:
        """See ``IMultipartUploads``."""
        made = evolve(upload, upload_id=secrets.token_urlsafe(16), initiated_ns=self._now())
        await self._keep(f"{made.upload_id}/upload", asdict(made, value_serializer=_plain))
        return made

    async def upload(self, path: str, upload_id: str) -> Upload:
        """See ``IMultipartUploads``."""
        if not _ID.fullmatch(upload_id):
            raise NoSuchUpload(path)
        try:
            found = await self._record(upload_id)
        except NoSuchPath:
            raise NoSuchUpload(path) from None
        if found.path != path:
            raise NoSuchUpload(path)
        return found

    async def uploads(self, prefix: str) -> Sequence[Upload]:
        """See ``IMultipartUploads``."""
        found = []
        for upload_id in await self._ids():
            with suppress(NoSuchPath):
                found.append(await self._record(upload_id))
        found = [one for one in found if one.path.startswith(prefix)]
        return sorted(found, key=lambda one: (one.path, one.initiated_ns, one.upload_id))

    async def create_part(self, upload: Upload, number: int, length: int | None) -> IObjectWriter:
        """See ``IMultipartUploads``."""
        await self.upload(upload.path, upload.upload_id)
        writer = await self.staging.create(_part(upload, number), Attributes(), length)
        return _PartWriter(self, upload, number, writer)

    async def parts(self, upload: Upload) -> Sequence[Part]:
        """See ``IMultipartUploads``."""
        await self.upload(upload.path, upload.upload_id)
        return [
            Part(int(one.path[-5:]), one.size, one.modified_ns, one.etag, one.attributes.checksums)
            for one in await self._entries(f"{upload.upload_id}/part-")
        ]

    async def complete(self, upload: Upload, parts: Sequence[Part], attributes: Attributes, condition: WriteCondition) -> Status:
        """See ``IMultipartUploads``."""
        await self.upload(upload.path, upload.upload_id)
        if upload.upload_id in self._ending:
            raise NoSuchUpload(upload.path)
        self._ending.add(upload.upload_id)
        try:
            status = await self._assemble(upload, parts, attributes, condition)
            await self._keep(f"completed/{upload.upload_id}", {"path": upload.path, "etag": status.etag, "size": status.size})
            await self._forget(upload.upload_id)
        finally:
            self._ending.discard(upload.upload_id)
        return status

    async def completed(self, path: str, upload_id: str) -> Status | None:
        """See ``IMultipartUploads``."""
        if not _ID.fullmatch(upload_id):
            return None
        try:
            record = await self._load(f"completed/{upload_id}")
        except NoSuchPath:
            return None
        if record["path"] != path:
            return None
        return Status(path, record["size"], 0, record["etag"], record["etag"])

    async def abort(self, upload: Upload) -> None:
        """See ``IMultipartUploads``."""
        await self.upload(upload.path, upload.upload_id)
        if upload.upload_id in self._ending:
            raise NoSuchUpload(upload.path)
        await self._forget(upload.upload_id)

    async def expire(self, before_ns: int) -> int:
        """See ``IMultipartUploads``."""
        count = 0
        for upload_id in await self._ids():
            entries = await self._entries(f"{upload_id}/")
            if upload_id not in self._ending and all(one.modified_ns < before_ns for one in entries):
                await self._forget(upload_id)
                count += 1
        for status in await self._entries("completed/"):
            if status.modified_ns < self._now() - REMEMBER_NS:
                await self._delete(status.path)
        return count

    async def _assemble(self, upload: Upload, parts: Sequence[Part], attributes: Attributes, condition: WriteCondition) -> Status:
        writer = await self.target.create(upload.path, attributes, sum(part.size for part in parts))
        try:
            for part in parts:
                reader: IObjectReader = await self.staging.open(_part(upload, part.number))
                try:
                    if reader.status.etag != part.etag:
                        raise NoSuchUpload(upload.path, f"part {part.number} was replaced meanwhile")
                    async for piece in reader.read(0, part.size):
                        await writer.write(piece)
                finally:
                    await reader.close()
            return await writer.commit(attributes, condition)
        finally:
            await writer.abort()

    async def _ids(self) -> list[str]:
        names = [entry.rstrip("/") for entry in await self._page_through("", "/") if isinstance(entry, str)]
        return [name for name in names if _ID.fullmatch(name)]

    async def _entries(self, prefix: str) -> list[Status]:
        return [one for one in await self._page_through(prefix, "") if isinstance(one, Status) and not one.is_folder]

    async def _page_through(self, prefix: str, delimiter: str) -> list[Status | str]:
        start, found = prefix, list[Status | str]()
        while True:
            listing = await self.staging.list(prefix, start, PAGE, delimiter)
            found += listing.entries
            if listing.complete:
                return found
            # Past the last entry, and past all that it folds.
            last = listing.entries[-1]
            start = f"{last.path}\0" if isinstance(last, Status) else f"{last[:-1]}0"

    async def _record(self, upload_id: str) -> Upload:
        record = await self._load(f"{upload_id}/upload")
        return Upload(**{**record, "attributes": Attributes(**{**record["attributes"], "part_sizes": ()})})

    async def _keep(self, path: str, record: dict[str, Any]) -> None:
        writer = await self.staging.create(path, Attributes(), None)
        try:
            await writer.write(json.dumps(record).encode())
            await writer.commit(Attributes(), ALWAYS)
        finally:
            await writer.abort()

    async def _load(self, path: str) -> dict[str, Any]:
        reader = await self.staging.open(path)
        try:
            text = b"".join([piece async for piece in reader.read(0, reader.status.size)])
        finally:
            await reader.close()
        record: dict[str, Any] = json.loads(text)
        return record

    async def _forget(self, upload_id: str) -> None:
        # The record goes first: without it the upload has ended, whatever is left of its parts.
        await self._delete(f"{upload_id}/upload")
        for status in await self._entries(f"{upload_id}/"):
            await self._delete(status.path)

    async def _delete(self, path: str) -> None:
        with suppress(NoSuchPath):
            await self.staging.delete(path, ALWAYS)

    def _now(self) -> int:
        return int(self.clock.seconds() * 10**9)


@implementer(IObjectWriter)
@define
class _PartWriter:
    """A part on its way into the staging store."""

    _uploads: StagedUploads
    _upload: Upload
    _number: int
    _writer: IObjectWriter

    async def write(self, data: bytes) -> None:
        await self._writer.write(data)

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        try:
            await self._uploads.upload(self._upload.path, self._upload.upload_id)
        except StorageError:
            await self._writer.abort()
            raise
        return evolve(await self._writer.commit(attributes, condition), path="")

    async def abort(self) -> None:
        await self._writer.abort()


def _part(upload: Upload, number: int) -> str:
    return f"{upload.upload_id}/part-{number:05}"


def _plain(_instance: object, _attribute: object, value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value

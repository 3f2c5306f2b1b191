"""Multipart uploads for under-stores that have none: parts wait in a staging store until Complete writes them on.

The staging store is any ``IUnderFileSystem``, usually a directory of this machine. An upload is a
folder there: ``<id>/upload`` is its record, ``<id>/part-00001`` a part, whose ETag and checksums are the attributes of that
object; ``completed/<id>`` remembers for a day what an upload became.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from attrs import asdict, define, evolve, field
from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from alluxio_s3.interfaces import IMultipartUploads, IObjectReader, IObjectWriter, IUnderFileSystem
from alluxio_s3.s3.conditions import ALWAYS, WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes, NoSuchPath, NoSuchUpload, Part, Status, StorageError, Upload

# A day, and another by which the clock may be set forward.
REMEMBER_NS = 48 * 3600 * 10**9
PAGE = 1000
_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_log = Logger()


@implementer(IMultipartUploads)
@define
class StagedUploads:
    """Uploads to ``target`` by way of ``staging``, which nobody else may write to. ``clock`` tells wall time.

    Those who would end the same upload take turns, so that each finds it as the one before left it: completed,
    aborted, or as it was.
    """

    target: IUnderFileSystem
    staging: IUnderFileSystem
    clock: IReactorTime
    _turns: WeakValueDictionary[str, DeferredLock] = field(factory=WeakValueDictionary, init=False)
    _latest_ns: int = field(default=0, init=False)

    async def create_upload(self, upload: Upload) -> Upload:
        """See ``IMultipartUploads``."""
        # Of two uploads the later has the later time, also within one tick of the clock: lists are in the order they began.
        self._latest_ns = max(self._now(), self._latest_ns + 1)
        made = evolve(upload, upload_id=secrets.token_urlsafe(16), initiated_ns=self._latest_ns)
        await self._keep(f"{made.upload_id}/upload", asdict(made))
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
        async for upload_id in self._ids():
            with suppress(NoSuchPath):
                found.append(await self._record(upload_id))
        found = [one for one in found if one.path.startswith(prefix)]
        return sorted(found, key=lambda one: (one.path, one.initiated_ns, one.upload_id))

    async def create_part(self, upload: Upload, number: int, length: int | None) -> IObjectWriter:
        """See ``IMultipartUploads``."""
        await self.upload(upload.path, upload.upload_id)
        writer = await self.staging.create(_part(upload, number), Attributes(), length)
        return _PartWriter(writer, partial(self._settle, upload, number))

    async def parts(self, upload: Upload) -> Sequence[Part]:
        """See ``IMultipartUploads``."""
        await self.upload(upload.path, upload.upload_id)
        return [
            Part(int(one.path[-5:]), one.size, one.modified_ns, one.etag, one.attributes.checksums)
            async for one in self._objects(f"{upload.upload_id}/part-")
        ]

    async def complete(self, upload: Upload, parts: Sequence[Part], attributes: Attributes, condition: WriteCondition) -> Status:
        """See ``IMultipartUploads``. A part that is not there, or was replaced, is S3Error InvalidPart, and the upload stays."""
        async with self._turn(upload.upload_id):
            await self.upload(upload.path, upload.upload_id)
            status = await self._assemble(upload, parts, attributes, condition)
            try:
                record = {"path": upload.path, "etag": status.etag, "size": status.size, "completed_ns": self._now()}
                await self._keep(f"completed/{upload.upload_id}", record)
                await self._forget(upload.upload_id)
            except StorageError:
                # The object is there, and that is what was asked for. Asked again, Complete does the same again.
                _log.failure("The parts of a completed upload to {path} could not be cleared away", path=upload.path)
        return status

    async def completed(self, path: str, upload_id: str) -> Status | None:
        """See ``IMultipartUploads``."""
        if not _ID.fullmatch(upload_id):
            return None
        try:
            record = await self._load(f"completed/{upload_id}")
        except NoSuchPath:
            return None
        if record["path"] != path or record["completed_ns"] < self._now() - REMEMBER_NS:
            return None
        return Status(path, record["size"], record["completed_ns"], record["etag"], record["etag"])

    async def abort(self, upload: Upload) -> None:
        """See ``IMultipartUploads``."""
        async with self._turn(upload.upload_id):
            await self.upload(upload.path, upload.upload_id)
            await self._forget(upload.upload_id)

    async def expire(self, before_ns: int) -> int:
        """See ``IMultipartUploads``. What parts of uploads that have ended left behind goes too, and is not counted."""
        count = 0
        async for upload_id in self._ids():
            async with self._turn(upload_id):
                if all([one.modified_ns < before_ns async for one in self._objects(f"{upload_id}/")]):
                    count += await self._forget(upload_id)
        async for status in self._objects("completed/"):
            if status.modified_ns < self._now() - REMEMBER_NS:
                await self._delete(status.path)
        return count

    @asynccontextmanager
    async def _turn(self, upload_id: str) -> AsyncIterator[None]:
        lock = self._turns.setdefault(upload_id, DeferredLock())
        await lock.acquire()
        try:
            yield
        finally:
            lock.release()

    async def _settle(self, upload: Upload, number: int) -> None:
        """See that the part just committed belongs to an upload, or take it away. Raises NoSuchUpload."""
        try:
            await self.upload(upload.path, upload.upload_id)
        except NoSuchUpload:
            # Whoever ended the upload may have looked for parts before this one was there.
            await self._delete(_part(upload, number))
            raise

    async def _assemble(self, upload: Upload, parts: Sequence[Part], attributes: Attributes, condition: WriteCondition) -> Status:
        writer = await self.target.create(upload.path, attributes, sum(part.size for part in parts))
        try:
            for part in parts:
                reader = await self._open_part(upload, part)
                try:
                    async with aclosing(reader.read(0, reader.status.size)) as pieces:  # type: ignore[type-var]  # generators
                        async for piece in pieces:
                            await writer.write(piece)
                finally:
                    await reader.close()
            return await writer.commit(attributes, condition)
        finally:
            await writer.abort()

    async def _open_part(self, upload: Upload, part: Part) -> IObjectReader:
        wrong = S3Error("InvalidPart", PartNumber=str(part.number), ETag=part.etag)
        try:
            reader = await self.staging.open(_part(upload, part.number))
        except NoSuchPath:
            raise wrong from None
        if reader.status.etag != part.etag:
            await reader.close()
            raise wrong
        return reader

    async def _ids(self) -> AsyncIterator[str]:
        async for entry in self._walk("", "/"):
            if isinstance(entry, str) and _ID.fullmatch(entry[:-1]):
                yield entry[:-1]

    async def _objects(self, prefix: str) -> AsyncIterator[Status]:
        async for entry in self._walk(prefix, ""):
            if isinstance(entry, Status) and not entry.is_folder:
                yield entry

    async def _walk(self, prefix: str, delimiter: str) -> AsyncIterator[Status | str]:
        start, complete = prefix, False
        while not complete:
            listing = await self.staging.list(prefix, start, PAGE, delimiter)
            for entry in listing.entries:
                yield entry
                # Past the entry, and past all that it folds.
                start = f"{entry.path}\0" if isinstance(entry, Status) else f"{entry[:-1]}0"
            complete = listing.complete

    async def _record(self, upload_id: str) -> Upload:
        record = await self._load(f"{upload_id}/upload")
        attributes = record.pop("attributes")
        return Upload(**record, attributes=Attributes(**{**attributes, "part_sizes": tuple(attributes["part_sizes"])}))

    async def _keep(self, path: str, record: dict[str, Any]) -> None:
        writer = await self.staging.create(path, Attributes(), None)
        try:
            await writer.write(json.dumps(record, default=dict).encode())
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

    async def _forget(self, upload_id: str) -> bool:
        # The record goes first: without it the upload has ended, whatever is left of its parts.
        there = await self._delete(f"{upload_id}/upload")
        async for status in self._objects(f"{upload_id}/"):
            await self._delete(status.path)
        return there

    async def _delete(self, path: str) -> bool:
        try:
            await self.staging.delete(path, ALWAYS)
        except NoSuchPath:
            return False
        return True

    def _now(self) -> int:
        return int(self.clock.seconds() * 10**9)


@implementer(IObjectWriter)
@define
class _PartWriter:
    """A part on its way into the staging store; ``settle`` has the last word on its commit."""

    _writer: IObjectWriter
    _settle: Callable[[], Awaitable[None]]

    async def write(self, data: bytes) -> None:
        await self._writer.write(data)

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        status = await self._writer.commit(attributes, condition)
        await self._settle()
        return evolve(status, path="")

    async def abort(self) -> None:
        await self._writer.abort()


def _part(upload: Upload, number: int) -> str:
    return f"{upload.upload_id}/part-{number:05}"

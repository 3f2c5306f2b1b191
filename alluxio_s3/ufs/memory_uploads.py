"""Multipart uploads of the under-store in memory."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from attrs import define, evolve, field, frozen
from zope.interface import implementer

from alluxio_s3.interfaces import IMultipartUploads
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes, NoSuchUpload, Part, Status, Upload
from alluxio_s3.ufs.memory_streams import MemoryWriter

_DAY_NS = 86_400 * 10**9

Publish: TypeAlias = Callable[[str, bytes, Attributes, WriteCondition], Status]


@define
class Progress:
    """An upload, its parts with their bytes, and when something last happened to it."""

    upload: Upload
    active_ns: int
    parts: dict[int, tuple[Part, bytes]] = field(factory=dict)


@frozen
class Outcome:
    """What a completed upload became, and when."""

    status: Status
    at_ns: int


@implementer(IMultipartUploads)
@define
class MemoryUploads:
    """Uploads in a dictionary; their objects go to ``publish``."""

    _require_place: Callable[[str], None]
    _publish: Publish
    _now_ns: Callable[[], int]
    _open: dict[str, Progress] = field(factory=dict, init=False)
    _done: dict[str, Outcome] = field(factory=dict, init=False)
    _serial: int = field(default=0, init=False)

    async def create_upload(self, upload: Upload) -> Upload:
        """Begin. Raises NoSuchPath when the bucket is gone."""
        self._require_place(upload.path)
        now = self._now_ns()
        begun = evolve(upload, upload_id=secrets.token_urlsafe(24), initiated_ns=now)
        self._open[begun.upload_id] = Progress(begun, now)
        return begun

    async def upload(self, path: str, upload_id: str) -> Upload:
        """An upload in progress. Raises NoSuchUpload."""
        return self._progress(path, upload_id).upload

    async def uploads(self, prefix: str) -> Sequence[Upload]:
        """Those in progress whose path begins with ``prefix``, by path, then by time of initiation."""
        found = [one.upload for one in self._open.values() if one.upload.path.startswith(prefix)]
        return sorted(found, key=lambda upload: (upload.path, upload.initiated_ns))

    async def create_part(self, upload: Upload, number: int, length: int | None) -> MemoryWriter:  # noqa: ARG002 the interface's
        """A writer of part ``number``. Raises NoSuchUpload."""
        self._progress(upload.path, upload.upload_id)
        return MemoryWriter("", partial(self._keep, upload, number))

    async def parts(self, upload: Upload) -> Sequence[Part]:
        """The parts that arrived, by number. Raises NoSuchUpload."""
        stored = self._progress(upload.path, upload.upload_id).parts
        return [stored[number][0] for number in sorted(stored)]

    async def complete(self, upload: Upload, parts: Sequence[Part], attributes: Attributes, condition: WriteCondition) -> Status:
        """Join the parts and publish. Raises NoSuchUpload, S3Error InvalidPart, and what publishing raises."""
        progress = self._progress(upload.path, upload.upload_id)
        pieces = []
        for part in parts:
            stored, data = progress.parts.get(part.number, (None, b""))
            if stored is None or stored.etag != part.etag:
                raise S3Error("InvalidPart", PartNumber=str(part.number), ETag=part.etag)
            pieces.append(data)
        status = self._publish(upload.path, b"".join(pieces), attributes, condition)
        del self._open[upload.upload_id]
        self._done[upload.upload_id] = Outcome(status, self._now_ns())
        return status

    async def completed(self, path: str, upload_id: str) -> Status | None:
        """What an upload completed within the last day became, or None."""
        outcome = self._done.get(upload_id)
        if outcome is None or outcome.status.path != path or outcome.at_ns < self._now_ns() - _DAY_NS:
            return None
        return outcome.status

    async def abort(self, upload: Upload) -> None:
        """Forget the upload. Raises NoSuchUpload."""
        self._progress(upload.path, upload.upload_id)
        del self._open[upload.upload_id]

    async def expire(self, before_ns: int) -> int:
        """Abort the uploads in which nothing has happened since ``before_ns``, forget outcomes of more than a day ago."""
        idle = [upload_id for upload_id, one in self._open.items() if one.active_ns < before_ns]
        for upload_id in idle:
            del self._open[upload_id]
        horizon = self._now_ns() - _DAY_NS
        for upload_id in [done for done, outcome in self._done.items() if outcome.at_ns < horizon]:
            del self._done[upload_id]
        return len(idle)

    def _keep(self, upload: Upload, number: int, data: bytes, attributes: Attributes, _condition: WriteCondition) -> Status:
        """Part ``number`` is ``data`` from now on. Raises NoSuchUpload."""
        progress = self._progress(upload.path, upload.upload_id)
        self._serial += 1
        now = self._now_ns()
        etag = attributes.etag or f"memory-part-{self._serial:x}"
        progress.active_ns = now
        progress.parts[number] = (Part(number, len(data), now, etag, attributes.checksums), data)
        return Status("", len(data), now, etag, f"part-{self._serial:x}", attributes)

    def _progress(self, path: str, upload_id: str) -> Progress:
        progress = self._open.get(upload_id)
        if progress is None or progress.upload.path != path:
            raise NoSuchUpload(path)
        return progress

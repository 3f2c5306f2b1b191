"""Multipart uploads of the local directory, so that a completed one is a rename and no byte is copied.

Every step leaves the upload as it was or done, whenever the process or the machine stops: a part counts when its record is there; the
end of an upload is the renaming of its directory; and a completion says beforehand what it will rename (``outcomes.INTENT``), so
that whoever comes next can see whether it did. See ``upload_directories``, ``parts``, ``assembly``.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from attrs import evolve
from twisted.logger import Logger
from zope.interface import implementer

from alluxio_s3.interfaces import IMultipartUploads, IObjectWriter
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, NoSuchUpload, Part, Status, StorageError, Unsupported, Upload
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local.assembly import ASSEMBLY, Slot, claim_slot, join
from alluxio_s3.ufs.local.containment import split
from alluxio_s3.ufs.local.descriptor import acquire
from alluxio_s3.ufs.local.failures import storage_errors
from alluxio_s3.ufs.local.identity import derived_etag
from alluxio_s3.ufs.local.outcomes import INTENT, Outcome, Outcomes, decode_outcome, encode_outcome
from alluxio_s3.ufs.local.parts import StoredPart, chosen_parts, encode_part, record_name, stored_part, stored_parts
from alluxio_s3.ufs.local.publish import check_place, publish
from alluxio_s3.ufs.local.staging import Temporary
from alluxio_s3.ufs.local.tree import Tree
from alluxio_s3.ufs.local.upload_directories import UploadDirectories, location, read
from alluxio_s3.ufs.local.writer import LocalWriter


@implementer(IMultipartUploads)
class LocalUploads:
    """The uploads to objects of ``tree``. One hop to a thread per verb."""

    _log = Logger()

    def __init__(self, tree: Tree, threads: Threads, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._tree = tree
        self._threads = threads
        self._now_ns = now_ns
        self._directories = UploadDirectories(tree.staging)
        self._outcomes = Outcomes(tree.staging)

    def sweep(self) -> None:
        """Remove what is left of uploads that have ended, as a power cut leaves it. Blocks."""
        self._directories.sweep()

    async def create_upload(self, upload: Upload) -> Upload:
        """See IMultipartUploads. Raises what ``create`` of the store does; Unsupported for a folder."""
        return await self._threads.run(self._create, upload)

    async def upload(self, path: str, upload_id: str) -> Upload:
        """See IMultipartUploads."""
        return await self._threads.run(self._find, path, upload_id)

    async def uploads(self, prefix: str) -> Sequence[Upload]:
        """See IMultipartUploads."""
        return await self._threads.run(self._list, prefix)

    async def create_part(self, upload: Upload, number: int, length: int | None) -> IObjectWriter:
        """See IMultipartUploads."""
        temporary = await acquire(self._threads, partial(self._begin_part, upload, number, length), lambda made: made.discard())
        return LocalWriter(upload.path, temporary, length, self._threads, partial(self._keep_part, upload, number))

    async def parts(self, upload: Upload) -> Sequence[Part]:
        """See IMultipartUploads."""
        return await self._threads.run(self._parts, upload)

    async def complete(self, upload: Upload, parts: Sequence[Part], attributes: Attributes, condition: WriteCondition) -> Status:
        """See IMultipartUploads. Raises S3Error InvalidPart for a part that is not there, or was replaced by another."""
        return await self._threads.run(self._complete, upload, parts, attributes, condition)

    async def completed(self, path: str, upload_id: str) -> Status | None:
        """See IMultipartUploads."""
        return await self._threads.run(self._completed, path, upload_id)

    async def abort(self, upload: Upload) -> None:
        """See IMultipartUploads."""
        await self._threads.run(self._abort, upload)

    async def expire(self, before_ns: int) -> int:
        """See IMultipartUploads. Outcomes of more than two days ago, and what a crash left, go too."""
        return await self._threads.run(self._expire, before_ns)

    def _create(self, upload: Upload) -> Upload:
        if upload.path.endswith("/"):
            raise Unsupported(upload.path, "A key that ends with '/' names a folder here, and a folder must be empty.")
        check_place(self._tree, upload.path)
        with storage_errors(upload.path, writing=True):
            return self._directories.begin(evolve(upload, initiated_ns=self._now_ns()))

    def _find(self, path: str, upload_id: str) -> Upload:
        with storage_errors(path):
            found = self._directories.find(upload_id)
            if found is None or found.path != path:
                raise NoSuchUpload(path)
            if self._directories.has(upload_id, INTENT):  # somebody completes it now, or did not live to see it done: wait, and find out
                with self._held(found):
                    pass
            return found

    def _list(self, prefix: str) -> list[Upload]:
        with storage_errors(prefix):
            found = [upload for upload in map(self._directories.find, self._directories.ids()) if upload is not None]
        below = [upload for upload in found if upload.path.startswith(prefix)]
        return sorted(below, key=lambda upload: (upload.path, upload.initiated_ns, upload.upload_id))

    def _begin_part(self, upload: Upload, number: int, length: int | None) -> Temporary:
        with storage_errors(upload.path, writing=True):
            with self._held(upload) as directory:
                earlier = stored_part(directory, number)
                if length is not None and (earlier is None or earlier.data != ASSEMBLY):
                    slot = claim_slot(self._tree.staging, upload.upload_id, directory, number, length)
                    if slot is not None:
                        return slot
            return self._tree.staging.temporary(length)

    def _keep_part(self, upload: Upload, number: int, temporary: Temporary, attributes: Attributes, _: WriteCondition) -> Status:
        with temporary.descriptor.held() as descriptor:
            self._tree.durability.file(descriptor)
        now, etag = self._now_ns(), attributes.etag or f"{secrets.token_hex(16)}-0"
        part = Part(number, temporary.size, now, etag, attributes.checksums)
        with self._held(upload) as directory:
            earlier = stored_part(directory, number)
            if isinstance(temporary, Slot):
                stored = StoredPart(part, ASSEMBLY, temporary.offset)
            else:
                stored = StoredPart(part, f"{number}-{secrets.token_hex(8)}.data")
                temporary.rename(directory, stored.data)
            try:
                self._tree.staging.write_small(location(upload.upload_id), record_name(number), encode_part(stored))
            except BaseException:
                _remove_data(directory, stored)
                raise
            if earlier is not None:
                _remove_data(directory, earlier)
        return Status("", part.size, now, etag, f"part.{now:x}", attributes)

    def _parts(self, upload: Upload) -> list[Part]:
        self._find(upload.path, upload.upload_id)
        try:
            with self._tree.staging.directory(location(upload.upload_id)) as directory:
                found = [stored.part for stored in stored_parts(directory).values()]
                # What has ended is taken away before it is removed: here it is whole, or it is not here.
                if not self._directories.is_in_place(upload.upload_id, directory):
                    raise NoSuchUpload(upload.path)
                return found
        except FileNotFoundError:
            raise NoSuchUpload(upload.path) from None

    def _complete(self, upload: Upload, parts: Sequence[Part], attributes: Attributes, condition: WriteCondition) -> Status:
        with storage_errors(upload.path, writing=True), self._held(upload) as directory:
            stored = stored_parts(directory)
            chosen = chosen_parts(stored, parts)
            self._tree.check_condition(upload.path, condition)  # before anything is copied; once more when it counts
            listed = {part.number for part in parts}
            others = [one for number, one in stored.items() if number not in listed]
            object_ = join(self._tree.staging, upload.upload_id, directory, chosen, others)
            try:
                status = self._publish(upload, directory, object_, attributes, condition)
            finally:
                object_.discard()
        self._directories.sweep()
        return status

    def _publish(self, upload: Upload, directory: int, object_: Temporary, attributes: Attributes, condition: WriteCondition) -> Status:
        etag = attributes.etag or derived_etag(os.fstat(object_.descriptor.number))
        outcome = Outcome(upload.path, etag, object_.size, attributes, self._now_ns(), object_.name)
        self._tree.staging.write_small(location(upload.upload_id), INTENT, encode_outcome(outcome))
        flushed = False
        try:
            status = publish(self._tree, object_, upload.path, attributes, condition)
            flushed = True
            return status
        finally:
            try:
                self._settle(upload.upload_id, directory, flushed=flushed)
            except NoSuchUpload:
                pass  # it has become the object
            except (OSError, StorageError) as problem:
                # The intent stays, and with it whoever comes next will settle it. A disk that is full is nobody's mistake here.
                self._log.warn("The end of an upload to {path!r} could not be recorded yet: {problem}", path=upload.path, problem=problem)

    def _completed(self, path: str, upload_id: str) -> Status | None:
        with storage_errors(path):
            outcome = self._outcomes.find(upload_id, self._now_ns())
        return outcome.status if outcome is not None and outcome.path == path else None

    def _abort(self, upload: Upload) -> None:
        with storage_errors(upload.path, writing=True):
            with self._held(upload):
                self._directories.end(upload.upload_id)
            self._directories.sweep()

    def _expire(self, before_ns: int) -> int:
        expired = 0
        with storage_errors("", writing=True):
            for upload_id in self._directories.ids():
                try:
                    expired += self._expire_one(upload_id, before_ns)
                except NoSuchUpload:
                    continue
                except (OSError, StorageError):
                    self._log.failure("The upload {upload_id} could not be looked at", upload_id=upload_id)
            self._outcomes.expire(self._now_ns())
            self._directories.sweep()
        return expired

    def _expire_one(self, upload_id: str, before_ns: int) -> bool:
        upload = self._directories.find(upload_id)
        if upload is None:
            self._directories.end_unbegun(upload_id, before_ns)
            return False
        idle = self._directories.active_ns(upload_id) < before_ns
        if idle or self._directories.has(upload_id, INTENT):
            with self._held(upload):
                idle = self._directories.active_ns(upload_id) < before_ns
                if idle:
                    self._directories.end(upload_id)
        return idle

    @contextmanager
    def _held(self, upload: Upload) -> Iterator[int]:
        """The directory of an upload, ours alone; what a crash left undecided in it is decided. Raises NoSuchUpload."""
        found = self._directories.find(upload.upload_id)
        if found is None or found.path != upload.path:
            raise NoSuchUpload(upload.path)
        with self._directories.held(upload.upload_id) as directory:
            self._settle(upload.upload_id, directory)
            yield directory

    def _settle(self, upload_id: str, directory: int, *, flushed: bool = False) -> None:
        """Find out what became of a completion that was begun: nothing, or the object. Then the upload ends, and NoSuchUpload is raised.

        ``flushed`` is whether the name of the object is certainly on the disk; if not, it is flushed before anybody is told.
        """
        raw = read(directory, INTENT)
        outcome = None if raw is None else decode_outcome(raw)
        if outcome is None:
            return
        if self._directories.has(upload_id, outcome.data):
            os.unlink(INTENT, dir_fd=directory)
            return
        if not flushed:
            # Who has removed the directory since has flushed that.
            with suppress(FileNotFoundError, NotADirectoryError), self._tree.root.directory(split(outcome.path)[0]) as parent:
                self._tree.durability.directory(parent)
        self._outcomes.keep(upload_id, outcome)
        self._directories.end(upload_id)
        raise NoSuchUpload(outcome.path)


def _remove_data(directory: int, stored: StoredPart) -> None:
    """Remove the bytes of a part that no longer counts, if they are in a file of their own."""
    if stored.data != ASSEMBLY:
        with suppress(FileNotFoundError):
            os.unlink(stored.data, dir_fd=directory)

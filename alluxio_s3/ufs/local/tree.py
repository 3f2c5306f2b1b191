"""The directory tree as objects: what every verb of the local under-store works with.

Everything here blocks. Raises ``OSError`` for what the kernel refuses (see ``failures``) and StorageErrors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from attrs import frozen

from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.target import key_problem, parse_bucket
from alluxio_s3.storage import NoSuchPath, PathNotAllowed, PathTooLong, Status, Unavailable
from alluxio_s3.ufs.local.attributes import Records
from alluxio_s3.ufs.local.containment import RESERVED, Root
from alluxio_s3.ufs.local.descriptor import Descriptor
from alluxio_s3.ufs.local.durability import Durability, Mode
from alluxio_s3.ufs.local.failures import storage_errors
from alluxio_s3.ufs.local.identity import folder_status, is_directory, is_file, is_folder_object, object_status
from alluxio_s3.ufs.local.locks import KeyLocks
from alluxio_s3.ufs.local.record import Record
from alluxio_s3.ufs.local.staging import Staging

_LOOKS = 100
_LONGEST_NAME = 255


def can_be_bucket(name: str) -> bool:
    """Whether a bucket can have that name. A directory whose name is another is none."""
    try:
        parse_bucket(name)
    except S3Error:
        return False
    return key_problem(name) is None and name != RESERVED


def check_whole(path: str, found: os.stat_result, record: Record | None) -> None:
    """Raise Unavailable for an object that lost bytes: it can be replaced or deleted, but must not be read."""
    if record is not None and record.is_torn(found):
        raise Unavailable(path, f"Unavailable: {path}: some of its bytes never reached the disk; write it again")


@frozen
class Tree:
    """A directory, how objects are kept in it, and what its top level is (``buckets``, or keys).

    ``folders`` says whether every directory is a folder object, or only those that somebody made. ``let_go`` closes a file that has been
    replaced.
    """

    root: Root
    durability: Durability
    staging: Staging
    records: Records
    locks: KeyLocks
    buckets: bool
    folders: bool
    let_go: Callable[[Descriptor], None] = Descriptor.close

    @classmethod
    def at(
        cls,
        path: str,
        *,
        buckets: bool,
        folders: bool = True,
        xattrs: bool = True,
        durability: Mode = "full",
        openat2: bool = True,
        let_go: Callable[[Descriptor], None] = Descriptor.close,
    ) -> Tree:
        """The tree at ``path``, which must be a directory (else OSError). Nothing is written yet."""
        root = Root(path, openat2=openat2)
        flushing = Durability(durability)
        staging = Staging(root, flushing)
        records = Records(staging, xattrs=xattrs)
        return cls(root, flushing, staging, records, KeyLocks(staging.open_lock), buckets, folders, let_go)

    def close(self) -> None:
        """Flush what waits and let go of everything."""
        try:
            self.durability.close()
        finally:
            self.locks.close()
            self.staging.close()
            self.root.close()

    def check(self, path: str) -> None:
        """Raise PathNotAllowed if no object can ever be at ``path``."""
        if (RESERVED in path and RESERVED in path.split("/")) or key_problem(path):
            raise PathNotAllowed(path, f"PathNotAllowed: {path}: this name is reserved or not supported")

    def check_new(self, path: str) -> None:
        """``check``, and raise PathNotAllowed for what is not below a bucket, PathTooLong for a name the disk can't hold."""
        self.check(path)
        if not path or self.is_top(path):
            raise PathNotAllowed(path, f"PathNotAllowed: {path}: objects live in buckets")
        if any(len(segment.encode()) > _LONGEST_NAME for segment in path.split("/")):
            raise PathTooLong(path, f"PathTooLong: a name between two slashes holds at most {_LONGEST_NAME} bytes here")

    def is_top(self, path: str) -> bool:
        """Whether ``path`` is that of the one bucket, or of one of the buckets."""
        return not path.rstrip("/").count("/") if self.buckets else not path

    def status(self, path: str) -> Status:
        """The Status of the object or folder at ``path``. Raises NoSuchPath."""
        with self.looked_up(path) as (found, record, descriptor):
            status = self.describe(path, found, record, descriptor)
            check_whole(path, found, record)
            return status

    def check_condition(self, path: str, condition: WriteCondition) -> Status | None:
        """The Status of what a write to ``path`` replaces. Raises S3Error if ``condition`` does not hold of it."""
        current: Status | None = None
        with suppress(NoSuchPath), storage_errors(path), self.looked_up(path) as (found, record, descriptor):
            current = self.describe(path, found, record, descriptor)
        if current is None:
            condition.check(None)
        else:
            condition.check(current.etag, current.size, current.modified_ns)
        return current

    def describe(self, path: str, found: os.stat_result, record: Record | None, descriptor: int) -> Status:
        """The Status of what was found at ``path`` and is open. Raises NoSuchPath if that is no object of that path."""
        if path.endswith("/") or not path:
            if is_directory(found) and is_folder_object(record, every=self.folders or self.is_top(path)):
                return folder_status(path, found, record, descriptor)
        elif is_file(found) and not (self.buckets and "/" not in path):
            return object_status(path, found, record)
        raise NoSuchPath(path)

    @contextmanager
    def looked_up(self, path: str, flags: int = os.O_PATH) -> Iterator[tuple[os.stat_result, Record | None, int]]:
        """What is at ``path``: inode, record, open descriptor. The three belong together."""
        self.check(path)
        for _ in range(_LOOKS):
            with self.root.opened(path, flags) as descriptor:
                found = os.fstat(descriptor)
                record = self.records.read(descriptor, found)
                # A sidecar goes after its file does: without one, look whether the file is still there.
                if record is None and not os.fstat(descriptor).st_nlink:
                    continue
                yield found, record, descriptor
                return
        raise Unavailable(path, f"Unavailable: {path}: it is replaced faster than it can be looked at")

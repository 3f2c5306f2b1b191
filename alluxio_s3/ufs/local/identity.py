"""What a file is to S3: its Status, made of its inode and its record, without another look at it."""

from __future__ import annotations

import hashlib
import os
import stat

from alluxio_s3.storage import Attributes, Status
from alluxio_s3.ufs.local.kernel import birth_ns
from alluxio_s3.ufs.local.record import Record

_NONE = Attributes()
EMPTY_ETAG = "d41d8cd98f00b204e9800998ecf8427e"
"""The MD5 of nothing: the ETag of a folder that has none of its own."""

# After so long a change has another time than the one before. Some disks count in whole seconds (ext4 with small inodes).
SETTLED_NS = 50_000_000
SETTLED_ON_WHOLE_SECONDS_NS = 2 * 10**9


def same_file(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether nothing has touched the bytes of a file between two looks at it."""
    return (one.st_ino, one.st_size, one.st_mtime_ns) == (other.st_ino, other.st_size, other.st_mtime_ns)


def untouched(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether they are of one file, and nothing has touched its bytes or its record between the two looks."""
    return (
        one.st_ino == other.st_ino
        and one.st_mtime_ns == other.st_mtime_ns
        and one.st_ctime_ns == other.st_ctime_ns
        and one.st_size == other.st_size
        and one.st_dev == other.st_dev
    )


def has_settled(found: os.stat_result, looked_ns: int) -> bool:
    """Whether a change after ``looked_ns`` (wall time before ``found``) has another change time than ``found``.

    A clock that ticks coarsely could give a change that came after the look the time that the file had then.
    """
    changed_ns = found.st_ctime_ns
    return looked_ns - changed_ns > (SETTLED_NS if changed_ns % 10**9 else SETTLED_ON_WHOLE_SECONDS_NS)


def derived_etag(found: os.stat_result, version: str = "") -> str:
    """The ETag of a file that was written without one: stable while nobody changes it, and never to be taken for an MD5.

    ``version`` is that of its record, if the file came through S3.
    """
    identity = f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}-{version}".encode()
    return f"{hashlib.blake2b(identity, digest_size=16).hexdigest()}-0"


def object_status(path: str, found: os.stat_result, record: Record | None) -> Status:
    """The Status of a file.

    The validator is of inode, size, modification time, and the version that its record gave it: so tags can change without it,
    and an inode that is used again at once is told apart. A file that was not written here, or has been changed since, has
    no version; there the change time stands in, which sees a modification time that was set back.
    """
    version = record.version or "" if record is not None and record.describes(found) else ""
    attributes = record.valid(found) if record is not None else _NONE
    return Status(
        path,
        found.st_size,
        found.st_mtime_ns,
        attributes.etag or derived_etag(found, version),
        f"{found.st_ino:x}.{found.st_size:x}.{found.st_mtime_ns:x}.{version or f'c{found.st_ctime_ns:x}'}",
        attributes,
    )


def folder_status(path: str, found: os.stat_result, record: Record | None, descriptor: int) -> Status:
    """The Status of an open directory as a folder or bucket: an object of no bytes, the same whatever is put into it.

    Its time is that of its creation, as far as it is known.
    """
    attributes = record.attributes if record is not None else _NONE
    created = record.created_ns if record is not None else None
    if created is None:
        created = birth_ns(descriptor)
    modified = found.st_mtime_ns if created is None else created
    return Status(path, 0, modified, attributes.etag or EMPTY_ETAG, f"{found.st_ino:x}.d", attributes)


def is_folder_object(record: Record | None, *, every: bool) -> bool:
    """Whether a directory is an object: ``every`` one, or only those that somebody made by name."""
    return every or (record is not None and not record.implicit)


def is_file(found: os.stat_result) -> bool:
    """Whether it can be an object: not a device, a pipe or a socket."""
    return stat.S_ISREG(found.st_mode)


def is_directory(found: os.stat_result) -> bool:
    """Whether it is a directory."""
    return stat.S_ISDIR(found.st_mode)

"""What HDFS says of a file or directory, and what that is to S3."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen

from alluxio_s3.storage import Attributes, Status, Unsupported
from alluxio_s3.ufs.local.identity import EMPTY_ETAG
from alluxio_s3.ufs.local.record import Record

_NONE = Attributes()


@frozen
class Inode:
    """A file or directory, from one look. ``number`` is HDFS's fileId, which no other ever had or will have."""

    number: int
    is_directory: bool
    is_file: bool
    size: int
    modified_ms: int
    children: int | None

    @property
    def modified_ns(self) -> int:
        """When it was last changed, in nanoseconds since the epoch."""
        return self.modified_ms * 10**6

    @property
    def validator(self) -> str:
        """Equal only while the bytes are the same: HDFS changes a file by appending and truncating only, and its time with it."""
        return f"{self.number:x}.{self.modified_ms:x}.{self.size:x}"

    @property
    def derived_etag(self) -> str:
        """The ETag of a file that has none of its own; it has a dash, so that nobody takes it for an MD5."""
        return f"{hashlib.blake2b(self.validator.encode(), digest_size=16).hexdigest()}-0"


def parse_inode(found: Mapping[str, Any]) -> Inode:
    """The Inode of a FileStatus object. Raises Unsupported if it has no fileId, as those of HttpFS."""
    number = found.get("fileId") or 0
    if not number:
        raise Unsupported("", "Unsupported: the server gives no fileId; WebHDFS of a NameNode 2.2 or newer is needed, HttpFS is not enough")
    kind = found["type"]
    children = found.get("childrenNum")
    return Inode(
        int(number),
        kind == "DIRECTORY",
        kind == "FILE",
        int(found["length"]),
        int(found["modificationTime"]),
        int(children) if isinstance(children, int) else None,
    )


def object_status(path: str, inode: Inode, record: Record | None) -> Status:
    """The Status of a file. What was computed from other bytes than it has now does not count."""
    attributes = record.attributes if record is not None else _NONE
    if record is not None and (record.size, record.modified_ns) != (inode.size, inode.modified_ns) and record.size is not None:
        attributes = evolve(attributes, etag=None, checksums={}, checksum_type=None, part_sizes=())
    return Status(path, inode.size, inode.modified_ns, attributes.etag or inode.derived_etag, inode.validator, attributes)


def folder_status(path: str, inode: Inode, record: Record | None) -> Status:
    """The Status of a directory as a folder or bucket. Its time is that of its making if that was ours, else HDFS's."""
    attributes = record.attributes if record is not None else _NONE
    created = record.created_ns if record is not None else None
    modified = inode.modified_ns if created is None else created
    return Status(path, 0, modified, attributes.etag or EMPTY_ETAG, f"{inode.number:x}.d", attributes)

"""What storage raises, as S3 says it: the one table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from alluxio_s3.namespace.mounts import Namespace
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.target import Target
from alluxio_s3.storage import (
    AlreadyExists,
    NoSpace,
    NoSuchPath,
    NoSuchUpload,
    NotEmpty,
    ObjectChanged,
    PathConflict,
    PathNotAllowed,
    PathTooLong,
    PermissionRefused,
    ReadOnly,
    StorageError,
    Unavailable,
    Unsupported,
)

# The code, and the message where S3's own would mislead ("" takes the storage's own words).
TABLE: Mapping[type[StorageError], tuple[str, str | None]] = MappingProxyType(
    {
        AlreadyExists: ("InvalidRequest", ""),
        NoSpace: ("InsufficientStorage", None),
        NoSuchUpload: ("NoSuchUpload", None),
        NotEmpty: ("BucketNotEmpty", None),
        ObjectChanged: ("ServiceUnavailable", "The object changed while it was read. Try again."),
        PathConflict: (
            "InvalidRequest",
            "On a directory tree this key cannot be: it, or one of its parents, has a name that a folder or an object has taken.",
        ),
        PathNotAllowed: ("AccessDenied", "This key leads out of its bucket, or is reserved."),
        PathTooLong: ("KeyTooLongError", "The store behind this bucket cannot hold a name of that length."),
        PermissionRefused: ("AccessDenied", "The store behind this bucket refused the daemon."),
        ReadOnly: ("AccessDenied", "The store behind this bucket is read-only."),
        Unavailable: ("ServiceUnavailable", "The store behind this bucket did not answer. Try again."),
        Unsupported: ("NotImplemented", ""),
    }
)


async def translate(problem: StorageError, target: Target, namespace: Namespace) -> S3Error:
    """``problem`` as an S3Error. A missing path is NoSuchBucket if the bucket of ``target`` is missing too."""
    if isinstance(problem, NoSuchPath):
        if not target.key:
            return S3Error("NoSuchBucket", BucketName=target.bucket)
        try:
            await namespace.bucket(target.bucket)
        except S3Error as missing:
            return missing
        except StorageError as worse:
            return translate_known(worse)
        return S3Error("NoSuchKey", Key=target.key)
    return translate_known(problem)


def translate_known(problem: StorageError) -> S3Error:
    """Any storage error but NoSuchPath, which needs to know of what; that one becomes NoSuchKey here."""
    if isinstance(problem, NoSuchPath):
        return S3Error("NoSuchKey")
    code, message = TABLE.get(type(problem), ("InternalError", None))
    headers = {"Retry-After": "1"} if code == "ServiceUnavailable" else None
    return S3Error(code, str(problem) if message == "" else message, headers=headers)

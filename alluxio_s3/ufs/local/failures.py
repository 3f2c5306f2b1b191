"""What the kernel's error numbers mean to those who asked for an object."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from alluxio_s3.storage import (
    NoSpace,
    NoSuchPath,
    PathConflict,
    PathNotAllowed,
    PathTooLong,
    PermissionRefused,
    ReadOnly,
    StorageError,
    Unavailable,
    Unsupported,
)

_ALWAYS: Mapping[int, type[StorageError]] = MappingProxyType(
    {
        errno.ENOENT: NoSuchPath,
        errno.ENOSPC: NoSpace,
        errno.EDQUOT: NoSpace,
        errno.EROFS: ReadOnly,
        errno.EACCES: PermissionRefused,
        errno.EPERM: PermissionRefused,
        errno.EFBIG: Unsupported,
    }
)
# A path that cannot be there is simply not there to a reader.
_READING: Mapping[int, type[StorageError]] = MappingProxyType(
    dict.fromkeys((errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG, errno.ENXIO, errno.ENODEV), NoSuchPath)
)
_WRITING: Mapping[int, type[StorageError]] = MappingProxyType(
    {
        errno.ENOTDIR: PathConflict,
        errno.EISDIR: PathConflict,
        errno.EEXIST: PathConflict,
        errno.ELOOP: PathNotAllowed,
        errno.EXDEV: PathNotAllowed,
        errno.ENAMETOOLONG: PathTooLong,
    }
)


def failure(error: OSError, path: str, *, writing: bool = False) -> StorageError:
    """``error`` as the StorageError that fits. What is not about the path is Unavailable, never NoSuchPath."""
    number = error.errno or 0
    kind = _ALWAYS.get(number) or (_WRITING if writing else _READING).get(number, Unavailable)
    return kind(path, f"{kind.__name__}: {path}: {error.strerror}")


@contextmanager
def storage_errors(path: str, *, writing: bool = False) -> Iterator[None]:
    """Within it an OSError becomes the StorageError that fits."""
    try:
        yield
    except OSError as error:
        raise failure(error, path, writing=writing) from error

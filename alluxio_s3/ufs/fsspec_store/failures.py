"""What libraries raise, as the errors of storage."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from twisted.logger import Logger

from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import (
    NoSpace,
    NoSuchPath,
    NotEmpty,
    PathConflict,
    PathTooLong,
    PermissionRefused,
    ReadOnly,
    StorageError,
    Unavailable,
)

_log = Logger()

_CLASSES: tuple[tuple[type[Exception], type[StorageError]], ...] = (
    (FileNotFoundError, NoSuchPath),
    (NotADirectoryError, NoSuchPath),
    (IsADirectoryError, PathConflict),
    (FileExistsError, PathConflict),
    (PermissionError, PermissionRefused),
)
_NUMBERS: Mapping[int | None, type[StorageError]] = MappingProxyType(
    {
        errno.ENOSPC: NoSpace,
        errno.EDQUOT: NoSpace,
        errno.ENAMETOOLONG: PathTooLong,
        errno.EROFS: ReadOnly,
        errno.ENOTEMPTY: NotEmpty,
    }
)
_CODES: Mapping[int, type[StorageError]] = MappingProxyType({401: PermissionRefused, 403: PermissionRefused, 404: NoSuchPath, 507: NoSpace})


def is_lost(problem: BaseException) -> bool:
    """Whether the connection is of no more use, for a filesystem that keeps one."""
    lost = isinstance(problem, EOFError | ConnectionError | TimeoutError) or str(problem) == "Socket is closed"
    return lost or type(problem).__module__.startswith("paramiko")


@contextmanager
def storage_errors(path: str) -> Iterator[None]:
    """Raise what is raised within as the StorageError that it is. Its message holds nothing of the library's, which may be a secret."""
    try:
        yield
    except (StorageError, S3Error):
        raise
    except Exception as problem:
        kind = _kind(problem)
        what = type(problem).__name__
        if kind is Unavailable:
            _log.debug("A call of fsspec failed with {what}", what=what)
        raise kind(path, f"{kind.__name__}: {path}: the store says {what}") from problem


def _kind(problem: Exception) -> type[StorageError]:
    for given, kind in _CLASSES:
        if isinstance(problem, given):
            return kind
    if isinstance(problem, OSError) and problem.errno in _NUMBERS:
        return _NUMBERS[problem.errno]
    for name in ("status_code", "code", "status"):
        code = getattr(problem, name, None)
        if isinstance(code, int) and code in _CODES:
            return _CODES[code]
    # gcsfs has no class for it.
    return PermissionRefused if isinstance(problem, OSError) and str(problem).startswith("Forbidden") else Unavailable

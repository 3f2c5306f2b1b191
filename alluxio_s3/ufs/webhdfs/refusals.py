"""What WebHDFS says when it refuses, as the errors of storage.

The answer to a request that failed is ``{"RemoteException": {"exception": ..., "message": ...}}``; the names are those of Hadoop's
exceptions (WebHDFS REST API, "Error Responses").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from alluxio_s3.storage import (
    NoSpace,
    NoSuchPath,
    NotEmpty,
    PathConflict,
    PathNotAllowed,
    PathTooLong,
    PermissionRefused,
    StorageError,
    Unavailable,
    Unsupported,
)


class Standby(Unavailable):
    """The NameNode is not the active one."""


class NoExtendedAttributes(Unsupported):
    """The NameNode has extended attributes turned off."""


TABLE: Mapping[str, type[StorageError]] = MappingProxyType(
    {
        "FileNotFoundException": NoSuchPath,
        "AccessControlException": PermissionRefused,
        "SecurityException": PermissionRefused,
        "AuthorizationException": PermissionRefused,
        "AuthenticationException": PermissionRefused,
        "InvalidToken": PermissionRefused,
        "StandbyException": Standby,
        "NSQuotaExceededException": NoSpace,
        "DSQuotaExceededException": NoSpace,
        "QuotaByStorageTypeExceededException": NoSpace,
        "QuotaExceededException": NoSpace,
        "MaxDirectoryItemsExceededException": NoSpace,
        "FileAlreadyExistsException": PathConflict,
        "ParentNotDirectoryException": PathConflict,
        "PathIsNotDirectoryException": PathConflict,
        "PathIsNotEmptyDirectoryException": NotEmpty,
        "PathComponentTooLongException": PathTooLong,
        "InvalidPathException": PathNotAllowed,
        "HadoopIllegalArgumentException": PathNotAllowed,
        "UnsupportedOperationException": Unsupported,
    }
)
# Of an exception that says no more by its name than that something failed.
_BY_MESSAGE: tuple[tuple[str, type[StorageError]], ...] = (
    ("dfs.namenode.xattrs.enabled", NoExtendedAttributes),
    ("must both be directories", PathConflict),
    ("is not a directory", PathConflict),
    ("is not a regular file", PathConflict),
    ("No space left on device", NoSpace),
    ("is a reserved name", PathNotAllowed),
)


def refusal(path: str, code: int, body: bytes) -> StorageError:
    """The error that the answer ``code`` with ``body`` to a request about ``path`` is. Its message holds nothing of the answer's."""
    try:
        remote = json.loads(body)["RemoteException"]
        name, message = str(remote["exception"]), str(remote.get("message"))
    except (ValueError, TypeError, KeyError):
        name, message = "", ""
    if name in ("RemoteException", "RetriableException", "IOException", "AccessControlException", ""):
        for words, kind in _BY_MESSAGE:
            if words in message:
                return kind(path, f"{kind.__name__}: {path}: HDFS refused")
    kind = TABLE.get(name, Unavailable)
    if not name and code in (401, 403):
        kind = PermissionRefused
    return kind(path, f"{kind.__name__}: {path}: HDFS answered {code} {name if name.isidentifier() else ''}".rstrip())

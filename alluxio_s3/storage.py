"""The vocabulary in which the storage rooms speak of objects: values and errors.

An under-store holds *objects* under *paths*. A path is a ``/``-separated string, relative
to the root of the under-store, already validated by ``s3.target``: no leading slash, no empty
segment, no ``.`` or ``..``. A path that ends with ``/`` names a *folder*: the
zero-byte object that S3 clients create to show an empty directory. The empty path is
the root of the under-store.

Errors::

    StorageError
    ├── NoSuchPath          nothing is there
    ├── NoSuchUpload        no multipart upload of that id
    ├── AlreadyExists       what was to be made is there
    ├── NotEmpty            the bucket still holds keys
    ├── PathConflict        a parent of the path is an object, or the path is a directory
    ├── PathTooLong         the store cannot hold a name of that length
    ├── PathNotAllowed      the path leaves the under-store, or is reserved
    ├── PermissionRefused   the store refused the daemon's own user
    ├── ReadOnly            the store does not take writes
    ├── NoSpace             the store is full
    ├── Unsupported         this under-store cannot do that; the message says what can
    ├── ObjectChanged       the bytes changed while they were read
    └── Unavailable         the store failed or did not answer; trying again may help
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from attrs import field, frozen

_EMPTY: Mapping[str, str] = MappingProxyType({})


class StorageError(Exception):
    """Base of all that an under-store may raise; ``path`` is the one it happened on."""

    def __init__(self, path: str = "", message: str = "") -> None:
        super().__init__(message or f"{type(self).__name__}: {path}")
        self.path = path


class NoSuchPath(StorageError):
    """Nothing is there."""


class NoSuchUpload(StorageError):
    """No multipart upload has that id for that path."""


class AlreadyExists(StorageError):
    """What was to be made is there already."""


class NotEmpty(StorageError):
    """The bucket still holds keys."""


class PathConflict(StorageError):
    """A parent of the path is an object, or the path itself is a directory."""


class PathTooLong(StorageError):
    """The store cannot hold a name of that length."""


class PathNotAllowed(StorageError):
    """The path leaves the under-store, or is reserved for the daemon."""


class PermissionRefused(StorageError):
    """The store refused the daemon's own user."""


class ReadOnly(StorageError):
    """The store does not take writes."""


class NoSpace(StorageError):
    """The store is full."""


class Unsupported(StorageError):
    """The under-store has no way to do that."""


class ObjectChanged(StorageError):
    """The bytes changed, shrank or went away while they were read."""


class Unavailable(StorageError):
    """The store failed or did not answer in time."""


@frozen
class Attributes:
    """What S3 keeps with an object besides its bytes.

    ``headers`` holds the system metadata that is echoed as it came (lower-case names out of
    cache-control, content-disposition, content-encoding, content-language, expires).
    ``etag`` is without quotes; ``None`` means that the store derives one from the
    file's identity. ``checksums`` maps an algorithm's name (``CRC32``) to the value in
    S3's base64 form (``-N`` suffix included for composites). ``tags`` is empty for an object without
    tags. ``part_sizes`` are the sizes of the parts of a multipart object, in order. ``tag_count`` is how many tags there are, where
    a store tells that but not which.
    """

    content_type: str | None = None
    headers: Mapping[str, str] = _EMPTY
    user_metadata: Mapping[str, str] = _EMPTY
    tags: Mapping[str, str] = _EMPTY
    etag: str | None = None
    checksums: Mapping[str, str] = _EMPTY
    checksum_type: str | None = None
    part_sizes: tuple[int, ...] = ()
    owner: str | None = None
    tag_count: int = field(default=0, eq=False)


@frozen
class PartPlace:
    """Where a part of a multipart object is: ``count`` bytes from ``offset``, one of ``parts``; the last one may have none.

    ``there``: whether there is such a part at all.
    """

    offset: int
    count: int
    parts: int
    there: bool = True


@frozen
class Provenance:
    """How the cache before a store came by what it gives, in the words of RFC 9211 (Cache-Status).

    ``forward`` says why the store was asked (``uri-miss``, ``partial``, ``stale``, ``bypass``), or is empty when it was not.
    ``validated``: it was asked, and what the cache holds is what it has. ``stored``: the cache keeps what the store gave. ``age`` is how
    many seconds ago the store said so, None for just now. ``unreachable``: the store did not answer, and what it said last is given.
    ``collapsed``: what is not here is on its way already, for another request.
    """

    forward: str = ""
    validated: bool = False
    stored: bool = False
    age: int | None = None
    unreachable: bool = False
    collapsed: bool = False


@frozen
class Status:
    """An object (or folder) as it stands: what HEAD needs, from one look.

    ``validator`` changes whenever the bytes may have changed, and is equal only if they have
    not; ``etag`` is what clients see, without quotes, and is never empty. ``modified_ns`` is
    nanoseconds since the epoch, UTC. ``provenance`` is the cache's word, where one stands before the store; no part of what is so.
    """

    path: str
    size: int
    modified_ns: int
    etag: str
    validator: str
    attributes: Attributes = Attributes()
    provenance: Provenance | None = field(default=None, eq=False, kw_only=True)

    @property
    def is_folder(self) -> bool:
        """Whether the path names a folder."""
        return self.path.endswith("/") or not self.path


@frozen
class Mount:
    """An under-store that appears as a bucket. ``path`` is ``/`` and the bucket's name, ``uri`` where the store is.

    ``options`` are the store's own and the daemon's (see ``settings.mount_options``); some are secrets. ``since_ns`` is when it was
    mounted, as ``Status.modified_ns``; 0 if nobody knows.
    """

    path: str
    uri: str
    options: Mapping[str, str] = field(default=_EMPTY, repr=False)
    since_ns: int = 0

    @property
    def bucket(self) -> str:
        """The name of the bucket."""
        return self.path.removeprefix("/")


@frozen
class Listing:
    """A stretch of an under-store's keys, in UTF-8 byte order.

    ``entries`` mixes ``Status`` (a key) and ``str`` (a common prefix, which ends with the
    delimiter). ``complete`` is false when more follow.
    """

    entries: tuple[Status | str, ...]
    complete: bool


@frozen
class Upload:
    """A multipart upload in progress.

    ``attributes`` are those the object will have; ``checksum_algorithm`` and ``checksum_type`` are what
    CreateMultipartUpload asked for, if it did. ``initiated_ns`` as ``Status.modified_ns``.
    """

    upload_id: str
    path: str
    initiated_ns: int
    attributes: Attributes = Attributes()
    owner: str | None = None
    checksum_algorithm: str | None = None
    checksum_type: str | None = None


@frozen
class Part:
    """A part that arrived whole. ``etag`` is without quotes; ``checksums`` as in ``Attributes``.

    ``checksums_kept`` is false where it is not known with which checksums it came.
    """

    number: int
    size: int
    modified_ns: int
    etag: str
    checksums: Mapping[str, str] = field(default=_EMPTY)
    checksums_kept: bool = field(default=True, eq=False)

"""An under-store in memory: for trying the daemon out, for tests, and as an example of the interfaces.

Keys are flat, as in S3: ``a`` and ``a/b`` can both be objects, and a folder is there only if it
was made. Everything happens on the reactor thread between two awaits, which is what makes
each step atomic. Readers and writers are in ``ufs.memory_streams``, multipart uploads in
``ufs.memory_uploads``.
"""

from __future__ import annotations

import secrets
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

from attrs import define, evolve, field, frozen
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from alluxio_s3.clocks import wall_clock
from alluxio_s3.interfaces import (
    IAttributeUpdater,
    IBucketContainer,
    IIdentified,
    IMultipartUploads,
    IPluginFactory,
    IUnderFileSystem,
)
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import AlreadyExists, Attributes, Listing, NoSuchPath, NotEmpty, PathConflict, Status
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.memory_streams import MemoryReader, MemoryWriter
from alluxio_s3.ufs.memory_uploads import MemoryUploads


@frozen
class StoredObject:
    """One version of one object."""

    status: Status
    data: bytes


@define
class Shelf:
    """Objects by path, in the order of their paths.

    With ``buckets`` a path must begin with the name of a bucket that is there.
    """

    clock: IReactorTime
    buckets: bool
    _objects: dict[str, StoredObject] = field(factory=dict, init=False)
    _paths: list[str] = field(factory=list, init=False)
    _serial: int = field(default=0, init=False)

    def now_ns(self) -> int:
        """The time, in nanoseconds since the epoch."""
        return int(self.clock.seconds() * 1e9)

    def get(self, path: str) -> StoredObject:
        """What is at ``path``. Raises NoSuchPath."""
        found = self._objects.get(path)
        if found is None:
            raise NoSuchPath(path)
        return found

    def following(self, path: str) -> str | None:
        """The first path that is >= ``path``."""
        index = bisect_left(self._paths, path)
        return self._paths[index] if index < len(self._paths) else None

    def require_place(self, path: str) -> None:
        """Raise NoSuchPath unless the bucket of ``path`` is there; PathConflict for the root or a bucket itself."""
        bucket, slash, key = path.partition("/")
        if not path or (self.buckets and slash and not key):
            raise PathConflict(path)
        if self.buckets and f"{bucket}/" not in self._objects:
            raise NoSuchPath(path)

    def publish(self, path: str, data: bytes, attributes: Attributes, condition: WriteCondition) -> Status:
        """Put ``data`` at ``path`` if ``condition`` holds. Raises NoSuchPath, S3Error from ``condition.check``."""
        self.require_place(path)
        self.check(path, condition)
        return self.put(path, data, attributes)

    def check(self, path: str, condition: WriteCondition) -> None:
        """Raise what ``condition`` raises of what is at ``path``."""
        old = self._objects.get(path)
        if old is None:
            condition.check(None)
        else:
            condition.check(old.status.etag, old.status.size, old.status.modified_ns)

    def put(self, path: str, data: bytes, attributes: Attributes) -> Status:
        """A version of ``path`` that was never there before."""
        self._serial += 1
        version = f"memory-{self._serial:x}"
        status = Status(path, len(data), self.now_ns(), attributes.etag or version, version, attributes)
        if path and path not in self._objects:
            insort(self._paths, path)
        self._objects[path] = StoredObject(status, data)
        return status

    def set_tags(self, path: str, tags: Mapping[str, str]) -> None:
        """The same version with other tags. Raises NoSuchPath."""
        found = self.get(path)
        attributes = evolve(found.status.attributes, tags=dict(tags))
        self._objects[path] = evolve(found, status=evolve(found.status, attributes=attributes))

    def remove(self, path: str) -> None:
        """Take away what is at ``path``."""
        del self._objects[path]
        del self._paths[bisect_left(self._paths, path)]

    def clear(self) -> None:
        """Take away everything."""
        self._objects.clear()
        self._paths.clear()


@implementer(IUnderFileSystem, IBucketContainer, IAttributeUpdater, IIdentified)
class MemoryUnderFileSystem:
    """A store whose top-level folders are buckets, or with ``buckets=False`` the keys of one bucket."""

    def __init__(self, clock: IReactorTime, *, buckets: bool = True) -> None:
        self._name = secrets.token_hex(16)
        self._shelf = Shelf(clock, buckets)
        self._shelf.put("", b"", Attributes())
        self._uploads = MemoryUploads(self._shelf.require_place, self._shelf.publish, self._shelf.now_ns)

    @property
    def identity(self) -> str:
        """Which store it is: none before it, none after it."""
        return f"memory:{self._name}"

    def __conform__(self, interface: object) -> object:
        """``IMultipartUploads(store)`` is the store's uploads."""
        return self._uploads if interface is IMultipartUploads else None

    async def status(self, path: str) -> Status:
        """The object or folder at ``path``. Raises NoSuchPath."""
        return self._shelf.get(path).status

    async def list(self, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
        """See IUnderFileSystem. The order of Python's strings is that of their UTF-8."""
        entries: list[Status | str] = []
        path = self._shelf.following(max(prefix, start))
        while path is not None and path.startswith(prefix):
            if len(entries) == limit:
                return Listing(tuple(entries), complete=False)
            slash = path.find(delimiter, len(prefix)) if delimiter else -1
            if slash < 0:
                entries.append(self._shelf.get(path).status)
                path = self._shelf.following(path + "\0")
            else:
                entries.append(path[: slash + 1])
                path = self._shelf.following(path[:slash] + "0")  # "0" comes next after "/"
        return Listing(tuple(entries), complete=True)

    async def open(self, path: str) -> MemoryReader:
        """A reader of the object as it stands now. Raises NoSuchPath; PathConflict for a folder."""
        found = self._shelf.get(path)
        if found.status.is_folder:
            raise PathConflict(path)
        return MemoryReader(found.status, found.data)

    async def create(self, path: str, attributes: Attributes, length: int | None) -> MemoryWriter:  # noqa: ARG002 the interface's
        """A writer of an object, or of a folder. Raises NoSuchPath when the bucket is gone."""
        self._shelf.require_place(path)
        return MemoryWriter(path, partial(self._shelf.publish, path))

    async def delete(self, path: str, condition: WriteCondition) -> None:
        """Remove the object or folder at ``path``, and nothing below it."""
        self._shelf.get(path)
        self._shelf.check(path, condition)
        self._shelf.require_place(path)
        self._shelf.remove(path)

    async def buckets(self) -> Sequence[Status]:
        """Every top-level folder, by name."""
        folders = []
        path = self._shelf.following("")
        while path is not None:
            name, slash, key = path.partition("/")
            if slash and not key:  # "b/" comes before all that is in it
                folders.append(self._shelf.get(path).status)
            path = self._shelf.following(f"{name}0" if slash else f"{path}\0")
        return folders

    async def bucket(self, name: str) -> Status:
        """That bucket alone. Raises NoSuchPath."""
        return self._shelf.get(f"{name}/").status

    async def create_bucket(self, name: str, attributes: Attributes) -> Status:
        """Make a bucket. Raises AlreadyExists."""
        path = f"{name}/"
        if self._shelf.following(path) == path:
            raise AlreadyExists(path)
        return self._shelf.put(path, b"", attributes)

    async def delete_bucket(self, name: str) -> None:
        """Remove an empty bucket. Raises NoSuchPath, NotEmpty."""
        path = f"{name}/"
        self._shelf.get(path)
        if (self._shelf.following(path + "\0") or "").startswith(path):
            raise NotEmpty(path)
        self._shelf.remove(path)

    async def set_tags(self, path: str, tags: Mapping[str, str]) -> None:
        """Replace the tags at ``path``. Raises NoSuchPath."""
        self._shelf.set_tags(path, tags)

    async def close(self) -> None:
        """Forget everything."""
        self._shelf.clear()


@implementer(IPluginFactory)
class MemoryFactory:
    """Builds a ``MemoryUnderFileSystem``. Option ``buckets`` (``true`` or ``false``): whether it is mounted at ``/``."""

    def build(self, options: Mapping[str, str], reactor: object, threads: Threads) -> MemoryUnderFileSystem:  # noqa: ARG002 it needs none
        """A new, empty store. Raises ValueError for an option that is neither."""
        buckets = options.get("buckets", "false").lower()
        if buckets not in ("true", "false"):
            raise ValueError(f"the option buckets is true or false, not {buckets!r}")
        return MemoryUnderFileSystem(wall_clock(cast(IReactorTime, reactor)), buckets=buckets == "true")

"""An under-store on top of any store of keys and bytes, for plugins: five calls that may block are enough.

``FlatUnderFileSystem`` has all that is the same for such stores: threads, pieces of bounded size, conditions, folders,
buckets, listings. What it works on is an ``IFlatStore``. docs/writing-a-ufs.md builds one.
"""

# ruff: noqa: N805  # zope's methods take no self

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, ParamSpec, TypeVar

from attrs import asdict, define, field, frozen
from zope.interface import Interface, implementer
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from alluxio_s3.interfaces import IBucketContainer, IIdentified, IObjectReader, IObjectWriter, IUnderFileSystem
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import (
    AlreadyExists,
    Attributes,
    Listing,
    NoSpace,
    NoSuchPath,
    NotEmpty,
    ObjectChanged,
    PathConflict,
    Status,
    Unavailable,
)
from alluxio_s3.threads import Threads

P = ParamSpec("P")
T = TypeVar("T")

# The most that a store is asked to read at once; a good size for rows and files of stores that keep objects in pieces.
PIECE_BYTES = 256 << 10
# So much of an object waits in memory before it goes to a temporary file.
_SPOOL_BYTES = 1 << 20
# How many objects to look at for one entry, when a folder may hide most of them.
_FOLDED_SCAN = 100


@frozen
class Stored:
    """One version of an object, as a flat store knows it.

    ``version`` tells it from every other version of any object, before it and after; ``record`` is what the store was given to
    keep with it; ``size`` and ``modified_ns`` are as in ``Status``.
    """

    version: str = field(converter=str)
    path: str
    size: int
    modified_ns: int
    record: str


class IFlatStore(Interface):
    """Objects by path; a path is any text, and ``a/`` is one like any other. Methods block, and are called in threads, several at a time.

    They raise the StorageError that fits. An OSError becomes NoSpace or Unavailable; any other exception is an
    internal error to the client.
    """

    def scan(start: str, limit: int) -> Sequence[Stored]:
        """The first ``limit`` objects (or all, if there are fewer) whose path is >= ``start``, in the byte order of their UTF-8."""

    def read(version: str, offset: int, count: int) -> bytes:
        """Bytes of that version from ``offset``: one at least, ``count`` (up to ``PIECE_BYTES``) at most; none if it is no more."""

    def put(path: str, data: IO[bytes], size: int, record: str, check: Callable[[], None]) -> Stored:
        """Keep the ``size`` bytes of ``data``, which is read from its beginning, and ``record`` in place of what is at ``path``.

        First ``check`` is called, which looks at the store through ``scan``. No other ``put`` or ``remove`` may come between
        that and the change, and all of the change is seen or nothing. What ``check`` or ``data.read`` raises
        passes, and nothing has changed. A ``record`` is at most some tens of kilobytes.
        """

    def remove(path: str, check: Callable[[], None]) -> None:
        """Call ``check`` as ``put`` does, then take away what is at ``path``."""

    def close() -> None:
        """Let go of everything. A call whose client went away may still be running."""


@implementer(IUnderFileSystem, IBucketContainer, IIdentified)
class FlatUnderFileSystem:
    """The under-store that ``store`` makes. ``identity`` says which one it is, ``buckets`` whether it is mounted at ``/``.

    Raises ValueError if ``store`` is no IFlatStore.
    """

    def __init__(self, store: IFlatStore, threads: Threads, *, identity: str, buckets: bool) -> None:
        try:
            verifyObject(IFlatStore, store)
        except Invalid as error:
            raise ValueError(" ".join(str(error).split())) from error
        self.identity = identity
        self._store = store
        self._threads = threads
        self._has_buckets = buckets

    async def status(self, path: str) -> Status:
        """See IUnderFileSystem."""
        return await _run(self._threads, self._find, path)

    async def list(self, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
        """See IUnderFileSystem."""
        return await _run(self._threads, self._list, prefix, start, limit, delimiter)

    async def open(self, path: str) -> FlatReader:
        """See IUnderFileSystem."""
        status = await self.status(path)
        if status.is_folder:
            raise PathConflict(path)
        return FlatReader(status, self._store, self._threads)

    async def create(self, path: str, attributes: Attributes, length: int | None) -> FlatWriter:  # noqa: ARG002 - commit brings them
        """See IUnderFileSystem. The bytes wait in a temporary file until they are committed."""
        await _run(self._threads, self._check_place, path)
        return FlatWriter(path, partial(self._publish, path), self._threads)

    async def delete(self, path: str, condition: WriteCondition) -> None:
        """See IUnderFileSystem."""
        await _run(self._threads, self._store.remove, path, partial(self._check_delete, path, condition))

    async def close(self) -> None:
        """See IUnderFileSystem."""
        await _run(self._threads, self._store.close)

    async def buckets(self) -> Sequence[Status]:
        """See IBucketContainer."""
        return await _run(self._threads, self._buckets)

    async def bucket(self, name: str) -> Status:
        """See IBucketContainer."""
        return await self.status(f"{name}/")

    async def create_bucket(self, name: str, attributes: Attributes) -> Status:
        """See IBucketContainer."""
        path = f"{name}/"
        return await _run(self._threads, self._put, path, BytesIO(), 0, attributes, partial(self._check_absent, path))

    async def delete_bucket(self, name: str) -> None:
        """See IBucketContainer."""
        path = f"{name}/"
        await _run(self._threads, self._store.remove, path, partial(self._check_empty, path))

    def _find(self, path: str) -> Status:
        if not path:
            return Status("", 0, 0, "root", "root")
        found = self._store.scan(path, 1)
        if not found or found[0].path != path:
            raise NoSuchPath(path)
        return _status(found[0])

    def _list(self, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
        entries: list[Status | str] = []
        position = max(prefix, start)  # the order of Python's strings is that of their UTF-8
        while True:
            count = min(limit + 1 - len(entries), _FOLDED_SCAN if delimiter else sys.maxsize)
            found = self._store.scan(position, count)
            for stored in found:
                path = stored.path
                if path < position:
                    continue  # in the folder that was the last entry
                if not path.startswith(prefix):
                    return Listing(tuple(entries), complete=True)
                if len(entries) == limit:
                    return Listing(tuple(entries), complete=False)
                slash = path.find(delimiter, len(prefix)) if delimiter else -1
                entries.append(_status(stored) if slash < 0 else path[: slash + 1])
                position = f"{path}\0" if slash < 0 else f"{path[:slash]}0"  # "0" comes next after "/"
            if len(found) < count:
                return Listing(tuple(entries), complete=True)

    def _buckets(self) -> Sequence[Status]:
        found = []
        for entry in self._list("", "", sys.maxsize, "/").entries:
            if isinstance(entry, str):
                try:
                    found.append(self._find(entry))
                except NoSuchPath:
                    continue  # removed since
        return found

    def _publish(self, path: str, spool: IO[bytes], attributes: Attributes, condition: WriteCondition) -> Status:
        size = spool.seek(0, os.SEEK_END)
        spool.seek(0)
        return self._put(path, spool, size, attributes, partial(self._check_write, path, condition))

    def _put(self, path: str, data: IO[bytes], size: int, attributes: Attributes, check: Callable[[], None]) -> Status:
        return _status(self._store.put(path, data, size, json.dumps(asdict(attributes), default=dict), check))

    def _check_place(self, path: str) -> None:
        bucket, _, key = path.partition("/")
        if self._has_buckets:
            self._find(f"{bucket}/")
        if not path or (self._has_buckets and not key):
            raise PathConflict(path)

    def _check_write(self, path: str, condition: WriteCondition) -> None:
        self._check_place(path)
        try:
            self._check_found(path, condition)
        except NoSuchPath:
            condition.check(None)

    def _check_delete(self, path: str, condition: WriteCondition) -> None:
        self._check_found(path, condition)
        self._check_place(path)

    def _check_found(self, path: str, condition: WriteCondition) -> None:
        status = self._find(path)
        condition.check(status.etag, status.size, status.modified_ns)

    def _check_absent(self, path: str) -> None:
        try:
            self._find(path)
        except NoSuchPath:
            return
        raise AlreadyExists(path)

    def _check_empty(self, path: str) -> None:
        self._find(path)
        if any(stored.path.startswith(path) for stored in self._store.scan(f"{path}\0", 1)):
            raise NotEmpty(path)


@implementer(IObjectReader)
@frozen
class FlatReader:
    """Reads one version piece by piece; nothing is held between two pieces."""

    status: Status
    _store: IFlatStore
    _threads: Threads

    async def read(self, offset: int, count: int) -> AsyncIterator[bytes]:
        """See IObjectReader."""
        end = offset + count
        while offset < end:
            data = await _run(self._threads, self._store.read, self.status.validator, offset, min(end - offset, PIECE_BYTES))
            if not data:
                raise ObjectChanged(self.status.path)
            yield data
            offset += len(data)

    async def close(self) -> None:
        """Nothing is held."""


@implementer(IObjectWriter)
@define
class FlatWriter:
    """Collects the bytes in a temporary file, and has them published at once.

    ``abort`` closes the file under whatever still runs in a thread after a cancellation: that fails then, and changes nothing.
    """

    _path: str
    _publish: Callable[[IO[bytes], Attributes, WriteCondition], Status]
    _threads: Threads
    _spool: IO[bytes] = field(factory=partial(SpooledTemporaryFile, max_size=_SPOOL_BYTES), init=False)

    async def write(self, data: bytes) -> None:
        """See IObjectWriter. Raises PathConflict for a folder, which holds no bytes."""
        if data and self._path.endswith("/"):
            raise PathConflict(self._path, "A folder holds no bytes.")
        await _run(self._threads, self._spool.write, data)

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        """See IObjectWriter."""
        try:
            return await _run(self._threads, self._publish, self._spool, attributes, condition)
        finally:
            await self.abort()

    async def abort(self) -> None:
        """See IObjectWriter."""
        await self._threads.run(self._spool.close)


def _status(stored: Stored) -> Status:
    fields = json.loads(stored.record)
    attributes = Attributes(**{**fields, "part_sizes": tuple(fields["part_sizes"])})
    etag = attributes.etag or f"version-{stored.version}"
    return Status(stored.path, stored.size, stored.modified_ns, etag, stored.version, attributes)


async def _run(threads: Threads, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return await threads.run(function, *args, **kwargs)
    except OSError as error:
        kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else Unavailable
        raise kind(message=str(error)) from error

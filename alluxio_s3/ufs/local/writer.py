"""Objects on their way into the local directory."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock

from zope.interface import implementer

from alluxio_s3.interfaces import IFileBacked, IObjectReader, IObjectWriter, IRangeCopier
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, ObjectChanged, Status, Unavailable, Unsupported
from alluxio_s3.threads import Lane, Threads
from alluxio_s3.ufs.local.failures import storage_errors
from alluxio_s3.ufs.local.reader import LocalReader
from alluxio_s3.ufs.local.staging import Temporary

# An object of so many bytes is written by the thread that publishes it: one change of threads less.
_SMALL_BYTES = 64 << 10

Publish = Callable[[Temporary, Attributes, WriteCondition], Status]


@implementer(IObjectWriter, IRangeCopier)
class LocalWriter:
    """Writes a temporary file, which ``publish`` (called in a thread) then makes what it is to be.

    ``path`` is for error messages; ``length`` the number of bytes that must have come, if it is known.
    """

    def __init__(self, path: str, temporary: Temporary, length: int | None, threads: Threads, publish: Publish) -> None:
        self._path = path
        self._temporary = temporary
        self._length = length
        self._threads = threads
        self._publish = publish
        # Held by the thread that works: a request that is given up may abort while its last write still runs.
        self._working = Lock()
        self._ended = False
        # For what is larger: a small object is done before it would be worth its while.
        self._lane: Lane[bytes] | None = None
        # What has come of an object that may be a small one; None: it is not.
        self._first: list[bytes] | None = []
        self._offered = 0

    async def write(self, data: bytes) -> None:
        """See IObjectWriter. The last bytes are written while the next come; an error of theirs is raised then, or by ``commit``."""
        if not data:
            return
        self._check_open()
        self._offered += len(data)
        self._check_size(self._offered, last=False)
        if self._first is not None and self._offered <= _SMALL_BYTES:
            self._first.append(data)
            return
        await (await self._begun()).put(data)

    async def copy_from(self, reader: IObjectReader, offset: int, count: int) -> bool:
        """See IRangeCopier."""
        file = IFileBacked(reader, None)
        if file is None:
            return False
        await (await self._begun()).settle()
        source = os.dup(file.fileno())  # ours, so that it stays open under the thread
        return await self._threads.run(self._copy, source, reader, offset, count)

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        """See IObjectWriter."""
        try:
            if self._lane is not None:
                await self._lane.settle()
        except Exception:
            await self.abort()
            raise
        first, self._first = self._first or [], None
        return await self._threads.run(self._commit, first, attributes, condition)

    async def abort(self) -> None:
        """See IObjectWriter."""
        if self._lane is not None:
            self._lane.clear()
        self._first = None
        await self._threads.run(self.discard)

    def discard(self) -> None:
        """``abort``, from a thread: it blocks."""
        with self._working, storage_errors(self._path, writing=True):
            self._ended = True
            self._temporary.discard()

    def _write(self, data: bytes) -> None:
        with self._working, storage_errors(self._path, writing=True):
            self._check_open()
            self._temporary.write(data)

    def _copy(self, source: int, reader: IObjectReader, offset: int, count: int) -> bool:
        try:
            with self._working, storage_errors(self._path, writing=True):
                self._check_open()
                before = self._temporary.size
                while count:
                    copied = self._temporary.copy_from(source, offset, count)
                    if copied is None:
                        if self._temporary.size == before:
                            return False
                        raise Unavailable(self._path, f"Unavailable: {self._path}: the kernel stopped copying midway")
                    if not copied:
                        raise ObjectChanged(reader.status.path)
                    offset += copied
                    count -= copied
                if isinstance(reader, LocalReader):
                    reader.check_unchanged()
                return True
        finally:
            os.close(source)

    def _commit(self, first: list[bytes], attributes: Attributes, condition: WriteCondition) -> Status:
        with self._working, storage_errors(self._path, writing=True):
            self._check_open()
            self._ended = True
            try:
                for data in first:
                    self._temporary.write(data)
                self._check_size(self._temporary.size, last=True)
                return self._publish(self._temporary, attributes, condition)
            finally:
                self._temporary.discard()

    async def _begun(self) -> Lane[bytes]:
        """What writes, once it has been given what came first."""
        first, self._first = self._first, None
        if self._lane is None:
            self._lane = Lane(self._threads, self._write)
        if first:
            await self._lane.put(b"".join(first))
        return self._lane

    def _check_size(self, size: int, *, last: bool) -> None:
        if self._length is not None and (size > self._length or (last and size < self._length)):
            raise Unavailable(self._path, f"Unavailable: {self._path}: {size} bytes came where {self._length} were announced")

    def _check_open(self) -> None:
        if self._ended:
            raise Unavailable(self._path, f"Unavailable: {self._path}: this write has ended")


@implementer(IObjectWriter)
class FolderWriter:
    """Makes a folder, which has no bytes; ``make`` is called in a thread."""

    def __init__(self, path: str, threads: Threads, make: Callable[[Attributes, WriteCondition], Status]) -> None:
        self._path = path
        self._threads = threads
        self._make = make

    async def write(self, data: bytes) -> None:
        """Raises Unsupported: a directory holds no bytes of its own."""
        if data:
            raise Unsupported(self._path, "A key that ends with '/' names a folder here, and a folder must be empty.")

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        """See IObjectWriter."""
        return await self._threads.run(self._make, attributes, condition)

    async def abort(self) -> None:
        """See IObjectWriter."""

"""An open file as an object being read."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import AsyncIterator

from zope.interface import implementer

from alluxio_s3.interfaces import IFileBacked, IObjectReader
from alluxio_s3.storage import NoSuchPath, ObjectChanged, PathConflict, StorageError
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local.descriptor import Descriptor
from alluxio_s3.ufs.local.failures import storage_errors
from alluxio_s3.ufs.local.open_files import OpenFile, shows_changes
from alluxio_s3.ufs.local.tree import Tree, check_whole

_PIECE = 512 << 10


# A pipe without a writer would keep the thread for ever, a terminal would become the daemon's.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY


def open_object(tree: Tree, path: str) -> OpenFile:
    """The object at ``path``, open for reading. Blocks."""
    looked_ns = time.time_ns()
    with storage_errors(path), tree.looked_up(path, _FLAGS) as (found, record, descriptor):
        if (path.endswith("/") or not path) and stat.S_ISDIR(found.st_mode):
            raise PathConflict(path, f"PathConflict: {path}: a folder has no bytes to read")
        if not stat.S_ISREG(found.st_mode):
            raise NoSuchPath(path)
        status = tree.describe(path, found, record, descriptor)
        check_whole(path, found, record)
        shown = shows_changes(descriptor, record)
        return OpenFile(status, found, Descriptor(os.dup(descriptor)), path, shows_changes=shown, looked_ns=looked_ns)


def open_at_once(tree: Tree, path: str, known: OpenFile | None = None) -> OpenFile | None:
    """``open_object`` without waiting, of what came through S3 and whose name and inode are in the kernel's memory; else None.

    ``known`` is what the file at ``path`` was the last time: what holds still is not asked for again.
    """
    looked_ns = time.time_ns()
    number = None if path.endswith("/") else tree.root.open_at_once(path, _FLAGS)
    if number is None:
        return None
    descriptor = Descriptor(number)
    try:
        found = os.fstat(number)
        again = None if known is None else known.opened_again(descriptor, found)
        if again is not None:
            return again
        tree.check(path)
        record = tree.records.read_own(number)
        if record is None:
            raise NoSuchPath(path)
        status = tree.describe(path, found, record, number)
        check_whole(path, found, record)
    except (StorageError, OSError):
        descriptor.close()
        return None
    return OpenFile(status, found, descriptor, path, shows_changes=True, looked_ns=looked_ns)


@implementer(IObjectReader, IFileBacked)
class LocalReader:
    """Reads one open file, as the reader that ``file`` has counted. One that is changed in place meanwhile is ObjectChanged."""

    def __init__(self, file: OpenFile, threads: Threads) -> None:
        self.status = file.status
        self._file = file
        self._threads = threads
        self._released = False

    async def read(self, offset: int, count: int) -> AsyncIterator[bytes]:
        """See IObjectReader."""
        while count > 0:
            piece = await self._threads.run(self._piece, offset, min(count, _PIECE))
            offset += len(piece)
            count -= len(piece)
            yield piece

    def fileno(self) -> int:
        """See IFileBacked."""
        return self._file.fileno()

    def check_unchanged(self) -> None:
        """See IFileBacked."""
        self._file.check_unchanged()

    async def close(self) -> None:
        """See IObjectReader."""
        if not self._released:
            self._released = True
            self._file.release()

    def _piece(self, offset: int, count: int) -> bytes:
        with storage_errors(self.status.path), self._file.descriptor.held() as descriptor:
            piece = os.pread(descriptor, count, offset)
            # After the bytes, so that what is handed out was read from an unchanged file.
            self.check_unchanged()
            if len(piece) < count and (not piece or offset + len(piece) >= self.status.size):
                raise ObjectChanged(self.status.path)
            return piece

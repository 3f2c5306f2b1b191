"""An open file as an object being read."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator

from zope.interface import implementer

from alluxio_s3.interfaces import IFileBacked, IObjectReader
from alluxio_s3.storage import NoSuchPath, ObjectChanged, PathConflict, Status
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local.descriptor import Descriptor
from alluxio_s3.ufs.local.failures import storage_errors
from alluxio_s3.ufs.local.identity import same_file
from alluxio_s3.ufs.local.tree import Tree, check_whole

_PIECE = 512 << 10


def open_object(tree: Tree, path: str) -> tuple[Status, os.stat_result, Descriptor]:
    """The object at ``path``: its Status, its inode, and the file open for reading. Blocks."""
    # A pipe without a writer would keep the thread for ever, a terminal would become the daemon's.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
    with storage_errors(path), tree.looked_up(path, flags) as (found, record, descriptor):
        if (path.endswith("/") or not path) and stat.S_ISDIR(found.st_mode):
            raise PathConflict(path, f"PathConflict: {path}: a folder has no bytes to read")
        if not stat.S_ISREG(found.st_mode):
            raise NoSuchPath(path)
        status = tree.describe(path, found, record, descriptor)
        check_whole(path, found, record)
        return status, found, Descriptor(os.dup(descriptor))


@implementer(IObjectReader, IFileBacked)
class LocalReader:
    """Reads one open file. A file that is changed in place while it is read is ObjectChanged."""

    def __init__(self, status: Status, found: os.stat_result, descriptor: Descriptor, threads: Threads) -> None:
        self.status = status
        self._found = found
        self._descriptor = descriptor
        self._threads = threads

    async def read(self, offset: int, count: int) -> AsyncIterator[bytes]:
        """See IObjectReader."""
        while count > 0:
            piece = await self._threads.run(self._piece, offset, min(count, _PIECE))
            offset += len(piece)
            count -= len(piece)
            yield piece

    def fileno(self) -> int:
        """See IFileBacked."""
        return self._descriptor.number

    def check_unchanged(self) -> None:
        """Raise ObjectChanged if the bytes are not those of ``status`` any more. Blocks."""
        with self._descriptor.held() as descriptor:
            if not same_file(self._found, os.fstat(descriptor)):
                raise ObjectChanged(self.status.path)

    async def close(self) -> None:
        """See IObjectReader."""
        # In a thread: the last descriptor of a deleted file frees its blocks.
        await self._threads.run(self._descriptor.close)

    def _piece(self, offset: int, count: int) -> bytes:
        with storage_errors(self.status.path), self._descriptor.held() as descriptor:
            piece = os.pread(descriptor, count, offset)
            # After the bytes, so that what is handed out was read from an unchanged file.
            self.check_unchanged()
            if len(piece) < count and (not piece or offset + len(piece) >= self.status.size):
                raise ObjectChanged(self.status.path)
            return piece

"""An open file as an object being read."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import AsyncIterator

from zope.interface import implementer

from alluxio_s3.interfaces import IHotReader, IObjectReader
from alluxio_s3.storage import NoSuchPath, ObjectChanged, PathConflict
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local.descriptor import Descriptor
from alluxio_s3.ufs.local.failures import storage_errors
from alluxio_s3.ufs.local.identity import same_file
from alluxio_s3.ufs.local.open_files import OpenFile, OpenFiles, shows_changes
from alluxio_s3.ufs.local.tree import Tree, check_whole

_PIECE = 512 << 10


def open_object(tree: Tree, path: str) -> OpenFile:
    """The object at ``path``, open for reading. Blocks."""
    # A pipe without a writer would keep the thread for ever, a terminal would become the daemon's.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
    looked_ns = time.time_ns()
    with storage_errors(path), tree.looked_up(path, flags) as (found, record, descriptor):
        if (path.endswith("/") or not path) and stat.S_ISDIR(found.st_mode):
            raise PathConflict(path, f"PathConflict: {path}: a folder has no bytes to read")
        if not stat.S_ISREG(found.st_mode):
            raise NoSuchPath(path)
        status = tree.describe(path, found, record, descriptor)
        check_whole(path, found, record)
        shown = shows_changes(descriptor, record)
        return OpenFile(status, found, Descriptor(os.dup(descriptor)), path, shows_changes=shown, looked_ns=looked_ns)


@implementer(IObjectReader, IHotReader)
class LocalReader:
    """Reads one open file, which ``files`` closes after its last reader. One that is changed in place meanwhile is ObjectChanged."""

    def __init__(self, file: OpenFile, files: OpenFiles, threads: Threads) -> None:
        self.status = file.status
        self.rendered = file.rendered
        self._file = file
        self._files = files
        self._threads = threads
        self._released = False
        file.readers += 1

    async def read(self, offset: int, count: int) -> AsyncIterator[bytes]:
        """See IObjectReader."""
        while count > 0:
            piece = await self._threads.run(self._piece, offset, min(count, _PIECE))
            offset += len(piece)
            count -= len(piece)
            yield piece

    def fileno(self) -> int:
        """See IFileBacked."""
        return self._file.descriptor.number

    def check_unchanged(self) -> None:
        """See IFileBacked."""
        # An open reader keeps its file open.
        if not same_file(self._file.found, os.fstat(self._file.descriptor.number)):
            raise ObjectChanged(self.status.path)

    async def close(self) -> None:
        """See IObjectReader."""
        self.release()

    def release(self) -> None:
        """See IHotReader."""
        if not self._released:
            self._released = True
            self._files.release(self._file)

    def _piece(self, offset: int, count: int) -> bytes:
        with storage_errors(self.status.path), self._file.descriptor.held() as descriptor:
            piece = os.pread(descriptor, count, offset)
            # After the bytes, so that what is handed out was read from an unchanged file.
            self.check_unchanged()
            if len(piece) < count and (not piece or offset + len(piece) >= self.status.size):
                raise ObjectChanged(self.status.path)
            return piece

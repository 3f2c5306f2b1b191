"""One writer of a key at a time, in this process and among those that share the directory."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

_STRIPES = 4096


class KeyLocks:
    """Locks by path: bytes of the file that ``open_file`` opens. Paths share them (by a hash), so a thread must hold only one at a time."""

    def __init__(self, open_file: Callable[[], int]) -> None:
        self._open_file = open_file
        self._stripes = tuple(Lock() for _ in range(_STRIPES))
        self._opening = Lock()
        self._file = -1

    @contextmanager
    def held(self, path: str) -> Iterator[None]:
        """Nobody else, in any process, is in here for ``path`` meanwhile. Raises OSError where nothing can be written."""
        stripe = zlib.crc32(path.encode()) % _STRIPES
        with self._stripes[stripe]:
            file = self._opened()
            with suppress_unlockable():
                fcntl.fcntl(file, fcntl.F_OFD_SETLKW, byte_lock(fcntl.F_WRLCK, stripe))
            try:
                yield
            finally:
                with suppress_unlockable():
                    fcntl.fcntl(file, fcntl.F_OFD_SETLK, byte_lock(fcntl.F_UNLCK, stripe))

    def close(self) -> None:
        """Let go of the lock file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _opened(self) -> int:
        with self._opening:
            if self._file < 0:
                self._file = self._open_file()
            return self._file


def byte_lock(kind: int, offset: int, count: int = 1) -> bytes:
    """A ``struct flock`` for ``count`` bytes of a file, for fcntl's F_OFD commands."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, offset, count, 0)


@contextmanager
def suppress_unlockable() -> Iterator[None]:
    """Go on without a lock where the file system has none: then only this process is kept apart from itself."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise

"""One writer of a key at a time, in this process and among those that share the directory."""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from alluxio_s3.ufs.local.staging import Staging, byte_lock, suppress_unlockable

_STRIPES = 4096


class KeyLocks:
    """Locks by path. Paths share them (by a hash), so a thread must hold one at a time only."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
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
                self._file = self._staging.open_lock()
            return self._file

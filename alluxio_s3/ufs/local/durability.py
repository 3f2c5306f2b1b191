"""How much a reply of success promises: what is flushed, and when.

``full``: file and directory entry are on stable storage. ``data``: the file is; its directory entry follows at the next
``flush`` (a timer's, each second). ``rename``: nothing is flushed; survives the end of the process, not of the machine.
"""

from __future__ import annotations

import errno
import os
from threading import Lock
from typing import Literal

Mode = Literal["full", "data", "rename"]
_MOST_WAITING = 64


class Durability:
    """Flushes as ``mode`` asks. Its methods block."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self._lock = Lock()
        self._waiting: dict[tuple[int, int], int] = {}

    def file(self, descriptor: int) -> None:
        """The file's bytes and attributes are all written."""
        if self.mode != "rename":
            os.fsync(descriptor)

    def directory(self, descriptor: int) -> None:
        """An entry of the directory was made, replaced or removed. The descriptor must not be O_PATH."""
        if self.mode == "full":
            _sync_directory(descriptor)
        elif self.mode == "data":
            found = os.fstat(descriptor)
            key = found.st_dev, found.st_ino
            if key not in self._waiting and len(self._waiting) >= _MOST_WAITING:
                self.flush()
            with self._lock:
                if key not in self._waiting:
                    self._waiting[key] = os.dup(descriptor)

    def flush(self) -> None:
        """Flush the directories that wait. Raises OSError if one of them could not be, after all were tried; those wait on."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        failed: OSError | None = None
        for key, descriptor in waiting.items():
            try:
                _sync_directory(descriptor)
            except OSError as error:
                failed = error
                with self._lock:
                    if self._waiting.setdefault(key, descriptor) == descriptor:
                        continue
            os.close(descriptor)
        if failed is not None:
            raise failed

    def close(self) -> None:
        """Flush what waits, and let go of it. Raises OSError as ``flush``."""
        try:
            self.flush()
        finally:
            with self._lock:
                waiting, self._waiting = self._waiting, {}
            for descriptor in waiting.values():
                os.close(descriptor)


def _sync_directory(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # a file system whose directories need no fsync
            raise

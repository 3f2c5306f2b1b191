"""Which process fetches a page, so that the others do not.

A claim is a lock on a byte of a file of which nothing is ever written, at an offset that is the page's own (fcntl(2), record locks):
to take one waits for nothing, and those of a process that dies go with it.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from hashlib import blake2b

_OFFSETS = 1 << 62


class Claims:
    """The claims of this process, in the file ``path``. Where it can't be locked every claim is given. For one thread."""

    def __init__(self, path: str) -> None:
        self._descriptor = -1
        with suppress(OSError):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def take(self, version: bytes, number: int) -> bool:
        """Claim a page; False if another process has. To be given back whenever it is True; the process itself is not kept apart."""
        if self._descriptor < 0:
            return True
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _offset(version, number))
        except (BlockingIOError, PermissionError):
            return False
        except OSError:
            return True
        return True

    def give_back(self, version: bytes, number: int) -> None:
        """Claim a page no more; nothing if it was not claimed."""
        if self._descriptor >= 0:
            with suppress(OSError):
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _offset(version, number))

    def close(self) -> None:
        """Give back all."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _offset(version: bytes, number: int) -> int:
    digest = blake2b(version + number.to_bytes(8, "big"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % _OFFSETS

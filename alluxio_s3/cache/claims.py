"""Which process fetches a page, so that the others do not.

A claim is a lock on a byte of a file of which nothing is ever written, at an offset that is the page's own (fcntl(2), record locks):
to take one waits for nothing, and those of a process that dies go with it. The pages of an object are side by side, so that one call
claims all pages of a run: each lets go of the interpreter, for which threads that write pages wait.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from itertools import groupby

# Where the first pages of objects are. That of two the pages overlap is as likely as that of two numbers of 61 bits; then one waits.
_OFFSETS = 1 << 61


class Claims:
    """The claims of this process, in the file ``path``. Where it can't be locked every claim is given. For one thread."""

    def __init__(self, path: str) -> None:
        self._descriptor = -1
        with suppress(OSError):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def take(self, version: bytes, numbers: range) -> int:
        """Claim these pages, or those before the first that another process has claimed: how many. To be given back.

        The process itself is not kept apart.
        """
        if self._descriptor < 0 or self._lock(version, numbers):
            return len(numbers)
        return next((at for at, number in enumerate(numbers) if not self._lock(version, range(number, number + 1))), len(numbers))

    def give_back(self, version: bytes, numbers: Iterable[int]) -> None:
        """Claim these pages no more, of which the numbers rise; nothing for those that were not claimed."""
        if self._descriptor < 0:
            return
        # Neighbours differ from their places by the same.
        for _, neighbours in groupby(enumerate(numbers), lambda one: one[1] - one[0]):
            stretch = [number for _, number in neighbours]
            with suppress(OSError):
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, len(stretch), _offset(version, stretch[0]))

    def _lock(self, version: bytes, numbers: range) -> bool:
        if not numbers:  # a lock of no length would reach to the end of the file
            return True
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, len(numbers), _offset(version, numbers.start))
        except (BlockingIOError, PermissionError):
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        """Give back all."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _offset(version: bytes, number: int) -> int:
    digest = blake2b(version, digest_size=8).digest()
    return int.from_bytes(digest, "big") % _OFFSETS + number

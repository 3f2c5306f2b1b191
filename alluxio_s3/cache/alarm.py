"""A word in shared memory: what was known of paths before it was changed is not to be believed.

A write has to make all processes forget what they know of a path. When the index can't take that (its disk is full, or
fails, or it has been replaced), the word changes instead: each process believes what is known only as long as the word is
the one that its index has settled. It is kept in memory, so that it can be changed whatever a disk does.

Beside it is a mark that is another after every change of what is known: who has looked something up needs not do so again
while the mark is the same. A change is in the index before the mark is changed, and the mark before anybody is told of the change.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import time
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - the file is of our own name, opened without following links
_WORD_BYTES = 8
_MARK_BYTES = 8
FIRST_WORD = bytes(_WORD_BYTES)


class Alarm:
    """The alarm of the cache in ``directory``, which a process that takes part in its index may have. Raises OSError."""

    def __init__(self, directory: str) -> None:
        name = hashlib.blake2b(directory.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        self._path = path = (_MEMORY if _MEMORY.is_dir() else Path(directory)) / f"alluxio-s3-{os.geteuid()}-{name}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if os.fstat(descriptor).st_uid != os.geteuid():
                raise PermissionError(f"{path} belongs to somebody else")
            os.posix_fallocate(descriptor, 0, _WORD_BYTES + _MARK_BYTES)
            self._memory = mmap.mmap(descriptor, _WORD_BYTES + _MARK_BYTES)
        finally:
            os.close(descriptor)

    def word(self) -> bytes:
        """The word as it stands. Waits for nothing."""
        return self._memory[:_WORD_BYTES]

    def state(self) -> bytes:
        """The word and the mark as they stand, to be compared with what they were. Waits for nothing."""
        return self._memory[:]

    def mark(self, *, everybody: bool = True) -> None:
        """What is known has changed. The mark is one that never was, so that two processes may set it at once.

        Not ``everybody`` has that index: others may have begun a new one in its place, so nothing is to be believed.
        """
        self._memory[_WORD_BYTES:] = os.urandom(_MARK_BYTES)
        if not everybody:
            self.change()

    def change(self) -> None:
        """Have nothing believed that is known."""
        self._memory[:_WORD_BYTES] = time.time_ns().to_bytes(_WORD_BYTES, "little")

    def remove(self) -> None:
        """Remove it: nobody else has it, and the next one begins with a word of zeros."""
        self._path.unlink(missing_ok=True)

"""A directory of pages: where the files of pages are, how they get there, and whether its disk can be trusted.

A disk that fails is left alone: after three errors within a minute the directory is off, its pages are not there, and reads go on without
them. It is tried again every minute.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import secrets
import stat
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from twisted.logger import Logger

from alluxio_s3.cache.index import page_key, page_of
from alluxio_s3.cache.keys import VERSION_BYTES
from alluxio_s3.cache.session import FORMAT

ERRORS = 3
WINDOW_SECONDS = 60.0
RETRY_SECONDS = 60.0
FULL = (errno.ENOSPC, errno.EDQUOT)
_EXTENTS_A_BLOCK = 340  # ext4: "Dynamic Structures, Extent Tree" in the kernel's documentation
# So many blocks are in few pieces, which need no such block.
_ONE_PIECE = 64
# What writev(2) takes at once.
_MOST_PIECES = min(1024, os.sysconf("SC_IOV_MAX"))
_NOT_THE_DISK = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)

_log = Logger()


class Mishaps:
    """Errors of what is given up after three of them within a minute; ``clock`` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at: deque[float] = deque(maxlen=ERRORS)

    def add(self) -> bool:
        """One more; whether it is to be given up."""
        now = self._clock()
        self._at.append(now)
        return len(self._at) == ERRORS and now - self._at[0] <= WINDOW_SECONDS

    def clear(self) -> None:
        """Forget them."""
        self._at.clear()


class Directory:
    """The directory ``path``, whose pages may take ``size`` bytes of disk; ``number`` is its own in the index.

    ``limit`` is less than ``size`` while its disk has less room than that.
    """

    def __init__(self, path: str, size: int, clock: Callable[[], float]) -> None:
        self.path = path
        self.size = size
        self.number = -1
        self.limit = size
        self.on = False
        # What this process has counted, inside changes of the index, of which there is one at a time.
        self.evicted = self.damaged = 0
        self._clock = clock
        self._errors = Mishaps(clock)
        self._tried_at = clock()
        self._device: int | None = None
        self._block = 4096

    def check(self) -> None:
        """Make the directory if it is not there.

        Raises ValueError, with a message for the operator, if others could change its files; OSError.
        """
        Path(self.path).mkdir(mode=0o700, parents=True, exist_ok=True)
        found = Path(self.path).stat()
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise ValueError(f"{self.path}: a directory for pages has to be the daemon's own, and closed to others (chmod 700)")

    def prepare(self, identity: str) -> None:
        """Make it ready for the pages of the index of that identity; what belongs to another goes. Raises OSError, ValueError."""
        self._tried_at = self._clock()
        self.check()
        found = Path(self.path).stat()
        if self._device not in (None, found.st_dev):
            raise OSError(errno.ENXIO, "another disk is in its place", self.path)
        self._device = found.st_dev
        self._block = max(512, os.statvfs(self.path).f_frsize)
        root, marker = Path(self.path), Path(self.path) / "origin.json"
        told = json.dumps({"format": FORMAT, "index": identity}).encode()
        # Looked at before the marker, which is there before there is anything in them: they may be of a process that begins just now.
        used = [name for name in ("pages", "fills") if any((root / name).glob("*"))]
        if not marker.exists() or marker.read_bytes() != told:
            marker.unlink(missing_ok=True)
            for name in used:
                with suppress(FileNotFoundError):
                    (root / name).rename(root / f"discarded-{secrets.token_hex(8)}")
        for name in ("pages", "fills"):
            (root / name).mkdir(mode=0o700, exist_ok=True)
        if not marker.exists():
            temporary = root / f"origin-{secrets.token_hex(8)}"
            temporary.write_bytes(told)
            temporary.replace(marker)
        self.limit = self.size
        self._errors.clear()
        self.on = not self.discarded()

    def discarded(self) -> list[Path]:
        """What has to be removed before there is room."""
        return list(Path(self.path).glob("discarded-*"))

    def failed(self, problem: Exception) -> None:
        """Count an error of its disk."""
        if isinstance(problem, OSError) and problem.errno in _NOT_THE_DISK:
            return
        if self._errors.add() and self.on:
            self.on = False
            self._tried_at = self._clock()
            _log.error("The cache does without {path} for now: {problem}", path=self.path, problem=str(problem))

    def wants_retry(self) -> bool:
        """Whether it is off, and has not been tried for a while."""
        return not self.on and self._clock() - self._tried_at >= RETRY_SECONDS

    def tried(self) -> None:
        """It is still no good."""
        self._tried_at = self._clock()

    # Names of pages are made for each page that comes, and to make a Path of one takes longer than to use it.
    def file(self, key: bytes) -> str:
        """Where the page of a key is."""
        version, number = page_of(key)
        name = version.hex()
        return f"{self.path}/pages/{name[:2]}/{name}.{number}"

    def fill(self, token: bytes, number: int) -> str:
        """Where a page is while it is written: the ``number``th of the process of that token."""
        return f"{self.path}/fills/{token.hex()}.{number}"

    def taken(self, length: int) -> int:
        """How many bytes of disk a file of that length takes."""
        return -(-length // self._block) * self._block

    def most(self, length: int) -> int:
        """How many it takes at most, where the disk is in such pieces that it has to be told where each block is (ext4)."""
        taken = self.taken(length)
        if taken <= _ONE_PIECE * self._block:
            return taken
        return taken + -(-taken // self._block // _EXTENTS_A_BLOCK) * self._block

    def write(self, path: str, pieces: list[memoryview]) -> int:
        """Write a file of its own for a page; the bytes of disk that it takes. Raises OSError, and leaves none then. Blocking."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            # So there is room before there are bytes, and no more of it than they need.
            with suppress_unsupported():
                os.posix_fallocate(descriptor, 0, sum(map(len, pieces)))
            at = 0
            while at < len(pieces):
                count = os.writev(descriptor, pieces[at : at + _MOST_PIECES])
                while at < len(pieces) and count >= len(pieces[at]):
                    count -= len(pieces[at])
                    at += 1
                if count:
                    pieces[at] = pieces[at][count:]
            state = os.fstat(descriptor)
            return max(self.taken(state.st_size), state.st_blocks * 512)
        except BaseException:
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108
            raise
        finally:
            os.close(descriptor)

    def publish(self, temporary: str, key: bytes) -> None:
        """Give a written file the name of its page. Raises OSError."""
        final = self.file(key)
        try:
            os.rename(temporary, final)  # noqa: PTH104
        except FileNotFoundError:
            Path(final).parent.mkdir(mode=0o700)
            os.rename(temporary, final)  # noqa: PTH104

    def remove(self, key: bytes) -> None:
        """Remove the file of a page, if it is there. Raises OSError."""
        with suppress(FileNotFoundError):
            os.unlink(self.file(key))  # noqa: PTH108

    def files(self) -> Iterator[bytes]:
        """The keys of all files of pages; what has another name goes. Raises OSError."""
        for part in sorted(Path(self.path, "pages").iterdir()):
            with os.scandir(part) as entries:
                for entry in entries:
                    key = _key(entry.name)
                    if key is None or self.file(key) != entry.path:
                        Path(entry.path).unlink()
                    else:
                        yield key

    def share(self, key: bytes) -> float:
        """How much this directory is meant for a key: that with the most has it.

        So each gets its part by size, and when one is off, only its own keys go to others.
        """
        digest = hashlib.blake2b(key + self.path.encode(), digest_size=8).digest()
        return -self.size / math.log((int.from_bytes(digest, "big") + 1) / (2**64 + 2))


class suppress_unsupported:  # noqa: N801 - a context manager, like contextlib's
    """Go on where the file system cannot do that."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, problem: object, _trace: object) -> bool:
        return isinstance(problem, OSError) and problem.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def _key(name: str) -> bytes | None:
    version, _, number = name.partition(".")
    try:
        made = page_key(bytes.fromhex(version), int(number))
    except (ValueError, OverflowError):
        return None
    return made if len(version) == 2 * VERSION_BYTES and f"{version.lower()}.{int(number)}" == name else None

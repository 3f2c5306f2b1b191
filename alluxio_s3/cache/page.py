"""A page: a stretch of one version of an object, in a file of its own that is written once and never changed.

The file is the page's bytes and a trailer that says which page it is and what its bytes are. So a file that is torn,
rotten, old or in another's place is recognised by itself, whatever an index says.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from threading import Lock

from awscrt import checksums

from alluxio_s3.storage import ObjectChanged

MAGIC = b"ALXPAGE1"
# magic, key of the version, number of the page, length of its bytes, their CRC32C; then the CRC32C of all that.
_TRAILER = struct.Struct("<8s16sQQI")
_SEAL = struct.Struct("<I")
TRAILER_BYTES = _TRAILER.size + _SEAL.size
_PIECE_BYTES = 64 << 10

# cachestat(2), since Linux 6.5: how much of a file is in memory, told in a microsecond. Its number is the same on every machine but Alpha.
_CACHESTAT = 451
_MEMORY_PAGE = os.sysconf("SC_PAGE_SIZE")
_libc = ctypes.PyDLL(None)
# After so long a change has another time than the one before it.
SETTLED_NS = 50_000_000


class _Range(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _Resident(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted"))


def trailer(version: bytes, number: int, size: int, crc: int) -> bytes:
    """What follows the ``size`` bytes of a page in its file."""
    packed = _TRAILER.pack(MAGIC, version, number, size, crc)
    return packed + _SEAL.pack(checksums.crc32c(packed))


def sealed(version: bytes, number: int, pieces: Sequence[bytes | memoryview]) -> list[memoryview]:
    """The file of a page whose bytes are ``pieces``, to be written as it is."""
    crc = size = 0
    for piece in pieces:
        crc = checksums.crc32c(piece, crc)
        size += len(piece)
    return [*(memoryview(piece) for piece in pieces), memoryview(trailer(version, number, size, crc))]


def verified_size(descriptor: int, version: bytes, number: int, length: int) -> int | None:
    """How many bytes the page in a file of ``length`` bytes has; None if it is not that page, whole and unharmed. Blocking; raises OSError.

    One checksum covers the page, and it is read in pieces that stay in the processor's cache: 0.1 ms for 1 MiB, whatever memory there is.
    """
    size = length - TRAILER_BYTES
    if size < 0:
        return None
    crc = 0
    piece = memoryview(bytearray(min(_PIECE_BYTES, max(size, 1))))
    offset = 0
    while offset < size:
        count = os.preadv(descriptor, [piece[: min(len(piece), size - offset)]], offset)
        if count <= 0:
            return None
        crc = checksums.crc32c(piece[:count], crc)
        offset += count
    expected = trailer(version, number, size, crc)
    return size if os.pread(descriptor, len(expected) + 1, size) == expected else None


class Page:
    """An open page, shared by its readers; each of them calls ``release`` once. The bytes are at offset 0 of the file.

    It was verified after ``found`` was asked for, at ``looked_ns`` of wall time. ``dropped``: it takes no more readers.
    """

    __slots__ = ("_descriptor", "_found", "_length", "_lock", "_question", "_readers", "_resident", "dropped", "number", "size", "version")

    def __init__(self, version: bytes, number: int, size: int, descriptor: int, found: os.stat_result, looked_ns: int) -> None:
        self.version = version
        self.number = number
        self.size = size
        # A clock that ticks coarsely could give a change that came after the look the time that the file had then.
        self.dropped = looked_ns - found.st_ctime_ns < SETTLED_NS
        self._descriptor = descriptor
        self._found = found
        self._lock = Lock()
        self._readers = 1
        self._length = -(-found.st_size // _MEMORY_PAGE)
        self._resident = _Resident()
        self._question: tuple[object, ...] | None = (
            ctypes.c_long(_CACHESTAT),
            descriptor,
            ctypes.byref(_Range(0, found.st_size)),
            ctypes.byref(self._resident),
            0,
        )
        if not self._is_resident():
            # It has just been read, so the kernel does not know, or this file system does not tell.
            self._question = None

    def fileno(self) -> int:
        """The open file; the page's to close."""
        return self._descriptor

    def check_unchanged(self) -> None:
        """Raise ObjectChanged if somebody has touched the file since it was verified. Does not wait (an fstat).

        A page that was evicted is right as long as it is open: then only its name has gone, which changes its change time too.
        """
        found, now = self._found, os.fstat(self._descriptor)
        if now.st_size != found.st_size or now.st_mtime_ns != found.st_mtime_ns or (now.st_ctime_ns != found.st_ctime_ns and now.st_nlink):
            raise ObjectChanged("", "a page of the cache was changed")

    def is_proven(self) -> bool:
        """Whether the bytes in memory are those that were verified: nobody has touched the file, and none of them would come from the disk.

        Does not wait. It is not so for a file without a name: that page was evicted.
        """
        found, now = self._found, os.fstat(self._descriptor)
        return (
            now.st_ctime_ns == found.st_ctime_ns
            and now.st_mtime_ns == found.st_mtime_ns
            and now.st_size == found.st_size
            and self._is_resident()
        )

    def take(self) -> bool:
        """One reader more; False if it takes no more."""
        with self._lock:
            if self.dropped:
                return False
            self._readers += 1
            return True

    def release(self) -> None:
        """One reader less. Does not wait."""
        with self._lock:
            self._readers -= 1
            self._settle()

    def drop(self) -> None:
        """No new readers; the file is closed when the last one has let go."""
        with self._lock:
            self.dropped = True
            self._settle()

    def has_name(self) -> bool:
        """Whether its file has not been removed."""
        with self._lock:
            return self._descriptor >= 0 and os.fstat(self._descriptor).st_nlink > 0

    def _settle(self) -> None:
        if self.dropped and not self._readers and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _is_resident(self) -> bool:
        if self._question is not None:
            return bool(_libc.syscall(*self._question) == 0 and self._resident.cached >= self._length)
        probe = bytearray(1)
        try:
            for offset in (0, self._found.st_size - 1):
                os.preadv(self._descriptor, [probe], offset, os.RWF_NOWAIT)
        except OSError as problem:
            # Where the question is not known everything is taken to be in memory: tmpfs, overlay.
            return not isinstance(problem, BlockingIOError)
        return True

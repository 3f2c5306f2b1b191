"""A page: a stretch of one version of an object, in a file of its own that is written once and never changed.

The file is the page's bytes and a trailer that says which page it is and what its bytes are. So a file that is torn,
rotten, old or in another's place is recognised by itself, whatever an index says.
"""

from __future__ import annotations

import os
import struct
from threading import Lock

from awscrt import checksums

from alluxio_s3.storage import ObjectChanged

MAGIC = b"ALXPAGE1"
# magic, key of the version, number of the page, length of its bytes, their CRC32C; then the CRC32C of all that.
_TRAILER = struct.Struct("<8s16sQQI")
_SEAL = struct.Struct("<I")
TRAILER_BYTES = _TRAILER.size + _SEAL.size
_PIECE_BYTES = 64 << 10


def trailer(version: bytes, number: int, size: int, crc: int) -> bytes:
    """What follows the ``size`` bytes of a page in its file."""
    packed = _TRAILER.pack(MAGIC, version, number, size, crc)
    return packed + _SEAL.pack(checksums.crc32c(packed))


def verified_size(descriptor: int, version: bytes, number: int, length: int) -> int | None:
    """How many bytes the page in a file of ``length`` bytes has; None if it is not that page, whole and unharmed. Blocking; raises OSError.

    The checksum is over the whole page and read in pieces, so the memory that it takes does not depend on the size of pages.
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

    ``close`` is called when the last reader of a page that has been dropped lets go.
    """

    __slots__ = ("_descriptor", "_found", "_lock", "_readers", "dropped", "number", "size", "used_at", "version")

    def __init__(self, version: bytes, number: int, size: int, descriptor: int, found: os.stat_result) -> None:
        self.version = version
        self.number = number
        self.size = size
        self.dropped = False
        self._descriptor = descriptor
        self._found = found
        self._lock = Lock()
        self._readers = 0

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

    def take(self) -> bool:
        """One reader more; False if the page has been dropped."""
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

    def _settle(self) -> None:
        if self.dropped and not self._readers and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

"""Bytes on their way to the store: in memory while they are few, else in a temporary file, so that they can be sent again."""

from __future__ import annotations

import base64
import errno
import hashlib
from contextlib import suppress
from functools import partial
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import IO

from attrs import define, field

from alluxio_s3.storage import NoSpace, Unavailable
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.s3.client import Body

_MEMORY_BYTES = 1 << 20
_HASH_BYTES = 1 << 20


@define(eq=False)
class Spool:
    """Collects ``size`` bytes."""

    _threads: Threads
    size: int = field(default=0, init=False)
    _file: IO[bytes] = field(factory=partial(SpooledTemporaryFile, max_size=_MEMORY_BYTES), init=False)
    # A thread whose caller has gone may still be reading.
    _lock: Lock = field(factory=Lock, init=False)

    async def write(self, data: bytes) -> None:
        """Append ``data``. Raises NoSpace when the directory of temporary files is full."""
        try:
            if self.size + len(data) <= _MEMORY_BYTES:
                self._file.write(data)
            else:
                await self._threads.run(self._append, data)
        except OSError as error:
            kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else Unavailable
            raise kind(message=f"A temporary file cannot be written: {error.strerror}") from error
        self.size += len(data)

    def body(self) -> Body:
        """What was written, as the body of a request."""
        return Body(self.size, self._read)

    async def md5(self) -> str:
        """The MD5 of what was written, in hex."""
        return await self._threads.run(self._hash)

    async def close(self) -> None:
        """Forget it."""
        # What was refused is still in its buffer, and is refused once more.
        with suppress(OSError):
            if self.size <= _MEMORY_BYTES:
                self._file.close()
            else:
                await self._threads.run(self._file.close)

    def _append(self, data: bytes) -> None:
        self._file.write(data)
        # Whether there is room for them is to be known now, not when they are read.
        self._file.flush()

    def _read(self, offset: int, count: int) -> bytes:
        with self._lock:
            self._file.seek(offset)
            return self._file.read(count)

    def _hash(self) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        for offset in range(0, self.size, _HASH_BYTES):
            digest.update(self._read(offset, _HASH_BYTES))
        return digest.hexdigest()


def md5_header(md5: str) -> dict[str, str]:
    """``Content-MD5`` of the digest in hex."""
    return {"Content-MD5": base64.b64encode(bytes.fromhex(md5)).decode("ascii")}


def md5_of_parts(etags: list[str]) -> str:
    """The ETag of an object made of parts whose ETags are MD5s."""
    whole = hashlib.md5(b"".join(map(bytes.fromhex, etags)), usedforsecurity=False)
    return f"{whole.hexdigest()}-{len(etags)}"

"""Objects on their way in: in memory while they are small, else in a temporary file of the daemon's machine, until they are published."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import IO, TypeAlias

from attrs import define, field
from zope.interface import implementer

from alluxio_s3.interfaces import IObjectWriter
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, NoSpace, PathConflict, Status, Unavailable
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.fsspec_store.errands import Errands
from alluxio_s3.ufs.fsspec_store.remote import SMALL

Publish: TypeAlias = Callable[[IO[bytes], int, Attributes, WriteCondition], Status]


@define(eq=False)
class Spool:
    """A file that its writer gives up to who publishes it: only one of them closes it, and none while the other uses it."""

    size: int = field(default=0, init=False)
    _file: IO[bytes] = field(factory=partial(SpooledTemporaryFile, max_size=SMALL), init=False)
    _lock: Lock = field(factory=Lock, init=False)
    _given: bool = field(default=False, init=False)

    def write(self, data: bytes) -> None:
        """Append ``data``. Raises NoSpace when the directory of temporary files is full."""
        with self._lock:
            if self._file.closed:
                raise Unavailable
            with _room():
                self._file.write(data)
            self.size += len(data)

    def publish(self, publish: Publish, attributes: Attributes, condition: WriteCondition) -> Status:
        """What ``publish`` makes of the bytes, which then are gone. Raises Unavailable if they are already; NoSpace as ``write`` does."""
        with self._lock:
            if self._file.closed:
                raise Unavailable
            with _room():
                self._file.flush()
            self._given = True
        try:
            return publish(self._file, self.size, attributes, condition)
        finally:
            self._file.close()

    def close(self) -> None:
        """Forget the bytes, unless they are being published."""
        with self._lock:
            if not self._given:
                with suppress(OSError):  # it is closed also where the last bytes found no room
                    self._file.close()


@contextmanager
def _room() -> Iterator[None]:
    """Raise what a disk cannot take as the StorageError that it is."""
    try:
        yield
    except OSError as error:
        kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else Unavailable
        raise kind(message=f"A temporary file cannot be written: {error.strerror}") from error


@implementer(IObjectWriter)
@define(eq=False)
class FsspecWriter:
    """Nothing of the object is in the store before ``commit``."""

    path: str
    _publish: Publish
    _errands: Errands
    _threads: Threads
    _spool: Spool = field(factory=Spool, init=False)

    async def write(self, data: bytes) -> None:
        """See IObjectWriter."""
        if self._spool.size + len(data) <= SMALL:
            self._spool.write(data)
        else:
            await self._threads.run(self._spool.write, data)

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        """See IObjectWriter. From here on it goes on to its end, whoever waits for it."""
        try:
            return await self._errands.change(self.path, self._spool.publish, self._publish, attributes, condition)
        finally:
            self._spool.close()

    async def abort(self) -> None:
        """See IObjectWriter."""
        await self._threads.run(self._spool.close)


@implementer(IObjectWriter)
@define(eq=False)
class FolderWriter:
    """Makes a folder, which holds no bytes."""

    path: str
    _make: Callable[[Attributes, WriteCondition], Status]
    _errands: Errands

    async def write(self, data: bytes) -> None:
        """Raises PathConflict if there is a byte in it."""
        if data:
            raise PathConflict(self.path, "A folder holds no bytes.")

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        """See IObjectWriter."""
        return await self._errands.change(self.path, self._make, attributes, condition)

    async def abort(self) -> None:
        """Nothing was made."""

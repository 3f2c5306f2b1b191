"""Readers and writers of the under-store in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

from attrs import define, field
from zope.interface import implementer

from alluxio_s3.interfaces import IObjectReader, IObjectWriter, IRangeCopier
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, ObjectChanged, PathConflict, Status

_PIECE = 256 << 10

Finish: TypeAlias = Callable[[bytes, Attributes, WriteCondition], Status]


@implementer(IObjectReader)
@define
class MemoryReader:
    """Holds the bytes of its version."""

    status: Status
    _data: bytes

    async def read(self, offset: int, count: int) -> AsyncIterator[bytes]:
        """See IObjectReader."""
        if offset + count > len(self._data):
            raise ObjectChanged(self.status.path, "The object does not reach so far.")
        for position in range(offset, offset + count, _PIECE):
            yield self._data[position : min(position + _PIECE, offset + count)]

    def slice(self, offset: int, count: int) -> bytes:
        """The bytes of a range at once."""
        return self._data[offset : offset + count]

    async def close(self) -> None:
        """Nothing is held that Python does not let go."""


@implementer(IObjectWriter, IRangeCopier)
@define
class MemoryWriter:
    """Collects pieces; ``finish`` takes them joined. ``path`` is empty for a part."""

    path: str
    _finish: Finish
    _pieces: list[bytes] = field(factory=list, init=False)

    async def write(self, data: bytes) -> None:
        """Append ``data``. Raises PathConflict for a folder, which holds no bytes."""
        if data and self.path.endswith("/"):
            raise PathConflict(self.path, "A folder holds no bytes.")
        self._pieces.append(bytes(data))

    async def copy_from(self, reader: IObjectReader, offset: int, count: int) -> bool:
        """Append a range of an object of a store in memory."""
        if not isinstance(reader, MemoryReader):
            return False
        await self.write(reader.slice(offset, count))
        return True

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        """See IObjectWriter."""
        return self._finish(b"".join(self._pieces), attributes, condition)

    async def abort(self) -> None:
        """Forget the pieces."""
        self._pieces.clear()

"""Reading one version of an object, piece by piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from attrs import define
from zope.interface import implementer

from alluxio_s3.interfaces import IObjectReader
from alluxio_s3.storage import NoSuchPath, ObjectChanged, Status
from alluxio_s3.ufs.fsspec_store.errands import Errands
from alluxio_s3.ufs.fsspec_store.remote import Remote

_PIECE_BYTES = 1 << 20


@implementer(IObjectReader)
@define(eq=False)
class FsspecReader:
    """Nothing is held between two pieces. The last piece is given when the object is what it was after it was read."""

    status: Status
    _remote: Remote
    _errands: Errands

    async def read(self, offset: int, count: int) -> AsyncGenerator[bytes, None]:
        """See IObjectReader."""
        end = offset + count
        if end > self.status.size:
            raise ObjectChanged(self.status.path, "The object does not reach so far.")
        while offset < end:
            following = min(offset + _PIECE_BYTES, end)
            yield await self._errands.ask(self._piece, offset, following, last=following == end)
            offset = following

    async def close(self) -> None:
        """Nothing is held."""

    def _piece(self, start: int, end: int, *, last: bool) -> bytes:
        path = self.status.path
        try:
            data = self._remote.read(path, start, end)
            if len(data) != end - start or (last and self._remote.facts(path).validator != self.status.validator):
                raise ObjectChanged(path)
        except NoSuchPath as problem:
            raise ObjectChanged(path) from problem
        return data

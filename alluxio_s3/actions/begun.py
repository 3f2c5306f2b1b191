"""Reads that have begun before their answer has: what is wrong then is an error that the client sees, and no answer that is cut."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from attrs import define, field
from zope.interface import implementer

from alluxio_s3.interfaces import IBeginner, ICachedReader, IFileBacked, IObjectReader
from alluxio_s3.storage import ObjectChanged, Status


async def begun(reader: IObjectReader, offset: int, count: int) -> IObjectReader:
    """A reader of the same, whose first bytes are here if they come from a store. Raises what reading them raises.

    What is in a local file needs no such thing; what has a cache before it knows what it has.
    """
    if not count:
        return reader
    beginner = IBeginner(reader, None)
    if beginner is not None:
        await beginner.begin(offset, count)
        return reader
    if ICachedReader(reader, None) is not None or IFileBacked(reader, None) is not None:
        return reader
    pieces = reader.read(offset, count)
    try:
        first = await anext(pieces)
    except StopAsyncIteration:
        raise ObjectChanged(reader.status.path, "the under-store gave fewer bytes than it was asked for") from None
    except BaseException:
        await pieces.aclose()
        raise
    return BegunReader(reader, offset, count, first, pieces)


@implementer(IObjectReader)
@define(eq=False)
class BegunReader:
    """``reader``, of which ``count`` bytes from ``offset`` are read already: ``first``, then ``pieces``. For one read of these."""

    reader: IObjectReader
    offset: int
    count: int
    first: bytes
    pieces: AsyncIterator[bytes]
    status: Status = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.status = self.reader.status

    async def read(self, offset: int, count: int) -> AsyncIterator[bytes]:
        """See IObjectReader."""
        if not self.first or (offset, count) != (self.offset, self.count):
            pieces = self.reader.read(offset, count)
        else:
            first, self.first, pieces = self.first, b"", self.pieces
            yield first
        async with aclosing(pieces):  # type: ignore[type-var]  # async generators, by the interface's word
            async for piece in pieces:
                yield piece

    async def close(self) -> None:
        """See IObjectReader."""
        self.first = b""
        await self.pieces.aclose()  # type: ignore[attr-defined]  # as above
        await self.reader.close()

"""An under-store to and from which no more than so many bytes go in a second."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from alluxio_s3.forwarding import ForwardingUnderFileSystem, ForwardingUploads
from alluxio_s3.interfaces import IEagerReading, IHotObjects, IMultipartUploads, IObjectReader, IObjectWriter, IRangeCopier
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, Status, Upload

# So much may go at once after a pause.
BURST_SECONDS = 0.25


@define(eq=False)
class Allowance:
    """``rate`` bytes in a second, shared by all who ``take`` of it, first come first served."""

    rate: int
    clock: IReactorTime
    _spent_until: float = field(default=float("-inf"), init=False)

    async def take(self, count: int) -> None:
        """Return when ``count`` bytes more may go. Whoever is cancelled while waiting has taken nothing."""
        now = self.clock.seconds()
        cost = count / self.rate
        self._spent_until = max(self._spent_until, now - BURST_SECONDS) + cost
        if self._spent_until <= now:
            return
        try:
            await deferLater(self.clock, self._spent_until - now)
        except CancelledError:
            self._spent_until -= cost
            raise


@define(eq=False, slots=False)
class RateLimitedUnderFileSystem(ForwardingUnderFileSystem):
    """``ufs``, of whose objects ``allowance`` says how many bytes may be read and written. All else is not counted."""

    allowance: Allowance = field(kw_only=True)

    def offers(self, interface: Any) -> Any:
        """Everything but what reads past the allowance."""
        if interface is IHotObjects:
            return None
        found = super().offers(interface)
        wrap: Any = {IMultipartUploads: _Uploads, IEagerReading: _Eager}.get(interface)
        return found if wrap is None or found is None else wrap(found, self.allowance)

    async def open(self, path: str) -> IObjectReader:
        """See IUnderFileSystem."""
        return RateLimitedReader(await self.ufs.open(path), self.allowance)

    async def create(self, path: str, attributes: Attributes, length: int | None) -> IObjectWriter:
        """See IUnderFileSystem."""
        return _limited(await self.ufs.create(path, attributes, length), self.allowance)


@implementer(IObjectReader)
@define(eq=False)
class RateLimitedReader:
    """``reader``, a piece at a time."""

    reader: IObjectReader
    allowance: Allowance

    @property
    def status(self) -> Status:
        """See IObjectReader."""
        return self.reader.status

    async def read(self, offset: int, count: int) -> AsyncIterator[bytes]:
        """See IObjectReader."""
        pieces = self.reader.read(offset, count)
        async with aclosing(pieces):  # type: ignore[type-var]  # async generators, by the interface's word
            async for piece in pieces:
                await self.allowance.take(len(piece))
                yield piece

    async def close(self) -> None:
        """See IObjectReader."""
        await self.reader.close()


@implementer(IObjectWriter)
@define(eq=False)
class RateLimitedWriter:
    """``writer``, a piece at a time."""

    writer: IObjectWriter
    allowance: Allowance

    async def write(self, data: bytes) -> None:
        """See IObjectWriter."""
        await self.allowance.take(len(data))
        await self.writer.write(data)

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        """See IObjectWriter."""
        return await self.writer.commit(attributes, condition)

    async def abort(self) -> None:
        """See IObjectWriter."""
        await self.writer.abort()


@implementer(IRangeCopier)
@define(eq=False)
class _CopyingWriter(RateLimitedWriter):
    copier: IRangeCopier

    async def copy_from(self, reader: IObjectReader, offset: int, count: int) -> bool:
        """See IRangeCopier. Within the store nothing goes between it and the daemon, so nothing is counted; from another, all is."""
        if not isinstance(reader, RateLimitedReader) or reader.allowance is not self.allowance:
            return False
        return await self.copier.copy_from(reader.reader, offset, count)


@implementer(IEagerReading)
@define(eq=False)
class _Eager:
    ufs: IEagerReading
    allowance: Allowance

    async def open_reading(self, path: str, offset: int, count: int | None) -> IObjectReader:
        return RateLimitedReader(await self.ufs.open_reading(path, offset, count), self.allowance)


@define(eq=False, slots=False)
class _Uploads(ForwardingUploads):
    allowance: Allowance

    async def create_part(self, upload: Upload, number: int, length: int | None) -> IObjectWriter:
        return _limited(await super().create_part(upload, number, length), self.allowance)


def _limited(writer: IObjectWriter, allowance: Allowance) -> IObjectWriter:
    copier = IRangeCopier(writer, None)
    return RateLimitedWriter(writer, allowance) if copier is None else _CopyingWriter(writer, allowance, copier)

"""The under-store's own reader of one version of an object, for whoever fills pages or reads past them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from twisted.internet.defer import DeferredLock

from alluxio_s3.cache.figures import UNCOUNTED, MountFigures
from alluxio_s3.cache.keys import CachedObject
from alluxio_s3.interfaces import IObjectReader, IUnderFileSystem
from alluxio_s3.storage import NoSuchPath, ObjectChanged


class Source:
    """Opens ``thing`` in ``ufs`` when its bytes are first needed (``reader``, if it is open already), and closes it after its last user.

    Whoever makes one is its first user. ``changed`` is called when the store turns out to have another version. ``figures`` are those
    of the mount.
    """

    def __init__(
        self,
        ufs: IUnderFileSystem,
        thing: CachedObject,
        changed: Callable[[], Awaitable[None]],
        reader: IObjectReader | None = None,
        figures: MountFigures = UNCOUNTED,
    ) -> None:
        self.thing = thing
        self.figures = figures
        # Whether one read after another would be slower than several at once, and whether a whole run has come, as far as is known.
        self.slow = self.quick = False
        self.ufs = ufs
        self._changed = changed
        self._reader = reader
        self._users = 1
        self._opening: DeferredLock = DeferredLock()

    def hold(self) -> Source:
        """One user more."""
        self._users += 1
        return self

    async def release(self) -> None:
        """One user less."""
        self._users -= 1
        if not self._users and self._reader is not None:
            reader, self._reader = self._reader, None
            await reader.close()

    async def open(self) -> IObjectReader:
        """The store's reader. Raises ObjectChanged when the store has another version by now, or none; Unavailable."""
        if self._reader is not None:
            return self._reader
        await self._opening.acquire()
        try:
            if self._reader is None:
                self._reader = await self._open()
            return self._reader
        finally:
            self._opening.release()

    async def _open(self) -> IObjectReader:
        try:
            reader = await self.ufs.open(self.thing.path)
        except NoSuchPath:
            await self._changed()
            raise ObjectChanged(self.thing.path, "the object is there no more") from None
        if (reader.status.validator, reader.status.size) != (self.thing.validator, self.thing.size):
            await reader.close()
            await self._changed()
            raise ObjectChanged(self.thing.path)
        return reader

    async def read(self, offset: int, count: int) -> AsyncIterator[bytes]:
        """Exactly these bytes. Raises ObjectChanged when the store gives another number of them, and what it raises."""
        reader = await self.open()
        left = count
        pieces = reader.read(offset, count)
        try:
            async with aclosing(pieces):  # type: ignore[type-var]  # async generators, by the interface's word
                async for piece in pieces:
                    left -= len(piece)
                    if left < 0:
                        break
                    yield piece
        except ObjectChanged:
            await self._changed()
            raise
        if left < 0:
            raise ObjectChanged(self.thing.path, "the under-store gave more bytes than it was asked for")
        if left:
            raise ObjectChanged(self.thing.path, "the under-store gave fewer bytes than it was asked for")

"""Reading one version of an object through the worker that owns it; when that goes away, through the next one, or from the store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from twisted.logger import Logger
from zope.interface import implementer

from alluxio_s3.cluster.peers import Given, PeerFailed
from alluxio_s3.interfaces import ICachedReader, IObjectReader
from alluxio_s3.storage import ObjectChanged, Provenance, Status

if TYPE_CHECKING:
    from alluxio_s3.cluster.store import ClusterStore

# So much of an object comes with its status: a small one takes one question.
FIRST_BYTES = 16 << 10
# A read that loses its source looks for another so often, and for so long, without a byte from any.
TRIES = 3
TRY_SECONDS = 10.0


@implementer(IObjectReader, ICachedReader)
class PeerReader:
    """The version of ``status`` of the object at ``path`` of ``store``; ``first`` are its first bytes."""

    _log = Logger()

    def __init__(self, store: ClusterStore, path: str, status: Status, seen: Provenance, first: bytes) -> None:
        self.status = status
        self._store = store
        self._path = path
        self._seen = seen
        self._first = first
        # What comes, and from where to where; prepared, and not read yet.
        self._given: tuple[int, int, Given] | None = None
        self._local: IObjectReader | None = None

    @classmethod
    async def begin(cls, store: ClusterStore, path: str, given: Given) -> IObjectReader:
        """A reader from the first answer of the owner; if that goes away here, one of the store. Raises as ``open`` does."""
        first = b""
        try:
            async with aclosing(given.pieces()) as pieces:
                async for piece in pieces:
                    first += piece
        except PeerFailed:
            return await store.here.open(path)
        finally:
            given.close()
        return cls(store, path, given.status, given.told.provenance or Provenance(), first)

    async def close(self) -> None:
        """See IObjectReader."""
        self._drop()
        local, self._local = self._local, None
        if local is not None:
            await local.close()

    async def prepare(self, offset: int, count: int) -> Provenance:
        """See ICachedReader."""
        if offset + count <= len(self._first):
            return self._seen
        given = await self._give(offset, count)
        if given is not None:
            self._drop()
            self._given = (offset, count, given)
            return given.told.provenance or self._seen
        reader = await self.local()
        cached = ICachedReader(reader, None)
        return Provenance("bypass") if cached is None else await cached.prepare(offset, count)

    async def load(self, offset: int, count: int) -> None:
        """See ICachedReader. The owner loads."""
        told = await self._ask(offset, count, "load")
        if told is None:
            cached = ICachedReader(await self.local(), None)
            if cached is not None:
                await cached.load(offset, count)

    async def resident(self, offset: int, count: int) -> int:
        """See ICachedReader. What the owner has counts."""
        return await self._ask(offset, count, "residency") or 0

    async def local(self) -> IObjectReader:
        """A reader of the same version in the store here; this one's to close. Raises ObjectChanged, and what ``open`` raises."""
        if self._local is None:
            reader = await self._store.here.open(self._path)
            if reader.status.validator != self.status.validator:
                await reader.close()
                raise ObjectChanged(self._path)
            self._local = reader
        return self._local

    async def read(self, offset: int, count: int) -> AsyncIterator[bytes]:
        """See IObjectReader."""
        end = offset + count
        if end <= len(self._first):
            yield self._first[offset:end]
            return
        clock = self._store.neighbours.notices.clock
        tries, since = 0, clock.seconds()
        while offset < end:
            source = await self._source(offset, end - offset)
            try:
                async with aclosing(source) as pieces:  # type: ignore[type-var]  # async generators
                    async for piece in pieces:
                        offset += len(piece)
                        tries, since = 0, clock.seconds()
                        yield piece
            except PeerFailed as problem:
                tries += 1
                if tries >= TRIES or clock.seconds() - since > TRY_SECONDS:
                    raise ObjectChanged(self._path, f"nobody gives the rest of it: {problem}") from None
                self._log.info("{path} goes on from byte {offset} elsewhere: {problem}", path=self._path, offset=offset, problem=problem)
                self._drop()
                continue
            if offset < end:
                raise ObjectChanged(self._path, "there were fewer bytes than announced")

    async def _source(self, offset: int, count: int) -> AsyncIterator[bytes]:
        """Whoever gives these bytes. Raises as ``local`` does."""
        given = self._given
        if given is None or given[:2] != (offset, count):
            self._drop()
            found = await self._give(offset, count)
            if found is None:
                return (await self.local()).read(offset, count)
            self._given = given = (offset, count, found)
        return given[2].pieces()

    async def _give(self, offset: int, count: int) -> Given | None:
        return await self._store.give(self._path, offset, count, self.status.validator)

    async def _ask(self, offset: int, count: int, what: str) -> int | None:
        store = self._store
        owner = store.owner(self._path)
        if owner is None:
            return None
        peers = store.neighbours.peers
        wanted = {"validator": self.status.validator, "asks": (what, "dry")}
        try:
            given = await peers.open(owner, store.base + self._path, store.name, offset, count, **wanted)  # type: ignore[arg-type]
        except PeerFailed:
            return None
        given.close()
        return given.told.resident or 0

    def _drop(self) -> None:
        given, self._given = self._given, None
        if given is not None:
            given[2].close()

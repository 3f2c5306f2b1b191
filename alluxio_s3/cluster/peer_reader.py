"""Reading one version of an object through the worker that owns it; when that goes away, through the next one, or from the store."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from twisted.logger import Logger
from zope.interface import implementer

from alluxio_s3.cluster.peers import Given, PeerFailed
from alluxio_s3.interfaces import ICachedReader, IFlow, IFlowingReader, IObjectReader
from alluxio_s3.storage import ObjectChanged, Provenance, Status

if TYPE_CHECKING:
    from alluxio_s3.cluster.store import ClusterStore

# So much of an object comes with its status: a small one takes one question.
FIRST_BYTES = 16 << 10
# A read that loses its source looks for another so often, and for so long, without a byte from any.
TRIES = 3
TRY_SECONDS = 10.0


@implementer(IObjectReader, ICachedReader, IFlowingReader)
class PeerReader:
    """The version of ``status`` of the object at ``path`` of ``store``; ``first`` are its first bytes."""

    _log = Logger()

    def __init__(self, store: ClusterStore, path: str, status: Status, seen: Provenance, first: bytes) -> None:
        self.status = status
        self._store = store
        self._path = path
        self._seen = seen
        self._first = first
        # What comes, or has come; and from where, and how many bytes, while nobody has read of it.
        self._given: Given | None = None
        self._prepared: tuple[int, int] | None = None
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
            self._given, self._prepared = given, (offset, count)
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
        async with aclosing(self._items(offset, count, flowing=False)) as items:
            async for item in items:
                yield cast("bytes", item)

    def flows(self, offset: int, count: int) -> AsyncIterator[bytes | IFlow]:
        """See IFlowingReader."""
        return self._items(offset, count, flowing=True)

    async def _items(self, offset: int, count: int, *, flowing: bool) -> AsyncGenerator[bytes | IFlow, None]:
        end = offset + count
        if end <= len(self._first):
            yield self._first[offset:end]
            return
        clock = self._store.neighbours.notices.clock
        tries, since = 0, clock.seconds()
        while offset < end:
            source = await self._source(offset, end - offset, flowing=flowing)
            before = offset
            try:
                async with aclosing(source) as items:  # type: ignore[type-var]  # async generators
                    async for item in items:
                        left = len(item) if isinstance(item, bytes) else item.left
                        yield item
                        offset += left if isinstance(item, bytes) else left - item.left
            except PeerFailed as problem:
                if offset > before:
                    tries, since = 0, clock.seconds()
                tries += 1
                if tries >= TRIES or clock.seconds() - since > TRY_SECONDS:
                    raise ObjectChanged(self._path, f"nobody gives the rest of it: {problem}") from None
                self._log.info("{path} goes on from byte {offset} elsewhere: {problem}", path=self._path, offset=offset, problem=problem)
                self._drop()
                continue
            if offset < end:
                raise ObjectChanged(self._path, "there were fewer bytes than announced")

    async def _source(self, offset: int, count: int, *, flowing: bool) -> AsyncIterator[bytes | IFlow]:
        """Whoever gives these bytes, from what was prepared if it was for them. Raises as ``local`` does."""
        prepared, self._prepared = self._prepared, None
        if prepared == (offset, count) and self._given is not None:
            given = self._given
        else:
            self._drop()
            found = await self._give(offset, count)
            if found is None:
                return (await self.local()).read(offset, count)
            given = self._given = found
        return given.flows() if flowing else given.pieces()

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
        given, self._given, self._prepared = self._given, None, None
        if given is not None:
            given.close()

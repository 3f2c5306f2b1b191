"""A store that misbehaves as it is told, and a cache before it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from zope.interface import implementer

from alluxio_s3.cache.freshness import CachePolicy, Moments
from alluxio_s3.cache.store import PageStore, Place
from alluxio_s3.cache.ufs import Cache, CachedUnderFileSystem
from alluxio_s3.interfaces import IIdentified, IObjectReader, IUnderFileSystem
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes, ObjectChanged, Status, Unavailable
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.memory import MemoryUnderFileSystem

PAGE = 4096


@define
class Faults:
    """What goes wrong in the reads that come: ``kind``, after ``at`` bytes of a read.

    ``error`` fails, ``short`` ends early, ``long`` gives more than was asked for, ``changed`` finds another version,
    ``hang`` gives nothing more, ``wait`` does so until ``go`` is called. ``down``: the store does not answer at all.
    """

    kind: str = ""
    at: int = 0
    down: bool = False
    piece: int = 1000
    waiting: list[Deferred[None]] = field(factory=list)

    def go(self) -> None:
        """End the waits."""
        self.kind = ""
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            one.callback(None)


@implementer(IUnderFileSystem, IIdentified)
class Trouble:
    """The store in memory, with faults; it counts what it is asked."""

    def __init__(self) -> None:
        self.inner = MemoryUnderFileSystem(reactor, buckets=False)
        self.faults = Faults()
        self.reads: list[tuple[str, int, int]] = []
        self.asked = 0
        self.opened = 0

    @property
    def identity(self) -> str:
        return self.inner.identity

    def __conform__(self, interface: Any) -> object:
        return interface(self.inner, None)

    def put_now(self, path: str, data: bytes) -> Status:
        """Somebody else's write, which no cache sees."""
        return self.inner._shelf.publish(path, data, Attributes(), ALWAYS)

    def _ask(self) -> None:
        self.asked += 1
        if self.faults.down:
            raise Unavailable("", "down")

    async def status(self, path: str) -> Status:
        self._ask()
        return await self.inner.status(path)

    async def list(self, prefix: str, start: str, limit: int, delimiter: str) -> Any:
        self._ask()
        return await self.inner.list(prefix, start, limit, delimiter)

    async def open(self, path: str) -> TroubledReader:
        self._ask()
        return TroubledReader(self, await self.inner.open(path))

    async def create(self, path: str, attributes: Attributes, length: int | None) -> Any:
        return await self.inner.create(path, attributes, length)

    async def delete(self, path: str, condition: Any) -> None:
        await self.inner.delete(path, condition)

    async def close(self) -> None:
        await self.inner.close()


@implementer(IObjectReader)
class TroubledReader:
    """Reads as the store's faults are when it is asked."""

    def __init__(self, store: Trouble, inner: Any) -> None:
        self.status = inner.status
        self._store = store
        self._inner = inner
        store.opened += 1

    async def read(self, offset: int, count: int) -> AsyncIterator[bytes]:
        store = self._store
        if store.faults.down:
            raise Unavailable(self.status.path, "down")
        store.reads.append((self.status.path, offset, count))
        given = 0
        whole = self._inner.slice(offset, count)
        while given < count:
            faults = store.faults
            if faults.kind and given >= faults.at:
                if faults.kind == "error":
                    raise Unavailable(self.status.path, "broken")
                if faults.kind == "short":
                    return
                if faults.kind == "changed":
                    raise ObjectChanged(self.status.path)
                if faults.kind in ("hang", "wait"):
                    waiting: Deferred[None] = Deferred()
                    faults.waiting.append(waiting)
                    await waiting
            piece = whole[given : given + faults.piece]
            given += len(piece)
            yield piece
        if store.faults.kind == "long":
            yield b"more"

    async def close(self) -> None:
        self._store.opened -= 1


class Bench:
    """A cache before a store in trouble. ``now`` is the time of the freshness clock, in seconds."""

    def __init__(self, directory: Path, threads: Threads, policy: CachePolicy, store: Trouble | None = None, clock: Any = reactor) -> None:
        self.now = 1000.0
        self.trouble = store or Trouble()
        self.pages = PageStore([Place(str(directory), 64 << 20)], PAGE)
        self.cache = Cache(self.pages, threads, clock, Moments(lambda: self.now, "boot"))
        self.ufs = CachedUnderFileSystem(self.trouble, self.cache, policy)

    def another(self, policy: CachePolicy) -> CachedUnderFileSystem:
        """The same store mounted again."""
        return CachedUnderFileSystem(self.trouble, self.cache, policy)

    async def get(self, path: str, offset: int = 0, count: int | None = None) -> bytes:
        """These bytes of an object, as a client gets them."""
        reader = await self.ufs.open(path)
        try:
            count = reader.status.size - offset if count is None else count
            await reader.prepare(offset, count)
            return b"".join([piece async for piece in reader.read(offset, count)])
        finally:
            await reader.close()

    async def put(self, path: str, data: bytes) -> Status:
        """A write through the cache."""
        writer = await self.ufs.create(path, Attributes(), len(data))
        await writer.write(data)
        return await writer.commit(Attributes(), ALWAYS)

    async def settled(self) -> None:
        """Return when no page is on its way."""
        while self.cache.fills.flying or self.cache.fills._runs:
            await turn()


async def turn() -> None:
    """Let the reactor go round."""
    turned: Deferred[None] = Deferred()
    reactor.callLater(0, turned.callback, None)  # type: ignore[attr-defined]
    await turned

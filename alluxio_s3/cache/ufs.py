"""An under-store with the cache before it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from alluxio_s3.cache.census import Census
from alluxio_s3.cache.figures import UNCOUNTED, mount_figures
from alluxio_s3.cache.fills import Fills
from alluxio_s3.cache.freshness import CachePolicy, Memory, Moments
from alluxio_s3.cache.hot import HotObjects
from alluxio_s3.cache.keys import CachedObject, version_key
from alluxio_s3.cache.leads import Lead, Leads
from alluxio_s3.cache.listings import Listings
from alluxio_s3.cache.loading import Loading
from alluxio_s3.cache.reader import CachedReader
from alluxio_s3.cache.source import Source
from alluxio_s3.cache.store import PageStore
from alluxio_s3.cache.writes import CachedAttributes, CachedBuckets, CachedParts, CachedUploads, CachedWriter, changing
from alluxio_s3.interfaces import (
    IAttributeUpdater,
    IBucketContainer,
    IEagerReading,
    IHotObjects,
    IIdentified,
    IMetrics,
    IMultipartUploads,
    IObjectReader,
    IObjectWriter,
    IPartLocator,
    IReadOnly,
    IRemembering,
    IRemote,
    IResidency,
    ITagReader,
    IUnderFileSystem,
)
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, Listing, NoSuchPath, Status
from alluxio_s3.threads import Threads

# How many objects that were read once are remembered, where the second read counts.
TOUCHES = 65536
TEND_SECONDS = 1.0


class Cache:
    """What the caches before all under-stores of a process share. ``start`` has the page store tended, ``close`` closes it."""

    _log = Logger()

    def __init__(
        self, store: PageStore, threads: Threads, clock: IReactorTime, moments: Moments | None = None, metrics: IMetrics | None = None
    ) -> None:
        self.store = store
        self.threads = threads
        self.moments = moments or Moments()
        self.fills = Fills(store, threads, clock)
        self.loading = Loading(self.fills, clock)
        self.leads = Leads(store, clock)
        self.metrics = metrics
        self._census = None if metrics is None else Census(metrics, self.fills)
        self._tending = LoopingCall(lambda: Deferred.fromCoroutine(self._tend()))
        self._tending.clock = clock
        self._tended: Deferred[Any] | None = None

    async def _tend(self) -> None:
        await self.threads.run(self.store.tend)
        if self._census is not None:
            self._census.look()

    def start(self) -> None:
        """Begin to tend the page store."""
        ended: Deferred[Any] = self._tending.start(TEND_SECONDS)
        self._tended = ended.addErrback(partial(self._log.failure, "Tending of the cache has ended"))

    async def close(self) -> None:
        """Let go of everything. All stores are closed before it."""
        self.leads.close()
        if self._tending.running:
            self._tending.stop()
        if self._tended is not None:
            await self._tended
        await self.threads.run(self.store.close)


@implementer(IUnderFileSystem, IIdentified, IRemembering, IResidency)
class CachedUnderFileSystem:
    """``inner``, which must be IIdentified, read through ``cache`` as ``policy`` has it. Raises TypeError when it is not.

    ``mount`` is where it is mounted, as figures name it.
    """

    def __init__(self, inner: IUnderFileSystem, cache: Cache, policy: CachePolicy, mount: str = "/") -> None:
        self.identity: str = IIdentified(inner).identity
        self._inner = inner
        self._cache = cache
        self._policy = policy
        self._figures = UNCOUNTED if cache.metrics is None else mount_figures(cache.metrics, mount)
        self._memory = Memory(self.identity, cache.store, cache.threads, policy, cache.moments)
        self._listings = Listings(policy.listing_max_age, cache.store.state, cache.moments)
        self._touched: OrderedDict[bytes, None] = OrderedDict()
        self._offered: dict[Any, object] = {}

    def __conform__(self, interface: Any) -> object:
        """The optional interfaces of the inner store, so that writes are seen; always the same objects."""
        if interface not in self._offered:
            self._offered[interface] = self._offer(interface)
        return self._offered[interface]

    def _offer(self, interface: Any) -> object:
        if interface is IHotObjects:
            if self._policy.freshness == "strong":
                return None
            return HotObjects(self.identity, self._cache.store, self._memory, self._cache.moments, self._figures)
        if interface is IEagerReading:
            return self if self._policy.pages != "second_touch" and interface(self._inner, None) is not None else None
        if interface in (ITagReader, IReadOnly):
            return interface(self._inner, None)
        if interface is IRemote:
            # What serves on while its store is silent is not kept from it by that.
            return None if self._policy.stale_if_error else IRemote(self._inner, None) or _Asked(self._inner)
        wrap: Any = {
            IMultipartUploads: CachedUploads,
            IAttributeUpdater: CachedAttributes,
            IBucketContainer: CachedBuckets,
            IPartLocator: CachedParts,
        }.get(interface)
        found = None if wrap is None else interface(self._inner, None)
        return None if found is None else wrap(found, self._memory)

    @property
    def relies(self) -> bool:
        """See IRemembering."""
        return self._policy.freshness != "strong" or self._policy.negative_max_age > 0 or self._policy.listing_max_age > 0

    def rely(self, limit: Callable[[str], float]) -> None:
        """See IRemembering."""
        self._memory.limit = limit

    async def forget(self, path: str) -> None:
        """See IRemembering."""
        await self._memory.forget(path)

    async def residency(self, statuses: Sequence[Status]) -> Sequence[int]:
        """See IResidency."""
        return await self._cache.threads.run(self._residency, statuses)

    def _residency(self, statuses: Sequence[Status]) -> list[int]:
        return self._cache.store.stored([version_key(self.identity, one.path, one.validator) for one in statuses])

    async def status(self, path: str) -> Status:
        """See IUnderFileSystem."""
        looked = await self._memory.look(path, self._inner.status, lambda status: status)
        return looked.status

    async def list(self, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
        """See IUnderFileSystem. The store is asked, unless the mount has its listings remembered."""
        if not self._policy.listing_max_age:
            return await self._inner.list(prefix, start, limit, delimiter)
        asked = (prefix, start, limit, delimiter)
        lent = self._memory.limit
        return await self._listings.look(asked, lambda: self._inner.list(*asked), float("inf") if lent is None else lent(""))

    async def open(self, path: str) -> IObjectReader:
        """See IUnderFileSystem."""
        if path.endswith("/") or not path:
            return await self._inner.open(path)
        return await self._read(path, self._inner.open)

    async def open_reading(self, path: str, offset: int, count: int | None) -> IObjectReader:
        """See IEagerReading. Where pages are kept, only who is the first to read an object asks for bytes so; those of a run."""
        eager = IEagerReading(self._inner)
        if self._policy.pages == "never":
            return await self._read(path, lambda path: eager.open_reading(path, offset, count))
        # Even if it is remembered what is there: the first reader may have learned it just now, and his pages may not be on their way yet.
        lead = await self._cache.leads.take(self.identity, path)
        if lead is None:
            return await self.open(path)
        try:
            return await self._read(path, lambda path: eager.open_reading(path, *self._cache.fills.reach(offset, count)), lead)
        except BaseException:
            lead.end()
            raise

    async def _read(self, path: str, ask: Callable[[str], Awaitable[IObjectReader]], lead: Lead | None = None) -> IObjectReader:
        """A reader of what is remembered at ``path``, or of what ``ask`` opens. ``lead``: see CachedReader."""
        opened: list[IObjectReader] = []

        async def asked(path: str) -> IObjectReader:
            opened.append(await ask(path))
            return opened[0]

        try:
            looked = await self._memory.look(path, asked, lambda reader: reader.status)
        except BaseException:
            if opened:
                await opened[0].close()
            raise
        status = looked.status
        thing = CachedObject(self.identity, path, status.validator, status.size)
        source = Source(self._inner, thing, partial(self._memory.forget, path), looked.answer, self._figures)
        return CachedReader(status, source, self._cache.fills, self._cache.loading, keeps=self._keeps(thing), lead=lead)

    async def create(self, path: str, attributes: Attributes, length: int | None) -> IObjectWriter:
        """See IUnderFileSystem."""
        return CachedWriter(await self._inner.create(path, attributes, length), path, self._memory)

    async def delete(self, path: str, condition: WriteCondition) -> None:
        """See IUnderFileSystem."""
        await changing(self._memory, path, lambda: self._inner.delete(path, condition))
        # Most often they are of no use any more; where the store deletes nothing, to have them go is what a delete is for.
        await self._cache.threads.run(self._cache.store.free_object, self.identity, path)

    async def close(self) -> None:
        """See IUnderFileSystem."""
        await self._cache.fills.end(self._inner)
        await self._inner.close()

    def _keeps(self, thing: CachedObject) -> bool:
        """Whether what is read of an object now is to be kept."""
        if self._policy.pages != "second_touch":
            return self._policy.pages == "always"
        if thing.version in self._touched:
            self._touched.move_to_end(thing.version)
            return True
        self._touched[thing.version] = None
        if len(self._touched) > TOUCHES:
            self._touched.popitem(last=False)
        return False


@implementer(IRemote)
@define(eq=False)
class _Asked:
    """An under-store whose root tells whether it answers, if nobody remembers it."""

    inner: IUnderFileSystem

    async def reach(self) -> None:
        """See IRemote."""
        with suppress(NoSuchPath):
            await self.inner.status("")

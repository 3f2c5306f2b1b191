"""Reading one version of an object through the cache."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import aclosing

from attrs import define, evolve
from zope.interface import implementer

from alluxio_s3.cache.fills import Fills
from alluxio_s3.cache.leads import Lead
from alluxio_s3.cache.loading import Loading
from alluxio_s3.cache.passage import Passage, opened
from alluxio_s3.cache.source import Source
from alluxio_s3.cache.store import PageStore
from alluxio_s3.interfaces import IBeginner, ICachedReader, IObjectReader, ISpanReader, Span
from alluxio_s3.storage import ObjectChanged, Provenance, Status

# How many pages are looked for on the reactor's own thread.
_FEW = 64
_PIECE = 512 << 10


@implementer(IObjectReader, ISpanReader, ICachedReader, IBeginner)
class CachedReader:
    """Reads the version of ``status`` from its pages, and what is not there from ``source``, by way of ``fills``.

    ``keeps``: whether pages that are not there are to be kept. Otherwise the store is read past the cache. ``lead``: it is the first
    to read the object.
    """

    def __init__(self, status: Status, source: Source, fills: Fills, loading: Loading, *, keeps: bool, lead: Lead | None = None) -> None:
        self.status = status
        self.source = source
        self._fills = fills
        self._loading = loading
        self._keeps = keeps
        self._version = source.thing.version
        self._lead = lead
        self._closed = False
        self._begun: _Begun | None = None

    async def close(self) -> None:
        """See IObjectReader."""
        if not self._closed:
            self._closed = True
            self._end_lead()
            if self._begun is not None and not self._begun.taken:
                await self._begun.give_up()
            await self.source.release()

    async def begin(self, offset: int, count: int) -> None:
        """See IBeginner."""
        try:
            await self._begin(offset, count)
        except BaseException:
            self._end_lead()
            raise
        if self._lead is not None:
            self._lead.begun()
            self._lead = None

    def _end_lead(self) -> None:
        lead, self._lead = self._lead, None
        if lead is not None:
            lead.end()

    async def _begin(self, offset: int, count: int) -> None:
        numbers = self._numbers(offset, count)
        if not numbers or self._begun is not None or len(await self._held(numbers)) == len(numbers):
            return
        begun = _Begun(offset, count, self._passage(offset, count))
        try:
            begun.first = await anext(begun.items)
        except BaseException:
            await begun.give_up()
            raise
        self._begun = begun

    async def prepare(self, offset: int, count: int) -> Provenance:
        """See ICachedReader."""
        provenance = await self._prepare(offset, count)
        self.source.figures.read(provenance)
        return provenance

    async def _prepare(self, offset: int, count: int) -> Provenance:
        looked = self.status.provenance or Provenance()
        if not count:
            return looked
        numbers = self._numbers(offset, count)
        held = await self._held(numbers)
        if held and held[0] == numbers[0] and not await self._is_good(held[0]):
            del held[0]
        if len(held) == len(numbers):
            # The bytes need no store; whether it was asked what is there is known since the look.
            return evolve(looked, forward="stale", validated=True, stored=False) if looked.forward else looked
        here = set(held)
        lacking = next(number for number in numbers if number not in here)
        collapsed = self._keeps and self._fills.find(self._version, lacking) is not None
        if not looked.unreachable or self._fills.find(self._version, numbers[0]) is None:
            await self.source.open()
        forward = "bypass" if not self._keeps else "partial" if held else "uri-miss"
        return evolve(looked, forward=forward, validated=False, stored=self._keeps and not self._fills.refusing, collapsed=collapsed)

    async def _is_good(self, number: int) -> bool:
        """Whether a page can be read. It is open then for whoever reads it next."""
        page = self._fills.store.hot(self._version, number) or await opened(self._fills, self._version, range(number, number + 1))
        if page is not None:
            page.release()
        return page is not None

    async def resident(self, offset: int, count: int) -> int:
        """See ICachedReader."""
        size = self._fills.store.page_bytes
        held = await self._held(self._numbers(offset, count))
        return sum(min((number + 1) * size, offset + count) - max(number * size, offset) for number in held)

    async def load(self, offset: int, count: int) -> None:
        """See ICachedReader."""
        numbers = self._numbers(offset, count)
        if numbers:
            await self._loading.load(self.source, numbers)

    def spans(self, offset: int, count: int) -> AsyncIterator[bytes | Span]:
        """See ISpanReader."""
        begun = self._begun
        if begun is None or begun.taken or (begun.offset, begun.count) != (offset, count):
            return self._passage(offset, count)
        return begun.go_on()

    def _passage(self, offset: int, count: int) -> AsyncIterator[bytes | Span]:
        return Passage(self._fills, self.source, offset, count, keeps=self._keeps).spans()

    async def read(self, offset: int, count: int) -> AsyncIterator[bytes]:
        """See IObjectReader."""
        items = self.spans(offset, count)
        async with aclosing(items):  # type: ignore[type-var]  # async generators, by the interface's word
            async for item in items:
                if isinstance(item, bytes):
                    yield item
                    continue
                end = item.offset + item.count
                try:
                    for at in range(item.offset, end, _PIECE):
                        yield await self._fills.threads.run(_pread, item, at, min(_PIECE, end - at))
                finally:
                    item.file.release()

    def _numbers(self, offset: int, count: int) -> range:
        """The numbers of the pages that hold these bytes."""
        size = self._fills.store.page_bytes
        return range(offset // size, -(-(offset + count) // size)) if count else range(0)

    async def _held(self, numbers: range) -> list[int]:
        if len(numbers) <= _FEW:
            return _held(self._fills.store, self._version, numbers)
        return await self._fills.threads.run(_held, self._fills.store, self._version, numbers)


@define(eq=False)
class _Begun:
    """The ``count`` bytes from ``offset``, which ``items`` gives after the ``first`` of them; somebody reads them when it is ``taken``."""

    offset: int
    count: int
    items: AsyncIterator[bytes | Span]
    first: bytes | Span | None = None
    taken: bool = False

    async def go_on(self) -> AsyncIterator[bytes | Span]:
        """All of them."""
        self.taken = True
        first, self.first = self.first, None
        try:
            if first is not None:
                yield first
            async for item in self.items:
                yield item
        finally:
            await self.give_up()

    async def give_up(self) -> None:
        """Let go of what nobody has taken."""
        if isinstance(self.first, Span):
            self.first.file.release()
        self.first = None
        await self.items.aclose()  # type: ignore[attr-defined]  # an async generator


def _held(store: PageStore, version: bytes, numbers: range) -> list[int]:
    return [number for number in numbers if store.holds(version, number)]


def _pread(span: Span, offset: int, count: int) -> bytes:
    piece = os.pread(span.file.fileno(), count, offset)
    span.file.check_unchanged()
    if len(piece) != count:
        raise ObjectChanged("", "a page of the cache is shorter than it was")
    return piece

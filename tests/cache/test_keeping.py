"""Pages on their way to the disk: how many go there together, and that none waits for long."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from alluxio_s3.cache.fills import Fills, Run
from alluxio_s3.cache.flight import PageInFlight, Stage
from alluxio_s3.cache.keeping import GATHERING_SECONDS, TOGETHER, Keeping, Waiting
from alluxio_s3.cache.keys import NewPage
from alluxio_s3.cache.source import Source
from alluxio_s3.cache.store import PageStore, Place
from alluxio_s3.interfaces import IUnderFileSystem
from alluxio_s3.threads import Threads
from tests.cache.page_files import PAGE_BYTES, thing


class Recorded(PageStore):
    """Knows how many pages it was given together."""

    def __init__(self, path: Path) -> None:
        super().__init__([Place(str(path), 1 << 30)], PAGE_BYTES)
        self.together: list[int] = []

    def put_all(self, pages: Sequence[NewPage]) -> list[bool]:
        """See PageStore."""
        self.together.append(len(pages))
        return super().put_all(pages)


class Kept:
    """Pages of one object, and which of them have been kept."""

    def __init__(self, path: Path, threads: Threads) -> None:
        self.store = Recorded(path)
        self.clock = Clock()
        self.keeping = Keeping(self.store, threads, self.clock, self.settled)
        self.settled_so_far = 0
        self._until = 0
        self._waiting: Deferred[None] = Deferred()

    def settled(self, batch: Sequence[Waiting], kept: Sequence[bool]) -> None:
        assert kept == [True] * len(batch)
        before, self.settled_so_far = self.settled_so_far, self.settled_so_far + len(batch)
        if before < self._until <= self.settled_so_far:
            self._waiting.callback(None)

    def add(self, numbers: range) -> None:
        """Have these pages kept."""
        for number in numbers:
            page = PageInFlight(number, PAGE_BYTES)
            page.add(bytes(PAGE_BYTES))
            self.keeping.add(thing("a", pages=100), page)

    async def all(self, count: int) -> None:
        """Return when so many have been kept."""
        self._until, self._waiting = count, Deferred()
        if self.settled_so_far < count:
            await self._waiting


@pytest_twisted.ensureDeferred
async def test_pages_that_come_soon_after_each_other_go_to_the_disk_together(tmp_path: Path, threads: Threads) -> None:
    """One turn of a thread and one change of the index is for several pages."""
    kept = Kept(tmp_path / "pages", threads)
    kept.add(range(TOGETHER))
    await kept.all(TOGETHER)
    assert kept.store.together == [TOGETHER]
    kept.store.close()


@pytest_twisted.ensureDeferred
async def test_a_page_does_not_wait_long_for_others(tmp_path: Path, threads: Threads) -> None:
    """What comes slowly is kept all the same, and soon; also what comes after that."""
    kept = Kept(tmp_path / "pages", threads)
    for number in range(2):
        kept.add(range(number, number + 1))
        assert kept.store.together == [1] * number
        kept.clock.advance(GATHERING_SECONDS)
        await kept.all(number + 1)
    assert kept.store.together == [1, 1]
    kept.store.close()


@pytest_twisted.ensureDeferred
async def test_the_last_pages_wait_for_none(tmp_path: Path, threads: Threads) -> None:
    """Where it is known that no more come soon, what is there goes."""
    kept = Kept(tmp_path / "pages", threads)
    kept.add(range(3))
    kept.keeping.hurry()
    await kept.all(3)
    kept.keeping.hurry()
    assert kept.store.together == [3]
    kept.store.close()


@pytest_twisted.ensureDeferred
async def test_a_page_is_kept_where_there_is_no_memory_to_wait(tmp_path: Path, threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a timer it goes at once: it would never be let go of."""

    def refuse(*_: object) -> None:
        raise MemoryError

    kept = Kept(tmp_path / "pages", threads)
    monkeypatch.setattr(kept.clock, "callLater", refuse)
    kept.add(range(1))
    await kept.all(1)
    kept.store.close()


@pytest_twisted.ensureDeferred
async def test_a_page_waits_for_no_others_where_the_memory_is_for_few(tmp_path: Path, threads: Threads) -> None:
    """Pages that are large go to the disk one by one: their memory is wanted, and what is in a thread can't be given up."""
    store = Recorded(tmp_path / "pages")
    fills = Fills(store, threads, Clock(), budget_bytes=4 * PAGE_BYTES)
    page = PageInFlight(0, PAGE_BYTES)
    page.add(bytes(PAGE_BYTES))
    fills.keep(thing("a"), page)
    await page.more()
    assert page.stage is Stage.STORED
    store.close()


@pytest.mark.parametrize("what", ["PageInFlight", "Run"])
def test_without_memory_for_a_run_its_pages_are_anybodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Where there is no memory for a page, or for a run, none of its pages is on its way, and none stays claimed."""
    store = PageStore([Place(str(tmp_path / "pages"), 1 << 30)], PAGE_BYTES)
    claimed: set[int] = set()
    monkeypatch.setattr(store.claims, "take", lambda _, numbers: [claimed.update(numbers), len(numbers)][1])
    monkeypatch.setattr(store.claims, "give_back", lambda _, numbers: claimed.difference_update(numbers))
    fills = Fills(store, cast("Threads", None), Clock())
    left = iter(range(3))

    def scarce(*_: object, **__: object) -> None:
        if what == "Run" or next(left, None) is None:
            raise MemoryError

    with monkeypatch.context() as changed:
        made = PageInFlight.__init__ if what == "PageInFlight" else Run.__init__
        changed.setattr(f"alluxio_s3.cache.fills.{what}.__init__", lambda *given, **named: (scarce(), made(*given, **named))[1])  # type: ignore[arg-type]
        with pytest.raises(MemoryError):
            fills.begin(Source(cast("IUnderFileSystem", None), thing("a", pages=8), cast("Any", None)), 0, 7)
    assert fills.flying == 0
    assert claimed == set()
    store.close()

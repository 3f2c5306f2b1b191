"""Who reads an object first, of which nothing is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from alluxio_s3.cache.keys import CachedObject
from alluxio_s3.cache.leads import LOOK_SECONDS, PATIENCE_SECONDS, Lead, Leads
from alluxio_s3.cache.store import PageStore, Place

PAGE = 4096


class Others:
    """The leads of a process on its store, and what it waits for."""

    def __init__(self, store: PageStore) -> None:
        self.store = store
        self.clock = Clock()
        self.leads = Leads(store, self.clock)

    def ask(self, path: str = "a") -> Deferred[Lead | None]:
        return Deferred.fromCoroutine(self.leads.take("mem://", path))

    def lead(self, path: str = "a") -> Lead | None:
        """What who asks now gets without waiting."""
        asked = self.ask(path)
        assert asked.called
        return asked.result  # type: ignore[return-value]

    def keep(self, path: str = "a") -> None:
        assert self.store.put(CachedObject("mem://", path, "v", PAGE), 0, memoryview(Random(1).randbytes(PAGE)))


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Others]:
    store = PageStore([Place(str(tmp_path / "pages"), 1 << 20)], PAGE)
    made = Others(store)
    yield made
    made.leads.close()
    assert not made.clock.getDelayedCalls()
    store.close()


def test_one_leads_and_the_others_follow(process: Others) -> None:
    """Until pages are on their way the others wait; then they go on, and who comes later leads only if none came."""
    lead = process.lead()
    assert lead is not None
    following = [process.ask(), process.ask()]
    process.clock.advance(1)
    assert not any(one.called for one in following)
    assert process.lead("b") is not None
    lead.begun()
    process.clock.advance(LOOK_SECONDS)
    assert [one.result for one in following] == [None, None]
    assert process.lead() is None
    process.clock.pump([LOOK_SECONDS] * (int(PATIENCE_SECONDS / LOOK_SECONDS) + 2))
    assert process.lead() is not None


def test_what_is_kept_needs_no_lead(process: Others) -> None:
    """Of an object of which a page is kept nobody is the first, and who was it is so no more."""
    lead = process.lead()
    assert lead is not None
    process.keep()
    lead.begun()
    assert not process.leads.led
    assert process.lead() is None
    lead.end()


def test_a_lead_that_comes_to_nothing(process: Others) -> None:
    """Who waited goes on, and the next one leads."""
    lead = process.lead()
    assert lead is not None
    waiting, leaving = process.ask(), process.ask()
    leaving.cancel()
    assert isinstance(leaving.result, Failure)
    leaving.addErrback(lambda failure: failure.trap(CancelledError) and None)
    lead.end()
    lead.begun()
    process.clock.advance(LOOK_SECONDS)
    assert waiting.called
    assert process.lead() is not None


def test_a_first_one_that_takes_too_long(process: Others) -> None:
    """Is waited for no longer than patience lasts."""
    assert process.lead() is not None
    waiting = process.ask()
    process.clock.pump([LOOK_SECONDS] * (int(PATIENCE_SECONDS / LOOK_SECONDS) + 2))
    assert waiting.result is None

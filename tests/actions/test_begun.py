"""Reads that begin before their answer does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted
from pytest import raises
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, ensureDeferred

from alluxio_s3.actions.begun import BegunReader, begun
from alluxio_s3.cache.freshness import CachePolicy
from alluxio_s3.interfaces import Span
from alluxio_s3.storage import ObjectChanged, StorageError
from alluxio_s3.threads import Threads
from tests.cache.stores import PAGE, Bench, Faults, Trouble

BODY = bytes(range(256)) * 64


@pytest.fixture
def threads() -> Iterator[Threads]:
    """A few."""
    made = Threads(reactor, 4, "begun-test")  # type: ignore[arg-type]
    made.start()
    yield made
    made.stop()


@pytest_twisted.ensureDeferred
async def test_what_is_wrong_with_a_read_is_known_before_its_answer_begins() -> None:
    """A store that has another version, or fails, or gives nothing, says so when the read begins; else it goes on from there, once."""
    store = Trouble()
    store.put_now("a", BODY)
    for kind in ("changed", "error", "short"):
        store.faults = Faults(kind)
        with raises(StorageError):
            await begun(await store.open("a"), 0, len(BODY))
    store.faults = Faults()
    plain = await store.open("a")
    assert await begun(plain, 0, 0) is plain
    reader = await begun(plain, 5, 5000)
    assert isinstance(reader, BegunReader)
    assert reader.status == plain.status
    asked = len(store.reads)
    assert b"".join([piece async for piece in reader.read(5, 5000)]) == BODY[5:5005]
    assert len(store.reads) == asked
    assert b"".join([piece async for piece in reader.read(5, 5000)]) == BODY[5:5005]
    assert b"".join([piece async for piece in reader.read(0, 3)]) == BODY[:3]
    await reader.close()
    unread = await begun(await store.open("a"), 0, 10)
    await unread.close()


@pytest_twisted.ensureDeferred
async def test_a_read_through_the_cache_begins_where_the_store_is_needed(tmp_path: Path, threads: Threads) -> None:
    """What is not kept begins to come, and is fetched once; what is kept asks nobody; who closes without reading leaves nothing behind."""
    bench = Bench(tmp_path / "pages", threads, CachePolicy())
    bench.trouble.put_now("a", BODY)
    bench.trouble.faults = Faults("changed")
    reader = await bench.ufs.open("a")
    with raises(ObjectChanged):
        await begun(reader, 0, len(BODY))
    await reader.close()
    bench.trouble.faults = Faults()
    bench.trouble.reads.clear()
    for again in range(3):
        reader = await bench.ufs.open("a")
        assert await begun(reader, 0, len(BODY)) is reader
        if again != 1:
            assert b"".join([piece async for piece in reader.read(0, len(BODY))]) == BODY
        await reader.close()
        await bench.settled()
    assert sum(count for _, _, count in bench.trouble.reads) == len(BODY)
    reader = await bench.ufs.open("a")
    await begun(reader, PAGE, 10)
    spans = [item async for item in reader.spans(PAGE, 10)]  # type: ignore[attr-defined]
    assert [type(one) for one in spans] == [Span]
    spans[0].file.release()
    await reader.close()
    assert bench.cache.fills.budget.taken == 0
    bench.pages.close()


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_while_a_read_begins_leaves_nothing_behind(tmp_path: Path, threads: Threads) -> None:
    """Its wait ends; memory, claims and the store's reader are let go of."""
    bench = Bench(tmp_path / "pages", threads, CachePolicy())
    bench.trouble.put_now("a", BODY)
    bench.trouble.faults = Faults("wait")
    reader = await bench.ufs.open("a")
    beginning = ensureDeferred(begun(reader, 0, len(BODY)))
    beginning.cancel()
    with raises(CancelledError):
        await beginning
    await reader.close()
    bench.trouble.faults.go()
    await bench.settled()
    assert bench.cache.fills.budget.taken == 0
    assert bench.trouble.opened == 0
    bench.pages.close()

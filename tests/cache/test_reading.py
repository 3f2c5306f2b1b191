"""Reading through the cache: right bytes, each page fetched once, nothing more than was asked for."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.task import Clock

from alluxio_s3.cache.fills import STALL_SECONDS
from alluxio_s3.cache.flight import Budget, hold_freed
from alluxio_s3.interfaces import Span
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import ObjectChanged, StorageError, Unavailable
from tests.cache.stores import PAGE, Bench, Faults, turn

BODY = os.urandom(20 * PAGE + 123)


@pytest_twisted.ensureDeferred
async def test_a_second_read_asks_the_store_for_no_byte(bench: Callable[..., Bench]) -> None:
    """What was read once comes from the disk, in spans."""
    made = bench()
    made.trouble.put_now("a", BODY)
    assert await made.get("a") == BODY
    await made.settled()
    made.trouble.reads.clear()
    assert await made.get("a") == BODY
    assert made.trouble.reads == []
    reader = await made.ufs.open("a")
    spans = [item async for item in reader.spans(10, 2 * PAGE)]
    assert [(span.offset, span.count) for span in spans] == [(10, PAGE - 10), (0, PAGE), (0, 10)]
    for span in spans:
        assert isinstance(span, Span)
        span.file.release()
    await reader.close()


def damage(directory: Path, number: int) -> None:
    """Change a byte of the page of that number."""
    for file in directory.rglob(f"pages/*/*.{number}"):
        raw = bytearray(file.read_bytes())
        raw[7] ^= 1
        file.write_bytes(raw)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("pages", [1, 4])
async def test_a_damaged_page_is_no_hit(bench: Callable[..., Bench], tmp_path: Path, pages: int) -> None:
    """An answer whose first page is found damaged says that the store was asked, and its bytes are right; the next one is a hit."""
    made = bench()
    whole = BODY[: pages * PAGE]
    made.trouble.put_now("a", whole)
    assert await made.get("a") == whole
    await made.settled()
    damage(tmp_path, 0)
    for forward, validated in (("uri-miss" if pages == 1 else "partial", False), ("stale", True)):
        reader = await made.ufs.open("a")
        found = await reader.prepare(0, len(whole))
        assert (found.forward, found.validated) == (forward, validated)
        assert b"".join([piece async for piece in reader.read(0, len(whole))]) == whole
        await reader.close()
        await made.settled()


@pytest_twisted.ensureDeferred
async def test_fifty_clients_cost_one_read_of_each_page(bench: Callable[..., Bench]) -> None:
    """However many clients read a cold object at once, the store gives each byte once."""
    made = bench()
    made.trouble.put_now("a", BODY)
    made.trouble.faults.kind = "wait"
    reads = [Deferred.fromCoroutine(made.get("a")) for _ in range(50)]
    while not made.trouble.faults.waiting:
        await turn()
    made.trouble.faults.go()
    assert set(await gatherResults(reads)) == {BODY}
    assert sorted(made.trouble.reads) == [("a", 0, len(BODY))]
    await made.settled()
    assert made.trouble.opened == 0


@pytest.mark.parametrize(("offset", "count"), [(0, 1), (PAGE - 1, 2), (3 * PAGE, PAGE), (5 * PAGE + 7, 4 * PAGE), (len(BODY) - 1, 1)])
@pytest_twisted.ensureDeferred
async def test_a_range_pulls_only_its_pages(bench: Callable[..., Bench], offset: int, count: int) -> None:
    """The store is asked for the pages that hold the range, and no others."""
    made = bench()
    made.trouble.put_now("a", BODY)
    assert await made.get("a", offset, count) == BODY[offset : offset + count]
    first, last = offset // PAGE, (offset + count - 1) // PAGE
    assert made.trouble.reads == [("a", first * PAGE, min((last + 1) * PAGE, len(BODY)) - first * PAGE)]
    await made.settled()
    reader = await made.ufs.open("a")
    assert await reader.resident(0, len(BODY)) == made.trouble.reads[0][2]
    await reader.close()


@pytest_twisted.ensureDeferred
async def test_what_is_there_is_not_fetched_again(bench: Callable[..., Bench]) -> None:
    """A read of an object of which some pages are there fetches the others."""
    made = bench()
    made.trouble.put_now("a", BODY)
    await made.get("a", 4 * PAGE, 3 * PAGE)
    await made.settled()
    made.trouble.reads.clear()
    assert await made.get("a") == BODY
    assert sorted(made.trouble.reads) == [("a", 0, 4 * PAGE), ("a", 7 * PAGE, len(BODY) - 7 * PAGE)]


@pytest.mark.parametrize("kind", ["error", "short", "long", "changed"])
@pytest.mark.parametrize("at", [0, 1, PAGE, 3 * PAGE + 5])
@pytest_twisted.ensureDeferred
async def test_a_failed_fetch_is_seen_by_all_and_keeps_nothing_of_its_page(bench: Callable[..., Bench], kind: str, at: int) -> None:
    """Every client that waits for a page that fails gets the error, and reads right when the store is well again."""
    made = bench()
    made.trouble.put_now("a", BODY)
    made.trouble.faults.kind, made.trouble.faults.at = kind, at
    outcomes = await gatherResults([Deferred.fromCoroutine(_outcome(made)) for _ in range(3)])
    if kind == "long":
        assert all(isinstance(one, ObjectChanged) or one == BODY for one in outcomes)
    else:
        assert all(isinstance(one, StorageError) for one in outcomes), outcomes
    await made.settled()
    made.trouble.faults.kind = ""
    assert await made.get("a") == BODY
    await made.settled()
    assert await made.get("a") == BODY
    assert made.trouble.opened == 0


async def _outcome(made: Bench) -> bytes | Exception:
    try:
        return await made.get("a")
    except StorageError as problem:
        return problem


@pytest_twisted.ensureDeferred
async def test_a_store_that_hangs_fails(bench: Callable[..., Bench]) -> None:
    """A store that gives nothing for long is Unavailable, for everybody who waits."""
    clock = Clock()
    made = bench(clock=clock)
    made.trouble.put_now("a", BODY)
    made.trouble.faults.kind, made.trouble.faults.at = "hang", PAGE
    reading = Deferred.fromCoroutine(_outcome(made))
    while not made.trouble.faults.waiting:
        await turn()
    clock.advance(STALL_SECONDS + 1)
    assert isinstance(await reading, Unavailable)
    made.trouble.faults.kind = ""
    assert await made.get("a") == BODY


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_wastes_no_page(bench: Callable[..., Bench]) -> None:
    """The page that was coming when the last client left is finished and kept; nothing is fetched after it."""
    made = bench()
    made.trouble.put_now("a", BODY)
    made.trouble.faults.kind, made.trouble.faults.at = "wait", PAGE + 1000
    reading = Deferred.fromCoroutine(_outcome(made))
    while not made.trouble.faults.waiting:
        await turn()
    reading.addErrback(lambda _: None)
    reading.cancel()
    made.trouble.faults.go()
    await made.settled()
    reader = await made.ufs.open("a")
    assert await reader.resident(0, len(BODY)) == 2 * PAGE
    await reader.close()
    assert made.trouble.opened == 0


@pytest_twisted.ensureDeferred
async def test_a_slow_client_does_not_slow_the_fill(bench: Callable[..., Bench]) -> None:
    """While one client takes nothing, the run goes on to the disk, and others read it all."""
    made = bench()
    made.trouble.put_now("a", BODY)
    reader = await made.ufs.open("a")
    spans = reader.spans(0, len(BODY))
    first = await anext(spans)
    await made.settled()
    assert await reader.resident(0, len(BODY)) == len(BODY)
    assert await made.get("a") == BODY
    got = first
    async for item in spans:
        if isinstance(item, Span):
            got += os.pread(item.file.fileno(), item.count, item.offset)
            item.file.release()
        else:
            got += item
    assert got == BODY
    assert len(made.trouble.reads) == 1
    await reader.close()


@pytest_twisted.ensureDeferred
async def test_what_a_client_is_about_to_read_stays_in_memory_while_there_is_room(bench: Callable[..., Bench]) -> None:
    """Pages that have gone to the disk are read from memory by who waited for them, until others need it; who leaves gives it back."""
    made = bench()
    made.cache.fills.budget = Budget(len(BODY) + PAGE)
    made.trouble.put_now("a", BODY)
    made.trouble.put_now("b", BODY)
    reader = await made.ufs.open("a")
    spans = reader.spans(0, len(BODY))
    got = await anext(spans)
    await made.settled()
    assert made.cache.fills.budget.taken == len(BODY)
    got += await anext(spans)
    assert await made.get("b") == BODY, "the memory of pages that are on the disk is others' for the asking"
    await made.settled()
    assert made.cache.fills.budget.taken < len(BODY)
    async for item in spans:
        if isinstance(item, Span):
            got += os.pread(item.file.fileno(), item.count, item.offset)
            item.file.release()
        else:
            got += item
    assert got == BODY
    assert made.cache.fills.budget.taken == 0
    assert len(made.trouble.reads) == 2
    await reader.close()


@pytest_twisted.ensureDeferred
async def test_an_answer_says_that_its_bytes_are_on_their_way_for_another(bench: Callable[..., Bench]) -> None:
    """The first client of a cold object causes the fetch, the second one joins it."""
    made = bench()
    made.trouble.put_now("a", BODY)
    made.trouble.faults = Faults("wait")
    readers = [await made.ufs.open("a") for _ in range(2)]
    told = [await readers[0].prepare(0, len(BODY))]
    first = readers[0].spans(0, len(BODY))
    coming = ensureDeferred(anext(first))
    told.append(await readers[1].prepare(0, len(BODY)))
    assert [(one.forward, one.collapsed) for one in told] == [("uri-miss", False), ("uri-miss", True)]
    made.trouble.faults.go()
    assert BODY.startswith(await coming)
    await first.aclose()
    await made.settled()
    assert not (await readers[1].prepare(0, PAGE)).collapsed
    for reader in readers:
        await reader.close()


@pytest_twisted.ensureDeferred
async def test_a_cache_that_takes_nothing_lets_bytes_flow(bench: Callable[..., Bench]) -> None:
    """With a full or broken disk reads go on, from the store."""
    made = bench()
    made.trouble.put_now("a", BODY)
    made.pages.put = lambda *_: False  # type: ignore[method-assign]
    for _ in range(3):
        assert await made.get("a") == BODY
    made.pages.open = lambda *_: None  # type: ignore[method-assign]
    made.pages.holds = lambda *_: True  # type: ignore[method-assign]
    assert await made.get("a") == BODY


@pytest_twisted.ensureDeferred
async def test_pages_that_are_lost_at_once_do_not_keep_a_client_waiting(bench: Callable[..., Bench]) -> None:
    """A disk that forgets each page as soon as it has it costs a slow client its cache, not its bytes."""
    made = bench()
    made.trouble.put_now("a", BODY)
    made.pages.open = lambda *_: None  # type: ignore[method-assign]
    made.pages.hot = lambda *_: None  # type: ignore[method-assign]
    reader = await made.ufs.open("a")
    got = b""
    async for item in reader.spans(0, len(BODY)):
        assert isinstance(item, bytes)
        got += item
        await made.settled()
    assert got == BODY
    await reader.close()
    assert made.trouble.opened == 0


@pytest_twisted.ensureDeferred
async def test_memory_is_bounded(bench: Callable[..., Bench]) -> None:
    """With room for two pages many clients of many objects still get theirs, and no more than that is ever held."""
    made = bench()
    made.cache.fills.budget = type(made.cache.fills.budget)(2 * PAGE)
    bodies = {f"o{number}": os.urandom(5 * PAGE) for number in range(8)}
    for path, body in bodies.items():
        made.trouble.put_now(path, body)
    got = await gatherResults([Deferred.fromCoroutine(made.get(path)) for path in bodies])
    assert got == list(bodies.values())
    await made.settled()
    assert made.cache.fills.budget.taken == 0


@pytest_twisted.ensureDeferred
async def test_no_client_waits_for_the_disk(bench: Callable[..., Bench]) -> None:
    """While nothing can be written a client gets all of an object that is larger than the memory for pages, which stays bounded; the
    pages that were given up meanwhile are fetched by who reads them next.
    """
    made = bench()
    fills = made.cache.fills
    fills.budget = type(fills.budget)(6 * PAGE)
    fills.keeping._together = 1
    body = os.urandom(40 * PAGE)
    made.trouble.put_now("a", body)
    assert made.pages._stock is not None
    with made.pages._stock.index._writers:
        assert await made.get("a") == body
        assert 30 <= fills.keeping.shed < 40
        assert fills.budget.taken <= 6 * PAGE
    await made.settled()
    assert fills.keeping.kept == 40 - fills.keeping.shed
    reads, missing = len(made.trouble.reads), fills.keeping.shed
    assert await made.get("a") == body
    assert sum(count for _, _, count in made.trouble.reads[reads:]) == missing * PAGE


@pytest_twisted.ensureDeferred
async def test_loading_waits_for_the_disk(bench: Callable[..., Bench]) -> None:
    """What somebody has asked to be in the cache is never given up."""
    made = bench()
    fills = made.cache.fills
    fills.budget = type(fills.budget)(6 * PAGE)
    fills.keeping._together = 1
    made.trouble.put_now("a", os.urandom(40 * PAGE))
    reader = await made.ufs.open("a")
    stock = made.pages._stock
    assert stock is not None
    with stock.index._writers:
        loading = Deferred.fromCoroutine(reader.load(0, 40 * PAGE))
        for _ in range(10):
            await turn()
        assert not loading.called
    await loading
    assert fills.keeping.shed == 0
    assert await reader.resident(0, 40 * PAGE) == 40 * PAGE
    await reader.close()


@pytest_twisted.ensureDeferred
async def test_pages_kept_as_the_policy_says(bench: Callable[..., Bench]) -> None:
    """``never`` keeps none, ``second_touch`` those of what was read before."""
    never, second = bench("never", pages="never"), bench("second", pages="second_touch")
    for made, kept in ((never, [0, 0, 0]), (second, [0, len(BODY), len(BODY)])):
        made.trouble.put_now("a", BODY)
        for expected in kept:
            assert await made.get("a") == BODY
            await made.settled()
            reader = await made.ufs.open("a")
            assert await reader.resident(0, len(BODY)) == expected
            await reader.close()


@pytest_twisted.ensureDeferred
async def test_a_delete_frees_the_pages(bench: Callable[..., Bench]) -> None:
    """The pages of what was deleted go, those of its old versions too, and of nothing else."""
    made = bench()
    for path in ("a", "a", "ab"):
        made.trouble.put_now(path, os.urandom(3 * PAGE))
        await made.get(path)
    await made.settled()
    assert [one.path for one in made.pages.objects(made.ufs.identity, "", "", 10)] == ["a", "a", "ab"]
    await made.ufs.delete("a", ALWAYS)
    assert [one.path for one in made.pages.objects(made.ufs.identity, "", "", 10)] == ["ab"]
    assert made.pages.stats().places[0].pages == 3


@pytest_twisted.ensureDeferred
async def test_loading_fetches_a_range(bench: Callable[..., Bench]) -> None:
    """What was loaded is there, and no more; loading it again reads nothing."""
    made = bench()
    made.trouble.put_now("a", BODY)
    reader = await made.ufs.open("a")
    await reader.load(PAGE, 2 * PAGE)
    await reader.load(PAGE, 2 * PAGE)
    assert made.trouble.reads == [("a", PAGE, 2 * PAGE)]
    assert await reader.resident(0, len(BODY)) == 2 * PAGE
    await reader.load(0, len(BODY))
    assert await reader.resident(0, len(BODY)) == len(BODY)
    await reader.close()
    assert made.trouble.opened == 0


def test_memory_for_pages_is_taken_once() -> None:
    """What pages took on their way is there for the next ones: to take it from the kernel again would cost each first read."""
    hold_freed(64 << 20)

    def taken() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        pieces = [b"x" * (512 << 10) for _ in range(32)]
        assert sum(map(len, pieces)) == 16 << 20
        del pieces
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    assert min(taken() for _ in range(5)) < 16 * 256 / 4

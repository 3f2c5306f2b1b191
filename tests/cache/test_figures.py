"""What is counted of the cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest_twisted
from twisted.internet import reactor

from alluxio_s3.cache.freshness import CachePolicy
from alluxio_s3.cache.store import PageStore, Place
from alluxio_s3.cache.ufs import Cache, CachedUnderFileSystem
from alluxio_s3.ops.metrics import Metrics
from alluxio_s3.threads import Threads
from tests.cache.stores import PAGE, Bench, Trouble

ROOM = 8 * PAGE


def figures(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Every figure of a snapshot, by its name and labels."""
    return {
        (one.name.removeprefix("alluxio_s3_cache_"), *sample.labels): sample.values[0]
        for one in metrics.snapshot()
        for sample in one.samples
    }


@pytest_twisted.ensureDeferred
async def test_reads_fills_and_pages_are_counted(tmp_path: Path, threads: Threads) -> None:
    """By mount: reads and where their bytes came from, and what was fetched; by directory: how full, what was evicted or damaged."""
    metrics = Metrics()
    bench = Bench(tmp_path / "other", threads, CachePolicy())
    pages = PageStore([Place(str(tmp_path / "pages"), ROOM)], PAGE)
    bench.cache = Cache(pages, threads, reactor, metrics=metrics)  # type: ignore[arg-type]
    store = Trouble()
    bench.ufs = CachedUnderFileSystem(store, bench.cache, CachePolicy(), "/m")
    store.put_now("a", os.urandom(2 * PAGE))
    for _ in range(2):
        await bench.get("a")
        await bench.settled()
    damaged = next((tmp_path / "pages" / "pages").rglob("*.0"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    await bench.get("a", 0, PAGE)
    await bench.settled()
    store.faults.kind = "error"
    store.put_now("b", os.urandom(PAGE))
    try:
        await bench.get("b")
    except Exception:  # noqa: BLE001  # it is what was asked for
        store.faults.kind = ""
    for number in range(6):
        store.put_now(f"c{number}", os.urandom(PAGE))
        await bench.get(f"c{number}")
        await bench.settled()
    await bench.cache._tend()
    found = figures(metrics)
    place = str(tmp_path / "pages")
    assert found["reads_total", "/m", "uri-miss"] == 9
    assert found["reads_total", "/m", "validated"] == 1
    assert found["read_bytes_total", "/m", "disk"] == 2 * PAGE
    assert found["read_bytes_total", "/m", "flight"] + found["read_bytes_total", "/m", "store"] == 9 * PAGE
    assert found["fills_total", "/m", "fetched"] == 9
    assert found["fills_total", "/m", "failed"] == 1
    assert found["fill_bytes_total", "/m"] == 9 * PAGE
    assert found["damaged_pages_total", place] == 1
    assert found["pages_written_total", "kept"] == 9
    assert found["evictions_total", place] == 8 - found["pages", place]
    assert 0 < found["used_bytes", place] <= found["size_bytes", place] == ROOM
    assert found["directory_disabled", place] == 0
    assert found["pages_in_flight",] == found["flight_bytes",] == 0
    bench.pages.close()
    pages.close()

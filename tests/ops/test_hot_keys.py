"""Which keys are asked for most."""

from __future__ import annotations

import random
import time
from math import log

import pytest

from alluxio_s3.ops.exposition import render
from alluxio_s3.ops.hot_keys import CAPACITY, HALF_LIFE_SECONDS, SHOWN, HotKeys
from alluxio_s3.ops.metrics import Metrics
from alluxio_s3.ops.totals import from_json, lasting, merged, to_json


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def shown(hot: HotKeys) -> dict[str, tuple[float, ...]]:
    return {one.labels[0]: one.values for one in hot.figures().samples}


def test_the_first_are_told_whatever_else_is_read() -> None:
    """Keys that are asked for more than others stay, with their counts, among any number that are asked for once."""
    hot = HotKeys(Clock())
    asked = [f"/b/hot{number}" for number in range(10) for _ in range(300 + number)] + [f"/b/cold{number}" for number in range(20_000)]
    random.Random(7).shuffle(asked)
    for target in asked:
        hot.see(target, 10)
    found = shown(hot)
    assert len(found) == SHOWN
    assert list(found)[:10] == [f"/b/hot{number}" for number in range(9, -1, -1)]
    assert found["/b/hot9"] == (309, 3090)
    assert len(hot._counts) <= CAPACITY


def test_counts_fade() -> None:
    """A steady rate comes to stand at what the rate makes of the half-life, and what is asked for no more is forgotten."""
    clock = Clock()
    hot = HotKeys(clock)
    for _ in range(600):
        clock.now += 1
        for _ in range(5):
            hot.see("/b/k", 100)
        hot.figures()
    count, moved = shown(hot)["/b/k"]
    assert count * log(2) / HALF_LIFE_SECONDS == pytest.approx(5, rel=0.02)
    assert moved == pytest.approx(100 * count)
    clock.now += 20 * HALF_LIFE_SECONDS
    assert shown(hot) == {}


def test_only_keys_count() -> None:
    """Buckets do not count, nor does the query: presigned requests for a key are requests for the key."""
    hot = HotKeys(Clock())
    for target in ("/", "/b", "/b/", "/b?list-type=2", "/b/k?X-Amz-Signature=1", "/b/k?X-Amz-Signature=2", "/b/" + "x" * 4000):
        hot.see(target, 0)
    assert shown(hot) == {"/b/k": (2, 0)}


def test_rankings_travel_and_are_not_exposed() -> None:
    """Those of several processes add up; they end with their process, and Prometheus does not see them."""
    metrics = Metrics()
    hot = HotKeys(Clock())
    hot.see("/b/canary", 7)
    metrics.ranking(hot.figures)
    snapshot = metrics.snapshot()
    both = merged([snapshot, from_json(to_json(snapshot))])
    assert [one.values for one in both[0].samples] == [(2, 14)]
    assert lasting(both) == ()
    assert b"canary" not in render(both, "")[0]


def test_it_costs_little() -> None:
    """A request costs it half a microsecond of processor time, the keys being new ones or not; on a busy machine not ten times that."""
    hot = HotKeys(Clock())
    targets = [f"/bucket/some/key{number % 3000}" for number in range(30_000)]
    best = 1.0
    for _ in range(5):
        started = time.thread_time()
        for target in targets:
            hot.see(target, 4096)
        best = min(best, (time.thread_time() - started) / len(targets))
    assert best < 5e-6, best

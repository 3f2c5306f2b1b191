"""The ring that says who owns what."""

from __future__ import annotations

import random
import timeit
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alluxio_s3.cluster.ring import WEIGHT_STEPS, Ring

IDS = st.text("abcdefghij0123456789-", min_size=1, max_size=8)
WEIGHTS = st.integers(1, 3 * WEIGHT_STEPS).map(lambda steps: steps / WEIGHT_STEPS)
MEMBERS = st.dictionaries(IDS, WEIGHTS, min_size=1, max_size=12)
PATHS = [f"/bucket/train/part-{number:05}.parquet" for number in range(300)]


def owners(ring):
    return [ring.owner(path) for path in PATHS]


@settings(deadline=None, max_examples=40)
@given(MEMBERS, st.randoms())
def test_the_order_of_members_is_of_no_matter(members, rng):
    """The ring depends on who is on it, and not on who came first or who has been there and left."""
    shuffled = list(members.items())
    rng.shuffle(shuffled)
    ring = Ring(members)
    other = Ring({"gone": 2.0})
    for number in range(1, len(shuffled) + 1):
        other.change(dict(shuffled[:number]) | {"passing": 0.7} if number % 2 else dict(shuffled[:number]))
        owners(other)
    other.change(members)
    assert owners(ring) == owners(other)
    assert ring.shares() == pytest.approx(other.shares(), abs=0)
    assert [ring.owners(path, 3) for path in PATHS] == [other.owners(path, 3) for path in PATHS]


@settings(deadline=None, max_examples=40)
@given(MEMBERS, IDS, WEIGHTS)
def test_movement_is_minimal(members, newcomer, weight):
    """What moves when a worker joins moves to that worker; what moves when it leaves was its own; more weight only takes."""
    members.pop(newcomer, None)
    members["somebody"] = 1.0
    ring = Ring(members)
    before = owners(ring)
    ring.change(members | {newcomer: weight})
    joined = owners(ring)
    assert all(now in (old, newcomer) for old, now in zip(before, joined, strict=True))
    ring.change(members | {newcomer: weight + 1})
    assert all(now in (old, newcomer) for old, now in zip(joined, owners(ring), strict=True))
    ring.change(members)
    assert owners(ring) == before


@settings(deadline=None, max_examples=40)
@given(MEMBERS, st.integers(0, 15), st.data())
def test_several_owners(members, count, data):
    """Owners are different, as many as asked for if there are so many, none of those to be left out, and the first ones stay first."""
    without = data.draw(st.sets(st.sampled_from(sorted(members))))
    ring = Ring(members)
    for path in PATHS[:20]:
        all_in_order = ring.owners(path, len(members))
        assert sorted(all_in_order) == sorted(members)
        assert all_in_order[0] == ring.owner(path)
        assert ring.owners(path, count, without) == [one for one in all_in_order if one not in without][:count]


@given(st.text(max_size=20))
def test_any_path_has_an_owner(path):
    """Whatever its characters are."""
    assert Ring({"one": 0.001}).owner(path) == "one"


def test_nobody():
    """An empty ring says so; one whose members have all left is as empty."""
    ring = Ring({"a": 1.0})
    ring.change({})
    assert not ring.workers
    assert ring.owners("/b/k", 2) == []
    assert ring.shares() == {}
    with pytest.raises(LookupError):
        ring.owner("/b/k")


@pytest.mark.parametrize("count", [2, 3, 10, 1000])
def test_balance(count):
    """Of equal workers each has its share within a tenth; one more takes at most 1.1 of its own."""
    workers = {f"10.0.{number // 250}.{number % 250}": 1.0 for number in range(count)}
    ring = Ring(workers)
    shares = ring.shares()
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares.values()) * count < 1.1
    assert min(shares.values()) * count > 0.9
    ring.change(workers | {"one-more": 1.0})
    assert ring.shares()["one-more"] * (count + 1) < 1.1


def test_shares_are_those_of_paths():
    """The lengths of arcs say what paths do."""
    ring = Ring({"a": 1.0, "b": 2.0, "c": 0.5})
    shares = ring.shares()
    rng = random.Random(7)
    counted = Counter(ring.owner(f"/b/{rng.random()}") for _ in range(20_000))
    for worker, share in shares.items():
        assert counted[worker] / 20_000 == pytest.approx(share, abs=0.015)
    assert shares == pytest.approx({"a": 1 / 3.5, "b": 2 / 3.5, "c": 0.5 / 3.5}, rel=0.1)


def test_speed():
    """With 1,000 workers a look-up takes microseconds, and joining or leaving costs milliseconds: here with room for a busy machine."""
    workers = {f"worker-{number}": 1.0 for number in range(1000)}
    ring = Ring(workers)
    ring.shares()
    paths = iter(PATHS * 100)
    assert min(timeit.repeat(lambda: ring.owner(next(paths)), number=1000, repeat=5)) / 1000 < 20e-6
    assert min(timeit.repeat(lambda: (ring.change(workers | {"x": 1.0}), ring.change(workers)), number=1, repeat=3)) < 0.2

"""What goes when there is no room: the policy alone, and on the queues of the index."""

from __future__ import annotations

import random
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alluxio_s3.cache.eviction import MOST_MARKS, Eviction, Queue
from alluxio_s3.cache.index import Index, page_key
from benchmarks.eviction import TRACES, Memory, lru, optimum, ours

CAPACITY = 20


def key(number):
    return page_key(number.to_bytes(16, "big"), 0)


class Cache:
    """A policy at work: what it is asked, as a store asks it."""

    def __init__(self, shelf, seed=0):
        self.shelf = shelf
        self.policy = Eviction(shelf, random.Random(seed).random)
        self.evicted = []

    def holds(self, number):
        entry = self.shelf.find(key(number))
        return entry is not None and entry.is_page

    @property
    def taken(self):
        return self.shelf.weight(Queue.SMALL) + self.shelf.weight(Queue.MAIN)

    def read(self, number, weight=1):
        if self.holds(number):
            self.policy.touch(key(number))
            return True
        while self.taken + weight > self.shelf.capacity:
            gone = self.policy.evict()
            assert gone is not None
            assert gone[1].is_page
            self.evicted.append(gone[0])
        self.policy.admit(key(number), weight)
        return False


@pytest.fixture
def cache():
    """A policy on queues in memory."""
    return Cache(Memory(CAPACITY))


reads = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), max_size=200)


@given(reads)
def test_there_is_room_for_what_comes(asked):
    """A page that was just read is there; the pages never take more than the room, and their ghosts no more than that again."""
    cache = Cache(Memory(CAPACITY))
    for number, weight in asked:
        cache.read(number, weight)
        assert cache.holds(number)
        assert cache.taken <= CAPACITY
        assert cache.shelf.weight(Queue.GHOST) <= CAPACITY


@settings(max_examples=20, deadline=None)
@given(reads)
def test_the_index_keeps_queues_as_memory_does(asked):
    """On the queues of the index the policy evicts the same pages in the same order as on those in memory."""
    memory = Cache(Memory(CAPACITY))
    with tempfile.TemporaryDirectory() as directory:
        index = Index(directory, 0)
        with index.writing() as writing:
            kept = Cache(writing.shelf(0, CAPACITY))
            for number, weight in asked:
                assert kept.read(number, weight) == memory.read(number, weight)
            assert kept.evicted == memory.evicted
            tally = writing.tally.place(0)
            assert tally.taken == memory.taken
            assert tally.pages == sum(kept.holds(number) for number in range(41))
        index.close()


def test_a_scan_leaves_what_is_read_again(cache):
    """Pages that were read twice stay, however many come that are read once."""
    for _ in range(3):
        for number in range(10):
            cache.read(number)
    for number in range(100, 200):
        cache.read(number)
    assert sum(cache.holds(number) for number in range(10)) >= 9


def test_what_nobody_reads_any_more_goes(cache):
    """Pages that were popular give way to what is read now, though that is larger than all that can be remembered."""
    for _ in range(5):
        for number in range(18):
            cache.read(number)
    for count in range(200):
        for number in range(100, 160):
            cache.read(number)
        if not any(cache.holds(number) for number in range(18)):
            assert count > 1
            return
    raise AssertionError("they stay")


def test_a_part_of_what_does_not_fit_stays(cache):
    """Of pages that are read in order again and again, and don't fit, some are found each time."""
    found = [sum(cache.read(number) for number in range(2 * CAPACITY)) for _ in range(5)]
    assert found[0] == 0
    assert min(found[1:]) >= CAPACITY // 2


def test_making_room_ends(cache):
    """Though every page has all its marks, one goes after a bounded number of moves."""
    for _ in range(MOST_MARKS + 1):
        for number in range(CAPACITY):
            cache.read(number)
    assert cache.policy.evict() is not None
    empty = Cache(Memory(CAPACITY))
    assert empty.policy.evict() is None


@pytest.mark.slow
@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES.keys())
def test_it_is_better_than_lru(trace):
    """On each of the traces of docs/eviction.md, cut short, it finds more than LRU does, and no more than can be found."""
    reads = trace(random.Random(1))[:60_000]
    assert lru(reads, 500) < ours(reads, 500) <= optimum(reads, 500)

"""Sizes that owners have told, and how long they count."""

from __future__ import annotations

from twisted.internet.task import Clock

from alluxio_s3.cluster.sizes import MOMENT_SECONDS, MOST_SIZES, SIZE_SECONDS, STORE, Sizes


def test_counts_while_its_owner_is_heard_of() -> None:
    """What an owner has told counts for its own objects, for as long as it goes on to tell something, and for some seconds at most."""
    clock = Clock()
    sizes = Sizes(clock.seconds)
    sizes.tell("/b/k", 7, "worker-2")
    assert sizes.find("/b/k", "worker-2") == 7
    assert sizes.find("/b/k", "worker-3") is None
    assert sizes.find("/b/other", "worker-2") is None
    heard = 0.0
    while heard + MOMENT_SECONDS < SIZE_SECONDS:
        clock.advance(MOMENT_SECONDS)
        heard += MOMENT_SECONDS
        assert sizes.find("/b/k", "worker-2") == 7
        sizes.tell("/b/other", 8, "worker-2")
    clock.advance(MOMENT_SECONDS + 0.01)
    assert sizes.find("/b/k", "worker-2") is None
    assert sizes.find("/b/other", "worker-2") is None
    sizes.tell("/b/another", 9, "worker-2")
    assert sizes.find("/b/other", "worker-2") == 8
    assert sizes.find("/b/k", "worker-2") is None  # it is too old by itself


def test_what_the_store_tells_is_of_whoever_owns_it() -> None:
    """Where the store is asked nothing is known of owners: a size counts for some seconds."""
    clock = Clock()
    sizes = Sizes(clock.seconds)
    sizes.tell("/b/k", 7, STORE)
    clock.advance(SIZE_SECONDS)
    assert sizes.find("/b/k", "worker-2") == sizes.find("/b/k", "worker-3") == 7
    clock.advance(0.01)
    assert sizes.find("/b/k", "worker-2") is None


def test_a_busy_owner_is_asked_ahead() -> None:
    """Before a size counts no more its owner is due to be asked, once in half that time; never where nobody wants it, or the store told."""
    clock = Clock()
    sizes = Sizes(clock.seconds)
    assert not sizes.is_due("/b/k", "worker-2")
    sizes.tell("/b/k", 7, "worker-2")
    sizes.tell("/b/of-the-store", 7, STORE)
    clock.advance(MOMENT_SECONDS / 2)
    assert not sizes.is_due("/b/k", "worker-2")
    clock.advance(MOMENT_SECONDS / 4)
    assert [sizes.is_due("/b/k", "worker-2") for _ in range(3)] == [True, False, False]
    assert not sizes.is_due("/b/k", "worker-3")
    clock.advance(MOMENT_SECONDS / 4)
    assert not sizes.is_due("/b/k", "worker-2")  # it has not answered yet
    clock.advance(MOMENT_SECONDS / 4)
    assert sizes.is_due("/b/k", "worker-2")
    assert sizes.find("/b/k", "worker-2") is None  # nor has it now: it counts for nothing
    sizes.tell("/b/k", 7, "worker-2")
    assert not sizes.is_due("/b/k", "worker-2")
    clock.advance(SIZE_SECONDS - 0.1)
    sizes.tell("/b/other", 7, "worker-2")
    assert sizes.is_due("/b/k", "worker-2")  # the size itself is old
    sizes.forget()
    assert not any(sizes.is_due(path, "worker-2") for path in ("/b/k", "/b/other", "/b/of-the-store"))


def test_is_forgotten_and_bounded() -> None:
    """After ``forget`` nothing counts; of very many the oldest go first."""
    sizes = Sizes(Clock().seconds)
    for number in range(MOST_SIZES + 1):
        sizes.tell(f"/b/{number}", number, "worker-2")
    assert sizes.find("/b/0", "worker-2") is None
    assert sizes.find("/b/1", "worker-2") == 1
    sizes.forget()
    assert sizes.find("/b/1", "worker-2") is None

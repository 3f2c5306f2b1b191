"""Listings that are remembered because a mount asks for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest_twisted
from twisted.internet.defer import Deferred, ensureDeferred

from alluxio_s3.cache.freshness import CachePolicy, Moments
from alluxio_s3.cache.listings import MOST_PAGES, Listings
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Listing, Status
from tests.cache.stores import Bench


async def keys(bench: Bench, prefix: str = "") -> list[str]:
    """What a listing says is there."""
    listing = await bench.ufs.list(prefix, "", 1000, "")
    return [entry.path for entry in listing.entries if isinstance(entry, Status)]


@pytest_twisted.ensureDeferred
async def test_a_listing_is_remembered_only_when_asked(bench: Callable[..., Bench]) -> None:
    """Without the option each listing asks the store; with it only when the last time is too long ago, each page and prefix by itself."""
    plain, asked = bench("plain"), bench("asked", listing_max_age=10)
    for made in (plain, asked):
        made.trouble.put_now("a", b"1")
        assert await keys(made) == ["a"]
        made.trouble.put_now("b", b"2")
    assert await keys(plain) == ["a", "b"]
    assert await keys(asked) == ["a"]
    assert await keys(asked, "b") == ["b"]
    asked.now += 11
    assert await keys(asked) == ["a", "b"]


@pytest_twisted.ensureDeferred
async def test_what_is_written_is_listed_at_once_by_every_process(bench: Callable[..., Bench]) -> None:
    """A put or delete through the worker, by another process too, makes remembered listings useless."""
    one = bench(listing_max_age=100)
    other = bench(listing_max_age=100)
    other.trouble = one.trouble
    other.ufs = other.another(CachePolicy(listing_max_age=100))
    await one.put("a", b"1")
    assert await keys(one) == await keys(other) == ["a"]
    await other.put("b", b"2")
    assert await keys(one) == await keys(other) == ["a", "b"]
    await one.ufs.delete("a", ALWAYS)
    assert await keys(one) == await keys(other) == ["b"]


@pytest_twisted.ensureDeferred
async def test_an_answer_from_before_a_write_is_not_remembered() -> None:
    """Where somebody wrote while the store was asked, the answer is given and not kept; nor is any where nobody can tell."""
    state, coming = [b"1"], [Deferred[Listing]() for _ in range(3)]
    answers = iter(coming)
    listings = Listings(100, lambda: state[0], Moments(lambda: 5.0, "boot"))

    async def ask() -> Listing:
        return await next(answers)

    empty, full = Listing((), complete=True), Listing(("a/",), complete=True)
    asking = ensureDeferred(listings.look(("", "", 1, ""), ask))
    state[0] = b"2"
    coming[0].callback(empty)
    assert await asking is empty
    coming[1].callback(full)
    assert await listings.look(("", "", 1, ""), ask) is full
    assert await listings.look(("", "", 1, ""), ask) is full
    state[0] = b""
    coming[2].callback(empty)
    assert await listings.look(("", "", 1, ""), ask) is empty


@pytest_twisted.ensureDeferred
async def test_no_more_than_so_many_pages_are_remembered() -> None:
    """The page that was used longest ago goes, so memory is bounded."""
    listings = Listings(100, lambda: b"s", Moments(lambda: 5.0, "boot"))
    asked: list[str] = []

    async def page(prefix: str) -> None:
        async def ask() -> Listing:
            asked.append(prefix)
            return Listing((), complete=True)

        await listings.look((prefix, "", 1, ""), ask)

    for number in range(MOST_PAGES + 1):
        await page(str(number))
    await page(str(MOST_PAGES))
    assert len(asked) == MOST_PAGES + 1
    await page("0")
    assert asked[-1] == "0"

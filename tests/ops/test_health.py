"""Health: whether requests should come here, with reasons."""

from __future__ import annotations

import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from zope.interface import implementer

from alluxio_s3.interfaces import IRemote
from alluxio_s3.ops.health import CHECK_SECONDS, REMEMBERED_SECONDS, Health, store_check
from alluxio_s3.storage import NoSuchPath, Unavailable


class Store:
    """The root of an under-store, and what becomes of asking for it."""

    def __init__(self, outcome: Exception | None) -> None:
        self.outcome = outcome
        self.asked = 0

    async def status(self, path: str) -> None:
        self.asked += 1
        if self.outcome is not None:
            raise self.outcome


def healthy(store: Store) -> Health:
    health = Health(Clock())
    health.watch("store", store_check(store))
    return health


@pytest_twisted.ensureDeferred
async def test_a_store_that_answers_is_ready() -> None:
    """An answer is an answer, be it that there is no folder at the root."""
    assert await healthy(Store(None)).reasons() == {}
    assert await healthy(Store(NoSuchPath(""))).reasons() == {}


@pytest_twisted.ensureDeferred
async def test_a_store_that_fails_is_the_reason() -> None:
    """Whatever it raises is said, foreseen or not."""
    assert await healthy(Store(Unavailable("", "the disk is gone"))).reasons() == {"store": "the disk is gone"}
    assert await healthy(Store(RuntimeError())).reasons() == {"store": "RuntimeError"}


@implementer(IRemote)
class RemoteStore(Store):
    """An under-store whose root is there without being asked for."""

    async def status(self, path: str) -> None:
        return None

    async def reach(self) -> None:
        await super().status("")


@pytest_twisted.ensureDeferred
async def test_a_store_elsewhere_is_asked() -> None:
    """Where the root says nothing of the store, whether it answers is asked."""
    assert await healthy(RemoteStore(None)).reasons() == {}
    assert await healthy(RemoteStore(Unavailable("", "no answer"))).reasons() == {"store": "no answer"}


@pytest_twisted.ensureDeferred
async def test_a_store_that_hangs_is_the_reason() -> None:
    """Nobody waits for it longer than a check may take."""
    clock = Clock()
    health = Health(clock)

    async def check() -> str:
        await Deferred()
        return ""

    health.watch("store", check)
    asking = Deferred.fromCoroutine(health.reasons())
    clock.advance(CHECK_SECONDS)
    assert await asking == {"store": "no answer in 5 s"}


@pytest_twisted.ensureDeferred
async def test_the_store_is_not_asked_all_the_time() -> None:
    """An outcome is good for a second."""
    store = Store(None)
    health = healthy(store)
    await health.reasons()
    await health.reasons()
    assert store.asked == 1
    health.clock.advance(REMEMBERED_SECONDS)
    store.outcome = Unavailable("", "gone")
    assert await health.reasons() == {"store": "gone"}


@pytest_twisted.ensureDeferred
async def test_all_who_ask_at_once_share_a_check() -> None:
    """The store is asked once for all of them, and one who does not wait for the answer changes nothing of it."""
    health, answers = Health(Clock()), []

    async def check() -> str:
        answers.append(Deferred())
        return await answers[-1]

    health.watch("store", check)
    first, second, third = (Deferred.fromCoroutine(health.reasons()) for _ in range(3))
    first.cancel()
    third.cancel()
    for left in (first, third):
        left.addErrback(lambda failure: failure.trap(CancelledError))
    (answer,) = answers
    answer.callback("")
    assert await second == {}
    assert await health.reasons() == {}


@pytest_twisted.ensureDeferred
async def test_who_stops_is_not_ready() -> None:
    """And asks nobody about it."""
    store = Store(None)
    health = healthy(store)
    health.stopping = True
    assert list(await health.reasons()) == ["daemon"]
    assert store.asked == 0


def test_a_warning_is_logged_when_it_says_something_else() -> None:
    """Once, and again when it tells of another trouble, not when a figure in it has changed; and that it is over."""
    trouble = iter(["", "it ends in 5.0 days", "it ends in 4.9 days", "it is of another key", ""])
    health = Health(Clock())
    health.warn_of("certificate", lambda: next(trouble))
    with capturedLogs() as events:
        for _ in range(5):
            health.tell()
    assert [event["trouble"] for event in events if "trouble" in event] == ["it ends in 5.0 days", "it is of another key"]
    assert [event["log_format"] for event in events][-1] == "{name}: all is well again"


def test_a_number_in_a_name_is_no_figure() -> None:
    """That another mount is broken, or another disk, is another trouble."""
    told = ["broken: data1", "broken: data2", "/ssd/1 is not in use", "/ssd/2 is not in use"]
    trouble = iter(told)
    health = Health(Clock())
    health.warn_of("cache", lambda: next(trouble))
    with capturedLogs() as events:
        for _ in told:
            health.tell()
    assert [event["trouble"] for event in events] == told

"""Users take turns: who asks for little is not behind all that another asks for."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from alluxio_s3.http.limits.fairness import ACTIVE_SECONDS, SHARE, Turns
from tests.http.conftest import Server


class Asking:
    """Requests of users, and the order in which they are served."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.turns = Turns(self.clock)
        self.served: list[str] = []

    def ask(self, user: str) -> Deferred[None]:
        """One request."""

        async def run() -> None:
            if self.turns.must_wait(user):
                await self.turns.wait(user)
            self.served.append(user)

        coroutine: Coroutine[Deferred[None], object, None] = run()
        return Deferred.fromCoroutine(coroutine)


def test_one_user_never_waits() -> None:
    """However much a user asks for, nothing waits as long as nobody else asks."""
    asking = Asking()
    for _ in range(1000):
        asking.ask("alice")
    assert len(asking.served) == 1000


def test_a_flood_waits_for_itself() -> None:
    """Of a user's hundreds of requests, some are served at once, and the rest in later turns; another's few are served at once."""
    asking = Asking()
    asking.ask("bob")
    for _ in range(500):
        asking.ask("alice")
    assert asking.served.count("alice") == SHARE
    for _ in range(SHARE - 1):
        asking.ask("bob")
    assert asking.served.count("bob") == SHARE
    assert asking.turns.waiting == 500 - SHARE


def test_those_who_wait_are_served_in_turn() -> None:
    """Of users who wait each gets as many as the others, as long as he waits; all are served."""
    asking = Asking()
    for user in ["bob"] + ["alice"] * 100 + ["bob"] * 20:
        asking.ask(user)
    before = len(asking.served)
    asking.clock.advance(0)
    assert asking.served[before : before + 8] == ["alice", "bob"] * 4
    assert (asking.served.count("alice"), asking.served.count("bob")) == (100, 21)
    assert not asking.clock.getDelayedCalls()


def test_who_leaves_does_not_take_a_turn() -> None:
    """A request whose client has gone is skipped."""
    asking = Asking()
    asking.ask("bob")
    waiting = [asking.ask("alice") for _ in range(SHARE + 3)]
    gone = waiting[SHARE]
    gone.addErrback(lambda _: None)
    gone.cancel()
    while asking.turns.waiting:
        asking.clock.advance(0)
    assert asking.served.count("alice") == SHARE + 2


def test_it_ends_when_the_other_is_quiet() -> None:
    """When nobody else has asked for a while a user has all the time again."""
    asking = Asking()
    asking.ask("bob")
    asking.ask("alice")
    asking.clock.advance(ACTIVE_SECONDS * 1.5)
    before = len(asking.served)
    for _ in range(100):
        asking.ask("alice")
    assert len(asking.served) - before == 100


def test_who_stands_in_line_does_not_wait_twice() -> None:
    """What comes on a connection in its user's line has waited for its turn there; on one in another's it has not."""
    asking = Asking()
    asking.ask("bob")
    for _ in range(SHARE + 1):
        asking.ask("alice")
    assert not asking.turns.must_wait("alice", "alice")
    assert asking.turns.must_wait("alice", "bob")


def test_who_has_no_name_waits_like_others() -> None:
    """Questions of browsers, which are nobody's, wait for their turn like a user's, unless they come on a connection in their own line."""
    asking = Asking()
    asking.ask("bob")
    for _ in range(500):
        asking.ask("")
    assert asking.served.count("") == SHARE
    assert not asking.turns.must_wait("", "")


def test_nobody_waits_for_ever_when_memory_is_short() -> None:
    """Turns go on when there was no memory for one of them, nor for the call that gives the next."""
    asking = Asking()
    asking.ask("bob")
    for _ in range(SHARE + 6):
        asking.ask("alice")
    call_later, short = asking.clock.callLater, [1, 2, 3]

    def call_when_there_is_memory(*given: Any) -> Any:
        if short.pop():
            raise MemoryError
        return call_later(*given)

    grant, failed = asking.turns._grant, []

    def grant_when_there_is_memory(turn: Deferred[None]) -> None:
        if not failed:
            failed.append(turn)
            short[:] = [0, 2, 1]
            asking.clock.callLater = call_when_there_is_memory  # type: ignore[method-assign]
            raise MemoryError
        asking.clock.callLater = call_later  # type: ignore[method-assign]
        grant(turn)

    asking.turns._grant = grant_when_there_is_memory  # type: ignore[method-assign]
    with pytest.raises(MemoryError):
        asking.clock.advance(0)
    while asking.turns.waiting:
        asking.clock.advance(0)
    assert asking.served.count("alice") == SHARE + 6


@pytest_twisted.ensureDeferred
async def test_requests_that_wait_are_answered_in_order(server: Server) -> None:
    """Whatever waits is answered as it would have been, also what comes on the same connection meanwhile."""
    turns = server.site.gate.turns
    turns.must_wait("somebody")
    clients = [await server.connect() for _ in range(30)]
    for client in clients:
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 2 + b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
    turns.must_wait("somebody")
    for client in clients:
        answer = await client.until(b"abc")
        assert answer.count(b"HTTP/1.1 200") == 3
        client.leave()


@pytest_twisted.ensureDeferred
async def test_what_comes_together_waits_for_more_than_one_turn(server: Server) -> None:
    """Requests that come at once on one connection are not answered at once: not in one turn, and not in a line, where they waited once."""
    turns, waited = server.site.gate.turns, []
    turns._now = lambda: 1000.0
    wait = turns.wait

    async def counted(user: str) -> None:
        waited.append(user)
        await wait(user)

    turns.wait = counted  # type: ignore[method-assign]
    turns.must_wait("somebody")
    client = await server.connect()
    client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    await client.until(b"hello")
    for channel in server.site.connections:
        channel.line = "tester"
    client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 40)
    answer = await client.until(b"hello", 41)
    assert answer.count(b"HTTP/1.1 200") == 41
    assert len(waited) > 40 // (SHARE * 2)
    client.leave()

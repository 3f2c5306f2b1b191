"""A client that takes nothing of its answer is given up; one that is slow, or waits for the daemon, is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import Clock

from alluxio_s3.http.stalls import LOOKS, Stalls
from tests.http.conftest import RawClient, Server

SECONDS = 30.0
# One that goes to the pipeline without twisted.web, and one that does not.
STREAMS = [b"GET /b/endless HTTP/1.1\r\nHost: h\r\n\r\n", b"GET /b/endless HTTP/1.1\r\nHost: h\r\nX-Other: 1\r\n\r\n"]
either = pytest.mark.parametrize("stream", STREAMS, ids=["plain", "other"])


class Watched:
    """A site whose clients are looked at when a test says so."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.clock = Clock()
        self.stalls = Stalls(server.site.connections, self.clock, SECONDS)

    async def turn(self) -> None:
        """Let the reactor go round a few times, by another client's request."""
        answer = await self.server.exchange(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert answer.endswith(b"hello")

    async def filled(self, stream: bytes) -> RawClient:
        """A client that has asked for much and takes nothing, once all that lies between is full."""
        client = await self.server.connect()
        client.transport.pauseProducing()  # type: ignore[union-attr]
        client.write(stream)
        sent, before = -1, -2
        while sent <= 0 or sent != before:
            await self.turn()
            asking = [request for one in self.server.site.connections for request in (*one.requests, one.streaming) if request is not None]
            before, sent = sent, sum(request.bytes_sent for request in asking)
        return client


@pytest.fixture
def watched(server: Server) -> Iterator[Watched]:
    """A running site."""
    made = Watched(server)
    made.stalls.start()
    yield made
    made.stalls.stop()


def test_a_failure_does_not_end_the_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no memory to end one, it is looked again all the same."""
    looks = []

    def refuse(connection: Any) -> None:
        looks.append(connection)
        raise MemoryError

    monkeypatch.setattr("alluxio_s3.http.stalls.left_to_take", refuse)
    clock = Clock()
    connections: list[Any] = ["one"]
    stalls = Stalls(connections, clock, SECONDS)
    stalls.start()
    clock.pump([SECONDS / LOOKS] * 3)
    stalls.stop()
    assert looks == ["one"] * 3


@either
@pytest_twisted.ensureDeferred
async def test_a_client_that_takes_nothing_is_given_up(watched: Watched, stream: bytes) -> None:
    """After that time, and not before; its request ends."""
    client = await watched.filled(stream)
    for _ in range(LOOKS):
        watched.clock.advance(SECONDS / LOOKS)
        await watched.turn()
        assert watched.server.pipeline.in_flight == 1
    watched.clock.advance(SECONDS / LOOKS)
    while watched.server.pipeline.in_flight:
        await watched.turn()
    assert [account.error for account in watched.server.accounts if account.action == "Stream"] == ["ClientGone"]
    client.leave()


@either
@pytest_twisted.ensureDeferred
async def test_a_slow_client_is_left_alone(watched: Watched, stream: bytes) -> None:
    """A client that takes a little now and then keeps its answer."""
    client = await watched.filled(stream)
    transport: Any = client.transport
    taken = 0
    for _ in range(3 * LOOKS):
        transport.resumeProducing()
        before = len(client.received)
        while len(client.received) == before:
            await watched.turn()
        transport.pauseProducing()
        taken += 1
        watched.clock.advance(SECONDS / LOOKS)
    assert taken == 3 * LOOKS
    assert watched.server.pipeline.in_flight == 1
    client.leave()
    while watched.server.pipeline.in_flight:
        await watched.turn()


@pytest_twisted.ensureDeferred
async def test_a_client_that_waits_for_us_is_left_alone(watched: Watched) -> None:
    """Connections on which nothing goes out are none of this watch's."""
    idle = await watched.server.connect()
    uploading = await watched.server.connect()
    uploading.write(b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhal")
    await watched.turn()
    for _ in range(3 * LOOKS):
        watched.clock.advance(SECONDS / LOOKS)
    uploading.write(b"f.")
    assert b" 200 " in await uploading.until(b"half.")
    idle.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert await idle.until(b"hello")
    for client in (idle, uploading):
        client.leave()

"""Who sends a few bytes at a time stands in a line of its own until what it says is whole, and loses nothing by it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import Clock, deferLater

from alluxio_s3.http.event_loop import quicken
from alluxio_s3.http.limits.arrivals import Arrivals
from alluxio_s3.http.lines import DRIPPING, Lines
from alluxio_s3.http.standing import DRIPS, PROPER_BYTES
from alluxio_s3.http.transport import EagerPort
from tests.http.conftest import RawClient, Server

HEAD = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
UPLOAD = b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"


class Loop:
    """The reactor under the tests, with lines."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        quicken(reactor)
        self.lines: Lines = reactor._poller

    def length(self, user: str | None = DRIPPING) -> int:
        """How many stand in a line."""
        line = self.lines._by_user.get(user)
        return 0 if line is None else line.length

    async def turn(self) -> None:
        """Let it go round."""
        await deferLater(self.reactor, 0)

    async def until(self, length: int) -> None:
        """Till so many drip."""
        while self.length() != length:
            await self.turn()

    async def drip(self, client: RawClient, server: Server, data: bytes) -> None:
        """Send ``data`` byte by byte, each as a piece of its own."""
        (channel,) = server.site.connections
        for at in range(len(data)):
            before = channel._small
            client.write(data[at : at + 1])
            while channel._small == before:
                await self.turn()


@pytest.fixture
def loop() -> Iterator[Loop]:
    """Lines for a while."""
    from twisted.internet import reactor  # noqa: PLC0415  # the one under the tests

    made = Loop(reactor)
    yield made
    made.reactor._poller = made.lines._all
    del made.reactor.doIteration


@pytest.fixture
def served(server: Server) -> Server:
    """A site, where there can be lines."""
    if not isinstance(server.port, EagerPort):
        pytest.skip("Twisted's own connections know no lines")
    return server


@pytest_twisted.ensureDeferred
async def test_a_head_that_drips(loop: Loop, served: Server) -> None:
    """From its third small piece on the connection stands in the line of those, and out of it when the head is whole; and is answered."""
    client = await served.connect()
    for _ in range(2):
        await loop.drip(client, served, HEAD[: DRIPS - 1])
        assert not loop.length()
        await loop.drip(client, served, HEAD[DRIPS - 1 : -1])
        await loop.until(1)
        client.write(HEAD[-1:])
        await loop.until(0)
    await client.until(b"hello", times=2)
    client.leave()


@pytest_twisted.ensureDeferred
async def test_a_body_that_drips(loop: Loop, served: Server) -> None:
    """It stands there until its pieces are proper ones, or it is whole."""
    client = await served.connect()
    client.write(UPLOAD % (PROPER_BYTES + 20))
    while not served.pipeline.in_flight:
        await loop.turn()
    await loop.drip(client, served, b"0123456789")
    await loop.until(1)
    client.write(bytes(PROPER_BYTES))
    await loop.until(0)
    await loop.drip(client, served, b"012345678")
    await loop.until(1)
    client.write(b"9")
    await loop.until(0)
    assert b"0123456789" + bytes(PROPER_BYTES) + b"0123456789" in await client.until(b"\x000123456789")
    client.leave()


@pytest_twisted.ensureDeferred
async def test_back_to_the_line_of_the_user(loop: Loop, served: Server) -> None:
    """Who stood in a user's line before does so again."""
    client = await served.connect()
    while not served.site.connections:
        await loop.turn()
    (channel,) = served.site.connections
    channel.stand_in_line("alice")
    await loop.drip(client, served, HEAD[:-1])
    assert (loop.length(), loop.length("alice")) == (1, 0)
    client.write(HEAD[-1:])
    await client.until(b"hello")
    assert (loop.length(), loop.length("alice")) == (0, 1)
    client.leave()
    while loop.length("alice"):
        await loop.turn()


@pytest_twisted.ensureDeferred
async def test_who_drips_and_leaves(loop: Loop, served: Server) -> None:
    """The line ends with its last."""
    client = await served.connect()
    await loop.drip(client, served, HEAD[:-1])
    await loop.until(1)
    client.leave()
    await loop.until(0)
    assert not loop.lines._lines


@pytest.mark.parametrize("server", ["eager"], indirect=True)
@pytest_twisted.ensureDeferred
async def test_what_came_in_time_is_in_time(loop: Loop, served: Server) -> None:
    """The rest of a head that has come, but was not looked at before the head's deadline, is looked at then."""
    clock = Clock()
    arrivals = served.site.arrivals = Arrivals(served.site.gate, clock)
    served.site.gate.limits.head_seconds = 30
    client = socket.create_connection(("127.0.0.1", served.port.getHost().port))
    client.setblocking(False)
    client.send(HEAD[:-1])
    while not arrivals._heads:
        await loop.turn()
    client.send(HEAD[-1:])
    clock.advance(31)
    arrivals.look()
    received = b""
    while b"hello" not in received:
        await loop.turn()
        try:
            received += client.recv(4096)
        except BlockingIOError:
            continue
    client.send(HEAD[:-1])
    while not arrivals._heads:
        await loop.turn()
    clock.advance(31)
    arrivals.look()
    while b"RequestTimeout" not in received:
        await loop.turn()
        try:
            received += client.recv(4096)
        except BlockingIOError:
            continue
    client.close()


@pytest_twisted.ensureDeferred
async def test_many_pieces_while_an_answer_goes(loop: Loop, served: Server) -> None:
    """What a client says byte by byte while its answer is on its way is kept as few pieces, and is answered after it."""
    client = await served.connect()
    client.write(UPLOAD % 1)
    while not served.pipeline.in_flight:
        await loop.turn()
    (channel,) = served.site.connections
    channel._handlingRequest = True
    await loop.drip(client, served, b"x" + HEAD * 10)
    assert loop.length() == 1
    assert len(channel._dataBuffer) < 100
    waiting = b"".join(channel._dataBuffer)
    assert waiting == b"x" + HEAD * 10
    channel._handlingRequest, channel._dataBuffer = False, []
    channel.dataReceived(waiting)
    assert b"hello" in await client.until(b"hello", times=10)
    client.leave()

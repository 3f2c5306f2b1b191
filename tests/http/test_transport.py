"""Connections that send at once keep the order and the promises of Twisted's own."""

from __future__ import annotations

import os
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, tcp
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol

from alluxio_s3.http.outbox import Outbox
from alluxio_s3.http.transport import EagerEndpoint, EagerServer
from tests.http.conftest import RawClient


class Ends:
    """Both ends of a connection."""

    def __init__(self, server: EagerServer, client: RawClient) -> None:
        self.server, self.client = server, client


class Accepted(Protocol):
    """The server's end."""

    def connectionMade(self) -> None:
        self.factory.made.callback(self.transport)  # type: ignore[union-attr]


async def turns(count: int) -> None:
    """Let the reactor go round so many times."""
    for _ in range(count):
        turn: Deferred[None] = Deferred()
        reactor.callLater(0, turn.callback, None)  # type: ignore[attr-defined]
        await turn


@pytest.fixture
def ends() -> Any:
    """A connected pair."""

    async def connect() -> Ends:
        factory = Factory.forProtocol(Accepted)
        factory.made = Deferred()  # type: ignore[attr-defined]
        port = await EagerEndpoint(reactor, "127.0.0.1", 0).listen(factory)
        client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), RawClient())
        server = await factory.made  # type: ignore[attr-defined]
        await port.stopListening()
        return Ends(server, client)

    made = pytest_twisted.blockon(Deferred.fromCoroutine(connect()))
    yield made
    made.client.leave()
    pytest_twisted.blockon(made.client.closed)


@pytest_twisted.ensureDeferred
async def test_a_small_write_is_gone_when_it_returns(ends: Ends) -> None:
    """A write that the socket takes leaves nothing behind for the reactor."""
    ends.server.write(b"head ")
    ends.server.write_more(b"more ")
    ends.server.writeSequence([b"a", b"b"])
    assert ends.server.idle
    assert await ends.client.until(b"ab") == b"head more ab"


@pytest_twisted.ensureDeferred
async def test_large_writes_keep_their_order(ends: Ends) -> None:
    """What the socket does not take waits, later writes wait behind it, and all arrives in order."""
    pieces = [os.urandom(3 << 20), b"small", os.urandom(1 << 20), b"END!"]
    for piece in pieces:
        ends.server.write(piece)
    assert not ends.server.idle
    assert await ends.client.until(b"END!") == b"".join(pieces)


@pytest_twisted.ensureDeferred
async def test_a_producer_has_its_turns_without_leaving_the_poller(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that asks for another turn gets it, with nothing changed in between; one that does not is not asked again until it does."""
    changes: list[str] = []

    class Counting:
        turns = 0

        def resumeProducing(self) -> None:
            self.turns += 1
            if self.turns % 5:
                ends.server.startWriting()
            else:
                done.callback(None)

        def stopProducing(self) -> None: ...

    for name in ("addWriter", "removeWriter"):
        change = getattr(reactor, name)
        monkeypatch.setattr(reactor, name, lambda one, name=name, change=change: (changes.append(name), change(one)))
    producer = Counting()
    done: Deferred[None] = Deferred()
    ends.server.registerProducer(producer, False)
    await done
    await turns(5)
    assert producer.turns == 5
    assert changes == ["addWriter", "removeWriter"]
    done = Deferred()
    ends.server.startWriting()
    await done
    await turns(5)
    assert producer.turns == 10
    ends.server.unregisterProducer()


@pytest_twisted.ensureDeferred
async def test_less_is_read_where_there_is_no_memory_for_more(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client is not cut because there is no memory for as much as a read could take: it takes less at once."""
    came: list[bytes] = []
    arrived: Deferred[None] = Deferred()

    def received(data: bytes) -> None:
        came.append(data)
        if b"".join(came) == b"asked":
            arrived.callback(None)

    monkeypatch.setattr(ends.server, "bufferSize", 1 << 62)
    monkeypatch.setattr(ends.server.protocol, "dataReceived", received)
    ends.client.transport.write(b"asked")
    await arrived


@pytest_twisted.ensureDeferred
async def test_losing_the_connection_sends_what_was_written_first(ends: Ends) -> None:
    """loseConnection after a write delivers the write."""
    body = os.urandom(2 << 20)
    ends.server.write(body)
    ends.server.loseConnection()
    assert await ends.client.all() == body


@pytest_twisted.ensureDeferred
async def test_nothing_is_sent_after_an_abort(ends: Ends) -> None:
    """What is written to a connection that is being cut does not reach the client: it might be the proper end of an answer."""
    ends.server.abortConnection()
    ends.server.write(b"0\r\n\r\n")
    ends.server.writeSequence([b"0\r\n", b"\r\n"])
    assert await ends.client.all() == b""


@pytest_twisted.ensureDeferred
async def test_writing_to_a_client_that_has_gone_is_no_error(ends: Ends) -> None:
    """A dead socket is found out by the reactor, as ever."""
    ends.client.leave()
    await ends.client.all()
    for _ in range(10):
        ends.server.write(b"x" * 100_000)


@pytest_twisted.ensureDeferred
async def test_a_port_that_is_taken_fails_to_listen() -> None:
    """The endpoint's Deferred fails with Twisted's own error."""
    port = await EagerEndpoint(reactor, "127.0.0.1", 0).listen(Factory.forProtocol(Protocol))
    try:
        with pytest.raises(CannotListenError):
            await EagerEndpoint(reactor, "127.0.0.1", port.getHost().port).listen(Factory.forProtocol(Protocol))
    finally:
        await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_port_listens_though_there_was_no_memory_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes while there is no memory for a connection gets one later; the port is not closed for it."""
    tried: list[bool] = []
    accept = tcp.Port.doRead

    def accept_later(port: Any) -> None:
        tried.append(True)
        if len(tried) == 1:
            raise MemoryError
        accept(port)

    monkeypatch.setattr(tcp.Port, "doRead", accept_later)
    factory = Factory.forProtocol(Accepted)
    factory.made = Deferred()  # type: ignore[attr-defined]
    port = await EagerEndpoint(reactor, "127.0.0.1", 0).listen(factory)
    client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), RawClient())
    await factory.made  # type: ignore[attr-defined]
    await port.stopListening()
    assert len(tried) >= 2
    client.leave()
    await client.closed


@pytest_twisted.ensureDeferred
async def test_an_answer_that_waits_goes_before_the_end(ends: Ends) -> None:
    """Where a connection ends while its answer waits for others, the answer goes first, and nothing waits then."""
    outbox = Outbox()
    outbox.is_open = True
    outbox.send(ends.server, 4, ends.server.write, b"LAST")
    ends.server.end_now()
    assert ends.server.waits is None
    assert await ends.client.until(b"LAST") == b"LAST"

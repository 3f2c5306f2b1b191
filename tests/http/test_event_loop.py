"""The turn of the event loop does what Twisted's does, with what Twisted keeps for it."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import getsource
from typing import Any

import pytest
from twisted.internet import protocol
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.selectreactor import SelectReactor
from twisted.python import context, log

from alluxio_s3.http.event_loop import quicken
from alluxio_s3.http.transport import EagerEndpoint, EagerServer

PATIENCE = 3000


class Answering(protocol.Protocol):
    """Tells what it is sent and in whose name Twisted's older log would have it, and fails when it is told to."""

    def dataReceived(self, data: bytes) -> None:
        if data == b"fail":
            raise RuntimeError("as it was told")
        system = (context.get(log.ILogContext) or {}).get("system", "-")
        self.transport.write(data + b" " + system.encode())  # type: ignore[union-attr]

    def connectionLost(self, reason: Any = None) -> None:
        self.factory.lost.append(reason.type)  # type: ignore[union-attr]


@pytest.fixture
def reactor() -> Iterator[Any]:
    """One of its own, not the tests'."""
    made: Any = EPollReactor()
    quicken(made)
    yield made
    made.removeAll()


class Ends:
    """A listening port of ours and a client of Twisted's, on ``reactor``."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.factory = protocol.Factory.forProtocol(Answering)
        self.factory.lost = []  # type: ignore[attr-defined]
        ports: list[Any] = []
        EagerEndpoint(reactor, "127.0.0.1", 0).listen(self.factory).addCallback(ports.append)
        self.got: list[bytes] = []
        self.clients: list[Any] = []
        ends = self

        class Client(protocol.Protocol):
            def connectionMade(self) -> None:
                ends.clients.append(self.transport)

            def dataReceived(self, data: bytes) -> None:
                ends.got.append(data)

            def connectionLost(self, reason: Any = None) -> None:
                ends.got.append(b"")

        reactor.connectTCP("127.0.0.1", ports[0].getHost().port, protocol.ClientFactory.forProtocol(Client))
        self.turn_until(lambda: self.clients)

    def turn_until(self, done: Any) -> None:
        for _ in range(PATIENCE):
            if done():
                return
            self.reactor.runUntilCurrent()
            self.reactor.doIteration(0.01)
        raise AssertionError("nothing came of it")


def test_the_turn_is_that_of_the_twisted_it_was_written_for() -> None:
    """What is taken from Twisted's turn is still there: the poller, who waits for it, and what is done for an event."""
    assert EPollReactor.doIteration is EPollReactor.doPoll
    source = getsource(EPollReactor.doPoll)
    assert "self._poller.poll(timeout, len(self._selectables))" in source
    assert "log.callWithLogger(selectable, _drdw, selectable, fd, event)" in source


def test_clients_and_others_are_served(reactor: Any) -> None:
    """Bytes go both ways; only who is no client's connection has a name in Twisted's older log."""
    ends = Ends(reactor)
    ends.clients[0].write(b"hello")
    ends.turn_until(lambda: ends.got)
    assert ends.got == [b"hello -"]


def test_one_who_leaves_is_missed(reactor: Any) -> None:
    """The end of a connection is told, once."""
    ends = Ends(reactor)
    ends.clients[0].loseConnection()
    ends.turn_until(lambda: ends.factory.lost)  # type: ignore[attr-defined]
    assert [one.__name__ for one in ends.factory.lost] == ["ConnectionDone"]  # type: ignore[attr-defined]


def test_a_fault_ends_one_connection_and_no_other(reactor: Any) -> None:
    """What raises is logged and disconnected, and the turns go on."""
    ends = Ends(reactor)
    seen: list[Any] = []
    log.addObserver(seen.append)
    try:
        ends.clients[0].write(b"fail")
        ends.turn_until(lambda: b"" in ends.got)
    finally:
        log.removeObserver(seen.append)
    assert any(event.get("isError") for event in seen)
    assert [one.__name__ for one in ends.factory.lost] == ["RuntimeError"]  # type: ignore[attr-defined]


def test_other_reactors_stay_as_they_are() -> None:
    """Only the reactor that was looked into is changed."""
    other: Any = SelectReactor()
    quicken(other)
    assert "doIteration" not in vars(other)
    other.removeAll()


def test_the_connection_reads_as_twisted_does(reactor: Any) -> None:
    """The read is its own; the rest of a connection is Twisted's."""
    assert "doRead" in vars(EagerServer)
    ends = Ends(reactor)
    for text in (b"one", b"two"):
        ends.clients[0].write(text)
        ends.turn_until(lambda text=text: any(text in one for one in ends.got))  # type: ignore[misc]

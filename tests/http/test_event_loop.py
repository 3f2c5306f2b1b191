"""The turn of the event loop does what Twisted's does, with what Twisted keeps for it."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from inspect import getsource
from typing import Any

import pytest
from twisted.internet import protocol
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.selectreactor import SelectReactor
from twisted.python import context, log

from alluxio_s3.http.event_loop import MOST_MISSED, Wakefulness, quicken
from alluxio_s3.http.lines import Lines
from alluxio_s3.http.transport import EagerEndpoint, EagerServer
from tests.http.conftest import turn_until


class Answering(protocol.Protocol):
    """Tells what it is sent and in whose name Twisted's older log would have it, and fails when it is told to."""

    def dataReceived(self, data: bytes) -> None:
        if data == b"fail":
            raise RuntimeError("as it was told")
        if data == b"later":
            self.factory.later.append(data)  # type: ignore[union-attr]
            return
        system = (context.get(log.ILogContext) or {}).get("system", "-")
        self.transport.write(data + b" " + system.encode())  # type: ignore[union-attr]

    def connectionLost(self, reason: Any = None) -> None:
        self.factory.lost.append(reason.type)  # type: ignore[union-attr]


class Recorder:
    """A reactor's epoll, which also remembers for how long each poll was to wait."""

    def __init__(self, epoll: Any) -> None:
        self.epoll = epoll
        self.timeouts: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.epoll, name)

    def poll(self, timeout: float = -1, most: int = -1) -> list[tuple[int, int]]:
        self.timeouts.append(timeout)
        return self.epoll.poll(timeout, most)  # type: ignore[no-any-return]


class Ticking:
    """A clock that goes 10 µs further each time it is looked at."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.looks / 1e5


@pytest.fixture
def reactor() -> Iterator[Any]:
    """One of its own, not the tests'."""
    made: Any = EPollReactor()
    made.recorder = made._poller = Recorder(made._poller)
    quicken(made)
    yield made
    made.removeAll()


class Ends:
    """A listening port of ours and a client of Twisted's, on ``reactor``."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.factory = protocol.Factory.forProtocol(Answering)
        self.factory.lost = []  # type: ignore[attr-defined]
        self.factory.later = []  # type: ignore[attr-defined]
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

    def turn_until(self, done: Callable[[], object]) -> None:
        turn_until(self.reactor, done)


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


@pytest.fixture
def pipe() -> Iterator[tuple[Recorder, int]]:
    """An epoll that watches the end of a pipe, and the descriptor of its beginning."""
    out, into = os.pipe()
    with select.epoll() as epoll:
        epoll.register(out, select.EPOLLIN)
        yield Recorder(epoll), into
    os.close(out)
    os.close(into)


def test_what_comes_soon_is_found_awake(pipe: tuple[Recorder, int]) -> None:
    """While there is hope that something comes soon, the loop doesn't sleep for it."""
    recorder, into = pipe
    wakefulness = Wakefulness(Lines(recorder))
    os.write(into, b"x")
    assert wakefulness.poll(5, 1, hopeful=True)
    assert recorder.timeouts == [0]
    recorder.timeouts.clear()
    assert wakefulness.poll(5, 1, hopeful=False)
    assert recorder.timeouts == [5]


def test_to_be_awake_in_vain_becomes_rare(pipe: tuple[Recorder, int]) -> None:
    """After it has looked in vain the loop sleeps, and looks again only after twice as many events that were soon as the time before."""
    recorder, into = pipe
    wakefulness = Wakefulness(Lines(recorder), Ticking())
    for missed in (1, 2, 4, 8, 16, 32, MOST_MISSED, MOST_MISSED, 0, 1, 2):
        recorder.timeouts.clear()
        if not missed:  # it pays again
            os.write(into, b"x")
            assert wakefulness.poll(5, 1, hopeful=True)
            assert recorder.timeouts == [0]
            os.read(recorder.poll()[0][0], 1)
            continue
        assert wakefulness.poll(0.001, 1, hopeful=True) == []
        assert len(recorder.timeouts) > 2
        assert [*set(recorder.timeouts[:-1]), recorder.timeouts[-1]] == [0, 0.001]
        recorder.timeouts.clear()
        os.write(into, b"x")
        for _ in range(missed):
            assert wakefulness.poll(5, 1, hopeful=True)
        assert recorder.timeouts == [5] * missed
        os.read(recorder.poll()[0][0], 1)


def test_nobody_is_waited_for_awake_who_has_no_answer(reactor: Any) -> None:
    """After a request that was answered at once the loop looks for the next; not after one that others work on, or a piece of a body."""
    ends = Ends(reactor)
    timeouts = reactor.recorder.timeouts
    ends.clients[0].write(b"ask")
    ends.turn_until(lambda: ends.got)
    reactor.doIteration(0.001)
    assert 0 in timeouts
    timeouts.clear()
    ends.clients[0].write(b"later")
    ends.turn_until(lambda: ends.factory.later)  # type: ignore[attr-defined]
    reactor.doIteration(0.001)
    assert 0 not in timeouts

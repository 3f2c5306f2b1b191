"""Answers of one turn leave together, each whole, in its place, and soon."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet import protocol
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock

from alluxio_s3.http.event_loop import quicken
from alluxio_s3.http.lines import Lines
from alluxio_s3.http.outbox import FEWEST, MOST, MOST_BYTES, Outbox, outbox_of
from alluxio_s3.http.transport import EagerEndpoint
from tests.http.conftest import turn_until


class Somebody:
    """A connection as an outbox knows it."""

    waits: Outbox | None = None
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


def held(outbox: Outbox, count: int, size: int = 1) -> tuple[list[Somebody], list[int]]:
    """So many connections whose answers were given to ``outbox``; and the numbers of those that were sent, as they are."""
    sent: list[int] = []
    connections = [Somebody() for _ in range(count)]
    for number, connection in enumerate(connections):
        deliver: Callable[[], None] = lambda number=number: sent.append(number)  # type: ignore[misc]  # noqa: E731
        outbox.send(connection, size, deliver)
    return connections, sent


def test_one_that_is_closed_holds_nothing() -> None:
    """Where nobody opens it, an answer goes at once."""
    (connection,), sent = held(Outbox(), 1)
    assert sent == [0]
    assert connection.waits is None


def test_answers_wait_for_one_another() -> None:
    """While it is open connections wait, and all go in their order when it closes; then none waits any more."""
    outbox = Outbox()
    outbox.is_open = True
    connections, sent = held(outbox, MOST - 1)
    assert sent == []
    assert all(one.waits is outbox for one in connections)
    outbox.close()
    assert sent == list(range(MOST - 1))
    assert not any(one.waits for one in connections)
    assert not outbox.is_open


@pytest.mark.parametrize(("count", "size"), [(MOST, 1), (2, MOST_BYTES - 1)])
def test_no_more_wait_than_that(count: int, size: int) -> None:
    """As many as may wait, or as many bytes, go without waiting for the end; those after them wait anew."""
    outbox = Outbox()
    outbox.is_open = True
    _, sent = held(outbox, count, size)
    assert len(sent) == count
    _, later = held(outbox, 1)
    assert later == []
    outbox.flush()
    assert later == [0]


def test_a_fault_ends_one_connection_and_no_other() -> None:
    """An answer that cannot be sent is the end of its own connection: it must not be taken for one that was not asked for."""
    outbox = Outbox()
    outbox.is_open = True
    first, sent = held(outbox, 1)
    bad = Somebody()

    def fail() -> None:
        raise MemoryError

    outbox.send(bad, 1, fail)
    last, also = held(outbox, 1)
    outbox.close()
    assert (sent, also) == ([0], [0])
    assert [one.aborted for one in (*first, bad, *last)] == [False, True, False]


def test_who_sends_what_waits_sends_all_of_it() -> None:
    """Where one that is sent has another sent, that goes once, and before whoever asked for it goes on."""
    outbox = Outbox()
    outbox.is_open = True
    sent: list[str] = []
    one, two = Somebody(), Somebody()

    def first() -> None:
        sent.append("first begins")
        outbox.flush()
        sent.append("first ends")

    outbox.send(one, 1, first)
    outbox.send(two, 1, lambda: sent.append("second"))
    outbox.close()
    assert sent == ["first begins", "second", "first ends"]


def test_a_reactor_has_one() -> None:
    """Whoever asks first: it is the same one."""
    clock = Clock()
    assert outbox_of(clock) is outbox_of(clock)
    assert outbox_of(clock) is not outbox_of(Clock())


class Clerk(protocol.Protocol):
    """Answers by way of the outbox; ``slow`` is answered by somebody else, who takes his time."""

    factory: Any

    def connectionMade(self) -> None:
        self.factory.made += 1

    def dataReceived(self, data: bytes) -> None:
        outbox, events = outbox_of(self.factory.reactor), self.factory.events
        events.append("asked")
        if data == b"slow":
            outbox.flush()
            events.append("slow")
            return

        def deliver() -> None:
            events.append("sent")
            self.transport.write(data)  # type: ignore[union-attr]

        outbox.send(self.transport, len(data), deliver)  # type: ignore[arg-type]
        if data == b"wait and see":
            events.append(f"idle {self.transport.idle}")  # type: ignore[union-attr]
        if data == b"interrupted":
            self.transport.write(b", and more")  # type: ignore[union-attr]
        if data == b"the last":
            self.transport.loseConnection()  # type: ignore[union-attr]


class Office:
    """A port of ours with a clerk, and ``count`` clients, on a reactor of their own that nobody else turns."""

    def __init__(self, count: int) -> None:
        self.reactor: Any = EPollReactor()
        quicken(self.reactor)
        self.factory: Any = protocol.Factory.forProtocol(Clerk)
        self.factory.reactor = self.reactor
        self.events: list[str] = []
        self.factory.events = self.events
        self.factory.made = 0
        ports: list[Any] = []
        EagerEndpoint(self.reactor, "127.0.0.1", 0).listen(self.factory).addCallback(ports.append)
        self.clients: list[Any] = []
        self.got: list[bytes] = [b""] * count
        office = self

        class Client(protocol.Protocol):
            def connectionMade(self) -> None:
                self.number = len(office.clients)
                office.clients.append(self.transport)

            def dataReceived(self, data: bytes) -> None:
                office.got[self.number] += data

            def connectionLost(self, reason: Any = None) -> None:
                office.got[self.number] += b"|"

        for _ in range(count):
            self.reactor.connectTCP("127.0.0.1", ports[0].getHost().port, protocol.ClientFactory.forProtocol(Client))
        self.turn_until(lambda: len(self.clients) == self.factory.made == count)

    def turn_until(self, done: Callable[[], object]) -> None:
        turn_until(self.reactor, done)

    def ask(self, *texts: bytes) -> None:
        """Have all clients' requests there before the next turn, and take turns until each has been answered."""
        for client, text in zip(self.clients, texts, strict=True):
            client.socket.send(text)
        self.turn_until(lambda: self.events.count("asked") == len(texts))


@pytest.fixture
def office() -> Iterator[Callable[[int], Office]]:
    """Makes one."""
    made: list[Office] = []

    def make(count: int) -> Office:
        made.append(Office(count))
        return made[-1]

    yield make
    for one in made:
        one.reactor.removeAll()


def test_many_are_answered_together(office: Callable[[int], Office]) -> None:
    """Of many requests in one turn all are looked at before the first is answered, and each client gets its own answer."""
    here = office(FEWEST + 2)
    texts = [b"%d" % number for number in range(FEWEST + 2)]
    here.ask(*texts)
    assert here.events == ["asked"] * len(texts) + ["sent"] * len(texts)
    here.turn_until(lambda: here.got == texts)


def test_few_are_answered_one_by_one(office: Callable[[int], Office]) -> None:
    """Where there are few, none waits for another."""
    here = office(FEWEST - 1)
    here.ask(*[b"x"] * (FEWEST - 1))
    assert here.events == ["asked", "sent"] * (FEWEST - 1)


def test_none_waits_for_one_that_takes_its_time(office: Callable[[int], Office]) -> None:
    """Whatever is not answered at once begins after the answers that are ready."""
    here = office(FEWEST)
    here.ask(*[b"quick"] * (FEWEST - 1), b"slow")
    before = here.events[: here.events.index("slow")]
    assert before.count("sent") == before.count("asked") - 1


def test_who_waits_is_not_idle_and_keeps_the_order(office: Callable[[int], Office]) -> None:
    """A connection whose answer waits is not idle; what is written meanwhile comes after it; and who is to close does so after it."""
    here = office(FEWEST)
    here.ask(*[b"x"] * (FEWEST - 3), b"wait and see", b"interrupted", b"the last")
    assert "idle False" in here.events
    wanted = [*[b"x"] * (FEWEST - 3), b"wait and see", b"interrupted, and more", b"the last|"]
    here.turn_until(lambda: here.got == wanted)


def test_who_leaves_meanwhile_is_missed_by_nobody(office: Callable[[int], Office]) -> None:
    """One that resets the connection before its answer goes costs the others nothing."""
    here = office(FEWEST + 1)
    for client in here.clients:
        client.socket.send(b"x")
    here.clients[0].abortConnection()
    here.turn_until(lambda: here.got == [b"|", *[b"x"] * FEWEST])


def test_who_says_all_and_waits_for_the_answer_gets_it(office: Callable[[int], Office]) -> None:
    """In a line a connection is looked at twice in a turn: one that was shut for writing behind its request gets its answer first."""
    here = office(FEWEST)
    for selectable in tuple(here.reactor._selectables.values()):
        if hasattr(selectable, "stand_in_line"):
            assert selectable.stand_in_line("alice")
    for client in here.clients:
        client.socket.send(b"x")
        client.socket.shutdown(socket.SHUT_WR)
    here.turn_until(lambda: here.got == [b"x|"] * FEWEST)


def test_nobody_waits_for_those_in_line(office: Callable[[int], Office]) -> None:
    """The answers to those who stand in no line are sent before anybody in a line is looked at."""
    here = office(FEWEST + 1)
    last = here.clients[-1].getHost().port
    for selectable in tuple(here.reactor._selectables.values()):
        if hasattr(selectable, "stand_in_line") and selectable.client[1] == last:
            assert selectable.stand_in_line("alice")
    here.ask(*[b"x"] * (FEWEST + 1))
    assert here.events == ["asked"] * FEWEST + ["sent"] * FEWEST + ["asked", "sent"]


def test_a_fault_of_the_loop_itself_holds_nobody_up(office: Callable[[int], Office], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no memory to look who else waits, the answers that are ready are sent all the same."""
    here = office(FEWEST)
    for selectable in tuple(here.reactor._selectables.values()):
        if hasattr(selectable, "stand_in_line"):
            assert selectable.stand_in_line("alice")

    def fail(_: Lines) -> bool:
        raise MemoryError

    monkeypatch.setattr(Lines, "_others_wait", fail)
    with pytest.raises(MemoryError):
        here.ask(*[b"x"] * FEWEST)
    assert here.events.count("sent") == here.events.count("asked") > 0
    assert not outbox_of(here.reactor).is_open

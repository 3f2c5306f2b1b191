"""Lines: who asks for much is looked at a few at a time, after everybody else."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor

from alluxio_s3.http.event_loop import quicken
from alluxio_s3.http.lines import AT_ONCE, DRIPPING, MAX_LINES, Lines, stand_in_line, step_out_of_line
from tests.http.test_event_loop import Ends


class Waiting:
    """Connections of users, each with something to be read, watched by an epoll with lines."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.poller = stack.enter_context(select.epoll())
        self.lines = Lines(self.poller)
        self.user_of: dict[int, str] = {}
        self.handed: list[str] = []

    def come(self, user: str, *, in_line: bool = True) -> int:
        """One more; its descriptor."""
        ours, theirs = (self.stack.enter_context(one) for one in socket.socketpair())
        theirs.send(b"x")
        self.lines.register(ours.fileno(), select.EPOLLIN)
        self.user_of[ours.fileno()] = user
        if in_line:
            assert self.lines.enter(ours.fileno(), select.EPOLLIN, user)
        return ours.fileno()

    def hand(self, descriptor: int, event: int) -> None:
        """It is the turn of one, who has been answered then."""
        assert event == select.EPOLLIN
        self.handed.append(self.user_of[descriptor])
        os.read(descriptor, 1)

    def turn(self) -> list[str]:
        """Who is handed out in one turn: those outside of lines first."""
        self.handed = []
        for descriptor, event in self.lines.poll(0, len(self.user_of)):
            self.hand(descriptor, event)
        if self.lines.waiting:
            self.lines.serve(self.hand)
        return self.handed


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    """Nobody yet."""
    with ExitStack() as stack:
        yield Waiting(stack)


def test_who_stands_in_no_line_comes_first(waiting: Waiting) -> None:
    """However many stand in a line, all others are looked at before them."""
    for _ in range(30):
        waiting.come("alice")
    for _ in range(5):
        waiting.come("bob", in_line=False)
    assert waiting.turn()[:5] == ["bob"] * 5


def test_a_line_gives_way(waiting: Waiting) -> None:
    """While a line is served somebody else comes: no more than a few of the line are served before him."""
    for _ in range(30):
        waiting.come("alice")
    served = []

    def hand(descriptor: int, event: int) -> None:
        waiting.hand(descriptor, event)
        served.append(descriptor)
        if len(served) == 1:
            waiting.come("bob", in_line=False)

    waiting.lines.poll(0, 100)
    waiting.lines.serve(hand)
    assert len(served) == AT_ONCE
    assert waiting.turn()[0] == "bob"


def test_lines_take_turns(waiting: Waiting) -> None:
    """Of several lines each has some served before the next few of the same, and all are served in the end."""
    for user in ["alice"] * 30 + ["carol"] * 10:
        waiting.come(user)
    handed = []
    while more := waiting.turn():
        handed += more
    assert sorted(handed[: 2 * AT_ONCE]) == ["alice"] * AT_ONCE + ["carol"] * AT_ONCE
    assert sorted(handed) == ["alice"] * 30 + ["carol"] * 10


def test_watching_goes_on_in_a_line(waiting: Waiting) -> None:
    """Who is not watched for a while, or for something else, stands where he stood; and who had no line is watched as before."""
    one, other = waiting.come("alice"), waiting.come("bob", in_line=False)
    for descriptor in (one, other):
        waiting.lines.unregister(descriptor)
    assert not waiting.turn()
    waiting.lines.register(one, select.EPOLLOUT)
    waiting.lines.modify(one, select.EPOLLIN)
    waiting.lines.register(other, select.EPOLLIN)
    assert waiting.turn() == ["bob", "alice"]


def test_one_can_change_lines(waiting: Waiting) -> None:
    """A connection over which another user asks stands in that user's line; whether it is watched or not."""
    one, other = waiting.come("alice"), waiting.come("alice")
    waiting.lines.unregister(other)
    assert waiting.lines.enter(one, select.EPOLLIN, "bob")
    assert waiting.lines.enter(other, 0, "bob")
    waiting.lines.register(other, select.EPOLLIN)
    assert len(waiting.turn()) == 2


def test_one_can_step_out(waiting: Waiting) -> None:
    """Who steps out of a line is watched as all others are, for what it was, and what it has sent meanwhile is not missed."""
    one, held = waiting.come("alice"), waiting.come("alice")
    waiting.lines.unregister(held)
    assert waiting.lines.step_out(one, select.EPOLLIN)
    assert waiting.lines.step_out(held, 0)
    assert not waiting.lines._lines
    assert waiting.lines.step_out(one, select.EPOLLIN)
    waiting.lines.register(held, select.EPOLLIN)
    assert waiting.lines.poll(0) == [(one, select.EPOLLIN), (held, select.EPOLLIN)]


def test_one_can_step_out_in_its_turn(waiting: Waiting) -> None:
    """The last of a line steps out while the line is served: the others are served, and it is not handed out twice."""
    for _ in range(3):
        waiting.come("alice")

    def hand(descriptor: int, event: int) -> None:
        waiting.hand(descriptor, event)
        assert waiting.lines.step_out(descriptor, select.EPOLLIN)

    waiting.lines.poll(0, 100)
    waiting.lines.serve(hand)
    assert waiting.handed == ["alice"] * 3
    assert not waiting.lines._lines


def test_where_nothing_more_may_be_watched_nobody_steps_out(waiting: Waiting) -> None:
    """Who cannot be watched with all others stays in its line."""
    one = waiting.come("alice")
    waiting.poller.register(one, select.EPOLLIN)  # it will refuse the second time
    assert not waiting.lines.step_out(one, select.EPOLLIN)
    waiting.poller.unregister(one)
    assert waiting.turn() == ["alice"]


def test_who_drips_always_finds_a_line(waiting: Waiting) -> None:
    """However many users have lines, those who send a few bytes at a time have one."""
    for number in range(MAX_LINES):
        waiting.come(f"user {number}")
    one = waiting.come("dripping", in_line=False)
    assert not waiting.lines.enter(one, select.EPOLLIN, "one more")
    assert waiting.lines.enter(one, select.EPOLLIN, DRIPPING)


def test_a_line_ends_with_its_last(waiting: Waiting) -> None:
    """When all of a line have gone, so has the line, and its descriptor; a new connection with an old one's number stands in none."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    sockets = [waiting.come("alice") for _ in range(3)]
    for descriptor in sockets:
        waiting.lines.unregister(descriptor)
        waiting.lines.leave(descriptor)
    waiting.lines.leave(sockets[0])
    assert len(list(Path("/proc/self/fd").iterdir())) == before + 6
    waiting.lines.register(sockets[0], select.EPOLLIN)
    assert waiting.lines.poll(0) == [(sockets[0], select.EPOLLIN)]


def test_without_descriptors_nobody_stands_in_line(waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no descriptor for a line its connections are served as they were."""

    def no_more() -> None:
        raise OSError(24, "Too many open files")

    one = waiting.come("alice", in_line=False)
    monkeypatch.setattr(select, "epoll", no_more)
    assert not waiting.lines.enter(one, select.EPOLLIN, "alice")
    assert waiting.turn() == ["alice"]


def test_where_nothing_more_may_be_watched_nobody_stands_in_line(waiting: Waiting) -> None:
    """A connection that its line cannot watch is watched as before."""
    one, other = waiting.come("alice"), waiting.come("alice", in_line=False)
    waiting.lines._line_of[one].poller.register(other, select.EPOLLIN)  # it will refuse the second time
    assert not waiting.lines.enter(other, select.EPOLLIN, "alice")
    waiting.lines._line_of[one].poller.unregister(other)
    assert waiting.turn() == ["alice", "alice"]


class Short(dict[Any, Any]):
    """A table for which there is no memory to grow."""

    def __setitem__(self, key: Any, value: Any) -> None:
        raise MemoryError


@pytest.mark.parametrize("table", ["_line_of", "_lines", "_by_user"])
def test_without_memory_nobody_stands_in_line(waiting: Waiting, table: str) -> None:
    """Where there is no memory for a line, or for one more in it, a connection is watched as before, can end, and nothing is left."""
    one = waiting.come("alice", in_line=False)
    before = len(list(Path("/proc/self/fd").iterdir()))
    setattr(waiting.lines, table, Short())
    assert not waiting.lines.enter(one, select.EPOLLIN, "alice")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert not waiting.lines._lines
    assert not waiting.lines._by_user
    assert waiting.turn() == ["alice"]
    waiting.lines.unregister(one)
    waiting.lines.leave(one)


def test_a_line_that_can_watch_nobody_ends(waiting: Waiting) -> None:
    """A line whose first connection cannot be watched is none: it keeps no descriptor."""
    one = waiting.come("alice", in_line=False)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert not waiting.lines.enter(waiting.poller.fileno() + 10_000, select.EPOLLIN, "alice")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert waiting.lines.enter(one, select.EPOLLIN, "alice")


def test_connections_live_and_end_in_lines() -> None:
    """A connection in a line is served by the event loop, can be held and released, and its end is told once."""
    reactor = EPollReactor()
    quicken(reactor)
    ends = Ends(reactor)
    ends.clients[0].write(b"one")
    ends.turn_until(lambda: ends.got)
    server = next(one for one in reactor.getReaders() if hasattr(one, "stand_in_line"))
    assert server.stand_in_line("alice")
    server.pauseProducing()
    ends.clients[0].write(b"two")
    reactor.doIteration(0.01)
    server.resumeProducing()
    ends.turn_until(lambda: len(ends.got) == 2)
    ends.clients[0].loseConnection()
    ends.turn_until(lambda: ends.factory.lost)  # type: ignore[attr-defined]
    assert [one.__name__ for one in ends.factory.lost] == ["ConnectionDone"]  # type: ignore[attr-defined]
    assert not reactor._poller._lines  # type: ignore[attr-defined]
    assert not stand_in_line(object(), server.fileno(), "alice")
    assert step_out_of_line(object(), server.fileno())
    reactor.removeAll()

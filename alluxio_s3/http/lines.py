"""Lines: connections of a user who asks for much stand in one, so that the event loop looks at everybody else's before the next few of his.
Those that send a few bytes at a time have one too, whoever they are of.

A line is an epoll of its own inside the event loop's, and so it is the kernel that remembers who waits: what a client has sent stays
unread until its turn, and nothing has to be kept, taken back or begun anew for those who leave meanwhile.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol

from attrs import define, field

# For how long a turn of the event loop serves lines while nobody else wants anything, in seconds, and how many of a line before it looks.
LINES_SECONDS = 0.001
AT_ONCE = 4
# More users than this at a time have no line: their connections stay where they are.
MAX_LINES = 256
# Of whoever sends a few bytes at a time: no user's name.
DRIPPING = None


class Poller(Protocol):
    """What a reactor asks of an epoll."""

    def register(self, descriptor: int, events: int) -> None:
        """Begin to watch."""

    def modify(self, descriptor: int, events: int) -> None:
        """Watch for others."""

    def unregister(self, descriptor: int) -> None:
        """Watch no more."""

    def poll(self, timeout: float = -1, most: int = -1) -> list[tuple[int, int]]:
        """What has happened, waiting up to ``timeout`` seconds (-1: for ever) for something; no more than ``most`` (-1: all)."""


@define(eq=False)
class Line:
    """The connections of ``user``, or those that are ``DRIPPING``, of which there are ``length``."""

    user: str | None
    poller: select.epoll
    length: int = 0
    # The higher, the later it was served.
    served: int = 0


@define
class Lines:
    """An epoll, as a reactor has it, with lines in it: see ``Poller``. ``poll`` tells of those who stand in none."""

    _all: Poller
    # Of connections, and of the lines themselves, by descriptor.
    _line_of: dict[int, Line] = field(factory=dict, init=False)
    _lines: dict[int, Line] = field(factory=dict, init=False)
    _by_user: dict[str | None, Line] = field(factory=dict, init=False)
    waiting: list[Line] = field(factory=list, init=False)
    """The lines in which somebody waits, as ``poll`` has found."""
    _turn: int = field(default=0, init=False)

    def register(self, descriptor: int, events: int) -> None:
        """See ``Poller``."""
        self._of(descriptor).register(descriptor, events)

    def modify(self, descriptor: int, events: int) -> None:
        """See ``Poller``."""
        self._of(descriptor).modify(descriptor, events)

    def unregister(self, descriptor: int) -> None:
        """See ``Poller``."""
        self._of(descriptor).unregister(descriptor)

    def poll(self, timeout: float = -1, most: int = -1) -> list[tuple[int, int]]:
        """See ``Poller``. Lines in which somebody waits are in ``waiting``, for ``serve``."""
        lines = self._lines
        if not lines:
            return self._all.poll(timeout, most)
        found = self._all.poll(timeout, most if most < 0 else most + len(lines))
        self.waiting = [lines[descriptor] for descriptor, _ in found if descriptor in lines]
        return [one for one in found if one[0] not in lines] if self.waiting else found

    def serve(self, hand: Callable[[int, int], None]) -> None:
        """Have ``hand`` called for some of those who wait in lines, some of each in turn, the one that waits longest first.

        It ends as soon as somebody who stands in no line wants something.
        """
        ready, self.waiting = self.waiting, []
        if len(ready) > 1:
            ready.sort(key=_served)
        end = perf_counter() + LINES_SECONDS
        while ready:
            for line in tuple(ready):
                found = () if line.poller.closed else line.poller.poll(0, AT_ONCE)
                if len(found) < AT_ONCE:
                    ready.remove(line)
                self._turn += 1
                line.served = self._turn
                for descriptor, event in found:
                    hand(descriptor, event)
                if perf_counter() >= end or self._others_wait():
                    return

    def enter(self, descriptor: int, events: int, user: str | None) -> bool:
        """Have a connection, which is watched for ``events`` (0: it is not watched), stand in the line of ``user``; whether it does.

        ``user`` is ``DRIPPING`` for the line of those.
        """
        line = self._by_user.get(user) or self._begun(user)
        before = self._line_of.get(descriptor)
        if line is None or line is before:
            return line is not None
        watching = self._of(descriptor)
        line.length += 1
        try:
            self._line_of[descriptor] = line
            if events:
                line.poller.register(descriptor, events)
        except (OSError, MemoryError):  # as below
            self._shorten(line)
            if before is None:
                self._line_of.pop(descriptor, None)
            else:
                self._line_of[descriptor] = before
            return False
        if events:
            watching.unregister(descriptor)
        if before is not None:
            self._shorten(before)
        return True

    def step_out(self, descriptor: int, events: int) -> bool:
        """Have a connection, which is watched for ``events``, stand in no line; whether that is so: the kernel may watch no more."""
        line = self._line_of.get(descriptor)
        if line is None:
            return True
        if events:
            try:
                self._all.register(descriptor, events)
            except (OSError, MemoryError):
                return False
            line.poller.unregister(descriptor)
        self.leave(descriptor)
        return True

    def leave(self, descriptor: int) -> None:
        """A connection, which is not watched any more, ends."""
        line = self._line_of.pop(descriptor, None)
        if line is not None:
            self._shorten(line)

    def _others_wait(self) -> bool:
        lines = self._lines
        return any(descriptor not in lines for descriptor, _ in self._all.poll(0, len(lines) + 1))

    def _of(self, descriptor: int) -> Poller:
        line = self._line_of.get(descriptor)
        return self._all if line is None else line.poller

    def _begun(self, user: str | None) -> Line | None:
        if len(self._lines) >= MAX_LINES and user is not DRIPPING:
            return None
        line = None
        try:
            line = Line(user, select.epoll())
            self._lines[line.poller.fileno()] = self._by_user[user] = line
            self._all.register(line.poller.fileno(), select.EPOLLIN)
        except (OSError, MemoryError):  # no descriptor is left, or nothing more may be watched
            if line is not None:
                self._forget(line)
            return None
        return line

    def _shorten(self, line: Line) -> None:
        line.length -= 1
        if not line.length:
            self._all.unregister(line.poller.fileno())
            self._forget(line)

    def _forget(self, line: Line) -> None:
        self._by_user.pop(line.user, None)
        self._lines.pop(line.poller.fileno(), None)
        line.poller.close()


def _served(line: Line) -> int:
    return line.served


def stand_in_line(reactor: Any, descriptor: int, user: str | None) -> bool:
    """Have a connection of ``reactor``'s stand in the line of ``user``; whether it does: not every reactor has lines."""
    lines = _of_reactor(reactor)
    return lines is not None and lines.enter(descriptor, _watched(reactor, descriptor), user)


def step_out_of_line(reactor: Any, descriptor: int) -> bool:
    """Have a connection of ``reactor``'s stand in no line; whether that is so."""
    lines = _of_reactor(reactor)
    return lines is None or lines.step_out(descriptor, _watched(reactor, descriptor))


def leave_line(reactor: Any, descriptor: int) -> None:
    """A connection of ``reactor``'s, which is not watched any more, ends."""
    lines = _of_reactor(reactor)
    if lines is not None:
        lines.leave(descriptor)


def catch_up(reactor: Any, selectable: Any) -> None:
    """Have a connection of ``reactor``'s read now, if it is to read at all, as if it had been its turn."""
    descriptor = selectable.fileno()
    if _of_reactor(reactor) is not None and descriptor in reactor._reads:  # noqa: SLF001
        reactor._doReadOrWrite(selectable, descriptor, select.EPOLLIN)  # noqa: SLF001


def _of_reactor(reactor: Any) -> Lines | None:
    lines = getattr(reactor, "_poller", None)
    return lines if isinstance(lines, Lines) else None


def _watched(reactor: Any, descriptor: int) -> int:
    reads, writes = reactor._reads, reactor._writes  # noqa: SLF001
    return (descriptor in reads and select.EPOLLIN) | (descriptor in writes and select.EPOLLOUT)

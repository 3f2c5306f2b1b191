"""The turn of Twisted's event loop, for the connections of clients without what they have no use for, with lines, and awake for a moment.

For each event Twisted makes a context that tells its older log whose event it is: a name and two dictionaries. What is logged here
says by itself where it comes from. Whoever stands in a line is served after all others, for a while. It looks into what EPollReactor
keeps to itself (``_poller``, ``_selectables``, ``_doReadOrWrite``), and puts ``Lines`` in the place of the first;
``tests/http/test_event_loop.py`` holds this to Twisted's version.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from time import perf_counter
from typing import Any

from attrs import define, field
from twisted.internet.epollreactor import EPollReactor
from twisted.python import log

from alluxio_s3.http.lines import Lines
from alluxio_s3.http.outbox import FEWEST, Outbox, outbox_of
from alluxio_s3.http.transport import EagerServer

# For how long the loop looks again and again for the next request of a client that asks for one small thing after another, before it
# sleeps: to be woken costs that client more than the request itself.
AWAKE_SECONDS = 0.0001
# After it has looked in vain, how many requests have to come as soon before it does so again: twice as many each time, up to this.
MOST_MISSED = 64


def quicken(reactor: object) -> None:
    """Have ``reactor`` take such turns, if it is one of those that poll by epoll. Any other stays as it is."""
    if type(reactor) is EPollReactor:
        lines = Lines(reactor._poller)  # noqa: SLF001
        reactor._poller = lines  # noqa: SLF001
        reactor.doIteration = _Loop(reactor, lines, Wakefulness(lines), outbox_of(reactor)).turn  # type: ignore[method-assign]


@define
class Wakefulness:
    """Polls ``lines``, and stays awake for the next event while that pays.

    Where a client is on the same machine, or a rack away, its next request comes sooner than a sleeping processor wakes up.
    """

    _lines: Lines
    _now: Callable[[], float] = perf_counter
    # How many events are to come soon before it is worth to look for the next one; and for how many it will be when that was in vain.
    _misses: int = field(default=0, init=False)
    _penalty: int = field(default=1, init=False)

    def poll(self, timeout: float, most: int, *, hopeful: bool) -> list[tuple[int, int]]:
        """What has happened, or happens within ``timeout`` seconds (-1: whenever); see ``Lines``. ``hopeful``: more may come soon."""
        if not hopeful or not timeout:
            return self._lines.poll(timeout, most)
        lines, begun = self._lines, self._now()
        if self._misses:
            found = lines.poll(timeout, most)
            if self._now() - begun < AWAKE_SECONDS:
                self._misses -= 1
            return found
        until = begun + (min(timeout, AWAKE_SECONDS) if timeout > 0 else AWAKE_SECONDS)
        while True:
            found = lines.poll(0, most)
            if found or lines.waiting:
                self._penalty = 1
                return found
            if self._now() >= until:
                break
        self._misses = self._penalty
        self._penalty = min(self._penalty * 2, MOST_MISSED)
        return lines.poll(timeout, most)


@define(eq=False)
class _Loop:
    """What is done in the turns of ``reactor``."""

    _reactor: Any
    _lines: Lines
    _wakefulness: Wakefulness
    _outbox: Outbox
    # Whether the last turn was one request, which was answered at once.
    _hopeful: bool = field(default=False, init=False)

    def turn(self, timeout: float | None) -> None:
        """Wait ``timeout`` seconds for events (None: until there are some), and hand each to whom it is for."""
        most = len(self._reactor._selectables)  # noqa: SLF001
        found = self._wakefulness.poll(-1 if timeout is None else timeout, most, hopeful=self._hopeful)
        self._hopeful = False
        outbox = self._outbox
        outbox.is_open = len(found) >= FEWEST
        try:
            self._serve(found)
        finally:
            outbox.close()

    def _serve(self, found: list[tuple[int, int]]) -> None:
        selectables, outbox = self._reactor._selectables, self._outbox  # noqa: SLF001
        read_or_write = self._reactor._doReadOrWrite  # noqa: SLF001
        for descriptor, event in found:
            selectable = selectables.get(descriptor)
            if isinstance(selectable, EagerServer):
                try:
                    if event != select.EPOLLIN:
                        outbox.flush()
                    read_or_write(selectable, descriptor, event)
                except Exception:  # noqa: BLE001  # even its end has failed; others go on
                    log.err()
                else:
                    self._hopeful = event == select.EPOLLIN and len(found) == 1 and not selectable.unanswered
            elif selectable is not None:
                outbox.flush()
                log.callWithLogger(selectable, read_or_write, selectable, descriptor, event)
        if self._lines.waiting:
            outbox.flush()  # nobody waits for those who stand in line
            outbox.is_open = any(line.length >= FEWEST for line in self._lines.waiting)
            self._lines.serve(self._hand)

    def _hand(self, descriptor: int, event: int) -> None:
        """Hand an event to the connection that it is for."""
        selectable = self._reactor._selectables.get(descriptor)  # noqa: SLF001
        if selectable is not None:
            try:
                if event != select.EPOLLIN:
                    self._outbox.flush()
                self._reactor._doReadOrWrite(selectable, descriptor, event)  # noqa: SLF001
            except Exception:  # noqa: BLE001  # as above
                log.err()

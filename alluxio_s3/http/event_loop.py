"""The turn of Twisted's event loop, for the connections of clients without what they have no use for, and with lines.

For each event Twisted makes a context that tells its older log whose event it is: a name and two dictionaries. What is logged here
says by itself where it comes from. Whoever stands in a line is served after all others, for a while. It looks into what EPollReactor
keeps to itself (``_poller``, ``_selectables``, ``_doReadOrWrite``), and puts ``Lines`` in the place of the first;
``tests/http/test_event_loop.py`` holds this to Twisted's version.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.python import log

from alluxio_s3.http.lines import Lines
from alluxio_s3.http.transport import EagerServer


def quicken(reactor: object) -> None:
    """Have ``reactor`` take such turns, if it is one of those that poll by epoll. Any other stays as it is."""
    if type(reactor) is EPollReactor:
        lines = Lines(reactor._poller)  # noqa: SLF001
        reactor._poller = lines  # noqa: SLF001
        reactor.doIteration = partial(_turn, reactor, lines, partial(_hand, reactor))  # type: ignore[method-assign]


def _turn(reactor: Any, lines: Lines, hand: Any, timeout: float | None) -> None:
    """Wait ``timeout`` seconds for events (None: until there are some), and hand each to whom it is for."""
    selectables = reactor._selectables  # noqa: SLF001
    read_or_write = reactor._doReadOrWrite  # noqa: SLF001
    for descriptor, event in lines.poll(-1 if timeout is None else timeout, len(selectables)):
        selectable = selectables.get(descriptor)
        if isinstance(selectable, EagerServer):
            try:
                read_or_write(selectable, descriptor, event)
            except Exception:  # noqa: BLE001  # even its end has failed; others go on
                log.err()
        elif selectable is not None:
            log.callWithLogger(selectable, read_or_write, selectable, descriptor, event)
    if lines.waiting:
        lines.serve(hand)


def _hand(reactor: Any, descriptor: int, event: int) -> None:
    """Hand an event to the connection that it is for."""
    selectable = reactor._selectables.get(descriptor)  # noqa: SLF001
    if selectable is not None:
        try:
            reactor._doReadOrWrite(selectable, descriptor, event)  # noqa: SLF001
        except Exception:  # noqa: BLE001  # as above
            log.err()

"""The turn of Twisted's event loop, for the connections of clients without what they have no use for.

For each event Twisted makes a context that tells its older log whose event it is: a name and two dictionaries. What is logged here
says by itself where it comes from. It looks into what EPollReactor keeps to itself (``_poller``, ``_selectables``, ``_doReadOrWrite``);
``tests/http/test_event_loop.py`` holds this to Twisted's version.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.python import log

from alluxio_s3.http.transport import EagerServer


def quicken(reactor: object) -> None:
    """Have ``reactor`` take such turns, if it is one of those that poll by epoll. Any other stays as it is."""
    if type(reactor) is EPollReactor:
        reactor.doIteration = partial(_turn, reactor)  # type: ignore[method-assign]


def _turn(reactor: Any, timeout: float | None) -> None:
    """Wait ``timeout`` seconds for events (None: until there are some), and hand each to whom it is for."""
    selectables = reactor._selectables  # noqa: SLF001
    read_or_write = reactor._doReadOrWrite  # noqa: SLF001
    for descriptor, event in reactor._poller.poll(-1 if timeout is None else timeout, len(selectables)):  # noqa: SLF001
        selectable = selectables.get(descriptor)
        if isinstance(selectable, EagerServer):
            try:
                read_or_write(selectable, descriptor, event)
            except Exception:  # noqa: BLE001  # even its end has failed; others go on
                log.err()
        elif selectable is not None:
            log.callWithLogger(selectable, read_or_write, selectable, descriptor, event)

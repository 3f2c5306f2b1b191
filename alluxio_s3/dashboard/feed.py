"""The live feed: a point each second for everybody who looks, by server-sent events (https://html.spec.whatwg.org/#server-sent-events)."""

from __future__ import annotations

import json
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.web.http import Request
from zope.interface import implementer

from alluxio_s3.dashboard.points import Readings, point
from alluxio_s3.ops.admin import Witness

EVERY_SECONDS = 1.0
# What latency and hits are told of, in points.
WINDOW = 10
# What is told of the past to who begins to look, in points.
HISTORY = 300
# Nobody needs more windows on it; each is a connection.
MOST_LISTENERS = 64


class Feed:
    """Takes a point from ``witness`` each second while somebody listens."""

    _log = Logger()

    def __init__(self, witness: Witness, clock: IReactorTime) -> None:
        self._witness = witness
        self._clock = clock
        self._listeners: set[Listener] = set()
        self._past: deque[Readings] = deque(maxlen=WINDOW + 1)
        self._points: deque[dict[str, Any]] = deque(maxlen=HISTORY)
        self._looking = LoopingCall(self._looked)
        self._looking.clock = clock

    @property
    def full(self) -> bool:
        """Whether no more can listen."""
        return len(self._listeners) >= MOST_LISTENERS

    async def listen(self, request: Request) -> None:
        """Answer ``request`` with points until its client leaves."""
        request.setHeader(b"content-type", b"text/event-stream; charset=utf-8")
        request.setHeader(b"cache-control", b"no-store")
        listener = Listener(request)
        gone: Deferred[Any] = request.notifyFinish()
        listener.tell("past", list(self._points))
        self._listeners.add(listener)
        self._begin()
        try:
            with suppress(CancelledError, ConnectionLost, ConnectionDone):
                await gone
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._looking.running:
                self._looking.stop()

    def _begin(self) -> None:
        if self._looking.running:
            return
        if self._past and self._clock.seconds() - self._past[-1].at > WINDOW * EVERY_SECONDS:
            self._past.clear()  # what was between is no second
        _ = self._looking.start(EVERY_SECONDS)

    def _looked(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._look()).addErrback(partial(self._log.failure, "No point for the dashboard"))

    async def _look(self) -> None:
        snapshot = await self._witness.snapshot()
        reasons = await self._witness.reasons()
        now = Readings.of(self._clock.seconds(), snapshot)
        if self._past:
            latest = {**point(now, self._past[-1], self._past[0]), "reasons": dict(reasons), "warnings": dict(self._witness.warnings())}
            self._points.append(latest)
            for listener in tuple(self._listeners):
                listener.tell("point", latest)
        self._past.append(now)


@implementer(IPushProducer)
class Listener:
    """Somebody who listens. One that takes nothing misses points, and is no burden."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._paused = False
        request.registerProducer(self, True)

    def tell(self, event: str, value: object) -> None:
        """Send an event, unless its client takes nothing."""
        if not self._paused:
            self._request.write(f"event: {event}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode())

    def pauseProducing(self) -> None:
        """See IPushProducer."""
        self._paused = True

    def resumeProducing(self) -> None:
        """See IPushProducer."""
        self._paused = False

    def stopProducing(self) -> None:
        """See IPushProducer."""
        self._paused = True

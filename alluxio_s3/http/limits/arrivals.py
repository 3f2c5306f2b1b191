"""Clients that take too long to say what they want: heads of requests that do not end, bodies that trickle."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

from alluxio_s3.http.limits.gate import Gate
from alluxio_s3.http.rounds import Rounds
from alluxio_s3.s3.errors import S3Error

if TYPE_CHECKING:
    from alluxio_s3.http.body import RequestBody
    from alluxio_s3.http.channel import S3Channel

# How often it looks, in seconds: nothing ends earlier than the limits say, nor much later.
EVERY = 0.5


class Arrivals:
    """What is on its way in: looks at it now and then, and refuses what takes too long."""

    def __init__(self, gate: Gate, clock: IReactorTime) -> None:
        self._gate = gate
        self._clock = clock
        # Since when each head is on its way, the oldest first.
        self._heads: dict[S3Channel, float] = {}
        # Since when each body has been looked at, and what had come of it.
        self._bodies: dict[RequestBody, tuple[float, int]] = {}
        self._rounds = Rounds(self.look, EVERY, clock, "slow clients")

    def start(self) -> None:
        """Begin to look."""
        self._rounds.start()

    def stop(self) -> None:
        """Look no more."""
        self._rounds.stop()

    def head_begins(self, channel: S3Channel) -> None:
        """Part of a head has come; perhaps not the first."""
        self._heads.setdefault(channel, self._clock.seconds())

    def head_ends(self, channel: S3Channel) -> None:
        """The whole head has come, or its client has gone."""
        self._heads.pop(channel, None)

    def body_begins(self, body: RequestBody) -> None:
        """A body will come."""
        self._bodies[body] = (self._clock.seconds(), 0)

    def body_ends(self, body: RequestBody) -> None:
        """No more of it will."""
        self._bodies.pop(body, None)

    def look(self) -> None:
        """One round."""
        now, limits = self._clock.seconds(), self._gate.limits
        late = takewhile(lambda one: now - one[1] >= limits.head_seconds, self._heads.items())
        for channel, since in tuple(late) if limits.head_seconds else ():
            channel.catch_up()
            if self._heads.get(channel) == since:
                del self._heads[channel]
                self._gate.count("head")
                channel.refuse(S3Error("RequestTimeout"))
        for body, (since, before) in tuple(self._bodies.items()) if limits.body_rate and limits.body_seconds else ():
            if not body.awaited:
                # Whoever should read it is the slower one.
                self._bodies[body] = (now, body.received)
            elif now - since >= limits.body_seconds:
                body.catch_up()
                if body not in self._bodies:
                    continue
                self._bodies[body] = (now, body.received)
                if body.received - before < limits.body_rate * (now - since):
                    self._gate.count("body")
                    body.fail(S3Error("RequestTimeout"))

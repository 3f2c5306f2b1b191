"""Turns: when several users ask for more than there is time for, each waits for his own requests, and not for those of the others.

The event loop answers whoever is ready in the order in which the kernel names them, so a user with hundreds of connections would
have nearly all of its time. Here whoever has had a share of a moment waits; those who wait are served in turn, a few each time
that the loop goes round. As long as one user asks, nobody waits. To wait here costs a request as much again as to be answered, so
the connection of one that has waited stands in its user's line from then on (``http.lines``), where waiting costs nothing.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from alluxio_s3.threads import surely

# What is a moment, in seconds; how many requests of a user it has room for; and for how long a user counts as asking.
MOMENT = 0.001
SHARE = 4
ACTIVE_SECONDS = 10.0


class Turns:
    """Whose turn it is. ``clock`` is the reactor's."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._now = clock.seconds
        # The last who asked, and when somebody else did last.
        self._user = ""
        self._asked_at = float("-inf")
        self._other_at = float("-inf")
        self._moment = 0.0
        self._had: dict[str, int] = {}
        self._queues: dict[str, deque[Deferred[None]]] = {}
        self._call: IDelayedCall | None = None
        self._granting = False

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._queues.values()))

    @property
    def shared(self) -> bool:
        """Whether several users ask for something at present."""
        return self._now() - self._other_at <= ACTIVE_SECONDS

    def must_wait(self, user: str, line: str | None = None) -> bool:
        """A request of ``user`` is here, which has waited in the line of ``line`` (None: in none): whether it has to ``wait``.

        To be asked once for each.
        """
        now = self._now()
        if user != self._user:
            self._other_at = self._asked_at
            self._user = user
        self._asked_at = now
        if self._granting:
            self._granting = False  # what comes on the same connection after it has had no turn
            return False
        if line == user or (now - self._other_at > ACTIVE_SECONDS and not self._queues):
            return False
        if user in self._queues:
            return True
        if not 0 <= now - self._moment < MOMENT:
            self._moment = now
            self._had.clear()
        had = self._had[user] = self._had.get(user, 0) + 1
        return had > SHARE

    async def wait(self, user: str) -> None:
        """Return when it is the turn of ``user``."""
        turn: Deferred[None] = Deferred(lambda _: None)
        self._queues.setdefault(user, deque()).append(turn)
        if self._call is None:
            self._call_again()
        await turn

    def _call_again(self) -> None:
        self._call = self._clock.callLater(0, self._go_round)

    def _go_round(self) -> None:
        """Serve one of each user, as often as there is room for."""
        self._call = None
        left = SHARE
        try:
            while self._queues and left > 0:
                for user in tuple(self._queues):
                    queue = self._queues[user]
                    turn = queue[0]
                    if not turn.called:
                        left -= 1
                        self._grant(turn)
                    _ = queue.popleft()
                    if not queue:
                        del self._queues[user]
        finally:  # there may have been no memory for one of them
            if self._queues and self._call is None:
                surely(self._call_again)

    def _grant(self, turn: Deferred[None]) -> None:
        self._granting = True
        try:
            turn.callback(None)
        finally:
            self._granting = False

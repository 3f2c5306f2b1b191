"""Rates: how many requests, and how many bytes, in a second. Requests over theirs are refused, bytes wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater

# How much of a second's bytes may go at once.
SLICE_SECONDS = 0.05
LEAST_SLICE_BYTES = 4 << 10
# More users than this are not remembered: those that have been quiet go first.
MAX_USERS = 10_000


@define
class Bucket:
    """``rate`` a second, and a second's worth at once after a pause. ``now`` is in seconds, and may jump."""

    rate: float
    _left: float = field(init=False)
    _at: float = field(default=float("-inf"), init=False)

    def __attrs_post_init__(self) -> None:
        self._left = self.rate

    def has(self, amount: float, now: float) -> bool:
        """Whether so much may be taken."""
        passed, self._at = now - self._at, now
        if passed > 0:
            self._left = min(self.rate, self._left + passed * self.rate)
        return self._left >= amount

    def take(self, amount: float, now: float) -> float:
        """Take it, there or not: for how many seconds nothing more should be taken."""
        self.has(amount, now)
        self._left -= amount
        return max(0.0, -self._left / self.rate)


class Users:
    """A bucket for each user; all of ``rate``, and anew when that changes."""

    def __init__(self) -> None:
        self._rate = 0.0
        self._found: dict[str, Bucket] = {}

    def of(self, user: str, rate: float) -> Bucket:
        """The user's."""
        if rate != self._rate:
            self._rate = rate
            self._found.clear()
        found = self._found.pop(user, None)
        if found is None:
            found = Bucket(rate)
            while len(self._found) >= MAX_USERS:
                del self._found[next(iter(self._found))]
        self._found[user] = found  # the one that was asked for last is last
        return found


class Pace:
    """How fast the bytes of one transfer go: as the slowest of ``buckets`` lets them."""

    def __init__(self, clock: IReactorTime, buckets: Sequence[Bucket]) -> None:
        self._clock = clock
        self._buckets = buckets
        self.slice_bytes = max(LEAST_SLICE_BYTES, int(min(bucket.rate for bucket in buckets) * SLICE_SECONDS))

    def spend(self, count: int) -> float:
        """So many bytes go: how many seconds there are to wait before the next."""
        now = self._clock.seconds()
        return max([bucket.take(count, now) for bucket in self._buckets])

    def later(self, seconds: float, call: Callable[[], None]) -> IDelayedCall:
        """Have ``call`` called in so many seconds."""
        return self._clock.callLater(seconds, call)

    async def wait(self, count: int) -> None:
        """``spend``, and return when the next may go."""
        seconds = self.spend(count)
        if seconds:
            await deferLater(self._clock, seconds)

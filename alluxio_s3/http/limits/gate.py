"""The gate: which requests are let in, and how fast their bytes may go."""

from __future__ import annotations

from attrs import define
from twisted.internet.interfaces import IReactorTime

from alluxio_s3.http.limits.fairness import Turns
from alluxio_s3.http.limits.rates import Bucket, Pace, Users
from alluxio_s3.http.limits.values import ClientLimits
from alluxio_s3.interfaces import IMetrics
from alluxio_s3.memory import Headroom
from alluxio_s3.s3.errors import S3Error

# What a body takes of memory at most: what waits unread, and what is on its way to a store.
BODY_BYTES = 512 << 10
# From here on nobody gets more than a fair share of the requests under way.
CROWDED = 0.9
# How many more there may be than the limit, for those that have less than their share.
RESERVE = 0.1
# RFC 9110, 10.2.3: in seconds.
RETRY_AFTER = "1"


@define(eq=False)
class Stay:
    """A request's time behind the gate; ``Gate.leave`` ends it."""

    user: str | None = None
    memory: int = 0


class Gate:
    """What clients take of the daemon at present, and who is refused. One for all connections; for the reactor's thread.

    ``limits`` is what they may take. Requests count from the time that their sender is known to the end of the answer.
    """

    def __init__(self, clock: IReactorTime, limits: ClientLimits | None = None, metrics: IMetrics | None = None) -> None:
        self.limits = ClientLimits() if limits is None else limits
        self.turns = Turns(clock)
        self.requests = 0
        self.memory = 0
        self._clock = clock
        self._by_user: dict[str, int] = {}
        self._request_rates = Users()
        self._byte_rates = Users()
        self._reads = Bucket(1)
        self._headroom = Headroom()
        self._refused = None
        if metrics is not None:
            self._refused = metrics.counters(
                "alluxio_s3_refused_total",
                "What clients were refused, or lost, because they would have taken more than a limit.",
                ("limit",),
            )
            metrics.gauge("alluxio_s3_body_memory_bytes", "Memory that is set apart for bodies of requests.", lambda: self.memory)
            metrics.gauge("alluxio_s3_requests_waiting", "Requests that wait for those of other users.", lambda: self.turns.waiting)

    def count(self, limit: str) -> None:
        """Somebody was refused because of ``limit``."""
        if self._refused is not None:
            self._refused(limit).add()

    def refuse(self, limit: str) -> S3Error:
        """The same, and what to answer."""
        self.count(limit)
        return S3Error("SlowDown", headers={"Retry-After": RETRY_AFTER})

    def enter(self, stay: Stay, user: str, length: int | None) -> None:
        """Let in a request of ``user`` with so long a body (None: nobody knows). Raises S3Error SlowDown."""
        limits = self.limits
        if limits.user_requests and self._over_rate(user, limits.user_requests):
            raise self.refuse("user_requests")
        if limits.requests and self.requests >= limits.requests * CROWDED and self._over_share(user, limits.requests):
            raise self.refuse("requests")
        memory = BODY_BYTES if length is None else min(length, BODY_BYTES)
        if memory and limits.body_memory and self.memory + memory > limits.body_memory:
            raise self.refuse("body_memory")
        if self._headroom.is_short(self.memory + memory):
            raise self.refuse("memory")
        self.let_in(stay, user, memory)

    def let_in(self, stay: Stay, user: str, memory: int = 0) -> None:
        """Let in a request, whatever the limits say: one that ``passes``, and whose answer does not go at once after all."""
        stay.user, stay.memory = user, memory
        self.requests += 1
        self.memory += memory
        self._by_user[user] = self._by_user.get(user, 0) + 1

    def leave(self, stay: Stay) -> None:
        """It is over; so is one that never came in."""
        user = stay.user
        if user is None:
            return
        stay.user = None
        self.requests -= 1
        self.memory -= stay.memory
        left = self._by_user[user] - 1
        if left:
            self._by_user[user] = left
        else:
            del self._by_user[user]

    def passes(self, user: str) -> bool:
        """Whether a request that is answered at once may be: if not, ``enter`` says why. One that is has to be told of (``passed``)."""
        limits = self.limits
        if limits.requests and self.requests >= limits.requests * CROWDED:
            return False
        if limits.user_requests and not self._request_rates.of(user, limits.user_requests).has(1, self._clock.seconds()):
            return False
        # Bytes that have to wait cannot be given at once.
        return not (limits.read_bytes or limits.user_bytes or limits.connection_read_bytes)

    def passed(self, user: str) -> None:
        """A request of ``user`` has been answered at once."""
        if self.limits.user_requests:
            self._request_rates.of(user, self.limits.user_requests).take(1, self._clock.seconds())

    def reading(self, user: str) -> Pace | None:
        """The pace of an answer to ``user``; None: any."""
        limits = self.limits
        buckets = []
        if limits.read_bytes:
            if self._reads.rate != limits.read_bytes:
                self._reads = Bucket(limits.read_bytes)
            buckets.append(self._reads)
        if limits.user_bytes:
            buckets.append(self._byte_rates.of(user, limits.user_bytes))
        if limits.connection_read_bytes:
            buckets.append(Bucket(limits.connection_read_bytes))
        return Pace(self._clock, buckets) if buckets else None

    def writing(self, user: str) -> Pace | None:
        """The pace of a body from ``user``; None: any."""
        rate = self.limits.user_bytes
        return Pace(self._clock, [self._byte_rates.of(user, rate)]) if rate else None

    def _over_rate(self, user: str, rate: int) -> bool:
        bucket, now = self._request_rates.of(user, rate), self._clock.seconds()
        if not bucket.has(1, now):
            return True
        bucket.take(1, now)
        return False

    def _over_share(self, user: str, most: int) -> bool:
        mine = self._by_user.get(user, 0)
        users = len(self._by_user) + (not mine)
        if mine >= most / users:
            return True
        return self.requests >= most + max(1, int(most * RESERVE)) if users > 1 else self.requests >= most

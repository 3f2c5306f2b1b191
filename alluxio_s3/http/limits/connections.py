"""The connections of the clients, and how many there may be: for a new one the oldest that is idle is closed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

from alluxio_s3.http.limits.gate import Gate

if TYPE_CHECKING:
    from alluxio_s3.http.channel import S3Channel

# Those for which there is no room are told so when they ask, within this time; if there are more of them than this, they are not.
FAREWELL_SECONDS = 1.0
MAX_FAREWELLS = 64
# Where nothing was idle, nothing will be for a while: to look costs time.
LOOK_SECONDS = 0.1


class Connections:
    """Those that are open."""

    def __init__(self, gate: Gate, clock: IReactorTime) -> None:
        self._gate = gate
        self._clock = clock
        self._all: dict[S3Channel, None] = {}
        self._secure = 0
        self._by_address: dict[str, int] = {}
        # Those that were idle when it was last looked, oldest first, of each kind for which there was no room.
        self._idle: dict[tuple[str, str], deque[tuple[int, S3Channel]]] = {}
        # When nothing was.
        self._looked_at = float("-inf")
        self._farewells = 0

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, channel: object) -> bool:
        return channel in self._all

    def __iter__(self) -> Iterator[S3Channel]:
        return iter(self._all)

    def add(self, channel: S3Channel) -> None:
        """A client has come. Another may have to go, or this one."""
        self._all[channel] = None
        self._secure += channel.secure
        peer = channel.peer
        self._by_address[peer] = self._by_address.get(peer, 0) + 1
        limits = self._gate.limits
        if limits.connections and len(self._all) > limits.connections:
            self._make_room("connections", "", channel, lambda _: True)
        elif channel.secure and limits.tls_connections and self._secure > limits.tls_connections:
            self._make_room("tls_connections", "", channel, lambda one: one.secure)
        elif peer and limits.address_connections and self._by_address[peer] > limits.address_connections:
            self._make_room("address_connections", peer, channel, lambda one: one.peer == peer)

    def discard(self, channel: S3Channel) -> None:
        """The client has gone, or is about to."""
        if channel not in self._all:
            return
        del self._all[channel]
        self._secure -= channel.secure
        left = self._by_address[channel.peer] - 1
        if left:
            self._by_address[channel.peer] = left
        else:
            del self._by_address[channel.peer]

    def _make_room(self, limit: str, peer: str, channel: S3Channel, counts: Callable[[S3Channel], bool]) -> None:
        self._gate.count(limit)
        oldest = self._oldest_idle((limit, peer), counts, channel)
        if oldest is not None:
            self.discard(oldest)
            oldest.close_idle()
            return
        self._farewells += 1
        if self._farewells > MAX_FAREWELLS:
            self._farewells -= 1
            channel.transport.abortConnection()
            return
        channel.turn_away()
        self._clock.callLater(FAREWELL_SECONDS, self._dismiss, channel)

    def _dismiss(self, channel: S3Channel) -> None:
        self._farewells -= 1
        if channel in self._all:
            channel.transport.abortConnection()

    def _oldest_idle(self, kind: tuple[str, str], counts: Callable[[S3Channel], bool], new: S3Channel) -> S3Channel | None:
        found = self._still_idle(kind)
        now = self._clock.seconds()
        if found is None and not 0 <= now - self._looked_at < LOOK_SECONDS:
            idle = [(one.seen, one) for one in self._all if one is not new and counts(one) and one.idle]
            self._idle[kind] = deque(sorted(idle, key=lambda entry: entry[0]))
            found = self._still_idle(kind)
            if found is None:
                self._looked_at = now
        return found

    def _still_idle(self, kind: tuple[str, str]) -> S3Channel | None:
        waiting = self._idle.get(kind)
        while waiting:
            seen, channel = waiting.popleft()
            if channel in self._all and channel.seen == seen and channel.idle:
                return channel
        self._idle.pop(kind, None)
        return None

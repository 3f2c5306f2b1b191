"""The end of a service: notice, no new connections, what is under way ends or is cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater
from twisted.logger import Logger

from alluxio_s3.http.site import S3Site
from alluxio_s3.interfaces import IMetrics

POLL_SECONDS = 0.05
# How long what was cut may take to let go of what it holds.
CUT_SECONDS = 2.0


@define(eq=False)
class Drain:
    """Of ``sites``, the first of which is that of clients; ``in_flight`` counts the requests that have no connection to look at."""

    sites: Sequence[S3Site]
    in_flight: Callable[[], int]
    reactor: Any
    _hurried: bool = field(default=False, init=False)
    _log = Logger()

    @property
    def busy(self) -> int:
        """How many requests are under way."""
        return max(self.in_flight(), sum(site.busy for site in self.sites))

    def measure(self, metrics: IMetrics) -> None:
        """See ``IMeasured``."""
        metrics.gauge("alluxio_s3_requests_in_flight", "Requests under way.", lambda: self.busy)
        metrics.gauge("alluxio_s3_connections", "Connections that are open.", lambda: len(self.sites[0].connections))

    def hurry(self) -> None:
        """End it, if it has begun."""
        self._hurried = True

    async def notice(self, seconds: float) -> None:
        """Serve on, each connection one request more, while whoever balances the load sees that this one is not ready."""
        clients = self.sites[0]
        clients.keep_alive = clients.keep_alive and not seconds
        await self._wait(seconds, lambda: True)

    async def end(self, ports: Sequence[IListeningPort], seconds: float) -> None:
        """Take no more connections, let requests end for so long, then cut them."""
        await DeferredList([Deferred.fromCoroutine(stop_listening(port)) for port in ports])
        for site in self.sites:
            site.end()
        await self._wait(seconds, lambda: bool(self.busy))
        if self.busy:
            self._log.warn("{count} requests are cut: the drain limit is over", count=self.busy)
            for site in self.sites:
                site.cut()
            self._hurried = False
            await self._wait(CUT_SECONDS, lambda: bool(self.busy))

    async def _wait(self, seconds: float, holds: Callable[[], bool]) -> None:
        """Return when it does not hold any more, when there is a hurry, or after so long."""
        deadline = self.reactor.seconds() + seconds
        while holds() and not self._hurried and self.reactor.seconds() < deadline:
            await deferLater(self.reactor, POLL_SECONDS)


async def stop_listening(port: IListeningPort) -> None:
    """Return when the port is closed."""
    stopped = port.stopListening()
    if stopped is not None:
        await stopped

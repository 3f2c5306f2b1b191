"""The figures of a process that nothing in it counts: how long its event loop keeps others waiting, what it takes of the machine."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from alluxio_s3.clocks import wall_clock
from alluxio_s3.interfaces import IMetrics

EVERY_SECONDS = 1.0
LAGS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Vitals:
    """Keeps these figures in ``metrics`` while it runs. ``monotonic`` tells seconds, for the lag, whatever becomes of the clock.

    ``also`` is called each second.
    """

    def __init__(
        self, metrics: IMetrics, clock: IReactorTime, monotonic: Callable[[], float], also: Callable[[], None] = lambda: None
    ) -> None:
        self._also = also
        self._clock = clock
        self._monotonic = monotonic
        self._due = 0.0
        self._call: IDelayedCall | None = None
        self._lag = metrics.histogram(
            "alluxio_s3_loop_lag_seconds", "How much later than asked for the event loop got to a timer, tried every second.", LAGS
        )
        self._processor = metrics.counters("alluxio_s3_processor_seconds_total", "Processor time, by where it went.", ("mode",))
        metrics.gauge("alluxio_s3_resident_bytes", "Memory.", _resident_bytes)
        metrics.gauge("alluxio_s3_open_files", "Descriptors that are open.", lambda: sum(1 for _ in Path("/proc/self/fd").iterdir()))
        metrics.gauge("alluxio_s3_processes", "Processes that serve.", lambda: 1)
        metrics.counter(
            "alluxio_s3_starts_total", "Processes that were started to serve, the first ones and those in place of others."
        ).add()
        started = wall_clock(clock).seconds()
        metrics.levels(
            "alluxio_s3_started_timestamp_seconds",
            "When the process was started, in seconds since 1970; of several, the one that was last.",
            lambda: {(): started},
            (),
        )
        self._used = (0.0, 0.0)

    def start(self) -> None:
        """Begin."""
        self._schedule()

    def stop(self) -> None:
        """End."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def look(self) -> None:
        """Bring up to date what is not looked at when it is asked for."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._processor("user").add(max(0.0, usage.ru_utime - self._used[0]))
        self._processor("system").add(max(0.0, usage.ru_stime - self._used[1]))
        self._used = (usage.ru_utime, usage.ru_stime)

    def _schedule(self) -> None:
        self._due = self._monotonic() + EVERY_SECONDS
        self._call = self._clock.callLater(EVERY_SECONDS, self._tick)

    def _tick(self) -> None:
        self._lag.observe(max(0.0, self._monotonic() - self._due))
        self.look()
        self._also()
        self._schedule()


def _resident_bytes() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()

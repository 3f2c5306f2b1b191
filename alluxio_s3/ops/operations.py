"""What one process knows of itself: its figures and its health."""

from __future__ import annotations

import time
from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime

from alluxio_s3.ops.clock_watch import ClockWatch
from alluxio_s3.ops.health import Health
from alluxio_s3.ops.metrics import Metrics, Snapshot
from alluxio_s3.ops.vitals import Vitals

# In seconds.
TELL_EVERY = 10


class Operations:
    """A ``Witness`` of this process. ``metrics`` and ``health`` are for whoever has something to tell."""

    def __init__(self, clock: IReactorTime) -> None:
        self.metrics = Metrics()
        self.health = Health(clock)
        self._vitals = Vitals(self.metrics, clock, time.monotonic, self._look)
        self._watch = ClockWatch(self.metrics, time.time, time.monotonic)
        self.health.warn_of("clock", self._watch.trouble)
        self._looks = 0
        self.metrics.levels(
            "alluxio_s3_warnings", "1 for what an operator should look at: `/ready` says why.", self.health.levels, ("about",)
        )

    def start(self) -> None:
        """Begin to look."""
        self._vitals.start()

    def stop(self) -> None:
        """End."""
        self._vitals.stop()

    async def snapshot(self) -> Snapshot:
        """Every figure."""
        self._vitals.look()
        return self.metrics.snapshot()

    def warnings(self) -> Mapping[str, str]:
        """As ``Health.warnings``."""
        return self.health.warnings()

    def _look(self) -> None:
        self._watch.look()
        if self._looks % TELL_EVERY == 0:
            self.health.tell()
        self._looks += 1

    async def reasons(self) -> Mapping[str, str]:
        """As ``Health.reasons``."""
        return await self.health.reasons()

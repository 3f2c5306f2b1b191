"""What one process knows of itself: its figures and its health."""

from __future__ import annotations

import time
from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime

from alluxio_s3.ops.health import Health
from alluxio_s3.ops.metrics import Metrics, Snapshot
from alluxio_s3.ops.vitals import Vitals


class Operations:
    """A ``Witness`` of this process. ``metrics`` and ``health`` are for whoever has something to tell."""

    def __init__(self, clock: IReactorTime) -> None:
        self.metrics = Metrics()
        self.health = Health(clock)
        self._vitals = Vitals(self.metrics, clock, time.monotonic)

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

    async def reasons(self) -> Mapping[str, str]:
        """As ``Health.reasons``."""
        return await self.health.reasons()

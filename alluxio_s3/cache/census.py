"""What is counted of the cache as a whole: how full its directories are, what became of pages, and what is on its way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from alluxio_s3.cache.fills import Fills
from alluxio_s3.cache.stats import PlaceStats
from alluxio_s3.interfaces import IMetrics, ITally


@frozen
class Census:
    """The figures of ``fills`` and of its page store, in ``metrics``. ``look`` takes over what was counted in threads."""

    metrics: IMetrics
    fills: Fills
    _told: dict[tuple[str, str], int] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        fills, metrics = self.fills, self.metrics
        metrics.gauge("alluxio_s3_cache_pages_in_flight", "Pages that are on their way to the cache.", lambda: fills.flying)
        metrics.gauge("alluxio_s3_cache_flight_bytes", "Memory for pages that are on their way.", lambda: fills.budget.taken)
        metrics.levels("alluxio_s3_cache_used_bytes", "Disk that pages take.", self._of(lambda one: one.stored), ("directory",))
        metrics.levels("alluxio_s3_cache_size_bytes", "Disk that pages may take.", self._of(lambda one: one.size), ("directory",))
        metrics.levels("alluxio_s3_cache_pages", "Pages that are kept.", self._of(lambda one: one.pages), ("directory",))
        metrics.levels(
            "alluxio_s3_cache_directory_disabled",
            "1 for a directory of the cache that a process does without, because of its disk or of the index.",
            self._of(lambda one: not one.on),
            ("directory",),
        )

    def look(self) -> None:
        """Count what has happened since the last look."""
        keeping = self.fills.keeping
        kept = self.metrics.counters(
            "alluxio_s3_cache_pages_written_total",
            "Pages that came whole: `kept`, or given up since the disk was slower than the store (`shed`).",
            ("result",),
        )
        evictions = self.metrics.counters("alluxio_s3_cache_evictions_total", "Pages that made room for others.", ("directory",))
        damaged = self.metrics.counters(
            "alluxio_s3_cache_damaged_pages_total", "Pages that were found damaged, or gone, and are fetched again.", ("directory",)
        )
        self._add(("kept", ""), kept("kept"), keeping.kept)
        self._add(("shed", ""), kept("shed"), keeping.shed)
        for one in self.fills.store.stats().places:
            self._add(("evicted", one.path), evictions(one.path), one.evicted)
            self._add(("damaged", one.path), damaged(one.path), one.damaged)

    def _add(self, which: tuple[str, str], tally: ITally, now: int) -> None:
        # An index that is begun anew counts anew.
        tally.add(max(0, now - self._told.get(which, 0)))
        self._told[which] = now

    def _of(self, read: Callable[[PlaceStats], Any]) -> Callable[[], Mapping[tuple[str, ...], float]]:
        return lambda: {(one.path,): float(read(one)) for one in self.fills.store.stats().places}

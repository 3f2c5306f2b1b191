"""What the panels show of a second: rates, ratios and quantiles, from the figures before and after it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import log
from typing import Any
from urllib.parse import unquote

from attrs import field, frozen

from alluxio_s3.ops.hot_keys import HALF_LIFE_SECONDS
from alluxio_s3.ops.hot_keys import NAME as HOT_KEYS
from alluxio_s3.ops.metrics import COUNTER, HISTOGRAM, Figures, Labels, Snapshot

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
HOT_SHOWN = 12
# Reads through the cache whose bytes were there.
_HITS = frozenset({"hit", "validated"})
_CLUSTER = "alluxio_s3_cluster_"
_REDIRECTS = "alluxio_s3_redirects_total"
_REQUESTS, _ERRORS = "alluxio_s3_requests_total", "alluxio_s3_errors_total"
_RECEIVED, _SENT = "alluxio_s3_received_bytes_total", "alluxio_s3_sent_bytes_total"
_DURATION, _FIRST_BYTE = "alluxio_s3_request_duration_seconds", "alluxio_s3_first_byte_seconds"
_READS, _FILLS, _FILLED = "alluxio_s3_cache_reads_total", "alluxio_s3_cache_fills_total", "alluxio_s3_cache_fill_bytes_total"
_UFS_CALLS = "alluxio_s3_ufs_calls_total"


@frozen
class Readings:
    """The figures of a moment, found by name. ``at`` is in seconds."""

    at: float
    _families: Mapping[str, Figures] = field(alias="families")

    @classmethod
    def of(cls, at: float, snapshot: Snapshot) -> Readings:
        """``snapshot``, taken at ``at``."""
        return cls(at, {one.name: one for one in snapshot})

    def has(self, name: str) -> bool:
        """Whether there is such a metric."""
        return name in self._families

    def family(self, name: str) -> Figures | None:
        """The metric of that name."""
        return self._families.get(name)

    def names(self, prefix: str) -> Iterator[str]:
        """The metrics whose names begin with ``prefix``."""
        return (name for name in self._families if name.startswith(prefix))

    def by(self, name: str, *labels: str) -> dict[Labels, float]:
        """The sums of a counter or gauge by some of its labels; all of it as ``()`` without any. Empty if there is no such metric."""
        family = self._families.get(name)
        if family is None:
            return {}
        chosen = [family.labels.index(label) for label in labels if label in family.labels]
        found: dict[Labels, float] = {}
        for sample in family.samples:
            key = tuple(sample.labels[index] for index in chosen)
            found[key] = found.get(key, 0.0) + sample.values[0]
        return found

    def total(self, name: str) -> float:
        """The sum of a counter or gauge."""
        return self.by(name).get((), 0.0)

    def spread(self, name: str) -> tuple[Sequence[float], Sequence[float]]:
        """The bounds of a histogram, and how many there were in each bucket, over all labels."""
        family = self._families.get(name)
        if family is None or not family.samples:
            return (), ()
        return family.bounds, [sum(counts) for counts in zip(*(sample.values[:-1] for sample in family.samples), strict=True)]


def quantile(bounds: Sequence[float], counts: Sequence[float], share: float) -> float | None:
    """Below what ``share`` of the values lie, as near as buckets tell (linear within one, as PromQL's histogram_quantile).

    None if there are no values. What lies above all bounds counts as the last of them.
    """
    total = sum(counts)
    if total <= 0:
        return None
    rank, seen, lower = share * total, 0.0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count and seen + count >= rank:
            return lower + (bound - lower) * (rank - seen) / count
        seen += count
        lower = bound
    return lower


def point(now: Readings, before: Readings, earlier: Readings) -> dict[str, Any]:
    """What there is to show of the time between ``before`` and ``now``, for JSON.

    Rates are per second. What a second is too short for (latency, hits) is of the time since ``earlier``.
    """
    seconds = max(now.at - before.at, 1e-3)
    found: dict[str, Any] = {
        "at": round(now.at, 1),
        "in": _rate(now, before, _RECEIVED, seconds),
        "out": _rate(now, before, _SENT, seconds),
        "requests": _rates(now, before, _REQUESTS, "action", seconds),
        "failing": _rates(now, before, _ERRORS, "code", seconds),
        "errors": {code: int(count) for (code,), count in now.by(_ERRORS, "code").items()},
        "duration": _quantiles(now, earlier, _DURATION),
        "first_byte": _quantiles(now, earlier, _FIRST_BYTE),
        "hot": _hot(now),
        "process": {
            "in_flight": now.total("alluxio_s3_requests_in_flight"),
            "connections": now.total("alluxio_s3_connections"),
            "processes": now.total("alluxio_s3_processes"),
            "memory": now.total("alluxio_s3_resident_bytes"),
            "processor": _rate(now, before, "alluxio_s3_processor_seconds_total", seconds),
            "lag": quantile(*_grown(now, earlier, "alluxio_s3_loop_lag_seconds"), 0.99),
        },
        "stores": _stores(now, before, seconds),
    }
    if now.has("alluxio_s3_cache_used_bytes") or now.has(_READS):
        found["cache"] = _cache(now, before, earlier, seconds)
    cluster = _cluster(now)
    if cluster:
        found["cluster"] = cluster
    if now.has(_REDIRECTS):
        found["redirects"] = _decisions(now, before, seconds)
    return found


def _rate(now: Readings, before: Readings, name: str, seconds: float) -> float:
    # A process that was killed took its last second with it.
    return round(max(0.0, now.total(name) - before.total(name)) / seconds, 3)


def _rates(now: Readings, before: Readings, name: str, label: str, seconds: float) -> dict[str, float]:
    old = before.by(name, label)
    grown = {key[0]: (value - old.get(key, 0.0)) / seconds for key, value in now.by(name, label).items() if key}
    return {key: round(rate, 3) for key, rate in sorted(grown.items(), key=lambda one: -one[1]) if rate > 0}


def _grown(now: Readings, before: Readings, name: str) -> tuple[Sequence[float], Sequence[float]]:
    bounds, counts = now.spread(name)
    _, old = before.spread(name)
    return bounds, [max(0.0, count - was) for count, was in zip(counts, old or [0.0] * len(counts), strict=True)]


def _quantiles(now: Readings, before: Readings, name: str) -> dict[str, float | None]:
    bounds, counts = _grown(now, before, name)
    return {title: quantile(bounds, counts, share) for title, share in QUANTILES.items()}


def _hot(now: Readings) -> list[dict[str, Any]]:
    family = now.family(HOT_KEYS)
    per_second = log(2) / HALF_LIFE_SECONDS
    found: list[dict[str, Any]] = [
        {"key": unquote(one.labels[0].removeprefix("/")), "rate": one.values[0] * per_second, "bytes": one.values[1] * per_second}
        for one in (family.samples if family is not None else ())
    ]
    return sorted(found, key=lambda one: -one["rate"])[:HOT_SHOWN]


def _cache(now: Readings, before: Readings, earlier: Readings, seconds: float) -> dict[str, Any]:
    return {
        "hits": _hit_ratio(now, earlier),
        "fills": _rate(now, before, _FILLS, seconds),
        "filled": _rate(now, before, _FILLED, seconds),
        "pages_in_flight": now.total("alluxio_s3_cache_pages_in_flight"),
        "flight_bytes": now.total("alluxio_s3_cache_flight_bytes"),
        "evictions": _rate(now, before, "alluxio_s3_cache_evictions_total", seconds),
        "used": now.total("alluxio_s3_cache_used_bytes"),
        "size": now.total("alluxio_s3_cache_size_bytes"),
        "pages": now.total("alluxio_s3_cache_pages"),
        "results": {
            key[0]: int(value - earlier.by(_READS, "result").get(key, 0.0)) for key, value in now.by(_READS, "result").items() if key
        },
    }


def _hit_ratio(now: Readings, earlier: Readings) -> dict[str, float | None]:
    """The share of reads that were hits: of each mount, and of all together, which is ``""``. None where nothing was read."""
    old = earlier.by(_READS, "mount", "result")
    hits: dict[str, float] = {"": 0.0}
    reads: dict[str, float] = {"": 0.0}
    for key, value in now.by(_READS, "mount", "result").items():
        if len(key) != 2:
            continue
        mount, result = key
        count = max(0.0, value - old.get(key, 0.0))
        for of in ("", mount):
            reads[of] = reads.get(of, 0.0) + count
            hits[of] = hits.get(of, 0.0) + (count if result in _HITS else 0.0)
    return {mount: hits[mount] / count if count else None for mount, count in reads.items()}


def _stores(now: Readings, before: Readings, seconds: float) -> dict[str, Any]:
    """What is asked of under-stores, by mount."""
    calls = _rates(now, before, _UFS_CALLS, "mount", seconds)
    read = _rates(now, before, "alluxio_s3_ufs_read_bytes_total", "mount", seconds)
    written = _rates(now, before, "alluxio_s3_ufs_written_bytes_total", "mount", seconds)
    mounts = {key[0] for key in now.by(_UFS_CALLS, "mount") if key}
    return {one: {"calls": calls.get(one, 0.0), "read": read.get(one, 0.0), "written": written.get(one, 0.0)} for one in sorted(mounts)}


def _decisions(now: Readings, before: Readings, seconds: float) -> list[dict[str, Any]]:
    """What was done about reads of what others own, why, and how often; the most frequent first."""
    old = before.by(_REDIRECTS, "decision", "reason")
    found = [
        {"decision": key[0], "reason": key[1], "rate": round(max(0.0, value - old.get(key, 0.0)) / seconds, 3), "total": int(value)}
        for key, value in now.by(_REDIRECTS, "decision", "reason").items()
        if len(key) == 2
    ]
    return sorted(found, key=lambda one: -one["total"])


def _cluster(now: Readings) -> list[dict[str, Any]]:
    """Every figure of the ring and its members, whatever there is."""
    found: list[dict[str, Any]] = []
    for name in sorted(now.names(_CLUSTER)):
        family = now.family(name)
        assert family is not None
        if family.kind != HISTOGRAM:
            found += [
                {
                    "name": name.removeprefix(_CLUSTER).removesuffix("_total"),
                    "meaning": family.meaning,
                    "labels": dict(zip(family.labels, one.labels, strict=True)),
                    "value": one.values[0],
                    "counter": family.kind == COUNTER,
                }
                for one in family.samples
            ]
    return found

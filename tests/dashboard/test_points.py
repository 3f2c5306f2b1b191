"""What the panels are made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alluxio_s3.dashboard.points import Readings, point, quantile
from alluxio_s3.ops.hot_keys import NAME as HOT_KEYS
from alluxio_s3.ops.metrics import COUNTER, GAUGE, HISTOGRAM, RANKING, Figures, Sample, Snapshot


def counter(name: str, labels: tuple[str, ...], values: dict[tuple[str, ...], float], kind: str = COUNTER) -> Figures:
    return Figures(name, kind, "", labels, tuple(Sample(of, (value,)) for of, value in values.items()))


def between(before: Snapshot, after: Snapshot, seconds: float = 2.0):
    first = Readings.of(100.0, before)
    return point(Readings.of(100.0 + seconds, after), first, first)


def requests(gets: float, puts: float) -> Figures:
    return counter("alluxio_s3_requests_total", ("action", "status"), {("GetObject", "2xx"): gets, ("PutObject", "5xx"): puts})


def test_rates_are_per_second() -> None:
    """Counters become rates, by what a panel shows them by, the greatest first; what stood still is not told."""
    found = between((requests(10, 1),), (requests(30, 1),))
    assert found["requests"] == {"GetObject": 10.0}
    found = between((requests(10, 1),), (requests(12, 9),))
    assert list(found["requests"].items()) == [("PutObject", 4.0), ("GetObject", 1.0)]


def test_a_process_that_died_makes_no_negative_rate() -> None:
    """Sums that went down, since a process took its last second with it, are no rate at all."""
    sent = [(counter("alluxio_s3_sent_bytes_total", ("action",), {("GetObject",): value}),) for value in (100.0, 40.0)]
    assert between(*sent)["out"] == 0


def test_errors_are_told_by_code() -> None:
    """Errors are told since the start and as a rate, by S3's code."""
    before, after = ((counter("alluxio_s3_errors_total", ("code",), {("NoSuchKey",): value}),) for value in (3.0, 7.0))
    found = between(before, after)
    assert found["errors"] == {"NoSuchKey": 7}
    assert found["failing"] == {"NoSuchKey": 2.0}


def test_latency_is_that_of_the_window() -> None:
    """Quantiles are of what came since the window began, over all actions."""

    def spread(*counts: int) -> Snapshot:
        return (Figures("alluxio_s3_first_byte_seconds", HISTOGRAM, "", ("action",), (Sample(("A",), (*counts, 0.0)),), (0.1, 0.2)),)

    found = between(spread(1000, 0, 0), spread(1000, 10, 0))
    assert found["first_byte"]["p50"] == pytest.approx(0.15)
    assert between(spread(1, 1, 1), spread(1, 1, 1))["first_byte"]["p50"] is None
    assert found["duration"]["p99"] is None


def test_hits_are_by_mount_and_of_all() -> None:
    """The hit ratio is that of reads whose bytes were the cache's; a mount nobody read has none. Without a cache there is no such panel."""

    def reads(hits: float, misses: float) -> Snapshot:
        name = "alluxio_s3_cache_reads_total"
        values = {("/a", "hit"): hits, ("/a", "validated"): hits, ("/a", "uri-miss"): misses, ("/b", "hit"): 5.0}
        return (counter(name, ("mount", "result"), values),)

    assert between(reads(0, 0), reads(3, 2))["cache"]["hits"] == {"": 0.75, "/a": 0.75, "/b": None}
    assert "cache" not in between((), ())


def test_hot_keys_are_decoded() -> None:
    """Keys are told as they are, not as a target escapes them."""
    figures = Figures(HOT_KEYS, RANKING, "", ("target",), (Sample(("/b/a%20key/%C3%A9",), (10.0, 100.0)),))
    assert between((), (figures,))["hot"][0]["key"] == "b/a key/é"


def test_a_cluster_shows_when_there_is_one() -> None:
    """Figures of the ring, its members and redirects are told if there are any, whatever they are called."""
    assert not {"cluster", "redirects"} & set(between((), ()))
    members = counter("alluxio_s3_cluster_members", ("state",), {("live",): 3.0}, GAUGE)
    why = ("proxy", "client")
    redirects = [counter("alluxio_s3_redirects_total", ("decision", "reason"), {why: value}) for value in (2.0, 6.0)]
    found = between((redirects[0],), (members, redirects[1]))
    assert found["cluster"] == [{"name": "members", "meaning": "", "labels": {"state": "live"}, "value": 3.0, "counter": False}]
    assert found["redirects"] == [{"decision": "proxy", "reason": "client", "rate": 2.0, "total": 6}]


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4), st.floats(0, 1), st.floats(0, 1))
def test_quantiles_ascend_within_the_bounds(counts: list[int], one: float, other: float) -> None:
    """A greater share is never below a smaller one, and none is beyond the last bound."""
    low, high = sorted((one, other))
    bounds = (0.1, 1.0, 10.0)
    found = [quantile(bounds, counts, share) for share in (low, high)]
    if not sum(counts):
        assert found == [None, None]
    else:
        assert 0 <= found[0] <= found[1] <= 10.0

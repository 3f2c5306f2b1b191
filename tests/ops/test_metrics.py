"""Figures: counted in plain numbers, added up over processes, rendered for Prometheus."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from pytest import approx, raises
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from alluxio_s3.interfaces import IMetrics, ISpread, ITally
from alluxio_s3.ops.access_log import Account
from alluxio_s3.ops.exposition import render
from alluxio_s3.ops.ledger import Ledger
from alluxio_s3.ops.metrics import Metrics
from alluxio_s3.ops.totals import from_json, lasting, merged, to_json
from alluxio_s3.ops.vitals import EVERY_SECONDS, Vitals


class Accounts(list[Account]):
    """An access log, kept."""

    def record(self, account: Account) -> None:
        self.append(account)

    def close(self) -> None:
        self.clear()


def account(**more) -> Account:
    return Account("ID", "GET", "/b/k", "127.0.0.1", **{"action": "GetObject", "status": 200, **more})


def shown(snapshot) -> dict[str, float]:
    """Every sample by its name and labels, as Prometheus reads it."""
    text = render(snapshot, "")[0].decode()
    samples = [sample for family in parse(text) for sample in family.samples]
    return {one.name + "".join(f",{name}={value}" for name, value in sorted(one.labels.items())): one.value for one in samples}


def test_what_is_made_keeps_its_interface() -> None:
    """Metrics and what they give out are what the interfaces say."""
    metrics = Metrics()
    assert verifyObject(IMetrics, metrics)
    assert verifyObject(ITally, metrics.counter("a_total", "A."))
    assert verifyObject(ISpread, metrics.histogram("b", "B.", (1.0,)))


def test_requests_are_accounted_for_once() -> None:
    """One record is a line of the access log, a request by action and class of status, its bytes, its duration and its error."""
    metrics, accounts = Metrics(), Accounts()
    ledger = Ledger(accounts, metrics)
    ledger.record(account(bytes_out=100, seconds=0.003, waited=0.002))
    ledger.record(account(status=206, bytes_out=50, seconds=0.02))
    ledger.record(account(action="PutObject", status=507, bytes_in=7, error="InsufficientStorage"))
    ledger.record(account(status=0, error="ClientGone"))
    found = shown(metrics.snapshot())
    assert len(accounts) == 4
    assert found["alluxio_s3_requests_total,action=GetObject,status=2xx"] == 2
    assert found["alluxio_s3_requests_total,action=GetObject,status=-"] == 1
    assert found["alluxio_s3_requests_total,action=PutObject,status=5xx"] == 1
    assert found["alluxio_s3_errors_total,code=InsufficientStorage"] == 1
    assert found["alluxio_s3_sent_bytes_total,action=GetObject"] == 150
    assert found["alluxio_s3_received_bytes_total,action=PutObject"] == 7
    assert found["alluxio_s3_request_duration_seconds_bucket,action=GetObject,le=0.005"] == 2
    assert found["alluxio_s3_request_duration_seconds_count,action=GetObject"] == 3
    assert found["alluxio_s3_request_duration_seconds_sum,action=GetObject"] == approx(0.023)
    assert found["alluxio_s3_first_byte_seconds_count,action=GetObject"] == 2, "an answer that never began has no first byte"
    ledger.close()
    assert accounts == []


def test_a_name_has_one_meaning() -> None:
    """To ask for a figure again gives the same one; with other labels, bounds or as another kind it is refused."""
    metrics = Metrics()
    metrics.counter("a_total", "A.").add(2)
    metrics.counter("a_total", "A.").add()
    assert shown(metrics.snapshot())["a_total"] == 3
    metrics.histogram("b", "B.", (1, 2))
    for again in (
        lambda: metrics.counters("a_total", "A.", ("x",)),
        lambda: metrics.gauge("a_total", "A.", lambda: 0),
        lambda: metrics.histogram("b", "B.", (1, 3)),
        lambda: metrics.histogram("a_total", "A.", (1,)),
        lambda: metrics.histogram("c", "C.", (2, 1)),
        lambda: metrics.counters("d_total", "D.", ("x",))("1", "2"),
    ):
        with raises(ValueError):
            again()


def test_a_gauge_is_read_when_it_is_asked_for() -> None:
    """It tells what is so at that moment."""
    metrics, values = Metrics(), [1.0]
    metrics.gauge("g", "G.", lambda: values[0])
    values[0] = 5.0
    assert shown(metrics.snapshot())["g"] == 5.0


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", 'ü\n"\\']), st.integers(0, 10**12)), max_size=4))
def test_processes_add_up(processes: list[dict[str, int]]) -> None:
    """The sum over processes is that of what each counted, whatever their labels, after a way as text as well."""
    snapshots = []
    for counted in processes:
        metrics = Metrics()
        family = metrics.counters("c_total", "C.", ("label",))
        spread = metrics.histogram("h", "H.", (1, 10))
        for label, value in counted.items():
            family(label).add(value)
            spread.observe(value)
        snapshots.append(from_json(to_json(metrics.snapshot())))
    total = merged(snapshots)
    samples = {sample.labels[0]: sample.values[0] for one in total if one.name == "c_total" for sample in one.samples}
    assert samples == {
        label: sum(counted.get(label, 0) for counted in processes) for label in {name for counted in processes for name in counted}
    }
    if processes:
        assert shown(total)["h_count"] == sum(map(len, processes))
        assert len(list(parse_openmetrics(render(total, "application/openmetrics-text; version=1.0.0")[0].decode()))) == 3


def test_what_processes_share_is_not_added_up() -> None:
    """Of a figure of what several processes share the greatest counts, and none of a process that has ended."""
    snapshots = []
    for used in (3, 5):
        metrics = Metrics()
        metrics.levels("used_bytes", "U.", lambda used=used: {("/a",): used, (f"/{used}",): 1}, ("directory",))  # type: ignore[misc]
        snapshots.append(from_json(to_json(metrics.snapshot())))
    found = shown(merged(snapshots))
    assert found == {**found, "used_bytes,directory=/a": 5, "used_bytes,directory=/3": 1, "used_bytes,directory=/5": 1}
    assert lasting(snapshots[0]) == ()


def test_what_was_counted_outlives_its_process() -> None:
    """Of a process that has ended the counters and histograms stay, and what was so at the moment does not."""
    metrics = Metrics()
    metrics.counter("c_total", "C.").add()
    metrics.gauge("g", "G.", lambda: 7)
    metrics.histogram("h", "H.", (1,)).observe(2)
    assert {one.name for one in lasting(metrics.snapshot())} == {"c_total", "h"}


def test_the_lag_of_the_loop_is_seen() -> None:
    """A loop that was held up for half a second shows so, whatever the clock on the wall does; the timer ends with ``stop``."""
    metrics, clock, now = Metrics(), Clock(), [0.0]
    vitals = Vitals(metrics, clock, lambda: now[0])
    vitals.start()
    now[0] += EVERY_SECONDS + 0.5
    clock.advance(EVERY_SECONDS)
    clock.advance(EVERY_SECONDS)  # a jump of the clock: no time has passed
    found = shown(metrics.snapshot())
    assert found["alluxio_s3_loop_lag_seconds_count"] == 2
    assert found["alluxio_s3_loop_lag_seconds_sum"] == approx(0.5)
    assert found["alluxio_s3_resident_bytes"] > 1e6
    assert found["alluxio_s3_processor_seconds_total,mode=user"] > 0
    vitals.stop()
    assert clock.getDelayedCalls() == []

"""Where every request is accounted for, once: the access log, and the figures."""

from __future__ import annotations

import time
from bisect import bisect_left

from attrs import frozen

from alluxio_s3.ops.access_log import AccessLog, Account
from alluxio_s3.ops.hot_keys import HotKeys
from alluxio_s3.ops.metrics import Metrics, Spread, Tally

# From what a hot object takes to what a large one takes, in seconds.
DURATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


@frozen
class _Row:
    """What one kind of request adds to."""

    requests: Tally
    received: Tally
    sent: Tally
    duration: Spread
    wait: Spread


class Ledger:
    """An access log that keeps figures as well: see ``AccessLog``. An account costs the figures about a microsecond."""

    def __init__(self, access_log: AccessLog, metrics: Metrics) -> None:
        self._access_log = access_log
        self._hot = HotKeys(time.monotonic)
        metrics.ranking(self._hot.figures)
        self._rows: dict[tuple[str, int], _Row] = {}
        self._requests = metrics.counters(
            "alluxio_s3_requests_total", "Requests that ended, by action and class of status (`-` if none was sent).", ("action", "status")
        )
        self._errors = metrics.counters(
            "alluxio_s3_errors_total", "Requests that failed, by S3's code for it; `ClientGone` when it was the client who left.", ("code",)
        )
        self._received = metrics.counters("alluxio_s3_received_bytes_total", "Bytes of the bodies of requests.", ("action",))
        self._sent = metrics.counters("alluxio_s3_sent_bytes_total", "Bytes of the bodies of answers.", ("action",))
        self._durations = metrics.histograms(
            "alluxio_s3_request_duration_seconds", "From the head of a request to the last byte of its answer.", DURATIONS, ("action",)
        )
        self._waits = metrics.histograms(
            "alluxio_s3_first_byte_seconds", "From the head of a request to the first byte of its answer.", DURATIONS, ("action",)
        )

    def record(self, account: Account) -> None:
        """See ``AccessLog``."""
        self._access_log.record(account)
        kind = (account.action, account.status)
        row = self._rows.get(kind)
        if row is None:
            row = self._rows[kind] = self._row(*kind)
        row.requests.value += 1
        row.received.value += account.bytes_in
        row.sent.value += account.bytes_out
        row.duration.counts[bisect_left(DURATIONS, account.seconds)] += 1
        row.duration.total += account.seconds
        if account.status:
            row.wait.counts[bisect_left(DURATIONS, account.waited)] += 1
            row.wait.total += account.waited
        if account.error != "-":
            self._errors(account.error).value += 1
        elif account.status < 400:
            self._hot.see(account.raw_target, account.bytes_in + account.bytes_out)

    def reopen(self) -> None:
        """See ``AccessLog``."""
        self._access_log.reopen()

    def close(self) -> None:
        """See ``AccessLog``."""
        self._access_log.close()

    def _row(self, action: str, status: int) -> _Row:
        return _Row(
            self._requests(action, f"{status // 100}xx" if status else "-"),
            self._received(action),
            self._sent(action),
            self._durations(action),
            self._waits(action),
        )

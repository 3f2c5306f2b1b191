"""What was measured, in Markdown: medians over the rounds, and ratios between servers within each round."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from statistics import median

from attrs import field, frozen

from benchmarks.http.cases import Case, Goal
from benchmarks.http.load import Sample
from benchmarks.http.picture import Bars
from benchmarks.http.uploads import NO_MD5, Md5

OURS, NGINX, RCLONE = "alluxio-s3", "nginx", "rclone"
NOTHING = ""

_MEASURE = {"request": "per request", "GiB": "per GiB"}


@frozen
class Result:
    """A case's samples, by server and in the order of the rounds. Of uploads, ``hashed`` is what MD5 did by itself in each round, if the
    daemon takes it, and ``memory`` that of the daemon before and after all, in bytes.
    """

    case: Case
    samples: dict[str, list[Sample]] = field(factory=dict)
    hashed: list[Md5] = field(factory=list)
    memory: list[int] = field(factory=list)

    def middle(self, server: str, of: Callable[[Sample], float]) -> float:
        """The median of what ``of`` sees in a server's samples."""
        return median(map(of, self.samples[server]))

    def ratio(self, server: str, of: Callable[[Sample], float], ours: str = OURS) -> float | None:
        """The median of ``ours`` to ``server`` in the same round; None if one of them was not measured."""
        if not {server, ours} <= self.samples.keys():
            return None
        return median(of(one) / of(other) for one, other in zip(self.samples[ours], self.samples[server], strict=True) if of(other))

    @property
    def of_md5(self) -> float | None:
        """The median ratio of this daemon's rate to MD5's, if MD5 was measured."""
        if not self.hashed:
            return None
        return median(ours.rate / md5.rate for ours, md5 in zip(self.samples[OURS], self.hashed, strict=True))


def rates(results: list[Result]) -> str:
    """How fast: rates, or times where those matter."""
    rows = []
    for one in results:
        shown = _rate if not one.case.timed else _times
        of = _time_of if one.case.timed else _rate_of
        servers = [shown(one, server) if server in one.samples else NOTHING for server in (NGINX, OURS, RCLONE)]
        ratios = [_number(one.ratio(server, of)) for server in (NGINX, RCLONE)]
        rows.append([one.case.title, servers[0], servers[1], ratios[0], servers[2], ratios[1], "; ".join(_verdicts(one))])
    return _table(["", "nginx", "this daemon", "of nginx", "rclone", "of rclone", "asked"], rows)


def processor(results: list[Result]) -> str:
    """What it costs the server's core."""
    rows = []
    for one in results:
        servers = [_cost(one, server) if server in one.samples else NOTHING for server in (NGINX, OURS, RCLONE)]
        ratios = [_number(one.ratio(server, _processor_of)) for server in (NGINX, RCLONE)]
        rows.append([one.case.title, _MEASURE[one.case.unit], servers[0], servers[1], ratios[0], servers[2], ratios[1]])
    return _table(["", "processor time", "nginx", "this daemon", "of nginx", "rclone", "of rclone"], rows)


def besides(results: list[Result]) -> str:
    """What uploads cost but for the hash, and whether memory grows."""
    rows = []
    for one in results:
        if one.memory:
            rest = [sample.processor - md5.processor for sample, md5 in zip_longest(one.samples[OURS], one.hashed, fillvalue=NO_MD5)]
            ratio = median(ours / other.processor for ours, other in zip(rest, one.samples[NGINX], strict=True))
            took = f"{median(md5.processor for md5 in one.hashed):.2f} s" if one.hashed else NOTHING
            before, after = (f"{size >> 20} MiB" for size in one.memory)
            rows.append([one.case.title, took, f"{median(rest):.2f} s", _cost(one, NGINX), _number(ratio), f"{before}, {after}"])
    return _table(["per GiB", "MD5 alone", "this daemon but for MD5", "nginx", "of nginx", "daemon's memory before, after"], rows)


def speeds(results: list[Result]) -> list[Bars]:
    """What there is to draw: the cases that all servers took, a shorter time being a higher speed."""
    drawn = []
    for one in results:
        of = _time_of if one.case.timed else _rate_of
        ours, rclone = one.ratio(NGINX, of), one.ratio(NGINX, of, RCLONE)
        if ours and rclone:
            drawn.append(Bars(one.case.title, 1 / ours, 1 / rclone) if one.case.timed else Bars(one.case.title, ours, rclone))
    return drawn


def line(result: Result) -> str:
    """One case in short, for whoever waits."""
    shown = _times if result.case.timed else _rate
    return f"{result.case.title}: " + "; ".join(f"{server} {shown(result, server)}, {_cost(result, server)}" for server in result.samples)


def _verdicts(result: Result) -> Iterator[str]:
    goal = result.case.goal
    for wanted, found, at_least, words in _measured(goal, result):
        if wanted is not None and found is not None:
            met = found >= wanted if at_least else found <= wanted
            yield f"{'at least' if at_least else 'at most'} {words}: {'yes' if met else '**no**'}"


def _measured(goal: Goal, result: Result) -> list[tuple[float | None, float | None, bool, str]]:
    md5 = result.of_md5
    rate, p99 = result.middle(OURS, _rate_of), result.middle(OURS, lambda sample: sample.p99)
    return [
        (goal.of_nginx, result.ratio(NGINX, _rate_of), True, f"{goal.of_nginx} of nginx"),
        (goal.of_rclone, result.ratio(RCLONE, _rate_of), True, f"{goal.of_rclone} times rclone"),
        (goal.of_md5, md5, True, f"{goal.of_md5} of MD5 alone, is {_number(md5)}"),
        (goal.rate, rate, True, f"{goal.rate or 0:,.0f}/s"),
        (goal.time_of_nginx, result.ratio(NGINX, _time_of), False, f"{goal.time_of_nginx} of nginx's time"),
        (goal.p99, p99, False, f"{(goal.p99 or 0) * 1000:.0f} ms for the 99th percentile"),
        (goal.processor_of_nginx, result.ratio(NGINX, _processor_of), False, f"{goal.processor_of_nginx} of nginx's processor time"),
    ]


def _rate_of(sample: Sample) -> float:
    return sample.rate


def _time_of(sample: Sample) -> float:
    return sample.median


def _processor_of(sample: Sample) -> float:
    return sample.processor


def _rate(result: Result, server: str) -> str:
    rate = result.middle(server, _rate_of)
    return f"{rate:.2f} GiB/s" if result.case.unit == "GiB" else f"{_significant(rate):,.0f}/s"


def _times(result: Result, server: str) -> str:
    middle, last = result.middle(server, _time_of), result.middle(server, lambda sample: sample.p99)
    return f"{_time(middle)}, p99 {_time(last)}"


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs" if seconds < 0.001 else f"{seconds * 1e3:.1f} ms"


def _cost(result: Result, server: str) -> str:
    cost = result.middle(server, _processor_of)
    return f"{cost:.3f} s" if result.case.unit == "GiB" else f"{cost * 1e6:.1f} µs"


def _significant(value: float) -> float:
    return float(f"{value:.3g}")


def _number(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])

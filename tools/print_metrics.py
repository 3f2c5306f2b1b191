"""Prints docs/metrics.md from the code: python -m tools.print_metrics

Every call ``metrics.counter("name", "meaning", ...)`` and the like, wherever it is, is a metric.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from attrs import frozen

from alluxio_s3.ops.exposition import BUILD_MEANING
from tools import rooms

KINDS = {
    "counter": "counter",
    "counters": "counter",
    "gauge": "gauge",
    "levels": "gauge",
    "histogram": "histogram",
    "histograms": "histogram",
}

PREFACE = """\
# Metrics and health

<!-- Printed by `make docs` from the calls in the code that make a metric. Do not edit. -->

`alluxio.worker.s3.admin.port` opens a port for operators, on `127.0.0.1` unless `alluxio.worker.s3.admin.bind.host` says otherwise. It
answers everybody who reaches it, unless it has [a token](authentication.md#the-admin-port): then `/live` and `/ready` are open and say no
more than that, and everything else needs it.

| Path | Answer |
| --- | --- |
| `/` | [the dashboard](dashboard.md) |
| `/metrics` | the figures below, in the format of Prometheus, or of OpenMetrics if that is asked for |
| `/live` | 200 while the event loop turns: who gets no answer may restart the daemon |
| `/ready` | 200, or 503 while requests should go elsewhere: `{"ready": false, "reasons": {"store": "..."}, "warnings": {}}` |

The daemon is not ready while it stops, while the store at `/` does not answer, and, of several processes, while one is missing.

What is under `warnings` keeps no request away and is for a person to look at: [faults](faults.md) has a row for each.

Durations are in seconds, sizes in bytes. What several processes count adds up, except for what they share; and it stays when one of
them ends: of one that is killed, all but the last second.

| Metric | Kind | Labels | Meaning |
| --- | --- | --- | --- |
"""


@frozen(order=True)
class Row:
    """A metric of the page."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


def page() -> str:
    """The whole page."""
    build = Row("alluxio_s3_build_info", "info", ("version", "python", "twisted"), BUILD_MEANING)
    return PREFACE + "".join(
        f"| `{row.name}` | {row.kind} | {', '.join(f'`{label}`' for label in row.labels)} | {row.meaning} |\n"
        for row in sorted({build, *found()})
    )


def found() -> Iterator[Row]:
    """The metrics of the code. Raises SyntaxError where one is not made with literals."""
    for path in rooms.modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_metrics(node.func):
                yield _row(node, f"{path}:{node.lineno}")


def _is_metrics(function: ast.Attribute) -> bool:
    owner = function.value.attr if isinstance(function.value, ast.Attribute) else getattr(function.value, "id", "")
    return function.attr in KINDS and owner.removeprefix("_") == "metrics"


def _row(call: ast.Call, place: str) -> Row:
    assert isinstance(call.func, ast.Attribute)
    method = call.func.attr
    last: ast.expr = call.args[-1] if method in ("counters", "histograms", "levels") else ast.Tuple([])
    try:
        name, meaning, labels = (ast.literal_eval(one) for one in (*call.args[:2], last))
    except ValueError:
        raise SyntaxError(f"{place}: name, meaning and labels of a metric must be literals") from None
    return Row(name, KINDS[method], tuple(labels), meaning)


if __name__ == "__main__":
    print(page(), end="")

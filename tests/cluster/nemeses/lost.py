"""Reads of the ledgers that failed though the worker that was asked was there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container
from pathlib import Path

from attrs import define, field

from tests.faults.ledger import MAYBE, calls

_WRITER = re.compile(r"g(\d+)-")
# A write that nobody has heard the end of may happen so much later.
_LATE_SECONDS = 30


@define
class Losses:
    """*reads* through a worker: *lost* are those that failed without a reason that the client could know of.

    *absent*: the worker that was asked was not there. *replaced*: the object was being written; such an answer may be cut.
    """

    reads: int = 0
    absent: int = 0
    replaced: int = 0
    lost: list[str] = field(factory=list)
    statuses: Counter[int] = field(factory=Counter)


def losses(directory: Path, readers: Container[int], was_absent: Callable[[str, float, float], bool]) -> Losses:
    """Of the processes of load with the numbers *readers*, whose ledgers are in *directory*. See `Readers` for *was_absent*."""
    done, _ = calls(directory)
    writes: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for call in done:
        if "shown" in call and call["op"] not in ("read", "again"):
            late = _LATE_SECONDS * 1e9 if call["outcome"] == MAYBE else 0
            end = float("inf") if call["end"] is None else call["end"] + late
            writes.setdefault((call["bucket"], call["key"]), []).append((call["start"], end))
    found = Losses()
    for call in done:
        match = _WRITER.match(call["id"])
        if match is None or int(match[1]) not in readers or "via" not in call:
            continue
        found.reads += 1
        if call["outcome"] != MAYBE:
            continue
        found.statuses[call["status"]] += 1
        start, end = call["start"], call["end"]
        if was_absent(call["via"], start, end):
            found.absent += 1
        elif any(begun < end and start < ended for begun, ended in writes.get((call["bucket"], call["key"]), ())):
            found.replaced += 1
        else:
            seconds = (end - start) / 1e9
            found.lost.append(
                f"{call['bucket']}/{call['key']} through {call['via']} after {seconds:.1f} s: {call['status']} ({call['id']})"
            )
    return found

"""The figures of several processes as one, in which a process that ended still counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from operator import add

from attrs import asdict, evolve

from alluxio_s3.ops.metrics import GAUGE, LEVEL, RANKING, Figures, Labels, Sample, Snapshot


def merged(snapshots: Iterable[Snapshot]) -> Snapshot:
    """The sum of ``snapshots``: of each figure that has the same name and labels; of what processes share, the greatest."""
    families: dict[str, Figures] = {}
    sums: dict[str, dict[Labels, tuple[float, ...]]] = {}
    for snapshot in snapshots:
        for one in snapshot:
            combine: Callable[..., float] = max if one.kind == LEVEL else add
            families.setdefault(one.name, one)
            values = sums.setdefault(one.name, {})
            for sample in one.samples:
                before = values.get(sample.labels)
                values[sample.labels] = sample.values if before is None else tuple(map(combine, before, sample.values))
    return tuple(
        evolve(family, samples=tuple(Sample(labels, values) for labels, values in sums[name].items())) for name, family in families.items()
    )


def lasting(snapshot: Snapshot) -> Snapshot:
    """What of the figures of a process that has ended still counts: all but what was so at the moment."""
    return tuple(one for one in snapshot if one.kind not in (GAUGE, LEVEL, RANKING))


def to_json(snapshot: Snapshot) -> str:
    """``snapshot`` as a line of text."""
    return json.dumps([asdict(one) for one in snapshot], separators=(",", ":"))


def from_json(text: str) -> Snapshot:
    """What ``to_json`` made."""
    return tuple(
        Figures(
            one["name"],
            one["kind"],
            one["meaning"],
            tuple(one["labels"]),
            tuple(Sample(tuple(sample["labels"]), tuple(sample["values"])) for sample in one["samples"]),
            tuple(one["bounds"]),
        )
        for one in json.loads(text)
    )

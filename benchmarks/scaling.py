"""How the ring shares out keys, and what moves when a worker joins, for up to 1,000 workers and 10^9 keys; and what a look-up costs.

A key falls on a worker with the probability that is the length of the worker's arcs. Those are summed exactly; the numbers of keys are
drawn from them (each is binomial, which for so many keys is normal).
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from attrs import frozen

from alluxio_s3.cluster.ring import Ring

DOCS = Path(__file__).resolve().parent.parent / "docs"
DOCUMENT, PICTURE = DOCS / "scaling.md", DOCS / "scaling.svg"
BEGIN, END = "<!-- measured -->", "<!-- end -->"
SEED = 4

SIZES = (3, 10, 30, 100, 300, 1000)
KEYS = 10**9
SAMPLE = 50_000


@frozen
class Row:
    """``shares`` are the keys of each of ``workers`` over their mean, ``moved`` those that one more takes over its fair share.

    ``astray`` is how many keys of a sample went from one worker that stayed to another.
    """

    workers: int
    shares: Sequence[float]
    moved: float
    astray: int


@frozen
class Costs:
    """In seconds, with 1,000 workers: a look-up, the first one in a stratum, a worker that joins, and a ring from nothing."""

    lookup: float
    first: float
    join: float
    build: float


def names(count: int) -> dict[str, float]:
    """Workers of equal weight."""
    chance = random.Random(SEED)
    return {f"{chance.getrandbits(128):032x}": 1.0 for _ in range(count)}


def drawn(chance: random.Random, share: float) -> float:
    """How many of the keys fall on a worker."""
    return chance.gauss(KEYS * share, (KEYS * share * (1 - share)) ** 0.5)


def measured(count: int) -> Row:
    """A ring of that size, and one more."""
    chance = random.Random(SEED)
    workers = names(count)
    ring = Ring(workers)
    shares = [drawn(chance, share) / KEYS * count for share in ring.shares().values()]
    paths = [f"/bucket/{chance.random()}" for _ in range(SAMPLE)]
    before = [ring.owner(path) for path in paths]
    ring.change(workers | {"newcomer": 1.0})
    moved = drawn(chance, ring.shares()["newcomer"]) / KEYS * (count + 1)
    astray = sum(now not in (old, "newcomer") for old, now in zip(before, map(ring.owner, paths), strict=True))
    return Row(count, sorted(shares), moved, astray)


def fastest(work: Callable[[], object], times: int) -> float:
    """Seconds of processor time of the fastest of so many runs: others share this machine."""
    return min(spent(work) for _ in range(times))


def spent(work: Callable[[], object]) -> float:
    """Seconds of processor time."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


def costs() -> Costs:
    """With 1,000 workers."""
    workers = names(1000)
    paths = [f"/bucket/train/part-{number:05}.parquet" for number in range(2000)]
    Ring(workers)  # the points of workers are made once
    build = fastest(lambda: Ring(workers), 3)
    ring = Ring(workers)
    ring.owner(paths[0])
    first = statistics.median(spent(partial(ring.owner, path)) for path in paths[1:300])
    ring.shares()  # puts all in order
    lookup = fastest(lambda: [ring.owner(path) for path in paths], 20) / len(paths)
    join = fastest(lambda: (ring.change(workers | {"newcomer": 1.0}), ring.change(workers)), 5) / 2
    return Costs(lookup, first, join, build)


def table(rows: Sequence[Row], cost: Costs) -> str:
    """For the page."""
    lines = ["| workers | least | most | deviation | moved to one more | moved astray |", "| ---: | ---: | ---: | ---: | ---: | ---: |"]
    for row in rows:
        figures = (row.shares[0], row.shares[-1], statistics.pstdev(row.shares), row.moved)
        lines.append(f"| {row.workers:,} | {' | '.join(f'{figure:.3f}' for figure in figures)} | {row.astray} |")
    lines += [
        "",
        "| with 1,000 workers | |",
        "| --- | ---: |",
        f"| a look-up | {cost.lookup * 1e6:.1f} µs |",
        f"| the first look-up in a part of the ring | {cost.first * 1e6:.0f} µs |",
        f"| a worker joins, or leaves | {cost.join * 1e3:.1f} ms |",
        f"| a ring from nothing | {cost.build * 1e3:.1f} ms |",
    ]
    return "\n".join(lines)


WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 760, 330, 56, 40, 270
LOW, HIGH = 0.88, 1.12
STYLE = (
    "text { font-family: system-ui, sans-serif; font-size: 12px; fill: #1c2733; } .small { fill: #53616f; }"
    " .grid { stroke: #c9d1da; } .band { fill: #eef6ee; } .bar { fill: #7fb0e3; } .mark { fill: #c2571a; }"
)
FOOT = "workers; from the least to the most that one has of 10⁹ keys. Dots: what moves to one more, over its fair share."


def _y(share: float) -> float:
    return BOTTOM - (share - LOW) / (HIGH - LOW) * (BOTTOM - TOP)


def picture(rows: Sequence[Row]) -> str:
    """On the left, each size of cluster: from the least to the most that a worker has. On the right, how many of 1,000 have how much."""
    step = 330 / len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img"',
        '     aria-label="Shares of keys over their mean, by the number of workers">',
        f"  <style>{STYLE}</style>",
        f'  <rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'  <rect class="band" x="{LEFT}" y="{_y(1.1):.1f}" width="{WIDTH - LEFT - 20}" height="{_y(0.9) - _y(1.1):.1f}"/>',
    ]
    for share in (0.9, 1.0, 1.1):
        parts.append(f'  <line class="grid" x1="{LEFT}" x2="{WIDTH - 20}" y1="{_y(share):.1f}" y2="{_y(share):.1f}"/>')
        parts.append(f'  <text x="{LEFT - 8}" y="{_y(share) + 4:.1f}" text-anchor="end">{share:.1f}</text>')
    for number, row in enumerate(rows):
        middle = LEFT + step * (number + 0.5)
        top, bottom = _y(row.shares[-1]), _y(row.shares[0])
        parts.append(f'  <rect class="bar" x="{middle - 10:.1f}" y="{top:.1f}" width="20" height="{bottom - top:.1f}" rx="2"/>')
        parts.append(f'  <circle class="mark" cx="{middle:.1f}" cy="{_y(row.moved):.1f}" r="4"/>')
        parts.append(f'  <text x="{middle:.1f}" y="{BOTTOM + 18}" text-anchor="middle">{row.workers:,}</text>')
    bins = 30
    width = (HIGH - LOW) / bins
    counts = [sum(LOW + width * one <= share < LOW + width * (one + 1) for share in rows[-1].shares) for one in range(bins)]
    start = LEFT + 370
    for one, count in enumerate(counts):
        length = count / max(counts) * (WIDTH - 20 - start)
        top = _y(LOW + width * (one + 1))
        parts.append(f'  <rect class="bar" x="{start}" y="{top:.1f}" width="{length:.1f}" height="{_y(LOW) - _y(LOW + width) - 1:.1f}"/>')
    parts += [
        f'  <text x="{LEFT}" y="24">keys of a worker, over the mean</text>',
        f'  <text x="{start}" y="24">how many of 1,000 workers have so many</text>',
        f'  <text class="small" x="{LEFT}" y="{BOTTOM + 42}">{FOOT}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def write(rows: Sequence[Row], cost: Costs) -> None:
    """Into the page."""
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{table(rows, cost)}\n\n{END}{after}", encoding="utf-8")
    PICTURE.write_text(picture(rows), encoding="utf-8")


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write the tables into {DOCUMENT.name}, and the picture")
    options = parser.parse_args()
    rows = [measured(count) for count in SIZES]
    cost = costs()
    print(table(rows, cost))
    if options.write:
        write(rows, cost)


if __name__ == "__main__":
    main()

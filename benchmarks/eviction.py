"""Compare the policy of the cache with LRU and with the best that is possible, on traces made for it: hit ratios, and a picture.

The policy is the daemon's own code, on queues in memory. Every page has the same size.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
from bisect import bisect
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from attrs import frozen

from alluxio_s3.cache.eviction import Entry, Eviction, Queue

DOCS = Path(__file__).resolve().parent.parent / "docs"
DOCUMENT, PICTURE = DOCS / "eviction.md", DOCS / "eviction.svg"
BEGIN, END = "<!-- measured -->", "<!-- end -->"
SEED = 4

PAGES = 10_000
SHARES = (0.05, 0.2, 0.5)

Trace = Sequence[Hashable]


# --- What is read.


def zipf(chance: random.Random, pages: int, count: int, exponent: float) -> list[int]:
    """Some pages are read often, most seldom: the n-th by popularity 1/n^exponent as often as the first."""
    sums = list(itertools.accumulate(1 / (rank + 1) ** exponent for rank in range(pages)))
    names = list(range(pages))
    chance.shuffle(names)
    return [names[bisect(sums, chance.random() * sums[-1])] for _ in range(count)]


def popular(chance: random.Random) -> Trace:
    """Objects of different popularity."""
    return zipf(chance, PAGES, 12 * PAGES, 0.9)


def moving(chance: random.Random) -> Trace:
    """Objects of different popularity, of which some become popular and others go out of fashion, all the time."""
    return [page + fashion * PAGES // 5 for fashion in range(12) for page in zipf(chance, PAGES, PAGES, 0.9)]


def scans(chance: random.Random) -> Trace:
    """The same, and between them scans of what is read once."""
    reads, made = zipf(chance, PAGES, 8 * PAGES, 0.9), []
    for number, start in enumerate(range(0, len(reads), PAGES // 2)):
        made += reads[start : start + PAGES // 2]
        made += [("scan", number, page) for page in range(PAGES // 4)]
    return made


def shuffled(chance: random.Random) -> Trace:
    """Training: every epoch reads all of the data set, in an order of its own."""
    made: list[int] = []
    for _ in range(10):
        epoch = list(range(PAGES))
        chance.shuffle(epoch)
        made += epoch
    return made


def ordered(_: random.Random) -> Trace:
    """All of the data set again and again, in order."""
    return list(range(PAGES)) * 10


def moved(chance: random.Random) -> Trace:
    """A data set of popular objects, and then another one, in order, again and again."""
    return [*zipf(chance, PAGES, 3 * PAGES, 0.9), *[("next", page) for page in range(PAGES)] * 9]


# --- Who decides what stays. Each tells how many of the reads find their page.


class Memory:
    """The queues of ``eviction.Shelf``, in memory."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._queues: list[OrderedDict[bytes, None]] = [OrderedDict() for _ in Queue]
        self._entries: dict[bytes, Entry] = {}
        self._weights = [0] * len(Queue)

    def find(self, key: bytes) -> Entry | None:
        """See ``Shelf``."""
        return self._entries.get(key)

    def append(self, key: bytes, entry: Entry) -> None:
        """See ``Shelf``."""
        self._entries[key] = entry
        self._queues[entry.queue][key] = None
        self._weights[entry.queue] += entry.weight

    def remove(self, key: bytes) -> None:
        """See ``Shelf``."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            del self._queues[entry.queue][key]
            self._weights[entry.queue] -= entry.weight

    def mark(self, key: bytes, entry: Entry) -> None:
        """See ``Shelf``."""
        self._entries[key] = entry

    def oldest(self, queue: Queue) -> bytes | None:
        """See ``Shelf``."""
        return next(iter(self._queues[queue]), None)

    def weight(self, queue: Queue) -> int:
        """See ``Shelf``."""
        return self._weights[queue]


class Published(Eviction):
    """S3-FIFO without what is ours."""

    def _is_roomy(self, weight: int) -> bool:
        del weight
        return False


def _fifo(trace: Trace, shelf: Memory, policy: Eviction) -> float:
    hits = 0
    names = {page: repr(page).encode() for page in set(trace)}
    for page in trace:
        key = names[page]
        entry = shelf.find(key)
        if entry is not None and entry.is_page:
            hits += 1
            policy.touch(key)
            continue
        while shelf.weight(Queue.SMALL) + shelf.weight(Queue.MAIN) + 1 > shelf.capacity:
            policy.evict()
        policy.admit(key, 1)
    return hits / len(trace)


def ours(trace: Trace, capacity: int) -> float:
    """The daemon's."""
    shelf = Memory(capacity)
    return _fifo(trace, shelf, Eviction(shelf, random.Random(SEED).random))


def published(trace: Trace, capacity: int) -> float:
    """S3-FIFO as it was published, but for how many reads promote a page: one, here as in ours."""
    shelf = Memory(capacity)
    return _fifo(trace, shelf, Published(shelf, lambda: 1.0))


def lru(trace: Trace, capacity: int) -> float:
    """What was read longest ago goes."""
    kept: OrderedDict[Hashable, None] = OrderedDict()
    hits = 0
    for page in trace:
        if page in kept:
            hits += 1
            kept.move_to_end(page)
            continue
        if len(kept) >= capacity:
            kept.popitem(last=False)
        kept[page] = None
    return hits / len(trace)


def optimum(trace: Trace, capacity: int) -> float:
    """What will not be read for longest goes (Belady). It takes knowing the future."""
    following, seen = [0] * len(trace), {}
    for at in range(len(trace) - 1, -1, -1):
        following[at] = seen.get(trace[at], len(trace) + at)
        seen[trace[at]] = at
    kept: dict[Hashable, int] = {}
    latest: list[tuple[int, int]] = []
    hits = 0
    for at, page in enumerate(trace):
        if page in kept:
            hits += 1
        elif len(kept) >= capacity:
            while True:
                next_read, read = heapq.heappop(latest)
                if kept.get(trace[read]) == -next_read:
                    del kept[trace[read]]
                    break
        kept[page] = following[at]
        heapq.heappush(latest, (-following[at], at))
    return hits / len(trace)


POLICIES: dict[str, Callable[[Trace, int], float]] = {"LRU": lru, "S3-FIFO": published, "ours": ours, "optimum": optimum}
TRACES: dict[str, Callable[[random.Random], Trace]] = {
    "popularity (Zipf 0.9)": popular,
    "popularity, with scans": scans,
    "popularity that moves on": moving,
    "epochs, shuffled": shuffled,
    "epochs, in order": ordered,
    "another data set": moved,
}


@frozen
class Row:
    """The hit ratios of a trace with a cache of a share of the pages, by policy."""

    trace: str
    share: float
    ratios: dict[str, float]


def measure() -> list[Row]:
    """Every trace with every size of cache."""
    rows = []
    for name, make in TRACES.items():
        trace = make(random.Random(SEED))
        for share in SHARES:
            capacity = round(PAGES * share)
            rows.append(Row(name, share, {policy: decide(trace, capacity) for policy, decide in POLICIES.items()}))
            print(line(rows[-1]), flush=True)
    return rows


def line(row: Row) -> str:
    """A row of the table."""
    cells = [row.trace, f"{row.share:.0%}", *(f"{row.ratios[policy]:.3f}" for policy in POLICIES)]
    return f"| {' | '.join(cells)} |"


def table(rows: Sequence[Row]) -> str:
    """The table, in Markdown."""
    head = ["reads", "cache", *POLICIES]
    return "\n".join([f"| {' | '.join(head)} |", "| --- | ---: |" + " ---: |" * len(POLICIES), *map(line, rows)])


# --- The picture: for each trace and size, a line from nothing to the optimum, and where the others are on it.

LEFT, TOP, PITCH, SCALE, WIDTH = 250, 44, 26, 480, 800
STYLE = """\
    text { font-family: system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif; font-size: 13px; fill: #1c2733; }
    .small { font-size: 11px; fill: #53616f; }
    .reach { stroke: #c9d3dd; stroke-width: 8; stroke-linecap: round; }
    .axis { stroke: #dfe5ea; }
    .LRU { fill: #e0b95c; }
    .S3-FIFO { fill: #ffffff; stroke: #3f79b3; stroke-width: 1.5; }
    .ours { fill: #2f6fb0; }
    .optimum { fill: #93a1ae; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e8edf2; }
      .small { fill: #a9b5c1; }
      .reach { stroke: #3d4a57; }
      .axis { stroke: #2c3742; }
      .S3-FIFO { fill: #10161c; stroke: #7fb0e3; } .ours { fill: #7fb0e3; }
    }
"""


def picture(rows: Sequence[Row]) -> str:
    """A line for each row."""
    bottom = TOP + len(rows) * PITCH + len(TRACES) * 8
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 52}" width="{WIDTH}" height="{bottom + 52}" role="img"',
        ' aria-label="Hit ratios of LRU, S3-FIFO, the policy of the cache, and the optimum">\n',
        f"  <style>\n{STYLE}  </style>\n",
    ]
    for tenth in range(0, 11, 2):
        x = LEFT + round(tenth / 10 * SCALE)
        drawn.append(f'  <line class="axis" x1="{x}" y1="{TOP - 16}" x2="{x}" y2="{bottom - 8}"/>\n')
        drawn.append(f'  <text class="small" x="{x}" y="{TOP - 22}" text-anchor="middle">{tenth / 10:.1f}</text>\n')
    y = TOP
    for number, row in enumerate(rows):
        if number % len(SHARES) == 0:
            y += 8 if number else 0
            drawn.append(f'  <text x="{LEFT - 64}" y="{y + 4}" text-anchor="end">{escape(row.trace)}</text>\n')
        drawn.append(f'  <text class="small" x="{LEFT - 16}" y="{y + 4}" text-anchor="end">{row.share:.0%}</text>\n')
        best = LEFT + row.ratios["optimum"] * SCALE
        drawn.append(f'  <line class="reach" x1="{LEFT}" y1="{y}" x2="{best:.1f}" y2="{y}"/>\n')
        for policy in ("optimum", "LRU", "S3-FIFO", "ours"):
            x = LEFT + row.ratios[policy] * SCALE
            drawn.append(f'  <circle class="{policy}" cx="{x:.1f}" cy="{y}" r="5"/>\n')
        y += PITCH
    names = {"LRU": "LRU", "S3-FIFO": "S3-FIFO", "ours": "this cache", "optimum": "the optimum"}
    for number, (policy, words) in enumerate(names.items()):
        x = LEFT + number * 112
        drawn.append(
            f'  <circle class="{policy}" cx="{x}" cy="{bottom + 18}" r="5"/>\n  <text x="{x + 12}" y="{bottom + 22}">{words}</text>\n'
        )
    drawn.append(
        f'  <text class="small" x="{LEFT}" y="{bottom + 42}">hit ratio; the cache holds 5, 20 and 50 % of the pages</text>\n</svg>\n'
    )
    return "".join(drawn)


def write(rows: Sequence[Row]) -> None:
    """Put the table between the marks in docs/eviction.md, and the picture beside it."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{DOCUMENT} has lost its marks")
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{table(rows)}\n\n{END}{after}", encoding="utf-8")
    PICTURE.write_text(picture(rows), encoding="utf-8")


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"write the table into {DOCUMENT.name}, and the picture")
    options = parser.parse_args()
    rows = measure()
    if options.write:
        write(rows)


if __name__ == "__main__":
    main()

"""What thousands of clients at once cost the daemon, and those who ask for something meanwhile: `make test-load`.

Idle connections, plain and TLS; slow transfers; clients that never finish what they begin; one user's floods. Each part starts a daemon,
measures the reads of other clients without the crowd and with it, in turn, and prints rows of the table in docs/limits.md. The daemon has a
core of its own, its clients another, and both run before others of the machine.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.load.crowds import idle, refusals, slow, transfers
from benchmarks.load.floods import FLOODS, floods
from benchmarks.load.scene import CORES, put_ahead

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "limits.md"
BEGIN, END = "<!-- Figures of make test-load. -->", "<!-- End of the figures. -->"
PARTS: dict[str, Callable[[int], Iterator[tuple[str, str]]]] = {
    "idle": idle,
    "transfers": transfers,
    "slow": slow,
    "flood": floods,
    "refusals": refusals,
}


def main() -> None:
    """Do as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--part", action="append", choices=PARTS, default=[], help="only this (all)")
    names = [flood.what for flood in FLOODS]
    parser.add_argument("--only", action="append", choices=names, default=[], help="of the floods only this (all)")
    parser.add_argument("--rounds", type=int, default=3, help="of each comparison, of which the median counts (3)")
    parser.add_argument("--write", action="store_true", help="into docs/limits.md")
    given = parser.parse_args()
    parts = PARTS | {"flood": partial(floods, only=given.only)}
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    os.sched_setaffinity(0, {CORES[1]})
    put_ahead(rank=2)
    rows = []
    for name in given.part or (["flood"] if given.only else parts):
        for what, found in parts[name](given.rounds):
            rows.append(f"| {what} | {found} |")
            print(rows[-1], flush=True)
    if given.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        table = "\n".join([BEGIN, "", "| Crowd | What it costs |", "| --- | --- |", *rows, "", END])
        DOCUMENT.write_text(re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: table, text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()

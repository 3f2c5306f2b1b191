"""A1, A2: a replaced object is the old or the new one; what was written is seen at once by every reader, through any daemon."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import pytest
from attrs import evolve

from tests.faults.daemons import LONG, SEED, Daemon, free_port, make_bucket, properties, report
from tests.faults.generator import MIX, SIZES, Options
from tests.faults.judgement import judge
from tests.faults.leftovers import garbage, held
from tests.faults.load import Load

# How many answers are to be looked at in all, in rounds of so many, each on keys of its own; and after how long it is enough.
ANSWERS = {"A1": int(os.environ.get("READS", "200000")), "A2": int(os.environ.get("CHECKS", "100000"))}
OF_A_ROUND = 20_000
SECONDS = float(os.environ.get("SECONDS", "400"))
PROCESSES = 8 if LONG else 3
OPTIONS = {
    # All write the same four keys now and then, and read them all the time.
    "A1": Options([], "", keys=0, mix={"hot": 4, "read": 86, "head": 10}, largest=64 << 20)
    if LONG
    else Options([], "", keys=0, mix={"hot": 30, "read": 60, "head": 10}, largest=4 << 20),
    # Each write followed by questions about it, through another daemon.
    "A2": Options([], "", keys=8, mix={**MIX, "read": 150, "head": 60, "list": 30, "read_tags": 60}, largest=1 << 20)
    if LONG
    else Options([], "", keys=8, mix={**MIX, "read": 50, "head": 20, "list": 15, "read_tags": 20}, largest=4 << 20),
}
if LONG:
    OPTIONS["A1"] = evolve(OPTIONS["A1"], sizes={"none": 1, "tiny": 2, "small": 6, "around": 3, "middle": 6, "million": 4, "large": 0.05})
    OPTIONS["A2"] = evolve(OPTIONS["A2"], sizes={**SIZES, "large": 0.1})


@pytest.mark.parametrize("row", OPTIONS)
def test_consistency(tmp_path: Path, row: str) -> None:
    """Two daemons that share a directory: no answer is torn, none is older than what was certain when it was asked for."""
    data = tmp_path / "data"
    data.mkdir()
    counts: Counter[str] = Counter()
    begun = time.monotonic()
    with Daemon(tmp_path / "one") as one, Daemon(tmp_path / "two") as two:
        durable = {"alluxio.worker.s3.durability": "rename", "alluxio.worker.s3.connection.keep.alive.enabled": LONG}
        endpoints = [one.start(properties(free_port(), data, durable)), two.start(properties(free_port(), data, durable))]
        before = held(one.pid, data)
        while not counts or (LONG and counts["reads"] < ANSWERS[row] and time.monotonic() < begun + SECONDS):
            number, ledgers = counts["rounds"], tmp_path / f"ledgers-{counts['rounds']}"
            bucket = f"ledger-{number}"
            make_bucket(endpoints[0], bucket)
            options = evolve(OPTIONS[row], endpoints=endpoints, ledgers=str(ledgers), buckets=[bucket], seed=SEED * 1000 + number)
            with Load(options, PROCESSES) as load:
                load.until(150)
                load.last(1)
                while LONG and load.ended() < min(OF_A_ROUND, ANSWERS[row] - counts["reads"]) and time.monotonic() < begun + SECONDS:
                    load.last(1)
            load.verify()
            verdict = judge(ledgers, options.seed)
            assert verdict.clean, verdict.told()
            counts.update({**verdict.counts, "rounds": 1})
        assert not LONG or garbage(before, lambda: held(one.pid, data)) == []
        assert one.trouble == two.trouble == []
    report(row, f"{dict(counts)} in {time.monotonic() - begun:.0f} s: 0 torn, 0 stale")

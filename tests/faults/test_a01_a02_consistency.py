"""A1, A2: a replaced object is the old or the new one; what was written is seen at once by every reader, through any daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.daemons import LONG, SEED, Daemon, free_port, make_bucket, properties, report
from tests.faults.generator import MIX, Options
from tests.faults.judgement import judge
from tests.faults.leftovers import garbage, held
from tests.faults.load import Load

SECONDS = 240 if LONG else 1.0
PROCESSES = 8 if LONG else 3
MIXES = {
    # Writers of few keys against readers of the same.
    "A1": {"hot": 30, "read": 60, "head": 10},
    # Each write followed by questions about it, through another daemon.
    "A2": {**MIX, "read": 50, "head": 20, "list": 15, "read_tags": 20},
}


@pytest.mark.parametrize("row", MIXES)
def test_consistency(tmp_path: Path, row: str) -> None:
    """Two daemons that share a directory: no answer is torn, none is older than what was certain when it was asked for."""
    data = tmp_path / "data"
    data.mkdir()
    with Daemon(tmp_path / "one") as one, Daemon(tmp_path / "two") as two:
        durable = {"alluxio.worker.s3.durability": "rename"}
        endpoints = [one.start(properties(free_port(), data, durable)), two.start(properties(free_port(), data, durable))]
        make_bucket(endpoints[0], "ledger")
        before = held(one.pid, data)
        keys, largest = 0 if row == "A1" else 8, (64 if LONG else 4) << 20
        options = Options(endpoints, str(tmp_path / "ledgers"), seed=SEED, keys=keys, mix=MIXES[row], largest=largest)
        with Load(options, PROCESSES) as load:
            load.until(150)
            load.last(SECONDS)
        load.verify()
        verdict = judge(tmp_path / "ledgers", SEED)
        for what in garbage(before, lambda: held(one.pid, data)) if LONG else ():
            verdict.add("G", what)
        assert verdict.clean, verdict.told()
        assert one.trouble == two.trouble == []
    report(row, verdict)

"""The ledger's checker against three workers that are killed and stopped (promises D4, D5): nothing lost, torn, wrong or old."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.cluster.servers.etcd import EtcdNode
from tests.cluster.trio import Trio, running_trio
from tests.faults.daemons import LONG, SEED, make_bucket, report
from tests.faults.generator import MIX, Options
from tests.faults.judgement import judge
from tests.faults.load import Load

SECONDS = 600 if LONG else 5
FORMS = {
    # The store is asked at each read; members are those of a file.
    "strong": {"cache": "always"},
    # Owners answer from memory; members are in etcd.
    "max_age": {"cache": "always", "freshness": "max_age=1hour", "negative.max.age": "1hour"},
}


def kill(trio: Trio, number: int) -> None:
    """Kill a worker, and start it again."""
    trio.daemons[number].kill()
    trio.start(number)


def stop(trio: Trio, number: int) -> None:
    """Have a worker stand still for longer than its lease, and go on."""
    os.kill(trio.daemons[number].pid, signal.SIGSTOP)
    deadline = time.monotonic() + 7
    while time.monotonic() < deadline:
        signal.sigtimedwait([], 0.1)
    os.kill(trio.daemons[number].pid, signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_kills_and_stops(tmp_path: Path, form: str, request: pytest.FixtureRequest) -> None:
    """While workers are killed and stopped, what is read through any of them is what was written through any other."""
    etcd = ""
    if form == "max_age":
        node: EtcdNode = request.getfixturevalue("shared_node")
        etcd = node.endpoint
    properties = {"alluxio.worker.s3.durability": "rename", "alluxio.proxy.s3.complete.multipart.upload.min.part.size": 0}
    chance = random.Random(SEED)
    faults = 0
    with running_trio(tmp_path, properties, etcd, **FORMS[form]) as trio:
        make_bucket(trio.endpoints[0], "ledger")
        mix = {**MIX, "read": 50, "head": 20, "list": 15, "read_tags": 20}
        options = Options(trio.endpoints, str(tmp_path / "ledgers"), seed=SEED, keys=8, mix=mix, largest=(16 if LONG else 2) << 20)
        with Load(options, 4 if LONG else 2) as load:
            load.until(100)
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline:
                chance.choice([kill, stop])(trio, chance.randrange(3))
                faults += 1
                load.last(2)
        load.verify()
        verdict = judge(tmp_path / "ledgers", SEED, ["ledger"] if etcd else [])
        assert verdict.clean, verdict.told()
    report(f"cluster {form}, {faults} kills and stops", verdict)

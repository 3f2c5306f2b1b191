"""A19, A25: what is changed from outside: objects behind the daemon's back, its configuration under load."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.faults.bodies import body
from tests.faults.daemons import LONG, SEED, Daemon, at_most, free_port, make_bucket, properties, report
from tests.faults.exchange import Exchange
from tests.faults.generator import Options
from tests.faults.judgement import judge
from tests.faults.ledger import OK, calls
from tests.faults.load import Load

SIGNALS = 500 if LONG else 20
CONTENT = bytes(range(256)) * 16
READS = 20_000 if LONG else 200
LENGTH = 200_000


@pytest.mark.parametrize("cached", [False, True])
def test_a19_changed_behind_its_back(tmp_path: Path, cached: bool) -> None:
    """Another program replaces a file again and again, the size and the second of its time the same: each answer is one version."""
    data, stop = tmp_path / "data", threading.Event()
    (data / "b").mkdir(parents=True)
    versions = [body("k", str(number), LENGTH) for number in range(20)]

    def change() -> None:
        chance, number = random.Random(SEED), 0
        while not stop.wait(0.003):
            number = (number + 1 + chance.randrange(18)) % 20
            scratch = data / "b" / "scratch"
            scratch.write_bytes(versions[number])
            second = int(time.time()) * 10**9
            os.utime(scratch, ns=(second, second))
            scratch.rename(data / "b" / "k")

    more: dict[str, object] = {}
    if cached:
        more = {
            "alluxio.dora.client.ufs.root.option.freshness": "strong",
            "alluxio.worker.page.store.dirs": tmp_path / "pages",
            "alluxio.worker.page.store.sizes": "64MB",
        }
    (data / "b" / "k").write_bytes(versions[0])
    with Daemon(tmp_path / "conf") as daemon:
        endpoint = daemon.start(properties(free_port(), data, more))
        exchange = Exchange(endpoint)
        changing = threading.Thread(target=change, daemon=True)
        changing.start()
        seen: Counter[str] = Counter()
        shown = set()
        for _ in at_most(READS, 150, least=50):
            reply = exchange.ask("GET", "b/k")
            if reply.status == 200:
                seen["whole" if reply.body in versions else "MIXED"] += 1
                shown.add(reply.body)
            else:
                seen[str(reply.status)] += 1
        stop.set()
        changing.join()
        exchange.close()
        assert seen["MIXED"] == 0
        assert seen["404"] == 0
        assert len(shown) > 1, "nothing was replaced"
        assert seen["whole"] > sum(seen.values()) // 2
    report("A19", f"{'through the cache' if cached else 'as it is'}: {dict(seen)}")


def test_a25_reload_storm(tmp_path: Path) -> None:
    """SIGHUP again and again at 200 requests a second, while the files are good, bad and good: no request fails."""
    (tmp_path / "data").mkdir()
    (tmp_path / "mounted").mkdir()
    table = tmp_path / "mounts.json"
    mount = {"path": "/m", "uri": f"file://{tmp_path / 'mounted'}", "options": {}}
    tables = [
        json.dumps({"version": 1, "mounts": [mount]}),
        "{ this is no table",
        json.dumps({"version": 1, "mounts": [mount, {**mount, "path": "/n"}]}),
        json.dumps({"version": 1, "mounts": []}),
    ]
    served = properties(free_port(), tmp_path / "data", {"alluxio.worker.s3.mount.table": table, "alluxio.worker.s3.durability": "rename"})
    _write(table, tables[0])
    with Daemon(tmp_path / "conf") as daemon:
        endpoint = daemon.start(served)
        config = tmp_path / "conf" / "alluxio-site.properties"
        good = config.read_text(encoding="ascii")
        make_bucket(endpoint, "ledger")
        options = Options([endpoint], str(tmp_path / "ledgers"), seed=SEED, keys=8, largest=1 << 18, rate=67)
        Path(tmp_path / "data" / "ledger-reads").mkdir()
        (tmp_path / "data" / "ledger-reads" / "k").write_bytes(CONTENT)
        with Load(options, 3) as load, steady_reads(endpoint) as statuses:
            load.until(30)
            begun, before = time.monotonic(), statuses.total() + load.ended()
            for number in at_most(SIGNALS, 300, least=2 * len(tables)):
                _write(table, tables[number % len(tables)])
                _write(config, good if number % 3 else good + "alluxio.worker.s3.durability=nonsense\n")
                os.kill(daemon.pid, signal.SIGHUP)
                load.last(0.1)
                # However slow the machine is: as many as at 200 a second of the time that a signal has.
                wait_until(partial(reached, statuses, 20 * number))
            asked, lasted = statuses.total() + load.ended() - before, time.monotonic() - begun
        _write(table, tables[0])
        load.verify()
        verdict = judge(tmp_path / "ledgers", SEED)
        assert verdict.clean, verdict.told()
        done, _ = calls(tmp_path / "ledgers")
        failed = [call for call in done if call["end"] is not None and call["outcome"] != OK and call["status"] not in (400, 404, 412, 416)]
        assert failed == []
        assert set(statuses) == {"right"}, statuses
        assert daemon.alive
    told = f"{asked} requests in {lasted:.0f} s, {asked / lasted:.0f} a second"
    report("A25", f"{number + 1} SIGHUPs under {told}: 0 failed requests: {verdict}")


@contextlib.contextmanager
def steady_reads(endpoint: str) -> Iterator[Counter[str]]:
    """Reads, at most 200 a second, on four connections; what became of each."""
    statuses: Counter[str] = Counter()
    stop = threading.Event()

    def read() -> None:
        exchange = Exchange(endpoint)
        while not stop.wait(0.02):
            reply = exchange.ask("GET", "ledger-reads/k")
            statuses["right" if reply.body == CONTENT else f"{reply.status}"] += 1
        exchange.close()

    readers = [threading.Thread(target=read, daemon=True) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        yield statuses
    finally:
        stop.set()
        for reader in readers:
            reader.join()


def reached(statuses: Counter[str], count: int) -> bool:
    """Whether there have been so many."""
    return statuses.total() >= count


def wait_until(so: Callable[[], bool]) -> None:
    """Return when it is."""
    deadline, pause = time.monotonic() + 120, threading.Event()
    while not so():
        assert time.monotonic() < deadline
        pause.wait(0.01)


def _write(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text, encoding="ascii")
    new.chmod(0o600)
    new.rename(path)

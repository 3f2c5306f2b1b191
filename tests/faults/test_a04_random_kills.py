"""A4, and line for line the same before an S3 store with a page cache: killed at random under load, started again, nothing lost."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults.bodies import body
from tests.faults.daemons import LONG, SEED, Daemon, free_port, is_ready, make_bucket, properties, report
from tests.faults.exchange import Exchange, Reply
from tests.faults.generator import Options
from tests.faults.judgement import judge
from tests.faults.leftovers import garbage, held, passing
from tests.faults.load import Load
from tests.faults.reading import RIGHT, looked_at, metadata
from tests.ufs.servers.moto import MotoServer

KILLS = int(os.environ.get("KILLS", "60")) if LONG else 1
WARM = 8


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoServer]:
    with MotoServer() as server:
        yield server


@pytest.fixture(params=["local", "s3-cached"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    """The properties of a daemon on a directory, or on an S3 store with a page cache."""
    if request.param == "local":
        (tmp_path / "data").mkdir()
        return properties(free_port(), tmp_path / "data")
    server: MotoServer = request.getfixturevalue("moto")
    store = {
        "alluxio.dora.client.ufs.root": f"s3://{server.make_bucket()}/data",
        "alluxio.underfs.s3.endpoint": server.endpoint,
        "s3a.accessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "s3a.secretKey": "a-secret-of-ours",
        "alluxio.worker.page.store.dirs": tmp_path / "pages",
        "alluxio.worker.page.store.sizes": "256MB",
        "alluxio.worker.s3.staging.dir": tmp_path / "staging",
    }
    return properties(free_port(), None, store)


def is_kept(reply: Reply) -> bool:
    """Whether the bytes came from the cache, the store having been asked whether they are still those, or not."""
    status = reply.headers.get("cache-status", "")
    return "hit" in status or "fwd-status=304" in status


def put_warm(exchange: Exchange) -> None:
    """Objects that nobody changes, read until they are in the cache."""
    for number in range(WARM):
        content = (f"warm/{number}", "0.0", 300_000)
        assert exchange.ask("PUT", f"ledger/warm/{number}", None, metadata("0.0", content), body(*content)).status == 200
    for number in range(WARM):
        deadline = time.monotonic() + 60
        while not is_kept(exchange.ask("GET", f"ledger/warm/{number}")):
            assert time.monotonic() < deadline


def warm_hits(exchange: Exchange) -> int:
    """How many of those come from the cache; each is right wherever it comes from."""
    hits = 0
    for number in range(WARM):
        reply = exchange.ask("GET", f"ledger/warm/{number}")
        assert looked_at(reply)["bytes"] == RIGHT
        hits += is_kept(reply)
    return hits


def _left(roots: Sequence[Path]) -> list[Path]:
    return [one for root in roots for one in passing(root)]


def test_random_kills(tmp_path: Path, served: dict[str, object]) -> None:
    """Killed again and again under load: what was answered is there, nothing is torn; the cache is as warm as it was, and right."""
    chance = random.Random(SEED)
    endpoint = f"http://127.0.0.1:{served['alluxio.worker.rest.port']}"
    cached = "alluxio.worker.page.store.dirs" in served
    roots = () if cached else (tmp_path / "data",)
    exchange = Exchange(endpoint)
    hits, slowest = 0, 0.0
    with Daemon(tmp_path / "conf") as daemon:
        daemon.start(served)
        make_bucket(endpoint, "ledger")
        if cached:
            put_warm(exchange)
        before = held(daemon.pid, *roots)
        options = Options([endpoint], str(tmp_path / "ledgers"), seed=SEED, keys=10, largest=1 << 20)
        with Load(options, 3) as load:
            for kill in range(KILLS):
                load.until(60 * (kill + 1))
                load.last(chance.uniform(0.05, 1.0))
                daemon.kill()
                load.event("killed")
                begun = time.monotonic()
                daemon.start(served)
                assert is_ready(endpoint)
                slowest = max(slowest, time.monotonic() - begun)
                if cached:
                    hits += warm_hits(exchange)
        # What another store says to a completion that is repeated after a crash is its own affair: moto knows no such upload then.
        load.verify(complete=not cached)
        verdict = judge(tmp_path / "ledgers", SEED)
        spare = 48 if cached else 8  # connections to the store are kept
        for what in garbage(before, lambda: held(daemon.pid, *roots), descriptors=spare) if LONG else map(str, _left(roots)):
            verdict.add("G", what)
        assert verdict.clean, verdict.told()
        assert hits == (WARM * KILLS if cached else 0)
        assert daemon.stop() == -signal.SIGTERM
        assert daemon.trouble == []
    exchange.close()
    warm = f"; {hits} of {WARM * KILLS} warm reads were hits, right" if cached else ""
    report("A4" if not cached else "A4, A10 before S3", f"{KILLS} kills, restart at most {slowest:.1f} s{warm}: {verdict}")

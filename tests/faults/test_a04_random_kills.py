"""A4, and line for line the same before an S3 store with a page cache: killed at random under load, started again, nothing lost."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from attrs import frozen

from tests.faults.bodies import body
from tests.faults.daemons import LONG, SEED, free_port, is_ready, make_bucket, properties, report
from tests.faults.exchange import Exchange, Reply
from tests.faults.generator import Options
from tests.faults.judgement import Verdict, judge
from tests.faults.leftovers import garbage, held
from tests.faults.load import Load
from tests.faults.nursery import Fosterling, Nursery
from tests.faults.reading import RIGHT, looked_at, metadata
from tests.ufs.servers.moto import MotoServer

# In all; of a directory, of an S3 store. Several daemons have their share each, side by side.
KILLS = {False: int(os.environ.get("KILLS", "2000")), True: int(os.environ.get("CACHED_KILLS", "40"))} if LONG else {False: 1, True: 1}
DAEMONS = int(os.environ.get("DAEMONS", "6")) if LONG else 1
# After how long it is enough, on a machine where it takes longer.
SECONDS = {False: float(os.environ.get("SECONDS", "600")), True: float(os.environ.get("SECONDS", "300"))}
WARM = 8
# Of load, for each daemon; how many calls end before it is killed.
PROCESSES = 2
CALLS = 40


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoServer]:
    with MotoServer() as server:
        yield server


def on_directory(place: Path, number: int) -> dict[str, object]:
    """The properties of a daemon on a directory; every second one flushes nothing, which a kill must not matter to."""
    (place / "data").mkdir(parents=True)
    return properties(free_port(), place / "data", {"alluxio.worker.s3.durability": ("full", "rename")[number % 2]})


def on_s3(place: Path, server: MotoServer) -> dict[str, object]:
    """The properties of a daemon on an S3 store with a page cache."""
    place.mkdir()
    store = {
        "alluxio.dora.client.ufs.root": f"s3://{server.make_bucket()}/data",
        "alluxio.underfs.s3.endpoint": server.endpoint,
        "s3a.accessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "s3a.secretKey": "a-secret-of-ours",
        "alluxio.worker.page.store.dirs": place / "pages",
        "alluxio.worker.page.store.sizes": "256MB",
        "alluxio.worker.s3.staging.dir": place / "staging",
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


@frozen
class Course:
    """What became of a daemon: how long each start took, in seconds; hits among the warm reads, the verdict."""

    starts: Sequence[float]
    hits: int
    verdict: Verdict


def killed_often(daemon: Fosterling, served: Mapping[str, object], place: Path, kills: int, seed: int) -> Course:
    """Kill *daemon* under load and start it, so often."""
    chance = random.Random(seed)
    endpoint = f"http://127.0.0.1:{served['alluxio.worker.rest.port']}"
    cached = "alluxio.worker.page.store.dirs" in served
    roots = () if cached else (place / "data",)
    exchange, hits, starts = Exchange(endpoint), 0, []
    until = time.monotonic() + SECONDS[cached]
    daemon.start(served)
    make_bucket(endpoint, "ledger")
    if cached:
        put_warm(exchange)
    before = held(daemon.pid, *roots)
    options = Options([endpoint], str(place / "ledgers"), seed=seed, keys=10, largest=1 << 20)
    with Load(options, PROCESSES) as load:
        while len(starts) < kills and time.monotonic() < until:
            load.until(load.ended() + CALLS, 300)
            load.last(chance.uniform(0.05, 1.0))
            daemon.kill()
            load.event("killed")
            begun = time.monotonic()
            daemon.start(served)
            assert is_ready(endpoint)
            starts.append(time.monotonic() - begun)
            if cached:
                hits += warm_hits(exchange)
    # What another store says to a completion that is repeated after a crash is its own affair: moto knows no such upload then.
    load.verify(complete=not cached)
    verdict = judge(place / "ledgers", seed)
    # Files that are read again and again stay open for a while, and connections to the store.
    spare = 1000 if not LONG else 48 if cached else 8
    for what in garbage(before, lambda: held(daemon.pid, *roots), descriptors=spare):
        verdict.add("G", what)
    assert verdict.clean, verdict.told()
    assert hits == (WARM * len(starts) if cached else 0)
    assert daemon.trouble == []
    exchange.close()
    return Course(starts, hits, verdict)


@pytest.mark.parametrize("cached", [False, True], ids=["local", "s3-cached"])
def test_random_kills(tmp_path: Path, request: pytest.FixtureRequest, cached: bool) -> None:
    """Killed again and again under load: what was answered is there, nothing is torn; the cache is as warm as it was, and right."""
    daemons = min(DAEMONS, 2) if cached else DAEMONS
    kills = -(-KILLS[cached] // daemons)
    places = [tmp_path / f"d{number}" for number in range(daemons)]
    with Nursery(tmp_path / "conf") as nursery, ThreadPoolExecutor(daemons) as threads:
        under_way = []
        for number, place in enumerate(places):
            served = on_s3(place, request.getfixturevalue("moto")) if cached else on_directory(place, number)
            under_way.append(threads.submit(killed_often, nursery.daemon(str(number)), served, place, kills, SEED * 1000 + number))
        courses = [one.result() for one in under_way]
    starts = sorted(one for course in courses for one in course.starts)
    warm = f"; {sum(one.hits for one in courses)} of {WARM * len(starts)} warm reads were hits, right" if cached else ""
    counts = sum((Counter(one.verdict.counts) for one in courses), Counter[str]())
    told = f"{len(starts)} kills of {daemons} daemons, ready again after {starts[len(starts) // 2]:.1f} s, at most {starts[-1]:.1f} s{warm}"
    report("A4, A10 before S3" if cached else "A4", f"{told}: verdict=clean {dict(counts)}")

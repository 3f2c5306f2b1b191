"""A8, A9, A11: a disk that is full, dead, emptied or failing, under the store or the cache: nothing lost, nothing said that is not so."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.faults.bodies import body
from tests.faults.daemons import LONG, SEED, Daemon, at_most, free_port, make_bucket, properties, report
from tests.faults.disks import Disk, MemoryDisk, lack, private_mounts
from tests.faults.exchange import Exchange
from tests.faults.generator import MIX, Options
from tests.faults.judgement import judge
from tests.faults.ledger import OK, calls
from tests.faults.leftovers import passing
from tests.faults.load import Load
from tests.faults.reading import RIGHT, looked_at, metadata

CYCLES = 60 if LONG else 1
PROCESSES = 8 if LONG else 3
SIZE = 16 << 20
# Every call by which the store asks the disk for something that it can fail to do.
CALLS = [
    "fsync",
    "pread64",
    "sendfile",
    "copy_file_range",
    "setxattr",
    "openat2",
    "unlinkat",
    "renameat",
    "renameat2",
    "ftruncate",
    "getdents64",
    "fallocate",
    "mkdirat",
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[MemoryDisk]:
    # Completions that found no room keep their parts, of sixty times half of that.
    made = MemoryDisk(tmp_path / "disk", "64m,mode=700")
    reason = lack() or made.mount()
    if reason:
        pytest.skip(reason)
    yield made
    made.close()


def refused(endpoint: str) -> float:
    """A body whose length is known is refused, by the code that says why; after how many seconds. The others' objects are there."""
    exchange, content = Exchange(endpoint), body("large", "0.2", SIZE)
    begun = time.monotonic()
    reply = exchange.ask("PUT", "ledger/large", None, metadata("0.2", ("large", "0.2", SIZE)), content)
    lasted = time.monotonic() - begun
    assert reply.status in (0, 503, 507), reply
    assert looked_at(exchange.ask("GET", "ledger/standing"))["bytes"] == RIGHT
    exchange.close()
    return lasted


def put_standing(endpoint: str) -> None:
    exchange = Exchange(endpoint)
    content = ("standing", "0.1", 100_000)
    deadline = time.monotonic() + 60
    while exchange.ask("PUT", "ledger/standing", None, metadata("0.1", content), body(*content)).status != 200:
        assert time.monotonic() < deadline
    exchange.close()


def filled(directory: Path) -> Path:
    """A file that takes all the room that there is, again and again until others take it no more."""
    filler = directory / "filler"
    with contextlib.suppress(OSError), filler.open("ab") as file:
        while True:
            file.write(bytes(1 << 16))
            file.flush()
    return filler


def test_a08_full_store(tmp_path: Path, disk: MemoryDisk) -> None:
    """A store fills up and is emptied, under load: writes are refused or done, never lost; it takes them again when there is room."""
    with Daemon(tmp_path / "conf") as daemon:
        endpoint = daemon.start(properties(free_port(), disk.place))
        make_bucket(endpoint, "ledger")
        put_standing(endpoint)
        options = Options([endpoint], str(tmp_path / "ledgers"), seed=SEED, keys=6, largest=1 << 20, mix={**MIX, "upload": 12, "tags": 12})
        latest = slowest = 0.0
        with Load(options, PROCESSES) as load:
            for cycle in at_most(CYCLES, 300):
                load.until(60 * (cycle + 1), 300)
                filler = filled(disk.place)
                latest = max(latest, refused(endpoint))
                load.last(0.5)
                filler.unlink()
                begun = time.monotonic()
                while not _takes_more(endpoint):
                    assert time.monotonic() - begun < 60
                slowest = max(slowest, time.monotonic() - begun)
        load.verify()
        verdict = judge(tmp_path / "ledgers", SEED)
        for path in passing(disk.place):
            verdict.add("G", str(path))
        assert verdict.clean, verdict.told()
        assert daemon.alive
    report(
        "A8",
        f"{cycle + 1} times full, refused after {latest:.2f} s at most, {slowest:.2f} s at most till a write is taken again: {verdict}",
    )


def _takes_more(endpoint: str) -> bool:
    exchange = Exchange(endpoint)
    reply = exchange.ask("PUT", "ledger/more", None, metadata("0.3", ("more", "0.3", 1000)), body("more", "0.3", 1000))
    exchange.close()
    return reply.status == 200


def failed_reads(ledgers: Path) -> list[str]:
    """The reads that were not answered."""
    done, _ = calls(ledgers)
    reads = [call for call in done if call["op"] in ("read", "list", "read_tags") and call["end"] is not None]
    failed = [call for call in reads if call["outcome"] != OK and call["status"] not in (404, 416)]
    return [f"{call['op']} {call.get('key')}: {call.get('status')}" for call in failed]


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Disk]:
    with private_mounts():
        made = Disk("ext4", tmp_path / "mortal")
        reason = lack("mkfs.ext4", "losetup") or made.make()
        if reason:
            pytest.skip(reason)
        yield made
        made.close()


def is_off(daemon: Daemon) -> bool:
    """Whether the daemon says that it does without the directory of its cache."""
    where = re.search(r"Metrics at (http://\S+)/metrics", daemon.log)
    assert where is not None
    with urlopen(f"{where[1]}/metrics", timeout=30) as answer:
        found = re.search(rb"^alluxio_s3_cache_directory_disabled\{.*\} ([0-9.]+)$", answer.read(), re.MULTILINE)
    assert found is not None
    return float(found[1]) == 1


@pytest.mark.parametrize("fault", ["full", "dead", "read-only", "emptied", "unmounted"] if LONG else ["dead", "read-only", "emptied"])
def test_a09_dead_cache(tmp_path: Path, disk: MemoryDisk, mortal: Disk, fault: str) -> None:
    """Whatever becomes of the disk of the cache under load, no read fails, and none is wrong."""
    data = tmp_path / "data"
    data.mkdir()
    dying = fault in ("dead", "read-only")
    place = mortal.place if dying else disk.place
    place.chmod(0o700)
    cached = {
        "alluxio.dora.client.ufs.root.option.freshness": "strong",
        "alluxio.worker.page.store.dirs": place,
        "alluxio.worker.page.store.sizes": "64MB" if fault == "full" else "8MB",
        "alluxio.worker.s3.durability": "rename",
        "alluxio.worker.s3.admin.port": 0,
    }
    with Daemon(tmp_path / "conf") as daemon:
        endpoint = daemon.start(properties(free_port(), data, cached))
        assert not is_off(daemon)
        make_bucket(endpoint, "ledger")
        options = Options([endpoint], str(tmp_path / "ledgers"), seed=SEED, keys=10, largest=2 << 20)
        with Load(options, 3) as load:
            load.until(100)
            if dying:
                (mortal.cut if fault == "dead" else mortal.turn_read_only)()
            for _ in range(5 if LONG else 1):
                _break(disk, fault)
                load.last(12 if LONG else 0.7)
            while dying and not is_off(daemon):
                load.last(0.1)
            load.last(1)
        load.verify()
        verdict = judge(tmp_path / "ledgers", SEED)
        assert verdict.clean, verdict.told()
        assert daemon.alive
        assert failed_reads(tmp_path / "ledgers") == []
    report("A9", f"cache {fault}: 0 failed reads: {verdict}")


def _break(disk: MemoryDisk, fault: str) -> None:
    if fault == "full":
        filled(disk.place)
    elif fault == "emptied":
        for one in disk.place.iterdir():
            shutil.rmtree(one, ignore_errors=True)
    elif fault == "unmounted":
        disk.close()


def test_a11_failing_store(tmp_path: Path) -> None:
    """Every few calls the disk says EIO: that is told as 5xx or by a cut, never as 404, 403 or other bytes; what was answered is there."""
    reason = lack("strace")
    if reason:
        pytest.skip(reason)
    data = tmp_path / "data"
    data.mkdir()
    with Daemon(tmp_path / "conf") as daemon:
        endpoint = daemon.start(properties(free_port(), data))
        make_bucket(endpoint, "ledger")
        options = Options([endpoint], str(tmp_path / "ledgers"), seed=SEED, keys=8, largest=1 << 20)
        with Load(options, 3) as load:
            load.until(60)
            for call in CALLS if LONG else ["fsync,setxattr,renameat,unlinkat,pread64,openat2,getdents64"]:
                strace = _failing(daemon.pid, call, 4 if LONG else 5)
                load.last(6 if LONG else 2)
                strace.send_signal(signal.SIGINT)
                strace.wait()
            load.last(1)
        load.verify()
        verdict = judge(tmp_path / "ledgers", SEED)
        for path in passing(data):
            verdict.add("G", str(path))
        assert verdict.clean, verdict.told()
        assert verdict.counts["MAYBE"] > 3
    report("A11", f"EIO of {' '.join(CALLS)}: {verdict}")


def _failing(pid: int, call: str, every: int) -> subprocess.Popen[bytes]:
    """Have each thread's *every*-th call fail."""
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when={every}+{every}"]
    strace = subprocess.Popen(["strace", "-q", "-f", "-o", "/dev/null", *inject, "-p", str(pid)], stderr=subprocess.DEVNULL)
    while not re.search(rf"TracerPid:\s+{strace.pid}\n", Path(f"/proc/{pid}/status").read_text(encoding="utf-8")):
        if strace.poll() is not None:
            pytest.skip("strace cannot trace here")
    return strace

"""A data set that is larger than the cache, under mixed load for as long as it is told to: quota, memory, descriptors, bytes.

One daemon serves a directory, the origin. Another mounts it twice as an S3 store behind a cache that is too small for it, once as
``max_age`` and once as ``strong``. ``python -m benchmarks.cache_soak``. It ends with status 1 for a wrong byte, an answer that failed, a
cache beyond its size, memory or descriptors that grow, or a daemon whose log has trouble.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from attrs import define, field, frozen

from benchmarks.http.processor import seconds_of
from tests.running import Daemon

MIB = 1 << 20
OBJECT_BYTES = 64 * MIB
HOT = 0.2
BASE = random.Random(4).randbytes(8 * MIB + 13)
SAMPLE_SECONDS = 5.0
# What memory and descriptors may gain from the second quarter of the time to the last.
GROWTH, GROWTH_BYTES, GROWTH_FILES = 1.15, 48 * MIB, 64


def expected(seed: int, offset: int, count: int) -> bytes:
    """These bytes of the object of that seed."""
    at = (seed * 7919 + offset) % len(BASE)
    pieces = []
    while count:
        piece = BASE[at : at + count]
        pieces.append(piece)
        count -= len(piece)
        at = 0
    return b"".join(pieces)


@frozen
class Sample:
    """The front daemon at one moment: bytes of disk of its pages, memory, descriptors."""

    pages: int
    memory: int
    files: int


@define
class Tally:
    """What came of everything."""

    done: Counter[str] = field(factory=Counter)
    read: int = 0
    wrong: list[str] = field(factory=list)
    failed: list[str] = field(factory=list)
    samples: list[Sample] = field(factory=list)


class Client(threading.Thread):
    """Reads and writes as chance has it until ``until``. The keys that it writes are its own."""

    def __init__(self, number: int, address: str, objects: int, tally: Tally, until: float) -> None:
        super().__init__(daemon=True)
        self._number = number
        self._address = address
        self._objects = objects
        self._tally = tally
        self._until = until
        self._chance = random.Random(number)
        self._connection = http.client.HTTPConnection(address, timeout=120)
        self._mine: dict[str, tuple[int, int]] = {}

    def run(self) -> None:
        """One thing after another."""
        kinds = {self._range: 60, self._whole: 6, self._leave: 5, self._head: 9, self._write: 10, self._read_own: 7, self._delete: 3}
        while time.monotonic() < self._until:
            act = self._chance.choices(list(kinds), list(kinds.values()))[0]
            try:
                act()
                self._tally.done[act.__name__] += 1
            except (OSError, http.client.HTTPException, ValueError) as problem:
                self._tally.failed.append(f"client {self._number} {act.__name__}: {type(problem).__name__}: {problem}")
                self._connection.close()

    def _pick(self) -> int:
        """Most reads are of the few objects that are hot."""
        hot = max(1, int(self._objects * HOT))
        return self._chance.randrange(hot) if self._chance.random() < 0.7 else self._chance.randrange(self._objects)

    def _ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> http.client.HTTPResponse:
        self._connection.request(method, path, body, headers)
        return self._connection.getresponse()

    def _check(self, what: str, got: bytes, wanted: bytes) -> None:
        self._tally.read += len(got)
        if got != wanted:
            self._tally.wrong.append(f"client {self._number}: {what}: {len(got)} bytes, of which some are wrong")

    def _range(self) -> None:
        seed, count = self._pick(), int(2 ** self._chance.uniform(0, 22))
        offset = self._chance.randrange(OBJECT_BYTES - count)
        mount = self._chance.choice(("kept", "strong"))
        answer = self._ask("GET", f"/{mount}/{seed}", Range=f"bytes={offset}-{offset + count - 1}")
        got = answer.read()
        _must(answer, 206)
        self._check(f"{mount}/{seed} from {offset}", got, expected(seed, offset, count))

    def _whole(self) -> None:
        seed = self._pick()
        answer = self._ask("GET", f"/kept/{seed}")
        _must(answer, 200)
        offset = 0
        while piece := answer.read(4 * MIB):
            self._check(f"kept/{seed} whole, from {offset}", piece, expected(seed, offset, len(piece)))
            offset += len(piece)
        if offset != OBJECT_BYTES:
            raise ValueError(f"kept/{seed} ended at {offset}")

    def _leave(self) -> None:
        seed = self._pick()
        answer = self._ask("GET", f"/kept/{seed}")
        _must(answer, 200)
        self._check(f"kept/{seed} begun", answer.read(MIB), expected(seed, 0, MIB))
        self._connection.close()

    def _head(self) -> None:
        answer = self._ask("HEAD", f"/kept/{self._pick()}")
        answer.read()
        _must(answer, 200)

    def _write(self) -> None:
        key, seed = f"own-{self._number}-{self._chance.randrange(20)}", self._chance.randrange(10**6)
        count = int(2 ** self._chance.uniform(0, 21))
        answer = self._ask("PUT", f"/kept/{key}", expected(seed, 0, count))
        answer.read()
        _must(answer, 200)
        self._mine[key] = (seed, count)

    def _read_own(self) -> None:
        if not self._mine:
            return
        key, (seed, count) = self._chance.choice(list(self._mine.items()))
        answer = self._ask("GET", f"/kept/{key}")
        got = answer.read()
        _must(answer, 200)
        self._check(f"{key} of its own", got, expected(seed, 0, count))

    def _delete(self) -> None:
        if not self._mine:
            return
        key = self._chance.choice(list(self._mine))
        answer = self._ask("DELETE", f"/kept/{key}")
        answer.read()
        _must(answer, 204)
        del self._mine[key]
        answer = self._ask("HEAD", f"/kept/{key}")
        answer.read()
        _must(answer, 404)


def _must(answer: http.client.HTTPResponse, status: int) -> None:
    if answer.status != status:
        raise ValueError(f"{answer.status} and not {status}")


def sampled(pid: int, pages: Path) -> Sample:
    """The daemon of that pid, which keeps its pages there, as it is now."""
    found: list[tuple[str, os.stat_result]] = []
    for place in ("pages", "fills"):
        for folder, _, names in os.walk(pages / place):
            for name in names:
                with suppress(FileNotFoundError):
                    found.append((f"{folder}/{name}", os.lstat(f"{folder}/{name}")))
    # Files come and go meanwhile: what is still there now, and no other in its place, was all there at one moment, when the walk had ended.
    used = sum(state.st_blocks * 512 for path, state in found if _is_still(path, state))
    memory = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return Sample(used, memory, len(list(Path(f"/proc/{pid}/fd").iterdir())))


def _is_still(path: str, state: os.stat_result) -> bool:
    with suppress(FileNotFoundError):
        now = os.lstat(path)
        return (now.st_ino, now.st_mtime_ns) == (state.st_ino, state.st_mtime_ns)
    return False


def properties(scratch: Path, store: str, size: int) -> dict[str, object]:
    """Those of the daemon with the cache."""
    shared = {"alluxio.underfs.s3.endpoint": store, "alluxio.underfs.s3.region": "us-east-1", "s3a.accessKeyId": "s", "s3a.secretKey": "s"}
    kinds = {"kept": "max_age=5min", "strong": "strong"}
    mounts = [{"path": f"/{name}", "uri": "s3://soak", "options": shared | {"freshness": kind}} for name, kind in kinds.items()]
    table = scratch / "mounts.json"
    table.write_text(json.dumps({"version": 1, "mounts": mounts}), encoding="ascii")
    table.chmod(0o600)
    return {
        "alluxio.worker.s3.api.enabled": True,
        "alluxio.worker.rest.port": 0,
        "alluxio.worker.s3.bind.host": "127.0.0.1",
        "alluxio.worker.s3.mount.table": table,
        "alluxio.worker.page.store.dirs": scratch / "pages",
        "alluxio.worker.page.store.sizes": size,
    }


def complaints(tally: Tally, size: int) -> Iterator[str]:
    """What is not as it should be."""
    yield from tally.wrong[:10]
    yield from tally.failed[:10]
    if len(tally.failed) > 10:
        yield f"{len(tally.failed)} failures in all"
    most = max(one.pages for one in tally.samples)
    if most > size:
        yield f"the pages took {most} bytes of {size}"
    count = len(tally.samples)
    before, after = tally.samples[count // 4 : count // 2], tally.samples[count * 3 // 4 :]
    if not before:
        return
    memory = [median(one.memory for one in part) for part in (before, after)]
    files = [median(one.files for one in part) for part in (before, after)]
    if memory[1] > memory[0] * GROWTH + GROWTH_BYTES:
        yield f"memory grows: {memory[0] / MIB:.0f} to {memory[1] / MIB:.0f} MiB"
    if files[1] > files[0] + GROWTH_FILES and files[1] > files[0] * GROWTH:
        yield f"descriptors grow: {files[0]:.0f} to {files[1]:.0f}"


def soak(given: argparse.Namespace, scratch: Path) -> list[str]:
    """Do it; what is not as it should be."""
    objects, size = given.data // OBJECT_BYTES, given.cache
    bucket = scratch / "data" / "soak"
    bucket.mkdir(parents=True)
    for seed in range(objects):
        with (bucket / str(seed)).open("wb") as file:
            for offset in range(0, OBJECT_BYTES, 8 * MIB):
                file.write(expected(seed, offset, 8 * MIB))
    plain = {"alluxio.worker.s3.api.enabled": True, "alluxio.worker.rest.port": 0, "alluxio.worker.s3.bind.host": "127.0.0.1"}
    with Daemon(scratch / "origin") as origin, Daemon(scratch / "front") as front:
        store = origin.start(plain | {"alluxio.dora.client.ufs.root": scratch / "data"})
        address = urlsplit(front.start(properties(scratch, store, size))).netloc
        tally, until = Tally(), time.monotonic() + given.minutes * 60
        clients = [Client(number, address, objects, tally, until) for number in range(given.clients)]
        for one in clients:
            one.start()
        before = seconds_of(front.pid)
        while time.monotonic() < until and front.alive:
            tally.samples.append(sampled(front.pid, scratch / "pages"))
            time.sleep(SAMPLE_SECONDS)
        for one in clients:
            one.join(180)
        spent = seconds_of(front.pid) - before if front.alive else 0
        found = [f"a client never ended: {one.name}" for one in clients if one.is_alive()]
        front.stop()
        origin.stop()
        found += [*complaints(tally, size), *front.trouble[:3], *origin.trouble[:3]]
    told = ", ".join(f"{count:,} {name.strip('_')}" for name, count in sorted(tally.done.items()))
    print(f"{given.minutes:g} minutes, {given.clients} clients, {objects} objects of {OBJECT_BYTES // MIB} MiB: {told}")
    ended = f"{len(tally.wrong)} wrong, {len(tally.failed)} failed"
    print(f"{tally.read / (1 << 30):.1f} GiB read and compared, {ended}; {spent:.0f} s of processor")
    print(f"pages: at most {max(one.pages for one in tally.samples) / MIB:,.0f} of {size / MIB:,.0f} MiB")
    for name, values in (
        ("memory, MiB", [one.memory / MIB for one in tally.samples]),
        ("descriptors", [one.files for one in tally.samples]),
    ):
        print(f"{name}: {values[len(values) // 4]:,.0f} after a quarter, {values[-1]:,.0f} at the end, {max(values):,.0f} at most")
    return found


def main() -> None:
    """Soak, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--data", type=int, default=10 << 30, help="bytes of the data set")
    parser.add_argument("--cache", type=int, default=2 << 30, help="bytes of the cache")
    parser.add_argument("--directory", default="/var/tmp", help="where all of it goes")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cache-soak-", dir=given.directory) as directory:
        found = soak(given, Path(directory))
    for one in found:
        print(f"NOT as it should be: {one}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()

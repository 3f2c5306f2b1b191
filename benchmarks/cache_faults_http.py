"""Reads over HTTP of a daemon with a cache, before a store that misbehaves, while bits of its page files flip: wrong bytes are counted.

A daemon of two processes mounts the store, once as ``max_age`` and once as ``strong``, behind a cache that is smaller than its objects.
Their versions change behind its back. Several processes read, and hold every answer against the version that its ETag names.
``python -m benchmarks.cache_faults_http``. It ends with status 1 if a byte is wrong, or the daemon is in trouble.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.cache_faults import flip
from benchmarks.misbehaving_store import MisbehavingStore, Version
from tests.running import Daemon

PAGE, OBJECTS, VERSIONS = 16 << 10, 32, 4
# Of the 1.9 MiB that the objects have, some do not fit: each page takes 20 KiB of the disk.
CACHE_BYTES = 2 << 20
# How often a read of the store's bytes, and a look at what it has, goes wrong.
READ_FAULTS, LOOK_FAULTS = 0.3, 0.02
CHANGE_SECONDS, FLIP_SECONDS = 0.5, 0.01
LAST_SECONDS = 60


def body(number: int, version: int) -> bytes:
    """An object's bytes: up to six pages, the last one not whole."""
    return random.Random(number * VERSIONS + version).randbytes((2 + number % 5) * PAGE - number * 13)


def properties(scratch: Path, store: str) -> dict[str, object]:
    """Those of the daemon."""
    shared = {"alluxio.underfs.s3.endpoint": store, "alluxio.underfs.s3.region": "us-east-1", "s3a.accessKeyId": "s", "s3a.secretKey": "s"}
    shared |= {"alluxio.underfs.s3.request.timeout": "4s", "alluxio.underfs.s3.socket.timeout": "1s"}
    kinds = {"kept": "max_age=5sec", "strong": "strong"}
    mounts = [{"path": f"/{name}", "uri": "s3://faults", "options": shared | {"freshness": kind}} for name, kind in kinds.items()]
    table = scratch / "mounts.json"
    table.write_text(json.dumps({"version": 1, "mounts": mounts}), encoding="ascii")
    table.chmod(0o600)
    return {
        "alluxio.worker.s3.api.enabled": True,
        "alluxio.worker.rest.port": 0,
        "alluxio.worker.s3.bind.host": "127.0.0.1",
        "alluxio.worker.s3.connection.keep.alive.enabled": True,
        "alluxio.worker.s3.processes": 2,
        "alluxio.worker.s3.mount.table": table,
        "alluxio.worker.page.store.dirs": scratch / "pages",
        "alluxio.worker.page.store.sizes": CACHE_BYTES,
        "alluxio.worker.page.store.page.size": PAGE,
    }


class Client:
    """One connection after the other to ``address``."""

    def __init__(self, address: str) -> None:
        host, _, port = address.partition(":")
        self._address = (host, int(port))
        self._socket: socket.socket | None = None

    def get(self, path: str, range_: str) -> tuple[int, dict[str, str], bytes, bool]:
        """The status, the headers, the bytes that came, and whether they are all. Raises OSError if no head came."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=LAST_SECONDS)
        whole = False
        try:
            self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: faults\r\n{range_}\r\n".encode("ascii"))
            got = bytearray()
            while (end := got.find(b"\r\n\r\n")) < 0:
                got += self._more()
            status_line, *lines = got[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            del got[: end + 4]
            length = int(headers["content-length"])
            while len(got) < length:
                try:
                    got += self._more()
                except OSError:
                    break
            whole = len(got) == length
            return int(status_line.split(" ")[1]), headers, bytes(got), whole
        finally:
            if not whole or headers.get("connection") == "close":
                self._socket.close()
                self._socket = None

    def _more(self) -> bytes:
        assert self._socket is not None
        found = self._socket.recv(1 << 18)
        if not found:
            raise ConnectionResetError
        return found


def read_on(address: str, reads: int, seed: int, versions: dict[str, bytes]) -> Counter[str]:
    """Read ranges of objects; what became of it."""
    chance, found = random.Random(seed), Counter[str]()
    sizes = [len(data) for data in versions.values()][::VERSIONS]
    client = Client(address)
    for _ in range(reads):
        number = chance.randrange(OBJECTS)
        first = chance.randrange(sizes[number])
        last = min(sizes[number] - 1, first + chance.randrange(4 * PAGE))
        whole = chance.random() < 0.2
        mount = chance.choices(("kept", "strong"), (2, 1))[0]
        try:
            status, headers, got, complete = client.get(f"/{mount}/o{number}", "" if whole else f"Range: bytes={first}-{last}\r\n")
        except OSError as problem:
            found[f"failed: {type(problem).__name__}"] += 1
            continue
        if status not in (200, 206):
            found[f"failed: {status}"] += 1
            continue
        wanted = versions.get(headers["etag"].strip('"'), b"")
        wanted = wanted if whole else wanted[first : last + 1]
        if not complete:
            found["failed: cut" if wanted.startswith(got) else "WRONG before a cut"] += 1
        else:
            found["right" if got == wanted and status == (200 if whole else 206) else "WRONG"] += 1
            found[f"told: {headers['cache-status']}"] += 1
    return found


def forked(run: Callable[[], object]) -> int:
    """A process that does ``run``; its number."""
    process = os.fork()
    if process:
        return process
    status = 70
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        run()
        status = 0
    finally:
        os._exit(status)


def told(path: Path, run: Callable[[], Counter[str]]) -> None:
    """Write down what ``run`` counts."""
    path.write_text(json.dumps(run()), encoding="ascii")


def faulty(given: argparse.Namespace, scratch: Path) -> tuple[Counter[str], Counter[str], list[str]]:
    """Do it: what became of the reads, what the store and the disk did, and the daemon's trouble."""
    bodies = [body(number, version) for number in range(OBJECTS) for version in range(VERSIONS)]
    etags = [hashlib.md5(data, usedforsecurity=False).hexdigest() for data in bodies]
    versions = dict(zip(etags, bodies, strict=True))
    there = {f"/faults/o{number}": Version(bodies[number * VERSIONS], etags[number * VERSIONS]) for number in range(OBJECTS)}
    # The processes that read are made before there are threads: they wait until they are told where.
    ready, go = os.pipe()
    outs = [scratch / f"out{number}" for number in range(given.clients)]
    each = given.reads // given.clients

    def client(at: int) -> None:
        address = os.read(ready, 64).decode("ascii").strip()
        told(outs[at], lambda: read_on(address, each, given.seed + at, versions))

    clients = [forked(lambda at=at: client(at)) for at in range(given.clients)]  # type: ignore[misc]
    parent = os.getpid()
    flips = scratch / "flips"
    flipper = 0 if given.no_flips else forked(lambda: flip(scratch / "pages", given.seed, parent, FLIP_SECONDS, flips))
    with (
        MisbehavingStore(there, given.seed, reads=given.faults, looks=LOOK_FAULTS) as store,
        Daemon(scratch / "front") as front,
    ):
        address = urlsplit(front.start(properties(scratch, store.endpoint))).netloc
        os.write(go, address.ljust(64).encode("ascii") * given.clients)
        ended = threading.Event()

        def change() -> None:
            chance = random.Random(given.seed)
            while not ended.wait(CHANGE_SECONDS):
                number = chance.randrange(OBJECTS)
                at = number * VERSIONS + chance.randrange(VERSIONS)
                there[f"/faults/o{number}"] = Version(bodies[at], etags[at])

        changing = threading.Thread(target=change, daemon=True)
        changing.start()
        statuses = [os.waitstatus_to_exitcode(os.waitpid(one, 0)[1]) for one in clients]
        ended.set()
        changing.join()
        if flipper:
            os.kill(flipper, signal.SIGTERM)
            os.waitpid(flipper, 0)
        trouble = [f"a client ended with {status}" for status in statuses if status]
        trouble += [] if front.alive else ["the daemon has ended"]
        front.stop()
        store.shutdown()
        found: Counter[str] = sum((Counter(json.loads(out.read_text(encoding="ascii"))) for out in outs if out.exists()), Counter())
        met = store.met + Counter({"pages damaged on the disk": int(flips.read_text(encoding="ascii")) if flips.exists() else 0})
        return found, met, [*trouble, *front.trouble[:3]]


def main() -> None:
    """Read, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reads", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--faults", type=float, default=READ_FAULTS, help="the share of the store's reads that go wrong")
    parser.add_argument("--no-flips", action="store_true", help="leave the pages on the disk alone")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cache-faults-", dir="/var/tmp") as directory:
        found, met, trouble = faulty(given, Path(directory))
    for name, count in sorted(found.items()):
        print(f"{count:9,} {name}")
    print("what went wrong below: " + ", ".join(f"{count:,} {name}" for name, count in sorted(met.items())))
    wrong = sum(count for name, count in found.items() if name.startswith("WRONG"))
    failed = sum(count for name, count in found.items() if name.startswith("failed"))
    reads = found["right"] + wrong + failed
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(one.ru_utime + one.ru_stime for one in used)
    taken = time.monotonic() - started
    print(f"{reads:,} reads over HTTP in {taken:.0f} s ({seconds:.0f} s of processor): {wrong} wrong, {failed:,} failed visibly")
    for one in trouble:
        print(f"NOT as it should be: {one}")
    sys.exit(bool(wrong or trouble))


if __name__ == "__main__":
    main()

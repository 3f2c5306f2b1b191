"""What the page cache gives: second reads and small objects beside the local directory's, first reads beside those without a cache.

One daemon serves a directory, the origin. Another serves the same directory through a cache, and mounts the origin as an S3 store, once
through the cache and once without. A third serves the directory no faster than stores do over a network, and is mounted too.
``python -m benchmarks.cache``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from attrs import frozen

from benchmarks.http.load import GIB, Connection, Many, Sample, Streams, head, requests_file
from benchmarks.http.network import run_inside
from benchmarks.http.processor import on_core, two_cores
from benchmarks.http.servers import HOST, Server, daemon

BUCKET = "bench"
SMALL, SMALL_BYTES = 512, 4096
# Objects that are read once.
COLD = ("cold0", "cold1", "cold2", "crowd")
# What a store over a network gives, in MB a second; and how long until it would give a second's worth at once again.
NETWORK_MB = 100
PAUSE_SECONDS = 1.1
CLIENTS = 50
FIRST_BYTES = 128
# The options of a mount with a cache.
KEPT = {"freshness": "max_age=1h"}
# What a first read is to come to, of asking the store itself.
FIRST_READ = 0.85
# Until what has been read for the first time is on the disk, and counted.
SETTLED_SECONDS = 0.5
_CACHE = "alluxio.dora.client.ufs.root.option.freshness"


@frozen
class Ratio:
    """What the cached server does of what the plain one does, round by round."""

    name: str
    goal: float
    cached: list[Sample]
    plain: list[Sample]

    def line(self) -> str:
        """For people."""
        ratio = median(one.rate for one in self.cached) / median(one.rate for one in self.plain)
        rates = f"{median(one.rate for one in self.cached):,.2f} of {median(one.rate for one in self.plain):,.2f}"
        taken = f"{median(one.processor for one in self.cached):.2g} and {median(one.processor for one in self.plain):.2g}"
        verdict = "as wanted" if ratio >= self.goal else "LESS than wanted"
        return f"{self.name:46} {ratio:6.2f}  ({rates} a second, at {taken} s of the server's; goal {self.goal}: {verdict})"


@contextmanager
def both(scratch: Path, root: Path) -> Iterator[tuple[Server, Server, Server]]:
    """The daemon with a cache, the one without, and the one that gives no more than a network."""
    for name in ("cached", "plain", "paced"):
        (scratch / name).mkdir()
    pace = {"alluxio.proxy.s3.global.read.rate.limit.mb": NETWORK_MB}
    with (
        daemon(scratch / "plain", root) as plain,
        daemon(scratch / "paced", root, pace) as paced,
        daemon(scratch / "cached", root, _properties(scratch, plain, paced)) as cached,
    ):
        yield cached, plain, paced


def _properties(scratch: Path, origin: Server, paced: Server) -> dict[str, object]:
    kinds = (("kept", origin, KEPT), ("through", origin, {"cache": "never"}), ("far", paced, KEPT))
    mounts = [mount(name, BUCKET, f"http://{HOST}:{server.port}", options) for name, server, options in kinds]
    return {_CACHE: "max_age=1h", **cached(scratch, *mounts)}


def mount(
    name: str, bucket: str, endpoint: str, options: Mapping[str, str], access_key: str = "bench", secret: str = "bench"
) -> dict[str, object]:
    """An S3 store as a bucket with that ``name``."""
    store = {
        "alluxio.underfs.s3.region": "us-east-1",
        "alluxio.underfs.s3.endpoint": endpoint,
        "s3a.accessKeyId": access_key,
        "s3a.secretKey": secret,
    }
    return {"path": f"/{name}", "uri": f"s3://{bucket}", "options": {**store, **options}}


def cached(scratch: Path, *mounts: Mapping[str, object]) -> dict[str, object]:
    """The properties of a daemon with a cache that is never full, and those ``mounts``."""
    table = scratch / "mounts.json"
    table.write_text(json.dumps({"version": 1, "mounts": mounts}), encoding="ascii")
    table.chmod(0o600)
    return {
        "alluxio.worker.s3.mount.table": table,
        "alluxio.worker.page.store.dirs": scratch / "pages",
        "alluxio.worker.page.store.sizes": "16GB",
    }


def store(root: Path, large: int) -> None:
    """Write the objects."""
    bucket = root / BUCKET
    (bucket / "small").mkdir(parents=True)
    for number in range(SMALL):
        (bucket / "small" / f"{number:04}").write_bytes(bytes([number % 251]) * SMALL_BYTES)
    piece = bytes(range(256)) * 4096
    for name in ("large", *COLD):
        with (bucket / name).open("wb") as file:
            for _ in range((large if name == "large" else large // 4) // len(piece)):
                file.write(piece)


def compare(
    name: str, goal: float, run: Callable[[Server, float], Sample], servers: tuple[Server, Server], given: argparse.Namespace, core: int
) -> Ratio:
    """Both in turn, after a round that does not count."""
    found = Ratio(name, goal, [], [])
    with on_core(core):
        for server in servers:
            run(server, 1.0)
        for _ in range(given.rounds):
            found.cached.append(run(servers[0], given.seconds))
            found.plain.append(run(servers[1], given.seconds))
    print(found.line(), flush=True)
    return found


def once(server: Server, path: str, size: int, request: bytes = b"") -> Sample:
    """One read of an object, by ``request`` if that has to be another than ``head`` makes."""
    connection = Connection(server, request or head(server, "GET", path), size)
    before = server.processor_seconds()
    connection.ask()
    while connection.read():
        pass
    connection.close()
    gib = size / GIB
    return Sample(gib / connection.times[0], (server.processor_seconds() - before) / gib)


def touch(scratch: Path, size: int) -> None:
    """Have as much memory at hand as a read fills: on a virtual machine what was free for long is fetched from the host, at 2 s a GiB."""
    file = scratch / "touched"
    piece = bytes(1 << 20)
    with file.open("wb") as opened:
        for _ in range(size >> 20):
            opened.write(piece)
    file.unlink()


def first_reads_in_turn(name: str, reads: Iterable[tuple[Callable[[], Sample], Callable[[], Sample]]], scratch: Path, memory: int) -> Ratio:
    """Each object from the store itself, then through the cache, after a pair that does not count. ``memory``: bytes that a read fills."""
    found = Ratio(name, FIRST_READ, [], [])
    for number, (itself, through) in enumerate(reads):
        touch(scratch, memory)
        plain = itself()
        touch(scratch, memory)
        kept = through()
        time.sleep(SETTLED_SECONDS)
        if number:
            found.plain.append(plain)
            found.cached.append(kept)
    return found


def first_reads(servers: tuple[Server, Server, Server], size: int, scratch: Path) -> None:
    """Reads that fill the cache from S3 stores, beside reads past the cache; and many clients that read one object at once."""
    server, origin, paced = servers
    cold = Ratio("first read, of an S3 store, beside past the cache", FIRST_READ, [], [])
    far = Ratio(f"first read, of one of {NETWORK_MB} MB/s, asked itself", FIRST_READ, [], [])
    for name in COLD[:3]:
        cold.plain.append(once(server, f"/through/{name}", size))
        touch(scratch, size + (64 << 20))
        cold.cached.append(once(server, f"/kept/{name}", size))
        time.sleep(PAUSE_SECONDS)
        far.plain.append(once(paced, f"/{BUCKET}/{name}", size))
        time.sleep(PAUSE_SECONDS)
        far.cached.append(once(server, f"/far/{name}", size))
    print(cold.line(), flush=True)
    print(far.line(), flush=True)
    _first_bytes(server, origin)
    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda _: once(server, "/kept/crowd", size), range(CLIENTS)))
    taken = time.perf_counter() - started
    print(f"{'first read by 50 clients at once':44} {CLIENTS * size / GIB / taken:6.2f}  GiB/s together", flush=True)


def _first_bytes(server: Server, origin: Server) -> None:
    """Small objects that the store has open, from itself and for the first time through the cache, in turn."""
    asked: dict[str, list[float]] = {"itself": [], "kept": []}
    for number in range(FIRST_BYTES):
        path = f"small/{number:04}"
        first_byte(origin, f"/{BUCKET}/{path}")
        ways = [("itself", origin, BUCKET), ("kept", server, "kept")]
        for name, one, bucket in ways if number % 2 else reversed(ways):
            asked[name].append(first_byte(one, f"/{bucket}/{path}"))
    late = (median(asked["kept"]) - median(asked["itself"])) * 1000
    print(
        f"{'first byte of a small object, later by':44} {late:6.2f}  ms  (goal 5: {'as wanted' if late <= 5 else 'LESS than wanted'})",
        flush=True,
    )


def first_byte(server: Server, path: str) -> float:
    """How long it takes until an answer begins, in seconds."""
    connection = Connection(server, head(server, "GET", path), SMALL_BYTES)
    connection.ask()
    while connection.read():
        pass
    connection.close()
    return connection.times[0]


def warm(server: Server, paths: list[str]) -> None:
    """Have these small objects in the cache, and open there: on a machine that has other work the round before the first is too short."""
    connection = Connection(server, b"", SMALL_BYTES)
    # The first read fetches, the second may come while it is written, the third verifies what is on the disk.
    for path in paths * 3:
        connection.request = head(server, "GET", path)
        connection.ask()
        while connection.read():
            pass
    connection.close()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--large", type=int, default=GIB, help="bytes of the large object")
    parser.add_argument("--directory", default="/var/tmp", help="where the pages and all else go; /dev/shm is memory")
    given = parser.parse_args()
    status = run_inside("benchmarks.cache")
    if status is not None:
        sys.exit(status)
    with tempfile.TemporaryDirectory(prefix="bench-cache-", dir=given.directory) as directory:
        scratch, root = Path(directory), Path(directory) / "data"
        store(root, given.large)
        ours, theirs = two_cores()
        with on_core(ours), both(scratch, root) as servers:
            with on_core(theirs):
                first_reads(servers, given.large // 4, scratch)
                # More than once, since what the disk was too slow for is fetched again.
                for _ in range(3):
                    once(servers[0], f"/{BUCKET}/large", given.large)
            two = servers[:2]
            compare("second read, one client", 0.95, Streams(f"/{BUCKET}/large", given.large, 1), two, given, theirs)
            compare("second read, eight clients", 0.95, Streams(f"/{BUCKET}/large", given.large, 8), two, given, theirs)
            paths = [f"/{BUCKET}/small/{number:04}" for number in range(SMALL)]
            targets = requests_file(scratch / "requests", (f"GET {path}" for path in paths))
            with on_core(theirs):
                warm(servers[0], paths)
            compare("4 KiB hot, 64 clients", 0.8, Many(targets, 64, SMALL_BYTES), two, given, theirs)


if __name__ == "__main__":
    main()

"""First reads of an S3 store that is behind a link, through the cache, beside the same client's reads of that store itself.

The store is a daemon in a network namespace of its own, whose link brings so many Gbit/s from there: in the field a store is not
on the worker's own machine. It shares a core with the client; the daemon that caches has the other one, or ``--both``.
The client takes bytes from its socket and does nothing with them, or is a ``--client`` that people use, with its start.
``python -m benchmarks.cache_links`` (root).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.cache import BUCKET, Ratio, once, touch
from benchmarks.cache_clients import CLIENTS, read
from benchmarks.http.load import Sample
from benchmarks.http.network import FAR, behind_a_link, run_inside
from benchmarks.http.processor import on_core, two_cores
from benchmarks.http.servers import Server, daemon

GOAL = 0.85
# Until what has been read is on the disk, and counted.
PAUSE_SECONDS = 0.5


def store(root: Path, rounds: int, size: int) -> list[str]:
    """Write one object under a name for each round; the names."""
    (root / BUCKET).mkdir(parents=True)
    names = [f"cold{number}" for number in range(rounds)]
    first = root / BUCKET / names[0]
    piece = os.urandom(1 << 20)
    with first.open("wb") as file:
        for _ in range(size >> 20):
            file.write(piece)
    for name in names[1:]:
        os.link(first, root / BUCKET / name)
    return names


def _properties(scratch: Path, port: int) -> dict[str, object]:
    options = {
        "alluxio.underfs.s3.region": "us-east-1",
        "s3a.accessKeyId": "bench",
        "s3a.secretKey": "bench",
        "alluxio.underfs.s3.endpoint": f"http://{FAR}:{port}",
        "freshness": "max_age=1h",
    }
    table = scratch / "mounts.json"
    mount = {"path": "/kept", "uri": f"s3://{BUCKET}", "options": options}
    table.write_text(json.dumps({"version": 1, "mounts": [mount]}), encoding="ascii")
    table.chmod(0o600)
    return {
        "alluxio.worker.s3.mount.table": table,
        "alluxio.worker.page.store.dirs": scratch / "pages",
        "alluxio.worker.page.store.sizes": "16GB",
    }


def first_reads(gigabits: float, client: str, given: argparse.Namespace) -> Ratio:
    """Both ways in turn, after a round that does not count."""
    ours, theirs = two_cores()
    found = Ratio(f"first read, {client} behind {gigabits:g} Gbit/s", GOAL, [], [])

    # For the pages, and for what programs write.
    memory = (2 if client in CLIENTS else 1) * given.size + (64 << 20)

    def read_once(server: Server, path: str) -> Sample:
        return read(client, server, path, given.size) if client in CLIENTS else once(server, path, given.size)

    with tempfile.TemporaryDirectory(prefix="bench-links-", dir=given.directory) as directory, behind_a_link(gigabits) as inside:
        scratch = Path(directory)
        names = store(scratch / "data", given.rounds + 1, given.size)
        for name in ("far", "near"):
            (scratch / name).mkdir()
        with (
            on_core(theirs),
            daemon(scratch / "far", scratch / "data", host=FAR, before=inside) as far,
            on_core(*((ours, theirs) if given.both else (ours,))),
            daemon(scratch / "near", scratch / "data", _properties(scratch, far.port)) as near,
            on_core(*((ours, theirs) if client in CLIENTS and given.both else (theirs,))),
        ):
            for number, name in enumerate(names):
                touch(scratch, memory)
                direct = read_once(far, f"/{BUCKET}/{name}")
                touch(scratch, memory)
                cached = read_once(near, f"/kept/{name}")
                time.sleep(PAUSE_SECONDS)
                if number:
                    found.plain.append(direct)
                    found.cached.append(cached)
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=256 << 20, help="bytes of an object, of whole MiB")
    parser.add_argument("--gigabits", type=float, nargs="+", default=[10, 5, 2.5])
    parser.add_argument("--client", nargs="+", default=["bare"], choices=("bare", *CLIENTS), help="who reads")
    parser.add_argument("--both", action="store_true", help="the daemon has both cores, and a client that people use too")
    parser.add_argument("--directory", default="/var/tmp", help="where the pages and all else go")
    given = parser.parse_args()
    status = run_inside("benchmarks.cache_links")
    if status is not None:
        sys.exit(status)
    if os.geteuid() != 0:
        raise SystemExit("a link takes root and ip")
    for client, gigabits in itertools.product(given.client, given.gigabits):
        print(first_reads(gigabits, client, given).line(), flush=True)


if __name__ == "__main__":
    main()

"""First reads of an S3 store that is behind a link, through the cache, beside the same client's reads of that store itself.

The store is a daemon in a network namespace of its own, whose link brings so many Gbit/s from there: in the field a store is not
on the worker's own machine. It shares a core with the client; the daemon that caches has the other one, or ``--both``.
The client takes bytes from its socket and does nothing with them, or is a ``--client`` that people use, with its start.
``python -m benchmarks.cache_links`` (root).
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.cache import BUCKET, KEPT, Ratio, cached, first_reads_in_turn, mount, once
from benchmarks.cache_clients import CLIENTS, check, read
from benchmarks.http.load import Sample
from benchmarks.http.network import FAR, behind_a_link, run_inside
from benchmarks.http.processor import on_core, two_cores
from benchmarks.http.servers import Server, daemon


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


def first_reads(gigabits: float, client: str, given: argparse.Namespace) -> Ratio:
    """By a ``client``, of a store behind a link of so many Gbit/s."""
    ours, theirs = two_cores()
    known = client in CLIENTS
    # For the pages, and for what programs write.
    memory = (2 if known else 1) * given.size + (64 << 20)

    def read_once(server: Server, path: str) -> Sample:
        return read(client, server, path, given.size) if known else once(server, path, given.size)

    with tempfile.TemporaryDirectory(prefix="bench-links-", dir=given.directory) as directory, behind_a_link(gigabits) as inside:
        scratch = Path(directory)
        names = store(scratch / "data", given.rounds + 1, given.size)
        for name in ("far", "near"):
            (scratch / name).mkdir()
        with (
            on_core(theirs),
            daemon(scratch / "far", scratch / "data", host=FAR, before=inside) as far,
            on_core(*((ours, theirs) if given.both else (ours,))),
            daemon(scratch / "near", scratch / "data", cached(scratch, mount("kept", BUCKET, f"http://{FAR}:{far.port}", KEPT))) as near,
            on_core(*((ours, theirs) if known and given.both else (theirs,))),
        ):
            reads = [(partial(read_once, far, f"/{BUCKET}/{name}"), partial(read_once, near, f"/kept/{name}")) for name in names]
            return first_reads_in_turn(f"first read, {client} behind {gigabits:g} Gbit/s", reads, scratch, memory)


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
    check(given.client)
    for client, gigabits in itertools.product(given.client, given.gigabits):
        print(first_reads(gigabits, client, given).line(), flush=True)


if __name__ == "__main__":
    main()

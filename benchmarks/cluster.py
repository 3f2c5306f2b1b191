"""What a read through another worker costs: ``python -m benchmarks.cluster``.

Three workers that know each other by an etcd, with a page cache each before one S3 store; one client, on one connection to each, reads
objects that are in the cache of the worker that owns them: from that worker (direct), through another one that fetches it (proxied), and
through another one that sends the client to the owner (redirected), where it has a connection or makes one. The ways take turns in each
round. With ``--gigabits`` the client is behind a link to all of them (root).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from attrs import frozen

from benchmarks.http import network
from benchmarks.members import FOLLOWER, HOST, Connection, Worker, fill, wait_until, workers
from tests.ufs.servers.moto import MotoServer

SIZES = {"4 KiB": 4 << 10, "1 MiB": 1 << 20, "64 MiB": 64 << 20}
OBJECTS = 6
# How the mounts believe what the store says. Where it is asked at each read, the store, which is slow here, is a part of what is measured.
FRESHNESS = {
    "immutable": {"freshness": "immutable"},
    "max_age": {"freshness": "max_age=1hour"},
    "strong": {"freshness": "strong"},
}


@frozen
class Read:
    """One object, by the worker that owns it and one that does not."""

    target: str
    size: int
    owner: Connection
    other: Connection
    connect: Callable[[int], Connection]

    def direct(self) -> None:
        """From its owner."""
        self._whole(self.owner.get(self.target))

    def proxied(self) -> None:
        """Through the other, which does not know the client."""
        self._whole(self.other.get(self.target))

    def redirected(self) -> None:
        """Where the other says, on a connection that is there."""
        self._whole(self.owner.get(self._sent()))

    def redirected_anew(self) -> None:
        """Where the other says, on a connection of its own."""
        target = self._sent()
        fresh = self.connect(self.owner.port)
        try:
            self._whole(fresh.get(target))
        finally:
            fresh.close()

    def _sent(self) -> str:
        for _ in range(100):
            status, headers, _ = self.other.get(self.target, FOLLOWER)
            split = urlsplit(headers.get("location", ""))
            if status == 307 and split.port == self.owner.port:
                return f"{split.path}?{split.query}"
            time.sleep(0.1)  # on a busy machine the owner may be suspected for some seconds
        raise SystemExit(f"no redirect to the owner, but {status} {headers}")

    def _whole(self, answer: tuple[int, dict[str, str], int]) -> None:
        if (answer[0], answer[2]) != (200, self.size):
            raise SystemExit(f"{self.target}: {answer}")


WAYS: dict[str, Callable[[Read], None]] = {
    "direct": Read.direct,
    "proxied": Read.proxied,
    "redirected": Read.redirected,
    "redirected, new connection": Read.redirected_anew,
}


@frozen
class Round:
    """What came of one way in one round: reads, and the seconds and seconds of processors that they took."""

    reads: int
    seconds: float
    cpu: float


def key(size: int, number: int) -> str:
    """The name of an object."""
    return f"{size}/{number}"


def reads(connections: list[Connection], mount: str, size: int, connect: Callable[[int], Connection] = Connection) -> list[Read]:
    """Each object of that size, warm in the cache of its owner. ``connect`` makes connections to workers, by port."""
    found = []
    for number in range(OBJECTS):
        target = f"/{mount}/{key(size, number)}"
        owner = next(one for one in connections if "detail=proxy" not in one.get(target)[1]["cache-status"])
        other = next(one for one in connections if one is not owner)
        found.append(Read(target, size, owner, other, connect))
    for read in found:
        # An owner answers from memory some seconds after it has come, and keeps pages some time after they were read.
        asked = "stale" if mount == "strong" else ""
        wait_until(f"{read.target} is cached", lambda read=read, asked=asked: _forward(read) == asked)
        for way in WAYS.values():
            way(read)
    return found


def _forward(read: Read) -> str:
    told = read.owner.get(read.target)[1].get("cache-status", "fwd=?")
    return next((word.partition("=")[2] for word in told.split("; ") if word.startswith("fwd=")), "")


def rounds_of(found: list[Read], those: list[Worker], rounds: int, seconds: float) -> dict[str, list[Round]]:
    """What came of each way, in each round."""
    result: dict[str, list[Round]] = {name: [] for name in WAYS}
    for number in range(rounds):
        for name in list(WAYS) if number % 2 else list(WAYS)[::-1]:
            before = sum(one.cpu_seconds() for one in those)
            began, count = time.perf_counter(), 0
            while time.perf_counter() - began < seconds:
                WAYS[name](found[count % len(found)])
                count += 1
            took = time.perf_counter() - began
            result[name].append(Round(count, took, sum(one.cpu_seconds() for one in those) - before))
    return result


def rows(title: str, size: int, seen: dict[str, list[Round]]) -> list[str]:
    """What to print of one size."""
    found = []
    for name, rounds in seen.items():
        rate = median(one.reads / one.seconds for one in rounds)
        ratio = median(a.reads / a.seconds / (b.reads / b.seconds) for a, b in zip(rounds, seen["direct"], strict=True))
        cpu = median(one.cpu / one.reads for one in rounds)
        more = median(a.cpu / a.reads / (b.cpu / b.reads) for a, b in zip(rounds, seen["direct"], strict=True))
        shown = f"{rate:,.0f}/s" if size < 1 << 20 else f"{rate * size / 2**30:.2f} GiB/s"
        spent = f"{cpu * 1e6:,.0f} µs each" if size < 1 << 20 else f"{cpu / size * 2**30:.3f} s a GiB"
        found.append(f"| {title} {name} | {shown} | {ratio:.2f} | {spent} | {more:.2f} |")
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each run")
    parser.add_argument("--freshness", choices=FRESHNESS, action="append", help="only mounts of this kind; may be given again")
    parser.add_argument("--size", choices=SIZES, action="append", help="only objects of this size; may be given again")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where the caches are made")
    parser.add_argument("--gigabits", type=float, help="of a link between the client and all workers; without, they are on one machine")
    options = parser.parse_args()
    status = network.run_inside("benchmarks.cluster")
    if status is not None:
        sys.exit(status)
    if options.gigabits is None:
        measure(options, HOST, Connection)
        return
    with network.behind_a_link(options.gigabits) as inside:

        def connect(port: int) -> Connection:
            with network.over_there(inside):
                return Connection(port, network.NEAR)

        measure(options, network.NEAR, connect)


def measure(options: argparse.Namespace, host: str, connect: Callable[[int], Connection]) -> None:
    """Measure and print, of workers at ``host``, to which ``connect`` makes connections."""
    mounts = {name: FRESHNESS[name] for name in options.freshness or FRESHNESS}
    sizes = {title: SIZES[title] for title in options.size or SIZES}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as place, MotoServer() as store:
        bucket = store.make_bucket()
        fill(store, bucket, {key(size, number): size for size in sizes.values() for number in range(OBJECTS)})
        with workers(Path(place), mounts, bucket, store, host) as those:
            print(f"Load average at the start: {os.getloadavg()[0]:.1f}")
            connections = [connect(one.port) for one in those]
            for mount in mounts:
                listing = f"/{mount}?list-type=2&max-keys=1"
                wait_until(mount, lambda listing=listing: all(one.get(listing)[0] == 200 for one in connections))
                print(f"\n| {mount}, one connection | | of direct | processors, all workers | of direct |")
                print("| --- | ---: | ---: | ---: | ---: |", flush=True)
                for title, size in sizes.items():
                    seen = rounds_of(reads(connections, mount, size, connect), those, options.rounds, options.seconds)
                    print("\n".join(rows(title, size, seen)), flush=True)


if __name__ == "__main__":
    main()

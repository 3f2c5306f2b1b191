"""What a read through another worker costs: ``python -m benchmarks.cluster``.

Three workers with a page cache each before one S3 store; one client, on one connection to each, reads objects that are in the cache
of the worker that owns them: from that worker (direct), through another one that fetches it (proxied), and through another one
that sends the client to the owner (redirected: two requests). The ways take turns in each round.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import boto3
from attrs import define, field, frozen

from benchmarks.http import network
from tests.running import Daemon
from tests.ufs.servers.moto import MotoServer

HOST = "127.0.0.1"
SIZES = {"4 KiB": 4 << 10, "1 MiB": 1 << 20, "64 MiB": 64 << 20}
OBJECTS = 6
SECRET = "the secret of a benchmark, which is long enough"
OVERRIDE = "x-alluxio-redirect"
# A client of which it is known that it takes the token along.
FOLLOWER = "rclone/v1.75.2"


@define
class Connection:
    """A kept connection to a worker, and the little of HTTP that reads need."""

    port: int
    _socket: socket.socket = field(init=False)
    _buffer: bytearray = field(factory=lambda: bytearray(1 << 20))

    def __attrs_post_init__(self) -> None:
        self._socket = socket.create_connection((HOST, self.port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, target: str, *, redirect: bool) -> tuple[int, dict[str, str], int]:
        """Status, headers and how many bytes came; the bytes themselves go where they came from."""
        fields = f"Host: {HOST}:{self.port}\r\nUser-Agent: {FOLLOWER}\r\n{OVERRIDE}: {str(redirect).lower()}\r\n"
        asked = f"GET {target} HTTP/1.1\r\n{fields}\r\n"
        self._socket.sendall(asked.encode())
        got = bytearray()
        while b"\r\n\r\n" not in got:
            piece = self._socket.recv(65536)
            if not piece:
                raise SystemExit(f"worker at {self.port} closed the connection")
            got += piece
        head, _, rest = bytes(got).partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        return int(lines[0].split()[1]), headers, self._rest(headers, rest)

    def _rest(self, headers: dict[str, str], rest: bytes) -> int:
        if headers.get("transfer-encoding") == "chunked":
            while not rest.endswith(b"0\r\n\r\n"):
                rest += self._socket.recv(65536)
            return 0
        length, received = int(headers["content-length"]), len(rest)
        while received < length:
            count = self._socket.recv_into(self._buffer)
            if not count:
                raise SystemExit("an answer was cut")
            received += count
        return received


@frozen
class Read:
    """One object, by the worker that owns it and one that does not."""

    target: str
    size: int
    owner: Connection
    other: Connection

    def direct(self) -> None:
        """From its owner."""
        self._whole(self.owner.get(self.target, redirect=False))

    def proxied(self) -> None:
        """Through the other."""
        self._whole(self.other.get(self.target, redirect=False))

    def redirected(self) -> None:
        """Where the other says."""
        status, headers, _ = self.other.get(self.target, redirect=True)
        split = urlsplit(headers.get("location", ""))
        if status != 307 or split.port != self.owner.port:
            raise SystemExit(f"no redirect to the owner, but {status} {headers}")
        self._whole(self.owner.get(f"{split.path}?{split.query}", redirect=False))

    def _whole(self, answer: tuple[int, dict[str, str], int]) -> None:
        if (answer[0], answer[2]) != (200, self.size):
            raise SystemExit(f"{self.target}: {answer}")


@contextmanager
def workers(scratch: Path, store: MotoServer, bucket: str) -> Iterator[list[int]]:
    """Three of them, with the bucket mounted as ``m``; their ports of S3."""
    ports = [(_free_port(), _free_port()) for _ in range(3)]
    secret = scratch / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    members = scratch / "members"
    members.write_text("".join(f"{HOST}:{s3}/{peer}\n" for s3, peer in ports))
    with ExitStack() as stack:
        for number, (s3, peer) in enumerate(ports):
            own = scratch / f"worker{number}"
            daemon = stack.enter_context(Daemon(own))
            daemon.start(
                {
                    "alluxio.worker.s3.api.enabled": True,
                    "alluxio.worker.s3.bind.host": HOST,
                    "alluxio.worker.hostname": HOST,
                    "alluxio.worker.rest.port": s3,
                    "alluxio.worker.s3.peer.port": peer,
                    "alluxio.worker.s3.connection.keep.alive.enabled": True,
                    "alluxio.worker.membership.manager.type": "STATIC",
                    "alluxio.worker.static.membership.manager.config.file": members,
                    "alluxio.worker.s3.cluster.secret.file": secret,
                    "alluxio.worker.identity.uuid.file.path": own / "identity",
                    "alluxio.worker.s3.mount.table": scratch / "mounts.json",
                    "alluxio.worker.page.store.dirs": own / "pages",
                    "alluxio.worker.page.store.sizes": "2GB",
                    "alluxio.worker.s3.access.log.path": own / "access.log",
                    "alluxio.worker.s3.redirect.min.size": "1KB",
                }
            )
        _mount(scratch, store, bucket)
        yield [s3 for s3, _ in ports]


def _mount(scratch: Path, store: MotoServer, bucket: str) -> None:
    options = {
        "alluxio.underfs.s3.endpoint": store.endpoint,
        "alluxio.underfs.s3.region": "us-east-1",
        "s3a.accessKeyId": "bench",
        "s3a.secretKey": "env:AWS_SECRET_ACCESS_KEY",
        # What an owner may answer without asking the store: else moto, which is slow, would be what is measured.
        "freshness": "immutable",
    }
    words = [word for name, value in options.items() for word in ("--option", f"{name}={value}")]
    command = [str(Path(sys.executable).with_name("alluxio-s3")), "mount", "add", "--path", "/m", "--ufs-uri", f"s3://{bucket}/", *words]
    subprocess.run(
        [*command, "--config", str(scratch / "worker0" / "alluxio-site.properties")],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"AWS_SECRET_ACCESS_KEY": "bench"},
    )


def fill(store: MotoServer, bucket: str) -> None:
    """Objects of each size."""
    client = boto3.client(
        "s3", endpoint_url=store.endpoint, region_name="us-east-1", aws_access_key_id="bench", aws_secret_access_key="bench"
    )
    for size in SIZES.values():
        for number in range(OBJECTS):
            client.put_object(Bucket=bucket, Key=key(size, number), Body=os.urandom(size))


def key(size: int, number: int) -> str:
    """The name of an object."""
    return f"{size}/{number}"


def wait_for_mount(connections: list[Connection]) -> None:
    """Return when each worker has it."""
    deadline = time.monotonic() + 30
    while any(one.get("/m?list-type=2&max-keys=1", redirect=False)[0] != 200 for one in connections):
        if time.monotonic() > deadline:
            raise SystemExit("the mount is not there")
        time.sleep(0.1)


def reads(connections: list[Connection], size: int) -> list[Read]:
    """Each object of that size, warm in the cache of its owner."""
    found = []
    for number in range(OBJECTS):
        target = f"/m/{key(size, number)}"
        owner = next(one for one in connections if one.get(target, redirect=True)[0] == 200)
        other = next(one for one in connections if one is not owner)
        found.append(Read(target, size, owner, other))
    for read in found:
        for way in (read.direct, read.proxied, read.redirected):
            way()
    return found


def rates(found: list[Read], rounds: int, seconds: float) -> dict[str, list[float]]:
    """How many reads a second there are by each way, in each round."""
    ways: dict[str, Callable[[Read], None]] = {"direct": Read.direct, "proxied": Read.proxied, "redirected": Read.redirected}
    result: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways) if number % 2 else list(ways)[::-1]:
            began, count = time.perf_counter(), 0
            while time.perf_counter() - began < seconds:
                ways[name](found[count % len(found)])
                count += 1
            result[name].append(count / (time.perf_counter() - began))
    return result


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as one:
        port: int = one.getsockname()[1]
        return port


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each run")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where the caches are made")
    options = parser.parse_args()
    status = network.run_inside("benchmarks.cluster")
    if status is not None:
        sys.exit(status)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as place, MotoServer() as store:
        bucket = store.make_bucket()
        fill(store, bucket)
        with workers(Path(place), store, bucket) as ports:
            print(f"Load average at the start: {os.getloadavg()[0]:.1f}\n")
            print("| one connection | direct | proxied | of direct | redirected | of direct |")
            print("| --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
            for title, size in SIZES.items():
                connections = [Connection(port) for port in ports]
                wait_for_mount(connections)
                seen = rates(reads(connections, size), options.rounds, options.seconds)
                shown = {name: f"{_rate(median(found), size)}" for name, found in seen.items()}
                ratio = {name: median(a / b for a, b in zip(found, seen["direct"], strict=True)) for name, found in seen.items()}
                print(
                    f"| {title} GET | {shown['direct']} | {shown['proxied']} | {ratio['proxied']:.2f}"
                    f" | {shown['redirected']} | {ratio['redirected']:.2f} |",
                    flush=True,
                )


def _rate(count: float, size: int) -> str:
    return f"{count:,.0f}/s" if size < 1 << 20 else f"{count * size / 2**30:.2f} GiB/s"


if __name__ == "__main__":
    main()

"""What thousands of clients at once cost the daemon, and those who ask for something meanwhile: `make test-load`.

Idle connections, plain and TLS; slow transfers; clients that never finish what they begin; one user's flood. Each part starts a daemon,
measures the reads of other clients without the crowd and with it, in turn, and prints a row of the table in docs/limits.md.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import re
import resource
import selectors
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field

from tests.certificates import Authority
from tests.faults.daemons import Daemon, free_port, properties
from tests.wire import Wire

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "limits.md"
BEGIN, END = "<!-- Figures of make test-load. -->", "<!-- End of the figures. -->"
SMALL, LARGE = 4096, 64 << 20
# Till the buffers on the way of those who read nothing are full.
SETTLE_SECONDS = 8.0
HEAD = b"%b HTTP/1.1\r\nHost: h\r\nAuthorization: AWS4-HMAC-SHA256 Credential=%b/20260101/us-east-1/s3/aws4_request, "
HEAD += b"SignedHeaders=host, Signature=" + b"0" * 64 + b"\r\n%b\r\n"


def head(line: bytes, user: bytes = b"live", more: bytes = b"") -> bytes:
    """The head of a request of *user*."""
    return HEAD % (line, user, more)


@define
class Served:
    """A daemon with what is asked for."""

    daemon: Daemon
    endpoint: str
    secure: tuple[str, int] | None
    authority: Authority | None
    rows: list[tuple[str, str, str, str]] = field(factory=list)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        where = urlsplit(self.endpoint)
        return where.hostname or "", where.port or 0

    def processor(self) -> float:
        """The seconds of processor time that it has taken."""
        told = Path(f"/proc/{self.daemon.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Its resident bytes."""
        return int(Path(f"/proc/{self.daemon.pid}/statm").read_text().split()[1]) * resource.getpagesize()


@contextlib.contextmanager
def served(**more: object) -> Iterator[Served]:
    """A daemon, with *more* properties (`_` for `.`)."""
    with tempfile.TemporaryDirectory(prefix="alluxio-s3-load-") as name:
        place = Path(name)
        (place / "data" / "b").mkdir(parents=True)
        authority, secure = Authority(), free_port()
        issued = authority.issue()
        given = {
            "alluxio.worker.s3.connection.keep.alive.enabled": True,
            "alluxio.worker.s3.access.log.path": place / "access.log",
            "alluxio.network.tls.enabled": True,
            "alluxio.network.tls.server.cert": issued.certificate_file(place / "c.pem"),
            "alluxio.network.tls.server.key": issued.key_file(place / "k.pem"),
            "alluxio.worker.s3.https.port": secure,
            **{name.replace("_", "."): value for name, value in more.items()},
        }
        with Daemon(place / "conf") as daemon:
            endpoint = daemon.start(properties(free_port(), place / "data", given))
            wire = Wire(endpoint)
            wire("PUT", "b", "small", body=os.urandom(SMALL))
            with (place / "data" / "b" / "large").open("wb") as file:
                file.truncate(LARGE)
            for _ in range(200):
                wire("GET", "b", "small")
            wire.close()
            yield Served(daemon, endpoint, ("127.0.0.1", secure), authority)
            if daemon.trouble:
                sys.exit(daemon.trouble[0])


def ask(address: tuple[str, int], seconds: float, rate: float, into: Any, user: bytes = b"live") -> None:
    """In a process of its own: so many reads a second, one after another; their times go *into* a queue."""
    times, begun = [], time.monotonic()
    request = head(b"GET /b/small", user)
    with socket.create_connection(address, timeout=60) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = 0
        while time.monotonic() - begun < seconds:
            number += 1
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))
            started = time.perf_counter()
            client.sendall(request)
            got = 0
            while got < SMALL:
                piece = client.recv(1 << 16)
                if not piece:
                    raise ConnectionError("the connection of a client that asks was closed")
                got += len(piece) if got else len(piece.partition(b"\r\n\r\n")[2])
            times.append(time.perf_counter() - started)
    into.put(times)


@define(order=True)
class Times:
    """Of some reads: the time within which 99 of 100 are answered, and the daemon's processor time for each, in seconds."""

    p99: float
    processor: float


def timed(one: Served, seconds: float = 3.0, rate: float = 300.0) -> Times:
    """Those of so many reads a second, by two clients."""
    context = multiprocessing.get_context("spawn")
    found: Any = context.Queue()
    clients = [context.Process(target=ask, args=(one.address, seconds, rate / 2, found)) for _ in range(2)]
    before = one.processor()
    for client in clients:
        client.start()
    times = sorted(took for _ in clients for took in found.get(timeout=seconds + 60))
    for client in clients:
        client.join()
    return Times(times[int(len(times) * 0.99)], (one.processor() - before) / len(times))


def crowd(count: int, make: Callable[[int], socket.socket | None]) -> list[socket.socket]:
    """So many connections."""
    return [made for made in (make(number) for number in range(count)) if made is not None]


def connected(address: tuple[str, int], data: bytes = b"", buffer: int = 0) -> socket.socket:
    """A connection, and what it says at first; *buffer*: how much it takes unread."""
    made = socket.socket()
    if buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.settimeout(60)
    made.connect(address)
    if data:
        made.sendall(data)
    return made


def compared(one: Served, gather: Callable[[], list[socket.socket]], rounds: int, keep: Callable[[list[socket.socket]], Any]) -> Any:
    """The median times of reads without the crowd that *gather* makes and with it, in turn, and what it took of memory at most.

    *keep* is what the crowd goes on doing: a context manager.
    """
    alone, beside, taken, size = [], [], 0, 0
    for _ in range(rounds):
        alone.append(timed(one))
        before = one.memory()
        clients = gather()
        with keep(clients):
            time.sleep(SETTLE_SECONDS)
            beside.append(timed(one))
            taken, size = max(taken, one.memory() - before), len(clients)
        for client in clients:
            client.close()
        time.sleep(1)
    return statistics.median_low(alone), statistics.median_low(beside), taken, size


@contextlib.contextmanager
def nothing(_: list[socket.socket]) -> Iterator[None]:
    """They only stay."""
    yield


@contextlib.contextmanager
def dripping(clients: list[socket.socket]) -> Iterator[None]:
    """Each says a byte now and then."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.5):
            # Heads and bodies.
            for client in [one for pair in zip(clients[::4], clients[1::4], strict=True) for one in pair]:
                with contextlib.suppress(OSError):
                    client.send(b"x")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def of_each(taken: int, size: int) -> str:
    """Memory in words."""
    return f"{taken / (1 << 20):.0f} MiB more, {taken / size / 1024:.1f} KiB each"


def told(alone: Times, beside: Times) -> str:
    """What it costs, in words."""
    spent = f"{alone.processor * 1000:.2f} ms alone, {beside.processor * 1000:.2f} ms beside"
    return f"p99 {alone.p99 * 1000:.1f} ms alone, {beside.p99 * 1000:.1f} ms beside; processor time of a read {spent}"


def idle(rounds: int) -> Iterator[tuple[str, str]]:
    """Connections that have asked once, and stay."""
    with served(alluxio_worker_s3_connections_max=12000) as one:
        asked = head(b"HEAD /b/small")

        def stay(_: int) -> socket.socket:
            made = connected(one.address, asked)
            made.recv(4096)
            return made

        alone, beside, taken, size = compared(one, lambda: crowd(10_000, stay), rounds, nothing)
        yield (f"{size:,} idle connections", f"{of_each(taken, size)}; {told(alone, beside)}")
    with served(alluxio_worker_s3_connections_max=12000) as one:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE

        def secure(_: int) -> socket.socket:
            made = context.wrap_socket(connected(one.secure or ("", 0)))
            made.sendall(asked)
            made.recv(4096)
            return made

        alone, beside, taken, size = compared(one, lambda: crowd(4_000, secure), 1, nothing)
        yield (
            f"{size:,} idle TLS connections",
            f"{taken / (1 << 20):.0f} MiB more, {taken / size / 1024:.1f} KiB each; {told(alone, beside)}",
        )


def transfers(_: int) -> Iterator[tuple[str, str]]:
    """Readers that take 20 kB a second each, and writers that give as much."""
    with served() as one:
        before = one.memory()
        reading = crowd(1000, lambda _: connected(one.address, head(b"GET /b/large"), 16 << 10))
        length = b"Content-Length: %d\r\n" % LARGE
        writing = crowd(200, lambda n: connected(one.address, head(b"PUT /b/w%d" % n, more=length)))
        most = 0
        end = time.monotonic() + 15
        while time.monotonic() < end:
            started = time.monotonic()
            for client in reading:
                client.recv(20_000)
            for client in writing:
                client.sendall(bytes(20_000))
            most = max(most, one.memory())
            time.sleep(max(0.0, started + 1 - time.monotonic()))
        beside = timed(one)
        for client in (*reading, *writing):
            client.close()
        more = (most - before) / 1200 / 1024
        yield (
            "1,000 slow reads and 200 slow writes of 64 MiB",
            f"{most / (1 << 20):.0f} MiB in all, {more:.0f} KiB more for each; p99 beside {beside.p99 * 1000:.1f} ms",
        )


def slow(rounds: int) -> Iterator[tuple[str, str]]:
    """Clients that drip heads, drip bodies, never read, never begin TLS."""
    with served(alluxio_worker_s3_requests_max=6000, alluxio_worker_s3_bodies_memory_max="2GB") as one:
        length = b"Content-Length: %d\r\n" % LARGE

        def bad(number: int) -> socket.socket:
            kind = number % 4
            if kind == 3:
                return connected(one.secure or ("", 0), b"\x16\x03\x01")
            data = (b"GET /b/sm", head(b"PUT /b/w%d" % number, more=length), head(b"GET /b/large"))[kind]
            return connected(one.address, data, 4096 if kind == 2 else 0)

        alone, beside, taken, size = compared(one, lambda: crowd(5_000, bad), rounds, dripping)
        yield (f"{size:,} slow clients", f"{taken / (1 << 20):.0f} MiB more; {told(alone, beside)}")


def flood(rounds: int) -> Iterator[tuple[str, str]]:
    """One user asks on 256 connections, as fast as answers come, while another asks now and then."""
    with served() as one:
        alone = [timed(one, rate=100) for _ in range(rounds)]
        context = multiprocessing.get_context("spawn")
        beside = []
        for _ in range(rounds):
            over = context.Event()
            flooding = context.Process(target=flooded, args=(one.address, 256, over))
            flooding.start()
            time.sleep(1.5)
            beside.append(timed(one, rate=100))
            over.set()
            flooding.join()
        # The processor's time would be that of the flood.
        found = statistics.median_low(alone).p99, statistics.median_low(beside).p99
        yield (
            "256 connections of one user, as fast as answers come",
            f"p99 of another user {found[0] * 1000:.1f} ms alone, {found[1] * 1000:.1f} ms beside",
        )


def flooded(address: tuple[str, int], count: int, over: Any) -> None:
    """In a process of its own: *count* connections of one user."""
    request = head(b"GET /b/small", b"flood")
    chosen = selectors.DefaultSelector()
    for _ in range(count):
        client = connected(address, request)
        chosen.register(client, selectors.EVENT_READ)
    while not over.is_set():
        for key, _ in chosen.select(0.1):
            client = key.fileobj
            if client.recv(1 << 16)[-1:]:  # type: ignore[union-attr]
                client.sendall(request)  # type: ignore[union-attr]


def refusals(_: int) -> Iterator[tuple[str, str]]:
    """How soon a request over the limit is told so."""
    with served(alluxio_worker_s3_requests_max=100) as one:
        length = b"Content-Length: %d\r\n" % LARGE
        busy = crowd(100, lambda n: connected(one.address, head(b"PUT /b/w%d" % n, more=length) + b"x"))
        time.sleep(1)
        times = []
        with socket.create_connection(one.address) as client:
            for _ in range(500):
                started = time.perf_counter()
                client.sendall(head(b"GET /b/small"))
                data = b""
                while b"</Error>" not in data:
                    data += client.recv(1 << 16)
                times.append(time.perf_counter() - started)
                if not data.startswith(b"HTTP/1.1 503 "):
                    sys.exit(f"not refused: {data!r}")
        for client in busy:
            client.close()
        yield (
            "the 101st request of a user where 100 may be under way",
            f"`503 SlowDown`, 99 of 100 within {sorted(times)[495] * 1000:.1f} ms",
        )


PARTS: dict[str, Callable[[int], Iterator[tuple[str, str]]]] = {
    "idle": idle,
    "transfers": transfers,
    "slow": slow,
    "flood": flood,
    "refusals": refusals,
}


def main() -> None:
    """Do as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--part", action="append", choices=PARTS, default=[], help="only this (all)")
    parser.add_argument("--rounds", type=int, default=3, help="of each comparison, of which the median counts (3)")
    parser.add_argument("--write", action="store_true", help="into docs/limits.md")
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    rows = []
    for name in given.part or PARTS:
        for what, found in PARTS[name](given.rounds):
            rows.append(f"| {what} | {found} |")
            print(rows[-1], flush=True)
    if given.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        table = "\n".join([BEGIN, "", "| Crowd | What it costs |", "| --- | --- |", *rows, "", END])
        DOCUMENT.write_text(re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: table, text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()

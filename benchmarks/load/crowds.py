"""Crowds that take little each: idle connections, slow transfers, clients that never finish what they begin, requests over a limit."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial

from benchmarks.load.scene import LARGE, Served, compared, connected, crowd, head, served, timed, told

PARTS = 100
# What those who drip bodies announce: the disk sets apart room for each, so of more there would be none left for others.
DRIPPED = 1 << 20


@contextlib.contextmanager
def nothing(_: list[socket.socket]) -> Iterator[None]:
    """They only stay."""
    yield


@contextlib.contextmanager
def dripping(clients: list[socket.socket], parts: int = PARTS) -> Iterator[None]:
    """Each of those that have to say something says a byte every half second, in so many parts: 1 is all at once."""
    over = threading.Event()
    talking = [one for pair in zip(clients[::4], clients[1::4], strict=True) for one in pair]  # heads and bodies

    def run() -> None:
        part = 0
        while not over.wait(0.5 / parts):
            for client in talking[part::parts]:
                with contextlib.suppress(OSError):
                    client.send(b"x")
            part = (part + 1) % parts

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
            made = context.wrap_socket(connected(one.secure))
            made.sendall(asked)
            made.recv(4096)
            return made

        alone, beside, taken, size = compared(one, lambda: crowd(4_000, secure), 1, nothing)
        yield (f"{size:,} idle TLS connections", f"{of_each(taken, size)}; {told(alone, beside)}")


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
    """Clients that drip heads, drip bodies, never read, never begin TLS: those that drip not all at once, and all at once."""
    length = b"Content-Length: %d\r\n" % DRIPPED

    def bad(one: Served, number: int) -> socket.socket:
        kind = number % 4
        if kind == 3:
            return connected(one.secure, b"\x16\x03\x01")
        data = (b"GET /b/sm", head(b"PUT /b/w%d" % number, more=length), head(b"GET /b/large"))[kind]
        return connected(one.address, data, 4096 if kind == 2 else 0)

    for parts in (PARTS, 1):
        with served(alluxio_worker_s3_requests_max=6000, alluxio_worker_s3_bodies_memory_max="2GB") as one:
            gather = partial(crowd, 5_000, partial(bad, one))
            alone, beside, taken, size = compared(one, gather, rounds, partial(dripping, parts=parts))
            what = f"{size:,} slow clients" if parts > 1 else f"the same, when {size // 2:,} of them say a byte in the same moment"
            yield (what, f"{taken / (1 << 20):.0f} MiB more; {told(alone, beside)}")


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

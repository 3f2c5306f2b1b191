"""A daemon, connections to it, and the times of those who ask for something beside a crowd."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import define

from benchmarks.http.processor import on_core
from tests.certificates import Authority
from tests.faults.daemons import Daemon, free_port, properties
from tests.wire import Wire, authorization

SMALL, LARGE = 4096, 64 << 20
# That of the daemon and that of its clients.
CORES = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
# Till the buffers on the way of those who read nothing are full.
SETTLE_SECONDS = 8.0


def head(line: bytes, user: bytes = b"live", more: bytes = b"") -> bytes:
    """The head of a request of *user*."""
    return b"%b HTTP/1.1\r\nHost: h\r\nAuthorization: %b\r\n%b\r\n" % (line, authorization(user.decode()).encode(), more)


@define
class Served:
    """A daemon with what is asked for."""

    daemon: Daemon
    root: Path
    endpoint: str
    secure: tuple[str, int]

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


def put_ahead(pid: int = 0, rank: int = 1) -> None:
    """Let a process and its threads run before others of their core, where that is allowed: what others do is not what is measured.

    Among those that do, the higher *rank* runs first, and the first thread before the process's others, as one that sleeps more would.
    Where it has the core for nearly a second the kernel lets others run for 50 ms.
    """
    own = pid or os.getpid()
    with contextlib.suppress(PermissionError):
        for thread in Path(f"/proc/{own}/task").iterdir():
            number = int(thread.name)
            os.sched_setscheduler(number, os.SCHED_FIFO, os.sched_param(rank + (number == own)))


@contextlib.contextmanager
def served(**more: object) -> Iterator[Served]:
    """A daemon, with *more* properties (`_` for `.`)."""
    with tempfile.TemporaryDirectory(prefix="alluxio-s3-load-") as name:
        place = Path(name)
        (place / "data" / "b").mkdir(parents=True)
        issued, secure = Authority().issue(), free_port()
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
            with on_core(CORES[0]):
                endpoint = daemon.start(properties(free_port(), place / "data", given))
            put_ahead(daemon.pid)
            wire = Wire(endpoint)
            wire("PUT", "b", "small", body=os.urandom(SMALL))
            with (place / "data" / "b" / "large").open("wb") as file:
                file.truncate(LARGE)
            for _ in range(200):
                wire("GET", "b", "small")
            wire.close()
            yield Served(daemon, place / "data", endpoint, ("127.0.0.1", secure))
            if daemon.trouble:
                sys.exit(daemon.trouble[0])


def ask(address: tuple[str, int], seconds: float, rate: float, into: Any, user: bytes = b"live") -> None:
    """In a process of its own: so many reads a second, one after another; their times go *into* a queue.

    It runs before the others of its core, so that its times are those of the daemon and not those of a crowd's clients.
    """
    put_ahead(rank=3)
    times, begun = [], time.monotonic()
    request = head(b"GET /b/small", user)
    with socket.create_connection(address, timeout=60) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = 0
        while time.monotonic() - begun < seconds:
            number += 1
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))
            times.append(time_of(client, request))
    into.put(times)


def time_of(client: socket.socket, request: bytes) -> float:
    """The seconds that *request*, for the small object, takes on a connection. Raises ConnectionError where that is closed."""
    started = time.perf_counter()
    client.sendall(request)
    answer = b""
    while len(answer.partition(b"\r\n\r\n")[2]) < SMALL:
        piece = client.recv(1 << 16)
        if not piece:
            raise ConnectionError("the connection of a client that asks was closed")
        answer += piece
    return time.perf_counter() - started


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


def told(alone: Times, beside: Times) -> str:
    """What it costs, in words."""
    spent = f"{alone.processor * 1000:.2f} ms alone, {beside.processor * 1000:.2f} ms beside"
    return f"p99 {alone.p99 * 1000:.1f} ms alone, {beside.p99 * 1000:.1f} ms beside; processor time of a read {spent}"

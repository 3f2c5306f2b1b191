"""A23: memory exhausted. Where no more may be had, requests are refused or cut, the daemon goes on, and is as it was afterwards."""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from attrs import define

from tests.faults.daemons import LONG, Daemon, free_port, properties, report
from tests.faults.exchange import Exchange
from tests.faults.reading import RIGHT
from tests.faults.test_a16_a23_exhaustion import HEAD, put_standing, standing

CLIENTS = 1000 if LONG else 100
# How much more of the address space there is than a daemon takes that has nothing to do; and what bodies may have of it.
MORE = [200, 100, 60] if LONG else [60]
BODIES = {200: "512MB", 100: "512MB", 60: "8MB"}
LENGTH = 4 << 20
SECONDS = 300


@define(eq=False)
class Client:
    """One of them: reads an object of *LENGTH* bytes, or writes one."""

    socket: socket.socket
    writes: bool
    left: int
    told: bytes = b""
    received: int = 0

    def go_on(self) -> str:
        """Send and take what goes. What came of it: nothing as long as it goes on."""
        try:
            if self.writes and self.left:
                with contextlib.suppress(BlockingIOError):
                    self.left -= self.socket.send(bytes(min(self.left, 1 << 16)))
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return ""
        except OSError:
            return "cut"
        self.told = (self.told + data)[:12] if len(self.told) < 12 else self.told
        self.received += len(data)
        if not data:
            return "cut"
        status = self.told[9:].decode("latin-1")
        if len(status) < 3 or (status == "200" and not self.writes and self.received < LENGTH):
            return ""
        return status


@pytest.mark.parametrize("more", MORE)
def test_a23_no_memory(tmp_path: Path, more: int) -> None:
    """Many large reads and writes in an address space that ends: each is answered or told to slow down; service as before afterwards."""
    (tmp_path / "data").mkdir()
    served = properties(
        free_port(), tmp_path / "data", {"alluxio.worker.s3.durability": "rename", "alluxio.worker.s3.bodies.memory.max": BODIES[more]}
    )
    with Daemon(tmp_path / "conf") as daemon:
        endpoint = daemon.start(served)
        put_standing(endpoint, LENGTH)
        assert standing(endpoint) == f"200 {RIGHT}"
        confine(daemon.pid, more)
        became = crowd(endpoint)
        assert daemon.alive
        assert set(became) <= {"200", "503"}, (became, daemon.trouble)
        assert daemon.trouble == []
        begun = time.monotonic()
        while (found := standing(endpoint, 10)) != f"200 {RIGHT}":
            assert time.monotonic() - begun < 30, found
        recovered = time.monotonic() - begun
        assert daemon.alive
    report("A23", f"{CLIENTS} clients in {more} MiB: {dict(became)}, service again after {recovered:.1f} s")


@pytest.mark.parametrize("more", MORE)
def test_a23_no_memory_for_a_cache(tmp_path: Path, more: int) -> None:
    """Many objects read at once through the cache, which wants a thread for each: service as before afterwards, whatever was refused."""
    (tmp_path / "data" / "ledger").mkdir(parents=True)
    data = bytes(range(256)) * (LENGTH >> 8)
    for number in range(24):
        (tmp_path / "data" / "ledger" / f"k{number}").write_bytes(data)
    served = {
        "alluxio.dora.client.ufs.root.option.freshness": "strong",
        "alluxio.worker.page.store.dirs": tmp_path / "pages",
        "alluxio.worker.page.store.sizes": "512MB",
        "alluxio.worker.s3.bodies.memory.max": "8MB",
    }
    with Daemon(tmp_path / "conf") as daemon:
        endpoint = daemon.start(properties(free_port(), tmp_path / "data", served))

        def read(number: int) -> str:
            exchange = Exchange(endpoint)
            reply = exchange.ask("GET", f"ledger/k{number % 24}")
            exchange.close()
            return "right" if reply.body == data else str(reply.status)

        assert read(0) == "right"
        confine(daemon.pid, more)
        with ThreadPoolExecutor(48) as threads:
            became = Counter(threads.map(read, range(144)))
        assert set(became) <= {"right", "503"}, (became, daemon.trouble)
        begun = time.monotonic()
        while (found := read(0)) != "right":
            assert time.monotonic() - begun < 30, (found, became)
        recovered = time.monotonic() - begun
        assert daemon.trouble == []
    report("A23", f"144 reads through a cache by 48 clients in {more} MiB: {dict(became)}, service again after {recovered:.1f} s")


def confine(pid: int, more: int) -> None:
    """Give a process *more* MiB of address space than it takes now, and not another byte."""
    most = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize() + (more << 20)
    resource.prlimit(pid, resource.RLIMIT_AS, (most, most))


def crowd(endpoint: str) -> Counter[str]:
    """Half of them read, half write, all at once; what came of them."""
    host, _, port = urlsplit(endpoint).netloc.partition(":")
    became: Counter[str] = Counter()
    with selectors.DefaultSelector() as chosen, contextlib.ExitStack() as opened:
        for number in range(CLIENTS):
            writes = bool(number % 2)
            head = HEAD
            if writes:
                head = HEAD.replace(b"GET /ledger/standing", b"PUT /ledger/w%d" % number)[:-2] + b"Content-Length: %d\r\n\r\n" % LENGTH
            client = opened.enter_context(socket.create_connection((host, int(port)), timeout=60))
            client.sendall(head)
            client.setblocking(False)
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writes else 0)
            chosen.register(client, events, Client(client, writes, LENGTH if writes else 0))
        end = time.monotonic() + SECONDS
        while chosen.get_map() and time.monotonic() < end:
            for key, _ in chosen.select(1):
                client = key.data
                outcome = client.go_on()
                if outcome:
                    became[outcome] += 1
                    chosen.unregister(key.fileobj)
                elif client.writes and not client.left:
                    chosen.modify(key.fileobj, selectors.EVENT_READ, client)
        became["waits"] += len(chosen.get_map())
    return +became

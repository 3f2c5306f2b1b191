"""A16, A23: at the drain limit, without descriptors, with a store that hangs."""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.bodies import body
from tests.faults.daemons import LONG, Daemon, free_port, make_bucket, properties, report
from tests.faults.exchange import Exchange
from tests.faults.leftovers import garbage, held
from tests.faults.reading import RIGHT, looked_at, metadata
from tests.wire import authorization

CONNECTIONS = 1000
DESCRIPTORS = 256
SLOW = 100 if LONG else 20
HANGING = 100
HEAD = f"GET /ledger/standing HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization()}\r\n\r\n".encode()


@pytest.fixture
def served(tmp_path: Path) -> dict[str, object]:
    (tmp_path / "data").mkdir()
    return properties(free_port(), tmp_path / "data", {"alluxio.worker.s3.durability": "rename"})


def put_standing(endpoint: str, length: int = 100_000) -> None:
    make_bucket(endpoint, "ledger")
    exchange = Exchange(endpoint)
    content = ("standing", "0.1", length)
    assert exchange.ask("PUT", "ledger/standing", None, metadata("0.1", content), body(*content)).status == 200
    exchange.close()


def standing(endpoint: str, timeout: float = 30.0) -> str:
    """What an answer for the object is; a fresh connection."""
    exchange = Exchange(endpoint, timeout=timeout)
    told = looked_at(exchange.ask("GET", "ledger/standing"))
    exchange.close()
    return f"{told['status']} {told['bytes']}"


def test_a16_drain_limit(tmp_path: Path, served: dict[str, object]) -> None:
    """Slow readers at the drain limit are cut visibly: none has an answer that ended as if it were whole; the daemon ends in time."""
    with Daemon(tmp_path / "conf") as daemon:
        endpoint = daemon.start(served | {"alluxio.worker.s3.drain.timeout": "1s"})
        put_standing(endpoint, 24 << 20)
        answers = []
        for _ in range(SLOW):
            connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=30)
            connection.connect()
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            connection.sock.sendall(HEAD)
            answer = http.client.HTTPResponse(connection.sock, method="GET")
            answer.begin()
            assert len(answer.read(1000)) == 1000
            answers.append((connection, answer))
        begun = time.monotonic()
        assert daemon.stop() == -signal.SIGTERM
        lasted = time.monotonic() - begun
        whole = 0
        for connection, answer in answers:
            with contextlib.suppress(OSError, http.client.IncompleteRead):
                answer.read()
                whole += 1
            connection.close()
        assert whole == 0
        assert lasted < 15
    report("A16", f"{SLOW} slow readers cut at a limit of 1 s, {lasted:.1f} s till the end: 0 answers that looked whole")


def test_a23_no_descriptors(tmp_path: Path, served: dict[str, object]) -> None:
    """Many more clients than descriptors: no crash, nothing there is said to be missing; full service soon after they are gone."""
    with Daemon(tmp_path / "conf") as daemon:
        endpoint = daemon.start(served)
        put_standing(endpoint)
        assert standing(endpoint) == f"200 {RIGHT}"
        before = held(daemon.pid, tmp_path / "data")
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        statuses: Counter[str] = Counter()
        host, _, port = urlsplit(endpoint).netloc.partition(":")
        for _ in range(5 if LONG else 1):
            clients = []
            for _ in range(CONNECTIONS):
                with contextlib.suppress(OSError):
                    client = socket.create_connection((host, int(port)), timeout=10)
                    clients.append(client)
                    client.sendall(HEAD)
            for client in clients:
                with contextlib.suppress(OSError):
                    client.settimeout(0.5)
                    statuses[client.recv(12).decode("latin-1") or "closed"] += 1
            for client in clients:
                client.close()
            begun = time.monotonic()
            while standing(endpoint, 5) != f"200 {RIGHT}":
                assert time.monotonic() - begun < 10
            recovered = time.monotonic() - begun
        assert set(statuses) <= {"HTTP/1.1 200", "HTTP/1.1 503", "HTTP/1.1 500", "closed"}, statuses
        assert recovered < 4
        assert garbage(before, lambda: held(daemon.pid, tmp_path / "data"), descriptors=16, seconds=30) == []
        assert daemon.alive
    report("A23", f"{CONNECTIONS} clients on {DESCRIPTORS} descriptors: {dict(statuses)}, service again after {recovered:.1f} s")


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=500)
    taken: list[socket.socket] = []

    def take() -> None:
        with contextlib.suppress(OSError):
            while True:
                taken.append(listening.accept()[0])

    threading.Thread(target=take, daemon=True).start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    listening.close()
    for one in taken:
        one.close()


def test_a23_hanging_store(tmp_path: Path, served: dict[str, object], black_hole: str) -> None:
    """A mount whose store hangs holds up its own requests only: the others are answered as ever."""
    options = {"alluxio.underfs.s3.endpoint": black_hole, "s3a.accessKeyId": "a", "s3a.secretKey": "b"}
    table = tmp_path / "mounts.json"
    table.write_text(json.dumps({"version": 1, "mounts": [{"path": "/hole", "uri": "s3://b/p", "options": options}]}), encoding="ascii")
    table.chmod(0o600)
    with Daemon(tmp_path / "conf") as daemon:
        endpoint = daemon.start(served | {"alluxio.worker.s3.mount.table": table})
        put_standing(endpoint)
        host, _, port = urlsplit(endpoint).netloc.partition(":")
        hanging = [socket.create_connection((host, int(port)), timeout=10) for _ in range(HANGING)]
        for one in hanging:
            one.sendall(HEAD.replace(b"/ledger/", b"/hole/"))
        slowest = 0.0
        for _ in range(50):
            begun = time.monotonic()
            assert standing(endpoint) == f"200 {RIGHT}"
            slowest = max(slowest, time.monotonic() - begun)
        for one in hanging:
            one.close()
        assert slowest < 2
        assert daemon.alive
    report("A23", f"{HANGING} requests that hang in one mount: the slowest of 50 others took {slowest * 1000:.0f} ms")

"""A24: the clock on the wall is set by a day, forth and back, whatever is waiting."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.bodies import body
from tests.faults.daemons import LONG, SEED, Daemon, free_port, is_ready, make_bucket, properties, report
from tests.faults.exchange import Exchange
from tests.faults.generator import Options
from tests.faults.judgement import judge
from tests.faults.load import Load
from tests.faults.reading import RIGHT, looked_at, metadata
from tests.wire import authorization

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
HEAD = b"%s /ledger/%s HTTP/1.1\r\nHost: a\r\nAuthorization: " + authorization().encode() + b"\r\n%s\r\n"
# How long each wait of the daemon is to last, and what is certainly no longer; in seconds.
WAIT = 8.0
PATIENCE = 60.0
LARGE = 24 << 20
JUMPS = ("+1d", "+0d", "-1d", "+0d")


class Wall:
    """The clock that the daemon sees on the wall, and no other of its clocks."""

    def __init__(self, offset: Path) -> None:
        self._offset = offset
        self.set("+0d")

    def set(self, by: str) -> None:
        """Have it be so far off."""
        beside = self._offset.with_suffix(".new")
        beside.write_text(by, encoding="ascii")
        beside.replace(self._offset)

    @property
    def environment(self) -> dict[str, str]:
        """What a process is started with that is to see it."""
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


@pytest.fixture
def wall(tmp_path: Path) -> Wall:
    if not FAKETIME.exists():
        pytest.skip("libfaketime is not installed")
    return Wall(tmp_path / "offset")


@pytest.fixture
def daemon(tmp_path: Path, wall: Wall, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """Not started. What is started after it sees the wall's clock of the test."""
    (tmp_path / "data").mkdir()
    (tmp_path / "pages").mkdir(mode=0o700)
    with Daemon(tmp_path / "conf") as made:
        for name, value in wall.environment.items():
            monkeypatch.setenv(name, value)
        yield made


def started(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, object]) -> str:
    """The endpoint of the daemon, which alone sees the other clock."""
    endpoint = daemon.start(properties(free_port(), tmp_path / "data", {"alluxio.worker.s3.durability": "rename", **more}))
    monkeypatch.undo()
    make_bucket(endpoint, "ledger")
    return endpoint


def put(endpoint: str, key: str, version: str, length: int) -> None:
    exchange = Exchange(endpoint)
    content = (key, version, length)
    assert exchange.ask("PUT", f"ledger/{key}", None, metadata(version, content), body(*content)).status == 200
    exchange.close()


def shown(endpoint: str, key: str) -> str:
    """The version that a GET of *key* shows, whose bytes must be right."""
    exchange = Exchange(endpoint)
    told = looked_at(exchange.ask("GET", f"ledger/{key}"))
    exchange.close()
    assert told["bytes"] == RIGHT, told
    return str(told["shown"])


def wait_for_page(endpoint: str, key: str) -> None:
    """Read *key* till its bytes come from the cache."""
    exchange = Exchange(endpoint)
    while "; hit" not in exchange.ask("GET", f"ledger/{key}").headers.get("cache-status", ""):
        pass
    exchange.close()


def connected(endpoint: str, method: bytes, key: bytes, more: bytes = b"", sent: bytes = b"") -> socket.socket:
    """A connection on which a request has been sent; with a window that takes little of an answer."""
    host, _, port = urlsplit(endpoint).netloc.partition(":")
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    made.settimeout(PATIENCE)
    made.connect((host, int(port)))
    made.sendall(HEAD % (method, key, more) + sent)
    return made


def answered(connection: socket.socket, key: str) -> socket.socket:
    """``connection`` when all of a small object has come."""
    received = b""
    while not received.endswith(body(key, "0.1", 1000)):
        more = connection.recv(1 << 16)
        assert more
        received += more
    return connection


class Watched:
    """A wait of the daemon's: when the other end of ``connection`` said or closed something, in seconds after *begun*: no later than it."""

    def __init__(self, connection: socket.socket, begun: float) -> None:
        self.lasted: float | None = None
        self._connection = connection
        self._begun = begun
        self._watching = threading.Thread(target=self._watch, daemon=True)
        self._watching.start()

    def _watch(self) -> None:
        with suppress(OSError):
            self._connection.recv(100)
            self.lasted = time.monotonic() - self._begun
        self._connection.close()

    def check(self, what: str) -> str:
        """That it lasted as long as it should; the figure."""
        self._watching.join(PATIENCE)
        assert self.lasted is not None, f"{what}: put off"
        # What looks every half second may count the first one as whole.
        assert self.lasted > WAIT - 1.5, f"{what}: ended after {self.lasted:.1f} s"
        return f"{what} {self.lasted:.1f} s"


def replaced(tmp_path: Path, key: str) -> None:
    """Another program puts the object `other` in the place of *key*."""
    data = tmp_path / "data" / "ledger"
    os.link(data / "other", data / "beside")
    (data / "beside").replace(data / key)


@pytest.mark.parametrize("processes", [1, 2] if LONG else [1])
def test_a24_waits(tmp_path: Path, daemon: Daemon, wall: Wall, monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    """An idle connection, a head and a body that stall, and what the cache may believe for a while: all last as long as they would."""
    waiting = f"{WAIT:.0f}s"
    more: dict[str, object] = {
        "alluxio.worker.s3.connection.keep.alive.enabled": True,
        "alluxio.worker.s3.connection.idle.max.time": waiting,
        "alluxio.worker.s3.body.stall.timeout": waiting,
        "alluxio.worker.s3.header.timeout": waiting,
        "alluxio.dora.client.ufs.root.option.freshness": f"max_age={WAIT:.0f}sec",
        "alluxio.worker.page.store.dirs": tmp_path / "pages",
        "alluxio.worker.page.store.sizes": "128MB",
        "alluxio.worker.s3.processes": processes,
    }
    endpoint = started(daemon, tmp_path, monkeypatch, more)
    put(endpoint, "large", "0.1", LARGE)
    put(endpoint, "other", "0.2", 1000)
    figures = []
    for jump in ("+1d", "-1d", "+2d", "-2d") if LONG else ("+1d", "-1d"):
        wall.set("+0d")
        put(endpoint, "aged", "0.1", 1000)
        cached = time.monotonic()
        wait_for_page(endpoint, "aged")
        asked = time.monotonic()
        idle, head = (answered(connected(endpoint, b"GET", b"aged"), "aged") for _ in range(2))
        replaced(tmp_path, "aged")
        sent = time.monotonic()
        head.sendall(b"GET /led")
        waits = {
            "idle": Watched(idle, asked),
            "head": Watched(head, sent),
            "body": Watched(connected(endpoint, b"PUT", b"stalled", b"Content-Length: 1000\r\n", b"half"), sent),
        }
        # Once another request is answered these have been taken up.
        assert shown(endpoint, "aged") == "0.1" or time.monotonic() > cached + WAIT
        wall.set(jump)
        while shown(endpoint, "aged") == "0.1":
            assert time.monotonic() < cached + PATIENCE, "put off"
        aged = time.monotonic() - cached
        assert aged > WAIT - 1, f"what the cache knew aged within {aged:.1f} s"
        figures += [f"{jump}:", *(one.check(what) for what, one in waits.items()), f"max_age {aged:.1f} s"]
    assert daemon.alive
    report("A24", f"{processes} processes, waits of {WAIT:.0f} s over jumps lasted: {' '.join(figures)}")


@pytest.mark.parametrize("jump", ["+1d", "-1d"])
def test_a24_drain(tmp_path: Path, daemon: Daemon, wall: Wall, monkeypatch: pytest.MonkeyPatch, jump: str) -> None:
    """While the daemon drains the clock is set: who goes on reading gets all, the limit is neither sooner nor later."""
    endpoint = started(daemon, tmp_path, monkeypatch, {"alluxio.worker.s3.drain.timeout": f"{WAIT:.0f}s"})
    put(endpoint, "large", "0.1", LARGE)
    one, none = (connected(endpoint, b"GET", b"large") for _ in range(2))
    first = one.recv(1000)
    assert first.startswith(b"HTTP/1.1 200")
    assert none.recv(1000)
    begun = time.monotonic()
    ended = os.pidfd_open(daemon.pid)
    os.kill(daemon.pid, signal.SIGTERM)
    while is_ready(endpoint):
        pass
    wall.set(jump)
    received = bytearray(first)
    while more := one.recv(1 << 20):
        received += more
    assert received.endswith(body("large", "0.1", LARGE)[-100_000:])
    assert received.index(b"\r\n\r\n") + 4 + LARGE == len(received)
    assert select.select([ended], [], [], PATIENCE)[0], "put off"
    os.close(ended)
    lasted = time.monotonic() - begun
    assert lasted > WAIT - 1
    one.close()
    none.close()
    report("A24", f"{jump} while draining: ended after {lasted:.1f} s of {WAIT:.0f}, what was read on with is whole")


def test_a24_load(tmp_path: Path, daemon: Daemon, wall: Wall, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock jumps a day forth and back under load: nothing is lost, expired or cut, and an upload goes on."""
    endpoint = started(daemon, tmp_path, monkeypatch, {})
    exchange = Exchange(endpoint)
    content = ("upload", "0.1", 100_000)
    upload = exchange.ask("POST", "ledger/upload", {"uploads": ""}, metadata("0.1", content)).texts("UploadId")[0]
    options = Options([endpoint], str(tmp_path / "ledgers"), seed=SEED, keys=8, largest=1 << 20)
    with Load(options, 3) as load:
        load.until(20)
        for jump in JUMPS * (8 if LONG else 1):
            wall.set(jump)
            load.last(2 if LONG else 0.1)
    load.verify()
    verdict = judge(tmp_path / "ledgers", SEED)
    assert verdict.clean, verdict.told()
    assert verdict.counts["MAYBE"] == 0, "nothing was cut"
    part = exchange.ask("PUT", "ledger/upload", {"partNumber": "1", "uploadId": upload}, None, body(*content))
    xml = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part.headers['etag']}</ETag></Part></CompleteMultipartUpload>"
    assert exchange.ask("POST", "ledger/upload", {"uploadId": upload}, None, xml.encode()).outcome == "OK"
    assert looked_at(exchange.ask("GET", "ledger/upload"))["bytes"] == RIGHT
    exchange.close()
    report("A24", verdict)

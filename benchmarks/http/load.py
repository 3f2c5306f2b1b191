"""Load on a server, and what came of it. Small requests by the many are wrk's; the rest comes from here."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from statistics import median, quantiles

from attrs import define, field, frozen

from benchmarks.http.servers import HOST, SBIN, Server

GIB = 1 << 30
# How long another user pauses between two requests.
PAUSE_SECONDS = 0.1
_REQUESTS = Path(__file__).with_name("requests.lua")
_BUFFER = 256 << 10


class LoadFailed(Exception):
    """The server's answers were not what was asked for."""


@frozen
class Sample:
    """What one run showed: units per second, the server's processor seconds per unit, seconds of the median and the 99th percentile.

    A unit is a request, or a GiB of bodies. Without ``median`` and ``p99`` no single request was timed.
    """

    rate: float
    processor: float
    median: float = float("nan")
    p99: float = float("nan")


Run = Callable[[Server, float], Sample]


@frozen
class Many:
    """``connections`` that each send the next of the requests in the file ``requests`` as soon as they have an answer: wrk.

    ``size`` is what each answer's body has at least.
    """

    requests: Path
    connections: int
    size: int

    def __call__(self, server: Server, seconds: float) -> Sample:
        """Run it. Raises LoadFailed."""
        return self.sent(server, seconds, headers())

    def sent(self, server: Server, seconds: float, fields: dict[str, str]) -> Sample:
        """The same with those headers. Raises LoadFailed."""
        wrk = shutil.which("wrk", path=SBIN) or "wrk"
        given = [word for name, value in fields.items() for word in ("-H", f"{name}: {value}")]
        url = f"{'https' if server.context else 'http'}://{HOST}:{server.port}"
        shape = ["-t1", f"-c{self.connections}", f"-d{max(1, round(seconds))}s", "-s", str(_REQUESTS)]
        before = server.processor_seconds()
        printed = subprocess.run([wrk, *shape, *given, url, "--", str(self.requests)], check=True, capture_output=True, text=True).stdout
        processor = server.processor_seconds() - before
        told = json.loads(printed.splitlines()[-1])
        count = told["requests"]
        if told["failed"] or not count or told["bytes"] < count * self.size:
            raise LoadFailed(f"{server.name}: {told}")
        return Sample(count / told["microseconds"] * 1e6, processor / count, told["median"] / 1e6, told["p99"] / 1e6)


@frozen
class Alone:
    """One connection, one request at a time, to each of ``paths`` in turn. ``size`` is that of every object."""

    method: str
    paths: Sequence[str]
    size: int

    def __call__(self, server: Server, seconds: float) -> Sample:
        """Run it. Raises LoadFailed."""
        connection = Connection(server, b"", self.size if self.method == "GET" else 0)
        heads = [head(server, self.method, path) for path in self.paths]
        before, started = server.processor_seconds(), time.perf_counter()
        while time.perf_counter() < started + seconds:
            connection.request = heads[len(connection.times) % len(heads)]
            connection.ask()
            while connection.read():
                pass
        taken, processor = time.perf_counter() - started, server.processor_seconds() - before
        connection.close()
        count = len(connection.times)
        return Sample(count / taken, processor / count, median(connection.times), _p99(connection.times))


@frozen
class Streams:
    """``connections`` that each read ``path``, of ``size`` bytes, again and again, and all of it. The unit is the GiB.

    With ``beside``, one more connection asks for that object, of ``beside_size`` bytes, again and again, and the times are of those
    requests.
    """

    path: str
    size: int
    connections: int
    beside: str = ""
    beside_size: int = 0

    def __call__(self, server: Server, seconds: float) -> Sample:
        """Run it. Raises LoadFailed."""
        large = [Connection(server, head(server, "GET", self.path), self.size) for _ in range(self.connections)]
        small = [Connection(server, head(server, "GET", self.beside), self.beside_size)] if self.beside else []
        with DefaultSelector() as selector:
            for one in (*small, *large):
                one.ask()
                selector.register(one.socket, EVENT_READ, one)
            before, started = server.processor_seconds(), time.perf_counter()
            while time.perf_counter() < started + seconds:
                ready = {key.data for key, _ in selector.select()}
                for one in (*small, *large):
                    if one in ready and not one.read():
                        one.ask()
            taken, processor = time.perf_counter() - started, server.processor_seconds() - before
        for one in (*small, *large):
            one.close()
        gib = sum(one.received for one in large) / GIB
        times = [moment for one in small for moment in one.times]
        if not times:
            return Sample(gib / taken, processor / gib)
        return Sample(gib / taken, processor / gib, median(times), _p99(times))


@frozen
class Uploads:
    """``connections`` that each write ``body`` to a key of its own below ``path``, again and again. The unit is the GiB."""

    path: str
    body: bytes
    connections: int

    def __call__(self, server: Server, seconds: float) -> Sample:
        """Run it. Raises LoadFailed."""
        before, started = server.processor_seconds(), time.perf_counter()
        with ThreadPoolExecutor(self.connections) as threads:
            until = started + seconds
            counts = list(threads.map(lambda number: self._upload(server, number, until), range(self.connections)))
        taken, processor = time.perf_counter() - started, server.processor_seconds() - before
        gib = sum(counts) * len(self.body) / GIB
        return Sample(gib / taken, processor / gib)

    def _upload(self, server: Server, number: int, until: float) -> int:
        extra = {"Content-Length": str(len(self.body)), "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
        connection = Connection(server, head(server, "PUT", f"{self.path}/{number}", extra), 0)
        while time.perf_counter() < until:
            connection.ask()
            connection.socket.sendall(self.body)
            while connection.read():
                pass
        connection.close()
        return len(connection.times)


@frozen
class OverTls:
    """What ``load`` does, over TLS."""

    load: Run

    def __call__(self, server: Server, seconds: float) -> Sample:
        """Run it. Raises LoadFailed."""
        return self.load(server.over_tls(), seconds)


@frozen
class AmongUsers:
    """What ``load`` does, while another user asks for ``path``, of ``size`` bytes, now and then."""

    load: Run
    path: str
    size: int

    def __call__(self, server: Server, seconds: float) -> Sample:
        """Run it. Raises LoadFailed."""
        connection = Connection(server, head(server, "GET", self.path).replace(b"Credential=", b"Credential=another-"), self.size)
        over = threading.Event()

        def ask() -> None:
            while not over.wait(PAUSE_SECONDS):
                connection.ask()
                while connection.read():
                    pass

        with ThreadPoolExecutor(1) as threads:
            asking = threads.submit(ask)
            try:
                return self.load(server, seconds)
            finally:
                over.set()
                asking.result()
                connection.close()


@define(eq=False)
class Connection:
    """A connection to ``server`` that asks ``request`` and counts the bytes of the answers' bodies, which have ``size`` each."""

    server: Server
    request: bytes
    size: int
    received: int = 0
    times: list[float] = field(factory=list)
    socket: socket.socket = field(init=False)
    _asked: float = 0.0
    _left: int | None = None
    _buffer: memoryview = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.socket = socket.create_connection((self.server.host, self.server.port), 60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.server.context is not None:
            self.socket = self.server.context.wrap_socket(self.socket)
        self._buffer = memoryview(bytearray(_BUFFER))

    def ask(self) -> None:
        """Send the request."""
        self._left = None
        self._asked = time.perf_counter()
        self.socket.sendall(self.request)

    def read(self) -> bool:
        """Take what has come, waiting for something. False: the answer is complete. Raises LoadFailed."""
        got = self.socket.recv_into(self._buffer)
        if not got:
            raise LoadFailed(f"{self.server.name} closed the connection")
        if self._left is None:
            answer, end, _ = bytes(self._buffer[: min(got, 8192)]).partition(b"\r\n\r\n")
            if not end or answer[9:12] not in (b"200", b"201", b"204"):  # nginx answers a PUT with 201 or 204
                raise LoadFailed(f"{self.server.name}: {answer!r}")
            got -= len(answer) + len(end)
            self._left = self.size
        self._left -= got
        self.received += got
        if self._left > 0:
            return True
        if self._left < 0:
            raise LoadFailed(f"{self.server.name}: a longer answer than the {self.size} bytes asked for")
        self.times.append(time.perf_counter() - self._asked)
        return False

    def close(self) -> None:
        """Leave, whatever is under way."""
        self.socket.close()


def headers() -> dict[str, str]:
    """As boto3 1.44 sends them now to a plain endpoint. The signature is of the right shape only: nobody here looks at it."""
    now = datetime.now(UTC)
    return {
        "Accept-Encoding": "identity",
        "User-Agent": "Boto3/1.44.5 md/Botocore#1.44.5 md/awscrt#0.38.1 ua/2.1 os/linux#6.18.44 md/arch#x86_64 lang/python#3.11.2"
        " md/pyimpl#CPython m/E,b,Z,e,N cfg/retry-mode#standard Botocore/1.44.5",
        "X-Amz-Date": f"{now:%Y%m%dT%H%M%SZ}",
        "x-amz-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "Authorization": f"AWS4-HMAC-SHA256 Credential=benchmark/{now:%Y%m%d}/us-east-1/s3/aws4_request,"
        " SignedHeaders=host;x-amz-checksum-mode;x-amz-content-sha256;x-amz-date,"
        " Signature=8660bd7b96272a05fce313c9125d0b7a0f189a73302110016adc12885d5f26a1",
        "x-amz-checksum-mode": "ENABLED",
        "amz-sdk-invocation-id": "ce441aeb-e7d6-4733-ab8c-a024617a59ac",
        "amz-sdk-request": "attempt=1; max=3",
    }


def head(server: Server, method: str, path: str, extra: dict[str, str] | None = None) -> bytes:
    """A request's head."""
    lines = [f"{name}: {value}" for name, value in (headers() | (extra or {})).items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {HOST}:{server.port}", *lines, "", ""]).encode("ascii")


def requests_file(path: Path, requests: Iterable[str]) -> Path:
    """``path``, with those requests for ``Many``: ``METHOD PATH [RANGE]`` each."""
    path.write_text("".join(f"{one}\n" for one in requests), encoding="ascii")
    return path


def _p99(times: Sequence[float]) -> float:
    return quantiles(times, n=100)[98] if len(times) > 1 else times[0]

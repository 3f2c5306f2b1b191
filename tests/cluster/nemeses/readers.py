"""Readers of objects that never change: a client that asks another worker only when its own is not there loses none of its reads."""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from attrs import define, field, frozen

from tests.faults.bodies import body, piece
from tests.faults.exchange import Exchange

SIZES = (16 << 10, 300 << 10, 2 << 20, 5 << 20, 9 << 20)
"""Of the objects of each bucket, bytes."""

# What a slow reader's kernel takes in advance; a body is on its way for a while then.
_TAKEN_BYTES = 64 << 10
# Bytes a second of a reader, at most.
_PACE = 8 << 20


@frozen
class Still:
    """An object that stays as it is."""

    bucket: str
    key: str
    size: int

    @property
    def content(self) -> tuple[str, str, int]:
        """Of what its body is made."""
        return self.key, "still", self.size


def write_still(endpoint: str, buckets: Sequence[str]) -> list[Still]:
    """Objects that stay as they are, in each bucket."""
    objects = [Still(bucket, f"still/{number}", size) for bucket in buckets for number, size in enumerate(SIZES)]
    exchange = Exchange(endpoint)
    for one in objects:
        reply = exchange.ask("PUT", f"{one.bucket}/{one.key}", body=body(*one.content))
        if reply.status != 200:
            raise RuntimeError(f"{one} cannot be written: {reply}")
    exchange.close()
    return objects


@define
class Readers:
    """*count* threads that read *objects* through the workers at *endpoints*, each at most *rate* times a second. They wait
    *timeout* seconds for bytes.

    *was_absent* says whether a worker was not there at some time between two times (nanoseconds, monotonic).
    """

    objects: Sequence[Still]
    endpoints: Sequence[str]
    was_absent: Callable[[str, float, float], bool]
    seed: int
    timeout: float
    rate: float = 2.0
    agent: str = ""
    read: int = 0
    again: int = 0
    lost: list[str] = field(factory=list)
    wrong: list[str] = field(factory=list)
    seconds: list[float] = field(factory=list)
    _threads: list[threading.Thread] = field(factory=list)
    _over: threading.Event = field(factory=threading.Event)
    _lock: threading.Lock = field(factory=threading.Lock)

    def begin(self, count: int) -> None:
        """Begin. The network is that of the thread that calls this."""
        for number in range(count):
            thread = threading.Thread(target=self._go_on, args=(random.Random(f"{self.seed}/{number}"),), daemon=True)
            thread.start()
            self._threads.append(thread)

    def end(self) -> None:
        """End, when those reads that have begun have ended."""
        self._over.set()
        for thread in self._threads:
            thread.join(len(self.endpoints) * self.timeout + 30)

    def _go_on(self, chosen: random.Random) -> None:
        while not self._over.is_set():
            begun = time.monotonic()
            self._read(chosen.choice(self.objects), chosen.sample(self.endpoints, len(self.endpoints)))
            self._over.wait(max(0.0, begun + 1 / self.rate - time.monotonic()))

    def _read(self, one: Still, endpoints: Sequence[str]) -> None:
        for endpoint in endpoints:
            begun = time.monotonic_ns()
            try:
                first, problem = self._ask(endpoint, one)
            except (OSError, http.client.HTTPException) as error:
                first, problem = 0.0, f"{type(error).__name__}: {error}"
            ended = time.monotonic_ns()
            where = f"{one.bucket}/{one.key} through {endpoint}"
            with self._lock:
                if problem == "wrong bytes":
                    self.wrong.append(where)
                if not problem:
                    self.read += 1
                    if not self.was_absent(endpoint, begun, ended):
                        self.seconds.append(first)
                    return
                if not self.was_absent(endpoint, begun, ended):
                    self.lost.append(f"{where} after {(ended - begun) / 1e9:.1f} s: {problem}")
                    return
                self.again += 1

    def _ask(self, endpoint: str, one: Still) -> tuple[float, str]:
        """The seconds until the answer began, and what was wrong with it; empty: nothing."""
        connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=self.timeout)
        begun = time.monotonic()
        try:
            _connect(connection)
            connection.request("GET", f"/{one.bucket}/{one.key}", headers=_headers(self.agent))
            answer = connection.getresponse()
            first = time.monotonic() - begun
            if answer.status == 307:
                return first, "redirected"
            if answer.status != 200:
                return first, f"{answer.status} {answer.read()[:300]!r}"
            at = 0
            while data := answer.read(_TAKEN_BYTES):
                if data != piece(*one.content, at, at + len(data)):
                    return first, "wrong bytes"
                at += len(data)
                time.sleep(max(0.0, begun + at / _PACE - time.monotonic()))
            return first, "" if at == one.size else f"{at} bytes of {one.size}"
        finally:
            connection.close()


def _connect(connection: http.client.HTTPConnection) -> None:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _TAKEN_BYTES)
    made.settimeout(connection.timeout)
    connection.sock = made
    made.connect((connection.host, connection.port))


def _headers(agent: str) -> Mapping[str, str]:
    return {"Authorization": "AWS reader:x", **({"User-Agent": agent} if agent else {})}

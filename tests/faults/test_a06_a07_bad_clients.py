"""A6, A7: uploads that are not what they announced, and clients that reset their connections, leave no trace."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from attrs import define

from tests.faults.bodies import body
from tests.faults.daemons import LONG, SEED, Daemon, at_most, free_port, make_bucket, properties, report
from tests.faults.exchange import Exchange
from tests.faults.leftovers import Held, garbage, held
from tests.faults.mutations import MUTATIONS
from tests.faults.reading import RIGHT, looked_at, metadata
from tests.wire import authorization

MUTATED = 20_000 if LONG else 280
RESETS = 10_000 if LONG else 300
KEY = "ledger/object"
CONTENT = ("object", "1", 300_000)
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")


@define
class Place:
    """A daemon with one object in a bucket."""

    daemon: Daemon
    endpoint: str
    data: Path
    before: Held

    def connect(self) -> socket.socket:
        host, _, port = urlsplit(self.endpoint).netloc.partition(":")
        return socket.create_connection((host, int(port)), timeout=30)

    def check(self) -> None:
        """The object is as it was, listed alone; nothing is left over within 5 seconds, but for files that are kept open a while."""
        exchange = Exchange(self.endpoint)
        assert looked_at(exchange.ask("GET", KEY))["bytes"] == RIGHT
        assert exchange.ask("GET", "ledger", {"list-type": "2"}).texts("Key") == ["object"]
        exchange.close()
        assert garbage(self.before, lambda: held(self.daemon.pid, self.data), descriptors=16, seconds=5) == []


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    data = tmp_path / "data"
    data.mkdir()
    with Daemon(tmp_path / "conf") as daemon:
        endpoint = daemon.start(properties(free_port(), data, {"alluxio.worker.s3.durability": "rename"}))
        make_bucket(endpoint, "ledger")
        exchange = Exchange(endpoint)
        assert exchange.ask("PUT", KEY, None, metadata("1", CONTENT), body(*CONTENT)).status == 200
        assert looked_at(exchange.ask("GET", KEY))["bytes"] == RIGHT
        exchange.close()
        yield Place(daemon, endpoint, data, held(daemon.pid, data))
        assert daemon.trouble == []


def head(method: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} /{KEY} HTTP/1.1", "Host: localhost", f"Authorization: {authorization()}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()


def status_of(connection: socket.socket) -> int:
    """What is answered; 0: nothing, the connection ended."""
    told = b""
    with contextlib.suppress(OSError):
        while not (match := _STATUS.match(told)):
            piece = connection.recv(4096)
            if not piece:
                return 0
            told += piece
        return int(match[1])
    return 0


def reset(connection: socket.socket) -> None:
    """Close it so that the other side is told of an error."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_a06_mutated_puts(place: Place) -> None:
    """Each is refused with a 4xx, or the connection ends where the client has ended it; the old object stays, and nothing else does."""
    chance = random.Random(SEED)
    answers: Counter[str] = Counter()
    for number in at_most(MUTATED, 200, least=len(MUTATIONS)):
        mutation = MUTATIONS[number % len(MUTATIONS)]
        put = mutation(chance, str(number))
        with place.connect() as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(head("PUT", put.headers) + put.sent)
            if not put.whole:
                connection.shutdown(socket.SHUT_WR)
            status = status_of(connection)
            answers[f"{mutation.__name__} {status}"] += 1
            assert 400 <= status < 500 or (status == 0 and not put.whole), (mutation.__name__, status, put.headers, put.sent[:100])
        if number % 1000 == 999:
            place.check()
    place.check()
    report("A6", f"{sum(answers.values())} mutated PUTs: 0 taken, 0 traces; {dict(sorted(answers.items()))}")


def test_a07_resets_in_mid_body(place: Place) -> None:
    """PUT or GET, reset at a random byte: the object stays, temporary files are gone within 5 seconds, descriptors are given back."""
    chance = random.Random(SEED)
    data = body("object", "2", 300_000)
    for number in at_most(RESETS, 200, least=20):
        connection = place.connect()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if number % 2:
                connection.sendall(head("PUT", {"Content-Length": str(len(data))}) + data[: chance.randrange(len(data))])
            else:
                connection.sendall(head("GET", {}))
                connection.recv(1 + chance.randrange(300_000))
        reset(connection)
        if number % 1000 == 999:
            place.check()
    place.check()
    report("A7", f"{number + 1} resets in mid-body: 0 visible changes, temporary files gone and descriptors back within 5 s")

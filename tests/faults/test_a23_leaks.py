"""A23: nothing leaks. Descriptors, threads and memory after many requests are what they were after a few."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.faults.daemons import LONG, SEED, Daemon, at_most, free_port, properties, report
from tests.faults.exchange import Exchange
from tests.faults.leftovers import garbage, held
from tests.faults.test_a16_a23_exhaustion import put_standing
from tests.wire import authorization

REQUESTS = int(os.environ.get("REQUESTS", "100000")) if LONG else 1_000
# Of one connection: of these one in so many is reset before its answers are read.
BATCH = 50
RESET = 20
# What is asked, and what may be answered: of a missing key, a bucket, an object whole, in part, or not at all; a write, its tags, its end.
FOUND, MISSING = {b"200", b"204", b"206"}, {b"404"}
KINDS = [
    (b"GET /ledger/small-%d", b"", b"", FOUND | MISSING),
    (b"HEAD /ledger/small-%d", b"", b"", FOUND | MISSING),
    (b"GET /ledger/standing", b"Range: bytes=%d-70000\r\n", b"", FOUND),
    (b"GET /ledger/missing-%d", b"", b"", MISSING),
    (b"GET /ledger?list-type=2&max-keys=3&prefix=small-%d", b"", b"", FOUND),
    (b"PUT /ledger/small-%d", b"Content-Length: 100\r\n", bytes(100), FOUND),
    (b"GET /ledger/small-%d?tagging", b"", b"", FOUND | MISSING),
    (b"DELETE /ledger/small-%d", b"", b"", FOUND),
    (b"PUT /ledger/small-%d", b"Content-Length: 3\r\nContent-MD5: AAAAAAAAAAAAAAAAAAAAAA==\r\n", b"abc", {b"400"}),
]


def test_a23_nothing_leaks(tmp_path: Path) -> None:
    """Requests of every kind, on connections that come and go, some of them reset: no descriptor, thread or memory is lost by them."""
    (tmp_path / "data").mkdir()
    chance, answers, begun = random.Random(SEED), Counter[bytes](), time.monotonic()
    with Daemon(tmp_path / "conf") as daemon:
        more = {"alluxio.worker.s3.durability": "rename", "alluxio.worker.s3.connection.keep.alive.enabled": True}
        endpoint = daemon.start(properties(free_port(), tmp_path / "data", more))
        put_standing(endpoint)
        for _ in batches(endpoint, chance, REQUESTS // 5, answers):
            pass
        before = held(daemon.pid, tmp_path / "data")
        most = max(held(daemon.pid).descriptors for _ in batches(endpoint, chance, REQUESTS, answers))
        # Files that are read stay open for a while.
        left = garbage(before, lambda: held(daemon.pid, tmp_path / "data"), descriptors=24, threads=16, resident=8 << 20)
        after = held(daemon.pid)
        assert left == []
        assert daemon.trouble == []
        exchange = Exchange(endpoint)
        assert exchange.ask("GET", "ledger/standing").status == 200
        exchange.close()
    told = f"{sum(answers.values())} requests in {time.monotonic() - begun:.0f} s: {dict(answers)}"
    figures = f"descriptors {before.descriptors}, at most {most}, then {after.descriptors}; threads {before.threads}, then {after.threads}"
    report("A23", f"{told}; {figures}; MiB {before.resident >> 20}, then {after.resident >> 20}")


def batches(endpoint: str, chance: random.Random, count: int, answers: Counter[bytes]) -> Iterator[None]:
    """*count* requests, a batch of them on each connection; *answers* by their status."""
    host, _, port = urlsplit(endpoint).netloc.partition(":")
    for _ in at_most(count // BATCH, 200):
        asked = [chance.choice(KINDS) for _ in range(BATCH)]
        sent = b"".join(request(*one[:3], chance.randrange(1000)) for one in asked)
        with socket.create_connection((host, int(port)), timeout=120) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(sent)
            if not chance.randrange(RESET):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                answers[b"reset"] += BATCH
            else:
                took(connection, asked, answers)
        yield


def request(line: bytes, headers: bytes, body: bytes, number: int) -> bytes:
    """A request, with the *number* where there is one in it."""
    head = [one % number if b"%d" in one else one for one in (line, headers)]
    return b"%s HTTP/1.1\r\nHost: a\r\nAuthorization: %s\r\n%s\r\n%s" % (head[0], authorization().encode(), head[1], body)


def took(connection: socket.socket, asked: list[tuple[bytes, bytes, bytes, set[bytes]]], answers: Counter[bytes]) -> None:
    """Take the answers to what was *asked*, each of which has to be one that there may be."""
    with connection.makefile("rb") as stream:
        for line, _, _, expected in asked:
            status, length = stream.readline().split()[1], 0
            while (header := stream.readline()) != b"\r\n":
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
                assert name.lower() != b"transfer-encoding", line
            assert status in expected, (line, status)
            if not line.startswith(b"HEAD"):
                stream.read(length)
            answers[status] += 1

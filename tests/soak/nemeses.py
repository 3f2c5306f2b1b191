"""What is done to the daemon, and to the machine and the network around it, while it is under load."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from attrs import define

from tests.running import Daemon, properties_text
from tests.wire import authorization

AUTHORIZATION = f"Authorization: {authorization('noise')}".encode()

# More than the file systems that are filled have.
MOST_FILLED = 2 << 30


@define
class Field:
    """The daemon and what is around it: *root* and *pages* are file systems of its own, or None where they can't be filled."""

    daemon: Daemon
    endpoint: str
    properties: Mapping[str, object]
    pages: Path
    random: random.Random
    event: Callable[[str], None]
    full_root: Path | None
    full_pages: Path | None
    restarts: list[float]

    def restart(self) -> None:
        """Start it again, and say how long that took."""
        begun = time.monotonic()
        self.daemon.start(self.properties)
        self.restarts.append(time.monotonic() - begun)

    def connect(self) -> socket.socket:
        """A connection to it."""
        where = urlsplit(self.endpoint)
        return socket.create_connection((where.hostname or "", where.port or 80), timeout=10)


def kill(field: Field) -> None:
    """kill -9, and a start."""
    field.daemon.kill()
    field.event("killed")
    field.restart()


def hang_up(field: Field) -> None:
    """Forty SIGHUPs, with good and bad files in turn."""
    config = field.daemon.directory / "alluxio-site.properties"
    good = properties_text(field.properties)
    for number in range(40):
        bad = number % 3 == 1
        written = config.with_suffix(".new")
        written.write_text(good + ("alluxio.worker.s3.requests.max=many\n" if bad else f"alluxio.worker.s3.requests.max={900 + number}\n"))
        written.replace(config)
        os.kill(field.daemon.pid, signal.SIGHUP)
        time.sleep(0.05)
    config.write_text(good)
    os.kill(field.daemon.pid, signal.SIGHUP)


def damage(field: Field) -> None:
    """Bits of pages flip; some pages are cut short, or gone."""
    found = [path for path in field.pages.rglob("*") if path.is_file() and "index" not in str(path.relative_to(field.pages))]
    field.random.shuffle(found)
    for path in found[:20]:
        with contextlib.suppress(OSError):
            size = path.stat().st_size
            kind = field.random.random()
            if kind < 0.1:
                path.unlink()
            elif kind < 0.2:
                os.truncate(path, size // 2)
            elif size:
                with path.open("r+b") as file:
                    at = field.random.randrange(size)
                    file.seek(at)
                    byte = file.read(1)[0] ^ (1 << field.random.randrange(8))
                    file.seek(at)
                    file.write(bytes([byte]))


def _fill(place: Path, seconds: float) -> None:
    filler = place / "filler"
    if not place.is_mount():
        raise RuntimeError(f"{place} is no file system of its own any more")
    try:
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            for _ in range(MOST_FILLED >> 20):
                file.write(bytes(1 << 20))
        time.sleep(seconds)
    finally:
        filler.unlink(missing_ok=True)


def disk_full(field: Field) -> None:
    """The disk of the under-store has no room for some seconds."""
    if field.full_root is not None:
        _fill(field.full_root, field.random.uniform(2, 6))


def cache_full(field: Field) -> None:
    """The disk of the cache has no room for some seconds."""
    if field.full_pages is not None:
        _fill(field.full_pages, field.random.uniform(2, 6))


def stop(field: Field) -> None:
    """SIGSTOP for some seconds."""
    os.kill(field.daemon.pid, signal.SIGSTOP)
    try:
        time.sleep(field.random.uniform(0.5, 5))
    finally:
        os.kill(field.daemon.pid, signal.SIGCONT)


def _head(method: bytes, number: int, length: int | None = None) -> bytes:
    body = b"" if length is None else b"Content-Length: %d\r\n" % length
    return b"%s /noise/n%d HTTP/1.1\r\nHost: h\r\n%s\r\n%s\r\n" % (method, number, AUTHORIZATION, body)


def resets(field: Field) -> None:
    """Two hundred clients that reset the connection, in the middle of what they send or get."""
    for number in range(200):
        with contextlib.suppress(OSError), field.connect() as client:
            if number % 2:
                size = field.random.randrange(1, 1 << 20)
                client.sendall(_head(b"PUT", number % 10, size) + bytes(field.random.randrange(size)))
            else:
                client.sendall(_head(b"GET", number % 10))
                client.recv(field.random.randrange(1, 1 << 16))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def slow(field: Field) -> None:
    """Three hundred clients that drip heads or bodies, or take nothing of an answer, for ten seconds."""
    clients: list[socket.socket] = []
    try:
        for number in range(300):
            with contextlib.suppress(OSError):
                client = field.connect()
                clients.append(client)
                whole = _head(b"PUT", number % 10, 1 << 20) if number % 3 == 0 else _head(b"GET", number % 10)
                client.sendall(whole[:-2] if number % 3 == 2 else whole)
        for _ in range(10):
            time.sleep(1)
            for client in clients[:: 1 + field.random.randrange(3)]:
                with contextlib.suppress(OSError):
                    client.sendall(b"x")
    finally:
        for client in clients:
            client.close()


def flood(field: Field) -> None:
    """Five thousand requests of one user, on sixty connections."""
    clients: list[socket.socket] = []
    with contextlib.suppress(OSError):
        clients.extend(field.connect() for _ in range(60))
        for _ in range(80):
            for number, client in enumerate(clients):
                client.sendall(_head(b"HEAD", number % 10))
            for client in clients:
                client.recv(1 << 16)
    for client in clients:
        client.close()


NEMESES: Mapping[str, Callable[[Field], None]] = {
    "kill": kill,
    "hang up": hang_up,
    "damage": damage,
    "disk full": disk_full,
    "cache full": cache_full,
    "stop": stop,
    "resets": resets,
    "slow": slow,
    "flood": flood,
}

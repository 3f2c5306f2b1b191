"""A store that speaks as much S3 as a mount reads by, from memory, and misbehaves: it breaks off, hangs, lies, and refuses.

What it has can be replaced while it serves. It is as small as it is so that a daemon before it, and not the store, is what is busy.
"""

from __future__ import annotations

import random
import socket
import socketserver
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import BinaryIO
from urllib.parse import urlsplit

from attrs import define, field, frozen

HANG_SECONDS = 5


@frozen
class Version:
    """What is at a path: its bytes and their ETag."""

    data: bytes
    etag: str
    modified: str = field(factory=lambda: formatdate(usegmt=True))


@define
class Exchange:
    """One request on its way from the daemon to the store: ``send`` answers it, wrong or right."""

    connection: socket.socket
    chance: random.Random
    status: int
    fields: dict[str, str]
    data: bytes
    length: int

    def send(self, count: int | None = None) -> None:
        """The answer, of whose body only ``count`` bytes come."""
        lines = [f"HTTP/1.1 {self.status} Answer", *(f"{name}: {value}" for name, value in self.fields.items())]
        head = "\r\n".join([*lines, f"Content-Length: {self.length}", "", ""]).encode("latin-1")
        self.connection.sendall(head + self.data[:count])

    def short(self) -> None:
        """It ends before its end."""
        self.send(self.chance.randrange(len(self.data) + 1))

    def error(self) -> None:
        """The connection is reset in the middle."""
        self.short()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def hang(self) -> None:
        """Nothing more comes."""
        self.short()
        self.connection.settimeout(HANG_SECONDS)
        self.connection.recv(1)

    def less(self) -> None:
        """It says that it is shorter than it should be."""
        self.length = self.chance.randrange(len(self.data) + 1)
        self.send(self.length)

    def more(self) -> None:
        """It says that it is longer than it should be, and is."""
        self.data += bytes(self.chance.randrange(1, 1000))
        self.length = len(self.data)
        self.send()

    def another(self) -> None:
        """It is of another version."""
        self.fields["ETag"] = '"0123456789abcdef0123456789abcdef"'
        self.data = bytes(len(self.data))
        self.send()

    def elsewhere(self) -> None:
        """It is another range."""
        if "Content-Range" in self.fields:
            self.fields["Content-Range"] = f"bytes 1-{self.length}/{self.length + 1}"
        self.send()

    def refuse(self) -> None:
        """There is none."""
        self.connection.sendall(b"HTTP/1.1 503 Slow down\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")


# To hang costs those who wait for it seconds, so it is rare.
_OFTEN = (Exchange.short, Exchange.error, Exchange.less, Exchange.more, Exchange.another, Exchange.elsewhere, Exchange.refuse)
_READS = (*_OFTEN * 12, Exchange.hang)
_LOOKS = (Exchange.refuse, Exchange.error)


class MisbehavingStore(socketserver.ThreadingTCPServer):
    """Serves ``versions`` by path, such as ``/bucket/key``; of reads and of looks (HEAD) such shares go wrong. ``met`` counts how."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, versions: Mapping[str, Version], seed: int, *, reads: float, looks: float) -> None:
        self.versions = versions
        self.chance = random.Random(seed)
        self.rates = {"GET": (reads, _READS), "HEAD": (looks, _LOOKS)}
        self.met: Counter[str] = Counter()
        super().__init__(("127.0.0.1", 0), _Connection)
        self._thread = threading.Thread(target=lambda: self.serve_forever(poll_interval=0.1), daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault(self, method: str, status: int) -> Callable[[Exchange], None] | None:
        """What goes wrong with an answer, if anything does."""
        rate, kinds = self.rates[method]
        if status >= 300 or self.chance.random() >= rate:
            return None
        fault = self.chance.choice(kinds)
        self.met[fault.__name__] += 1
        return fault


class _Connection(socketserver.BaseRequestHandler):
    """One connection of the daemon's."""

    server: MisbehavingStore

    def handle(self) -> None:
        """Answer until a fault ends it."""
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = self.request.makefile("rb")
        try:
            while line := stream.readline():
                method, target, _ = line.decode("latin-1").split(" ")
                exchange = self._exchange(method, target, _headers(stream))
                fault = self.server.fault(method, exchange.status)
                if fault is not None:
                    fault(exchange)
                    return
                exchange.send()
        except OSError:
            return
        finally:
            stream.close()

    def _exchange(self, method: str, target: str, headers: Mapping[str, str]) -> Exchange:
        """The right answer."""
        version = self.server.versions.get(urlsplit(target).path)
        status, fields, data = 404, {}, b""
        if version is not None:
            fields = {"ETag": f'"{version.etag}"', "Last-Modified": version.modified, "Accept-Ranges": "bytes"}
            wanted = headers.get("if-match", "")
            if wanted and wanted.strip('"') != version.etag:
                status = 412
            elif "range" in headers:
                first, _, last = headers["range"].removeprefix("bytes=").partition("-")
                end = min(int(last) + 1, len(version.data)) if last else len(version.data)
                status, data = 206, version.data[int(first) : end]
                fields["Content-Range"] = f"bytes {first}-{end - 1}/{len(version.data)}"
            else:
                status, data = 200, version.data
        return Exchange(self.request, self.server.chance, status, fields, b"" if method == "HEAD" else data, len(data))


def _headers(stream: BinaryIO) -> dict[str, str]:
    found = {}
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        found[name.lower()] = value.strip()
    return found

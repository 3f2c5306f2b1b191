"""What a first read costs at least: the system calls of a read that fills the cache, in three small processes with nothing else in them.

A store sends a file; what is between takes it, a page of 1 MiB at a time, in one buffer, and gives it to a client. On one core, but for the
client. ``python -m benchmarks.cache_bound``.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from awscrt import checksums

from benchmarks.cache import touch
from benchmarks.http.load import GIB
from benchmarks.http.network import run_inside
from benchmarks.http.processor import on_core, two_cores
from benchmarks.http.servers import HOST

PAGE = 1 << 20
RECEIVED, CLIENTS = 512 << 10, 256 << 10
WAYS = {
    "past": "received and sent",
    "copied": "the same, with a checksum, and written to a file of its own before",
    "from the file": "received, with a checksum, written, and sent from that file",
    "spliced": "into the file by a pipe, read for its checksum, and sent from the file",
}
_ROOM = os.O_RDWR | os.O_CREAT | os.O_EXCL


def store(listening: socket.socket, source: Path, size: int) -> None:
    """Send the file to who comes."""
    taken, _ = listening.accept()
    with source.open("rb") as file:
        offset = 0
        while offset < size:
            offset += os.sendfile(taken.fileno(), file.fileno(), offset, min(size - offset, PAGE))


def between(way: str, listening: socket.socket, origin: int, pages: Path, size: int) -> None:
    """Take what the store at the port ``origin`` gives, and give it to who comes."""
    client, _ = listening.accept()
    came = socket.create_connection((HOST, origin))
    piece = memoryview(bytearray(PAGE))
    out, into = os.pipe()
    fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, PAGE)
    for number in range(size // PAGE):
        if way == "past":
            _receive(came, piece, client)
            continue
        file = os.open(pages / str(number), _ROOM)
        os.posix_fallocate(file, 0, PAGE)
        if way == "spliced":
            _splice(came, out, into, file, piece)
        else:
            _receive(came, piece, None)
            checksums.crc32c(piece)
            os.pwrite(file, piece, 0)
        if way == "copied":
            client.sendall(piece)
        else:
            sent = 0
            while sent < PAGE:
                sent += os.sendfile(client.fileno(), file, sent, PAGE - sent)
        os.close(file)


def _receive(came: socket.socket, piece: memoryview, client: socket.socket | None) -> None:
    at = 0
    while at < PAGE:
        count = came.recv_into(piece[at:], min(PAGE - at, RECEIVED))
        if client is not None:
            client.sendall(piece[at : at + count])
        at += count


def _splice(came: socket.socket, out: int, into: int, file: int, piece: memoryview) -> None:
    at = 0
    while at < PAGE:
        left = count = os.splice(came.fileno(), into, PAGE - at)
        while left:
            left -= os.splice(out, file, left, offset_dst=at + count - left)
        os.preadv(file, [piece[:count]], at)
        checksums.crc32c(piece[:count])
        at += count


def _started(core: int, work: Callable[[], None]) -> int:
    child = os.fork()
    if not child:
        try:
            os.sched_setaffinity(0, {core})
            work()
        finally:
            os._exit(0)
    return child


def seconds(way: str, source: Path, size: int, scratch: Path) -> float:
    """How long a client waits for ``size`` bytes."""
    ours, theirs = two_cores()
    touch(scratch, size + (64 << 20))
    with (
        tempfile.TemporaryDirectory(dir=scratch) as pages,
        socket.create_server((HOST, 0)) as first,
        socket.create_server((HOST, 0)) as second,
    ):
        origin = first.getsockname()[1]
        children = [
            _started(ours, lambda: store(first, source, size)),
            _started(ours, lambda: between(way, second, origin, Path(pages), size)),
        ]
        with on_core(theirs), socket.create_connection(second.getsockname()) as client:
            buffer, left, started = bytearray(CLIENTS), size, time.perf_counter()
            while left:
                count = client.recv_into(buffer)
                if not count:
                    raise SystemExit(f"{way}: the bytes came to an end")
                left -= count
            taken = time.perf_counter() - started
        for child in children:
            os.waitpid(child, 0)
    return taken


def main() -> None:
    """Measure, and print the best of the rounds, since all that others do makes it longer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=128 << 20, help="bytes, of whole MiB")
    parser.add_argument("--directory", default="/var/tmp", help="where the pages go")
    given = parser.parse_args()
    status = run_inside("benchmarks.cache_bound")
    if status is not None:
        sys.exit(status)
    with tempfile.TemporaryDirectory(prefix="bench-bound-", dir=given.directory) as directory:
        scratch = Path(directory)
        source = scratch / "source"
        source.write_bytes(os.urandom(PAGE) * (given.size // PAGE))
        best = dict.fromkeys(WAYS, float("inf"))
        for _ in range(given.rounds):
            for way in WAYS:
                best[way] = min(best[way], seconds(way, source, given.size, scratch) * GIB / given.size)
    for way, told in WAYS.items():
        print(f"{way:14} {best[way]:6.2f} s a GiB, {best['past'] / best[way]:5.2f} of what goes past  ({told})")


if __name__ == "__main__":
    main()

"""Reads over HTTP of a daemon with a cache, before a store that misbehaves, while bits of its page files flip: wrong bytes are counted.

One daemon serves a directory, the origin. A proxy before it breaks off, lies, hangs, and refuses; another daemon, of two processes, mounts
what the proxy shows, once as ``max_age`` and once as ``strong``, behind a cache that is smaller than the objects. Their versions change
behind its back. Several processes read, and hold every answer against the version that its ETag names.
``python -m benchmarks.cache_faults_http``. It ends with status 1 if a byte is wrong, or a daemon is in trouble.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import random
import signal
import socket
import socketserver
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.cache_faults import flip
from tests.running import Daemon

PAGE, OBJECTS, VERSIONS = 64 << 10, 32, 4
CACHE_BYTES = 7 << 20
# How often a read of the store's bytes, and a look at what it has, goes wrong.
READ_FAULTS, LOOK_FAULTS = 0.3, 0.02
CHANGE_SECONDS = 0.5
LAST_SECONDS = 60


def body(number: int, version: int) -> bytes:
    """An object's bytes: up to six pages, the last one not whole."""
    return random.Random(number * VERSIONS + version).randbytes((2 + number % 5) * PAGE - number * 13)


class Exchange:
    """One request on its way from the daemon to the store: ``send`` answers it, wrong or right."""

    def __init__(self, connection: socket.socket, answer: http.client.HTTPResponse, chance: random.Random) -> None:
        self.connection = connection
        self.chance = chance
        self.data = answer.read()
        self.length = int(answer.headers["Content-Length"])
        kept = [(name, value) for name, value in answer.getheaders() if name not in ("Connection", "Content-Length", "Transfer-Encoding")]
        self.status, self.fields = answer.status, dict(kept)

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
        self.connection.settimeout(5)
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


# To hang takes long, so it is rare.
_OFTEN = (Exchange.short, Exchange.error, Exchange.less, Exchange.more, Exchange.another, Exchange.elsewhere, Exchange.refuse)
READS = (*_OFTEN * 4, Exchange.hang)
LOOKS = (Exchange.refuse, Exchange.error)


class Proxy(socketserver.ThreadingTCPServer):
    """Stands before the store at ``port`` and misbehaves."""

    daemon_threads = True

    def __init__(self, port: int, seed: int) -> None:
        self.port = port
        self.chance = random.Random(seed)
        self.met: Counter[str] = Counter()
        super().__init__(("127.0.0.1", 0), Serving)


class Serving(socketserver.BaseRequestHandler):
    """One connection of the daemon's."""

    server: Proxy

    def handle(self) -> None:
        """Answer until a fault ends it."""
        store = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        stream = self.request.makefile("rb")
        try:
            while line := stream.readline():
                method, target, _ = line.decode("latin-1").split(" ")
                headers = dict(http.client.parse_headers(stream).items())
                store.request(method, target, None, headers)
                answer = store.getresponse()
                exchange = Exchange(self.request, answer, self.server.chance)
                fault = self._fault(method, answer.status)
                if fault is not None:
                    self.server.met[fault.__name__] += 1
                    fault(exchange)
                    return
                exchange.send()
        except (OSError, http.client.HTTPException):
            return
        finally:
            stream.close()
            store.close()

    def _fault(self, method: str, status: int) -> Callable[[Exchange], None] | None:
        rate, kinds = (READ_FAULTS, READS) if method == "GET" else (LOOK_FAULTS, LOOKS)
        if status >= 300 or self.server.chance.random() >= rate:
            return None
        return self.server.chance.choice(kinds)


def properties(scratch: Path, store: str) -> dict[str, object]:
    """Those of the daemon with the cache."""
    shared = {"alluxio.underfs.s3.endpoint": store, "alluxio.underfs.s3.region": "us-east-1", "s3a.accessKeyId": "s", "s3a.secretKey": "s"}
    shared |= {"alluxio.underfs.s3.request.timeout": "4s", "alluxio.underfs.s3.socket.timeout": "1s"}
    kinds = {"kept": "max_age=5sec", "strong": "strong"}
    mounts = [{"path": f"/{name}", "uri": "s3://faults", "options": shared | {"freshness": kind}} for name, kind in kinds.items()]
    table = scratch / "mounts.json"
    table.write_text(json.dumps({"version": 1, "mounts": mounts}), encoding="ascii")
    table.chmod(0o600)
    return {
        "alluxio.worker.s3.api.enabled": True,
        "alluxio.worker.rest.port": 0,
        "alluxio.worker.s3.bind.host": "127.0.0.1",
        "alluxio.worker.s3.processes": 2,
        "alluxio.worker.s3.mount.table": table,
        "alluxio.worker.page.store.dirs": scratch / "pages",
        "alluxio.worker.page.store.sizes": CACHE_BYTES,
        "alluxio.worker.page.store.page.size": PAGE,
    }


def read_on(address: str, reads: int, seed: int, versions: dict[str, bytes]) -> Counter[str]:
    """Read ranges of objects; what became of it."""
    chance, found = random.Random(seed), Counter[str]()
    connection = http.client.HTTPConnection(address, timeout=LAST_SECONDS)
    for _ in range(reads):
        number = chance.randrange(OBJECTS)
        size = len(body_of(versions, number))
        first = chance.randrange(size)
        last = min(size - 1, first + chance.randrange(4 * PAGE))
        whole = chance.random() < 0.2
        try:
            mount = chance.choices(("kept", "strong"), (2, 1))[0]
            connection.request("GET", f"/{mount}/o{number}", headers={} if whole else {"Range": f"bytes={first}-{last}"})
            answer = connection.getresponse()
            status, headers = answer.status, answer.headers
            try:
                got, cut = answer.read(), False
            except http.client.IncompleteRead as short:
                got, cut = short.partial, True
        except (OSError, http.client.HTTPException) as problem:
            found[f"failed: {type(problem).__name__}"] += 1
            connection.close()
            continue
        if status not in (200, 206):
            found[f"failed: {status}"] += 1
            continue
        wanted = versions.get(headers["ETag"].strip('"'), b"")
        wanted = wanted if whole else wanted[first : last + 1]
        if cut:
            connection.close()
            found["failed: cut" if wanted.startswith(got) else "WRONG before a cut"] += 1
        else:
            found["right" if got == wanted and status == (200 if whole else 206) else "WRONG"] += 1
            found[f"told: {headers['Cache-Status']}"] += 1
    return found


def body_of(versions: dict[str, bytes], number: int) -> bytes:
    """Some version of an object; all are as long."""
    return list(versions.values())[number * VERSIONS]


def put(address: str, number: int, version: int, data: bytes) -> None:
    """Have the store have that version."""
    connection = http.client.HTTPConnection(address, timeout=LAST_SECONDS)
    connection.request("PUT", f"/faults/o{number}", data)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"the store answered {answer.status} to a write of version {version}")


def forked(run: Callable[[], object]) -> int:
    """A process that does ``run``; its number."""
    process = os.fork()
    if process:
        return process
    status = 70
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        run()
        status = 0
    finally:
        os._exit(status)


def told(path: Path, run: Callable[[], Counter[str]]) -> None:
    """Write down what ``run`` counts."""
    path.write_text(json.dumps(run()), encoding="ascii")


def faulty(given: argparse.Namespace, scratch: Path) -> tuple[Counter[str], Counter[str], list[str]]:
    """Do it: what became of the reads, what the store did, and the daemons' trouble."""
    versions = {}
    for number in range(OBJECTS):
        for version in range(VERSIONS):
            data = body(number, version)
            versions[hashlib.md5(data, usedforsecurity=False).hexdigest()] = data
    bodies = list(versions.values())
    (scratch / "data" / "faults").mkdir(parents=True)
    plain = {"alluxio.worker.s3.api.enabled": True, "alluxio.worker.rest.port": 0, "alluxio.worker.s3.bind.host": "127.0.0.1"}
    plain |= {"alluxio.dora.client.ufs.root": scratch / "data", "alluxio.worker.s3.connection.keep.alive.enabled": True}
    with Daemon(scratch / "origin") as origin, Daemon(scratch / "front") as front:
        store = urlsplit(origin.start(plain))
        for number in range(OBJECTS):
            put(store.netloc, number, 0, bodies[number * VERSIONS])
        with Proxy(store.port or 0, given.seed) as proxy:
            address = urlsplit(front.start(properties(scratch, f"http://127.0.0.1:{proxy.server_address[1]}"))).netloc
            outs = [scratch / f"out{number}" for number in range(given.clients)]
            each = given.reads // given.clients
            clients = [
                forked(lambda at=at, out=out: told(out, lambda: read_on(address, each, given.seed + at, versions)))  # type: ignore[misc]
                for at, out in enumerate(outs)
            ]
            parent = os.getpid()
            flipper = forked(lambda: flip(scratch / "pages", given.seed, parent))
            ended = threading.Event()

            def change() -> None:
                chance = random.Random(given.seed)
                while not ended.wait(CHANGE_SECONDS):
                    number, version = chance.randrange(OBJECTS), chance.randrange(VERSIONS)
                    put(store.netloc, number, version, bodies[number * VERSIONS + version])

            threads = [threading.Thread(target=work, daemon=True) for work in (change, lambda: proxy.serve_forever(poll_interval=0.1))]
            for one in threads:
                one.start()
            statuses = [os.waitstatus_to_exitcode(os.waitpid(client, 0)[1]) for client in clients]
            ended.set()
            threads[0].join()
            os.kill(flipper, signal.SIGTERM)
            os.waitpid(flipper, 0)
            trouble = [f"a client ended with {status}" for status in statuses if status]
            trouble += [] if front.alive else ["the daemon has ended"]
            front.stop()
            proxy.shutdown()
        origin.stop()
        found: Counter[str] = sum((Counter(json.loads(out.read_text(encoding="ascii"))) for out in outs if out.exists()), Counter())
        return found, proxy.met, [*trouble, *front.trouble[:3], *origin.trouble[:3]]


def main() -> None:
    """Read, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reads", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cache-faults-", dir="/var/tmp") as directory:
        found, met, trouble = faulty(given, Path(directory))
    for name, count in sorted(found.items()):
        print(f"{count:9,} {name}")
    print("the store misbehaved: " + ", ".join(f"{count:,} {name}" for name, count in sorted(met.items())))
    wrong = sum(count for name, count in found.items() if name.startswith("WRONG"))
    failed = sum(count for name, count in found.items() if name.startswith("failed"))
    reads = found["right"] + wrong + failed
    print(f"{reads:,} reads over HTTP in {time.monotonic() - started:.0f} s: {wrong} wrong, {failed:,} failed visibly")
    for one in trouble:
        print(f"NOT as it should be: {one}")
    sys.exit(bool(wrong or trouble))


if __name__ == "__main__":
    main()

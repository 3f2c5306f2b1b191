"""A16: transfers of every kind that are under way at the drain limit are cut, and none looks whole."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.certificates import Authority
from tests.cluster.trio import HOSTS, get, running_trio
from tests.faults.daemons import LONG, Daemon, free_port, properties, report
from tests.faults.test_a16_a23_exhaustion import HEAD, put_standing

EACH = 20 if LONG else 3
LENGTH = 24 << 20
GET = HEAD
RANGE = HEAD[:-2] + b"Range: bytes=1000-23000000\r\n\r\n"
PUT = HEAD.replace(b"GET /ledger/standing", b"PUT /ledger/written")[:-2] + b"Content-Length: %d\r\n\r\n" % LENGTH
CHUNKED = HEAD.replace(b"GET /ledger/standing", b"PUT /ledger/chunked")[:-2] + b"Transfer-Encoding: chunked\r\n\r\n100000\r\n"


def test_a16_every_kind_of_transfer(tmp_path: Path) -> None:
    """Reads of objects, ranges and cached pages, writes with and without a length, plain and over TLS: cut at the limit, nothing stored."""
    (tmp_path / "data").mkdir()
    issued, secure = Authority().issue(), free_port()
    more = {
        "alluxio.worker.s3.drain.timeout": "1s",
        "alluxio.network.tls.enabled": True,
        "alluxio.network.tls.server.cert": issued.certificate_file(tmp_path / "c.pem"),
        "alluxio.network.tls.server.key": issued.key_file(tmp_path / "k.pem"),
        "alluxio.worker.s3.https.port": secure,
        "alluxio.dora.client.ufs.root.option.freshness": "strong",
        "alluxio.worker.page.store.dirs": tmp_path / "pages",
        "alluxio.worker.page.store.sizes": "64MB",
    }
    for cached in (False, True):
        given = properties(free_port(), tmp_path / "data", more if cached else {name: more[name] for name in list(more)[:5]})
        with Daemon(tmp_path / f"conf-{cached}") as daemon:
            endpoint = daemon.start(given)
            if not cached:
                put_standing(endpoint, LENGTH)
            plain = (urlsplit(endpoint).hostname or "", urlsplit(endpoint).port or 0)
            kinds = [(over_tls, request) for over_tls in (False, True) for request in (GET, RANGE, PUT, CHUNKED)]
            clients = [(connected(plain, secure if over_tls else 0, request), request) for over_tls, request in kinds * EACH]
            begun = time.monotonic()
            assert daemon.stop() is not None
            lasted = time.monotonic() - begun
            whole = sum(looks_whole(client, request) for client, request in clients)
            assert whole == 0
            assert lasted < 30
            assert [path.name for path in (tmp_path / "data" / "ledger").iterdir()] == ["standing"]
        report("A16", f"{len(clients)} transfers of 8 kinds{' through the cache' if cached else ''}, cut in {lasted:.1f} s: 0 looked whole")


def test_a16_what_another_worker_passes_on(tmp_path: Path) -> None:
    """The end of a worker that passes on another's bytes cuts them, and stores nothing; the owner's end gives a wrong byte to nobody."""
    data = os.urandom(LENGTH)
    with running_trio(tmp_path, {"alluxio.worker.s3.drain.timeout": "1s"}) as trio:
        keys = [trio.key(1, name) for name in ("standing", "written", "chunked")]
        trio.put(keys[0], data)
        assert get(f"{trio.endpoints[0]}/objects/{keys[0]}").headers["cache-status"].endswith("detail=proxy-client-unknown")
        readers = [_reader(trio.endpoints[2], f"/objects/{keys[0]}") for _ in range(EACH)]
        requests = [GET.replace(b"/ledger/standing", b"/objects/%s" % keys[0].encode())]
        requests.append(requests[0][:-2] + b"Range: bytes=1000-23000000\r\n\r\n")
        requests.append(PUT.replace(b"/ledger/written", b"/objects/%s" % keys[1].encode()))
        requests.append(CHUNKED.replace(b"/ledger/chunked", b"/objects/%s" % keys[2].encode()))
        clients = [(connected((HOSTS[0], trio.port), 0, request), request) for request in requests * EACH]
        begun = time.monotonic()
        trio.daemons[0].stop()
        lasted = time.monotonic() - begun
        assert sum(looks_whole(client, request) for client, request in clients) == 0
        assert lasted < 30
        assert [path.name for path in (trio.data / "objects").iterdir()] == keys[:1]
        trio.daemons[1].stop()
        became = [_became(answer, data) for answer in readers]
        assert set(became) <= {"whole", "cut"}, became
    told = f"{len(clients)} transfers of 4 kinds that another worker passed on, cut in {lasted:.1f} s: 0 looked whole"
    report("A16", f"{told}; {len(became)} readers whose owner ended: {became.count('whole')} were served to the end, 0 had a wrong byte")


def _reader(endpoint: str, path: str) -> http.client.HTTPResponse:
    """An answer that has begun, to a client that takes little."""
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=60)
    connection.connect()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    connection.request("GET", path)
    return connection.getresponse()


def _became(answer: http.client.HTTPResponse, data: bytes) -> str:
    """What came of it: ``whole``, ``cut``, or something that must not be."""
    with contextlib.suppress(OSError):
        try:
            return "whole" if answer.read() == data else "wrong"
        except http.client.IncompleteRead as short:
            return "cut" if data.startswith(short.partial) else "wrong"
    return "cut"


def connected(address: tuple[str, int], secure: int, request: bytes) -> socket.socket:
    """A client that has begun, and takes or gives little."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    client.settimeout(60)
    client.connect((address[0], secure) if secure else address)
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client = context.wrap_socket(client)
    client.sendall(request)
    if request.startswith(b"GET"):
        if not client.recv(1000):
            raise ConnectionError
    else:
        client.sendall(bytes(10_000))
    return client


def looks_whole(client: socket.socket, request: bytes) -> bool:
    """Whether what comes to a client till the end is a whole answer that claims success."""
    data, got = b"", 1000
    with client:
        try:
            while piece := client.recv(1 << 20):
                data, got = (data + piece)[:100], got + len(piece)
        except OSError:
            pass
    return got >= 22_000_000 if request.startswith(b"GET") else data.startswith(b"HTTP/1.1 2")

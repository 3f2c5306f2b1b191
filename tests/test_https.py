"""HTTPS from outside: the same answers as HTTP, certificates that come and go, clients that must show theirs."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from cryptography import x509

from tests.certificates import Authority, Issued
from tests.test_gateway import Scene, failure

LARGE = 64 << 20
SECRET = "canary-4821"
SIZES = {"empty": 0, "one": 1, "small": 4096, "edge": 16384, "over": 16385, "middle": 100_000, "more": 700_001, "large": 3_000_003}


class SecureScene(Scene):
    """A daemon with a certificate."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.directory = directory
        self.authority = Authority()
        self.ca = self.authority.certificate_file(directory / "ca.pem")
        self.certificate, self.key = directory / "certificate.pem", directory / "key.pem"
        self.replace(self.authority.issue())
        self.properties |= {
            "alluxio.network.tls.enabled": True,
            "alluxio.network.tls.server.cert": self.certificate,
            "alluxio.network.tls.server.key": self.key,
            "alluxio.worker.s3.https.port": 0,
        }

    def replace(self, issued: Issued) -> None:
        """Another certificate in the place of the one there; the daemon may read in between."""
        issued.key_file(self.key)
        issued.certificate_file(self.certificate)

    def start_https(self, **more: object) -> str:
        """Start it; the https:// endpoint."""
        self.start(**more)
        self.wait_for("Serving S3 at https://")
        return self.https

    def wait_for_times(self, text: str, times: int) -> None:
        """Return when the daemon has logged it so often."""
        with self.daemon._changed:
            assert self.daemon._changed.wait_for(lambda: self.daemon.log.count(text) >= times, 60), self.daemon.log

    @property
    def https(self) -> str:
        found: list[str] = re.findall(r"Serving S3 at (https://\S+)", self.daemon.log)
        return found[-1]

    def context(self, client: Issued | None = None) -> ssl.SSLContext:
        """A client that trusts the daemon's authority."""
        made = ssl.create_default_context(cafile=str(self.ca))
        if client is not None:
            made.load_cert_chain(client.both_file(self.directory / "client.pem"))
        return made

    def client(self, endpoint: str, client: Issued | None = None) -> http.client.HTTPConnection:
        """A connection to either kind of endpoint."""
        split = urlsplit(endpoint)
        host, port = split.hostname or "", split.port or 0
        if split.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=60)
        return http.client.HTTPSConnection(host, port, timeout=60, context=self.context(client))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[SecureScene]:
    """A daemon that is not running yet; it must not log trouble."""
    made = SecureScene(tmp_path)
    with made.daemon:
        yield made
    assert made.daemon.trouble == []


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[Any, ...]:
    """Status, headers but those that differ each time, and body."""
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    kept = [pair for pair in answer.getheaders() if pair[0] not in ("x-amz-request-id", "Date")]
    return answer.status, kept, re.sub(rb"(<RequestId>)[^<]*", rb"\1", answer.read())


def test_https_answers_as_http_does(scene: SecureScene) -> None:
    """Both are announced, and each request has the same answer on both, byte for byte, the first time and when the file is open."""
    secure = scene.start_https()
    (plain,) = re.findall(r"Serving S3 at (http://\S+)", scene.daemon.log)
    connections = [scene.client(secure), scene.client(plain)]
    for name, size in SIZES.items():
        body = os.urandom(size)
        assert ask(connections[size % 2], "PUT", f"/bucket/{name}", body)[0] == 200
        for method in ("GET", "HEAD"):
            for headers in ({}, {"Range": "bytes=1-5000"}, {"Range": "bytes=-1"}, {"If_None_Match": "*"}):
                for _ in range(2):
                    first, second = (ask(one, method, f"/bucket/{name}", **headers) for one in connections)
                    assert first == second
                if method == "GET" and not headers:
                    assert first[2] == body
    for path in ("/bucket/missing", "/missing/key", "/bucket?list-type=2", "/", "/bucket?acl"):
        first, second = (ask(one, "GET", path) for one in connections)
        assert first == second
    scene.daemon.stop()


def test_https_only(scene: SecureScene) -> None:
    """Nothing is served in the clear; by key store, and on IPv6."""
    issued = scene.authority.between("middle").issue()
    scene.properties["alluxio.network.tls.server.cert"] = scene.properties["alluxio.network.tls.server.key"] = ""
    endpoint = scene.start(
        alluxio__worker__s3__only__https__access=True,
        alluxio__worker__s3__bind__host="::1",
        alluxio__network__tls__keystore__path=issued.keystore(scene.directory / "store.p12", SECRET),
        alluxio__network__tls__keystore__password=SECRET,
    )
    assert endpoint.startswith("https://[::1]:")
    assert re.findall(r"Serving S3 at (\S+)", scene.daemon.log) == [endpoint]
    context = scene.context()
    context.check_hostname = False
    port = urlsplit(endpoint).port or 0
    connection = http.client.HTTPSConnection("::1", port, timeout=60, context=context)
    assert ask(connection, "PUT", "/bucket/k", b"bytes")[0] == 200
    assert ask(connection, "GET", "/bucket/k")[2] == b"bytes"
    assert SECRET not in scene.daemon.log
    assert SECRET not in Path(f"/proc/{scene.daemon.pid}/cmdline").read_text()
    scene.daemon.stop()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"alluxio.network.tls.enabled": False}, "nothing says with which certificate"),
        ({"alluxio.worker.s3.endpoints": "tcp:0"}, "alluxio.worker.s3.endpoints has 'tcp:0'"),
        ({"alluxio.network.tls.server.cert": "/none"}, "alluxio.network.tls.server.cert: /none: No such file or directory"),
        ({"alluxio.network.tls.client.auth": "required"}, "alluxio.network.tls.ca.cert: "),
        (
            {
                "alluxio.network.tls.server.cert": "",
                "alluxio.network.tls.server.key": "",
                "alluxio.network.tls.keystore.path": "/dev/null",
                "alluxio.network.tls.keystore.password": SECRET,
            },
            "alluxio.network.tls.keystore.path: /dev/null is no PKCS12 key store",
        ),
    ],
    ids=["no certificate", "plain endpoint", "no file", "nobody to trust", "bad store"],
)
def test_it_does_not_start_without_what_https_needs(scene: SecureScene, tmp_path: Path, change: dict[str, object], said: str) -> None:
    """One line says what is wrong, and shows no password."""
    complaint = failure(tmp_path, scene.properties | {"alluxio.worker.s3.only.https.access": True} | change)
    assert said in complaint
    assert SECRET not in complaint


def test_clients_that_must_show_a_certificate(scene: SecureScene) -> None:
    """With mutual TLS, who shows none, or one of somebody else's, gets nowhere."""
    trusted = Authority("clients")
    endpoint = scene.start_https(
        alluxio__network__tls__client__auth="REQUIRED",
        alluxio__network__tls__ca__cert=trusted.certificate_file(scene.directory / "clients.pem"),
    )
    assert ask(scene.client(endpoint, trusted.issue("alice")), "GET", "/bucket/none")[0] == 404
    for stranger in (None, Authority("clients").issue("alice")):
        with pytest.raises((ssl.SSLError, OSError)):
            ask(scene.client(endpoint, stranger), "GET", "/bucket/none")
    scene.daemon.stop()


def test_large_objects_by_real_clients(scene: SecureScene) -> None:
    """boto3 and curl, each with the authority's certificate, copy 64 MiB there and back, eight at a time."""
    endpoint = scene.start_https()
    body = os.urandom(LARGE)
    s3: Any = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="alice",
        aws_secret_access_key="anything",
        region_name="us-east-1",
        verify=str(scene.ca),
        config=Config(retries={"total_max_attempts": 1}),
    )
    s3.put_object(Bucket="bucket", Key="k", Body=body)
    assert (scene.data / "bucket" / "k").read_bytes() == body

    def read(number: int) -> bool:
        if number % 2 and shutil.which("curl"):
            command = ["curl", "-sS", "--cacert", str(scene.ca), f"{endpoint}/bucket/k"]
            return subprocess.run(command, capture_output=True, check=True).stdout == body
        return bool(s3.get_object(Bucket="bucket", Key="k")["Body"].read() == body)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(8)))
    scene.daemon.stop()


def test_slow_clients_and_those_that_leave(scene: SecureScene) -> None:
    """A client that takes little at a time gets the whole; one that resets in mid-body leaves nothing behind."""
    endpoint = scene.start_https()
    body = os.urandom(LARGE // 8)
    (scene.data / "bucket" / "k").write_bytes(body)
    os.utime(scene.data / "bucket" / "k", ns=(10**18, 10**18))
    for _ in range(2):
        with scene.context().wrap_socket(scene.connect(endpoint), server_hostname="127.0.0.1") as leaving:
            leaving.sendall(b"GET /bucket/k HTTP/1.1\r\nHost: h\r\n\r\n")
            assert leaving.recv(1)
            leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        scene.wait_for('GetObject "GET /bucket/k" 200 ClientGone')
        received = bytearray()
        with scene.context().wrap_socket(scene.connect(endpoint), server_hostname="127.0.0.1") as slow:
            slow.sendall(b"GET /bucket/k HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            while piece := slow.recv(3000):
                received += piece
        assert received.endswith(b"\r\n\r\n" + body)
    scene.daemon.stop()


def test_a_client_that_takes_nothing_is_given_up(scene: SecureScene) -> None:
    """An answer that nobody takes ends after the time that bodies may stall, and whoever connects and says nothing is no trouble."""
    with (scene.data / "bucket" / "k").open("wb") as file:
        file.truncate(LARGE)
    endpoint = scene.start_https(alluxio__worker__s3__body__stall__timeout="200ms")
    with scene.connect(endpoint), scene.context().wrap_socket(scene.connect(endpoint), server_hostname="127.0.0.1") as client:
        client.sendall(b"GET /bucket/k HTTP/1.1\r\nHost: h\r\n\r\n")
        scene.wait_for('GetObject "GET /bucket/k" 200 ClientGone')
        scene.daemon.stop()


class Load(threading.Thread):
    """Requests one after the other, on one connection or on one each, until it is told to end."""

    def __init__(self, scene: SecureScene, endpoint: str, *, keep: bool) -> None:
        super().__init__()
        self._scene, self._endpoint, self._keep = scene, endpoint, keep
        self._over = threading.Event()
        self.count = 0
        self.problem: BaseException | None = None

    def run(self) -> None:
        try:
            connection = self._scene.client(self._endpoint)
            while not self._over.is_set():
                if not self._keep:
                    connection.close()
                assert ask(connection, "GET", "/bucket/k")[2] == b"k" * 100_000
                self.count += 1
            connection.close()
        except (OSError, AssertionError, http.client.HTTPException) as problem:
            self.problem = problem

    def end(self) -> None:
        self._over.set()
        self.join(60)
        assert self.problem is None
        assert self.count


def serial(scene: SecureScene, endpoint: str) -> int:
    """That of the certificate that a new connection sees."""
    split = urlsplit(endpoint)
    plain = socket.create_connection((split.hostname or "", split.port or 0), 60)
    with scene.context().wrap_socket(plain, server_hostname="127.0.0.1") as secure:
        der = secure.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


def test_certificates_are_replaced_under_load(scene: SecureScene) -> None:
    """SIGHUP takes new certificates for new connections; no request fails, and files that are no good change nothing."""
    (scene.data / "bucket" / "k").write_bytes(b"k" * 100_000)
    endpoint = scene.start_https()
    loads = [Load(scene, endpoint, keep=keep) for keep in (True, True, False, False)]
    for load in loads:
        load.start()
    for swap in range(1, 9):
        issued = scene.authority.issue()
        scene.replace(issued)
        os.kill(scene.daemon.pid, signal.SIGHUP)
        scene.wait_for_times("TLS certificates: read again", swap)
        assert serial(scene, endpoint) == issued.serial
        Authority().issue().key_file(scene.key)
        os.kill(scene.daemon.pid, signal.SIGHUP)
        scene.wait_for_times("TLS certificates: as they were, because of alluxio.network.tls.server.key: ", swap)
        assert serial(scene, endpoint) == issued.serial
    for load in loads:
        load.end()
    scene.daemon.stop()


def test_two_processes_serve_https(scene: SecureScene) -> None:
    """Both have the certificate, and both take another."""
    endpoint = scene.start_https(alluxio__worker__s3__processes=2)
    assert ask(scene.client(endpoint), "PUT", "/bucket/k", b"bytes")[0] == 200
    issued = scene.authority.issue()
    scene.replace(issued)
    os.kill(scene.daemon.pid, signal.SIGHUP)
    scene.wait_for_times("TLS certificates: read again", 2)
    for _ in range(8):
        assert serial(scene, endpoint) == issued.serial
        assert ask(scene.client(endpoint), "GET", "/bucket/k")[2] == b"bytes"
    scene.daemon.stop()

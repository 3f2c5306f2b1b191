"""Several processes that are one daemon, from outside."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.clients.tls_front import write_certificate
from tests.daemon.test_admin import Admin
from tests.running import Daemon, properties_text
from tests.test_gateway import UnixConnection, exchange, failure
from tests.wire import Wire

LARGE = 32 << 20


class Family:
    """A parent and its children."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        (self.data / "bucket").mkdir(parents=True)
        self.daemon = Daemon(directory / "conf")
        self.properties: dict[str, object] = {
            "alluxio.worker.s3.api.enabled": True,
            "alluxio.worker.rest.port": 0,
            "alluxio.worker.s3.bind.host": "127.0.0.1",
            "alluxio.worker.s3.admin.port": 0,
            "alluxio.worker.s3.processes": 2,
            "alluxio.dora.client.ufs.root": self.data,
            "alluxio.worker.s3.connection.keep.alive.enabled": True,
            "alluxio.worker.s3.durability": "rename",
        }

    def start(self, **more: object) -> str:
        endpoint = self.daemon.start(self.properties | {name.replace("__", "."): value for name, value in more.items()})
        self.admin = Admin(self.daemon)
        self.wait_until_ready()
        return endpoint

    def wait_until_ready(self) -> None:
        while not self.admin.ready()[0]:
            assert self.daemon.alive, self.daemon.log

    @property
    def children(self) -> set[int]:
        """Their process ids."""
        found = Path(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children").read_text()
        return {int(one) for one in found.split()}

    def connect(self, endpoint: str, child: int) -> Wire:
        """A connection that ``child`` serves."""
        others = []
        while True:
            wire = Wire(endpoint)
            assert wire("HEAD", "bucket").status == 200
            if self.serves(child, wire):
                for other in others:
                    other.close()
                return wire
            others.append(wire)

    def serves(self, child: int, wire: Wire) -> bool:
        """Whether that connection is in the hands of ``child``."""
        port = wire._connection.sock.getsockname()[1]
        lines = Path(f"/proc/{child}/net/tcp").read_text().splitlines()[1:]
        inodes = {fields[9] for fields in map(str.split, lines) if int(fields[2].rpartition(":")[2], 16) == port}
        files = Path(f"/proc/{child}/fd").iterdir()
        return any(str(file.readlink()).removeprefix("socket:[").removesuffix("]") in inodes for file in files if file.is_symlink())

    def wait_for(self, text: str, times: int = 1) -> None:
        """Return when the daemon has logged it."""
        with self.daemon._changed:
            assert self.daemon._changed.wait_for(lambda: self.daemon.log.count(text) >= times, 60), self.daemon.log


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    """A daemon of two processes that is not running yet; it must not log trouble."""
    made = Family(tmp_path)
    with made.daemon:
        yield made
    assert made.daemon.trouble == []


def test_every_child_serves_and_figures_add_up(family: Family) -> None:
    """Connections are spread over the children; what one writes the other reads; /metrics tells the sum, and no request id comes twice."""
    endpoint = family.start()
    wires = [family.connect(endpoint, child) for child in family.children]
    assert len(wires) == 2
    identifiers = []
    for writer, reader in (wires, wires[::-1]):
        identifiers.append(writer("PUT", "bucket", "k", body=os.urandom(100)).headers["x-amz-request-id"])
        identifiers += [reader("GET", "bucket", "k").headers["x-amz-request-id"] for _ in range(5)]
    assert len(set(identifiers)) == 12
    figures = family.admin.figures()
    assert figures["alluxio_s3_requests_total", "PutObject", "2xx"] == 2
    assert figures["alluxio_s3_requests_total", "GetObject", "2xx"] == 10
    assert figures["alluxio_s3_processes",] == 2
    assert family.daemon.log.count("Serving S3 at ") == 1
    assert family.daemon.stop() == -signal.SIGTERM


def test_a_child_that_is_killed_is_replaced(family: Family) -> None:
    """The other serves on, all new connections are served in the end, the successor has the socket, and no figure goes down."""
    endpoint = family.start()
    victim, other = family.children
    wires = {child: family.connect(endpoint, child) for child in (victim, other)}
    for wire in wires.values():
        assert wire("PUT", "bucket", "k", body=b"x").status == 200
    before = family.admin.figures()
    stop, failures, answers = threading.Event(), [], []

    def load() -> None:
        try:
            while not stop.is_set():
                answers.append(wires[other]("GET", "bucket", "k").status)
        except (OSError, HTTPException) as problem:
            failures.append(problem)

    thread = threading.Thread(target=load)
    thread.start()
    os.kill(victim, signal.SIGKILL)
    new = [Wire(endpoint) for _ in range(16)]  # some of them wait in the socket of the dead
    assert [wire("GET", "bucket", "k").status for wire in new] == [200] * 16
    family.wait_until_ready()
    stop.set()
    thread.join()
    assert failures == []
    assert set(answers) == {200}
    assert other in family.children
    assert victim not in family.children
    after = family.admin.figures()
    assert after["alluxio_s3_starts_total",] == 3
    assert after["alluxio_s3_requests_total", "PutObject", "2xx"] == before["alluxio_s3_requests_total", "PutObject", "2xx"] == 2
    assert re.search(r"Process [01] has ended \(SIGKILL\)", family.daemon.log)
    successor = (family.children - {other}).pop()
    assert family.connect(endpoint, successor)("GET", "bucket", "k").status == 200
    family.daemon.stop()


def test_stopping_drains_every_child(family: Family) -> None:
    """Slow downloads of every child end whole, no others begin, and then all are gone."""
    with (family.data / "bucket" / "large").open("wb") as file:
        file.truncate(LARGE)
    endpoint = family.start()
    children = family.children
    split = urlsplit(endpoint)
    clients = []
    for _ in range(8):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect((split.hostname or "", split.port or 0))
        client.sendall(b"GET /bucket/large HTTP/1.1\r\nHost: h\r\n\r\n")
        assert client.recv(1) == b"H"
        clients.append(client)
    while family.admin.figures()["alluxio_s3_requests_in_flight",] < 8:
        pass
    family.daemon.signal_stop()
    while family.admin.ready()[0]:
        pass
    for client in clients:
        with client:
            received = 1
            while piece := client.recv(1 << 20):
                received += len(piece)
            assert received > LARGE
    assert family.daemon._process.wait(60) == -signal.SIGTERM
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def test_a_second_signal_hurries_every_child(family: Family) -> None:
    """What is under way is cut then, wherever it is."""
    with (family.data / "bucket" / "large").open("wb") as file:
        file.truncate(LARGE)
    endpoint = family.start()
    wires = [family.connect(endpoint, child) for child in family.children]
    for wire in wires:
        wire._connection.request("GET", "/bucket/large")
        assert wire._connection.sock.recv(1) == b"H"
    family.daemon.signal_stop()
    while family.admin.ready()[0]:
        pass
    assert family.daemon.stop(timeout=20) == -signal.SIGTERM


def test_a_signal_to_everybody_is_one_signal(family: Family) -> None:
    """Ctrl-C, and init systems that signal the whole group, don't hurry what is under way."""
    endpoint = family.start()
    wires = [family.connect(endpoint, child) for child in family.children]
    for wire in wires:
        wire._connection.putrequest("PUT", "/bucket/k")
        wire._connection.putheader("Content-Length", "2")
        wire._connection.endheaders(b"a")
    while family.admin.figures()["alluxio_s3_requests_in_flight",] < 2:
        pass
    os.killpg(family.daemon.pid, signal.SIGINT)
    while family.admin.ready()[0]:
        pass
    for wire in wires:
        wire._connection.send(b"b")
        assert wire._connection.getresponse().status == 200
    assert family.daemon._process.wait(60) == -signal.SIGINT


def test_children_do_not_outlive_their_parent(family: Family) -> None:
    """When the parent is killed they end by themselves, and the port is free."""
    endpoint = family.start()
    children = family.children
    os.kill(family.daemon.pid, signal.SIGKILL)
    while any(Path(f"/proc/{child}/fd").exists() and Path(f"/proc/{child}/cmdline").read_bytes() for child in children):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((urlsplit(endpoint).hostname, urlsplit(endpoint).port), 10)


def test_hangup_has_every_child_read_its_certificates_again(family: Family, tmp_path: Path) -> None:
    """HTTPS is shared as HTTP is, and a new certificate is everybody's after SIGHUP."""
    certificate, key = write_certificate(tmp_path)
    family.start(
        alluxio__network__tls__enabled=True,
        alluxio__worker__s3__https__port=0,
        alluxio__network__tls__server__cert=certificate,
        alluxio__network__tls__server__key=key,
    )
    endpoint = next(found for found in family.daemon._endpoints(0) if found.startswith("https://"))
    host, port = urlsplit(endpoint).hostname or "", urlsplit(endpoint).port or 0
    old = ssl.get_server_certificate((host, port))
    again = tmp_path / "again"
    again.mkdir()
    for new, place in zip(write_certificate(again), (certificate, key), strict=True):
        new.replace(place)
    os.kill(family.daemon.pid, signal.SIGHUP)
    family.wait_for("read again", times=2)
    assert all(ssl.get_server_certificate((host, port)) != old for _ in range(16))
    assert len(family.children) == 2
    family.daemon.stop()


def test_every_kind_of_endpoint_is_shared(family: Family, tmp_path: Path) -> None:
    """Endpoint strings, a socket of the file system among them, are served by all; the socket's file goes when the daemon does."""
    path = tmp_path / "s3.sock"
    family.start(alluxio__worker__s3__endpoints=f"tcp:0:interface=127.0.0.1,unix:{path}")
    plain = family.daemon._endpoints(0)[0]
    for child in family.children:
        assert family.connect(plain, child)("PUT", "bucket", "k", body=b"x").status == 200
    for _ in range(4):
        assert exchange(UnixConnection(path), "GET", "/bucket/k") == (200, b"x")
    family.daemon.stop()
    assert not path.exists()


def test_an_inherited_socket_is_shared(family: Family, tmp_path: Path) -> None:
    """What systemd has opened is served by all children."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        config = tmp_path / "inherit.properties"
        properties = family.properties | {"alluxio.worker.s3.endpoints": "systemd:domain=INET:index=0"}
        config.write_text(properties_text(properties), encoding="ascii")
        twistd = str(Path(sys.executable).with_name("twistd"))
        script = (
            f"import os; os.dup2({listening.fileno()}, 3); os.set_inheritable(3, True);"
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='s3');"
            f"os.execv({twistd!r}, [{twistd!r}, '-n', '--pidfile=', 'alluxio-s3', '--config', {str(config)!r}])"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script], pass_fds=[listening.fileno()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    assert process.stdout is not None
    try:
        wire = Wire(f"http://127.0.0.1:{port}")
        assert wire("PUT", "bucket", "k", body=b"x").status == 200
    finally:
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=60)[0]
    assert process.returncode == -signal.SIGTERM, log
    assert "Traceback" not in log


def test_the_access_log_is_shared_line_by_line(family: Family, tmp_path: Path) -> None:
    """Every request of every child is one whole line of the one file."""
    path = tmp_path / "access.log"
    endpoint = family.start(alluxio__worker__s3__access__log__path=path)
    wires = [family.connect(endpoint, child) for child in family.children]

    def load(wire: Wire) -> None:
        for number in range(300):
            assert wire("GET", "bucket", f"absent-{number}").status == 404

    threads = [threading.Thread(target=load, args=(wire,)) for wire in wires]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    family.daemon.stop()
    lines = [line for line in path.read_text().splitlines() if "absent" in line]
    assert len(lines) == 600
    whole = re.compile(r'\S+Z \S+ tester GetObject "GET /bucket/absent-\d+" 404 NoSuchKey in=0 out=\d+ \S+ms [0-9A-F]{16}')
    assert all(whole.fullmatch(line) for line in lines)


def test_what_is_wrong_is_said_at_once(family: Family, tmp_path: Path) -> None:
    """A bad configuration, and a port that is taken, by a daemon of several processes too, end the parent with one line and status 1."""
    assert "/no/such/place" in failure(tmp_path, family.properties | {"alluxio.dora.client.ufs.root": "/no/such/place"})
    assert "memory" in failure(tmp_path, family.properties | {"alluxio.dora.client.ufs.root": "memory://"})
    port = urlsplit(family.start()).port
    assert f"cannot listen on 127.0.0.1:{port}: " in failure(tmp_path, family.properties | {"alluxio.worker.rest.port": port})
    family.daemon.stop()


def test_the_properties_are_not_in_the_list_of_processes(family: Family) -> None:
    """What children are told goes through pipes: a secret is neither an argument nor in the environment."""
    family.start(alluxio__network__tls__keystore__password="hush-hush")
    for child in family.children:
        assert b"hush-hush" not in Path(f"/proc/{child}/cmdline").read_bytes() + Path(f"/proc/{child}/environ").read_bytes()
    family.daemon.stop()

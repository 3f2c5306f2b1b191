"""How the daemon starts, says what is wrong, and stops."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_twisted
from attrs import evolve
from twisted.internet import reactor
from twisted.logger import capturedLogs

from alluxio_s3.gateway import Gateway
from alluxio_s3.settings import Loaded, Settings
from tests.clients.tls_front import write_certificate
from tests.running import ROOT, Daemon, properties_text
from tests.wire import Wire

LARGE = 32 << 20


class Scene:
    """A daemon that can be started, and the directory under it."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        (self.data / "bucket").mkdir(parents=True)
        self.daemon = Daemon(directory / "conf")
        self.properties: dict[str, object] = {
            "alluxio.worker.s3.api.enabled": True,
            "alluxio.worker.rest.port": 0,
            "alluxio.worker.s3.bind.host": "127.0.0.1",
            "alluxio.dora.client.ufs.root": self.data,
            "alluxio.worker.s3.connection.keep.alive.enabled": True,
            "alluxio.worker.s3.durability": "rename",
        }

    def start(self, **more: object) -> str:
        return self.daemon.start(self.properties | {name.replace("__", "."): value for name, value in more.items()})

    def connect(self, endpoint: str) -> socket.socket:
        """A client that takes little at a time."""
        split = urlsplit(endpoint)
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect((split.hostname or "", split.port or 0))
        return client

    def wait_for(self, text: str) -> None:
        """Return when the daemon has logged it."""
        with self.daemon._changed:
            assert self.daemon._changed.wait_for(lambda: text in self.daemon.log, 60), self.daemon.log

    def wait_until_refused(self, endpoint: str) -> None:
        """Return when the daemon listens no more."""
        while True:
            try:
                self.connect(endpoint).close()
            except ConnectionRefusedError:
                return
            except ConnectionResetError:  # it was waiting to be accepted
                continue


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A daemon that is not running yet; it must not log trouble."""
    made = Scene(tmp_path)
    with made.daemon:
        yield made
    assert made.daemon.trouble == []


def failure(directory: Path, properties: dict[str, object]) -> str:
    """What a daemon says that must not start."""
    config = directory / "failing.properties"
    config.write_text(properties_text(properties), encoding="ascii")
    command = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "alluxio-s3", "--config", str(config)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ALLUXIO_")}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode not in (0, None)
    assert "Traceback" not in ended.stdout + ended.stderr
    complaints = [line for line in (ended.stdout + ended.stderr).splitlines() if "alluxio-s3: " in line]
    assert len(complaints) == 1, ended.stdout + ended.stderr
    return complaints[0]


def test_a_port_that_is_taken_is_said_in_one_line(scene: Scene, tmp_path: Path) -> None:
    """The daemon ends with a status that is not 0, and names address and port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = failure(tmp_path, scene.properties | {"alluxio.worker.rest.port": port})
    assert f"cannot listen on 127.0.0.1:{port}: " in said


@pytest.mark.parametrize(
    "endpoint",
    ["systemd:garbage", "systemd:domain=INET:index=0", "nonsense:1", "tcp:x", "tcp", "unix:/no/such/directory/socket", "ssl:0",
     "ssl:0:privateKey=/no/such/key:certKey=/no/such/certificate", "haproxy:", ":", "tcp:0:interface=no.such.address.invalid"],
)  # fmt: skip
def test_an_endpoint_that_cannot_be_is_said_in_one_line(scene: Scene, tmp_path: Path, endpoint: str) -> None:
    """Whatever is wrong with it, the message names it."""
    assert endpoint in failure(tmp_path, scene.properties | {"alluxio.worker.s3.endpoints": endpoint})


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def exchange(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_it_serves_on_every_endpoint(scene: Scene, tmp_path: Path) -> None:
    """TCP, a Unix socket and TLS give the same bytes, small and large, and it stops cleanly with connections open."""
    certificate, key = write_certificate(tmp_path)
    path = tmp_path / "s3.sock"
    tls = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    endpoint = scene.start(alluxio__worker__s3__endpoints=f"{tls},unix:{path},tcp:0:interface=127.0.0.1")
    assert endpoint.startswith("https://")
    scene.wait_for("Serving S3 at http://")
    plain = next(found for found in scene.daemon._endpoints(0) if found.startswith("http://"))
    trust = ssl.create_default_context(cafile=str(certificate))
    connections = [
        http.client.HTTPSConnection(urlsplit(endpoint).netloc, context=trust, timeout=60),
        UnixConnection(path),
        http.client.HTTPConnection(urlsplit(plain).netloc, timeout=60),
    ]
    bodies = {f"/bucket/{size}": os.urandom(size) for size in (0, 5, 100_000, 3_000_000)}
    for writer in connections:
        for name, body in bodies.items():
            assert exchange(writer, "PUT", name, body)[0] == 200
        for reader in connections:
            for name, body in bodies.items():
                assert exchange(reader, "GET", name) == (200, body)
                assert exchange(reader, "GET", name) == (200, body)
    assert '"GET /bucket/5"' in scene.daemon.log
    scene.daemon.stop()
    for connection in connections:
        connection.close()


def test_it_says_where_it_serves(scene: Scene) -> None:
    """The endpoint, and a command to try it with; off this machine, that SIMPLE is no protection."""
    endpoint = scene.start()
    scene.wait_for(f"aws --endpoint-url {endpoint} s3 mb")
    assert "SIMPLE identifies" not in scene.daemon.log
    scene.daemon.stop()
    endpoint = scene.start(alluxio__worker__s3__bind__host="0.0.0.0")
    assert endpoint.startswith("http://127.0.0.1:")
    scene.wait_for("SIMPLE identifies users and does not authenticate them")
    scene.daemon.stop()


def test_a_stop_closes_idle_connections_and_ends_at_once(scene: Scene) -> None:
    """A connection that is kept open, and one on which half a head has come, do not hold up the end."""
    endpoint = scene.start(alluxio__worker__s3__drain__timeout="10min")
    idle, half = scene.connect(endpoint), scene.connect(endpoint)
    with idle, half:
        idle.sendall(b"HEAD /bucket/none HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b" 404 " in idle.recv(4096)
        half.sendall(b"GET /bucket/none HTTP/1.1\r\nHo")
        assert scene.daemon.stop() < 0
        assert idle.recv(4096) == b""


@pytest.mark.parametrize("way", ["first", "hot"])
def test_a_request_under_way_is_answered_and_the_next_is_not(scene: Scene, way: str) -> None:
    """A download goes on to its end though nobody reads it for a while; then its connection closes, whatever was asked behind it."""
    body = os.urandom(LARGE)
    (scene.data / "bucket" / "k").write_bytes(body)
    os.utime(scene.data / "bucket" / "k", ns=(10**18, 10**18))
    endpoint = scene.start(alluxio__worker__s3__drain__timeout="10min")
    with scene.connect(endpoint) as client:
        for _ in range(2 if way == "hot" else 0):
            Wire(endpoint)("GET", "bucket", "k", headers={"Range": "bytes=0-0"})
        client.sendall(b"GET /bucket/k HTTP/1.1\r\nHost: h\r\n\r\n")
        received = bytearray(client.recv(4096))
        client.sendall(b"GET /bucket/k HTTP/1.1\r\nHost: h\r\n\r\n")
        scene.daemon.signal_stop()
        scene.wait_until_refused(endpoint)
        with contextlib.suppress(ConnectionResetError):  # what was asked behind it was never read
            while piece := client.recv(1 << 20):
                received += piece
    assert received.count(b"HTTP/1.1 200 OK") == 1
    assert received.endswith(body)
    assert scene.daemon._process is not None
    assert scene.daemon._process.wait(60) < 0


def cut_short(client: socket.socket) -> bool:
    """Whether the answer was cut so that nobody takes it for whole."""
    received = 0
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(1 << 20):
            received += len(piece)
    return received < LARGE


def test_the_drain_limit_cuts_what_is_not_over(scene: Scene) -> None:
    """A client that does not read does not keep the daemon: it ends, and the answer is visibly cut."""
    with (scene.data / "bucket" / "k").open("wb") as file:
        file.truncate(LARGE)
    endpoint = scene.start(alluxio__worker__s3__drain__timeout="100ms")
    with scene.connect(endpoint) as client, scene.connect(endpoint) as uploading:
        uploading.sendall(b"PUT /bucket/half HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf")
        client.sendall(b"GET /bucket/k HTTP/1.1\r\nHost: h\r\n\r\n")
        assert client.recv(1)
        assert scene.daemon.stop() < 0
        assert cut_short(client)
    assert "the drain limit is over" in scene.daemon.log
    assert sorted(path.name for path in (scene.data / "bucket").iterdir()) == ["k"]


def test_a_second_signal_ends_the_draining(scene: Scene) -> None:
    """Who asks twice does not want to wait; that is no trouble either."""
    with (scene.data / "bucket" / "k").open("wb") as file:
        file.truncate(LARGE)
    endpoint = scene.start(alluxio__worker__s3__drain__timeout="10min")
    with scene.connect(endpoint) as client:
        client.sendall(b"GET /bucket/k HTTP/1.1\r\nHost: h\r\n\r\n")
        assert client.recv(1)
        scene.daemon.signal_stop()
        scene.wait_until_refused(endpoint)
        assert scene.daemon.stop() < 0
        assert cut_short(client)


class Stuck:
    """A store that fails to close."""

    async def close(self) -> None:
        raise OSError("no")


@pytest_twisted.ensureDeferred
async def test_a_step_that_fails_keeps_no_other_from_being_taken(tmp_path: Path) -> None:
    """Whatever fails while it stops is logged, and all else is let go of: the process would not end otherwise."""
    settings = Settings(api_enabled=True, rest_port=0, bind_host="127.0.0.1", ufs_root=str(tmp_path), admin_port=None)
    gateway = Gateway.build(Loaded(settings, None, ()), reactor)
    gateway.startService()
    pipeline = gateway._pipeline
    pipeline.services = evolve(pipeline.services, tags=Stuck())
    with capturedLogs() as events:
        await gateway.stopService()
    assert [event["log_failure"].type for event in events if "log_failure" in event] == [OSError]
    assert pipeline.services.threads._pool.joined
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", gateway.port), timeout=5)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_user_without_a_name_goes_by_its_number() -> None:
    """In a container the user may be a number that no file has a name for."""
    program = "import os; os.setuid(54321); print(process_user())"
    ended = subprocess.run(
        [sys.executable, "-c", f"from alluxio_s3.admission import process_user; {program}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "54321\n"


@pytest.mark.parametrize("kind", ["port", "tcp", "unix", "ssl"])
def test_a_client_that_takes_nothing_is_given_up(scene: Scene, tmp_path: Path, kind: str) -> None:
    """On every kind of endpoint an answer that nobody takes ends after the time that bodies may stall."""
    certificate, key = write_certificate(tmp_path)
    path = tmp_path / "s3.sock"
    tcp = "tcp:0:interface=127.0.0.1"
    endpoints = {"unix": f"unix:{path},{tcp}", "tcp": tcp, "ssl": f"ssl{tcp[3:]}:privateKey={key}:certKey={certificate}"}
    with (scene.data / "bucket" / "k").open("wb") as file:
        file.truncate(LARGE)
    endpoint = scene.start(alluxio__worker__s3__body__stall__timeout="200ms", alluxio__worker__s3__endpoints=endpoints.get(kind, ""))
    client = socket.socket(socket.AF_UNIX) if kind == "unix" else scene.connect(endpoint)
    if kind == "unix":
        client.connect(str(path))
    elif kind == "ssl":
        client = ssl.create_default_context(cafile=str(certificate)).wrap_socket(client, server_hostname="localhost")
    with client:
        client.sendall(b"GET /bucket/k HTTP/1.1\r\nHost: h\r\n\r\n")
        scene.wait_for('GetObject "GET /bucket/k" 200 ClientGone')
    scene.daemon.stop()


def test_abandoned_uploads_expire_at_the_start(scene: Scene) -> None:
    """What nobody has touched for the configured time is gone after a start; what is younger stays."""
    wire = Wire(scene.start())
    old, young = (wire("POST", "bucket", key, {"uploads": ""}).texts("UploadId")[0] for key in ("old", "young"))
    scene.daemon.stop()
    for directory, names, files in os.walk(scene.data, topdown=False):
        if old in directory or any(old in name for name in (*names, *files)):
            for name in (*names, *files):
                if old in directory or old in name:
                    os.utime(Path(directory) / name, (1, 1))
    wire = Wire(scene.start(alluxio__proxy__s3__multipart__upload__cleaner__timeout="1min"))
    scene.wait_for("1 abandoned uploads expired")
    assert wire("GET", "bucket", "", {"uploads": ""}).texts("Upload/UploadId") == [young]
    scene.daemon.stop()

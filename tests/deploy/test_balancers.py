"""The configurations of nginx and HAProxy in deploy/, as they are but for addresses, before two real workers."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from tests.certificates import Authority
from tests.running import ROOT, Daemon, free_port, free_ports

SCRIPT = ROOT / "tests" / "deploy" / "balancers.sh"
PATIENCE_SECONDS = 30.0
ODD_KEYS = ("a b/ü%2F+&=.txt", "per%cent", "semi;colon", "tilde~/'quoted'(x)!*", "plus+and space", "日本/語")

pytestmark = pytest.mark.skipif(
    subprocess.run([SCRIPT, "installed"], check=False).returncode != 0,
    reason="nginx and HAProxy are not there: tests/deploy/balancers.sh install",
)


class Worker:
    """One of the workers behind the balancer: the same ports at each start."""

    def __init__(self, directory: Path, data: Path, more: dict[str, object]) -> None:
        self.http, self.https, self.admin = free_ports(3)
        self.daemon = Daemon(directory)
        self.properties: dict[str, object] = {
            "alluxio.worker.s3.api.enabled": True,
            "alluxio.worker.rest.port": self.http,
            "alluxio.worker.s3.https.port": self.https,
            "alluxio.worker.s3.bind.host": "127.0.0.1",
            "alluxio.worker.s3.admin.port": self.admin,
            "alluxio.dora.client.ufs.root": data,
            "alluxio.worker.s3.durability": "rename",
            "alluxio.worker.s3.connection.keep.alive.enabled": True,
            "alluxio.worker.s3.list.folders.enabled": False,
            "alluxio.worker.s3.drain.notice": "5sec",
            **more,
        }

    def start(self) -> None:
        self.daemon.start(self.properties)


class Cluster:
    """Two workers over one directory, and a balancer before them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        (self.data / "bucket").mkdir(parents=True)
        self.authority = Authority()
        issued = self.authority.issue()
        self.ca = self.authority.certificate_file(directory / "ca.pem")
        self.pem = issued.both_file(directory / "both.pem")
        (directory / "keys").write_text("[tester]\naws_access_key_id = test\naws_secret_access_key = secret-of-test\n")
        tls: dict[str, object] = {
            "alluxio.network.tls.enabled": True,
            "alluxio.network.tls.server.cert": issued.certificate_file(directory / "certificate.pem"),
            "alluxio.network.tls.server.key": issued.key_file(directory / "key.pem"),
        }
        self.workers = [Worker(directory / f"worker{number}", self.data, tls) for number in (1, 2)]
        self.port = free_port()
        self._balancer: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, template: str, *, secure: bool = False) -> None:
        for worker in self.workers:
            if not worker.daemon.alive:
                worker.start()
        config = self.directory / Path(template).name
        text = self._adapted((ROOT / "deploy" / template).read_text())
        if template.startswith("nginx"):
            text, command = self._nginx(text, config)
        else:
            command = ["haproxy", "-f", str(config), "-db"]
        config.write_text(text)
        check = ["-t"] if command[0] == "nginx" else ["-c"]
        checked = subprocess.run([SCRIPT, *command, *check], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        assert "[warn" not in checked.stderr + checked.stdout, checked.stderr
        self._balancer = subprocess.Popen([SCRIPT, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait(lambda: connects(self.port))
        self.wait(lambda: secure or self.get("/bucket")[0] == 200)

    def _adapted(self, text: str) -> str:
        """With the ports of this test in place of those of three machines."""
        for number, worker in enumerate(self.workers, 1):
            text = re.sub(rf"10\.0\.0\.{number}:29998", f"127.0.0.1:{worker.http}", text)
            text = re.sub(rf"(10\.0\.0\.{number}):29996", f"127.0.0.1:{worker.https}", text)
            # Here all workers have one address, so each has its own port to be asked about its health.
            text = re.sub(rf"(server worker{number} .*)", rf"\1 port {worker.admin}", text)
        text = re.sub(r"\n.*10\.0\.0\.3:.*", "", text)
        text = re.sub(r"listen (80|443);", f"listen 127.0.0.1:{self.port};", text)
        return re.sub(r"bind :(80|443)(?! ssl)", f"bind 127.0.0.1:{self.port}", text)

    def _nginx(self, text: str, config: Path) -> tuple[str, list[str]]:
        own = self.directory / "nginx"
        own.mkdir()
        paths = "".join(f"{name}_temp_path {own}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        modules = subprocess.run([SCRIPT, "modules"], capture_output=True, text=True, check=True).stdout.strip()
        inside = text if "stream {" in text else f"http {{ access_log off; {paths}\n{text}\n}}"
        start = f"load_module {modules}/ngx_stream_module.so; daemon off; pid {own}/pid; error_log {own}/error.log;"
        return f"{start} events {{ worker_connections 512; }}\n{inside}", [
            "nginx",
            "-c",
            str(config),
            "-p",
            str(own),
            "-e",
            f"{own}/start.log",
        ]

    def wait(self, holds: Any) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < deadline
            threading.Event().wait(0.05)

    def get(self, path: str) -> tuple[int, bytes]:
        """What the endpoint answers; status 0: nothing whole."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, HTTPException):
            return 0, b""
        finally:
            connection.close()

    def client(self, *, secure: bool = False, **more: Any) -> Any:
        options = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 1})
        return boto3.client(
            "s3",
            endpoint_url=f"https://localhost:{self.port}" if secure else self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="secret-of-test",
            verify=str(self.ca) if secure else None,
            config=options,
            **more,
        )

    def close(self) -> None:
        if self._balancer is not None:
            self._balancer.terminate()
            self._balancer.wait(PATIENCE_SECONDS)
        for worker in self.workers:
            if worker.daemon.alive:
                worker.daemon.kill()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    with contextlib.closing(made):
        yield made


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


HTTP = ["nginx/alluxio-s3.conf", "haproxy/alluxio-s3.cfg"]
PASSTHROUGH = ["nginx/alluxio-s3-tls-passthrough.conf", "haproxy/alluxio-s3-tls-passthrough.cfg"]


@pytest.mark.parametrize("template", HTTP)
def test_what_is_signed_arrives_as_it_was_sent(cluster: Cluster, template: str) -> None:
    """Verified requests for odd keys, headers with underscores, queries and large bodies pass, and nothing waits on the balancer's disk."""
    for worker in cluster.workers:
        worker.properties |= {
            "alluxio.worker.s3.authentication.type": "SIGV4",
            "alluxio.worker.s3.authentication.keys.file": cluster.directory / "keys",
        }
    cluster.start(template, secure=True)
    client = cluster.client()
    for key in ODD_KEYS:
        client.put_object(Bucket="bucket", Key=key, Body=key.encode(), Metadata={"under_score": "x", "dash-ed": "y"})
        found = client.get_object(Bucket="bucket", Key=key)
        assert found["Body"].read() == key.encode()
        assert found["Metadata"] == {"under_score": "x", "dash-ed": "y"}
    assert sorted(one["Key"] for one in client.list_objects_v2(Bucket="bucket")["Contents"]) == sorted(ODD_KEYS)
    large = os.urandom(48 << 20)
    client.put_object(Bucket="bucket", Key="large", Body=large)
    body = client.get_object(Bucket="bucket", Key="large")["Body"].read()
    assert hashlib.sha256(body).digest() == hashlib.sha256(large).digest()
    left = [path for path in cluster.directory.glob("nginx/*/**/*") if path.is_file()]
    assert left == []


@pytest.mark.parametrize("template", PASSTHROUGH)
def test_https_goes_through_to_the_workers(cluster: Cluster, template: str) -> None:
    """Clients see the workers' own certificate, and read what they wrote."""
    cluster.start(template, secure=True)
    client = cluster.client(secure=True)
    client.put_object(Bucket="bucket", Key="k", Body=b"through")
    assert client.get_object(Bucket="bucket", Key="k")["Body"].read() == b"through"


def test_https_may_end_at_the_balancer(cluster: Cluster) -> None:
    """The line for a certificate in HAProxy's configuration is one that works."""
    template = cluster.directory / "with-tls.cfg"
    text = (ROOT / "deploy/haproxy/alluxio-s3.cfg").read_text()
    bind = re.search(r"bind :443 ssl crt \S+ alpn http/1.1", text)
    assert bind is not None
    line = bind[0].replace(":443", f"127.0.0.1:{cluster.port}").replace("/etc/haproxy/alluxio-s3.pem", str(cluster.pem))
    template.write_text(text.replace("bind :80", line).replace(f"# {bind[0]}", ""))
    cluster.start(os.path.relpath(template, ROOT / "deploy"), secure=True)
    context = ssl.create_default_context(cafile=str(cluster.ca))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(("127.0.0.1", cluster.port)) as raw, context.wrap_socket(raw, server_hostname="localhost") as secure:
        assert secure.selected_alpn_protocol() == "http/1.1"
    cluster.wait(lambda: _puts(cluster.client(secure=True)))


def _puts(client: Any) -> bool:
    try:
        client.put_object(Bucket="bucket", Key="k", Body=b"x")
    except Exception as problem:  # noqa: BLE001  # the workers are not known to be well yet
        assert "503" in str(problem) or "Service Unavailable" in str(problem), problem
        return False
    return True


class Load:
    """Requests at some rate, from several threads, while something happens to the workers."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.statuses: list[int] = []
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(4)
        self._running = [self._pool.submit(self._run, number) for number in range(4)]
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for one in self._running:
            one.result()
        self._pool.shutdown()

    def _run(self, number: int) -> None:
        while not self._over.wait(0.02):
            self.statuses.append(self.cluster.get(f"/bucket/k{number}")[0])

    def more(self, count: int) -> None:
        """Return when so many more have been answered."""
        wanted = len(self.statuses) + count
        self.cluster.wait(lambda: len(self.statuses) >= wanted)


@pytest.mark.parametrize("template", HTTP)
def test_a_worker_that_is_killed_is_left_out(cluster: Cluster, template: str) -> None:
    """Once it is known to be gone no request fails for want of it, and when it is back it serves again."""
    for number in range(4):
        (cluster.data / "bucket" / f"k{number}").write_bytes(b"x")
    cluster.start(template)
    cluster.workers[0].daemon.kill()
    with Load(cluster) as load:
        load.more(200)
    assert set(load.statuses) == {200}
    cluster.workers[0].start()
    cluster.workers[1].daemon.kill()
    cluster.wait(lambda: cluster.get("/bucket/k0")[0] == 200)


def test_workers_restart_in_turn_under_load(cluster: Cluster) -> None:
    """Behind HAProxy, which asks whether they are ready, no request fails for it."""
    for number in range(4):
        (cluster.data / "bucket" / f"k{number}").write_bytes(b"x")
    cluster.start("haproxy/alluxio-s3.cfg")
    with Load(cluster) as load:
        for worker in cluster.workers:
            load.more(50)
            worker.daemon.stop()
            worker.start()
            admin = urlsplit(f"http://127.0.0.1:{worker.admin}")
            cluster.wait(lambda admin=admin: connects(admin.port or 0))
            load.more(300)
    assert set(load.statuses) == {200}

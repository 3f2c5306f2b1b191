"""Three workers of one cluster for a benchmark: known to each other by a real etcd, with a page cache each, before one S3 store."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import boto3
from attrs import define, field, frozen

from tests.cluster.servers.etcd import EtcdNode
from tests.running import Daemon, free_ports
from tests.ufs.servers.moto import MotoServer

HOST = "127.0.0.1"
# A client of which it is known that it goes where it is sent, and one of which nothing is known.
FOLLOWER, STRANGER = "rclone/v1.75.2", "bench/1"
OVERRIDE = "x-alluxio-redirect"


@frozen
class Worker:
    """A worker: the port of S3, and the id of its process."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """What it has taken of processors so far, in all its threads."""
        spent = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                spent += int((task / "schedstat").read_text().split()[0])
            except FileNotFoundError:  # it has just ended
                continue
        return spent / 1e9


@define
class Connection:
    """A connection to a worker, and the little of HTTP that reads need."""

    port: int
    host: str = HOST
    _socket: socket.socket = field(init=False)
    _buffer: bytearray = field(factory=lambda: bytearray(1 << 20))

    def __attrs_post_init__(self) -> None:
        self._socket = socket.create_connection((self.host, self.port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def get(self, target: str, agent: str = STRANGER) -> tuple[int, dict[str, str], int]:
        """Status, headers and how many bytes came; the bytes themselves go where they came from."""
        # On a busy machine one that follows may be taken for one that stops: it says itself that it does not.
        said = f"{OVERRIDE}: true\r\n" if agent == FOLLOWER else ""
        self._socket.sendall(f"GET {target} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nUser-Agent: {agent}\r\n{said}\r\n".encode())
        got = bytearray()
        while b"\r\n\r\n" not in got:
            piece = self._socket.recv(65536)
            if not piece:
                raise SystemExit(f"worker at {self.port} closed the connection")
            got += piece
        head, _, rest = bytes(got).partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        return int(lines[0].split()[1]), headers, self._rest(headers, rest)

    def _rest(self, headers: dict[str, str], rest: bytes) -> int:
        if headers.get("transfer-encoding") == "chunked":
            while not rest.endswith(b"0\r\n\r\n"):
                rest += self._socket.recv(65536)
            return 0
        length, received = int(headers["content-length"]), len(rest)
        while received < length:
            count = self._socket.recv_into(self._buffer)
            if not count:
                raise SystemExit("an answer was cut")
            received += count
        return received


@contextmanager
def workers(scratch: Path, mounts: dict[str, dict[str, str]], bucket: str, store: MotoServer, host: str = HOST) -> Iterator[list[Worker]]:
    """Three of them at ``host``, with ``bucket`` of ``store`` under each name of ``mounts``, each with its own options."""
    with ExitStack() as stack:
        etcd = stack.enter_context(EtcdNode(scratch / "etcd"))
        found = []
        for number in range(3):
            own = scratch / f"worker{number}"
            s3, peer = free_ports(2)
            daemon = stack.enter_context(Daemon(own))
            daemon.start(
                {
                    "alluxio.worker.s3.api.enabled": True,
                    "alluxio.worker.s3.bind.host": host,
                    "alluxio.worker.hostname": host,
                    "alluxio.worker.rest.port": s3,
                    "alluxio.worker.s3.peer.port": peer,
                    "alluxio.worker.s3.connection.keep.alive.enabled": True,
                    "alluxio.etcd.endpoints": etcd.endpoint,
                    "alluxio.worker.s3.mount.table": "etcd",
                    "alluxio.worker.identity.uuid": f"worker-{number}",
                    "alluxio.worker.page.store.dirs": own / "pages",
                    "alluxio.worker.page.store.sizes": "3GB",
                    "alluxio.worker.s3.access.log.path": own / "access.log",
                    "alluxio.worker.s3.redirect.min.size": "1KB",
                }
            )
            found.append(Worker(s3, daemon.pid))
        for name, options in mounts.items():
            _mount(scratch / "worker0" / "alluxio-site.properties", name, options, bucket, store)
        yield found


def fill(store: MotoServer, bucket: str, objects: dict[str, int]) -> None:
    """Objects by name, of so many bytes each."""
    client = boto3.client(
        "s3", endpoint_url=store.endpoint, region_name="us-east-1", aws_access_key_id="bench", aws_secret_access_key="bench"
    )
    for name, size in objects.items():
        client.put_object(Bucket=bucket, Key=name, Body=os.urandom(size))


def wait_until(what: str, holds: object, seconds: float = 60.0) -> None:
    """Return when ``holds`` returns something true. Raises SystemExit when it does not."""
    assert callable(holds)
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: it never came about")
        time.sleep(0.1)


def _mount(config: Path, name: str, options: dict[str, str], bucket: str, store: MotoServer) -> None:
    said = {
        "alluxio.underfs.s3.endpoint": store.endpoint,
        "alluxio.underfs.s3.region": "us-east-1",
        "s3a.accessKeyId": "bench",
        "s3a.secretKey": "env:AWS_SECRET_ACCESS_KEY",
        **options,
    }
    words = [word for option, value in said.items() for word in ("--option", f"{option}={value}")]
    command = [
        *(str(Path(sys.executable).with_name("alluxio-s3")), "mount", "add", "--path", f"/{name}", "--ufs-uri", f"s3://{bucket}/"),
        *words,
        *("--config", str(config)),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"AWS_SECRET_ACCESS_KEY": "bench"})

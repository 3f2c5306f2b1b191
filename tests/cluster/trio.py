"""Three daemons that know each other from a file, before one directory; each on a loopback address of its own."""

from __future__ import annotations

import http.client
import itertools
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from attrs import frozen

from alluxio_s3.cluster.ring import Ring
from tests.running import Daemon, free_ports

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
MIB = 1 << 20


@frozen
class Got:
    """A whole answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def put(url: str, data: bytes) -> Got:
    """Write an object."""
    return get(url, method="PUT", body=data)


def get(url: str, headers: Mapping[str, str] | None = None, method: str = "GET", timeout: float = 60.0, body: bytes | None = None) -> Got:
    """One request, redirects not followed. Raises OSError and HTTPException where an answer is cut."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, dict(headers or {}))
        answer = connection.getresponse()
        return Got(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


class Trio:
    """``daemons`` and their ``endpoints``, by number from 0; bucket ``objects`` is in a directory, through the cache of each."""

    def __init__(self, place: Path, properties: Mapping[str, object], mount: Mapping[str, str], etcd: str = "") -> None:
        self.port, self.peer_port = free_ports(2)
        self.place = place
        self.data = place / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        (place / "members").write_text("".join(f"{host}:{self.port}/{self.peer_port}\n" for host in HOSTS))
        (place / "secret").write_bytes(os.urandom(32).hex().encode())
        self._properties = dict(properties)
        self._mount = dict(mount)
        self._members: dict[str, object] = {
            "alluxio.worker.membership.manager.type": "STATIC",
            "alluxio.worker.static.membership.manager.config.file": place / "members",
            "alluxio.worker.s3.cluster.secret.file": place / "secret",
        }
        if etcd:
            self._members = {
                "alluxio.etcd.endpoints": etcd,
                "alluxio.cluster.name": place.name,
                "alluxio.worker.failure.detection.timeout": "5sec",
            }
        self.daemons = [Daemon(place / f"worker-{number}") for number in range(3)]
        self.endpoints = [f"http://{host}:{self.port}" for host in HOSTS]
        self._ring = Ring({f"{host}:{self.port}": 1.0 for host in HOSTS})
        self.contents: dict[str, bytes] = {}

    def start(self, number: int) -> None:
        """Start a worker."""
        place = self.place / f"worker-{number}"
        self.daemons[number].start(
            {
                "alluxio.worker.s3.api.enabled": True,
                "alluxio.worker.s3.bind.host": HOSTS[number],
                "alluxio.worker.rest.port": self.port,
                "alluxio.worker.s3.peer.port": self.peer_port,
                **self._members,
                "alluxio.worker.identity.uuid": f"{HOSTS[number]}:{self.port}",
                "alluxio.worker.s3.connection.keep.alive.enabled": True,
                "alluxio.underfs.xattr.change.enabled": True,
                "alluxio.worker.page.store.dirs": place / "pages",
                "alluxio.worker.page.store.sizes": "1GB",
                "alluxio.worker.s3.access.log.path": place / "access.log",
                "alluxio.dora.client.ufs.root": self.data,
                **{f"alluxio.dora.client.ufs.root.option.{name}": value for name, value in self._mount.items()},
                **self._properties,
            }
        )

    def acquainted(self) -> None:
        """Return when each of those that run sends readers to the others, or serves what another owns through it."""
        for reader in range(3):
            for owner in range(3):
                if reader == owner or not (self.daemons[reader].alive and self.daemons[owner].alive):
                    continue
                deadline = time.monotonic() + 30
                for number in itertools.count():
                    key = self.key(owner, f"acquainted-{number}")  # one that is asked for often may have more owners
                    self.put(key, b"x" * 20)
                    got = get(f"{self.endpoints[reader]}/objects/{key}")
                    if got.status == 307 or "detail=proxy" in got.headers.get("cache-status", ""):
                        break
                    assert time.monotonic() < deadline, f"worker {reader} does not know worker {owner}"

    def owner(self, key: str) -> int:
        """The number of the worker that owns the key of bucket ``objects``."""
        return next(n for n, host in enumerate(HOSTS) if self._ring.owner(f"/objects/{key}") == f"{host}:{self.port}")

    def key(self, owner: int, name: str = "key") -> str:
        """A key that a worker owns."""
        return next(found for n in range(1000) if self.owner(found := f"{name}-{n}") == owner)

    def put(self, key: str, data: bytes) -> None:
        """An object, behind the daemons' back."""
        path = self.data / "objects" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_bytes(data)
        fresh.rename(path)

    def log(self, number: int) -> str:
        """The access log of a worker, so far."""
        path = self.place / f"worker-{number}" / "access.log"
        return path.read_text() if path.exists() else ""


@contextmanager
def running_trio(place: Path, properties: Mapping[str, object] | None = None, etcd: str = "", **mount: str) -> Iterator[Trio]:
    """Three of them, running, that know each other from a file or from ``etcd``; at the end none has logged trouble."""
    trio = Trio(place, properties or {}, mount or {"cache": "always"}, etcd)
    try:
        for number in range(3):
            trio.start(number)
        if etcd:
            trio.acquainted()
        yield trio
        for daemon in trio.daemons:
            if daemon.alive:
                daemon.stop()
            assert not daemon.trouble, "\n".join(daemon.trouble)
    finally:
        for daemon in trio.daemons:
            if daemon.alive:
                daemon.kill()


def run(command: list[str], environment: Mapping[str, str], timeout: float = 120.0) -> subprocess.CompletedProcess[bytes]:
    """A client program."""
    return subprocess.run(command, env=dict(environment), capture_output=True, timeout=timeout, check=False)

"""A cluster in a network of its own: three workers and one that comes and goes, three nodes of etcd, a store, and a place for clients."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from attrs import define, frozen

from tests.cluster.nemeses.network import Network
from tests.cluster.servers.etcd import EtcdNode
from tests.faults.daemons import make_bucket
from tests.running import Daemon, DaemonFailed

CLIENTS, STORE = "clients", "store"
WORKERS = ("worker-1", "worker-2", "worker-3")
GUEST = "worker-4"
ETCD = ("etcd-1", "etcd-2", "etcd-3")
_NAMES = (CLIENTS, STORE, *WORKERS, GUEST, *ETCD)
ADDRESSES = {name: f"10.87.0.{number}" for number, name in enumerate(_NAMES, 1)}
PORT, PEER_PORT = 29998, 29997
LEASE_SECONDS = 5
# On a busy machine.
START_SECONDS = 240.0
# What is said by name here is the same for all.
REMEMBERED = {"cache": "always", "freshness": "max_age=1hour", "negative.max.age": "1hour"}
STRONG = {"cache": "always", "freshness": "strong"}
BUCKETS = {"files": REMEMBERED, "strict": STRONG, "remote": REMEMBERED, "straight": STRONG}
"""The mounts: the first two are directories that all workers share, the others prefixes of an S3 store across the network."""


@define
class Absence:
    """A worker that could not answer as it should, from *begin* on, until *end* if that is known (nanoseconds, monotonic).

    *drains*: it was told to stop, and what had been asked before is to be answered.
    """

    worker: str
    begin: float
    end: float = float("inf")
    drains: bool = False


@frozen
class Worker:
    """One of them."""

    name: str
    daemon: Daemon
    properties: Mapping[str, object]

    @property
    def endpoint(self) -> str:
        """Where clients reach it."""
        return f"http://{ADDRESSES[self.name]}:{PORT}"

    def start(self) -> None:
        """Start it."""
        self.daemon.start(self.properties, timeout=START_SECONDS)


class Field:
    """The cluster, and what has been done to it. *more* are properties of all workers. A context manager."""

    def __init__(self, place: Path, chosen: random.Random, more: Mapping[str, object]) -> None:
        self.place = place
        self.random = chosen
        self.absences: list[Absence] = []
        self.network = Network(f"c{os.getpid():x}", ADDRESSES)
        self.etcd = [EtcdNode(place / name, name, host=ADDRESSES[name], before=self.network.at(name)) for name in ETCD]
        for node in self.etcd:
            node.cluster = self.etcd
        self.store = Daemon(place / STORE, self.network.at(STORE))
        self.workers = {
            name: Worker(name, Daemon(place / name, self.network.at(name)), self._properties(name, more)) for name in (*WORKERS, GUEST)
        }
        # Who is dead, or stands still, or was told to go: one thing at a time is done to each.
        self._taken: set[str] = set()
        self._lock = threading.Lock()
        self._undo = ExitStack()

    @property
    def endpoints(self) -> list[str]:
        """Of the workers that are asked."""
        return [self.workers[name].endpoint for name in WORKERS]

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self._undo = undo
            undo.enter_context(self.network)
            undo.enter_context(self.network.inside(CLIENTS))
            undo.callback(self._kill)
            for node in self.etcd:
                node.start()
            for node in self.etcd:
                node.wait()
            self._start_store()
            for bucket in ("files", "strict"):
                (self.place / bucket).mkdir()
            for name in WORKERS:
                self.workers[name].start()
            self.wait_for_members(len(WORKERS))
            self._undo = undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self._undo.close()

    def members(self) -> int:
        """How many workers etcd says there are."""
        key = f"/alluxio-s3/{self.place.name}/workers/".encode()
        found = self.etcd[0].ask("kv/range", key=b64encode(key).decode(), range_end=b64encode(key[:-1] + b"0").decode())
        return len(found.get("kvs", ()))

    def wait_for_members(self, count: int, seconds: float = START_SECONDS) -> None:
        """Wait till there are so many. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while self.members() != count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"there are {self.members()} workers")
            time.sleep(0.1)

    def write_logs(self) -> None:
        """Write what the workers have logged beside their access logs."""
        for name, worker in self.workers.items():
            (self.place / f"{name}.log").write_text(worker.daemon.log)

    def stop(self) -> list[str]:
        """End the workers as one should; what they have logged that no healthy daemon does."""
        for worker in self.workers.values():
            if worker.daemon.alive:
                worker.daemon.stop()
        return [f"{name}: {trouble}" for name, worker in self.workers.items() for trouble in worker.daemon.trouble]

    @contextmanager
    def taken(self, *names: str) -> Iterator[Worker | None]:
        """One of the workers of these names, by chance, to which nothing is done yet; None: there is none."""
        with self._lock:
            free = sorted(set(names) - self._taken)
            name = self.random.choice(free) if free else None
            if name is not None:
                self._taken.add(name)
        try:
            yield None if name is None else self.workers[name]
        finally:
            if name is not None:
                self._taken.discard(name)

    @contextmanager
    def absent(self, name: str, *, drains: bool = False) -> Iterator[None]:
        """Within it, and shortly after, that worker may fail its own clients."""
        absence = Absence(self.workers[name].endpoint, time.monotonic_ns(), drains=drains)
        self.absences.append(absence)
        try:
            yield
        finally:
            absence.end = time.monotonic_ns()

    def signal(self, worker: Worker, number: signal.Signals) -> None:
        """Send a signal to a worker, if it is there."""
        if worker.daemon.alive:
            os.kill(worker.daemon.pid, number)

    def start(self, worker: Worker) -> None:
        """Start it again; what it says if that can't be done is in the error. Raises DaemonFailed."""
        try:
            worker.start()
        except DaemonFailed as problem:
            raise DaemonFailed(f"{worker.name}: {problem}") from None

    def _properties(self, name: str, more: Mapping[str, object]) -> dict[str, object]:
        place = self.place / name
        return {
            "alluxio.worker.s3.api.enabled": True,
            "alluxio.worker.s3.bind.host": ADDRESSES[name],
            "alluxio.worker.rest.port": PORT,
            "alluxio.worker.s3.peer.port": PEER_PORT,
            "alluxio.worker.identity.uuid": name,
            "alluxio.cluster.name": self.place.name,
            "alluxio.etcd.endpoints": ",".join(node.endpoint for node in self.etcd),
            "alluxio.worker.failure.detection.timeout": f"{LEASE_SECONDS}sec",
            "alluxio.worker.s3.mount.table": self._mounts(place),
            "alluxio.worker.s3.connection.keep.alive.enabled": True,
            "alluxio.worker.s3.durability": "rename",
            "alluxio.proxy.s3.complete.multipart.upload.min.part.size": 0,
            "alluxio.worker.s3.redirect.min.size": "64KB",
            "alluxio.worker.page.store.dirs": place / "pages",
            "alluxio.worker.page.store.sizes": "400MB",
            "alluxio.worker.s3.access.log.path": place / "access.log",
            **more,
        }

    def _mounts(self, place: Path) -> Path:
        remote = {
            "alluxio.underfs.s3.endpoint": f"http://{ADDRESSES[STORE]}:{PORT}",
            "s3a.accessKeyId": "AKIAIOSFODNN7EXAMPLE",
            "s3a.secretKey": "a-secret-of-ours",
        }
        mounts = [
            {
                "path": f"/{bucket}",
                "uri": str(self.place / bucket) if bucket in ("files", "strict") else f"s3://store/{bucket}",
                "options": options if bucket in ("files", "strict") else options | remote,
            }
            for bucket, options in BUCKETS.items()
        ]
        place.mkdir(parents=True)
        table = place / "mounts.json"
        table.write_text(json.dumps({"version": 1, "mounts": mounts}))
        table.chmod(0o600)
        return table

    def _start_store(self) -> None:
        (self.place / "stored").mkdir()
        endpoint = self.store.start(
            {
                "alluxio.worker.s3.api.enabled": True,
                "alluxio.worker.s3.bind.host": ADDRESSES[STORE],
                "alluxio.worker.rest.port": PORT,
                "alluxio.worker.s3.connection.keep.alive.enabled": True,
                "alluxio.worker.s3.durability": "rename",
                "alluxio.proxy.s3.complete.multipart.upload.min.part.size": 0,
                "alluxio.dora.client.ufs.root": self.place / "stored",
            },
            timeout=START_SECONDS,
        )
        make_bucket(endpoint, "store")

    def _kill(self) -> None:
        for daemon in (self.store, *(worker.daemon for worker in self.workers.values())):
            if daemon.alive:
                daemon.kill()
        for node in self.etcd:
            node.kill()

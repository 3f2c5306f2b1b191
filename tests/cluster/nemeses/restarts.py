"""Restarts of all three workers in turn, under load: `python -m tests.cluster.nemeses.restarts --rounds 3 --rate 200`, as root.

The client asks `/ready` of each worker twice a second, as a load balancer does, and sends nothing new to one that is not ready. It keeps
connections, but for those that the worker has closed, and never asks twice. Of a hundred requests 89 read an object of 16 KiB, ten write
one of 5 KB and one reads one of 5 or 9 MiB, in mounts of all kinds. Prints how many requests there were, and how many failed: there
may be none; the exit status is 0 then.
"""

from __future__ import annotations

import argparse
import http.client
import random
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from attrs import define, field

from tests.cluster.nemeses.field import ADDRESSES, BUCKETS, PORT, WORKERS, Field
from tests.cluster.nemeses.readers import Still, write_still
from tests.faults.bodies import body

ADMIN_PORT = 29990
NOTICE_SECONDS = 3
CHECK_SECONDS = 0.5
_THREADS = 40
_HEADERS = {"Authorization": "AWS reader:x"}
_SMALL, _LARGE = 64 << 10, 4 << 20
# How many of a hundred requests are writes, and reads of large objects; the others are reads of small ones.
_WRITES, _LARGE_READS = 10, 1
READY_SECONDS = 60.0


@define
class Client:
    """Keeps to workers that are ready. *still* are what it reads; what it writes is in the first of the buckets."""

    still: Sequence[Still]
    rate: float
    seed: int
    done: int = 0
    failed: list[str] = field(factory=list)
    seconds: list[float] = field(factory=list)
    large: int = 0
    _ready: frozenset[str] = frozenset(WORKERS)
    _over: threading.Event = field(factory=threading.Event)
    _lock: threading.Lock = field(factory=threading.Lock)
    _threads: list[threading.Thread] = field(factory=list)

    def begin(self) -> None:
        """Begin."""
        targets = [self._check, *(lambda number=number: self._go_on(number) for number in range(_THREADS))]
        self._threads = [threading.Thread(target=target, daemon=True) for target in targets]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """End."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def is_ready(self, worker: str) -> bool:
        """Whether a worker was ready when it was asked last."""
        return worker in self._ready

    def _check(self) -> None:
        while not self._over.wait(CHECK_SECONDS):
            self._ready = frozenset(worker for worker in WORKERS if _says_ready(worker))

    def _go_on(self, number: int) -> None:
        chosen = random.Random(f"{self.seed}/{number}")
        small = [one for one in self.still if one.size < _SMALL]
        large = [one for one in self.still if one.size >= _LARGE]
        connections: dict[str, http.client.HTTPConnection] = {}
        begun = time.monotonic() + chosen.uniform(0, _THREADS / self.rate)
        count = 0
        while not self._over.wait(max(0.0, begun + count * _THREADS / self.rate - time.monotonic())):
            count += 1
            worker = chosen.choice(sorted(self._ready) or list(WORKERS))
            kind = chosen.randrange(100)
            one = chosen.choice(large if kind < _LARGE_READS else small)
            write = kind >= 100 - _WRITES
            started = time.monotonic()
            problem = self._ask(connections, worker, one, f"c{number}/{count % 5}" if write else "")
            with self._lock:
                self.done += 1
                self.large += kind < _LARGE_READS
                self.seconds.append(time.monotonic() - started)
                if problem:
                    self.failed.append(f"{'PUT' if write else one.key} at {worker}: {problem}")
        for connection in connections.values():
            connection.close()

    def _ask(self, connections: dict[str, http.client.HTTPConnection], worker: str, one: Still, write: str) -> str:
        """What was wrong; empty: nothing."""
        connection = _open(connections.pop(worker, None)) or http.client.HTTPConnection(ADDRESSES[worker], PORT, timeout=30)
        try:
            if write:
                connection.request("PUT", f"/{self.still[0].bucket}/{write}", body(write, "1", 5000), _HEADERS)
            else:
                connection.request("GET", f"/{one.bucket}/{one.key}", headers=_HEADERS)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return f"{type(error).__name__}: {error}"
        if answer.will_close:
            connection.close()
        else:
            connections[worker] = connection
        if answer.status != 200:
            return f"{answer.status} {data[:200]!r}"
        return "" if write or data == _bytes_of(one) else "wrong bytes"


@cache
def _bytes_of(one: Still) -> bytes:
    return body(*one.content)


def _open(connection: http.client.HTTPConnection | None) -> http.client.HTTPConnection | None:
    """``connection``, if it has not been closed by the other side."""
    if connection is None or not select.select([connection.sock], [], [], 0)[0]:
        return connection
    connection.close()
    return None


def _says_ready(worker: str) -> bool:
    connection = http.client.HTTPConnection(ADDRESSES[worker], ADMIN_PORT, timeout=5)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def in_turn(field: Field, client: Client) -> None:
    """Restart each of the three, the next one when the last is asked again."""
    for name in WORKERS:
        worker = field.workers[name]
        worker.daemon.stop(timeout=90)
        worker.start()
        deadline = time.monotonic() + READY_SECONDS
        while not client.is_ready(name):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is not ready again")
            time.sleep(CHECK_SECONDS)


def main() -> int:
    """Do as the arguments say."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.nemeses.restarts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each is restarted (3)")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second (200)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="alluxio-s3-restarts-"))
    more = {
        "alluxio.worker.s3.drain.notice": f"{NOTICE_SECONDS}sec",
        "alluxio.worker.s3.admin.port": ADMIN_PORT,
        "alluxio.worker.s3.admin.bind.host": "0.0.0.0",  # of a network of its own
    }
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    with Field(place, random.Random(given.seed), more) as field:
        client = Client(write_still(field.endpoints[0], list(BUCKETS)), given.rate, given.seed)
        client.begin()
        begun = time.monotonic()
        time.sleep(CHECK_SECONDS)
        for _ in range(given.rounds):
            in_turn(field, client)
        seconds = time.monotonic() - begun
        client.end()
        trouble = field.stop()
    took = sorted(client.seconds)
    p50, p99 = (took[int(part * len(took))] for part in (0.5, 0.99))
    sys.stdout.write(
        f"restarts={given.rounds * len(WORKERS)} seed={given.seed} requests={client.done} a_second={client.done / seconds:.0f} "
        f"large={client.large} failed={len(client.failed)} p50={p50:.3f}s p99={p99:.3f}s slowest={took[-1]:.2f}s\n"
    )
    for what in (*client.failed[:20], *trouble):
        sys.stdout.write(f"  {what}\n")
    shutil.rmtree(place)
    return bool(client.failed or trouble)


if __name__ == "__main__":
    sys.exit(main())

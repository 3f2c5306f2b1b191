"""How soon the first request after a worker's death is answered: `python -m tests.cluster.nemeses.deaths --count 50 --how kill`, as root.

Each time one of three workers dies (`kill`: its connections are refused; `pull`: its cable is pulled, and nobody answers), and at once
each of the two others is asked for an object that the dead one owned. Prints the times until the whole answer was there, in seconds;
`before` are those of the same while all is well.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from alluxio_s3.cluster.ring import Ring
from tests.cluster.nemeses.field import LEASE_SECONDS, WORKERS, Field, Worker
from tests.faults.bodies import body
from tests.faults.exchange import Exchange, Reply

BUCKET = "straight"
SIZE = 100_000
_OBJECTS = 200
# Until who was not reached is asked again, and until a lease has ended.
_FORGOTTEN_SECONDS = LEASE_SECONDS + 1.5


def keys_of(worker: str) -> list[str]:
    """Those of the objects that a worker owns."""
    ring = Ring(dict.fromkeys(WORKERS, 1.0))
    return [key for key in (f"object-{number}" for number in range(_OBJECTS)) if ring.owner(f"/{BUCKET}/{key}") == worker]


def ask(endpoint: str, key: str) -> tuple[float, Reply]:
    """The seconds that it took, and the answer."""
    exchange = Exchange(endpoint, timeout=30)
    begun = time.monotonic()
    reply = exchange.ask("GET", f"{BUCKET}/{key}")
    exchange.close()
    return time.monotonic() - begun, reply


def await_acquaintance(field: Field) -> None:
    """Return when each reads through each other what that owns."""
    deadline = time.monotonic() + 60
    for reader in WORKERS:
        for owner in WORKERS:
            while reader != owner:
                _, reply = ask(field.workers[reader].endpoint, keys_of(owner)[0])
                if "detail=proxy" in reply.headers.get("cache-status", ""):
                    break
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{reader} does not read through {owner}: {reply}")
                time.sleep(0.2)


def death(field: Field, dying: Worker, how: str, chosen: random.Random) -> list[float]:
    """The times at the survivors."""
    survivors = [name for name in WORKERS if name != dying.name]
    found: list[tuple[float, Reply]] = []

    def first(name: str, key: str) -> None:
        found.append(ask(field.workers[name].endpoint, key))

    keys = chosen.sample(keys_of(dying.name), len(survivors))
    threads = [threading.Thread(target=first, args=pair) for pair in zip(survivors, keys, strict=True)]
    if how == "kill":
        dying.daemon.kill()
    else:
        field.network.pull(dying.name)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if how == "kill":
        dying.start()
    else:
        field.network.plug(dying.name)
        time.sleep(_FORGOTTEN_SECONDS)
    wrong = [reply for _, reply in found if reply.status != 200]
    if wrong or len(found) != len(survivors):
        raise RuntimeError(f"{dying.name}: {wrong}")
    return [seconds for seconds, _ in found]


def main() -> int:
    """Do as the arguments say."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.nemeses.deaths", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=50, help="of deaths (50)")
    parser.add_argument("--how", choices=("kill", "pull"), default="kill")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="alluxio-s3-deaths-"))
    chosen = random.Random(given.seed)
    times: list[float] = []
    over: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: over.append(number))  # ends after the next death
    with Field(place, chosen, {}) as field:
        exchange = Exchange(field.endpoints[0])
        for number in range(_OBJECTS):
            assert exchange.ask("PUT", f"{BUCKET}/object-{number}", body=body(f"{number}", "1", SIZE)).status == 200
        exchange.close()
        before = []
        for _ in range(given.count):
            if over:
                break
            await_acquaintance(field)
            dying = field.workers[chosen.choice(WORKERS)]
            reader = next(name for name in WORKERS if name != dying.name)
            before.append(ask(field.workers[reader].endpoint, chosen.choice(keys_of(dying.name)))[0])
            times += death(field, dying, given.how, chosen)
    shutil.rmtree(place)
    for what, found in (("before", sorted(before)), ("first", sorted(times))) if times else ():
        p50, p99 = (found[min(len(found) - 1, int(part * len(found)))] for part in (0.5, 0.99))
        sys.stdout.write(f"{what}: how={given.how} seed={given.seed} n={len(found)} p50={p50:.3f}s p99={p99:.3f}s most={found[-1]:.3f}s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

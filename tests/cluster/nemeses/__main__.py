"""Three workers in networks of their own, to which bad things are done under load: `make test-nemeses MINUTES=10 SEED=7`.

`python -m tests.cluster.nemeses --only cut --minutes 10 --seed 7`, as root. Each worker, each node of etcd and the store has a network
namespace on one bridge. The load of the ledger checker (`tests.faults`) asks all workers at random, while others read objects that never
change; then the ledgers are judged. Prints for each nemesis one line with the verdict, and below it what was wrong; the exit status is 0
if nothing was.

Lost are reads of a client that is served, not redirected, and asks another worker only when its own is not there: there may be none.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from attrs import evolve, frozen

from tests.cluster.nemeses.field import BUCKETS, REMEMBERED, Absence, Field
from tests.cluster.nemeses.lost import Losses, losses
from tests.cluster.nemeses.nemeses import NEMESES
from tests.cluster.nemeses.network import is_possible
from tests.cluster.nemeses.readers import Readers, write_still
from tests.cluster.servers.etcd import is_installed
from tests.faults.generator import MIX, Options
from tests.faults.judgement import Verdict, judge
from tests.faults.load import Load

SERVED, REDIRECTED = 3, 2
"""Processes of load: of clients that nobody knows, and of one that is redirected."""

# A program that follows redirects, as `cluster/clients.toml` has it.
FOLLOWER = "Wget/1.21.3"
READ_MOST = {**MIX, "put": 25, "read": 60, "head": 20, "list": 12, "read_tags": 15}
# How long a fault lasts, and how long there is none afterwards: seconds.
HOLDS = ((0.1, 1.0), (2.0, 6.0), (6.0, 16.0))
CALMS = (1.0, 6.0)
# What was absent is itself again so much later: what had been sent to it may come late.
_AFTER_SECONDS = 1.5


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.nemeses", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", default=[], choices=NEMESES, help="what is done (each in turn, in a cluster of its own)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of load for each (10)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--policy", choices=("auto", "never"), default="auto", help="alluxio.worker.s3.redirect.policy (auto)")
    parser.add_argument("--replicas", type=int, default=1, help="alluxio.worker.s3.hot.object.replicas (1)")
    parser.add_argument("--rate", type=float, default=4.0, help="requests a second of each of five processes (4)")
    parser.add_argument("--place", type=Path, help="a directory for everything (one for temporary files)")
    return parser.parse_args()


def absent_in(absences: list[Absence]) -> Callable[[str, float, float], bool]:
    """Whether a worker was absent at some time between two times."""

    def was_absent(worker: str, begin: float, end: float) -> bool:
        return any(
            one.worker == worker and one.begin <= (begin if one.drains else end) and begin <= one.end + _AFTER_SECONDS * 1e9
            for one in tuple(absences)
        )

    return was_absent


def torment(field: Field, nemesis: str, seconds: float, tell: Callable[[str], None], go_on: Callable[[float], None]) -> int:
    """Do it again and again; how often it was done."""
    deadline = time.monotonic() + seconds
    done = 0
    while time.monotonic() < deadline:
        with NEMESES[nemesis](field) as what:
            tell(what)
            go_on(field.random.uniform(*field.random.choice(HOLDS)))
        done += 1
        tell("all is whole")
        go_on(field.random.uniform(*CALMS))
    return done


@frozen
class Trial:
    """One nemesis, for so long. *rate*: requests a second of each process of load; *timeout*: seconds that clients wait for bytes."""

    nemesis: str
    minutes: float
    seed: int
    policy: str = "auto"
    rate: float = 4.0
    timeout: float = 12.0
    replicas: int = 1

    def run(self, place: Path) -> tuple[Verdict, str]:
        """The verdict, and what there is to say in one line. Everything is at *place*, which is made."""
        place.mkdir(parents=True)
        chosen = random.Random(f"{self.seed}/{self.nemesis}")
        more = {"alluxio.worker.s3.redirect.policy": self.policy, "alluxio.worker.s3.hot.object.replicas": self.replicas}
        with Field(place, chosen, more) as field, (place / "events").open("w") as events:

            def tell(what: str) -> None:
                events.write(f"{time.strftime('%H:%M:%S')} {time.monotonic_ns()} {what}\n")
                events.flush()

            was_absent = absent_in(field.absences)
            options = self._options(field.endpoints, place)
            readers = Readers(write_still(field.endpoints[0], list(BUCKETS)), field.endpoints, was_absent, self.seed, self.timeout)
            load, following = Load(options, SERVED), Load(evolve(options, agent=FOLLOWER), REDIRECTED, SERVED)
            readers.begin(3)
            with load, following:
                load.until(20)
                done = torment(field, self.nemesis, self.minutes * 60, tell, load.last)
            readers.end()
            load.verify()
            verdict = judge(place / "ledgers", self.seed, [bucket for bucket, options in BUCKETS.items() if options is REMEMBERED])
            field.write_logs()
            found = losses(place / "ledgers", range(SERVED), was_absent)
            for trouble in field.stop():
                verdict.add("G", f"in the log of {trouble}")
        for what in readers.wrong:
            verdict.add("W", what)
        for what in (*found.lost, *readers.lost):
            verdict.add("lost", what)
        if not readers.read or not found.reads:
            verdict.add("lost", "nothing was read")
        return verdict, self._told(done, verdict, found, readers)

    def _options(self, endpoints: list[str], place: Path) -> Options:
        return Options(
            endpoints=endpoints,
            ledgers=str(place / "ledgers"),
            seed=self.seed,
            buckets=list(BUCKETS),
            rate=self.rate,
            keys=3,
            hot=2,
            largest=2 << 20,
            timeout=self.timeout,
            late=True,
            mix=READ_MOST,
        )

    def _told(self, done: int, verdict: Verdict, found: Losses, readers: Readers) -> str:
        seconds = sorted(readers.seconds) or [0.0]
        p50, p99 = (seconds[min(len(seconds) - 1, int(part * len(seconds)))] for part in (0.5, 0.99))
        return (
            f"nemesis={self.nemesis} minutes={self.minutes:g} policy={self.policy} replicas={self.replicas} done={done} {verdict} "
            f"served={found.reads} absent={found.absent} replaced={found.replaced} lost={len(found.lost)} "
            f"still={readers.read} again={readers.again} still_lost={len(readers.lost)} "
            f"first_byte_p50={p50:.2f}s p99={p99:.2f}s most={seconds[-1]:.2f}s"
        )


def main() -> int:
    """Do as the arguments say."""
    given = _arguments()
    if not is_possible() or not is_installed():
        sys.exit("this takes root, iproute2, util-linux and etcd (tests/cluster/servers/etcd.sh install)")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))  # so that networks and processes end too
    sys.stdout.write(f"seed={given.seed}\n")
    sys.stdout.flush()
    broken = 0
    for nemesis in given.only or NEMESES:
        place = (given.place or Path(tempfile.mkdtemp(prefix="alluxio-s3-nemeses-"))) / nemesis
        verdict, told = Trial(nemesis, given.minutes, given.seed, given.policy, given.rate, replicas=given.replicas).run(place)
        sys.stdout.write("\n".join([told, *(f"  {letter}: {what}" for letter, what in verdict.found[:30])]) + "\n")
        if verdict.clean:
            shutil.rmtree(place)
            with contextlib.suppress(OSError):
                place.parent.rmdir()
        else:
            broken += 1
            sys.stdout.write(f"what there was is kept at {place}\n")
        sys.stdout.flush()
    return min(broken, 1)


if __name__ == "__main__":
    sys.exit(main())

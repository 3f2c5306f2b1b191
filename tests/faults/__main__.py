"""The ledger checker: `python -m tests.faults --endpoint http://127.0.0.1:29998 --seconds 60 --seed 7`.

Several processes ask one daemon, or several that show the same buckets, for everything that S3 has of writes and reads, at random from a
seed; what was asked and answered is in ledgers that are flushed to the disk before each call and after it. When the time is over everything
is read again, and the ledgers are judged (see `judgement`). Prints the verdict in one line and what was wrong below it; the exit status
is 0 if nothing was. As a library: `load.Load`, `generator.Options`, `judgement.judge`, `leftovers.garbage`.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.exchange import Exchange
from tests.faults.generator import Options
from tests.faults.judgement import judge
from tests.faults.leftovers import garbage, held
from tests.faults.load import Load


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--endpoint", action="append", default=[], help="of a daemon; more than one: of workers that show the same buckets")
    parser.add_argument(
        "--writer", action="append", default=[], help="the endpoint that takes writes, when the others are to be read from only"
    )
    parser.add_argument("--bucket", action="append", default=[], help="empty, or to be made (a new one); may be given again")
    parser.add_argument("--seconds", type=float, default=30.0, help="of load (30)")
    parser.add_argument("--processes", type=int, default=3, help="of load (3)")
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second of each process at most (as many as go)")
    parser.add_argument("--keys", type=int, default=24, help="of each process in each bucket (24)")
    parser.add_argument("--largest", type=int, default=3 << 20, help="bytes of a body (3 MiB)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--ledgers", help="a new directory for the ledgers, on a disk that nobody cuts (one for temporary files)")
    parser.add_argument("--pid", type=int, help="of the daemon: descriptors, threads and memory are to be back when the load has ended")
    parser.add_argument("--root", type=Path, action="append", default=[], help="with --pid: the directory of an under-store")
    parser.add_argument("--judge", type=Path, help="judge the ledgers in this directory, and ask for nothing")
    given = parser.parse_args()
    if not given.endpoint and not given.judge:
        parser.error("--endpoint is needed, or --judge")
    return given


def main() -> int:
    """Do as the arguments say."""
    given = _arguments()
    if given.judge:
        verdict = judge(given.judge, given.seed)
        sys.stdout.write(f"{verdict.told()}\n")
        return not verdict.clean
    ledgers = given.ledgers or tempfile.mkdtemp(prefix="alluxio-s3-ledgers-")
    options = Options(
        endpoints=given.endpoint,
        writers=given.writer,
        buckets=given.bucket or [f"ledger-{time.time_ns():x}"],
        ledgers=ledgers,
        seed=given.seed,
        seconds=given.seconds,
        rate=given.rate,
        keys=given.keys,
        largest=given.largest,
    )
    exchange = Exchange((given.writer or given.endpoint)[0])
    for bucket in options.buckets:
        exchange.ask("PUT", bucket)
        if exchange.ask("GET", bucket, {"list-type": "2"}).texts("Key"):
            sys.exit(f"{bucket} is not empty: nobody could say what ought to be in it")
    exchange.close()
    before = held(given.pid, *given.root) if given.pid else None
    with Load(options, given.processes) as load:
        load.wait()
    load.verify()
    verdict = judge(Path(ledgers), given.seed)
    if before is not None:
        for what in garbage(before, lambda: held(given.pid, *given.root)):
            verdict.add("G", what)
    sys.stdout.write(f"{verdict.told()}\nledgers={ledgers}\n")
    return not verdict.clean


if __name__ == "__main__":
    sys.exit(main())

"""The soak: `python -m tests.soak --hours 1 --seed 7` (`make soak HOURS=1`).

A daemon with a cache serves a file system of its own while the load of the ledger checker asks it for everything, and something bad happens
to it every few seconds: see `nemeses`. Prints the verdict of the ledgers in one line, what the process took, and what was wrong; the exit
status is 0 if nothing was. As root the under-store is an ext4 and the cache a tmpfs of their own, which can be full; else none ever is.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import attrs

from tests.faults.daemons import free_port, make_bucket, properties
from tests.faults.exchange import Exchange
from tests.faults.generator import Options
from tests.faults.judgement import judge
from tests.faults.leftovers import garbage, held
from tests.faults.load import Load
from tests.running import Daemon
from tests.soak.nemeses import NEMESES, Field
from tests.soak.samples import Sample, Sampler, percentile, picture

# Files and pages that are read often stay open: at most as many as there are keys, and pages in the cache.
KEPT_OPEN = 200


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0, help="of load (1)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--processes", type=int, default=3, help="of load (3)")
    parser.add_argument("--rate", type=float, default=25.0, help="requests a second of each (25)")
    parser.add_argument("--pause", type=float, default=8.0, help="seconds between two bad things, on average (8)")
    parser.add_argument("--only", action="append", default=[], choices=NEMESES, help="bad things to choose from (all)")
    parser.add_argument("--picture", type=Path, help="where to draw what was measured, as SVG")
    parser.add_argument("--figures", type=Path, help="where to write what was measured, as JSON")
    return parser.parse_args()


def mounted(place: Path) -> tuple[Path | None, Path | None]:
    """File systems at *place*/root and *place*/cache, if that can be had: they can be full."""
    for name in ("root", "cache"):
        (place / name).mkdir()
    if os.geteuid():
        return None, None
    image = place / "root.img"
    commands = [
        ["truncate", "-s", "768M", str(image)],
        ["mkfs.ext4", "-q", "-F", "-I", "1024", str(image)],
        ["mount", "-o", "loop", str(image), str(place / "root")],
        ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(place / "cache")],
    ]
    for command in commands:
        if subprocess.run(command, check=False, capture_output=True).returncode:
            return None, None
    return place / "root", place / "cache"


def unmounted(place: Path) -> None:
    """Take them away."""
    for name in ("root", "cache"):
        subprocess.run(["umount", str(place / name)], check=False, capture_output=True)


def noise(endpoint: str) -> None:
    """What the bad clients ask for, and the object that is timed."""
    make_bucket(endpoint, "noise")
    exchange = Exchange(endpoint)
    for number in range(10):
        exchange.ask("PUT", f"noise/n{number}", body=os.urandom(1 << 20 if number else 4096))
    exchange.close()


def report(given: argparse.Namespace, samples: list[Sample], done: Counter[str], restarts: list[float]) -> str:
    """What was measured, in words."""
    medians = [one.median for one in samples if one.median is not None]
    worst = [one.worst for one in samples if one.worst is not None]
    third = max(1, len(samples) // 3)
    first, last = samples[:third], samples[-third:]

    def of(part: list[Sample], name: str) -> str:
        values = [float(getattr(one, name)) / (1 << 20 if name == "resident" else 1) for one in part]
        return f"{percentile(values, 0.5):.0f} (at most {max(values, default=0):.0f})"

    bad = " ".join(f"{name.replace(' ', '-')}={count}" for name, count in sorted(done.items()))
    reads = f"median {percentile(medians, 0.5) * 1000:.2f} ms; the worst of 20: median {percentile(worst, 0.5) * 1000:.1f} ms"
    lines = (
        f"hours={given.hours} seed={given.seed} {bad}",
        f"resident MiB: first third {of(first, 'resident')}, last third {of(last, 'resident')}",
        f"descriptors: first third {of(first, 'descriptors')}, last third {of(last, 'descriptors')}",
        f"a read of 4 KiB: {reads}, at most {max(worst, default=0) * 1000:.0f} ms",
        f"restarts: {len(restarts)}, ready after {percentile(restarts, 0.5):.2f} s, at most {max(restarts, default=0):.2f} s",
    )
    return "\n".join(lines)


def soak(given: argparse.Namespace, place: Path) -> int:
    """Everything, at *place*."""
    full_root, full_pages = mounted(place)
    chosen = random.Random(given.seed)
    port = free_port()
    pages = place / "cache" / "pages"
    made = properties(
        port,
        place / "root",
        {
            "alluxio.dora.client.ufs.root.option.freshness": "strong",
            "alluxio.worker.page.store.dirs": pages,
            "alluxio.worker.page.store.sizes": "48MB",
            "alluxio.worker.s3.access.log.path": place / "access.log",
            "alluxio.worker.s3.connection.keep.alive.enabled": True,
            "alluxio.worker.s3.header.timeout": "4s",
            "alluxio.worker.s3.body.stall.timeout": "4s",
        },
    )
    events: list[tuple[float, str]] = []
    done: Counter[str] = Counter()
    restarts: list[float] = []
    with Daemon(place / "conf") as daemon:
        endpoint = daemon.start(made)
        make_bucket(endpoint, "ledger")
        noise(endpoint)
        options = Options([endpoint], str(place / "ledgers"), seed=given.seed, buckets=["ledger"], rate=given.rate, largest=2 << 20)
        before = held(daemon.pid, place / "root")
        begun = time.monotonic()
        sampler = Sampler(endpoint, "/noise/n0", lambda: daemon.pid, begun)
        sampler.start()
        with Load(options, given.processes) as load:
            field = Field(daemon, endpoint, made, pages, chosen, load.event, full_root, full_pages, restarts)
            while time.monotonic() - begun < given.hours * 3600:
                time.sleep(min(chosen.expovariate(1 / given.pause), 4 * given.pause))
                kind = chosen.choice(given.only or list(NEMESES))
                events.append((time.monotonic() - begun, kind))
                done[kind] += 1
                NEMESES[kind](field)
                if not daemon.alive or not load.running:
                    break
        sampler.stop()
        alive = daemon.alive
        if alive:
            load.verify()
        verdict = judge(Path(options.ledgers), given.seed)
        if not alive:
            verdict.add("L", "the daemon has ended")
        else:
            for what in garbage(before, lambda: held(daemon.pid, place / "root"), descriptors=KEPT_OPEN):
                verdict.add("G", what)
        for trouble in daemon.trouble[:10]:
            verdict.add("G", f"in the log: {trouble}")
        sys.stdout.write(f"{verdict.told()}\n{report(given, sampler.samples, done, restarts)}\n")
        if given.picture:
            title = f"{given.hours:g} hours of load and faults, seed {given.seed}: {'clean' if verdict.clean else 'broken'}"
            given.picture.write_text(picture(sampler.samples, events, title))
        if given.figures:
            given.figures.write_text(json.dumps({"events": events, "samples": [attrs.asdict(one) for one in sampler.samples]}))
        if alive:
            daemon.stop()
    return not verdict.clean


def main() -> int:
    """Do as the arguments say."""
    given = _arguments()
    sys.stdout.write(f"seed={given.seed}\n")
    sys.stdout.flush()
    place = Path(tempfile.mkdtemp(prefix="alluxio-s3-soak-"))
    clean = False
    try:
        status = soak(given, place)
        clean = not status
        return status
    finally:
        unmounted(place)
        if clean:
            subprocess.run(["rm", "-rf", str(place)], check=False)
        else:
            sys.stdout.write(f"what there was is kept at {place}\n")


if __name__ == "__main__":
    sys.exit(main())

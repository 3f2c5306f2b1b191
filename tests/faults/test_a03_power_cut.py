"""A3: what was answered with 200 is there after a power cut.

Several file systems are mounts of one daemon, in pairs of ext4 and XFS, each with a durability of its own. Under load the power of one
after another is cut; then the daemon is killed, the disks are mounted again, and a new daemon is asked for everything.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.daemons import LONG, SEED, at_most, free_port, properties, report
from tests.faults.disks import KINDS, Disk, lack, private_mounts
from tests.faults.generator import MIX, Options
from tests.faults.judgement import Verdict, judge
from tests.faults.leftovers import passing
from tests.faults.load import Load
from tests.faults.nursery import Nursery

ROUNDS = int(os.environ.get("ROUNDS", "100")) if LONG else 2
# What may be lost of what was answered before the cut, in seconds; None: all of it.
GRACE: dict[str, float | None] = {"full": 0, "data": 2, "rename": None}
# Many small writes: a cut hits one in each of its steps more often.
CUTTING = {**MIX, "read": 10, "head": 2, "list": 1, "read_tags": 1}


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[dict[str, Disk]]:
    """By the name of the bucket, `<kind>-<durability>`, with more of `full` in the long form."""
    reason = lack("mkfs.ext4", "mkfs.xfs", "losetup")
    if reason is not None:
        pytest.skip(reason)
    modes = ["full", "full2", "full3", "data", "rename"] if LONG else list(GRACE)
    with private_mounts(), contextlib.ExitStack() as stack:
        made = {}
        for kind in KINDS:
            for mode in modes:
                disk = made[f"{kind}-{mode}"] = Disk(kind, tmp_path / f"{kind}-{mode}")
                stack.callback(disk.close)
                reason = disk.make()
                if reason is not None:
                    pytest.skip(reason)
        yield made


def mode_of(bucket: str) -> str:
    return bucket.rpartition("-")[2].rstrip("23")


def mount_table(path: Path, disks: dict[str, Disk]) -> Path:
    """A file that mounts each disk as a bucket, with its durability."""
    mounts = [
        {"path": f"/{bucket}", "uri": f"file://{disk.place}", "options": {"durability": mode_of(bucket)}} for bucket, disk in disks.items()
    ]
    path.write_text(json.dumps({"version": 1, "mounts": mounts}), encoding="ascii")
    path.chmod(0o600)
    return path


def cut_all(disks: dict[str, Disk], load: Load, chance: random.Random) -> None:
    """Cut the power of each disk, at random moments, sometimes just after somebody else's fsync."""
    for bucket in chance.sample(list(disks), len(disks)):
        disk = disks[bucket]
        load.last(chance.uniform(0.02, 0.15))
        if chance.random() < 0.5:
            stranger = os.open(disk.place / "stranger", os.O_WRONLY | os.O_CREAT)
            os.write(stranger, b"x")
            os.fsync(stranger)
            os.close(stranger)
        before = time.monotonic_ns()
        disk.cut()
        load.event("cut", bucket=bucket, grace=GRACE[mode_of(bucket)], at=before)


def wipe(disk: Disk) -> None:
    """Remove all objects, for good: what a round begins with is nothing."""
    for one in disk.place.iterdir():
        if one.is_dir() and one.name not in (".alluxio-s3", "lost+found"):
            shutil.rmtree(one)
    subprocess.run(["sync", "-f", str(disk.place)], check=True)


def excused(verdict: Verdict) -> tuple[Verdict, int]:
    """Without what durability `rename` does not promise, and how much that was: what was not on the disk is zeros, or cannot be read."""
    kept = [(letter, what) for letter, what in verdict.found if letter not in "LT" or "-rename/" not in what]
    return Verdict(kept, verdict.counts, verdict.seed), len(verdict.found) - len(kept)


def test_power_cuts(tmp_path: Path, disks: dict[str, Disk]) -> None:
    """full: nothing lost or torn. data: nothing torn, lost at most the last two seconds. rename: no daemon that does not start."""
    port, chance = free_port(), random.Random(SEED)
    served = properties(port, None, {"alluxio.worker.s3.mount.table": mount_table(tmp_path / "mounts.json", disks)})
    endpoint = f"http://127.0.0.1:{port}"
    writes = torn = round_ = 0
    with Nursery(tmp_path / "conf") as nursery:
        daemon = nursery.daemon("one")
        daemon.start(served)
        for round_ in at_most(ROUNDS, 480):
            ledgers = tmp_path / "ledgers" / str(round_)
            for disk in disks.values():
                wipe(disk)
            options = Options([endpoint], str(ledgers), seed=SEED + round_, buckets=list(disks), keys=8, largest=1 << 20, mix=CUTTING)
            with Load(options, 3) as load:
                load.until(100)
                cut_all(disks, load, chance)
                daemon.kill()
                load.event("killed")
            for disk in disks.values():
                disk.unmount()
                reason = disk.mount()
                assert reason is None, reason
            daemon.start(served)
            load.settle({bucket for bucket in disks if mode_of(bucket) == "full"})
            load.verify(complete=False)
            verdict, unpromised = excused(judge(ledgers, SEED + round_))
            assert verdict.clean, verdict.told()
            writes, torn = writes + verdict.counts["OK"], torn + unpromised
            assert [path for disk in disks.values() for path in passing(disk.place)] == []
    told = f"{(round_ + 1) * len(disks)} power cuts of {len(disks)} disks, {writes} writes answered 200: 0 lost (full), 0 torn (full, data)"
    report("A3", f"{told}; with rename {torn} answers that were unreadable or zeros, as it may")

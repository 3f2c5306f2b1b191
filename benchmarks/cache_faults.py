"""Reads through a cache before a store that misbehaves, by several processes, while bits of its page files flip: wrong bytes are counted.

``python -m benchmarks.cache_faults``. It ends with status 1 if there is a wrong byte, or a process that fails.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from attrs import frozen

PAGES, OBJECTS = 12, 24
# What a disk is written in; and how often one looks which pages there are.
BLOCK, LISTED_SECONDS = 4096, 0.1
KINDS = ("", "", "", "", "", "", "error", "short", "long", "changed")


@frozen
class Counts:
    """What became of the reads of a process."""

    right: int = 0
    failed: int = 0
    wrong: int = 0

    def line(self) -> str:
        """To be read by ``total``."""
        return f"{self.right} {self.failed} {self.wrong}\n"


def body(number: int, page: int) -> bytes:
    """The bytes of an object, the same in every process."""
    return random.Random(number).randbytes(PAGES * page - number)


async def read_on(directory: Path, reads: int, seed: int) -> Counts:
    """Read ranges of objects through a cache in ``directory``, with faults now and then."""
    # What has a reactor is imported after the fork: each process needs its own.
    from twisted.internet import reactor  # noqa: PLC0415

    from alluxio_s3.cache.freshness import CachePolicy  # noqa: PLC0415
    from alluxio_s3.storage import StorageError  # noqa: PLC0415
    from alluxio_s3.threads import Threads  # noqa: PLC0415
    from tests.cache.stores import PAGE, Bench  # noqa: PLC0415

    chance = random.Random(seed)
    bodies = {f"o{number}": body(number, PAGE) for number in range(OBJECTS)}
    threads = Threads(reactor, 4, "faults")  # type: ignore[arg-type]
    threads.start()
    bench = Bench(directory, threads, CachePolicy(freshness=chance.choice(("strong", "max_age")), max_age=3600))
    for path, whole in bodies.items():
        bench.trouble.put_now(path, whole)
    right = failed = wrong = 0
    for number in range(reads):
        path = chance.choice(list(bodies))
        whole = bodies[path]
        offset = chance.randrange(len(whole))
        count = chance.randrange(1, min(len(whole) - offset, 4 * PAGE) + 1)
        bench.trouble.faults.kind, bench.trouble.faults.at = chance.choice(KINDS), chance.randrange(3 * PAGE)
        try:
            got = await bench.get(path, offset, count)
        except StorageError:
            failed += 1
        else:
            right += got == whole[offset : offset + count]
            wrong += got != whole[offset : offset + count]
        if number % 50 == 0:
            await threads.run(bench.pages.tend)
    bench.trouble.faults.kind = ""
    await bench.settled()
    bench.pages.close()
    threads.stop()
    return Counts(right, failed, wrong)


def flip(directory: Path, seed: int, parent: int, seconds: float = 0.002, told: Path | None = None) -> None:
    """Flip a bit of some page now and then, cut one, or put one in another's place, until the parent has gone.

    It is done as a disk does it: what the kernel has read before, and perhaps handed to a socket, stays as it was (sendfile(2) gives a
    socket the kernel's own pages, and a write to the file would change them there). How often is written to ``told``.
    """
    chance, done, listed_at = random.Random(seed), 0, float("-inf")
    block = mmap.mmap(-1, BLOCK)
    files: list[Path] = []
    while os.getppid() == parent:
        time.sleep(seconds)
        if time.monotonic() - listed_at > LISTED_SECONDS:
            files, listed_at = [*directory.glob("pages/*/*")], time.monotonic()
        if len(files) < 2:
            continue
        try:
            file, other = chance.sample(files, 2)
            if (what := chance.randrange(20)) == 0:
                _replace(directory.parent, file, file.read_bytes()[: chance.randrange(file.stat().st_size)])
            elif what == 1:
                _replace(directory.parent, file, other.read_bytes())
            else:
                _flip_bit(file, chance, block)
        except (FileNotFoundError, ValueError):  # it has been evicted meanwhile
            continue
        done += 1
        if told is not None and not done % 100:
            told.write_text(str(done), encoding="ascii")


def _replace(scratch: Path, file: Path, data: bytes) -> None:
    """Have other bytes at the name of a page, if it is there."""
    other = scratch / "damage"
    other.write_bytes(data)
    file.stat()
    other.replace(file)


def _flip_bit(file: Path, chance: random.Random, block: mmap.mmap) -> None:
    """Flip a bit in one of the file's whole blocks, past the kernel's memory. Raises ValueError if it has none."""
    descriptor = os.open(file, os.O_RDWR | os.O_DIRECT)
    try:
        at = chance.randrange(os.fstat(descriptor).st_size // BLOCK) * BLOCK
        if os.preadv(descriptor, [block], at) == BLOCK:
            block[chance.randrange(BLOCK)] ^= 1 << chance.randrange(8)
            os.pwritev(descriptor, [block], at)
    finally:
        os.close(descriptor)


def run(directory: Path, reads: int, seed: int, out: Path) -> None:
    """Read, and write down what became of it. Raises SystemExit."""
    from twisted.internet import task  # noqa: PLC0415

    found: list[Counts] = []

    async def main(_: Any) -> None:
        found.append(await read_on(directory, reads, seed))

    try:
        task.react(main)
    finally:
        out.write_text("".join(one.line() for one in found), encoding="ascii")


def child(directory: Path, reads: int, seed: int, out: Path) -> int:
    """A process that reads; its number."""
    process = os.fork()
    if not process:
        status: object = 70
        try:
            run(directory, reads, seed, out)
        except SystemExit as ended:
            status = ended.code
        finally:
            os._exit(status if isinstance(status, int) else 70)
    return process


def main() -> None:
    """Read, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reads", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="cache-faults-", dir="/var/tmp") as scratch:
        directory, started = Path(scratch, "pages"), time.monotonic()
        outs = [Path(scratch, f"out{number}") for number in range(given.processes)]
        readers = [child(directory, given.reads // given.processes, given.seed + number, out) for number, out in enumerate(outs)]
        parent, flipper = os.getpid(), os.fork()
        if not flipper:
            flip(directory, given.seed, parent)
            os._exit(0)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in readers]
        os.kill(flipper, 15)
        os.waitpid(flipper, 0)
        counts = [list(map(int, out.read_text(encoding="ascii").split())) for out in outs if out.exists()]
    right, failed, wrong = map(sum, zip(*counts, strict=True)) if counts else (0, 0, 0)
    taken = time.monotonic() - started
    print(f"{right + failed + wrong} reads in {taken:.0f} s: {wrong} wrong, {failed} failed visibly; ended {statuses}")
    sys.exit(bool(wrong or any(statuses)))


if __name__ == "__main__":
    main()

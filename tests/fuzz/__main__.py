"""`python -m tests.fuzz --seconds 60` (`make fuzz SECONDS=60`): mutates bytes for each target, by what of the code they reach (atheris).

`--runs 1000000` (`make fuzz RUNS=1000000`) is for a number of runs instead. What reaches something new goes to `.tools/fuzz/<target>/`;
with `--keep` the smallest of it that together reach as much are put into `tests/fuzz/corpus/<target>/`, which the tests run. What fails
is printed, and kept as a file whose name is printed too.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
CORPUS = Path(__file__).parent / "corpus"
WORK = ROOT / ".tools" / "fuzz"
MOST_SECONDS = 0.05
MAX_BYTES = 2048
KEPT_BYTES = 400
KEPT_FILES = 40


def timed(target: Any, data: bytes) -> float:
    """Run *target*; how many seconds of the processor it took."""
    begun = time.process_time()
    with contextlib.suppress(target.expected):
        target.run(data)
    return time.process_time() - begun


def fuzz_one(name: str, arguments: list[str]) -> None:
    """In a process of its own: libFuzzer, which ends it."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["alluxio_s3"]):
        targets = importlib.import_module("tests.fuzz.targets")
    target = targets.TARGETS[name]

    def run(data: bytes) -> None:
        took = timed(target, data)
        if took > MOST_SECONDS:
            took = min(took, timed(target, data))
            assert took <= MOST_SECONDS, f"it took {took:.3f} s"

    atheris.Setup([sys.argv[0], *arguments], run)
    atheris.Fuzz()


def seeds(name: str) -> list[bytes]:
    """What a target begins with."""
    targets = importlib.import_module("tests.fuzz.targets")
    return list(targets.TARGETS[name].seeds)


def fuzz(name: str, limit: str, *, keep: bool) -> bool:
    """Fuzz a target, up to libFuzzer's *limit*; whether nothing was found."""
    work = WORK / name
    work.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (work / f"seed-{number}").write_bytes(seed)
    kept = CORPUS / name
    kept.mkdir(parents=True, exist_ok=True)
    options = [
        limit,
        f"-max_len={MAX_BYTES}",
        "-rss_limit_mb=2048",
        f"-artifact_prefix={WORK}/{name}-",
        "-timeout=120",
    ]
    command = [sys.executable, "-m", "tests.fuzz", "--one", name, "--", *options, "-print_final_stats=1", str(work), str(kept)]
    begun = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, errors="replace")
    seconds = time.monotonic() - begun
    runs = next((int(line.split()[-1]) for line in done.stderr.splitlines() if line.startswith("stat::number_of_executed_units")), 0)
    sys.stdout.write(f"{name}: {runs:,} runs in {seconds:.0f} s, {'nothing found' if not done.returncode else 'FAILED'}\n")
    sys.stdout.flush()
    if done.returncode:
        sys.stdout.write(done.stdout[-3000:] + done.stderr[-3000:])
        return False
    if keep:
        grow(work, kept)
    return True


def grow(work: Path, kept: Path) -> None:
    """Add to *kept* what is small in *work* and not there, up to a number; the smallest first."""
    there = {path.name for path in kept.iterdir()}
    found = sorted((path for path in work.iterdir() if path.stat().st_size <= KEPT_BYTES), key=lambda path: path.stat().st_size)
    step = max(1, len(found) // KEPT_FILES)
    for path in found[::step]:
        if path.name not in there and len(there) < KEPT_FILES:
            (kept / path.name[:16]).write_bytes(path.read_bytes())
            there.add(path.name)


def main() -> int:
    """Do as the arguments say."""
    if "--one" in sys.argv:
        at = sys.argv.index("--one")
        fuzz_one(sys.argv[at + 1], sys.argv[at + 3 :])
        return 0
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--runs", type=int, help="of each target, however long they take")
    parser.add_argument("--jobs", type=int, default=1, help="how many targets at once (1)")
    parser.add_argument("--target", action="append", default=[], help="which (all)")
    parser.add_argument("--keep", action="store_true", help="let the corpus of the tests grow")
    given = parser.parse_args()
    names = given.target or list(importlib.import_module("tests.fuzz.targets").TARGETS)
    limit = f"-runs={given.runs}" if given.runs else f"-max_total_time={given.seconds}"
    with ThreadPoolExecutor(given.jobs) as jobs:
        found = list(jobs.map(lambda name: fuzz(name, limit, keep=given.keep), names))
    return not all(found)


if __name__ == "__main__":
    sys.exit(main())

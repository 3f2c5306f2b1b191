"""What two processes of the daemon do that one does not: ``python -m benchmarks.http.processes``.

Both are there at once, on the same files, and are asked in turn, in rounds, two processes by twice the connections. All of it, the
load too, has the same cores; so what tells is the processor time of a request: two processes, each with a core to itself, serve
twice as many as one if it stays the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from attrs import evolve

from benchmarks.http import network
from benchmarks.http.__main__ import store
from benchmarks.http.cases import Case, reads
from benchmarks.http.load import Many, Sample, Streams
from benchmarks.http.servers import daemon

COUNTS = (1, 2)
WANTED = ("4 KiB GET, 64 connections, 1,000 keys", "100 KiB GET", "64 MiB GET, 8 connections")


def measure(case: Case, scratch: Path, root: Path, rounds: int, seconds: float) -> dict[int, list[Sample]]:
    """The samples of ``case``, by the number of processes."""
    found: dict[int, list[Sample]] = {count: [] for count in COUNTS}
    assert isinstance(case.run, Many | Streams)
    with ExitStack() as stack:
        servers, loads = {}, {}
        for count in COUNTS:
            own = scratch / f"{abs(hash(case.title))}-{count}"
            own.mkdir()
            servers[count] = stack.enter_context(daemon(own, root, {"alluxio.worker.s3.processes": count}))
            loads[count] = evolve(case.run, connections=case.run.connections * count)
            loads[count](servers[count], 1.0)
        for number in range(rounds):
            for count in COUNTS if number % 2 else COUNTS[::-1]:
                found[count].append(loads[count](servers[count], seconds))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http.processes", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where the objects are made")
    options = parser.parse_args()
    status = network.run_inside("benchmarks.http.processes")
    if status is not None:
        sys.exit(status)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as place:
        scratch, root = Path(place), Path(place) / "reads"
        root.mkdir()
        cases = [case for case in reads(scratch) if case.title.startswith(WANTED)]
        store(scratch, root)
        print("|  | one process | two processes | two to one, by processor time | two to one, as seen here |")
        print("| --- | ---: | ---: | ---: | ---: |", flush=True)
        for case in cases:
            found = measure(case, scratch, root, options.rounds, options.seconds)
            pairs = list(zip(found[1], found[2], strict=True))
            cost = {count: median(sample.processor for sample in samples) for count, samples in found.items()}
            shown = [f"{cost[count]:.3f} s" if case.unit == "GiB" else f"{cost[count] * 1e6:.1f} µs" for count in COUNTS]
            scaling = 2 * median(one.processor / two.processor for one, two in pairs)
            seen = median(two.rate / one.rate for one, two in pairs)
            print(f"| {case.title}, per {case.unit} | {shown[0]} | {shown[1]} | {scaling:.2f} | {seen:.2f} |", flush=True)


if __name__ == "__main__":
    main()

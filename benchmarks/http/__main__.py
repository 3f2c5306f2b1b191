"""What requests cost: this daemon, nginx and rclone side by side on the same files, each on the same one core.

``make bench`` prints tables in Markdown; ``make bench ARGS=--write`` puts them into docs/performance.md, ``make bench ARGS=--quick``
takes a minute. The servers are asked in turn, over loopback, in rounds; a ratio is one between figures of the same round. The load comes
from another core; for uploads all have both. Linux only, for /proc; as root, in a network namespace of its own.
"""

from __future__ import annotations

import argparse
import http.client
import os
import platform
import random
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import frozen

from benchmarks.http import network, results, signatures, uploads
from benchmarks.http.cases import BUCKET, SMALL, Case, objects, reads, small_paths
from benchmarks.http.picture import picture
from benchmarks.http.processor import on_core, two_cores
from benchmarks.http.results import Result
from benchmarks.http.servers import HOST, Server, daemon, nginx, rclone, versions

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "performance.md"
PICTURE = DOCUMENT.with_suffix(".svg")
BEGIN, END = "<!-- begin of what `make bench ARGS=--write` writes -->", "<!-- end -->"
MAKERS = (nginx, daemon, rclone)
WARM_UP_SECONDS = 2.0


@frozen
class Wanted:
    """How often each case is run on each server, and for how long; ``only`` those whose titles it matches."""

    rounds: int
    seconds: float
    only: re.Pattern[str]

    def chosen(self, cases: list[Case]) -> list[Case]:
        """Those to be run."""
        return [one for one in cases if self.only.search(one.title)]


@contextmanager
def served(scratch: Path, root: Path, *cores: int, properties: Mapping[str, object] | None = None) -> Iterator[dict[str, Server]]:
    """All servers, on ``root``, by name; the daemon with ``properties``."""
    with ExitStack() as stack:
        servers = []
        for make in MAKERS:
            own = scratch / f"{make.__name__}-{root.name}"
            own.mkdir()
            with on_core(*cores):
                servers.append(stack.enter_context(daemon(own, root, properties) if make is daemon else make(own, root)))
        yield {one.name: one for one in servers}


def store(scratch: Path, root: Path) -> None:
    """Put the objects that are read through S3, so that they have what an object has."""
    with daemon(scratch, root, {"alluxio.worker.s3.durability": "rename"}) as server:
        connection = http.client.HTTPConnection(HOST, server.port)
        wanted = objects()
        buckets = dict.fromkeys((f"/{path.split('/')[1]}" for path in wanted), 0)
        for path, size in {**buckets, **wanted}.items():
            connection.request("PUT", path, content(path, size))
            response = connection.getresponse()
            if response.status != 200:
                raise SystemExit(f"PUT {path}: {response.status} {response.read().decode()}")
            response.read()
        connection.close()
    os.sync()


def content(path: str, size: int) -> bytes:
    """The bytes of the object at ``path``."""
    return random.Random(path).randbytes(size)


def check(server: Server) -> None:
    """See that it serves the bytes that were stored, for each fiftieth object. Raises SystemExit."""
    connection = http.client.HTTPConnection(HOST, server.port)
    for path, size in list(objects().items())[::50]:
        connection.request("GET", path)
        if connection.getresponse().read() != content(path, size):
            raise SystemExit(f"{server.name} does not serve {path}")
    connection.close()


def measure(wanted: Wanted, servers: dict[str, Server], cases: Sequence[Case], *cores: int, hashing: bool | None = None) -> list[Result]:
    """Run each case in rounds: on the servers in turn, beginning each time with another. What a server does at first does not count.

    The load comes from ``cores``. ``hashing`` says of uploads whether the daemon takes their MD5; None: they are no uploads.
    """
    found = []
    for case in cases:
        names = [name for name in servers if name == results.OURS or name in case.rivals]
        one = Result(case, {name: [] for name in names})
        with on_core(*cores):
            for name in names:
                case.run(servers[name], WARM_UP_SECONDS)
        if hashing is not None:
            one.memory.append(uploads.resident(servers[results.OURS]))
        for number in range(wanted.rounds):
            turn = number % len(names)
            with on_core(*cores):
                for name in names[turn:] + names[:turn]:
                    one.samples[name].append(case.run(servers[name], wanted.seconds))
                if hashing:
                    one.hashed.append(uploads.md5())
        if hashing is not None:
            one.memory.append(uploads.resident(servers[results.OURS]))
        print(results.line(one), flush=True)
        found.append(one)
    return found


def run(wanted: Wanted, directory: Path, memory: Path) -> tuple[list[Result], str]:
    """Everything: reads of files in ``directory``, writes to files in ``memory``; and what signatures cost, in Markdown."""
    cores = two_cores()
    signed = ""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as scratch, tempfile.TemporaryDirectory(dir=memory) as shared:
        root = Path(scratch) / "reads"
        root.mkdir()
        found = []
        chosen, signing = wanted.chosen(reads(Path(scratch))), bool(wanted.only.search(signatures.TITLE))
        if chosen or signing:
            print("storing the objects", flush=True)
            store(Path(scratch), root)
        if chosen:
            with served(Path(scratch), root, cores[0]) as servers:
                for server in servers.values():
                    check(server)
                found += measure(wanted, servers, chosen, cores[1])
        if signing:
            load = signatures.Signed(Path(scratch) / "signed.requests", small_paths(), 64, SMALL)
            signed = signatures.table(signatures.cost(Path(scratch), root, load, wanted.rounds, wanted.seconds, cores))
            print(signed, flush=True)
        for name, cases, hashing in (("writes", uploads.hashed(), True), ("unhashed", uploads.unhashed(), False)):
            if chosen := wanted.chosen(cases):
                written = Path(shared) / name
                (written / BUCKET / "put").mkdir(parents=True)
                with served(Path(scratch), written, *cores, properties={"alluxio.worker.s3.put.md5.enabled": hashing}) as servers:
                    found += measure(wanted, servers, chosen, *cores, hashing=hashing)
        return found, signed


def report(found: list[Result], signed: str, wanted: Wanted, load: float) -> str:
    """All of it in Markdown."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    machine = f"{os.cpu_count()} cores{f' ({model[1]})' if model else ''}, Linux {platform.release().split('-')[0]}"
    text = (
        f"{machine}, TCP under {network.congestion_control()}, Python {platform.python_version()}, {versions()}. Medians of"
        f" {wanted.rounds} rounds of {wanted.seconds:g} s; load average at the start {load:.1f}.\n\n"
        f"{results.rates(found)}\n\nWhat that took of the server's core:\n\n{results.processor(found)}\n"
    )
    if signed:
        text += f"\nWhat it costs to verify signatures, where the short way takes the request:\n\n{signed}\n"
    if any(one.memory for one in found):
        text += f"\nUploads, for which the servers had both cores:\n\n{results.besides(found)}\n"
    return text


def write(text: str) -> None:
    """Put ``text`` between the marks in docs/performance.md."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{DOCUMENT} has lost its marks")
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two rounds of a second: enough to see that it works")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    parser.add_argument("--only", type=re.compile, default="", help="the cases whose titles this matches")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where the objects that are read are made")
    parser.add_argument("--memory", type=Path, default=Path("/dev/shm"), help="a tmpfs, for the objects that are written")
    parser.add_argument("--write", action="store_true", help=f"write the tables into {DOCUMENT.name}")
    options = parser.parse_args()
    if options.write and (options.quick or options.only.pattern):
        parser.error("what is written is a whole run")
    status = network.run_inside("benchmarks.http")
    if status is not None:
        sys.exit(status)
    load = os.getloadavg()[0]
    wanted = Wanted(2, 1.0, options.only) if options.quick else Wanted(options.rounds, options.seconds, options.only)
    found, signed = run(wanted, options.directory, options.memory)
    text = report(found, signed, wanted, load)
    print(f"\n{text}")
    if options.write:
        write(text)
        PICTURE.write_text(picture(results.speeds(found)), encoding="utf-8")


if __name__ == "__main__":
    main()

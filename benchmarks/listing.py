"""What listings cost: the time of a page of 1,000 keys and the daemon's peak memory, flat and nested, up to a million keys.

``make bench-listing`` prints tables in Markdown; ``make bench-listing ARGS=--write`` puts them into docs/listing.md. A real daemon is
asked over HTTP by one client. *Cold* is the first listing after the daemon has started, *warm* the same page again; the kernel's
caches are warm in both. Linux only, for /proc.
"""

from __future__ import annotations

import argparse
import http.client
import os
import platform
import re
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import quote, urlsplit
from xml.sax.saxutils import unescape

from attrs import define, field, frozen

from benchmarks.trees import tree
from tests.running import Daemon

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "listing.md"
BEGIN, END = "<!-- begin of what `make bench-listing ARGS=--write` writes -->", "<!-- end -->"

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SHAPES = ("flat", "nested")
PAGE = 1_000
PLACES = ("first", "middle", "last")

_TOKEN = re.compile(rb"<NextContinuationToken>([^<]+)<")
_KEY = re.compile(rb"<Key>([^<]+)<")
_COUNT = re.compile(rb"<KeyCount>(\d+)<")
_WARM_UP = "small"


@frozen
class Wanted:
    """What is to be measured: ``colds`` starts of the daemon for each cold page, ``warms`` requests for each warm one."""

    root: Path
    colds: int
    warms: int
    stored: bool


@define
class Client:
    """One connection to the daemon."""

    endpoint: str
    _connection: http.client.HTTPConnection = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(self.endpoint).netloc)

    def page(self, bucket: str, query: str) -> tuple[bytes, float]:
        """A page of ListObjectsV2 and the seconds from the request's first byte to the answer's last."""
        started = time.perf_counter()
        self._connection.request("GET", f"/{bucket}?list-type=2&max-keys={PAGE}{query}")
        response = self._connection.getresponse()
        body = response.read()
        seconds = time.perf_counter() - started
        if response.status != 200:
            raise SystemExit(f"{query}: {response.status} {body.decode(errors='replace')}")
        return body, seconds

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@frozen
class Whole:
    """A listing from end to end: its ``seconds``, those of the processor that the daemon took, and by how many bytes its memory
    grew at most. ``queries`` ask for the pages of ``PLACES``; each is full if the bucket has a page's worth.
    """

    entries: int
    seconds: float
    processor: float
    memory: int
    queries: tuple[str, ...]


@frozen
class Row:
    """What was measured of one tree with one delimiter; seconds by place."""

    shape: str
    keys: int
    whole: Whole
    cold: tuple[float, ...]
    warm: tuple[float, ...]


@contextmanager
def served(wanted: Wanted) -> Iterator[tuple[Client, int]]:
    """A client of a fresh daemon, and that one's process id; it has answered one listing of a bucket of one key already."""
    with tempfile.TemporaryDirectory() as configuration, Daemon(Path(configuration)) as daemon:
        endpoint = daemon.start(
            {
                "alluxio.worker.s3.api.enabled": True,
                "alluxio.worker.rest.port": 0,
                "alluxio.worker.s3.bind.host": "127.0.0.1",
                "alluxio.worker.s3.connection.keep.alive.enabled": True,
                "alluxio.dora.client.ufs.root": wanted.root,
            }
        )
        client = Client(endpoint)
        try:
            client.page(_WARM_UP, "")
            yield client, daemon.pid
        finally:
            client.close()
            daemon.stop()


def list_all(wanted: Wanted, bucket: str, delimiter: str) -> Whole:
    """List ``bucket`` to its end in a fresh daemon, watching its memory."""
    extra = f"&delimiter={quote(delimiter)}" if delimiter else ""
    tokens = [""]
    last: deque[bytes] = deque(maxlen=PAGE + 1)
    entries = 0
    with served(wanted) as (client, pid):
        idle, processor = reset_peak(pid), processor_seconds(pid)
        started = time.perf_counter()
        while True:
            body, _ = client.page(bucket, extra + tokens[-1])
            last.extend(_KEY.findall(body))
            entries += int(_count(body))
            following = _TOKEN.search(body)
            if following is None:
                break
            tokens.append(f"&continuation-token={following[1].decode()}")
        seconds = time.perf_counter() - started
        processor = processor_seconds(pid) - processor
        memory = resident(pid, "VmHWM") - idle
    before_last = f"&start-after={quote(unescape(last[0].decode()))}" if len(last) > PAGE else ""
    queries = tuple(extra + query for query in ("", tokens[(len(tokens) - 1) // 2], before_last))
    return Whole(entries, seconds, processor, memory, queries)


def measure(wanted: Wanted, bucket: str, delimiter: str, shape: str, keys: int) -> Row:
    """The row of ``bucket``. Starts many daemons, one at a time."""
    whole = list_all(wanted, bucket, delimiter)
    cold, warm = [], []
    for query in whole.queries:
        firsts: list[float] = []
        agains: list[float] = []
        for _ in range(wanted.colds):
            with served(wanted) as (client, _pid):
                firsts.append(client.page(bucket, query)[1])
                agains.extend(client.page(bucket, query)[1] for _ in range(wanted.warms))
        cold.append(median(firsts))
        warm.append(median(agains))
    return Row(shape, keys, whole, tuple(cold), tuple(warm))


def _count(body: bytes) -> bytes:
    found = _COUNT.search(body)
    if found is None:
        raise SystemExit(f"no KeyCount in {body[:500]!r}")
    return found[1]


def resident(pid: int, what: str) -> int:
    """``VmRSS`` or ``VmHWM`` of a process, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="latin-1").splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/{pid}/status has no {what}")


def reset_peak(pid: int) -> int:
    """Let ``VmHWM`` begin anew; what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    return resident(pid, "VmRSS")


def processor_seconds(pid: int) -> float:
    """What the process has taken of the processors."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def table(rows: list[Row]) -> str:
    """``rows`` in Markdown."""
    head = ("tree", "keys", *(f"{place} page, cold / warm" for place in PLACES), "all pages", "processor per page", "peak memory")
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for row in rows:
        pages = [f"{_ms(cold)} / {_ms(warm)}" for cold, warm in zip(row.cold, row.warm, strict=True)]
        whole = row.whole
        count = -(-whole.entries // PAGE)
        per_page = _ms(whole.processor / count) if count >= 10 else "–"  # noqa: RUF001  # the kernel counts in ticks of 10 ms
        cells = [row.shape, f"{row.keys:,}", *pages, f"{whole.seconds:.2f} s", per_page, f"+{whole.memory / 2**20:.0f} MiB"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def report(rows: dict[str, list[Row]], wanted: Wanted) -> str:
    """Everything that was measured, in Markdown."""
    who = "put through S3" if wanted.stored else "written by another program"
    kernel = f"Linux {platform.release().split('-')[0]} with {_file_system(wanted.root)}"
    python = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    return (
        f"{kernel}, {python}; the files were {who}. Medians of {wanted.colds} cold and {wanted.colds * wanted.warms} warm pages.\n\n"
        f"Without a delimiter:\n\n{table(rows[''])}\n\nWith `delimiter=/`, at the root of the bucket:\n\n{table(rows['/'])}\n"
    )


def _file_system(path: Path) -> str:
    best = ("", "an unknown file system")
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
        _, mounted, kind, *_ = line.split()
        if (path.is_relative_to(mounted)) and len(mounted) >= len(best[0]):
            best = (mounted, kind)
    return best[1]


def write(text: str) -> None:
    """Put ``text`` between the marks in docs/listing.md."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{DOCUMENT} has lost its marks")
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keys", type=int, nargs="+", default=SIZES, help="sizes of the trees")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=SHAPES)
    parser.add_argument("--colds", type=int, default=3, help="starts of the daemon for each page")
    parser.add_argument("--warms", type=int, default=5, help="warm pages for each start")
    parser.add_argument("--stored", action="store_true", help="give the files attributes, as if they had been put through S3")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where the trees are made: on the disk to be measured")
    parser.add_argument("--write", action="store_true", help=f"write the tables into {DOCUMENT.name}")
    options = parser.parse_args()
    rows: dict[str, list[Row]] = {"": [], "/": []}
    with tempfile.TemporaryDirectory(prefix="bench-listing-", dir=options.directory) as scratch:
        wanted = Wanted(Path(scratch), options.colds, options.warms, options.stored)
        (wanted.root / _WARM_UP).mkdir()
        (wanted.root / _WARM_UP / "object").touch()
        for shape in options.shapes:
            for keys in options.keys:
                with tree(wanted.root / f"{shape}-{keys}", shape, keys, stored=options.stored) as bucket:
                    for delimiter, measured in rows.items():
                        measured.append(measure(wanted, bucket.name, delimiter, shape, keys))
                        print(f"delimiter={delimiter}", table(measured[-1:]).splitlines()[-1], flush=True)
        text = report(rows, wanted)
    print(f"\n{text}")
    if options.write:
        write(text)


if __name__ == "__main__":
    main()

"""First reads of a real S3 server, Ceph's RADOS gateway, through the cache, beside the same client's reads of that server itself.

All of it is on this machine: the server has the same cores as the daemon and the client. ``python -m benchmarks.cache_ceph`` (root, and
what ``tests/ufs/servers/ceph.sh install`` installs).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.cache import KEPT, Ratio, cached, first_reads_in_turn, mount, once
from benchmarks.http.load import Sample
from benchmarks.http.network import run_inside
from benchmarks.http.servers import Server, daemon
from tests.ufs.servers.ceph import ACCESS_KEY, SECRET_KEY, Ceph, is_installed


def fill(ceph: Ceph, rounds: int, size: int) -> tuple[str, list[str], list[bytes]]:
    """A bucket with an object for each round; their names, and requests for them that Ceph takes."""
    bucket, client = ceph.make_bucket(), ceph.client()
    names = [f"cold{number}" for number in range(rounds)]
    for name in names:
        client.put_object(Bucket=bucket, Key=name, Body=os.urandom(size))
    urls = [urlsplit(client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": name})) for name in names]
    client.close()
    return bucket, names, [f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode() for url in urls]


def _gateway() -> int:
    """The process that serves S3."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may end meanwhile
            if (process / "comm").read_text().strip() == "radosgw":
                return int(process.name)
    raise SystemExit("Ceph's gateway does not run")


def first_reads(given: argparse.Namespace) -> Ratio:
    """The server has read each object before, for neither of them from its disk."""
    with tempfile.TemporaryDirectory(prefix="bench-ceph-", dir=given.directory) as directory:
        scratch = Path(directory)
        for name in ("ceph", "near", "local"):
            (scratch / name).mkdir()
        with Ceph(scratch / "ceph") as ceph:
            bucket, names, requests = fill(ceph, given.rounds + 1, given.size)
            itself = Server("ceph", _gateway(), urlsplit(ceph.endpoint).port or 0)

            def again(request: bytes) -> Sample:
                once(itself, "", given.size, request)
                return once(itself, "", given.size, request)

            kept = mount("kept", bucket, ceph.endpoint, KEPT, ACCESS_KEY, SECRET_KEY)
            with daemon(scratch / "near", scratch / "local", cached(scratch, kept)) as near:
                reads = [
                    (partial(again, request), partial(once, near, f"/kept/{name}", given.size))
                    for name, request in zip(names, requests, strict=True)
                ]
                return first_reads_in_turn("first read, of Ceph's S3", reads, scratch, given.size + (64 << 20))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cache_ceph", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=256 << 20, help="bytes of an object")
    parser.add_argument("--directory", default="/var/tmp", help="where the pages and all else go")
    given = parser.parse_args()
    status = run_inside("benchmarks.cache_ceph")
    if status is not None:
        sys.exit(status)
    if not is_installed():
        raise SystemExit("tests/ufs/servers/ceph.sh install has to be run before, as root")
    print(first_reads(given).line())


if __name__ == "__main__":
    main()

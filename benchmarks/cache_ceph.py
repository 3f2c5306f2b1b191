"""First reads of a real S3 server, Ceph's RADOS gateway, through the cache, beside the same client's reads of that server itself.

All of it is on this machine: the server has the same cores as the daemon and the client. ``python -m benchmarks.cache_ceph`` (root, and
what ``tests/ufs/servers/ceph.sh install`` installs).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.cache import Ratio, once, touch
from benchmarks.http.network import run_inside
from benchmarks.http.servers import Server, daemon
from tests.ufs.servers.ceph import ACCESS_KEY, SECRET_KEY, Ceph, is_installed

GOAL = 0.85
PAUSE_SECONDS = 0.5


def fill(ceph: Ceph, rounds: int, size: int) -> tuple[str, list[str], list[bytes]]:
    """A bucket with an object for each round; their names, and requests for them that Ceph takes."""
    bucket, client = ceph.make_bucket(), ceph.client()
    names = [f"cold{number}" for number in range(rounds)]
    for name in names:
        client.put_object(Bucket=bucket, Key=name, Body=os.urandom(size))
    urls = [urlsplit(client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": name})) for name in names]
    client.close()
    return bucket, names, [f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode() for url in urls]


def _properties(scratch: Path, ceph: Ceph, bucket: str) -> dict[str, object]:
    options = {
        "alluxio.underfs.s3.region": "us-east-1",
        "s3a.accessKeyId": ACCESS_KEY,
        "s3a.secretKey": SECRET_KEY,
        "alluxio.underfs.s3.endpoint": ceph.endpoint,
        "freshness": "max_age=1h",
    }
    table = scratch / "mounts.json"
    table.write_text(json.dumps({"version": 1, "mounts": [{"path": "/kept", "uri": f"s3://{bucket}", "options": options}]}))
    table.chmod(0o600)
    return {
        "alluxio.worker.s3.mount.table": table,
        "alluxio.worker.page.store.dirs": scratch / "pages",
        "alluxio.worker.page.store.sizes": "16GB",
    }


def _gateway() -> int:
    """The process that serves S3."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may end meanwhile
            if (process / "comm").read_text().strip() == "radosgw":
                return int(process.name)
    raise SystemExit("Ceph's gateway does not run")


def first_reads(given: argparse.Namespace) -> Ratio:
    """Both ways in turn, after a round that does not count. The server has read each object before, for neither of them from its disk."""
    found = Ratio("first read, of Ceph's S3", GOAL, [], [])
    with tempfile.TemporaryDirectory(prefix="bench-ceph-", dir=given.directory) as directory:
        scratch = Path(directory)
        for name in ("ceph", "near", "local"):
            (scratch / name).mkdir()
        with Ceph(scratch / "ceph") as ceph:
            bucket, names, requests = fill(ceph, given.rounds + 1, given.size)
            itself = Server("ceph", _gateway(), urlsplit(ceph.endpoint).port or 0)
            with daemon(scratch / "near", scratch / "local", _properties(scratch, ceph, bucket)) as near:
                for number, (name, request) in enumerate(zip(names, requests, strict=True)):
                    once(itself, "", given.size, request)
                    direct = once(itself, "", given.size, request)
                    touch(scratch, given.size + (64 << 20))
                    cached = once(near, f"/kept/{name}", given.size)
                    time.sleep(PAUSE_SECONDS)
                    if number:
                        found.plain.append(direct)
                        found.cached.append(cached)
    return found


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

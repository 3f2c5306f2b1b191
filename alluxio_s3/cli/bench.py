"""``alluxio-s3 bench``: how fast a running endpoint is from here, in a minute and with no other program."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import click
from attrs import field, frozen
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.session import get_session
from rich.filesize import decimal

from alluxio_s3.cli.configuration import NotDone, ToldWrongly, configured
from alluxio_s3.cli.load import endpoint_of
from alluxio_s3.cli.screen import json_option, show_json, show_table
from alluxio_s3.settings import Loaded
from alluxio_s3.settings.values import size

_SIZE = size()
MAX_BYTES = 1 << 30


@click.command()
@click.option("--endpoint", metavar="URL", help="The daemon; else the one that the configuration describes, on this machine.")
@click.option("--size", "size_text", default="64KB", show_default=True, metavar="SIZE", help="How large objects are.")
@click.option("--count", type=click.IntRange(1, 100_000), default=500, show_default=True, help="How many of each request.")
@click.option("--parallel", type=click.IntRange(1, 64), default=4, show_default=True, help="So many requests at a time.")
@click.option("--bucket", metavar="NAME", help="A bucket that is there; else one is made, and removed in the end.")
@json_option
@configured
def bench(loaded: Loaded, endpoint: str | None, size_text: str, count: int, parallel: int, bucket: str | None, *, as_json: bool) -> None:
    """Measure PUT, GET and HEAD of a running daemon: requests a second, bytes a second, latencies.

    Objects of its own are written, read and deleted. Credentials are those that the AWS command line would use. This program is
    slower than the daemon: what it shows is what one client of a few threads gets, and `benchmarks/` in the sources has more.
    """
    try:
        length = int(_SIZE.parse(size_text))
    except ValueError as problem:
        raise ToldWrongly(f"--size: expected {problem}, not {size_text!r}") from None
    if length > MAX_BYTES:
        raise ToldWrongly("--size: at most 1GB, which is kept in memory")
    client = Client(endpoint_of(loaded, endpoint), loaded.settings.region)
    name = bucket or f"alluxio-s3-bench-{os.urandom(4).hex()}"
    if bucket is None:
        client.must("PUT", f"/{name}")
    body = os.urandom(length)
    paths = [f"/{name}/.bench-{os.getpid()}/{number}" for number in range(count)]
    try:
        found = [_measure(client, method, paths, parallel, body if method == "PUT" else b"") for method in ("PUT", "HEAD", "GET")]
    finally:
        for path in paths:
            client.ask("DELETE", path)
        if bucket is None:
            client.ask("DELETE", f"/{name}")
    document = {"endpoint": client.endpoint, "size": length, "parallel": parallel, "results": found}
    if as_json:
        show_json(document)
        return
    rows = [
        (
            one["method"],
            f"{one['requests_per_second']:.0f}",
            f"{decimal(int(one['bytes_per_second']))}/s",
            *(f"{one[part] * 1000:.2f} ms" for part in ("p50_seconds", "p99_seconds", "max_seconds")),
        )
        for one in found
    ]
    click.echo(f"{client.endpoint}, {count} objects of {decimal(length)}, {parallel} at a time")
    show_table(("", "requests/s", "bytes", "half within", "99 % within", "slowest"), rows)


@frozen
class Client:
    """Signs requests and sends them, each thread on a connection of its own."""

    endpoint: str
    region: str
    credentials: Any = field(factory=lambda: get_session().get_credentials(), repr=False)

    def signed(self, method: str, path: str, body: bytes = b"") -> dict[str, str]:
        """The header fields of a request."""
        request = AWSRequest(method, f"{self.endpoint}{path}", data=body or None)
        if self.credentials is not None:
            S3SigV4Auth(self.credentials.get_frozen_credentials(), "s3", self.region).add_auth(request)
        return dict(request.headers.items())

    def connect(self) -> HTTPConnection:
        """A connection."""
        parts = urlsplit(self.endpoint)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=60)

    def ask(self, method: str, path: str) -> tuple[int, bytes]:
        """Status and body of an answer. Raises NotDone when there is none."""
        connection = self.connect()
        try:
            connection.request(method, path, headers=self.signed(method, path))
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, HTTPException) as problem:
            raise NotDone(f"{self.endpoint}: {problem}") from None
        finally:
            connection.close()

    def must(self, method: str, path: str) -> None:
        """``ask``, and raise NotDone unless that was done."""
        status, body = self.ask(method, path)
        if status >= 300:
            raise NotDone(f"{method} {path}: {status} {_code(body)}; --bucket names one that is there")


def _measure(client: Client, method: str, paths: list[str], parallel: int, body: bytes) -> dict[str, Any]:
    # To sign costs more than to be answered, so it is done before.
    requests = [(path, client.signed(method, path, body)) for path in paths]
    shares = [requests[first::parallel] for first in range(parallel)]

    def work(share: list[tuple[str, dict[str, str]]]) -> tuple[list[float], int]:
        return _run(client, method, share, body)

    started = time.perf_counter()
    with ThreadPoolExecutor(parallel) as pool:
        outcomes = _all(pool.map, work, shares, client)
    taken = time.perf_counter() - started
    latencies = sorted(seconds for found, _ in outcomes for seconds in found)
    moved = sum(count for _, count in outcomes)
    return {
        "method": method,
        "requests": len(latencies),
        "requests_per_second": len(latencies) / taken,
        "bytes_per_second": moved / taken,
        "p50_seconds": latencies[len(latencies) // 2],
        "p99_seconds": latencies[min(len(latencies) * 99 // 100, len(latencies) - 1)],
        "max_seconds": latencies[-1],
    }


def _all(mapped: Callable[..., Any], work: Any, shares: Any, client: Client) -> list[tuple[list[float], int]]:
    try:
        return list(mapped(work, shares))
    except (OSError, HTTPException) as problem:
        raise NotDone(f"{client.endpoint}: {problem}") from None


def _run(client: Client, method: str, share: list[tuple[str, dict[str, str]]], body: bytes) -> tuple[list[float], int]:
    connection = client.connect()
    latencies, moved = [], 0
    for path, headers in share:
        started = time.perf_counter()
        connection.request(method, path, body=body or None, headers=headers)
        answer = connection.getresponse()
        data = answer.read()
        latencies.append(time.perf_counter() - started)
        if answer.status >= 300:
            raise NotDone(f"{method} {path}: {answer.status} {_code(data)}")
        moved += len(body) if method == "PUT" else len(data)
    connection.close()
    return latencies, moved


def _code(body: bytes) -> str:
    return body.decode("utf-8", "replace").partition("<Code>")[2].partition("</Code>")[0]

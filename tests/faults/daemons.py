"""Daemons of fault tests: at a port that stays theirs over restarts, with what they serve in a directory of the test's own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.faults.exchange import Exchange
from tests.running import Daemon, free_port

LONG = os.environ.get("FAULTS") == "long"
"""Whether the long form of a test is asked for (`make test-faults`)."""

SEED = int(os.environ.get("SEED", "8"))
"""What all that is random begins with (`make test-faults SEED=9`)."""


def properties(port: int, root: Path | None, more: Mapping[str, object] | None = None) -> dict[str, object]:
    """Of a daemon at *port* that serves the directory *root*, with *more* of its own. A request that hangs is not waited for at its end."""
    served: dict[str, object] = {} if root is None else {"alluxio.dora.client.ufs.root": root}
    return {
        "alluxio.worker.s3.api.enabled": True,
        "alluxio.worker.rest.port": port,
        "alluxio.worker.s3.bind.host": "127.0.0.1",
        "alluxio.proxy.s3.complete.multipart.upload.min.part.size": 0,
        "alluxio.worker.s3.drain.timeout": "2s",
        **served,
        **(more or {}),
    }


def make_bucket(endpoint: str, bucket: str) -> None:
    """Make *bucket*."""
    exchange = Exchange(endpoint)
    reply = exchange.ask("PUT", bucket)
    exchange.close()
    assert reply.status == 200, reply


def is_ready(endpoint: str) -> bool:
    """Whether somebody answers there."""
    exchange = Exchange(endpoint, timeout=5)
    reply = exchange.ask("GET", "")
    exchange.close()
    return reply.status == 200


def at_most(count: int, seconds: float, least: int = 1) -> Iterator[int]:
    """Numbers from 0, *count* of them, or as many as are asked for in *seconds* (SECONDS): on a crowded machine that has to be enough.

    *least* are there in any case.
    """
    until = time.monotonic() + float(os.environ.get("SECONDS", seconds))
    for number in range(count):
        if number >= least and time.monotonic() > until:
            return
        yield number


def report(row: str, line: object) -> None:
    """Say the figures of a row, past what keeps the output of tests to itself."""
    form = "long" if LONG else "short"
    os.write(2, f"\n{row} seed={SEED} {form}: {line}\n".encode())


__all__ = ["LONG", "SEED", "Daemon", "at_most", "free_port", "is_ready", "make_bucket", "properties", "report"]

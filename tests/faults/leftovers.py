"""G: what a daemon holds that it should have let go of, by now or since its last life."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from attrs import frozen

_RESERVED = ".alluxio-s3"
_PASSING = ("tmp", "ended")  # of what is in the reserved directory; uploads in progress may stay


@frozen
class Held:
    """Of a process: descriptors, threads, resident bytes; of directories: the files that nobody should find there."""

    descriptors: int
    threads: int
    resident: int
    files: tuple[str, ...] = ()


def held(pid: int, *roots: Path) -> Held:
    """What the process *pid* holds now, and what lies in the reserved directories of the under-stores at *roots*."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines())
    return Held(
        len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208
        int(status["Threads"]),
        int(status["VmRSS"].split()[0]) << 10,
        tuple(str(path) for root in roots for path in passing(root)),
    )


def passing(root: Path) -> list[Path]:
    """The files below the under-store at *root* that are on their way to be objects, or away from having been. Runs are none."""
    found: list[Path] = []
    for name in _PASSING:
        with contextlib.suppress(FileNotFoundError):
            found.extend(path for path in (root / _RESERVED / name).iterdir() if path.suffix != ".run")
    return found


def garbage(
    before: Held, look: Callable[[], Held], *, descriptors: int = 8, threads: int = 40, resident: int = 96 << 20, seconds: float = 60.0
) -> list[str]:
    """What is still there *seconds* after the load has ended and was not *before*; empty as soon as that is so.

    It may hold so many more *descriptors*, *threads* (of pools, which stay) and *resident* bytes.
    """
    deadline = time.monotonic() + seconds
    while True:
        now, found = look(), []
        if now.descriptors > before.descriptors + descriptors:
            found.append(f"{now.descriptors} descriptors, before {before.descriptors}")
        if now.threads > before.threads + threads:
            found.append(f"{now.threads} threads, before {before.threads}")
        if now.resident > before.resident + resident:
            found.append(f"{now.resident >> 20} MiB, before {before.resident >> 20}")
        found += [f"left over: {name}" for name in now.files]
        if not found or time.monotonic() >= deadline:
            return found
        time.sleep(0.2)

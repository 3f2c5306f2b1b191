"""Cores: who runs on which, and what a server has taken of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def two_cores() -> tuple[int, int]:
    """The core of the servers and the core of their clients. Raises SystemExit if there are not two."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("two cores are needed: one for the servers, one for their clients")
    return cores[0], cores[1]


@contextmanager
def on_core(*cores: int) -> Iterator[None]:
    """The calling thread, and what it starts meanwhile, has that core alone, or those."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(cores))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def seconds_of(pid: int) -> float:
    """What a process and its living children have taken of the processors, in steps of a tick."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return (int(fields[11]) + int(fields[12])) / _TICKS + sum(map(seconds_of, map(int, children)))

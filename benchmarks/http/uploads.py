"""What is measured of writes, on both cores: the hash runs beside the event loop, so one core would have to do both."""

from __future__ import annotations

import hashlib
import random
import re
import time
from pathlib import Path

from attrs import evolve, frozen

from benchmarks.http.cases import BUCKET, LARGE, Case, Goal
from benchmarks.http.load import GIB, Uploads
from benchmarks.http.servers import Server

_RESIDENT = re.compile(r"^VmRSS:\s+(\d+) kB$", re.MULTILINE)


def hashed() -> list[Case]:
    """Writes to a daemon as it comes, which takes the MD5 of all."""
    return _cases("64 MiB PUT", Goal(of_md5=0.85), ("nginx", "rclone"))


def unhashed() -> list[Case]:
    """Writes to a daemon that takes no MD5. nginx never does."""
    return _cases("64 MiB PUT without MD5", Goal(of_nginx=0.7, processor_of_nginx=2), ("nginx",))


def _cases(title: str, goal: Goal, rivals: tuple[str, ...]) -> list[Case]:
    upload = Uploads(f"/{BUCKET}/put", random.Random(2).randbytes(LARGE), 1)
    return [
        Case(f"{title}, {number} connection{'s' * (number > 1)}", evolve(upload, connections=number), goal, unit="GiB", rivals=rivals)
        for number in (1, 4)
    ]


@frozen
class Md5:
    """What MD5 does by itself: GiB in a second on one core as busy as the machine is, and processor seconds for one."""

    rate: float
    processor: float


NO_MD5 = Md5(0.0, 0.0)


def md5() -> Md5:
    """Measure that, where this runs."""
    data = bytes(LARGE)
    started, used = time.perf_counter(), time.thread_time()
    hashlib.md5(data, usedforsecurity=False)
    taken, used = time.perf_counter() - started, time.thread_time() - used
    return Md5(LARGE / GIB / taken, used * GIB / LARGE)


def resident(server: Server) -> int:
    """The bytes of memory that a server's process has now."""
    found = _RESIDENT.search(Path(f"/proc/{server.pid}/status").read_text(encoding="ascii", errors="replace"))
    return int(found[1]) << 10 if found else 0

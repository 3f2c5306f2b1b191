"""What is measured of each server, and what is asked of this one."""

from __future__ import annotations

import random
from pathlib import Path

from attrs import evolve, frozen

from benchmarks.http.load import Alone, AmongUsers, Many, OverTls, Run, Streams, requests_file

KIB, MIB = 1 << 10, 1 << 20
BUCKET, LISTED_BUCKET = "bench", "models"
SMALL, FEW, MANY = 4 * KIB, 1_000, 10_000
MIDDLE, MIDDLES = 100 * KIB, 500
LARGE, LARGES = 64 * MIB, 8
LISTED = 10

_PLACES = {
    f"{BUCKET}/small": (SMALL, MANY),
    f"{BUCKET}/middle": (MIDDLE, MIDDLES),
    f"{BUCKET}/large": (LARGE, LARGES),
    f"{LISTED_BUCKET}/model": (SMALL, LISTED),
}


@frozen
class Goal:
    """What is asked: at least so much of nginx's rate, of rclone's, of what MD5 does on one core, or so many units per second; at most
    so much of nginx's time or processor time, or so many seconds at the 99th percentile. None: not asked.
    """

    of_nginx: float | None = None
    of_rclone: float | None = None
    of_md5: float | None = None
    rate: float | None = None
    time_of_nginx: float | None = None
    p99: float | None = None
    processor_of_nginx: float | None = None


@frozen
class Case:
    """One kind of load. ``unit`` is ``request`` or ``GiB``; where ``timed``, it is the time of a request that matters, not the rate.

    Of ``rivals`` is asked what is asked of this daemon.
    """

    title: str
    run: Run
    goal: Goal
    unit: str = "request"
    timed: bool = False
    rivals: tuple[str, ...] = ("nginx", "rclone")


def objects() -> dict[str, int]:
    """The sizes of the objects that are read, by path."""
    return {f"/{place}/{number:05}": size for place, (size, count) in _PLACES.items() for number in range(count)}


def small_paths() -> list[str]:
    """The few small objects that many connections ask for, in no order."""
    paths = [f"/{BUCKET}/small/{number:05}" for number in range(FEW)]
    random.Random(1).shuffle(paths)
    return paths


def reads(scratch: Path) -> list[Case]:
    """Those that change nothing. Files of requests are made in ``scratch``."""
    shuffled = random.Random(1)
    few = [f"/{BUCKET}/small/{number:05}" for number in range(FEW)]
    many = [f"/{BUCKET}/small/{number:05}" for number in range(MANY)]
    middle = [f"/{BUCKET}/middle/{number:05}" for number in range(MIDDLES)]
    ranges = [
        f"/{BUCKET}/large/{number:05} bytes={at * MIB}-{(at + 1) * MIB - 1}" for number in range(LARGES) for at in range(LARGE // MIB)
    ]
    for one in (few, many, middle, ranges):
        shuffled.shuffle(one)

    def at_random(name: str, paths: list[str], connections: int, size: int) -> Many:
        return Many(requests_file(scratch / f"{name}.requests", (f"GET {path}" for path in paths)), connections, size)

    stream = Streams(f"/{BUCKET}/large/00000", LARGE, 1)
    beside = evolve(stream, connections=8, beside=few[0], beside_size=SMALL)
    among = AmongUsers(at_random("few", few, 64, SMALL), few[0], SMALL)
    large = Goal(of_nginx=0.95, processor_of_nginx=1.2)
    bucket = requests_file(scratch / "bucket.requests", [f"HEAD /{LISTED_BUCKET}"])
    listing = requests_file(scratch / "listing.requests", [f"GET /{LISTED_BUCKET}?list-type=2&prefix=model/"])
    polled = Goal(rate=3_000)
    # So much of nginx's rate per second of processor time: 0.5 and 0.85.
    small_tls, large_tls = Goal(processor_of_nginx=2), Goal(processor_of_nginx=1.18)
    return [
        Case(f"4 KiB GET, 64 connections, {FEW:,} keys", at_random("few", few, 64, SMALL), Goal(of_nginx=0.60, of_rclone=8)),
        Case(f"the same, {MANY:,} keys", at_random("many", many, 64, SMALL), Goal()),
        Case("4 KiB GET, 64 connections, while another user asks now and then", among, Goal(of_nginx=0.54)),
        Case("4 KiB GET, 1 connection", Alone("GET", few, SMALL), Goal(time_of_nginx=1.15), timed=True),
        Case("4 KiB HEAD, 1 connection", Alone("HEAD", few, SMALL), Goal(time_of_nginx=1.15), timed=True),
        Case("100 KiB GET, 16 connections", at_random("middle", middle, 16, MIDDLE), Goal(of_nginx=0.9)),
        Case("1 MiB ranged GET, 16 connections", at_random("ranges", ranges, 16, MIB), Goal(of_nginx=0.9)),
        Case("64 MiB GET, 1 connection", stream, large, unit="GiB"),
        Case("64 MiB GET, 8 connections", evolve(stream, connections=8), large, unit="GiB"),
        Case("4 KiB GET beside those 8", beside, Goal(p99=0.005), unit="GiB", timed=True),
        Case("4 KiB GET over TLS, 64 connections", OverTls(at_random("few", few, 64, SMALL)), small_tls, rivals=("nginx",)),
        Case(
            "4 KiB GET over TLS, 64 connections, while another user asks now and then",
            OverTls(among),
            small_tls,
            rivals=("nginx",),
        ),
        Case("4 KiB GET over TLS, 1 connection", OverTls(Alone("GET", few, SMALL)), small_tls, timed=True, rivals=("nginx",)),
        Case("64 MiB GET over TLS, 1 connection", OverTls(stream), large_tls, unit="GiB", rivals=("nginx",)),
        Case("64 MiB GET over TLS, 8 connections", OverTls(evolve(stream, connections=8)), large_tls, unit="GiB", rivals=("nginx",)),
        Case("HeadBucket, 16 connections", Many(bucket, 16, 0), polled, rivals=()),  # wrk waits for a body after rclone's HEAD
        Case(f"ListObjectsV2 of {LISTED} keys, 16 connections", Many(listing, 16, 0), polled, rivals=("rclone",)),
    ]

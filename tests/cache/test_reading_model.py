"""Whatever the store and the disk do, and in whatever order: no wrong byte, and every failure is one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from alluxio_s3.cache.freshness import CachePolicy
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import NoSuchPath, ObjectChanged, StorageError
from tests.cache.stores import PAGE, Bench

MAX_AGE = 10.0
PATHS = st.sampled_from(["a", "a", "a", "b"])
SIZES = st.sampled_from([3 * PAGE + 5, PAGE, 1, PAGE - 1, PAGE + 1])
FAULTS = st.sampled_from([*[""] * 8, "error", "short", "long", "changed", "wait", "down"])


class Inline:
    """Threads that take no time."""

    async def run(self, function: Any, *arguments: Any) -> Any:
        return function(*arguments)


@define
class Version:
    """What was at a path from ``since`` to ``until``; None is nothing. ``told``: it was written through the cache."""

    data: bytes | None
    since: int
    validator: str = ""
    until: int | None = None
    ended_at: float = 0.0
    told: bool = True


@define(eq=False)
class Reading:
    """A read under way, and what of its bytes was asked for."""

    path: str
    strong: bool
    offset: int
    count: int
    since: int
    at: float
    excused: bool
    validator: str = ""
    outcome: list[Any] = field(factory=list)


class Reads(RuleBasedStateMachine):
    """Two mounts of one store, one that asks each time and one that believes it for ten seconds, and a model of what was there when."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.bench = Bench(Path(self.directory.name) / "pages", Inline(), CachePolicy("max_age", MAX_AGE), clock=Clock())  # type: ignore[arg-type]
        self.strong = self.bench.another(CachePolicy())
        self.moment = 0
        self.serial = 0
        self.versions: dict[str, list[Version]] = {"a": [Version(None, 0)], "b": [Version(None, 0)]}
        self.readings: list[Reading] = []

        for path in ("a", "b"):
            self.write(path, 3 * PAGE + 5)

    @property
    def faults(self) -> Any:
        return self.bench.trouble.faults

    def becomes(self, path: str, data: bytes | None, validator: str, told: bool) -> None:
        self.moment += 1
        versions = self.versions[path]
        versions[-1].until, versions[-1].ended_at = self.moment, self.bench.now
        versions.append(Version(data, self.moment, validator, told=told))
        for reading in self.readings:
            reading.excused |= reading.path == path

    def data(self, size: int) -> bytes:
        self.serial += 1
        return bytes((self.serial * 37 + place * place) % 251 for place in range(size))

    @rule(path=PATHS, size=SIZES)
    def write(self, path: str, size: int) -> None:
        """A write through the cache."""
        data = self.data(size)
        status = now(self.bench.put(path, data))
        self.becomes(path, data, status.validator, told=True)

    @rule(path=PATHS, size=SIZES, same=st.booleans())
    def write_behind(self, path: str, size: int, same: bool) -> None:
        """Somebody else's write, perhaps of as many bytes as were there."""
        before = self.versions[path][-1].data
        data = self.data(len(before) if same and before else size)
        status = self.bench.trouble.put_now(path, data)
        self.becomes(path, data, status.validator, told=False)

    @rule(path=PATHS, really=st.sampled_from([False, False, False, True]))
    def delete(self, path: str, really: bool) -> None:
        """A delete through the cache; few, since little can be read where nothing is."""
        if really and self.versions[path][-1].data is not None:
            now(self.strong.delete(path, ALWAYS))
            self.becomes(path, None, "", told=True)

    @rule()
    def go(self) -> None:
        """A store that was waited for goes on."""
        self.faults.go()
        self.finish()

    @rule(seconds=st.sampled_from([1.0, 1.0, MAX_AGE, MAX_AGE + 1]))
    def pass_time(self, seconds: float) -> None:
        """Time goes by."""
        self.bench.now += seconds

    @rule(place=st.integers(0, 3), at=st.integers(0, 5000), remove=st.sampled_from([False, False, False, True]))
    def damage(self, place: int, at: int, remove: bool) -> None:
        """A page's file rots, or goes."""
        pages = sorted(self.pages())
        if pages:
            page = pages[place % len(pages)]
            if remove:
                page.unlink()
                return
            data = bytearray(page.read_bytes())
            if data:
                data[at % len(data)] ^= 0x40
                page.write_bytes(data)

    def pages(self) -> list[Path]:
        return [one for one in (Path(self.directory.name) / "pages" / "pages").rglob("*") if one.is_file()]

    @precondition(lambda self: len(self.readings) < 4)
    @rule(
        path=PATHS,
        strong=st.booleans(),
        offset=st.sampled_from([0, 1, PAGE, 2 * PAGE + 7, 3 * PAGE]),
        count=st.sampled_from([1, PAGE, 4 * PAGE]),
        fault=FAULTS,
        at=st.sampled_from([0, 1, 1000, PAGE, 2 * PAGE]),
    )
    def read(self, path: str, strong: bool, offset: int, count: int, fault: str, at: int) -> None:
        """A client reads a range, and something goes wrong with the store meanwhile."""
        waits = self.faults.kind == "wait"
        if not waits:
            self.faults.kind, self.faults.at = fault, at
        self.faults.down = fault == "down"
        for other in self.readings:
            other.excused |= bool(fault)
        reading = Reading(path, strong, offset, count, self.moment, self.bench.now, bool(fault))
        self.readings.append(reading)
        Deferred.fromCoroutine(self.get(reading)).addBoth(reading.outcome.append)
        if self.faults.kind != "wait":
            self.faults.kind = ""
        self.faults.down = False
        self.finish()

    @precondition(lambda self: len(self.readings) < 4)
    @rule(path=PATHS, strong=st.booleans())
    def read_all(self, path: str, strong: bool) -> None:
        """A client reads all there is, and nothing is wrong."""
        self.read(path, strong, 0, 4 * PAGE, "", 0)

    async def get(self, reading: Reading) -> bytes:
        reader = await (self.strong if reading.strong else self.bench.ufs).open(reading.path)
        try:
            size = reader.status.size
            reading.validator = reader.status.validator
            reading.offset = min(reading.offset, size - 1)
            reading.count = min(reading.count, size - reading.offset)
            await reader.prepare(reading.offset, reading.count)
            return b"".join([piece async for piece in reader.read(reading.offset, reading.count)])
        finally:
            await reader.close()

    def finish(self) -> None:
        """Look at the reads that have ended."""
        for reading in [one for one in self.readings if one.outcome]:
            self.readings.remove(reading)
            outcome = reading.outcome[0]
            problem = getattr(outcome, "value", None)
            possible = self.possible(reading)
            if isinstance(outcome, bytes):
                (version,) = [one for one in possible if one.validator == reading.validator]
                assert version.data is not None
                assert outcome == version.data[reading.offset : reading.offset + reading.count]
            elif isinstance(problem, NoSuchPath):
                assert any(one.data is None for one in possible)
            elif isinstance(problem, ObjectChanged):
                assert reading.excused or any(not one.told for one in possible) or len(possible) > 1
            else:
                assert isinstance(problem, StorageError), outcome
                assert reading.excused, problem

    def possible(self, reading: Reading) -> list[Version]:
        """The versions that the read may have seen."""
        versions = self.versions[reading.path]
        found = [one for one in versions if one.until is None or one.until > reading.since]
        if not reading.strong:
            # What somebody else replaced may be believed for a while, but nothing from before a write through the cache.
            for place in range(len(versions) - len(found) - 1, -1, -1):
                if versions[place + 1].told or versions[place].ended_at < reading.at - MAX_AGE:
                    break
                found.insert(0, versions[place])
        return found

    def teardown(self) -> None:
        self.go()
        assert not self.readings
        assert self.bench.trouble.opened == 0
        assert self.bench.cache.fills.budget.taken == 0
        self.bench.pages.close()
        self.directory.cleanup()


def now(work: Any) -> Any:
    """The result of what takes no time."""
    results: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(results.append)
    assert results
    if hasattr(results[0], "raiseException"):
        results[0].raiseException()
    return results[0]


TestReads = Reads.TestCase
TestReads.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

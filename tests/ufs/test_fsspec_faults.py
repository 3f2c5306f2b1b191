"""A library that fails, gives too little or too much, finds another version, or hangs: no wrong byte, and every failure is told."""

from __future__ import annotations

import threading
from random import Random

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from alluxio_s3.storage import ObjectChanged, StorageError, Unavailable
from alluxio_s3.testing.in_reactor import in_reactor
from alluxio_s3.testing.workbench import Workbench, read
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.fsspec_store.filesystem import FsspecFactory

MIB = 1 << 20
DATA = Random(5).randbytes(3 * MIB + 77)


class Faulty(MemoryFileSystem):
    """The store in memory; reads of ``trouble``'s object go as it says from ``at`` on, until there is no trouble any more."""

    protocol = "faulty"
    store: dict = {}  # noqa: RUF012 - as the class has it that this is made of
    pseudo_dirs = [""]  # noqa: RUF012
    kind, at, times, asked = "", 0, 0, 0
    hangs, go = threading.Event(), threading.Event()

    def cat_file(self, path, start=None, end=None, **kwargs):
        cls = type(self)
        data = super().cat_file(path, start=start, end=end, **kwargs)
        if not path.endswith("/k") or not cls.times or end is None or end <= cls.at:
            return data
        cls.times -= 1
        cls.asked += 1
        if cls.kind == "error":
            raise OSError("the link broke")
        if cls.kind == "short":
            return data[:-1]
        if cls.kind == "long":
            return data + b"more"
        if cls.kind == "gone":
            raise FileNotFoundError(path)
        if cls.kind == "changed":
            self.pipe_file(path, bytes(len(DATA)))
            return super().cat_file(path, start=start, end=end, **kwargs)
        cls.hangs.set()
        cls.go.wait()
        return data


@pytest.fixture
def threads():
    made = Threads(reactor, 4, "faults")
    made.start()
    yield made
    Faulty.go.set()
    made.stop()


@pytest.fixture
def build(threads):
    """Builds the store; ``clock`` is what its patience goes by."""
    fsspec.register_implementation("faulty", Faulty, clobber=True)
    Faulty.store.clear()
    Faulty.times = Faulty.asked = 0
    Faulty.go.clear()
    Faulty.hangs.clear()
    given = {"uri": "fsspec+faulty://place", "fsspec.layout": "objects", "fsspec.timeout": "60", "fsspec.retries": "1"}
    return lambda clock=reactor: Workbench(FsspecFactory().build(given, clock, threads), "")


@pytest.fixture
def store(build):
    return build()


async def given_before(store):
    """What a reader of the whole object is given, and how that ends."""
    reader = await store.ufs.open("k")
    got, problem = b"", None
    try:
        async for piece in reader.read(0, len(DATA)):
            got += piece
    except StorageError as error:
        problem = error
    await reader.close()
    return got, problem


@pytest.mark.parametrize("at", [0, MIB, 3 * MIB])
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("error", Unavailable),
        ("short", ObjectChanged),
        ("long", ObjectChanged),
        ("gone", ObjectChanged),
        ("changed", ObjectChanged),
    ],
)
@in_reactor
async def test_a_read_that_goes_wrong(store, kind, error, at):
    """What was given before is right and not the whole, the error says which kind it was, and then all is well again."""
    await store.put("k", DATA)
    Faulty.kind, Faulty.at, Faulty.times = kind, at, 10
    got, problem = await given_before(store)
    assert isinstance(problem, error)
    assert Faulty.asked
    assert len(got) < len(DATA)
    if kind != "changed":  # then what was given may be of either version, and is never whole
        assert DATA.startswith(got)
    Faulty.times = 0
    await store.put("k", DATA)
    assert await store.get("k") == DATA


@pytest.mark.parametrize("at", [0, MIB, 3 * MIB])
@in_reactor
async def test_a_read_that_hangs(build, threads, at):
    """When patience is at its end the read has failed, though the library still hangs; other reads go on meanwhile."""
    clock = Clock()
    store = build(clock)
    await store.put("k", DATA)
    await store.put("other", DATA)
    Faulty.kind, Faulty.at, Faulty.times = "hang", at, 1
    reading = ensureDeferred(given_before(store))
    await threads.run(Faulty.hangs.wait)
    clock.pump([61] * 3)  # it looks at each end whether a call has been made since the last time
    got, problem = await reading
    assert isinstance(problem, Unavailable)
    assert got == DATA[: at // MIB * MIB]
    assert await store.get("other") == DATA


@in_reactor
async def test_what_passes_is_tried_again(store):
    """A link that breaks once costs the client nothing."""
    await store.put("k", DATA)
    Faulty.kind, Faulty.at, Faulty.times = "error", MIB, 1
    reader = await store.ufs.open("k")
    assert await read(reader, 0, len(DATA)) == DATA
    assert Faulty.asked == 1

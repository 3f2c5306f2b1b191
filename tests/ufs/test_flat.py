"""Under-stores made of a flat store."""

from __future__ import annotations

import errno
from bisect import bisect_left
from itertools import count
from threading import RLock

import pytest
import pytest_twisted
from zope.interface import implementer

from alluxio_s3.interfaces import IIdentified
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes, NoSpace, ObjectChanged, PathConflict, Unavailable
from alluxio_s3.testing.commit_contract import cancelled
from alluxio_s3.testing.ufs_contract import UfsContract
from alluxio_s3.testing.workbench import Workbench, outcome_of, read
from alluxio_s3.ufs.flat import PIECE_BYTES, FlatUnderFileSystem, IFlatStore, Stored


@implementer(IFlatStore)
class Shelf:
    """Objects in dictionaries. ``trouble`` is raised by the next call."""

    def __init__(self):
        self.lock = RLock()
        self.numbers = count(1)
        self.objects = {}
        self.versions = {}
        self.trouble = None

    def scan(self, start, limit):
        with self.lock:
            if self.trouble:
                raise self.trouble
            paths = sorted(self.objects)
            first = bisect_left(paths, start)
            return [self.objects[path] for path in paths[first : first + limit]]

    def read(self, version, offset, count):
        assert count <= PIECE_BYTES
        return self.versions.get(version, b"")[offset : offset + count]

    def put(self, path, data, size, record, check):
        with self.lock:
            check()
            content = data.read()
            assert len(content) == size
            number = next(self.numbers)
            self.drop(path)
            self.objects[path] = stored = Stored(number, path, size, number, record)
            self.versions[stored.version] = content
            return stored

    def remove(self, path, check):
        with self.lock:
            check()
            self.drop(path)

    def drop(self, path):
        old = self.objects.pop(path, None)
        if old is not None:
            del self.versions[old.version]

    def close(self):
        self.objects.clear()


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def store(shelf, threads):
    return Workbench(FlatUnderFileSystem(shelf, threads, identity="shelf:1", buckets=False), "")


class TestFlat(UfsContract):
    """As the root, with buckets."""

    buckets = True

    @pytest.fixture(autouse=True)
    def workshop(self, threads):
        self.threads = threads

    async def make_ufs(self):
        return FlatUnderFileSystem(Shelf(), self.threads, identity="shelf:1", buckets=self.buckets)


class TestFlatAsAMount(TestFlat):
    """As one bucket."""

    buckets = False

    async def make_place(self, ufs):
        return ""


def test_no_flat_store(threads):
    """What lacks a method is refused with its name."""
    with pytest.raises(ValueError, match="IFlatStore"):
        FlatUnderFileSystem(object(), threads, identity="x", buckets=True)


def test_identity(store):
    """The under-store is known by the identity it was given."""
    assert IIdentified(store.ufs).identity == "shelf:1"


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, NoSpace), (errno.EDQUOT, NoSpace), (errno.EIO, Unavailable)])
@pytest_twisted.ensureDeferred
async def test_failures_of_the_system(store, shelf, number, kind):
    """An OSError of the store is what it means for storage."""
    shelf.trouble = OSError(number, "trouble")
    assert type(await outcome_of(store.status("a"))) is kind


@pytest_twisted.ensureDeferred
async def test_a_version_that_is_gone(store):
    """A reader whose version was replaced says so instead of ending early."""
    await store.put("a", b"old")
    reader = await store.ufs.open("a")
    await store.put("a", b"new")
    assert isinstance(await outcome_of(read(reader, 0, 3)), ObjectChanged)


@pytest_twisted.ensureDeferred
async def test_folders_hold_no_bytes(store):
    """A folder with bytes is refused when they come."""
    writer = await store.ufs.create("dir/", Attributes(), 1)
    assert isinstance(await outcome_of(writer.write(b"1")), PathConflict)
    await writer.abort()
    assert not await store.exists("dir/")


@pytest_twisted.ensureDeferred
async def test_a_commit_given_up_in_the_middle(store, shelf):
    """A commit that is cancelled while its thread waits changes nothing once it has been aborted."""
    writer = await store.ufs.create("a", Attributes(), 1)
    await writer.write(b"1")
    with shelf.lock:
        await cancelled(writer.commit(Attributes(), ALWAYS))
    assert not await store.exists("a")


@pytest_twisted.ensureDeferred
async def test_big_objects(store):
    """What is larger than the memory set aside for it goes through a temporary file, and comes back."""
    data = bytes(range(256)) * 20_000
    await store.put("a", [data[:1_000_000], data[1_000_000:2_000_000], data[2_000_000:]])
    assert await store.get("a") == data


@pytest_twisted.ensureDeferred
async def test_many_in_folders(store):
    """Folders that hold more than one scan are one entry each, and nothing after them is lost."""
    for number in range(150):
        await store.put(f"big/{number:03}")
    await store.put("small/a")
    await store.put("z")
    assert (await store.page(delimiter="/")).entries[:2] == ("big/", "small/")
    assert [entry if isinstance(entry, str) else entry.path for entry in await store.walk(delimiter="/")] == ["big/", "small/", "z"]

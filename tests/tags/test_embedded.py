"""Tags in a file of the daemon's."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import pytest
import pytest_twisted
from attrs import define
from twisted.internet import reactor
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyClass

from alluxio_s3.interfaces import IIdentified, IPluginFactory
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes, NoSuchPath, ReadOnly, Unavailable, Unsupported
from alluxio_s3.tags.embedded import EmbeddedFactory, EmbeddedTagStore, TagFile
from alluxio_s3.testing.ufs_contract import TagStoreContract
from alluxio_s3.testing.workbench import Workbench, together
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.memory import MemoryUnderFileSystem


@pytest.fixture
def threads():
    pool = Threads(reactor, 4, "tags")
    pool.start()
    yield pool
    pool.stop()


@pytest.fixture
def store():
    return Workbench(MemoryUnderFileSystem(Clock(), buckets=False), "")


class TestEmbedded(TagStoreContract):
    """For a store in memory."""

    @pytest.fixture(autouse=True)
    def place(self, tmp_path, threads):
        self.make = lambda: EmbeddedTagStore(str(tmp_path / "tags.db"), threads)

    async def make_ufs(self):
        return MemoryUnderFileSystem(Clock())

    async def make_tags(self):
        return self.make()


@pytest_twisted.ensureDeferred
async def test_tags_last(tmp_path, threads, store):
    """Tags are there when the file is opened again."""
    status = await store.put("a", b"1")
    first = EmbeddedTagStore(str(tmp_path / "tags.db"), threads)
    await first.put(store.ufs, status, {"a": "b"})
    await first.close()
    second = EmbeddedTagStore(str(tmp_path / "tags.db"), threads)
    assert await second.get(store.ufs, status) == {"a": "b"}
    await second.close()


@pytest_twisted.ensureDeferred
async def test_stores_are_told_apart(tmp_path, threads, store):
    """The same path and validator in another under-store is another object."""
    other = Workbench(MemoryUnderFileSystem(Clock(), buckets=False), "")
    tags = EmbeddedTagStore(str(tmp_path / "tags.db"), threads)
    mine, theirs = await store.put("a", b"1"), await other.put("a", b"1")
    assert mine.validator == theirs.validator
    await tags.put(store.ufs, mine, {"a": "b"})
    assert await tags.get(other.ufs, theirs) == {}
    await tags.close()


@pytest_twisted.ensureDeferred
async def test_late_tags_of_an_old_version(tmp_path, threads, store):
    """Whoever comes late with the tags of a version that was overwritten does not harm those of its successor."""
    tags = EmbeddedTagStore(str(tmp_path / "tags.db"), threads)
    old = await store.put("a", b"1")
    new = await store.put("a", b"2")
    await tags.put(store.ufs, new, {"version": "new"})
    for late in ({"version": "old"}, {}):
        await tags.put(store.ufs, old, late)
        assert await tags.get(store.ufs, new) == {"version": "new"}
    await tags.close()


@pytest_twisted.ensureDeferred
async def test_no_rows_are_left(tmp_path, threads, store):
    """What is kept of versions that are no more goes when the object's tags are next put, or are put on its absence."""
    file = TagFile(str(tmp_path / "tags.db"))
    tags = EmbeddedTagStore(str(tmp_path / "tags.db"), threads)
    for number in range(5):
        status = await store.put("a", b"%d" % number)
        await tags.put(store.ufs, status, {"number": str(number)})
        assert file.versions(store.ufs.identity, "a") == [status.validator]
    status = await store.put("a", b"untagged")
    await tags.put(store.ufs, status, {})
    assert file.versions(store.ufs.identity, "a") == []
    await tags.put(store.ufs, status, {"a": "b"})
    await store.delete("a")
    await tags.put(store.ufs, status, {})
    assert file.versions(store.ufs.identity, "a") == []
    with pytest.raises(NoSuchPath):
        await tags.put(store.ufs, status, {"a": "b"})
    assert file.versions(store.ufs.identity, "a") == []
    file.close()
    await tags.close()


@pytest_twisted.ensureDeferred
async def test_overwritten_while_tags_are_put(tmp_path, threads):
    """A version that is replaced between the row and the look at the object loses its tags; the next keeps its own."""
    memory = MemoryUnderFileSystem(Clock(), buckets=False)
    tags = EmbeddedTagStore(str(tmp_path / "tags.db"), threads)

    @implementer(IIdentified)
    class Racing:
        """A store in which an object is replaced, with tags, just before it is looked at."""

        identity = memory.identity
        raced = False

        async def status(self, path):
            if not self.raced:
                self.raced = True
                writer = await memory.create(path, Attributes(), None)
                await tags.put(memory, await writer.commit(Attributes(), ALWAYS), {"version": "new"})
            return await memory.status(path)

    writer = await memory.create("a", Attributes(), None)
    old = await writer.commit(Attributes(), ALWAYS)
    await tags.put(Racing(), old, {"version": "old"})
    assert await tags.get(memory, await memory.status("a")) == {"version": "new"}
    await tags.close()


PROGRAM = """
import sys
from alluxio_s3.tags.embedded import TagFile
path, name = sys.argv[1:]
file = TagFile(path)
for number in range(40):
    file.keep("store", f"{name}/{number}", "v", {"name": name})
    file.keep("store", "shared", "v", {"a": name, "b": name})
    tags = file.find("store", "shared", "v")
    assert tags["a"] == tags["b"], tags
file.close()
"""


def test_several_processes(tmp_path):
    """Processes that share the file lose nothing, and read whole tags only."""
    path = str(tmp_path / "tags.db")
    workers = [subprocess.Popen([sys.executable, "-c", PROGRAM, path, f"p{number}"]) for number in range(4)]
    assert [worker.wait() for worker in workers] == [0, 0, 0, 0]
    file = TagFile(path)
    for worker in range(4):
        for number in range(40):
            assert file.find("store", f"p{worker}/{number}", "v") == {"name": f"p{worker}"}
    file.close()


def test_a_process_that_makes_the_file_meanwhile(tmp_path):
    """Who opens a new file while another process is making it waits for that, where SQLite would refuse at once."""
    path = str(tmp_path / "tags.db")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        other.execute("COMMIT")

    file = TagFile(path, pause)
    file.keep("store", "a", "v", {"a": "b"})
    assert file.find("store", "a", "v") == {"a": "b"}
    assert len(pauses) == 1
    file.close()
    other.close()


@pytest_twisted.ensureDeferred
async def test_many_threads(tmp_path, threads, store):
    """Many requests at once share the file."""
    tags = EmbeddedTagStore(str(tmp_path / "tags.db"), threads)
    statuses = [await store.put(f"key-{number}", b"1") for number in range(40)]
    await together(*(tags.put(store.ufs, status, {"path": status.path}) for status in statuses))
    found = await together(*(tags.get(store.ufs, status) for status in statuses))
    assert found == [{"path": status.path} for status in statuses]
    await tags.close()


@pytest_twisted.ensureDeferred
async def test_a_broken_file(tmp_path, threads, store):
    """A file that is no database is Unavailable, not an internal error; it is left as it is."""
    path = tmp_path / "tags.db"
    path.write_bytes(b"not a database, but something of the operator's" * 100)
    tags = EmbeddedTagStore(str(path), threads)
    with pytest.raises(Unavailable, match=str(path)):
        await tags.get(store.ufs, await store.put("a", b"1"))
    await tags.close()
    assert path.read_bytes() == b"not a database, but something of the operator's" * 100


@pytest_twisted.ensureDeferred
async def test_a_store_that_cannot_be_told(tmp_path, threads, store):
    """Tags of an under-store that does not say which it is are not kept for any store."""

    @define
    class Anonymous:
        """Any store."""

    tags = EmbeddedTagStore(str(tmp_path / "tags.db"), threads)
    status = await store.put("a", b"1")
    with pytest.raises(Unsupported):
        await tags.put(Anonymous(), status, {"a": "b"})
    await tags.close()


def test_factory(tmp_path, threads):
    """The factory needs a path whose directory is there, and names the property if it has none."""
    verifyClass(IPluginFactory, EmbeddedFactory)
    assert not EmbeddedFactory().build({"path": str(tmp_path / "tags.db")}, reactor, threads).travels
    with pytest.raises(ValueError, match=r"alluxio\.worker\.s3\.tag\.store\.path"):
        EmbeddedFactory().build({}, reactor, threads)
    with pytest.raises(ValueError, match="directory"):
        EmbeddedFactory().build({"path": str(tmp_path / "nowhere" / "tags.db")}, reactor, threads)


def test_read_only_file(tmp_path):
    """A database that cannot be written is ReadOnly, and can still be read."""
    path = str(tmp_path / "tags.db")
    file = TagFile(path)
    file.keep("store", "a", "v", {"a": "b"})
    file._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(ReadOnly):
        file.keep("store", "a", "v", {"a": "c"})
    assert file.find("store", "a", "v") == {"a": "b"}
    file.close()
    assert sqlite3.connect(path).execute("PRAGMA journal_mode").fetchone() == ("wal",)

"""The under-store in a local directory as the daemon uses it: readers, writers, requests that are given up, the plugin."""

from __future__ import annotations

import os
import random
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from alluxio_s3.interfaces import IAttributeUpdater, IBucketContainer, IIdentified, IObjectReader, IPluginFactory, IUnderFileSystem
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes, NoSuchPath, ObjectChanged, PathConflict, Unavailable, Unsupported
from alluxio_s3.ufs.local.descriptor import Descriptor, acquire
from alluxio_s3.ufs.local.filesystem import LocalFactory, LocalUnderFileSystem


@pytest_twisted.async_yield_fixture
async def ufs(tmp_path, threads):
    (tmp_path / "root").mkdir()
    store = LocalUnderFileSystem(str(tmp_path / "root"), threads, buckets=False)
    yield store
    await store.close()


async def put(ufs, path, *pieces, length=None, attributes=Attributes()):  # noqa: B008 it is frozen
    writer = await ufs.create(path, attributes, length)
    try:
        for piece in pieces:
            await writer.write(piece)
        return await writer.commit(attributes, ALWAYS)
    finally:
        await writer.abort()


async def content(reader, offset=0, count=None):
    return b"".join([piece async for piece in reader.read(offset, reader.status.size - offset if count is None else count)])


def open_files():
    """The descriptors that are open on regular files, as paths."""
    found = []
    for one in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(one.readlink()))
    return sorted(name for name in found if name.startswith("/tmp/"))


@pytest_twisted.ensureDeferred
async def test_pieces(ufs):
    """A read gives every byte in its place, in pieces of at most half a MiB."""
    data = random.Random(1).randbytes(2_000_001)
    await put(ufs, "a", data[:1_000_000], data[1_000_000:], length=len(data))
    reader = await ufs.open("a")
    pieces = [piece async for piece in reader.read(3, len(data) - 3)]
    assert b"".join(pieces) == data[3:]
    assert max(map(len, pieces)) <= 512 << 10
    await reader.close()


@pytest.mark.parametrize("change", ["shrink", "grow", "overwrite", "shrink and grow"])
@pytest_twisted.ensureDeferred
async def test_a_file_that_changes_under_a_reader(ufs, tmp_path, change):
    """When another program changes the file in place the reader says so before it hands out a byte of the other version."""
    data = bytes(3 << 20)
    await put(ufs, "a", data)
    reader = await ufs.open("a")
    pieces = reader.read(0, len(data))
    assert await anext(pieces) == data[: 512 << 10]
    with (tmp_path / "root/a").open("r+b") as file:
        if change == "overwrite":
            file.write(b"x" * len(data))
        elif change == "grow":
            file.seek(0, os.SEEK_END)
            file.write(b"x")
        else:
            file.truncate(1 << 20)
            if change != "shrink":
                file.truncate(len(data))
    with pytest.raises(ObjectChanged):
        await anext(pieces)
    await reader.close()


@pytest_twisted.ensureDeferred
async def test_beyond_the_end(ufs):
    """Bytes that are not there are ObjectChanged, never fewer."""
    await put(ufs, "a", b"12345")
    reader = await ufs.open("a")
    for offset, count in ((0, 6), (5, 1), (9, 1)):
        with pytest.raises(ObjectChanged):
            await content(reader, offset, count)
    assert await content(reader, 2, 3) == b"345"
    await reader.close()


@pytest_twisted.ensureDeferred
async def test_tags_do_not_disturb_readers(ufs):
    """Tags can be changed while the object is read, and its validator stays."""
    await put(ufs, "a", b"12345", attributes=Attributes(etag="e"))
    reader = await ufs.open("a")
    await ufs.set_tags("a", {"a": "b"})
    assert await content(reader) == b"12345"
    assert (await ufs.status("a")).validator == reader.status.validator
    await reader.close()


@pytest_twisted.ensureDeferred
async def test_a_length_that_was_not_kept(ufs):
    """A write of fewer or more bytes than were announced is never published."""
    for length in (4, 6, 5 << 20):
        with pytest.raises(Unavailable):
            await put(ufs, "a", b"12345", length=length)
        with pytest.raises(NoSuchPath):
            await ufs.status("a")


@pytest_twisted.ensureDeferred
async def test_reserved_room_is_not_size(ufs, tmp_path):
    """Room that was reserved for a known length does not show in what was written."""
    data = random.Random(2).randbytes(2 << 20)
    await put(ufs, "a", data, length=len(data))
    assert (tmp_path / "root/a").read_bytes() == data


@pytest_twisted.ensureDeferred
async def test_copying_a_range(ufs, tmp_path):
    """A range of an open object is taken by the kernel, at the end of what was written; so is one of any open file."""
    data = random.Random(3).randbytes(3_000_000)
    await put(ufs, "source", data)
    reader = await ufs.open("source")
    writer = await ufs.create("copy", Attributes(), 2_000_006)
    await writer.write(b"abc")
    assert await writer.copy_from(reader, 500_000, 2_000_000)
    await writer.write(b"xyz")
    await writer.commit(Attributes(), ALWAYS)
    assert (tmp_path / "root/copy").read_bytes() == b"abc" + data[500_000:2_500_000] + b"xyz"
    await reader.close()


@pytest_twisted.ensureDeferred
async def test_copying_what_changed(ufs, tmp_path):
    """Bytes of a source that changed since it was opened are refused, as are those beyond its end."""
    await put(ufs, "source", b"12345")
    for change in (False, True):
        reader = await ufs.open("source")
        writer = await ufs.create("copy", Attributes(), None)
        if change:
            (tmp_path / "root/source").write_bytes(b"54321")
        with pytest.raises(ObjectChanged):
            await writer.copy_from(reader, 0, 5 if change else 6)
        await writer.abort()
        await reader.close()


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_copied(ufs, threads):
    """A range that the kernel cannot take is refused with nothing written: readers without a file, files of another kind."""
    other = LocalUnderFileSystem("/proc/self", threads, buckets=False)
    reader = await other.open("status")
    writer = await ufs.create("copy", Attributes(), None)
    assert not await writer.copy_from(reader, 0, 5)
    assert not await writer.copy_from(object(), 0, 5)
    await writer.write(b"by hand")
    await writer.commit(Attributes(), ALWAYS)
    assert (await ufs.status("copy")).size == 7
    await reader.close()
    await other.close()


@pytest_twisted.ensureDeferred
async def test_folders_hold_no_bytes(ufs):
    """A folder takes no bytes and gives none."""
    with pytest.raises(Unsupported, match="must be empty"):
        await put(ufs, "dir/", b"1")
    with pytest.raises(NoSuchPath):
        await ufs.status("dir/")
    await put(ufs, "dir/", b"")
    with pytest.raises(PathConflict):
        await ufs.open("dir/")


@pytest_twisted.ensureDeferred
async def test_an_ended_writer(ufs):
    """After commit or abort a writer takes nothing more, and what it published stays."""
    writer = await ufs.create("a", Attributes(), None)
    await writer.write(b"1")
    await writer.commit(Attributes(), ALWAYS)
    with pytest.raises(Unavailable):
        await writer.write(b"2")
    with pytest.raises(Unavailable):
        await writer.commit(Attributes(), ALWAYS)
    await writer.abort()
    assert (await ufs.status("a")).size == 1


@pytest_twisted.ensureDeferred
async def test_what_a_thread_made_for_nobody(threads):
    """What was opened for a request that was given up meanwhile is given back."""
    begun, go_on, disposed = Event(), Event(), Event()

    def make():
        begun.set()
        go_on.wait()
        return "thing"

    waiting = ensureDeferred(acquire(threads, make, lambda thing: disposed.set()))
    begun.wait()
    waiting.cancel()
    go_on.set()
    with pytest.raises(CancelledError):
        await waiting
    await threads.run(disposed.wait)
    assert disposed.is_set()


@pytest_twisted.ensureDeferred
async def test_requests_that_are_given_up_leave_nothing(ufs, threads):
    """However many requests are cancelled while their files are opened, no descriptor and no temporary file is left."""
    await put(ufs, "a", b"12345")
    here = ufs.tree.root.path
    before = [name for name in open_files() if name.startswith(here)]
    for _ in range(50):
        for work in (ufs.open("a"), ufs.create("b", Attributes(), 5)):
            deferred = ensureDeferred(work)
            deferred.cancel()
            with suppress(CancelledError):  # a file that is open already is there at once
                made = await deferred
                await (made.close() if IObjectReader.providedBy(made) else made.abort())
    ufs._files.clear()
    for _ in range(100_000):  # until the threads have come to their ends
        if [name for name in open_files() if name.startswith(here)] == before:
            break
        await threads.run(int)
    assert [name for name in open_files() if name.startswith(here)] == before
    assert [name for name in os.listdir(ufs.tree.root.path + "/.alluxio-s3/tmp") if not name.endswith(".run")] == []  # noqa: PTH208


def test_a_descriptor_is_closed_when_nobody_holds_it(tmp_path):
    """A descriptor that is closed while it is used stays open, and its number its own, until it is let go."""
    (tmp_path / "a").write_bytes(b"1")
    descriptor = Descriptor(os.open(tmp_path / "a", os.O_RDONLY))
    with descriptor.held() as number:
        descriptor.close()
        assert os.pread(number, 1, 0) == b"1"
        with pytest.raises(ValueError, match="closed"), descriptor.held():
            pass
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    descriptor.close()


@pytest_twisted.ensureDeferred
async def test_the_plugin(tmp_path, threads):
    """The factory builds what its options say, and says what is wrong with them."""
    factory = LocalFactory()
    verifyObject(IPluginFactory, factory)
    (tmp_path / "root/b").mkdir(parents=True)
    root = str(tmp_path / "root")
    ufs = factory.build({"uri": f"file://{root}", "buckets": "true", "xattrs": "false", "durability": "rename"}, Clock(), threads)
    for interface in (IUnderFileSystem, IBucketContainer, IAttributeUpdater, IIdentified):
        verifyObject(interface, ufs)
    assert [status.path for status in await ufs.buckets()] == ["b/"]
    assert ufs.identity == f"file://{root}"
    await ufs.close()
    for options, message in (
        ({}, "absolute path"),
        ({"root": "relative"}, "absolute path"),
        ({"root": f"{root}/missing"}, "No such file"),
        ({"root": "/etc/hostname"}, "Not a directory"),
        ({"root": root, "buckets": "yes"}, "true or false"),
        ({"root": root, "durability": "most"}, "full, data, rename"),
        ({"root": root, "speed": "high"}, "speed"),
    ):
        with pytest.raises(ValueError, match=message):
            factory.build(options, Clock(), threads)


class Timed(Clock):
    """The time is the test's, all else the reactor's: threads answer in its thread."""

    def callFromThread(self, call, *given, **named):  # Twisted's name
        reactor.callFromThread(call, *given, **named)


@pytest_twisted.ensureDeferred
async def test_directories_become_durable_by_the_clock(tmp_path, threads):
    """With durability ``data`` the directories that changed are flushed within a second of the clock."""
    clock = Timed()
    ufs = LocalFactory().build({"root": str(tmp_path), "durability": "data"}, clock, threads)
    await put(ufs, "a/b", b"1")
    changed = str(tmp_path / "a")
    assert changed in open_files()
    clock.advance(1)
    for _ in range(100_000):  # until a thread has come to it
        if changed not in open_files():
            break
        await threads.run(int)
    assert changed not in open_files()
    await ufs.close()
    assert not [name for name in open_files() if name.startswith(str(tmp_path))]


@pytest_twisted.ensureDeferred
async def test_one_bucket_has_no_buckets(ufs):
    """A directory that is one bucket says so when it is asked for buckets."""
    for work in (ufs.buckets(), ufs.bucket("a"), ufs.create_bucket("a", Attributes()), ufs.delete_bucket("a")):
        with pytest.raises(Unsupported):
            await work

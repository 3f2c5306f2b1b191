"""Multipart uploads of the local directory: what only they promise, beyond the contract."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

import pytest
import pytest_twisted
from attrs import define, evolve
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, ensureDeferred

from alluxio_s3.interfaces import IMultipartUploads
from alluxio_s3.s3.conditions import ALWAYS, WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes, NoSuchUpload, Part, Unavailable, Unsupported, Upload
from alluxio_s3.testing.ufs_contract import UploadContract
from alluxio_s3.testing.workbench import Workbench, outcome_of, together
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local import uploads as uploads_room
from alluxio_s3.ufs.local.filesystem import LocalUnderFileSystem
from alluxio_s3.ufs.local.tree import Tree
from alluxio_s3.ufs.local.uploads import LocalUploads

DAY_NS = 86_400 * 10**9
MIB = 1 << 20


@define
class Bench:
    """A local store with its uploads, and a look behind them."""

    root: Path
    store: Workbench
    uploads: LocalUploads

    async def begin(self, key="object"):
        return await self.uploads.create_upload(Upload("", key, 0))

    async def writer(self, upload, number, data, length=-1):
        """A writer of a part, its bytes written."""
        writer = await self.uploads.create_part(upload, number, len(data) if length == -1 else length)
        await writer.write(data)
        return writer

    async def part(self, upload, number, data, length=-1):
        writer = await self.writer(upload, number, data, length)
        status = await writer.commit(Attributes(etag=f"{number}-{len(data)}-{data[:1].hex()}"), ALWAYS)
        return Part(number, len(data), status.modified_ns, status.etag)

    async def complete(self, upload, parts, condition=ALWAYS, etag="done-1"):
        return await self.uploads.complete(upload, parts, Attributes(etag=etag), condition)

    def inside(self, upload, name=""):
        """A file of the upload's directory."""
        return self.root / ".alluxio-s3" / "uploads" / upload.upload_id / name

    def assembly(self, upload):
        """The inode of the assembly."""
        return self.inside(upload, "assembly").stat().st_ino

    def object(self, key="object"):
        """The inode of an object."""
        return (self.root / key).stat().st_ino

    def left_over(self):
        """All that uploads have left in the reserved directory, but for what they became."""
        reserved = self.root / ".alluxio-s3"
        return [
            str(path.relative_to(reserved))
            for name in ("tmp", "uploads", "ended")
            for path in (reserved / name).rglob("*")
            if path.suffix != ".run"
        ]


@pytest.fixture
def one_thread():
    """In it things happen in the order in which they were asked for, also those that nobody waits for any more."""
    pool = Threads(reactor, 1, "one after the other")
    pool.start()
    yield pool
    pool.stop()


@pytest.fixture
def bench(tmp_path, threads):
    ufs = LocalUnderFileSystem(str(tmp_path), threads, buckets=False, durability="rename")
    yield Bench(tmp_path, Workbench(ufs, ""), IMultipartUploads(ufs))
    ufs.tree.close()


@pytest_twisted.ensureDeferred
async def test_no_byte_is_copied(bench):
    """Parts of one size and a shorter last one become the object by a rename: it is the file that they were written into."""
    upload = await bench.begin()
    data = {number: bytes([number]) * (MIB if number < 5 else 17) for number in range(1, 6)}
    parts = [await bench.part(upload, number, data[number]) for number in (1, 4, 2, 5, 3)]
    inode = bench.assembly(upload)
    await bench.complete(upload, sorted(parts, key=lambda part: part.number))
    assert bench.object() == inode
    assert await bench.store.get("object") == b"".join(data.values())
    assert bench.left_over() == []


@pytest_twisted.ensureDeferred
async def test_parts_at_the_same_time(bench):
    """That is so, too, when all parts are sent at once."""
    upload = await bench.begin()
    first = await bench.part(upload, 1, b"\1" * 70_000)
    rest = await together(*(bench.part(upload, number, bytes([number]) * 70_000) for number in range(2, 30)))
    inode = bench.assembly(upload)
    await bench.complete(upload, [first, *rest])
    assert bench.object() == inode
    assert await bench.store.get("object") == b"".join(bytes([number]) * 70_000 for number in range(1, 30))


@pytest_twisted.ensureDeferred
async def test_what_is_elsewhere_is_copied_in(bench):
    """A part that was sent again, or whose length was not known, is copied to its place among the others."""
    upload = await bench.begin()
    parts = {number: await bench.part(upload, number, bytes([number]) * 1000) for number in (1, 2, 4)}
    parts[2] = await bench.part(upload, 2, b"again" * 200)
    parts[3] = await bench.part(upload, 3, b"x" * 1000, length=None)
    parts[5] = await bench.part(upload, 5, b"a longer last part" * 100, length=1800)
    inode = bench.assembly(upload)
    await bench.complete(upload, [parts[number] for number in sorted(parts)])
    assert bench.object() == inode
    expected = b"\1" * 1000 + b"again" * 200 + b"x" * 1000 + b"\4" * 1000 + b"a longer last part" * 100
    assert await bench.store.get("object") == expected
    assert bench.left_over() == []


@pytest_twisted.ensureDeferred
async def test_what_is_left_at_the_end_is_cut_off(bench):
    """Bytes of a part that never arrived whole don't make the object longer."""
    upload = await bench.begin()
    parts = [await bench.part(upload, number, bytes([number]) * 1000) for number in (1, 2)]
    aborted = await bench.writer(upload, 9, b"x" * 900, length=1000)
    await aborted.abort()
    inode = bench.assembly(upload)
    await bench.complete(upload, parts)
    assert bench.object() == inode
    assert await bench.store.get("object") == b"\1" * 1000 + b"\2" * 1000


@pytest_twisted.ensureDeferred
async def test_what_does_not_line_up_is_copied(bench):
    """Parts of any other sizes are put together in a file of their own."""
    for sizes in ({1: 10, 2: 1000, 3: 1000}, {1: 1000, 2: 10, 3: 1000}, {2: 1000, 3: 1000}, {1: 1000, 3: 1000}, {5: 0, 7: 0}):
        upload = await bench.begin()
        parts = [await bench.part(upload, number, bytes([number]) * size) for number, size in sizes.items()]
        await bench.complete(upload, parts)
        assert await bench.store.get("object") == b"".join(bytes([number]) * size for number, size in sizes.items())
    assert bench.left_over() == []


@pytest_twisted.ensureDeferred
async def test_where_the_kernel_does_not_copy(bench, monkeypatch):
    """On a file system without copy_file_range the bytes are copied by hand."""

    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    upload = await bench.begin()
    parts = [await bench.part(upload, number, bytes([number]) * size) for number, size in ((2, 3 * MIB + 1), (3, 5))]
    await bench.complete(upload, parts)
    assert await bench.store.get("object") == b"\2" * (3 * MIB + 1) + b"\3" * 5


@pytest_twisted.ensureDeferred
async def test_parts_that_are_left_out_stay(bench):
    """A completion that fails has not touched the parts that it left out, nor those that were to be copied."""
    await bench.store.put("object", b"old")
    upload = await bench.begin()
    parts = [await bench.part(upload, number, bytes([number]) * 1000) for number in (1, 2, 3)]
    parts[1] = await bench.part(upload, 2, b"again" * 200)
    for chosen in (parts[:1], parts[:2], parts[1:], parts):
        with pytest.raises(S3Error):
            await bench.complete(upload, chosen, WriteCondition(if_none_match=("*",)))
    assert await bench.store.get("object") == b"old"
    await bench.complete(upload, parts)
    assert await bench.store.get("object") == b"\1" * 1000 + b"again" * 200 + b"\3" * 1000


@pytest_twisted.ensureDeferred
async def test_a_writer_cannot_reach_the_object(bench):
    """Who still writes a part when the upload is completed without it can't change a byte of the object."""
    upload = await bench.begin()
    parts = [await bench.part(upload, number, bytes([number]) * 1000) for number in (1, 2)]
    late = await bench.writer(upload, 3, b"x" * 500, length=1000)
    again = await bench.writer(upload, 2, b"y" * 500, length=1000)
    await bench.complete(upload, parts)
    for writer in (late, again):
        await outcome_of(writer.write(b"z" * 500))
        assert isinstance(await outcome_of(writer.commit(Attributes(etag="late"), ALWAYS)), NoSuchUpload)
        await writer.abort()
    assert await bench.store.get("object") == b"\1" * 1000 + b"\2" * 1000
    assert bench.left_over() == []


@pytest_twisted.ensureDeferred
async def test_more_bytes_than_announced(bench):
    """A part that grows beyond its announced length is refused before it touches its neighbour."""
    upload = await bench.begin()
    parts = [await bench.part(upload, number, bytes([number]) * 1000) for number in (1, 3)]
    writer = await bench.writer(upload, 2, b"x" * 999, length=1000)
    assert isinstance(await outcome_of(writer.write(b"xx")), Unavailable)
    await writer.abort()
    short = await bench.writer(upload, 2, b"x" * 999, length=1000)
    assert isinstance(await outcome_of(short.commit(Attributes(etag="short"), ALWAYS)), Unavailable)
    parts.insert(1, await bench.part(upload, 2, b"\2" * 1000))
    await bench.complete(upload, parts)
    assert await bench.store.get("object") == b"\1" * 1000 + b"\2" * 1000 + b"\3" * 1000


@pytest_twisted.ensureDeferred
async def test_a_slot_is_free_again(tmp_path, one_thread):
    """A part whose first try was aborted or given up goes where it belongs at the second, so nothing need be copied."""
    ufs = LocalUnderFileSystem(str(tmp_path), one_thread, buckets=False, durability="rename")
    bench = Bench(tmp_path, Workbench(ufs, ""), IMultipartUploads(ufs))
    upload = await bench.begin()
    first = await bench.part(upload, 1, b"1" * 1000)
    aborted = await bench.writer(upload, 2, b"x" * 999, length=1000)
    await aborted.abort()
    given_up = ensureDeferred(bench.uploads.create_part(upload, 2, 1000))
    given_up.cancel()
    with pytest.raises(CancelledError):
        await given_up
    second = await bench.part(upload, 2, b"2" * 1000)
    assert {path.name for path in bench.inside(upload).iterdir()} == {"upload.json", "lock", "unit", "assembly", "1.json", "2.json"}
    await bench.complete(upload, [first, second])
    assert await bench.store.get("object") == b"1" * 1000 + b"2" * 1000
    await ufs.close()


@pytest_twisted.ensureDeferred
async def test_one_number_twice_at_once(bench):
    """Two who send the same part at once don't mix their bytes: who commits last is the part."""
    upload = await bench.begin()
    first = await bench.writer(upload, 1, b"a" * 600, length=1000)
    second = await bench.writer(upload, 1, b"b" * 600, length=1000)
    await first.write(b"a" * 400)
    await second.write(b"b" * 400)
    await first.commit(Attributes(etag="a"), ALWAYS)
    await second.commit(Attributes(etag="b"), ALWAYS)
    assert [part.etag for part in await bench.uploads.parts(upload)] == ["b"]
    await bench.complete(upload, [Part(1, 1000, 0, "b")])
    assert await bench.store.get("object") == b"b" * 1000


@pytest_twisted.ensureDeferred
async def test_a_retry_waits_for_the_first(bench):
    """A completion that is asked for again while it is under way gets the same answer as the first."""
    upload = await bench.begin()
    parts = [await bench.part(upload, number, bytes([number]) * size) for number, size in ((2, MIB), (3, 9 * MIB))]

    async def ask():
        try:
            found = await bench.uploads.upload("object", upload.upload_id)
            return (await bench.complete(found, parts)).etag
        except NoSuchUpload:
            return (await bench.uploads.completed("object", upload.upload_id)).etag

    assert await together(*(ask() for _ in range(4))) == ["done-1"] * 4


@pytest_twisted.ensureDeferred
async def test_folders(bench):
    """A folder cannot be uploaded in parts."""
    with pytest.raises(Unsupported):
        await bench.begin("dir/")


@pytest_twisted.ensureDeferred
async def test_ids_tell_nothing(bench):
    """Ids are long and random, and two uploads to one key have different ones."""
    ids = {(await bench.begin()).upload_id for _ in range(5)}
    assert len(ids) == 5
    assert {len(one) for one in ids} == {32}


@pytest_twisted.ensureDeferred
async def test_outcomes_are_forgotten(tmp_path, threads):
    """What an upload became is known for a day, even if the clock is set forward by another; ``expire`` removes what is older."""
    now = [time.time_ns()]
    tree = Tree.at(str(tmp_path), buckets=False, durability="rename")
    uploads = LocalUploads(tree, threads, lambda: now[0])
    upload = await uploads.create_upload(Upload("", "object", 0))
    writer = await uploads.create_part(upload, 1, 1)
    await writer.write(b"1")
    await writer.commit(Attributes(etag="a"), ALWAYS)
    attributes = Attributes(etag="b", checksums={"CRC32": "AAAAAA=="}, checksum_type="FULL_OBJECT")
    await uploads.complete(upload, [Part(1, 1, 0, "a")], attributes, ALWAYS)
    now[0] += 2 * DAY_NS
    await uploads.expire(0)
    done = await uploads.completed("object", upload.upload_id)
    assert (done.etag, done.size, dict(done.attributes.checksums)) == ("b", 1, {"CRC32": "AAAAAA=="})
    assert await uploads.completed("another", upload.upload_id) is None
    now[0] += DAY_NS
    assert await uploads.completed("object", upload.upload_id) is None
    await uploads.expire(0)
    assert list((tmp_path / ".alluxio-s3" / "completed").iterdir()) == []
    tree.close()


@pytest_twisted.ensureDeferred
async def test_expiry_goes_by_activity(bench):
    """An old upload that a part came for is not abandoned; what is left of one that never began is removed."""
    idle, busy = await bench.begin(), await bench.begin()
    for upload in (idle, busy):
        for path in (*bench.inside(upload).iterdir(), bench.inside(upload)):
            os.utime(path, (10**9, 10**9))
    await bench.part(busy, 1, b"1")
    unbegun = bench.inside(evolve(idle, upload_id="x" * 32))
    unbegun.mkdir()
    os.utime(unbegun, (10**9, 10**9))
    assert await bench.uploads.expire(time.time_ns() - 10**12) == 1
    assert [upload.upload_id for upload in await bench.uploads.uploads("")] == [busy.upload_id]
    assert not unbegun.exists()
    assert not bench.inside(idle).exists()


@pytest.mark.parametrize("durability", ["full", "data", "rename"])
@pytest_twisted.ensureDeferred
async def test_durability(tmp_path, threads, monkeypatch, durability):
    """A part is flushed before it counts, and the object before it is published, unless that is not asked for."""
    flushed = []
    fsync = os.fsync

    def watch(descriptor):
        fsync(descriptor)
        flushed.append(os.fstat(descriptor).st_ino)

    ufs = LocalUnderFileSystem(str(tmp_path), threads, buckets=False, durability=durability)
    bench = Bench(tmp_path, Workbench(ufs, ""), IMultipartUploads(ufs))
    upload = await bench.begin()
    monkeypatch.setattr(os, "fsync", watch)
    part = await bench.part(upload, 1, b"1" * 1000)
    assert (bench.assembly(upload) in flushed) == (durability != "rename")
    assert (bench.inside(upload, "1.json").stat().st_ino in flushed) == (durability != "rename")
    assert (bench.inside(upload).stat().st_ino in flushed) == (durability == "full")
    flushed.clear()
    await bench.complete(upload, [part])
    assert (bench.object() in flushed) == (durability != "rename")
    assert (tmp_path.stat().st_ino in flushed) == (durability == "full")
    await ufs.close()


@pytest_twisted.ensureDeferred
async def test_a_directory_that_cannot_be_flushed(tmp_path, threads, monkeypatch):
    """A completion is not called done, however often it is asked for, while the name of its object may not be on the disk."""
    ufs = LocalUnderFileSystem(str(tmp_path), threads, buckets=False)
    bench = Bench(tmp_path, Workbench(ufs, ""), IMultipartUploads(ufs))
    upload = await bench.begin("there/object")
    part = await bench.part(upload, 1, b"1" * 1000)
    fsync, flushed, broken = os.fsync, [], True
    (tmp_path / "there").mkdir()
    parent = (tmp_path / "there").stat().st_ino

    def fail(descriptor):
        if os.fstat(descriptor).st_ino == parent:
            if broken:
                raise OSError(errno.EIO, "Input/output error")
            flushed.append(parent)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await bench.complete(upload, [part])
        assert (tmp_path / "there" / "object").stat().st_size == 1000
        assert await bench.uploads.completed("there/object", upload.upload_id) is None
    broken = False
    with pytest.raises(NoSuchUpload):
        await bench.complete(upload, [part])
    assert (await bench.uploads.completed("there/object", upload.upload_id)).size == 1000
    assert flushed == [parent]
    await bench.uploads.expire(0)
    assert bench.left_over() == []
    await ufs.close()


class TestWithoutLocks(UploadContract):
    """A file system that has no locks keeps the contract within one process, and copies."""

    @pytest.fixture(autouse=True)
    def workshop(self, tmp_path, threads, monkeypatch):
        self.directory, self.threads = tmp_path, threads

        def refuse(*_):
            raise OSError(errno.ENOLCK, "no locks")

        monkeypatch.setattr(fcntl, "fcntl", refuse)

    async def make_ufs(self):
        return LocalUnderFileSystem(str(self.directory), self.threads, buckets=True, durability="rename")


@pytest_twisted.ensureDeferred
async def test_parts_of_an_upload_that_ends_meanwhile(bench, monkeypatch):
    """Who lists the parts while the upload ends is told that it has ended, and never that parts are missing: a second Complete would
    take the object for one that can't be made."""
    upload = await bench.begin()
    part = await bench.part(upload, 1, b"data")
    read = uploads_room.stored_parts

    def ended_in_between(directory):
        monkeypatch.setattr(uploads_room, "stored_parts", read)
        bench.uploads._complete(upload, [part], Attributes(etag="done-1"), ALWAYS)
        return read(directory)

    monkeypatch.setattr(uploads_room, "stored_parts", ended_in_between)
    with pytest.raises(NoSuchUpload):
        await bench.uploads.parts(upload)
    assert (await bench.uploads.completed(upload.path, upload.upload_id)).etag == "done-1"

"""Multipart uploads for stores that have none, staged in another store."""

from __future__ import annotations

import pytest
import pytest_twisted
from attrs import define, evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from zope.interface import implementer

from alluxio_s3.interfaces import IMultipartUploads, IUnderFileSystem
from alluxio_s3.namespace.staged_uploads import PAGE, StagedUploads
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes, NoSpace, NoSuchUpload, Part, Status, Upload
from alluxio_s3.testing.commit_contract import ABSENT, cancelled, code_of
from alluxio_s3.testing.upload_contract import UploadContract
from alluxio_s3.testing.workbench import Workbench, outcome_of, together
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local.filesystem import LocalUnderFileSystem
from alluxio_s3.ufs.memory import MemoryUnderFileSystem

DAY = 86_400


class StagedMemory(MemoryUnderFileSystem):
    """A store in memory whose uploads are staged."""

    def __init__(self, clock, staging):
        super().__init__(clock)
        self.staged = StagedUploads(self, staging, clock)

    def __conform__(self, interface):
        return self.staged if interface is IMultipartUploads else None


class StagedLocal(LocalUnderFileSystem):
    """A directory whose uploads are staged."""

    def __init__(self, root, threads, staging):
        super().__init__(root, threads, buckets=True, durability="rename")
        self.staged = StagedUploads(self, staging, reactor)

    def __conform__(self, interface):
        return self.staged if interface is IMultipartUploads else None


class TestMemoryByMemory(UploadContract):
    """Both in memory, at a time that stands still."""

    async def make_ufs(self):
        clock = Clock()
        return StagedMemory(clock, MemoryUnderFileSystem(clock, buckets=False))


class Directories:
    """Gives the suite threads and directories."""

    @pytest.fixture(autouse=True)
    def workshop(self, tmp_path):
        self.directory = tmp_path
        self.threads = Threads(reactor, 8, "staged")
        self.threads.start()
        yield
        self.threads.stop()

    def make_directory(self, name):
        (self.directory / name).mkdir()
        return str(self.directory / name)

    def make_staging(self):
        return LocalUnderFileSystem(self.make_directory("staging"), self.threads, buckets=False, durability="rename")


class TestMemoryByDirectory(Directories, UploadContract):
    """Staged as the daemon does it."""

    async def make_ufs(self):
        return StagedMemory(reactor, self.make_staging())


class TestLocalByDirectory(Directories, UploadContract):
    """Both in directories, where every step is a thread's."""

    async def make_ufs(self):
        return StagedLocal(self.make_directory("root"), self.threads, self.make_staging())


@define
class Bench:
    """Uploads staged in memory, and what is behind them."""

    clock: Clock
    target: Workbench
    staging: Workbench
    uploads: StagedUploads

    async def begin(self, key="a"):
        return await self.uploads.create_upload(Upload("", key, 0))

    async def part(self, upload, number, data):
        writer = await self.uploads.create_part(upload, number, len(data))
        await writer.write(data)
        status = await writer.commit(Attributes(etag=f"{number}-{data!r}"), ALWAYS)
        return Part(number, len(data), status.modified_ns, status.etag)

    async def complete(self, upload, parts, condition=ALWAYS):
        return await self.uploads.complete(upload, parts, Attributes(etag="whole"), condition)

    async def staged(self):
        """What lies in the staging store."""
        return [path for path, _ in await self.staging.keys(())]


def bench_on(staging, clock):
    target = MemoryUnderFileSystem(clock, buckets=False)
    return Bench(clock, Workbench(target, ""), Workbench(staging, ""), StagedUploads(target, staging, clock))


@pytest.fixture
def bench():
    clock = Clock()
    clock.advance(1_700_000_000)
    return bench_on(MemoryUnderFileSystem(clock, buckets=False), clock)


@pytest_twisted.ensureDeferred
async def test_completing_clears_the_staging_store(bench):
    """Of a completed upload nothing is left but the memory of what it became."""
    upload = await bench.begin()
    parts = [await bench.part(upload, number, b"1") for number in (1, 2, 3)]
    await bench.complete(upload, parts[:2])
    assert await bench.staged() == [f"completed/{upload.upload_id}"]


@pytest_twisted.ensureDeferred
async def test_outcomes_last_two_days(bench):
    """What an upload became is known for a day, also if the clock is set forward by one, to its own path; ``expire`` forgets it."""
    upload = await bench.begin()
    await bench.complete(upload, [await bench.part(upload, 1, b"12")])
    bench.clock.advance(2 * DAY - 1)
    done = await bench.uploads.completed("a", upload.upload_id)
    assert (done.path, done.etag, done.size) == ("a", "whole", 2)
    assert await bench.uploads.completed("b", upload.upload_id) is None
    assert await bench.uploads.expire(0) == 0
    assert await bench.staged() == [f"completed/{upload.upload_id}"]
    bench.clock.advance(2)
    assert await bench.uploads.completed("a", upload.upload_id) is None
    assert await bench.uploads.expire(0) == 0
    assert await bench.staged() == []


@pytest_twisted.ensureDeferred
async def test_a_part_keeps_its_upload(bench):
    """An upload in which a part arrived lately does not expire, however long ago it began."""
    idle, active = await bench.begin("idle"), await bench.begin("active")
    await bench.part(idle, 1, b"1")
    bench.clock.advance(7 * DAY)
    await bench.part(active, 1, b"1")
    assert await bench.uploads.expire(int((bench.clock.seconds() - DAY) * 10**9)) == 1
    assert [one.upload_id for one in await bench.uploads.uploads("")] == [active.upload_id]
    assert await bench.staged() == [f"{active.upload_id}/part-00001", f"{active.upload_id}/upload"]


@pytest_twisted.ensureDeferred
async def test_leftovers_expire(bench):
    """Parts whose upload has no record, as a crash leaves them, go with the next ``expire`` and are not counted."""
    upload = await bench.begin()
    await bench.part(upload, 1, b"1")
    await bench.staging.delete(f"{upload.upload_id}/upload")
    assert await bench.uploads.uploads("") == []
    bench.clock.advance(1)
    assert await bench.uploads.expire(int(bench.clock.seconds() * 10**9)) == 0
    assert await bench.staged() == []


@pytest_twisted.ensureDeferred
async def test_a_late_part_leaves_nothing(bench):
    """A part that is committed after its upload ended is NoSuchUpload, and does not stay in the staging store."""
    upload = await bench.begin()
    first = await bench.part(upload, 1, b"1")
    late = await bench.uploads.create_part(upload, 2, 1)
    await late.write(b"2")
    await bench.complete(upload, [first])
    assert isinstance(await outcome_of(late.commit(Attributes(), ALWAYS)), NoSuchUpload)
    assert await bench.staged() == [f"completed/{upload.upload_id}"]


@pytest_twisted.ensureDeferred
async def test_replaced_parts(bench):
    """A part that was replaced is InvalidPart under its old ETag, nothing is published, and the new one can be completed with."""
    await bench.target.put("a", b"old")
    upload = await bench.begin()
    old = await bench.part(upload, 1, b"1")
    new = await bench.part(upload, 1, b"new")
    assert code_of(await outcome_of(bench.complete(upload, [old]))) == "InvalidPart"
    assert await bench.target.get("a") == b"old"
    await bench.complete(upload, [new])
    assert await bench.target.get("a") == b"new"


@pytest_twisted.ensureDeferred
async def test_a_failed_condition_keeps_the_upload(bench):
    """When the condition fails the upload stays with its parts, and completes when it holds."""
    await bench.target.put("a", b"old")
    upload = await bench.begin()
    part = await bench.part(upload, 1, b"1")
    for _ in range(2):
        assert code_of(await outcome_of(bench.complete(upload, [part], ABSENT))) == "PreconditionFailed"
    assert await bench.uploads.completed("a", upload.upload_id) is None
    await bench.target.delete("a")
    assert (await bench.complete(upload, [part], ABSENT)).etag == "whole"


@pytest.mark.parametrize(
    "upload_id", ["", ".", "..", "../completed", "a/b", "completed", "x" * 22, "x" * 5000, "é" * 22, "x" * 21 + "\n", "\0"]
)
@pytest_twisted.ensureDeferred
async def test_unknown_ids(bench, upload_id):
    """Whatever an id looks like, if there is no upload of it every verb says NoSuchUpload, and ``completed`` None."""
    upload = Upload(upload_id, "a", 0)
    uploads = bench.uploads
    part = Part(1, 1, 0, "x")
    for work in (
        uploads.upload("a", upload_id),
        uploads.create_part(upload, 1, 1),
        uploads.parts(upload),
        uploads.complete(upload, [part], Attributes(), ALWAYS),
        uploads.abort(upload),
    ):
        assert isinstance(await outcome_of(work), NoSuchUpload)
    assert await uploads.completed("a", upload_id) is None


@pytest_twisted.ensureDeferred
async def test_the_outcome_is_no_upload(bench):
    """The id of a completed upload is that of no upload in progress, though its memory lies in the same store."""
    upload = await bench.begin()
    await bench.complete(upload, [await bench.part(upload, 1, b"1")])
    assert isinstance(await outcome_of(bench.uploads.upload("a", upload.upload_id)), NoSuchUpload)
    assert await bench.uploads.uploads("") == []


@pytest_twisted.ensureDeferred
async def test_many_uploads(bench):
    """More uploads than a page of the staging store are all listed, and all expire."""
    begun = [await bench.begin(f"{number:05}") for number in range(PAGE + 5)]
    assert [one.upload_id for one in await bench.uploads.uploads("")] == [one.upload_id for one in begun]
    bench.clock.advance(1)
    assert await bench.uploads.expire(int(bench.clock.seconds() * 10**9)) == PAGE + 5
    assert await bench.staged() == []


@implementer(IUnderFileSystem)
class Moody(MemoryUnderFileSystem):
    """A store in memory that waits, or is full, when told to."""

    full = False
    waiting: Deferred[None] | None = None

    async def create(self, path, attributes, length):
        if self.full:
            raise NoSpace(path)
        return await super().create(path, attributes, length)

    async def open(self, path):
        if self.waiting is not None:
            await self.waiting
        return await super().open(path)


@pytest.fixture
def moody():
    clock = Clock()
    return bench_on(Moody(clock, buckets=False), clock)


@pytest_twisted.ensureDeferred
async def test_completing_twice_at_once(moody):
    """A Complete that comes while another works waits for it, then finds what the upload became."""
    upload = await moody.begin()
    part = await moody.part(upload, 1, b"1")
    gate = moody.staging.ufs.waiting = Deferred()
    first, second = (ensureDeferred(outcome_of(moody.complete(upload, [part]))) for _ in range(2))
    assert not first.called
    assert not second.called
    moody.staging.ufs.waiting = None
    gate.callback(None)
    assert isinstance(await first, Status)
    assert isinstance(await second, NoSuchUpload)
    assert (await moody.uploads.completed("a", upload.upload_id)).etag == "whole"


@pytest_twisted.ensureDeferred
async def test_the_second_has_its_chance(moody):
    """A Complete that waited for one that failed is not told that the upload is gone."""
    await moody.target.put("a", b"old")
    upload = await moody.begin()
    part = await moody.part(upload, 1, b"1")
    results = await together(outcome_of(moody.complete(upload, [part], ABSENT)), outcome_of(moody.complete(upload, [part])))
    assert [code_of(result) for result in results] == ["PreconditionFailed", "Status"]


@pytest_twisted.ensureDeferred
async def test_giving_up_a_complete(moody):
    """A Complete that is cancelled leaves the upload to be completed again, and nobody waits for it."""
    upload = await moody.begin()
    part = await moody.part(upload, 1, b"1")
    moody.staging.ufs.waiting = Deferred()
    await cancelled(moody.complete(upload, [part]))
    moody.staging.ufs.waiting = None
    assert not await moody.target.exists("a")
    await moody.complete(upload, [part])
    assert await moody.target.get("a") == b"1"


@pytest_twisted.ensureDeferred
async def test_no_room_to_remember(moody):
    """When the staging store is full the object is published all the same, and Complete can be asked again."""
    upload = await moody.begin()
    part = await moody.part(upload, 1, b"1")
    moody.staging.ufs.full = True
    for _ in range(2):
        assert (await moody.complete(upload, [part])).etag == "whole"
    assert await moody.target.get("a") == b"1"


@pytest_twisted.ensureDeferred
async def test_records_are_whole(bench):
    """An upload is found again with all that it was begun with."""
    attributes = Attributes("text/plain", {"expires": "0"}, {"a": "é"}, {"t": "1"}, None, {}, None, (1, 2), "alice")
    asked = Upload("", "dir/é", 0, attributes, owner="alice", checksum_algorithm="CRC32", checksum_type="COMPOSITE")
    upload = await bench.uploads.create_upload(asked)
    assert evolve(upload, upload_id="", initiated_ns=0) == asked
    assert await bench.uploads.upload("dir/é", upload.upload_id) == upload
    assert isinstance(await outcome_of(bench.uploads.upload("dir/e", upload.upload_id)), NoSuchUpload)


@pytest_twisted.ensureDeferred
async def test_missing_parts(bench):
    """A part that never came is InvalidPart."""
    upload = await bench.begin()
    result = await outcome_of(bench.complete(upload, [Part(1, 1, 0, "x")]))
    assert isinstance(result, S3Error)
    assert result.details == {"PartNumber": "1", "ETag": "x"}

"""Under-stores in front of another: read-only, rate-limited, undeleting."""

from __future__ import annotations

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from alluxio_s3.forwarding import ForwardingUnderFileSystem
from alluxio_s3.interfaces import (
    IAttributeUpdater,
    IBucketContainer,
    IEagerReading,
    IFileBacked,
    IHotObjects,
    IIdentified,
    IMultipartUploads,
    IRangeCopier,
    ISpanReader,
    IUnderFileSystem,
)
from alluxio_s3.ops.metrics import Metrics
from alluxio_s3.s3.conditions import ALWAYS, WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes, NoSuchPath, NoSuchUpload, ReadOnly, Unsupported, Upload
from alluxio_s3.testing.ufs_contract import UfsContract
from alluxio_s3.testing.workbench import NO_ATTRIBUTES, Workbench, outcome_of, read
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local.filesystem import LocalUnderFileSystem
from alluxio_s3.ufs.memory import MemoryUnderFileSystem
from alluxio_s3.ufs.metered import metered
from alluxio_s3.ufs.rate_limited import BURST_SECONDS, Allowance, RateLimitedUnderFileSystem
from alluxio_s3.ufs.read_only import ReadOnlyUnderFileSystem
from alluxio_s3.ufs.undeleting import UndeletingUnderFileSystem

GENEROUS = 1 << 40
OPTIONAL = (IAttributeUpdater, IBucketContainer, IIdentified, IMultipartUploads)


def limited(ufs, rate=GENEROUS, clock=None):
    return RateLimitedUnderFileSystem(ufs, allowance=Allowance(rate, clock or Clock()))


@implementer(IEagerReading)
class Eager(ForwardingUnderFileSystem):
    """A store that notes what will be read."""

    announced = ()

    async def open_reading(self, path, offset, count):
        self.announced += ((path, offset, count),)
        return await self.open(path)


def counted(ufs):
    return metered(ufs, Metrics(), "/", Clock())


class WithoutAnything(MemoryUnderFileSystem):
    """A store without uploads."""

    def __conform__(self, interface):
        return None


class TestForwarding(UfsContract):
    """A front that changes nothing is as good as what is behind it, mounted at the root."""

    async def make_ufs(self):
        return ForwardingUnderFileSystem(MemoryUnderFileSystem(Clock()))


class TestRateLimited(UfsContract):
    """So is one with a limit that nobody reaches."""

    async def make_ufs(self):
        return limited(MemoryUnderFileSystem(Clock()))


class TestRateLimitedMount(UfsContract):
    """As one bucket, too."""

    async def make_ufs(self):
        return limited(MemoryUnderFileSystem(Clock(), buckets=False))

    async def make_place(self, ufs):
        return ""


@pytest.mark.parametrize("front", [ForwardingUnderFileSystem, ReadOnlyUnderFileSystem, UndeletingUnderFileSystem, limited])
def test_what_a_front_offers(front):
    """A front is itself an under-store, and offers, always as the same object, those optional interfaces that the store behind it has."""
    ufs = front(MemoryUnderFileSystem(Clock()))
    verifyObject(IUnderFileSystem, ufs)
    assert IUnderFileSystem(ufs) is ufs
    for interface in OPTIONAL:
        verifyObject(interface, interface(ufs))
        assert interface(ufs) is interface(ufs)
    assert IIdentified(ufs).identity == ufs.ufs.identity
    assert ISpanReader(ufs, None) is None
    both = front(front(MemoryUnderFileSystem(Clock())))
    assert all(interface(both, None) is not None for interface in OPTIONAL)


def test_what_passes_in_front_of_a_local_directory(tmp_path):
    """Files of a read-only directory are served as fast as without it; a rate limit is not gone round."""
    ufs = LocalUnderFileSystem(str(tmp_path), Threads(reactor, 1, "front"), buckets=False)
    assert IHotObjects(ReadOnlyUnderFileSystem(ufs)) is ufs
    assert IHotObjects(ReadOnlyUnderFileSystem(limited(ufs)), None) is None


@pytest_twisted.ensureDeferred
async def test_read_only():
    """Nothing can be written, deleted, tagged, uploaded or made; all can be read."""
    behind = MemoryUnderFileSystem(Clock())
    bench = Workbench(behind, "b/")
    await behind.create_bucket("b", Attributes(owner="alice"))
    status = await bench.put("k", b"bytes")
    upload = await IMultipartUploads(behind).create_upload(Upload("", "b/k", 0))
    ufs = ReadOnlyUnderFileSystem(behind)
    uploads, buckets = IMultipartUploads(ufs), IBucketContainer(ufs)
    for refused in (
        ufs.create("b/new", Attributes(), 1),
        ufs.delete("b/k", ALWAYS),
        ufs.delete("b/none", ALWAYS),
        IAttributeUpdater(ufs).set_tags("b/k", {"a": "1"}),
        uploads.create_upload(upload),
        uploads.create_part(upload, 1, 1),
        uploads.complete(upload, [], NO_ATTRIBUTES, ALWAYS),
        buckets.create_bucket("new", Attributes()),
        buckets.delete_bucket("b"),
    ):
        assert isinstance(await outcome_of(refused), ReadOnly)
    for unknown in (uploads.upload("b/k", upload.upload_id), uploads.parts(upload), uploads.abort(upload)):
        assert isinstance(await outcome_of(unknown), NoSuchUpload)
    assert list(await uploads.uploads("")) == []
    assert await uploads.completed("b/k", upload.upload_id) is None
    assert await uploads.expire(2**62) == 0
    assert await Workbench(ufs, "b/").get("k") == b"bytes"
    assert await ufs.status("b/k") == status
    assert [one.path for one in await buckets.buckets()] == ["b/"]
    assert await buckets.bucket("b") == await behind.status("b/")
    assert [one.path for one in (await ufs.list("b/", "", 10, "")).entries] == ["b/", "b/k"]


def test_uploads_to_a_read_only_store_are_refused_at_once():
    """A store without uploads of its own gets none staged when it is read-only: the first request is refused, not the last."""
    ufs = ReadOnlyUnderFileSystem(WithoutAnything(Clock()))
    assert IMultipartUploads(ufs, None) is not None


@pytest_twisted.ensureDeferred
async def test_undeleting():
    """A delete succeeds if its condition holds, and the object stays; writes go through, and buckets are not deleted."""
    behind = MemoryUnderFileSystem(Clock())
    ufs = UndeletingUnderFileSystem(behind)
    await IBucketContainer(ufs).create_bucket("b", Attributes())
    bench = Workbench(ufs, "b/")
    status = await bench.put("k", b"bytes")
    await ufs.delete("b/k", ALWAYS)
    await ufs.delete("b/none", ALWAYS)
    await ufs.delete("b/k", WriteCondition(if_match=(status.etag,)))
    assert isinstance(await outcome_of(ufs.delete("b/k", WriteCondition(if_match=("other",)))), S3Error)
    assert isinstance(await outcome_of(ufs.delete("b/none", WriteCondition(if_match=("other",)))), S3Error | NoSuchPath)
    assert await bench.get("k") == b"bytes"
    assert isinstance(await outcome_of(IBucketContainer(ufs).delete_bucket("b")), Unsupported)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 4 << 20)), max_size=30))
def test_an_allowance_is_kept(takes):
    """In any stretch of time no more goes than the rate allows, but for one burst and the last piece; and nothing waits without need."""
    rate, clock = 1 << 20, Clock()
    allowance, gone = Allowance(rate, clock), []
    asked = 0.0
    for pause, count in takes:
        asked += pause
        clock.advance(max(asked - clock.seconds(), 0))
        taken = Deferred.fromCoroutine(allowance.take(count))
        if not taken.called:
            (waiting,) = clock.getDelayedCalls()
            clock.advance(waiting.getTime() - clock.seconds())
        assert taken.called
        gone.append((clock.seconds(), count))
    for first in range(len(gone)):
        for last in range(first, len(gone)):
            moved = sum(count for _, count in gone[first + 1 : last + 1])
            assert moved <= rate * (gone[last][0] - gone[first][0] + BURST_SECONDS + 1e-6)


def test_who_gives_up_takes_nothing():
    """A wait that is cancelled leaves its bytes to the others."""
    clock = Clock()
    allowance = Allowance(100, clock)
    first, second = (Deferred.fromCoroutine(allowance.take(count)) for count in (1000, 5000))
    second.addErrback(lambda reason: reason.trap(CancelledError))
    second.cancel()
    third = Deferred.fromCoroutine(allowance.take(1000))
    clock.advance(10)
    assert first.called
    assert not third.called
    clock.advance(10)
    assert third.called


@pytest_twisted.ensureDeferred
async def test_what_is_counted():
    """Bytes read, written and sent as parts are counted; a copy that the store does by itself goes on, and its bytes are not."""
    clock = Clock()
    behind = MemoryUnderFileSystem(clock, buckets=False)
    ufs = limited(behind, 1000, clock)
    await Workbench(behind, "").put("k", bytes(1000))

    def hurried(work):
        done = Deferred.fromCoroutine(work)
        while not done.called:
            clock.advance(0.05)
        return done

    async def seconds(work):
        before = clock.seconds()
        await hurried(work)
        return round(clock.seconds() - before)

    bench, uploads = Workbench(ufs, ""), IMultipartUploads(ufs)
    upload = await uploads.create_upload(Upload("", "k", 0))
    part = await uploads.create_part(upload, 1, None)
    clock.advance(10)
    assert await seconds(bench.get("k")) == 1
    clock.advance(10)
    assert await seconds(bench.put("new", bytes(2000))) == 2
    clock.advance(10)
    assert await seconds(part.write(bytes(3000))) == 3
    reader = await IEagerReading(limited(Eager(behind), 1000, clock)).open_reading("k", 0, None)
    clock.advance(10)
    assert await seconds(read(reader, 0, 1000)) == 1
    await reader.close()
    reader = await ufs.open("k")
    assert IFileBacked(reader, None) is None
    writer = await ufs.create("copy", Attributes(), 1000)
    clock.advance(10)
    assert await seconds(IRangeCopier(writer).copy_from(reader, 0, 1000)) == 0
    assert (await writer.commit(Attributes(), ALWAYS)).size == 1000
    await reader.close()


@pytest.mark.parametrize("front", [ForwardingUnderFileSystem, ReadOnlyUnderFileSystem, UndeletingUnderFileSystem, limited, counted])
@pytest_twisted.ensureDeferred
async def test_what_will_be_read_is_told_to_the_store(front):
    """Through every front, where the store wants to know; where it does not, no front says so."""
    behind = MemoryUnderFileSystem(Clock(), buckets=False)
    await Workbench(behind, "").put("k", b"data")
    store = Eager(behind)
    reader = await IEagerReading(front(store)).open_reading("k", 1, 2)
    assert await read(reader, 1, 2) == b"at"
    await reader.close()
    assert store.announced == (("k", 1, 2),)
    assert IEagerReading(front(behind), None) is None


@pytest_twisted.ensureDeferred
async def test_a_limit_is_not_gone_round_by_a_copy_from_another_store():
    """Only what is in the same store already is copied without being counted, whatever the other store is limited to."""
    clock = Clock()
    behind = MemoryUnderFileSystem(clock, buckets=False)
    await Workbench(behind, "").put("k", bytes(1000))
    ufs, other = limited(behind, 1000, clock), limited(behind, 1000, clock)
    writer = await ufs.create("copy", Attributes(), 1000)
    for source, alone in ((behind, False), (other, False), (ufs, True)):
        reader = await source.open("k")
        assert await IRangeCopier(writer).copy_from(reader, 0, 1000) is alone
        await reader.close()
    assert (await writer.commit(Attributes(), ALWAYS)).size == 1000

"""The under-store in memory keeps the contract, and what only it promises."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import Clock
from zope.interface.verify import verifyClass

from alluxio_s3.interfaces import IBucketContainer, IMultipartUploads, IPluginFactory, IUnderFileSystem
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes, Part, Upload
from alluxio_s3.testing.ufs_contract import UfsContract
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.memory import MemoryFactory, MemoryUnderFileSystem

DAY = 86_400


class TestMemory(UfsContract):
    """As the root, with buckets."""

    async def make_ufs(self):
        return MemoryUnderFileSystem(Clock())


class TestMemoryAsAMount(UfsContract):
    """As one bucket."""

    async def make_ufs(self):
        return MemoryUnderFileSystem(Clock(), buckets=False)

    async def make_place(self, ufs):
        return ""


@pytest_twisted.ensureDeferred
async def test_time_is_the_clocks():
    """An object's time is what the clock said at its commit."""
    clock = Clock()
    clock.advance(1_700_000_000.5)
    ufs = MemoryUnderFileSystem(clock, buckets=False)
    writer = await ufs.create("a", Attributes(), None)
    assert (await writer.commit(Attributes(), ALWAYS)).modified_ns == 1_700_000_000_500_000_000


@pytest_twisted.ensureDeferred
async def test_outcomes_last_a_day():
    """What an upload became is known for a day, and forgotten by ``expire`` after it."""
    clock = Clock()
    ufs = MemoryUnderFileSystem(clock, buckets=False)
    uploads = IMultipartUploads(ufs)
    upload = await uploads.create_upload(Upload("", "a", 0))
    writer = await uploads.create_part(upload, 1, 1)
    await writer.write(b"1")
    status = await writer.commit(Attributes(etag="x"), ALWAYS)
    await uploads.complete(upload, [Part(1, 1, 0, status.etag)], Attributes(etag="y"), ALWAYS)
    clock.advance(DAY - 1)
    assert (await uploads.completed("a", upload.upload_id)).etag == "y"
    clock.advance(2)
    assert await uploads.completed("a", upload.upload_id) is None
    assert await uploads.expire(0) == 0


def test_factory():
    """The factory builds a store from its options, and says what is wrong with others."""
    verifyClass(IPluginFactory, MemoryFactory)
    threads = Threads(reactor, 1, "unused")
    ufs = MemoryFactory().build({"buckets": "true"}, reactor, threads)
    assert IUnderFileSystem.providedBy(ufs)
    assert IBucketContainer.providedBy(ufs)
    with pytest.raises(ValueError, match="buckets"):
        MemoryFactory().build({"buckets": "maybe"}, reactor, threads)


def test_each_is_another():
    """Two stores in memory are told apart, also when one comes after the other."""
    assert MemoryUnderFileSystem(Clock()).identity != MemoryUnderFileSystem(Clock()).identity

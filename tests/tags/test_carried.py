"""Tags that the under-store keeps."""

from __future__ import annotations

import pytest
import pytest_twisted
from attrs import define
from twisted.internet import reactor
from twisted.internet.task import Clock
from zope.interface.verify import verifyClass

from alluxio_s3.interfaces import IPluginFactory
from alluxio_s3.storage import Attributes, Status, Unsupported
from alluxio_s3.tags.carried import CarriedFactory, CarriedTagStore
from alluxio_s3.testing.ufs_contract import TagStoreContract
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.memory import MemoryUnderFileSystem


class TestCarried(TagStoreContract):
    """In the attributes of a store in memory."""

    async def make_ufs(self):
        return MemoryUnderFileSystem(Clock())

    async def make_tags(self):
        return CarriedTagStore()


@define
class NoTags:
    """An under-store that has no way to change tags."""


@pytest_twisted.ensureDeferred
async def test_a_store_without_tags():
    """Where tags cannot be changed, the error names the property that helps; to remove what is not there succeeds."""
    tags = CarriedTagStore()
    status = Status("a", 1, 0, "e", "v")
    with pytest.raises(Unsupported, match=r"alluxio\.worker\.s3\.tag\.store=embedded"):
        await tags.put(NoTags(), status, {"a": "b"})
    await tags.put(NoTags(), status, {})
    tagged = Status("a", 1, 0, "e", "v", Attributes(tags={"a": "b"}))
    with pytest.raises(Unsupported):
        await tags.put(NoTags(), tagged, {})


def test_factory():
    """The factory needs no options, and takes those that other tag stores have."""
    verifyClass(IPluginFactory, CarriedFactory)
    assert CarriedFactory().build({"path": ""}, reactor, Threads(reactor, 1, "unused")).travels

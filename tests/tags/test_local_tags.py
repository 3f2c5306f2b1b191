"""Tags of a local directory's objects."""

from __future__ import annotations

import pytest
from twisted.internet import reactor

from alluxio_s3.tags.carried import CarriedTagStore
from alluxio_s3.tags.embedded import EmbeddedTagStore
from alluxio_s3.testing.ufs_contract import TagStoreContract
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local.filesystem import LocalUnderFileSystem


class Local(TagStoreContract):
    """Makes the under-store in a temporary directory."""

    @pytest.fixture(autouse=True)
    def workshop(self, tmp_path):
        self.directory = tmp_path
        (tmp_path / "root").mkdir()
        self.threads = Threads(reactor, 8, "local")
        self.threads.start()
        yield
        self.threads.stop()

    async def make_ufs(self):
        return LocalUnderFileSystem(str(self.directory / "root"), self.threads, buckets=True, durability="rename")


class TestCarried(Local):
    """With the files."""

    async def make_tags(self):
        return CarriedTagStore()


class TestEmbedded(Local):
    """In the daemon's own file."""

    async def make_tags(self):
        return EmbeddedTagStore(str(self.directory / "tags.db"), self.threads)

"""The local directory keeps the contract, however it is configured."""

from __future__ import annotations

from typing import ClassVar

import pytest
from twisted.internet import reactor

from alluxio_s3.tags.carried import CarriedTagStore
from alluxio_s3.tags.embedded import EmbeddedTagStore
from alluxio_s3.testing.ufs_contract import TagStoreContract, UfsContract
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local.filesystem import LocalUnderFileSystem


class Local:
    """Makes stores in a temporary directory, with threads of their own."""

    options: ClassVar = {}

    @pytest.fixture(autouse=True)
    def workshop(self, tmp_path):
        self.directory = tmp_path
        self.threads = Threads(reactor, 8, "local")
        self.threads.start()
        yield
        self.threads.stop()

    async def make_ufs(self):
        root = self.directory / "root"
        root.mkdir()
        return LocalUnderFileSystem(str(root), self.threads, **{"buckets": True, "durability": "rename", **self.options})


class TestLocal(Local, UfsContract):
    """With buckets, as the root."""


class TestLocalDurably(Local, UfsContract):
    """With every write flushed."""

    options: ClassVar = {"durability": "full"}


class TestLocalWithoutFolders(Local, UfsContract):
    """Listed exactly as S3 does."""

    options: ClassVar = {"folders": False}


class TestLocalWithoutXattrs(Local, UfsContract):
    """With sidecars for what else extended attributes hold."""

    options: ClassVar = {"xattrs": False}


class TestLocalAsAMount(Local, UfsContract):
    """As one bucket."""

    options: ClassVar = {"buckets": False, "folders": False}

    async def make_place(self, ufs):
        return ""


class TestTagsWithLocalObjects(Local, TagStoreContract):
    """Tags with the files."""

    async def make_tags(self):
        return CarriedTagStore()


class TestTagsBesideLocalObjects(Local, TagStoreContract):
    """Tags of a local directory in the daemon's own file."""

    async def make_tags(self):
        return EmbeddedTagStore(str(self.directory / "tags.db"), self.threads)

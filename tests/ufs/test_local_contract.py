"""The under-store in a local directory keeps the contract, on every way that it can keep its attributes."""

from __future__ import annotations

import shutil
import tempfile
from typing import ClassVar

import pytest
from twisted.internet import reactor

from alluxio_s3.testing.ufs_contract import UfsContract
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local.filesystem import LocalUnderFileSystem


class LocalContract(UfsContract):
    """In a fresh directory below ``base``."""

    base: str | None = None
    options: ClassVar = {"buckets": True}

    @pytest.fixture(autouse=True)
    def directory(self):
        self.threads = Threads(reactor, 8, "store")
        self.threads.start()
        self.root = tempfile.mkdtemp(prefix="alluxio-s3-", dir=self.base)
        yield
        self.threads.stop()
        shutil.rmtree(self.root)

    async def make_ufs(self):
        return LocalUnderFileSystem(self.root, self.threads, **self.options)

    async def make_place(self, ufs):
        return await super().make_place(ufs) if self.options["buckets"] else ""


class TestRoot(LocalContract):
    """Mounted at ``/``, on the disk."""


class TestMount(LocalContract):
    """As one bucket, with sidecars only, on the disk."""

    options: ClassVar = {"buckets": False, "xattrs": False}


class TestInMemory(LocalContract):
    """On tmpfs, where a name that is replaced may be hidden for a moment; only folders that were made are shown."""

    base = "/dev/shm"
    options: ClassVar = {"buckets": True, "folders": False, "durability": "rename"}

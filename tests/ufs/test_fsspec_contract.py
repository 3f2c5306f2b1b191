"""The under-store on fsspec keeps the contract, in memory and on a local disk."""

from __future__ import annotations

import uuid

import pytest

from tests.ufs.fsspec_contract import FsspecContract


class TestMemoryRoot(FsspecContract):
    """An object store, mounted at ``/``."""

    def place(self):
        return {"uri": f"fsspec+memory://{uuid.uuid4()}"}


class TestMemoryMount(TestMemoryRoot):
    """An object store as one bucket."""

    buckets = False


class TestFileRoot(FsspecContract):
    """A directory, mounted at ``/``."""

    @pytest.fixture(autouse=True)
    def directory(self, tmp_path):
        self.directory = tmp_path

    def place(self):
        return {"uri": f"fsspec+file://{self.directory}"}


class TestFileMount(TestFileRoot):
    """A directory as one bucket."""

    buckets = False

"""The fixture that every suite works on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alluxio_s3.interfaces import IBucketContainer, IUnderFileSystem
from alluxio_s3.storage import Attributes
from alluxio_s3.testing.in_reactor import wait_for
from alluxio_s3.testing.workbench import Workbench


class StoreFixture:
    """Gives each test a fresh store, as the argument ``store``."""

    async def make_ufs(self) -> IUnderFileSystem:
        """A store, fresh and empty. The suite closes it."""
        raise NotImplementedError("a contract suite needs make_ufs")

    async def make_place(self, ufs: IUnderFileSystem) -> str:
        """Where in the store the tests work: a bucket if it can have buckets, else its root."""
        container = IBucketContainer(ufs, None)
        if container is None:
            return ""
        await container.create_bucket("bucket", Attributes(owner="alice"))
        return "bucket/"

    @pytest.fixture
    def store(self) -> Iterator[Workbench]:
        """The store on the bench."""
        ufs = wait_for(self.make_ufs())
        try:
            yield Workbench(ufs, wait_for(self.make_place(ufs)))
        finally:
            wait_for(ufs.close())

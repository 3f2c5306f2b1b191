"""The contract of an under-store as it is installed: found by its entry point and built from options, as the daemon does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, cast

import pytest
from twisted.internet.interfaces import IReactorFromThreads

from alluxio_s3.interfaces import IUnderFileSystem
from alluxio_s3.plugins import UFS, build_plugin
from alluxio_s3.testing.ufs_contract import UfsContract
from alluxio_s3.threads import Threads


class InstalledUfsContract(UfsContract):
    """The contract of the plugin ``name``. Subclass it, and give ``name`` and ``options``."""

    name: ClassVar[str]
    buckets: ClassVar[bool] = True

    def options(self, directory: Path) -> dict[str, str]:
        """The options of a fresh and empty store; it may keep its files in ``directory``. ``buckets`` is added to them."""
        raise NotImplementedError("the contract suite of installed under-stores needs options")

    @pytest.fixture(autouse=True)
    def workshop(self, tmp_path: Path) -> Iterator[None]:
        """A directory and threads for each test."""
        self._directory = tmp_path
        self._reactor = cast(IReactorFromThreads, sys.modules["twisted.internet.reactor"])  # pytest-twisted has installed one
        self._threads = Threads(self._reactor, 8, "contract")
        self._threads.start()
        yield
        self._threads.stop()

    async def make_ufs(self) -> IUnderFileSystem:
        """The plugin, as the daemon builds it."""
        options = {"buckets": str(self.buckets).lower(), **self.options(self._directory)}
        return build_plugin(UFS, self.name, IUnderFileSystem, options, self._reactor, self._threads)

    async def make_place(self, ufs: IUnderFileSystem) -> str:
        """A bucket, if it is mounted where buckets are."""
        return await super().make_place(ufs) if self.buckets else ""

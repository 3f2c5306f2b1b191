"""The under-store in HDFS keeps the contract, against a real NameNode and DataNode, as root and as a mount, as superuser and not."""

from __future__ import annotations

import itertools

import pytest
from twisted.internet import reactor

from alluxio_s3.testing.ufs_contract import UfsContract
from alluxio_s3.ufs.webhdfs.filesystem import WebHdfsFactory

_serial = itertools.count()


class WebHdfsContract(UfsContract):
    """In a fresh directory of ``user``."""

    user = "hdfs"
    buckets = True
    scheme = "webhdfs"
    folders = True

    @pytest.fixture(autouse=True)
    def directory(self, hdfs):
        self.root = f"/contract/{next(_serial)}"
        self.port = hdfs.port
        hdfs.ask("PUT", self.root, "MKDIRS")
        hdfs.ask("PUT", self.root, "SETOWNER", owner=self.user)

    async def make_ufs(self):
        options = {
            "uri": f"{self.scheme}://127.0.0.1:{self.port}{self.root}",
            "buckets": str(self.buckets).lower(),
            "user": self.user,
            "folders": str(self.folders).lower(),
            "http.port": str(self.port),
        }
        return WebHdfsFactory().build(options, reactor, None)

    async def make_place(self, ufs):
        return await super().make_place(ufs) if self.buckets else ""


@pytest.mark.servers
class TestRoot(WebHdfsContract):
    """Mounted at ``/``."""


@pytest.mark.servers
class TestMount(WebHdfsContract):
    """As one bucket, by a user who is not the superuser, with a URI of Hadoop's own protocol; only folders that were made are shown."""

    user = "alice"
    buckets = False
    scheme = "hdfs"
    folders = False

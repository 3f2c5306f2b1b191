"""The under-store on a real Ceph, which checks every signature."""

from __future__ import annotations

import pytest
from twisted.internet import reactor

from alluxio_s3.storage import PermissionRefused
from alluxio_s3.testing.commit_contract import code_of
from alluxio_s3.testing.in_reactor import in_reactor
from alluxio_s3.testing.upload_contract import Uploading
from alluxio_s3.testing.workbench import Workbench, outcome_of
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.s3.filesystem import S3Factory
from tests.ufs.servers.ceph import ACCESS_KEY, SECRET_KEY
from tests.ufs.test_s3_contract import S3Contract

pytestmark = [pytest.mark.servers, pytest.mark.slow]


def options(ceph, uri, secret=SECRET_KEY, **more):
    return {
        "uri": uri,
        "s3a.accessKeyId": ACCESS_KEY,
        "s3a.secretKey": secret,
        "alluxio.underfs.s3.endpoint": ceph.endpoint,
        **more,
    }


class CephContract(S3Contract):
    """In a fresh bucket of Ceph's."""

    keeps_checksums = False
    longest_tag = 64, 85  # Ceph counts bytes

    @in_reactor
    async def test_subset(self, store: Workbench) -> None:
        """Ceph wants every part that was sent: a list that leaves one out is InvalidPart."""
        work = Uploading(store)
        upload = await work.begin("a")
        parts = [await work.part(upload, number, bytes([number]) * 1000) for number in (1, 2)]
        assert code_of(await outcome_of(work.complete(upload, parts[:1]))) == "InvalidPart"
        await work.complete(upload, parts)
        assert (await store.status("a")).size == 2000

    @pytest.fixture(autouse=True)
    def server(self, ceph):
        self.ceph = ceph
        self.threads = Threads(reactor, 8, "store")
        self.threads.start()
        yield
        self.threads.stop()

    async def make_ufs(self):
        given = options(self.ceph, f"s3://{self.ceph.make_bucket()}{self.prefix}", buckets=str(self.buckets).lower())
        return S3Factory().build(given, reactor, self.threads)


class TestMount(CephContract):
    """A bucket as a bucket."""

    buckets = False


class TestRoot(CephContract):
    """A prefix in a bucket, whose top-level prefixes are buckets."""

    prefix = "/some/where"


@in_reactor
async def test_a_wrong_secret(ceph):
    """A signature with a wrong secret is refused, and the daemon says who refused whom."""
    threads = Threads(reactor, 2, "store")
    threads.start()
    store = Workbench(S3Factory().build(options(ceph, f"s3://{ceph.make_bucket()}", "wrong"), reactor, threads), "")
    for work in (store.status("a"), store.page(), store.put("a", b"1")):
        assert isinstance(await outcome_of(work), PermissionRefused)
    await store.ufs.close()
    threads.stop()

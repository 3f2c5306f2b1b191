"""The under-stores that a whole daemon is tested on: the same tests, told by `--store` which one, skip what a store can't do.

A test that looks for more than every store has says so by `@pytest.mark.needs("files")`; `LACKS` has the reasons for which it is
then skipped on some.
"""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from attrs import frozen

from tests.ufs.servers import ceph as ceph_server
from tests.ufs.servers import hdfs as hdfs_server
from tests.ufs.servers.moto import MotoServer

LOCAL = "local"
_NO_FILES = "its objects are no files on this machine"
_S3 = {
    "files": _NO_FILES,
    "directories": "it has keys, and no directories",
    "owners": "whose an object is is not kept with it",
    "long keys": "the mount's prefix counts among the 1,024 bytes of a key",
    "checksums of copies": "a copy that the store makes has the checksums that the store gives it",
    "reads while it is replaced": "a read of an object that is replaced just then may be cut, and has to be asked for again",
}

# By store, what tests may ask for and it has not, and why.
LACKS: Mapping[str, Mapping[str, str]] = {
    "local": {},
    "s3": {
        **_S3,
        "control characters": "moto takes no key with a line end",
        "forms": "moto takes an object of the type application/x-www-form-urlencoded for a form, and loses it",
        "CRC32C of parts": "moto says another CRC32C of an object than of its completion",
    },
    "ceph": {
        **_S3,
        "checksums": "Ceph 16 keeps none",
        "CRC32C of parts": "Ceph 16 keeps none",
        "part sizes": "Ceph 16 does not tell of which parts an object was made",
    },
    "hdfs": {"files": _NO_FILES, "colons": "HDFS takes no name with a colon"},
    "fsspec": {"files": _NO_FILES, "digests as ETags": "its ETags are of the version, not of the bytes"},
}
STORES = tuple(LACKS)


class NotInstalled(Exception):
    """The server of a store is not on this machine; the message says how it gets there."""


@frozen
class Root:
    """A new place for a daemon's buckets: the *properties* that put it there; *data* is the directory, where it is one."""

    properties: Mapping[str, object]
    data: Path | None = None


@frozen
class UnderStore:
    """A running store of one kind."""

    name: str
    cached: bool
    _make: Callable[[], Mapping[str, object]]

    def lack(self, wanted: str) -> str | None:
        """Why it has not what a test wants; None if it has."""
        return LACKS[self.name].get(wanted)

    def root(self, scratch: Path) -> Root:
        """A new, empty root; a directory, or that of a page cache, is made in *scratch*."""
        properties: dict[str, object] = {}
        if self.cached:
            properties |= {"alluxio.worker.page.store.dirs": scratch / "pages", "alluxio.worker.page.store.sizes": "512MB"}
        if self.name != LOCAL:
            return Root({**self._make(), **properties, "alluxio.worker.s3.staging.dir": scratch / "staging"})
        if self.cached:
            properties["alluxio.dora.client.ufs.root.option.freshness"] = "strong"  # a directory has to ask for a cache
        data = scratch / "data"
        data.mkdir(parents=True)
        return Root({"alluxio.dora.client.ufs.root": data, **properties}, data)


@contextlib.contextmanager
def running(name: str, *, cached: bool = False) -> Iterator[UnderStore]:
    """The store called *name*, with the page cache before it if *cached*; its server runs as long as the block.

    Raises:
        NotInstalled: there is no such server here.
    """
    starters = {"local": _local, "s3": _moto, "ceph": _ceph, "hdfs": _hdfs, "fsspec": _fsspec}
    with starters[name]() as make:
        yield UnderStore(name, cached, make)


@contextlib.contextmanager
def _local() -> Iterator[Callable[[], Mapping[str, object]]]:
    yield dict


@contextlib.contextmanager
def _moto() -> Iterator[Callable[[], Mapping[str, object]]]:
    with MotoServer() as server:
        yield lambda: _s3(server.endpoint, server.make_bucket(), "AKIAIOSFODNN7EXAMPLE", "a-secret-of-ours")


@contextlib.contextmanager
def _ceph() -> Iterator[Callable[[], Mapping[str, object]]]:
    if not ceph_server.is_installed():
        raise NotInstalled("Ceph is not installed: make test-ufs")
    with tempfile.TemporaryDirectory(prefix="alluxio-s3-ceph-") as directory, ceph_server.Ceph(Path(directory)) as server:
        yield lambda: _s3(server.endpoint, server.make_bucket(), ceph_server.ACCESS_KEY, ceph_server.SECRET_KEY)


def _s3(endpoint: str, bucket: str, access_key: str, secret_key: str) -> dict[str, object]:
    return {
        "alluxio.dora.client.ufs.root": f"s3://{bucket}/data",
        "alluxio.underfs.s3.endpoint": endpoint,
        "s3a.accessKeyId": access_key,
        "s3a.secretKey": secret_key,
    }


@contextlib.contextmanager
def _hdfs() -> Iterator[Callable[[], Mapping[str, object]]]:
    if not hdfs_server.is_installed():
        raise NotInstalled("HDFS is not installed: make test-ufs")
    with tempfile.TemporaryDirectory(prefix="alluxio-s3-hdfs-", ignore_cleanup_errors=True) as directory:
        server = hdfs_server.Hdfs(Path(directory))
        try:
            yield lambda: _directory(server)
        finally:
            server.stop()


def _directory(server: hdfs_server.Hdfs) -> dict[str, object]:
    path = f"/{uuid.uuid4().hex}"
    server.ask("PUT", path, "MKDIRS")
    return {
        "alluxio.dora.client.ufs.root": f"webhdfs://127.0.0.1:{server.port}{path}",
        "alluxio.dora.client.ufs.root.option.user": "hdfs",
    }


@contextlib.contextmanager
def _fsspec() -> Iterator[Callable[[], Mapping[str, object]]]:
    with tempfile.TemporaryDirectory(prefix="alluxio-s3-fsspec-") as directory:
        yield lambda: {"alluxio.dora.client.ufs.root": f"fsspec+file://{tempfile.mkdtemp(dir=directory)}"}

"""Local directories, and servers of stores, to test on."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from attrs import define
from twisted.internet import reactor

from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes
from alluxio_s3.testing.workbench import Workbench
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local import folders, publish
from alluxio_s3.ufs.local.failures import storage_errors
from alluxio_s3.ufs.local.reader import open_object
from alluxio_s3.ufs.local.tree import Tree
from alluxio_s3.ufs.local.walk import list_keys
from alluxio_s3.ufs.local.windows import Windows
from alluxio_s3.ufs.s3.filesystem import S3Factory
from tests.ufs.servers import ceph as ceph_server
from tests.ufs.servers.faulty import FaultyServer
from tests.ufs.servers.hdfs import Hdfs, is_installed
from tests.ufs.servers.moto import MotoServer

NO_ATTRIBUTES = Attributes()


@define
class Directory:
    """A directory with a Tree on it, and the verbs as plain functions."""

    path: Path
    tree: Tree
    windows: Windows
    closed: bool = False

    def close(self):
        if not self.closed:
            self.closed = True
            self.tree.close()

    def at(self, key=""):
        """Where ``key`` is on this machine."""
        return self.path / key

    def put(self, key, data=b"", attributes=NO_ATTRIBUTES, condition=ALWAYS):
        if key.endswith("/"):
            folders.check_place(self.tree, key)
            return folders.make(self.tree, key, attributes, condition)
        publish.check_place(self.tree, key)
        with storage_errors(key, writing=True):
            temporary = self.tree.staging.temporary(len(data))
        try:
            with storage_errors(key, writing=True):
                temporary.write(data)
            return publish.publish(self.tree, temporary, key, attributes, condition)
        finally:
            temporary.discard()

    def get(self, key):
        file = open_object(self.tree, key)
        with file.descriptor.held() as number:
            data = os.pread(number, file.status.size + 1, 0)
        file.descriptor.close()
        return data

    def delete(self, key, condition=ALWAYS):
        (folders if key.endswith("/") else publish).delete(self.tree, key, condition)

    def status(self, key):
        with storage_errors(key):
            return self.tree.status(key)

    def listed(self, prefix="", start="", delimiter="", limit=1000):
        """The names of the one page of a listing."""
        with storage_errors(prefix):
            listing = list_keys(self.tree, self.windows, prefix, start, limit, delimiter)
        assert listing.complete
        return [entry if isinstance(entry, str) else entry.path for entry in listing.entries]

    def foreign(self, key, data=b""):
        """Make a file (or with a slash a directory) as another program does."""
        place = self.at(key)
        (place if key.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
        if not key.endswith("/"):
            place.write_bytes(data)

    def reserved(self, name):
        """What is in a directory of the reserved one, but for the files of runs."""
        return [one.name for one in self.at(f".alluxio-s3/{name}").iterdir() if one.suffix != ".run"]


@pytest.fixture
def directory(tmp_path):
    """Makes Directories: on the disk, or ``in_memory`` (tmpfs). Options are those of ``Tree.at``; one bucket unless they say otherwise."""
    made: list[Directory] = []
    places = []

    def make(path=None, *, in_memory=False, window=10_000, **options):
        if path is None:
            path = tempfile.mkdtemp(dir="/dev/shm" if in_memory else tmp_path)
            places.append(path)
        tree = Tree.at(str(path), **{"buckets": False, **options})
        made.append(Directory(Path(path), tree, Windows(window, 10 * window)))
        return made[-1]

    yield make
    for one in made:
        one.close()
    for place in places:
        shutil.rmtree(place)


@pytest.fixture(scope="session")
def hdfs(tmp_path_factory):
    """A real HDFS, the same for all tests: each works in a directory of its own."""
    if not is_installed():
        pytest.skip("HDFS is not installed: make test-ufs")
    server = Hdfs(tmp_path_factory.mktemp("hdfs"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def moto():
    """An S3 store."""
    with MotoServer() as server:
        yield server


@pytest.fixture
def threads():
    """Eight of them."""
    pool = Threads(reactor, 8, "store")
    pool.start()
    yield pool
    pool.stop()


@pytest.fixture
def server(moto):
    """What stands before the S3 store: it passes on what it is asked, notes it, and fails when it is told to."""
    with FaultyServer(moto.port) as watched:
        yield watched


@pytest.fixture
def on_s3(server, threads):
    """Makes workbenches on the S3 store, through ``server``; options, ``uri`` among them, are those of the mount."""

    def make(**options):
        given = {
            "s3a.accessKeyId": "AKIAIOSFODNN7EXAMPLE",
            "s3a.secretKey": "secret",
            "alluxio.underfs.s3.endpoint": server.endpoint,
            **options,
        }
        return Workbench(S3Factory().build(given, reactor, threads), "")

    return make


@pytest.fixture(scope="session")
def ceph(tmp_path_factory):
    """An S3 store that checks signatures: Ceph's. It takes half a minute to start."""
    if not ceph_server.is_installed():
        pytest.skip("Ceph is not installed: make test-ufs")
    with ceph_server.Ceph(tmp_path_factory.mktemp("ceph")) as server:
        yield server

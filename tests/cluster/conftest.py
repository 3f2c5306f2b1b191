"""A real etcd for the tests of clusters."""

from __future__ import annotations

import itertools

import pytest
import pytest_twisted
from twisted.internet import reactor

from alluxio_s3.cluster.etcd import Etcd
from tests.cluster.servers.etcd import SCRIPT, EtcdNode, is_installed

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def shared_node(tmp_path_factory):
    """An etcd for all tests that leave it as it is but for keys of their own."""
    if not is_installed():
        pytest.skip(f"etcd is not installed: {SCRIPT} install")
    with EtcdNode(tmp_path_factory.mktemp("etcd") / "data") as node:
        yield node


@pytest.fixture
def own_node(tmp_path):
    """An etcd that a test may stop and kill."""
    if not is_installed():
        pytest.skip(f"etcd is not installed: {SCRIPT} install")
    with EtcdNode(tmp_path / "etcd") as node:
        yield node


@pytest.fixture
def prefix():
    """A prefix of keys that no other test uses."""
    return f"/test-{next(_NUMBERS)}/"


@pytest_twisted.async_yield_fixture
async def etcd(shared_node):
    """A client of it."""
    client = Etcd([shared_node.endpoint], reactor)
    yield client
    await client.close()

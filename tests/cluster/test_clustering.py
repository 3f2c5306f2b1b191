"""The cluster, built as the configuration says."""

from __future__ import annotations

import os
import socket

import pytest
import pytest_twisted
from twisted.internet import reactor
from zope.interface.verify import verifyObject

from alluxio_s3.cluster.fixed import parse_members
from alluxio_s3.clustering import build_clustering, identity_of, is_clustered, reached
from alluxio_s3.interfaces import IMembers, Member
from alluxio_s3.settings import SettingsError, load
from alluxio_s3.stores import build_mounts
from tests.running import free_port, properties_text

ETCD = {"alluxio.etcd.endpoints": "http://localhost:1", "alluxio.worker.s3.bind.host": "10.0.0.1"}


def loaded(tmp_path, properties):
    path = tmp_path / "alluxio-site.properties"
    path.write_text(properties_text({"alluxio.worker.s3.api.enabled": True, **properties}))
    return load(str(path), [], {}, str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"alluxio.etcd.endpoints": "ftp://x"}, "alluxio.etcd.endpoints"),
        ({"alluxio.etcd.tls.enabled": True}, "alluxio.etcd.endpoints"),
        ({"alluxio.etcd.tls.client.cert": "/c.pem"}, "alluxio.etcd.tls.client.key"),
        ({"alluxio.etcd.tls.ca.cert": "/none.pem"}, "/none.pem"),
        ({"alluxio.worker.identity.uuid": "a/b"}, "alluxio.worker.identity.uuid"),
        ({"alluxio.worker.identity.uuid.file.path": "/dev/null/id"}, "alluxio.worker.identity.uuid.file.path"),
        ({"alluxio.worker.s3.cluster.secret.file": "/dev/null"}, "alluxio.worker.s3.cluster.secret.file"),
        ({"alluxio.worker.membership.manager.type": "STATIC"}, "alluxio.worker.static.membership.manager.config.file"),
    ],
)
def test_what_cannot_be(tmp_path, changes, told):
    """A configuration that makes no sense is refused, with the property that is to blame."""
    with pytest.raises(SettingsError, match=told):
        build_clustering(loaded(tmp_path, ETCD | changes), reactor)


def test_mounts_in_etcd_need_a_cluster(tmp_path):
    """Who keeps mounts in etcd says where that is."""
    with pytest.raises(SettingsError, match=r"alluxio\.worker\.s3\.mount\.table"):
        build_mounts(loaded(tmp_path, {"alluxio.worker.s3.mount.table": "etcd"}), None, reactor, None)


def test_who_this_worker_is(tmp_path, monkeypatch):
    """Its id is the one that is given, or in its file; its host the one that is given, the one that it listens on, or the machine's."""
    given = loaded(tmp_path, ETCD | {"alluxio.worker.identity.uuid": "w-7", "alluxio.worker.s3.weight": 250})
    me = build_clustering(given, reactor).members.me
    assert (me.worker, me.host, me.weight) == ("w-7", "10.0.0.1", 2.5)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    made = identity_of(loaded(tmp_path, ETCD), os.environ)
    assert (tmp_path / "worker_identity").read_text().strip() == made
    assert identity_of(loaded(tmp_path, ETCD), {"STATE_DIRECTORY": str(tmp_path / "state")}) != made
    named = build_clustering(loaded(tmp_path, ETCD | {"alluxio.worker.hostname": "worker-3"}), reactor).members.me
    assert named.host == "worker-3"
    anywhere = build_clustering(loaded(tmp_path, ETCD | {"alluxio.worker.s3.bind.host": "0.0.0.0"}), reactor).members.me
    assert anywhere.host == socket.getfqdn()


@pytest_twisted.ensureDeferred
async def test_workers_of_a_file(tmp_path):
    """Workers that are in a file know each other, and nobody is ever certain."""
    (tmp_path / "workers").write_text("# ours\n10.0.0.1\n10.0.0.2:8000/8001\n\n[::1]  # here\n")
    (tmp_path / "secret").write_text("s" * 40)
    properties = {
        "alluxio.worker.membership.manager.type": "STATIC",
        "alluxio.worker.static.membership.manager.config.file": tmp_path / "workers",
        "alluxio.worker.s3.bind.host": "10.0.0.1",
        "alluxio.worker.s3.cluster.secret.file": tmp_path / "secret",
    }
    found = loaded(tmp_path, properties)
    assert is_clustered(found.settings)
    clustering = build_clustering(found, reactor)
    members = clustering.members
    verifyObject(IMembers, members)
    clustering.begin(29998, 443, 29995)
    assert [one.worker for one in members.live] == ["10.0.0.1:29998", "10.0.0.2:8000", "[::1]:29998"]
    assert members.me == members.find("10.0.0.1:29998") == Member("10.0.0.1:29998", "", "10.0.0.1", 29998, 443, 29995)
    assert members.find("[::1]:29998").host == "::1"
    assert members.find("10.0.0.2:8000").peer_port == 8001
    assert members.secret == b"s" * 40
    assert not members.is_certain()
    await members.mark("/b/k")
    assert len({members.owners(f"/b/{number}")[0] for number in range(100)}) == 3
    await clustering.leave()
    await clustering.close()
    with pytest.raises(SettingsError, match="is not there"):
        build_clustering(loaded(tmp_path, properties | {"alluxio.worker.s3.bind.host": "10.0.0.9"}), reactor)


def test_ports_of_https():
    """Where HTTPS is served, workers of a file have that port too, their own or that of all; where HTTP is not, no port of it."""
    text = "a\nb:80/81/444\nc:80/81"
    plain = parse_members(text, 29998, 29995)
    assert {one.https_port for one in plain.values()} == {None}
    both = parse_members(text, 29998, 29995, 29996)
    assert [(one.http_port, one.peer_port, one.https_port) for one in both.values()] == [
        (29998, 29995, 29996),
        (80, 81, 444),
        (80, 81, 29996),
    ]
    only = parse_members(text, 29998, 29995, 29996, plain=False)
    assert only.keys() == both.keys() == plain.keys()
    assert [(one.http_port, one.https_port) for one in only.values()] == [(None, 29996), (None, 444), (None, 29996)]


@pytest.mark.parametrize(
    "text", ["a b", "a:0", "a:1/2/0", "a:1/2/3/4", "a:1/2/x", "a:70000", "a:1/0", "a:x", "a/b/c", "a\na:29998", "user@a"]
)
def test_what_is_no_worker(text):
    """A line that makes no sense is an error that says which."""
    with pytest.raises(ValueError, match="line"):
        parse_members(text, 29998, 29995)


@pytest_twisted.ensureDeferred
async def test_alone():
    """Without a cluster a worker owns everything."""
    clustering = build_clustering(load(None, [], {}, "/nowhere"), reactor)
    verifyObject(IMembers, clustering.members)
    clustering.begin(1, None, None)
    assert clustering.members.owners("/b/k", 3) == (clustering.members.me,)
    assert clustering.trouble() == ""
    await clustering.leave()
    await clustering.close()


@pytest_twisted.ensureDeferred
async def test_asking_a_worker_itself():
    """Whoever accepts a connection is there."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        assert await reached(reactor, Member("w", "1", "127.0.0.1", None, None, port))
    assert not await reached(reactor, Member("w", "1", "127.0.0.1", free_port(), None, None))
    assert not await reached(reactor, Member("w", "1", "127.0.0.1", None, None, None))

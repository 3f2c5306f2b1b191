"""The mount table in etcd keeps what the one in a file does."""

from __future__ import annotations

import json

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from zope.interface.verify import verifyObject

from alluxio_s3.cluster.etcd import Etcd
from alluxio_s3.cluster.etcd_words import Entry, EtcdError
from alluxio_s3.cluster.mount_table import EtcdMountTable
from alluxio_s3.cluster.watched import WatchedPrefix
from alluxio_s3.interfaces import IMountTable
from alluxio_s3.storage import AlreadyExists, Mount, NoSuchPath, Unavailable
from alluxio_s3.testing.workbench import outcome_of
from tests.cluster.waiting import until
from tests.running import free_port

ONE = Mount("/one", "s3://bucket/prefix", {"s3a.secretKey": "hidden", "readonly": "true"})
TWO = Mount("/two", "/srv/data")


@pytest_twisted.async_yield_fixture
async def watched(etcd, prefix):
    """What is watched."""
    made = WatchedPrefix(etcd, prefix, reactor)
    made.start()
    await made.listed(20)
    yield made
    made.stop()


def plain(mounts):
    return [(one.path, one.uri, dict(one.options)) for one in mounts]


@pytest_twisted.ensureDeferred
async def test_adding_and_removing(etcd, prefix):
    """What was added is there, by path, with its options and the time, until it is removed; a path is taken once."""
    table = EtcdMountTable(etcd, prefix)
    verifyObject(IMountTable, table)
    assert list(await table.mounts()) == []
    await table.add(TWO)
    await table.add(ONE)
    found = await table.mounts()
    assert plain(found) == plain([ONE, TWO])
    assert all(one.since_ns > 1_600_000_000 * 10**9 for one in found)
    assert isinstance(await outcome_of(table.add(Mount("/one", "/other"))), AlreadyExists)
    assert (await table.remove("/one")).uri == ONE.uri
    assert isinstance(await outcome_of(table.remove("/one")), NoSuchPath)
    assert plain(await table.mounts()) == plain([TWO])


@pytest_twisted.ensureDeferred
async def test_changes_at_once(etcd, prefix):
    """Of changes by many none is lost, and of those to one path one is made."""
    table = EtcdMountTable(etcd, prefix)
    names = [f"/m{number:02}" for number in range(12)]
    adding = [Deferred.fromCoroutine(EtcdMountTable(etcd, prefix).add(Mount(name, f"/{by}"))) for name in names for by in range(2)]
    ended = await DeferredList(adding, consumeErrors=True)
    assert sorted(well for well, _ in ended) == [False] * 12 + [True] * 12
    assert [one.path for one in await table.mounts()] == names


@pytest_twisted.ensureDeferred
async def test_watching(etcd, prefix, watched):
    """Whoever watches is told of every change, and knows it then; and of nothing once the watch has ended."""
    table, told = EtcdMountTable(etcd, prefix, watched), []
    unwatch = table.watch(lambda: told.append(1))
    other = EtcdMountTable(etcd, prefix)
    await other.add(ONE)
    await until(lambda: told)
    assert plain(await table.mounts()) == plain([ONE])
    told.clear()
    await other.remove("/one")
    await until(lambda: told)
    assert list(await table.mounts()) == []
    told.clear()
    await etcd.put(prefix + "workers/w-1/0", b"{}")
    unwatch()
    unwatch()
    await other.add(TWO)
    await until(lambda: watched.under("mounts/"))
    assert not told


@pytest.mark.parametrize(
    "value",
    ["", "{", "[]", "null", '{"uri": ""}', json.dumps({"uri": "u", "options": ["hidden"], "since": "2026-01-01T00:00:00+00:00"}),
     json.dumps({"uri": "u", "options": {"a": 1}, "since": "2026-01-01T00:00:00+00:00"}), "[" * 50_000,
     json.dumps({"uri": "u", "options": {"password": "hidden"}, "since": "yesterday"}),
     json.dumps({"uri": "u", "options": {"password": "hidden"}, "since": 7})],
)  # fmt: skip
def test_what_is_no_mount(value):
    """What makes no sense is an error that names the key and shows no option."""
    table = EtcdMountTable(Etcd([], reactor), "/p/")
    for entry in (Entry("/p/mounts/one", value.encode()), Entry("/p/mounts/a/b", b"{}")):
        with pytest.raises(Unavailable, match="is no mount") as refused:
            table._decode(entry)
        assert entry.key in str(refused.value)
        assert "hidden" not in str(refused.value)


@pytest_twisted.ensureDeferred
async def test_etcd_is_away(prefix):
    """Without etcd, or when it has lost its data, there is nothing to be known: that is an error, and not a table without mounts."""
    etcd = Etcd([f"http://127.0.0.1:{free_port()}"], reactor)
    table = EtcdMountTable(etcd, prefix)
    for asked in (table.mounts(), table.add(ONE), table.remove("/one")):
        assert isinstance(await outcome_of(asked), EtcdError)
    unheard = EtcdMountTable(etcd, prefix, WatchedPrefix(etcd, prefix, reactor), patience=0.01)
    assert isinstance(await outcome_of(unheard.mounts()), Unavailable)
    watched = WatchedPrefix(etcd, prefix, reactor)
    watched.revision, watched.lost = 7, True
    assert isinstance(await outcome_of(EtcdMountTable(etcd, prefix, watched).mounts()), Unavailable)
    await etcd.close()

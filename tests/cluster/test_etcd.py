"""The client of etcd, against a real one."""

from __future__ import annotations

import json
import signal
from base64 import b64encode
from contextlib import suppress

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from alluxio_s3.cluster.etcd import Etcd
from alluxio_s3.cluster.etcd_connections import EtcdTls
from alluxio_s3.cluster.etcd_words import (
    EtcdError,
    EtcdRefused,
    WatchEnded,
    delete_of,
    document_of,
    entries_of,
    events_of,
    get_of,
    put_of,
    refusal,
    unchanged,
)
from alluxio_s3.testing.workbench import outcome_of
from tests.certificates import Authority
from tests.cluster.servers.etcd import EtcdNode, is_installed
from tests.cluster.waiting import until
from tests.running import free_port

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one))


@pytest_twisted.ensureDeferred
async def test_keys_and_values(etcd, prefix):
    """What is put is there, byte for byte, with its revisions; a list is all under a prefix, or what is new; what is deleted is gone."""
    assert await etcd.get(prefix + "a") is None
    value = bytes(range(256))
    first = await etcd.put(prefix + "a", value)
    second = await etcd.put(prefix + "ü/b", b"")
    found = await etcd.get(prefix + "a")
    assert (found.key, found.value, found.created, found.changed) == (prefix + "a", value, first, first)
    listed = await etcd.list(prefix)
    assert [one.key for one in listed.entries] == [prefix + "a", prefix + "ü/b"]
    assert listed.revision >= second
    assert [one.key for one in (await etcd.list(prefix, second)).entries] == [prefix + "ü/b"]
    await etcd.delete(prefix + "a")
    assert [one.key for one in (await etcd.list(prefix)).entries] == [prefix + "ü/b"]


@pytest_twisted.ensureDeferred
async def test_transactions(etcd, prefix):
    """What depends on how things are is done if they are so, in one step, and else the other thing is."""
    key = prefix + "k"
    made = await etcd.transact([unchanged(key, 0)], [put_of(key, b"1")], [get_of(key)])
    assert made.held
    again = await etcd.transact([unchanged(key, 0)], [put_of(key, b"2")], [get_of(key)])
    assert not again.held
    assert again.found[0][0].value == b"1"
    assert (await etcd.transact([unchanged(key, made.revision)], [delete_of(key)])).held
    assert await etcd.get(key) is None


@pytest_twisted.ensureDeferred
async def test_leases(etcd, prefix):
    """What is put under a lease goes with it; a lease that has ended cannot be kept alive, and ending it again is refused."""
    lease = await etcd.grant(60)
    await etcd.put(prefix + "k", b"v", lease)
    assert await etcd.keep_alive(lease)
    assert (await etcd.get(prefix + "k")).lease == lease
    await etcd.revoke(lease)
    assert await etcd.get(prefix + "k") is None
    assert not await etcd.keep_alive(lease)
    assert isinstance(await outcome_of(etcd.revoke(lease)), EtcdRefused)
    assert isinstance(await outcome_of(etcd.put(prefix + "k", b"v", lease)), EtcdRefused)


@pytest_twisted.ensureDeferred
async def test_watching(etcd, prefix):
    """Who watches is told of each change from the revision on, in order, and of nothing once it has been cancelled."""
    start = await etcd.put(prefix + "a", b"1")
    seen = []
    watching = Deferred.fromCoroutine(etcd.watch(prefix, start, lambda events, revision: seen.extend((*events, revision))))
    await until(lambda: seen)
    await etcd.put(prefix + "b", b"2")
    last = await etcd.put("/elsewhere", b"")
    await etcd.delete(prefix + "a")
    await until(lambda: any(getattr(one, "value", b"") is None for one in seen))
    events = [one for one in seen if not isinstance(one, int)]
    assert [(one.key, one.value) for one in events] == [(prefix + "a", b"1"), (prefix + "b", b"2"), (prefix + "a", None)]
    assert seen[-1] == last + 1
    count = len(seen)
    watching.addErrback(lambda _: None)
    watching.cancel()
    await etcd.put(prefix + "c", b"3")
    assert len(seen) == count


@pytest_twisted.ensureDeferred
async def test_a_gap(own_node):
    """Whoever wants to watch from a revision that etcd has forgotten is told so, instead of missing something."""
    etcd = Etcd([own_node.endpoint], reactor)
    for _ in range(3):
        last = await etcd.put("/p/k", b"v")
    await etcd.call("kv/compaction", {"revision": str(last)})
    assert isinstance(await outcome_of(etcd.watch("/p/", 1, lambda *_: None)), WatchEnded)
    await etcd.close()


@pytest_twisted.ensureDeferred
async def test_etcd_is_away(own_node):
    """A watch ends when etcd does, calls say so quickly, and all goes on when it is back; to hang is no better than to be gone."""
    etcd = Etcd([own_node.endpoint], reactor, timeout=0.3)
    await etcd.put("/p/k", b"v")
    watching = Deferred.fromCoroutine(etcd.watch("/p/", 1, lambda *_: None))
    own_node.kill()
    assert isinstance(await outcome_of(watching), WatchEnded)
    assert isinstance(await outcome_of(etcd.get("/p/k")), EtcdError)
    own_node.start()
    assert (await etcd.get("/p/k")).value == b"v"
    watching = Deferred.fromCoroutine(etcd.watch("/p/", 1, lambda *_: None))
    own_node.signal(signal.SIGSTOP)
    assert "too long" in str(await outcome_of(etcd.get("/p/k")))
    assert isinstance(await outcome_of(watching), WatchEnded)
    own_node.signal(signal.SIGCONT)
    assert (await etcd.get("/p/k")).value == b"v"
    await etcd.close()


@pytest_twisted.ensureDeferred
async def test_the_next_endpoint(shared_node, prefix):
    """While one endpoint does not answer the others are asked; with none the error says so."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    told = []
    etcd = Etcd([nowhere, shared_node.endpoint], reactor, tell=told.append)
    await etcd.put(prefix + "k", b"v")
    await etcd.get(prefix + "k")
    assert told == ["failed", "done", "done"]
    await etcd.close()
    assert "refused" in str(await outcome_of(Etcd([nowhere], reactor).get("/")))


@pytest_twisted.ensureDeferred
async def test_users_and_passwords(own_node):
    """With etcd's authentication on, whoever has the password may do what the role allows; a token that is no good any more is renewed."""
    for user, password in (("root", "r"), ("worker", "hidden")):
        own_node.ask("auth/user/add", name=user, password=password)
    own_node.ask("auth/user/grant", user="root", role="root")
    own_node.ask("auth/role/add", name="cluster")
    permission = {"permType": "READWRITE", "key": b64encode(b"/p/").decode(), "range_end": b64encode(b"/p0").decode()}
    own_node.ask("auth/role/grant", name="cluster", perm=permission)
    own_node.ask("auth/user/grant", user="worker", role="cluster")
    own_node.ask("auth/enable")
    etcd = Etcd([own_node.endpoint], reactor, username="worker", password="hidden")
    await etcd.put("/p/k", b"v")
    assert isinstance(await outcome_of(etcd.put("/q/k", b"v")), EtcdRefused)
    own_node.kill()
    own_node.start()
    assert (await etcd.get("/p/k")).value == b"v"
    seen = []
    watching = Deferred.fromCoroutine(etcd.watch("/p/", 1, lambda events, _: seen.extend(events)))
    await until(lambda: seen)
    await etcd.close()
    assert isinstance(await outcome_of(watching), WatchEnded)
    for client in (Etcd([own_node.endpoint], reactor), Etcd([own_node.endpoint], reactor, username="worker", password="wrong")):
        refused = await outcome_of(client.get("/p/k"))
        assert isinstance(refused, EtcdRefused)
        assert "wrong" not in str(refused)
        assert "hidden" not in repr(etcd)
        await client.close()


@pytest_twisted.ensureDeferred
async def test_tls(tmp_path):
    """Over TLS etcd must have a certificate of whom we trust, and we show ours."""
    ours, others = Authority("ours"), Authority("others")
    ca, certificate, key = tmp_path / "ca.pem", tmp_path / "c.pem", tmp_path / "k.pem"
    ours.certificate_file(ca)
    issued = ours.issue()
    issued.certificate_file(certificate)
    issued.key_file(key)
    other = others.certificate_file(tmp_path / "other.pem")
    options = ["--cert-file", certificate, "--key-file", key, "--client-cert-auth", "--trusted-ca-file", ca]
    if not is_installed():
        pytest.skip("etcd is not installed")
    with EtcdNode(tmp_path / "etcd", scheme="https", options=[str(one) for one in options]) as node:
        good = Etcd([node.endpoint], reactor, EtcdTls.of_files(str(ca), str(certificate), str(key)))
        await good.put("/k", b"v")
        await good.close()
        for tls in (EtcdTls.of_files(str(other), str(certificate), str(key)), EtcdTls.of_files(str(ca), None, None), None):
            bad = Etcd([node.endpoint], reactor, tls)
            assert isinstance(await outcome_of(bad.get("/k")), EtcdError)
            await bad.close()
    for files in ((str(key), None, None), (None, str(ca), str(key)), (str(tmp_path / "none"), None, None)):
        with pytest.raises(ValueError, match=str(tmp_path)):
            EtcdTls.of_files(*files)


@pytest_twisted.ensureDeferred
async def test_three_nodes(tmp_path):
    """With one of three killed, the one that is asked first, calls go on, and whoever watches through it is told to look again."""
    if not is_installed():
        pytest.skip("etcd is not installed")
    nodes = [EtcdNode(tmp_path / f"n{number}", f"n{number}") for number in range(3)]
    try:
        for node in nodes:
            node.cluster = nodes
            node.start()
        for node in nodes:
            node.wait()
        etcd = Etcd([node.endpoint for node in nodes], reactor)
        lease = await etcd.grant(60)
        await etcd.put("/p/k", b"v", lease)
        watching = Deferred.fromCoroutine(etcd.watch("/p/", 1, lambda *_: None))
        nodes[0].kill()
        assert isinstance(await outcome_of(watching), WatchEnded)
        for _ in range(10):
            if not isinstance(await outcome_of(etcd.put("/p/k", b"w", lease)), EtcdError):
                break
        assert (await etcd.get("/p/k")).value == b"w"
        assert await etcd.keep_alive(lease)
        await etcd.close()
    finally:
        for node in nodes:
            node.kill()


@given(
    st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()) | JSON.map(lambda one: json.dumps({"result": one}).encode())
)
def test_answers_of_any_kind(raw):
    """Whatever answers in etcd's place gives an error of ours, or an answer, and never anything else."""
    for read in (lambda: entries_of(document_of(raw)), lambda: events_of(raw), lambda: refusal(400, raw)):
        with suppress(EtcdError):
            read()

"""The under-store in HDFS when connections are cut, held, reset, answers are lost, and NameNodes do not want."""

from __future__ import annotations

import itertools
import json

import pytest
import pytest_twisted
from attrs import define
from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.web.resource import Resource
from twisted.web.server import Site

from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes, NoSpace, PermissionRefused, Status, Unavailable
from alluxio_s3.testing.commit_contract import ABSENT
from alluxio_s3.testing.workbench import Workbench, outcome_of, read
from alluxio_s3.ufs.webhdfs.filesystem import WebHdfsFactory
from tests.ufs.detours import Detour, Diverted

pytestmark = pytest.mark.servers
_serial = itertools.count()
DATA = bytes(range(256)) * (20 << 10)  # 5 MiB


@define
class Bench:
    """A store behind two detours: one before the NameNode, one before the DataNode."""

    store: Workbench
    namenode: Detour
    datanode: Detour
    root: str

    def waiting(self, hdfs):
        """What is in the directory of what is on its way in."""
        found = hdfs.ask("GET", f"{self.root}/.alluxio-s3/writing", "LISTSTATUS")
        return [one["pathSuffix"] for one in found["FileStatuses"]["FileStatus"]]


@pytest.fixture
def bench(hdfs):
    root = f"/faults/{next(_serial)}"
    hdfs.ask("PUT", root, "MKDIRS")
    detours = [Detour(reactor, hdfs.port), Detour(reactor, hdfs.port + 2)]
    ufs = diverted(build(hdfs, root, retries="3"), *detours)
    yield Bench(Workbench(ufs, ""), *detours, root)
    pytest_twisted.blockon(pytest_twisted.defer.ensureDeferred(ufs.close()))
    for one in detours:
        pytest_twisted.blockon(one.stop())


def diverted(ufs, *detours):
    """The store, which goes by the detours."""
    ufs._nodes.agent = Diverted(ufs._nodes.agent, {one.port: one.own_port for one in detours})
    return ufs


def build(hdfs, root, hosts=None, **options):
    uri = f"webhdfs://{hosts or f'127.0.0.1:{hdfs.port}'}{root}"
    return WebHdfsFactory().build({"uri": uri, "user": "hdfs", **options}, reactor, None)


@pytest_twisted.ensureDeferred
async def test_cut_reads_go_on(hdfs, bench):
    """A read whose connection is cut goes on where it was, and its bytes are right."""
    await bench.store.put("a", DATA)
    bench.datanode.cut_at, bench.datanode.cuts = 1 << 20, 3
    assert await bench.store.get("a") == DATA
    assert bench.datanode.cuts == 0


@pytest_twisted.ensureDeferred
async def test_reset_connections(hdfs, bench):
    """Connections that are reset at once are tried again."""
    await bench.store.put("a", DATA)
    bench.datanode.resets = bench.namenode.resets = 2
    assert await bench.store.get("a") == DATA


@pytest_twisted.ensureDeferred
async def test_held_reads_fail(hdfs, bench):
    """A DataNode that sends no more ends in Unavailable, never in fewer bytes."""
    await bench.store.put("a", DATA)
    bench.datanode.holds = True
    # It alone has so little patience: whatever else is slow is to be waited for.
    impatient = diverted(build(hdfs, bench.root, timeout="2", retries="3"), bench.namenode, bench.datanode)
    assert isinstance(await outcome_of(Workbench(impatient, "").get("a")), Unavailable)
    await impatient.close()


@pytest_twisted.ensureDeferred
async def test_pieces_without_bytes(hdfs, bench):
    """A piece without bytes, as a decoder may give one, is not the end of a write."""
    await bench.store.put("a", [b"one", b"", b"two"])
    assert await bench.store.get("a") == b"onetwo"


@pytest_twisted.ensureDeferred
async def test_cut_writes_fail(hdfs, bench):
    """A write whose connection is cut is Unavailable; the old object stays, and nothing of the new one."""
    old = await bench.store.put("a", b"old")
    bench.datanode.uploaded, bench.datanode.cut_upload_at = 0, 2 << 20
    result = await outcome_of(bench.store.put("a", [DATA[: 1 << 20]] * 5))
    assert isinstance(result, Unavailable)
    assert (await bench.store.status("a")).validator == old.validator
    assert bench.waiting(hdfs) == []


@pytest_twisted.ensureDeferred
async def test_lost_answers_to_renames(hdfs, bench):
    """When the answer to the step that publishes is lost, it is found out what became of it."""
    await bench.store.put("a", b"old")
    bench.namenode.lose_answer_to = rb"op=RENAME"
    assert isinstance(await bench.store.put("a", b"new"), Status)
    assert bench.namenode.lose_answer_to is None
    assert await bench.store.get("a") == b"new"
    bench.namenode.lose_answer_to = rb"op=RENAME"
    assert isinstance(await bench.store.put("b", b"new", condition=ABSENT), Status)
    assert isinstance(await outcome_of(bench.store.put("b", b"newer", condition=ABSENT)), S3Error)
    assert bench.waiting(hdfs) == []


@pytest_twisted.ensureDeferred
async def test_lost_answers_to_deletes(hdfs, bench):
    """When the answer to a delete is lost, the object is gone, and one that comes after it stays."""
    await bench.store.put("a", b"old")
    bench.namenode.lose_answer_to = rb"op=DELETE"
    await bench.store.delete("a")
    assert not await bench.store.exists("a")


@pytest_twisted.ensureDeferred
async def test_the_namenode_is_gone(hdfs, bench):
    """Without a NameNode everything is Unavailable, and goes on when it is back."""
    await bench.store.put("a", b"1")
    bench.namenode.resets = 1000
    for one in list(bench.namenode.connections):
        one.transport.abortConnection()
    for act in (lambda: bench.store.status("a"), lambda: bench.store.put("a", b"2"), bench.store.page, lambda: bench.store.delete("a")):
        assert isinstance(await outcome_of(act()), Unavailable)
    bench.namenode.resets = 0
    assert await bench.store.get("a") == b"1"


@pytest_twisted.ensureDeferred
async def test_slow_readers_hold_the_server(hdfs, bench):
    """While nobody takes the bytes of a read no more of them are fetched than a few buffers hold; one that is left is closed."""
    big = 48 << 20
    await bench.store.put("a", [bytes(1 << 20)] * 48)
    reader = await bench.store.ufs.open("a")
    pieces = reader.read(0, big)
    await anext(pieces)
    await outcome_of(bench.store.status("a"))
    held = sum(one.passed for one in bench.datanode.connections)
    assert held < 24 << 20
    await pieces.aclose()
    await bench.datanode.emptied()
    await reader.close()


@pytest_twisted.ensureDeferred
async def test_standby_and_dead_namenodes(hdfs):
    """Of several NameNodes the one that is active is found, past those that are on standby or not there."""

    class Standby(Resource):
        isLeaf = True  # noqa: N815

        def render(self, request):
            request.setResponseCode(403)
            return json.dumps({"RemoteException": {"exception": "StandbyException", "message": "Operation category READ"}}).encode()

    standby = reactor.listenTCP(0, Site(Standby()), interface="127.0.0.1")
    dead = reactor.listenTCP(0, Site(Standby()), interface="127.0.0.1")
    dead_port = dead.getHost().port
    await dead.stopListening()
    hosts = f"127.0.0.1:{dead_port},127.0.0.1:{standby.getHost().port},127.0.0.1:{hdfs.port}"
    hdfs.ask("PUT", "/faults/standby", "MKDIRS")
    store = Workbench(build(hdfs, "/faults/standby", hosts), "")
    await store.put("a", b"1")
    assert await store.get("a") == b"1"
    await store.ufs.close()
    only = build(hdfs, "/faults/standby", f"127.0.0.1:{standby.getHost().port}", retries="1")
    assert isinstance(await outcome_of(only.status("")), Unavailable)
    await only.close()
    await standby.stopListening()


@pytest_twisted.ensureDeferred
async def test_safe_mode(hdfs, bench):
    """In safe mode objects are read, and writing is Unavailable and changes nothing."""
    await bench.store.put("a", b"1")
    hdfs.admin("-safemode", "enter")
    try:
        assert await bench.store.get("a") == b"1"
        for work in (bench.store.put("a", b"2"), bench.store.delete("a")):
            assert isinstance(await outcome_of(work), Unavailable)
    finally:
        hdfs.admin("-safemode", "leave")
    assert await bench.store.get("a") == b"1"


@pytest_twisted.ensureDeferred
async def test_quotas(hdfs, bench):
    """Where a quota of names or of space is used up, writing fails, says so where HDFS does, and changes nothing."""
    await bench.store.put("a", b"1")
    hdfs.admin("-setSpaceQuota", "1m", bench.root)
    # To the DataNode's clients a quota of space shows as bytes that are missing.
    assert isinstance(await outcome_of(bench.store.put("a", DATA)), NoSpace | Unavailable)
    assert await bench.store.get("a") == b"1"
    hdfs.admin("-clrSpaceQuota", bench.root)
    hdfs.admin("-setQuota", "4", bench.root)
    assert isinstance(await outcome_of(bench.store.put("b", b"1")), NoSpace)
    hdfs.admin("-clrQuota", bench.root)
    await bench.store.put("b", b"1")


@pytest_twisted.ensureDeferred
async def test_permissions(hdfs):
    """What HDFS's permissions do not allow our user is PermissionRefused, for reading, writing, listing and deleting."""
    root = "/faults/private"
    hdfs.ask("PUT", root, "MKDIRS")
    hdfs.ask("PUT", root, "SETOWNER", owner="alice")
    hdfs.ask("PUT", root, "SETPERMISSION", permission="755")
    alice = Workbench(build(hdfs, root, user="alice"), "")
    bob = Workbench(build(hdfs, root, user="bob"), "")
    await alice.put("a", b"1")
    assert await bob.get("a") == b"1"
    for work in (bob.put("b", b"1"), bob.put("a", b"2"), bob.delete("a")):
        assert isinstance(await outcome_of(work), PermissionRefused)
    hdfs.ask("PUT", f"{root}/a", "SETPERMISSION", permission="600")
    assert isinstance(await outcome_of(bob.get("a")), PermissionRefused)
    hdfs.ask("PUT", root, "SETPERMISSION", permission="700")
    for work in (bob.get("a"), bob.page(), bob.status("dir/a")):
        assert isinstance(await outcome_of(work), PermissionRefused)
    assert await alice.get("a") == b"1"
    for store in (alice, bob):
        await store.ufs.close()


@pytest_twisted.ensureDeferred
async def test_delegation_tokens():
    """A delegation token goes with every request in place of a user, and no message shows it."""
    queries = []

    class Refusing(Resource):
        isLeaf = True  # noqa: N815

        def render(self, request):
            queries.append(request.args)
            request.setResponseCode(403)
            return json.dumps({"RemoteException": {"exception": "InvalidToken", "message": f"{request.uri} SECRET"}}).encode()

    server = reactor.listenTCP(0, Site(Refusing()), interface="127.0.0.1")
    uri = f"webhdfs://127.0.0.1:{server.getHost().port}/"
    ufs = WebHdfsFactory().build({"uri": uri, "delegation.token": "SECRET"}, reactor, None)
    refused = await outcome_of(ufs.status("a"))
    assert isinstance(refused, PermissionRefused)
    assert "SECRET" not in f"{refused} {refused!r} {ufs._nodes.place!r} {ufs.identity}"
    assert queries
    assert all(one[b"delegation"] == [b"SECRET"] and b"user.name" not in one for one in queries)
    await ufs.close()
    await server.stopListening()


@pytest_twisted.ensureDeferred
async def test_cancelled_requests_end(hdfs, bench):
    """A request that is given up ends as cancelled, while it connects and while it waits, and is not tried again."""
    await bench.store.put("a", b"1")
    bench.namenode.holds = True
    for _ in range(2):  # the first on a connection that is there, the second on one that is made
        asked = bench.namenode.asked
        work = pytest_twisted.defer.ensureDeferred(bench.store.status("a"))
        work.cancel()
        with pytest.raises(CancelledError):
            await work
        assert bench.namenode.asked <= asked + 1
        for one in list(bench.namenode.connections):
            one.transport.abortConnection()
    bench.namenode.holds = False
    assert await bench.store.get("a") == b"1"


@pytest_twisted.ensureDeferred
async def test_closing_lets_commits_end(hdfs):
    """A commit whose client went away is at its end when the store is closed."""
    hdfs.ask("PUT", "/faults/closing", "MKDIRS")
    ufs = build(hdfs, "/faults/closing")
    writer = await ufs.create("a", Attributes(), None)
    await writer.write(b"1")
    committing = pytest_twisted.defer.ensureDeferred(writer.commit(Attributes(), ALWAYS))
    await committing
    await ufs.close()
    again = build(hdfs, "/faults/closing")
    reader = await again.open("a")
    assert await read(reader, 0, 1) == b"1"
    await again.close()

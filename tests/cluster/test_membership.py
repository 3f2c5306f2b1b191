"""Members that find each other in a real etcd."""

from __future__ import annotations

import shutil
import signal

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from zope.interface.verify import verifyObject

from alluxio_s3.cluster.etcd import Etcd
from alluxio_s3.cluster.etcd_words import EtcdError
from alluxio_s3.cluster.membership import decode, encode
from alluxio_s3.cluster.ownership import Ownership
from alluxio_s3.interfaces import IMembers, Member
from alluxio_s3.testing.workbench import outcome_of
from tests.cluster.joined import TTL, Joined, boottime
from tests.cluster.waiting import until

PATHS = [f"/b/{number}" for number in range(200)]


def owners(worker):
    return [worker.members.owners(path)[0].worker for path in PATHS]


@pytest_twisted.async_yield_fixture
async def join():
    """Makes workers, which are gone when the test has ended."""
    made = []

    async def begin(*arguments, **options):
        worker = Joined(*arguments, **options)
        made.append(worker)
        return await worker.start()

    yield begin
    for worker in made:
        await worker.close()


@pytest_twisted.ensureDeferred
async def test_joining_and_leaving(shared_node, prefix, join):
    """Whoever joins is there for all, with its ports, and all agree on who owns what; whoever is stopped is gone at once."""
    one = await join("w-1", [shared_node.endpoint], prefix)
    assert one.names == ["w-1"]
    assert one.members.is_alone()
    verifyObject(IMembers, one.members)
    two = await join("w-2", [shared_node.endpoint], prefix, boot="7")
    three = await join("w-3", [shared_node.endpoint], prefix)
    for worker in (one, two, three):
        await until(lambda worker=worker: worker.names == ["w-1", "w-2", "w-3"])
    assert one.members.find("w-2") == Member("w-2", "7", "127.0.0.1", 1, None, 2) == two.members.me
    assert owners(one) == owners(two) == owners(three)
    assert one.members.secret == two.members.secret == three.members.secret
    assert len(one.members.secret) >= 32
    assert not any(worker.members.is_alone() for worker in (one, two, three))
    before = one.members.epoch
    began = boottime()
    await three.leave()
    await until(lambda: one.names == two.names == ["w-1", "w-2"])
    assert boottime() - began < 1
    assert one.members.epoch > before
    assert not three.members.is_certain()


@pytest_twisted.ensureDeferred
async def test_one_that_is_killed(shared_node, prefix, join):
    """A worker that is not heard of is gone after its time to live, and there again, as who it was, when it is started anew."""
    one = await join("w-1", [shared_node.endpoint], prefix)
    two = await join("w-2", [shared_node.endpoint], prefix)
    await until(lambda: one.names == ["w-1", "w-2"])
    before = owners(one)
    await two.close()
    await until(lambda: one.names == ["w-1"], seconds=TTL + 5)
    assert not one.members.frozen
    again = await join("w-2", [shared_node.endpoint], prefix, boot="2")
    await until(lambda: one.names == ["w-1", "w-2"])
    assert one.members.find("w-2").boot == "2"
    assert owners(one) == owners(again) == before


@pytest_twisted.ensureDeferred
async def test_started_anew_at_once(shared_node, prefix, join):
    """A worker that was killed and is back before anybody noticed has taken its own place."""
    one = await join("w-1", [shared_node.endpoint], prefix)
    two = await join("w-2", [shared_node.endpoint], prefix)
    await until(lambda: one.names == ["w-1", "w-2"])
    one.sizes.clear()
    await two.close()
    await join("w-2", [shared_node.endpoint], prefix, boot="2")
    await until(lambda: one.members.find("w-2").boot == "2")
    assert one.sizes == [2]


@pytest_twisted.ensureDeferred
async def test_a_list_for_which_there_is_no_memory(shared_node, prefix, join, monkeypatch):
    """Whoever can't make a list of the members lists them again, and goes on to be told who comes."""
    one = await join("w-1", [shared_node.endpoint], prefix)
    await until(lambda: one.watched.following)
    asked = []
    listed = Etcd.list

    async def fail_once(self, prefix, since=0):
        asked.append(prefix)
        if len(asked) == 1:
            raise MemoryError
        return await listed(self, prefix, since)

    monkeypatch.setattr(Etcd, "list", fail_once)
    one.etcd.watch_anew()
    await until(lambda: asked)
    await join("w-2", [shared_node.endpoint], prefix)
    await until(lambda: one.names == ["w-1", "w-2"])


@pytest_twisted.ensureDeferred
async def test_several_processes(shared_node, prefix, join):
    """A worker is there as long as one of its processes is."""
    one = await join("w-1", [shared_node.endpoint], prefix)
    processes = [await join("w-2", [shared_node.endpoint], prefix, slot=slot) for slot in range(2)]
    await until(lambda: one.names == ["w-1", "w-2"])
    await processes[0].leave()
    await until(lambda: "workers/w-2/0" not in one.watched.entries)
    assert one.names == ["w-1", "w-2"]
    await processes[1].leave()
    await until(lambda: one.names == ["w-1"])


@pytest_twisted.ensureDeferred
async def test_etcd_that_hangs(own_node, join):
    """When etcd has hung for thrice the time to live all keys are gone at once: nobody is dropped, and all are registered anew."""
    workers = [await join(f"w-{number}", [own_node.endpoint], "/c/") for number in range(3)]
    for worker in workers:
        await until(lambda worker=worker: len(worker.names) == 3)
    before = owners(workers[0])
    leases = {worker.members._registration._lease for worker in workers}
    for worker in workers:
        worker.sizes.clear()
    own_node.signal(signal.SIGSTOP)
    await until(lambda: not any(worker.members.is_certain() for worker in workers), seconds=TTL + 5)
    began = boottime()
    await until(lambda: boottime() - began > 2 * TTL, seconds=3 * TTL)
    assert all(worker.members.frozen for worker in workers)
    own_node.signal(signal.SIGCONT)
    for worker in workers:
        await until(lambda worker=worker: worker.members.is_certain() and not worker.members.frozen and len(worker.names) == 3)
        assert min(worker.sizes, default=3) >= 2
        assert worker.members._registration._lease not in leases
        assert owners(worker) == before
        assert worker.forgotten[-1] == ""


@pytest_twisted.ensureDeferred
async def test_etcd_that_has_lost_everything(own_node, join):
    """While etcd is away nothing changes; when it comes back and knows nothing, all are registered anew and none was dropped."""
    workers = [await join(f"w-{number}", [own_node.endpoint], "/c/") for number in range(3)]
    for worker in workers:
        await until(lambda worker=worker: len(worker.names) == 3)
        worker.sizes.clear()
    epoch = workers[0].members.epoch
    own_node.kill()
    await until(lambda: all(worker.members.frozen and worker.members.trouble for worker in workers))
    assert isinstance(await outcome_of(workers[0].members.mark("/b/k")), EtcdError)
    own_node.wipe()
    own_node.start()
    for worker in workers:
        await until(lambda worker=worker: worker.members.is_certain() and not worker.members.frozen)
        assert len(worker.names) == 3
        assert min(worker.sizes, default=3) == 3
    assert workers[0].members.epoch >= epoch
    assert len({worker.members.secret for worker in workers}) == 1


@pytest_twisted.ensureDeferred
async def test_many_that_are_gone(shared_node, prefix, join):
    """Of several that vanish at once, those that do not answer when they are asked are dropped, and those that do are kept."""
    workers = [await join(f"w-{number}", [shared_node.endpoint], prefix) for number in range(4)]
    one = workers[0]
    await until(lambda: len(one.names) == 4)
    one.answers = {"w-1": False, "w-2": False}
    for worker in workers[1:]:
        lease = worker.members._registration._lease
        await worker.close()
        await one.etcd.revoke(lease)
    await until(lambda: one.members.frozen)
    await until(lambda: one.names == ["w-0", "w-3"])
    one.answers["w-3"] = False
    await until(lambda: one.names == ["w-0"])
    assert not one.members.frozen


@pytest_twisted.ensureDeferred
async def test_a_start_without_etcd(own_node, join):
    """A worker starts without etcd, alone, and joins when it is there."""
    own_node.kill()
    worker = await join("w-1", [own_node.endpoint], "/c/")
    assert worker.names == ["w-1"]
    assert worker.members.owners("/b/k") == (worker.members.me,)
    assert not worker.members.is_certain()
    assert worker.members.frozen
    assert worker.members.trouble
    own_node.start()
    await until(worker.members.is_certain)
    assert not worker.members.trouble
    other = await join("w-2", [own_node.endpoint], "/c/")
    await until(lambda: worker.names == other.names == ["w-1", "w-2"])


@pytest_twisted.ensureDeferred
async def test_a_gap_in_the_watch(own_node, join):
    """What happened while etcd could not be watched, and is compacted since, is seen all the same."""
    one = await join("w-1", [own_node.endpoint], "/c/")
    two = await join("w-2", [own_node.endpoint], "/c/")
    await until(lambda: one.names == ["w-1", "w-2"])
    one.watched.stop()
    await two.leave()
    three = await join("w-3", [own_node.endpoint], "/c/")
    three.etcd.timeout = 30.0  # to compact takes a while on a busy machine
    last = await three.etcd.put("/elsewhere", b"")
    await three.etcd.call("kv/compaction", {"revision": str(last)})
    one.watched.subscribe("workers/", one.members._workers_changed)
    one.watched.start()
    await until(lambda: one.names == ["w-1", "w-3"])


@pytest_twisted.ensureDeferred
async def test_marks(shared_node, prefix, join):
    """Who leaves word of a path goes on when nobody can be certain who has not heard of it: all leases have ended, or been renewed."""
    one = await join("w-1", [shared_node.endpoint], prefix)
    two = await join("w-2", [shared_node.endpoint], prefix)
    await until(lambda: one.names == two.names == ["w-1", "w-2"] and one.members.is_certain())
    one.forgotten.clear()
    two.forgotten.clear()
    one.watched.stop()  # as one-way cut as can be: it renews, and is told of nothing
    began = boottime()
    await gatherResults([Deferred.fromCoroutine(two.members.mark(path)) for path in ("/b/k", "/b/a b/ü//")])
    assert boottime() - began >= TTL + 1
    assert set(one.forgotten) == {"/b/k", "/b/a b/ü//"}
    assert one.members.is_certain()
    assert two.forgotten == []


@pytest_twisted.ensureDeferred
async def test_a_mark_after_all_was_lost(own_node, join):
    """Word can be left at once of an etcd that has lost its data, and all that was promised under a lease of before."""
    one = await join("w-1", [own_node.endpoint], "/c/")
    await until(one.members.is_certain)
    await one.members.mark("/b/k")
    own_node.kill()
    own_node.wipe()
    own_node.start()
    await until(lambda: one.members.is_certain() and one.watched.following)
    await one.members.mark("/b/l")
    assert await one.etcd.get("/c/marks/w-1.0//b/l") is not None


@pytest_twisted.ensureDeferred
async def test_older_data_of_etcd(own_node, join, tmp_path):
    """When etcd has been given a copy of its data of before, marks may be missing: all that is remembered is asked for anew."""
    one = await join("w-1", [own_node.endpoint], "/c/")
    await until(one.members.is_certain)
    own_node.kill()
    shutil.copytree(own_node.directory, tmp_path / "copy")
    own_node.start()
    await until(lambda: one.members.is_certain() and one.watched.following)
    for _ in range(20):
        await one.etcd.put("/elsewhere", b"")
    rounds = one.members._registration
    seen = rounds._seen
    await until(lambda: rounds._seen > seen)
    own_node.kill()
    own_node.wipe()
    shutil.copytree(tmp_path / "copy", own_node.directory)
    one.forgotten.clear()
    own_node.start()
    await until(lambda: "" in one.forgotten)
    await until(one.members.is_certain)


@pytest_twisted.ensureDeferred
async def test_members_of_which_nothing_is_heard(shared_node, prefix, join):
    """Who renews its lease and is not told who comes is not certain any more, since it may not own what it thinks."""
    one = await join("w-1", [shared_node.endpoint], prefix)
    two = await join("w-2", [shared_node.endpoint], prefix)
    await until(lambda: one.names == two.names == ["w-1", "w-2"] and one.members.is_certain() and two.members.is_certain())
    one.watched.stop()
    for stream in two.etcd._watches:
        stream.transport.pauseProducing()  # as if it were cut in one direction
    three = await join("w-3", [shared_node.endpoint], prefix)
    await until(lambda: not one.members.is_certain(), seconds=TTL + 5)
    assert one.members._registration.registered
    await until(lambda: two.names == ["w-1", "w-2", "w-3"])
    await until(two.members.is_certain)
    await three.leave()
    await until(lambda: two.names == ["w-1", "w-2"])


@pytest_twisted.ensureDeferred
async def test_a_round_that_fails(shared_node, prefix, join):
    """Whatever goes wrong in a round, the next one comes, and till one goes well nothing is certain."""
    one = await join("w-1", [shared_node.endpoint], prefix)
    two = await join("w-2", [shared_node.endpoint], prefix)
    await until(lambda: one.members.is_certain() and two.members.is_certain())
    failing = ["/b/k"]

    def fail(path):
        if path in failing:
            raise RuntimeError(path)

    one.members.on_mark(fail)
    marking = Deferred.fromCoroutine(two.members.mark("/b/k"))
    await until(lambda: not one.members.is_certain(), seconds=TTL + 5)
    await marking
    assert one.members.trouble
    failing.clear()
    await until(one.members.is_certain)
    assert not one.members.trouble


@pytest_twisted.ensureDeferred
async def test_certainty_waits_for_forgetting(shared_node, prefix, join):
    """A worker is certain only when what is marked has been forgotten, however long that takes."""
    one = await join("w-1", [shared_node.endpoint], prefix)
    two = await join("w-2", [shared_node.endpoint], prefix)
    await until(one.members.is_certain)
    forgotten = Deferred()
    one.members.on_mark(lambda _: forgotten)
    await until(lambda: two.members.find("w-1"))
    marking = Deferred.fromCoroutine(two.members.mark("/b/k"))
    await until(lambda: not one.members.is_certain(), seconds=TTL + 5)
    await marking
    assert not one.members.is_certain()
    forgotten.callback(None)
    await until(one.members.is_certain)


@pytest_twisted.ensureDeferred
async def test_two_of_one_identity(shared_node, prefix, join):
    """When another process takes a worker's place the first says so, is certain no more, and leaves the other its place till it goes."""
    one = await join("w-1", [shared_node.endpoint], prefix)
    await until(one.members.is_certain)
    two = await join("w-1", [shared_node.endpoint], prefix, boot="2")
    await until(lambda: "identity" in one.members.trouble)
    assert not one.members.is_certain()
    assert two.members.is_certain()
    await two.leave()
    await until(one.members.is_certain)


@pytest_twisted.ensureDeferred
async def test_a_key_that_was_deleted(shared_node, prefix, join):
    """A worker whose key somebody deletes puts it there again, at once, though its timers should be late."""
    one = await join("w-1", [shared_node.endpoint], prefix)
    two = await join("w-2", [shared_node.endpoint], prefix)
    await until(lambda: one.names == ["w-1", "w-2"])
    await until(lambda: two.members._registration._resting)
    two.members._registration.ttl = 3600
    two.members._registration.hurry()
    await until(lambda: two.members._registration._resting)
    await one.etcd.delete(prefix + "workers/w-2/0")
    await until(lambda: one.names == ["w-1"])
    await until(lambda: one.names == ["w-1", "w-2"])
    two.members._registration.ttl = TTL
    await until(two.members.is_certain)


@pytest_twisted.ensureDeferred
async def test_suspects(shared_node, prefix, join):
    """A worker that was not reached owns nothing for some seconds, or till it has registered anew; nobody suspects himself."""
    one = await join("w-1", [shared_node.endpoint], prefix)
    two = await join("w-2", [shared_node.endpoint], prefix)
    await until(lambda: one.names == ["w-1", "w-2"])
    path = next(path for path in PATHS if one.members.owners(path)[0].worker == "w-2")
    one.members.suspect("w-2")
    one.members.suspect("w-1")
    one.members.suspect("nobody")
    assert [member.worker for member in one.members.owners(path, 2)] == ["w-1"]
    await two.close()
    await join("w-2", [shared_node.endpoint], prefix, boot="2")
    await until(lambda: one.members.owners(path)[0].worker == "w-2")
    assert [member.worker for member in one.members.owners(path, 2)] == ["w-2", "w-1"]


@pytest_twisted.ensureDeferred
async def test_a_secret_of_their_own(shared_node, prefix, join):
    """A secret that is given is not in etcd; one that is in etcd and is replaced there is taken by all."""
    own = await join("w-1", [shared_node.endpoint], prefix, shared=b"x" * 40)
    assert own.members.secret == b"x" * 40
    assert await own.etcd.get(prefix + "secret") is None
    one = await join("w-2", [shared_node.endpoint], prefix)
    before = one.members.secret
    await one.etcd.put(prefix + "secret", b"y" * 40)
    await until(lambda: one.members.secret == b"y" * 40)
    assert before != b"y" * 40
    assert own.members.secret == b"x" * 40
    assert "yyyy" not in repr(one.members)


NO_WORKERS = [
    *(b"", b"{", b"[]", b"7", b'{"boot": "1"}', b"[" * 10_000),
    *(encode(Member("w", "1", "h", port, None, None), 5) for port in (0, 70_000, "80", True)),
    encode(Member("w", "1", 7, 1, None, None), 5),
]


@pytest.mark.parametrize("value", NO_WORKERS)
def test_what_is_no_worker(value):
    """What is at a worker's key and does not say where it is, is refused."""
    with pytest.raises(ValueError, match="no worker"):
        decode("w", value)
    member = Member("w", "1", "h", 80, 443, None, 1.5)
    assert decode("w", encode(member, 5)) == (member, 5)


@pytest_twisted.ensureDeferred
async def test_rubbish_among_the_members(shared_node, prefix, join):
    """A key that holds no worker does not keep others from being seen."""
    one = await join("w-1", [shared_node.endpoint], prefix)
    await one.etcd.put(prefix + "workers/x/0", b"rubbish")
    await join("w-2", [shared_node.endpoint], prefix)
    await until(lambda: one.names == ["w-1", "w-2"])
    await deferLater(reactor, 0)


@pytest_twisted.ensureDeferred
async def test_one_that_has_just_come_tells_all(shared_node, prefix, join):
    """Who has not heard yet that a worker has come is certain for a while, and answers from memory of what was its own: it is told."""
    one = await join("w-1", [shared_node.endpoint], prefix)
    await until(one.members.is_certain)
    one.watched.stop()
    two = Joined("w-2", [shared_node.endpoint], prefix)
    writer = Ownership(two.members, boottime, TTL + 1.0)
    await two.start()
    assert one.names == ["w-1"]
    assert two.names == ["w-1", "w-2"]
    assert one.members.is_certain()
    assert two.members.is_certain()
    paths = [f"/b/{number}" for number in range(20)]
    told = [[witness.worker for witness in writer.witnesses(path)] for path in paths]
    await two.leave()
    assert told == [["w-1"]] * len(paths)

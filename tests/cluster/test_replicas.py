"""Objects that many ask for, of which several workers hold a copy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from alluxio_s3.cluster.membership import decode, encode
from alluxio_s3.cluster.ownership import NOT_AT_ALL, Ownership
from alluxio_s3.cluster.peer_reader import PeerReader
from alluxio_s3.cluster.replicas import HOT_READS, WINDOW_SECONDS, Replicas
from alluxio_s3.interfaces import ICachedReader, IUnderFileSystem, Member
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.memory import MemoryUnderFileSystem
from tests.cluster.fixed_members import FixedMembers, member
from tests.cluster.workers import InnerWorker, start_workers

QUARTET = [evolve(member(f"worker-{number}"), owners=2) for number in (1, 2, 3, 4)]
PATHS = [f"/b/key-{number}" for number in range(60)]


def chosen(clock: Clock, me: str, paths: list[str], reads: int, count: int = 2) -> list[tuple[Member, tuple[Member, ...]]]:
    """Whom ``me`` asks for each path after so many reads of it, and the first two owners."""
    members = FixedMembers(me, QUARTET)
    found = Replicas(members, count, clock.seconds)
    for path in paths:
        for _ in range(reads):
            found.note(path)
    return [(found.owner(path), members.owners(path, 2)) for path in paths]


def test_what_is_asked_for_often_has_several_owners() -> None:
    """Below that everybody asks the owner; from then on an owner serves itself, and the others spread over the owners."""
    for me in ("worker-1", "worker-2"):
        assert all(asked == owners[0] for asked, owners in chosen(Clock(), me, PATHS, HOT_READS - 1))
        assert all(asked == owners[0] for asked, owners in chosen(Clock(), me, PATHS, 100, count=1))
        hot = chosen(Clock(), me, PATHS, HOT_READS)
        assert all(asked.worker == me for asked, owners in hot if me in {one.worker for one in owners})
        others = [owners.index(asked) for asked, owners in hot if me not in {one.worker for one in owners}]
        assert {others.count(0) > 5, others.count(1) > 5} == {True}


def test_who_was_sent_to_a_copy_is_served_there() -> None:
    """One that another worker sent to a later owner is served by that one from the first read on; elsewhere nothing is hot by that."""
    for me in ("worker-1", "worker-2"):
        members = FixedMembers(me, QUARTET)
        found = Replicas(members, 2, Clock().seconds)
        for path in PATHS:
            found.note(path, sent=True)
            owners = [one.worker for one in members.owners(path, 2)]
            assert found.owner(path).worker == (me if me in owners else owners[0])
            found.note(path)
            assert found._is_hot(path) == (me == owners[1])


def test_who_is_suspect_is_not_asked() -> None:
    """A copy whose worker is not reached is passed over."""
    members = FixedMembers("worker-1", QUARTET)
    found = Replicas(members, 2, Clock().seconds)
    for path in PATHS:
        for _ in range(HOT_READS):
            found.note(path)
    members.suspect("worker-2")
    assert "worker-2" not in {found.owner(path).worker for path in PATHS}


def test_what_is_hot_cools() -> None:
    """Reads count for two windows; what is not asked for after that is its owner's alone again."""
    clock = Clock()
    members = FixedMembers("worker-1", QUARTET)
    found = Replicas(members, 2, clock.seconds)
    path = next(path for path in PATHS if members.owners(path, 2)[1].worker == "worker-1")
    for _ in range(2):
        for _ in range(HOT_READS // 2):
            found.note(path)
        clock.advance(WINDOW_SECONDS - 1)
    assert found.owner(path).worker == "worker-1"
    clock.advance(2 * WINDOW_SECONDS)
    assert found.owner(path) == members.owners(path)[0]


def test_members_that_do_not_agree_on_how_many() -> None:
    """While one member knows of fewer owners, no more rely on what they remember, and all that any member counts on are told of a write."""
    clock = Clock()
    paths = [
        path for path in PATHS if [one.worker for one in FixedMembers("worker-1", QUARTET).owners(path, 2)] == ["worker-2", "worker-1"]
    ]
    assert paths
    for odd, relies in (((), True), (("worker-4",), False)):
        live = [evolve(one, owners=1) if one.worker in odd else one for one in QUARTET]
        second = Ownership(FixedMembers("worker-1", live), clock.seconds, 0.0)
        assert {second.limit(path) != NOT_AT_ALL for path in paths} == {relies}
        writer = Ownership(FixedMembers("worker-3", live), clock.seconds, 0.0)
        for path in paths:
            assert [one.worker for one in writer.witnesses(path) or ()] == ["worker-2", "worker-1"]


def test_how_many_is_registered() -> None:
    """Members tell each other; of one that says nothing there is one owner, and what is no number is refused."""
    assert decode("worker-1", encode(QUARTET[0], 5)) == (QUARTET[0], 5)
    silent = encode(QUARTET[0], 5).replace(b', "owners": 2', b"")
    assert decode("worker-1", silent)[0].owners == 1
    for wrong in (b"0", b"true", b'"2"', b"1.5"):
        with pytest.raises(ValueError, match="no worker"):
            decode("worker-1", encode(QUARTET[0], 5).replace(b'"owners": 2', b'"owners": ' + wrong))


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[tuple[MemoryUnderFileSystem, list[InnerWorker]]]:
    """Three workers that remember, two of which hold what is hot; and their store."""
    threads = Threads(reactor, 4, "replicas-test")
    threads.start()
    shared = MemoryUnderFileSystem(reactor, buckets=False)
    policy = {"freshness": "max_age", "max_age": 3600}
    starting = start_workers([f"worker-{number}" for number in (1, 2, 3)], shared, tmp_path, threads, owners=2, **policy)
    made = pytest_twisted.blockon(Deferred.fromCoroutine(starting))
    yield shared, made
    for one in made:
        pytest_twisted.blockon(Deferred.fromCoroutine(one.close()))
    threads.stop()


async def write(store: IUnderFileSystem, key: str, data: bytes) -> None:
    """Write an object."""
    writer = await store.create(key, Attributes(), len(data))
    await writer.write(data)
    await writer.commit(Attributes(), ALWAYS)


@pytest_twisted.ensureDeferred
async def test_copies_are_as_fresh_as_the_first(trio) -> None:
    """A worker that holds a copy of what is hot answers from its own memory and cache; when another writes, both have forgotten it."""
    shared, (one, two, three) = trio
    key = next(f"key-{n}" for n in range(1000) if [m.worker for m in one.members.owners(f"/b/key-{n}", 2)] == ["worker-1", "worker-2"])
    await write(three.store, key, b"x" * 9000)

    async def seen(worker: InnerWorker) -> tuple[bytes, bool]:
        """The bytes, and whether another worker gave them."""
        worker.store.note(key, sent=False)
        reader = await worker.store.open(key)
        cached = ICachedReader(reader)
        await cached.prepare(0, reader.status.size)
        data = b"".join([piece async for piece in reader.read(0, reader.status.size)])
        await reader.close()
        return data, isinstance(reader, PeerReader)

    assert await seen(two) == (b"x" * 9000, True)
    for _ in range(HOT_READS):
        two.store.note(key, sent=False)
    assert await seen(two) == (b"x" * 9000, False)
    await write(shared, key, b"y" * 4000)  # behind the workers' back
    assert (await two.store.status(key)).size == 9000
    for number, writer in enumerate((three, one, two)):
        data = str(number).encode() * 5000
        await write(writer.store, key, data)
        for reader in (one, two, three):
            assert (await seen(reader))[0] == data
            assert (await reader.store.status(key)).size == 5000

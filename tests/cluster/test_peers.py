"""What workers ask of each other, and reads and writes of what another owns."""

from __future__ import annotations

import contextlib
import errno
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet._resolver import HostResolution
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer

from alluxio_s3.cluster.links import Link
from alluxio_s3.cluster.messages import VERSION, Question, Told
from alluxio_s3.cluster.notices import AGAIN_SECONDS, MOST_OWED, Owed
from alluxio_s3.cluster.peer_reader import PeerReader
from alluxio_s3.cluster.peers import ATTEMPT_SECONDS, Patience, PeerFailed, Peers
from alluxio_s3.cluster.seals import HEADER, BadSeal, Seals
from alluxio_s3.forwarding import ForwardingUnderFileSystem
from alluxio_s3.http import peers as peers_site
from alluxio_s3.interfaces import ICachedReader, IHotObjects, IObjectReader
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes, NoSuchPath, ObjectChanged, Provenance, Status, Unavailable
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.memory import MemoryUnderFileSystem
from tests.cluster.fixed_members import FixedMembers, member, owned_by
from tests.cluster.waiting import until
from tests.cluster.workers import PAGE, InnerWorker, start_workers
from tests.http.conftest import RawClient

NAMES = ["worker-1", "worker-2", "worker-3"]
PATIENT = Patience(30.0, 30.0, 60.0)


@pytest.fixture
def threads() -> Iterator[Threads]:
    """A few threads."""
    made = Threads(reactor, 4, "cluster-test")
    made.start()
    yield made
    made.stop()


class Cluster:
    """Three workers before one store in memory."""

    def __init__(self, shared: MemoryUnderFileSystem, workers: list[InnerWorker]) -> None:
        self.shared = shared
        self.workers = workers

    def key(self, number: int) -> str:
        """A key that worker ``number`` owns."""
        return owned_by(self.workers[0].members, f"worker-{number}")

    async def put(self, store: Any, key: str, data: bytes) -> Status:
        """Write an object through ``store``."""
        writer = await store.create(key, Attributes(), len(data))
        await writer.write(data)
        return await writer.commit(Attributes(), ALWAYS)


@pytest.fixture
def cluster(tmp_path: Path, threads: Threads, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes clusters, with the cache's policy. All workers share one reactor: on a busy machine none of them is quick."""
    monkeypatch.setattr("alluxio_s3.cluster.peers.FOR_READERS", PATIENT)
    monkeypatch.setattr("alluxio_s3.cluster.peers.FOR_OTHERS", PATIENT)
    made: list[Cluster] = []

    async def make(**policy: Any) -> Cluster:
        shared = MemoryUnderFileSystem(reactor, buckets=False)
        made.append(Cluster(shared, await start_workers(NAMES, shared, tmp_path, threads, **policy)))
        return made[-1]

    yield make
    for one in made:
        for worker in one.workers:
            pytest_twisted.blockon(Deferred.fromCoroutine(worker.close()))


@pytest.fixture
def lasting_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A size that was told counts until it is forgotten."""
    for name in ("MOMENT_SECONDS", "SIZE_SECONDS"):
        monkeypatch.setattr(f"alluxio_s3.cluster.sizes.{name}", 1e9)


async def read(reader: IObjectReader, offset: int = 0, count: int | None = None) -> bytes:
    """Bytes of it, as GetObject reads them."""
    count = reader.status.size - offset if count is None else count
    cached = ICachedReader(reader, None)
    if cached is not None:
        await cached.prepare(offset, count)
    try:
        return b"".join([piece async for piece in reader.read(offset, count)])
    finally:
        await reader.close()


def body(size: int, seed: int = 0) -> bytes:
    """Bytes that are nowhere the same."""
    return b"".join(b"%08d" % ((seed + n) % 10**8) for n in range(size // 8 + 1))[:size]


@pytest_twisted.ensureDeferred
async def test_what_another_owns_is_read_through_it(cluster) -> None:
    """A read comes from the owner, of any size and range, and only its cache keeps it."""
    made = await cluster()
    first, second, _ = made.workers
    for size in (0, 1, 100, 16 << 10, 50_000, 1 << 20):
        key = made.key(2)
        data = body(size)
        await made.put(made.shared, key, data)
        reader = await first.store.open(key)
        assert isinstance(reader, PeerReader)
        assert (reader.status.size, await read(reader)) == (size, data)
        if size > 1000:
            assert await read(await first.store.open(key), 500, 400) == data[500:900]
            assert await read(await first.store.open(key), size - 300, 300) == data[-300:]
            assert await read(await first.store.open(key), 1, size - 1) == data[1:]
    for worker, kept in ((first, 0), (second, 1 << 20)):
        reader = await worker.store.here.open(key)
        await until(lambda worker=worker: worker.cache.fills.budget.taken == 0)
        assert await ICachedReader(reader).resident(0, 1 << 20) == kept
        await reader.close()


@pytest_twisted.ensureDeferred
async def test_questions_go_past_the_framework(cluster, monkeypatch) -> None:
    """What peers ask is in the form that is answered without twisted.web; in any other form it is answered, too, or refused."""
    made = await cluster()
    first, second, _ = made.workers
    key = made.key(2)
    await made.put(made.shared, key, b"right")
    asked = []
    serve = second.site.serve
    monkeypatch.setattr(second.site, "serve", lambda request: (asked.append(request.uri), serve(request)))
    assert await read(await first.store.open(key)) == b"right"
    assert not asked
    client = await connectProtocol(TCP4ClientEndpoint(reactor, second.members.me.host, second.port), RawClient())
    client.write(b"GET /none HTTP/1.1\r\nHost: h\r\n\r\n")
    assert b" 403 " in await client.until(b"\r\n\r\n")
    assert asked == [b"/none"]
    client.leave()


@pytest_twisted.ensureDeferred
async def test_what_this_worker_owns_is_read_here(cluster) -> None:
    """Nobody else is asked for what is ours."""
    made = await cluster()
    key = made.key(1)
    await made.put(made.shared, key, b"data")
    reader = await made.workers[0].store.open(key)
    assert not isinstance(reader, PeerReader)
    assert await read(reader) == b"data"


@pytest_twisted.ensureDeferred
async def test_what_is_not_there(cluster) -> None:
    """An object that is not there is not there, whoever is asked."""
    made = await cluster()
    for worker in made.workers:
        with pytest.raises(NoSuchPath):
            await worker.store.open(made.key(2))
        with pytest.raises(NoSuchPath):
            await worker.store.status(made.key(2))


@pytest_twisted.ensureDeferred
async def test_attributes_come_too(cluster) -> None:
    """The Status of what another owns is the store's, attributes and all."""
    made = await cluster(freshness="max_age", max_age=60)
    key = made.key(2)
    attributes = Attributes(
        "text/x", {"cache-control": "no"}, {"a": "é"}, {"t": "1"}, None, {"CRC32": "AAAA"}, "FULL_OBJECT", (5, 5, 2), "alice"
    )
    writer = await made.shared.create(key, attributes, 12)
    await writer.write(b"x" * 12)
    status = await writer.commit(attributes, ALWAYS)
    assert await made.workers[0].store.status(key) == status
    reader = await made.workers[0].store.open(key)
    assert reader.status == status
    await reader.close()


@pytest_twisted.ensureDeferred
async def test_an_owner_that_is_gone(cluster) -> None:
    """When the owner refuses connections it is suspected, and the read is served at once."""
    made = await cluster()
    first, second, _ = made.workers
    key = made.key(2)
    data = body(100_000)
    await made.put(made.shared, key, data)
    await second.die()
    assert await read(await first.store.open(key)) == data
    assert first.members.suspects == {"worker-2"}


@pytest_twisted.ensureDeferred
async def test_an_owner_that_dies_while_nobody_asks(cluster) -> None:
    """Its connections end, and it is suspected before anybody is sent there, or asks it. One that only lets go of connections is not."""
    made = await cluster()
    first, second, third = made.workers
    for number in (2, 3):
        await made.put(made.shared, made.key(number), b"data")
        assert await read(await first.store.open(made.key(number))) == b"data"
    greeted = len(third.site.connections)
    for connection in list(third.site.connections):
        connection.transport.abortConnection()
    await until(lambda: not third.site.connections and not first.peers._looking, "the look")
    assert greeted
    assert not first.members.suspects
    await second.die()
    await until(lambda: first.members.suspects == {"worker-2"}, "the look at a dead one")
    await until(lambda: not first.peers._looking, "the end of that look")
    assert not first.peers._idle  # members come and go, each at another address: nothing is kept of those that have gone


@pytest_twisted.ensureDeferred
async def test_an_owner_that_dies_in_the_middle(cluster) -> None:
    """A read whose owner goes away goes on elsewhere, at the same byte."""
    made = await cluster()
    first, second, _ = made.workers
    key = made.key(2)
    data = body(4 << 20)
    await made.put(made.shared, key, data)
    reader = await first.store.open(key)
    got = b""
    async for piece in reader.read(0, len(data)):
        got += piece
        if len(got) < 300_000:
            continue
        if second.listening is not None and not first.members.suspects:
            await second.die()
    await reader.close()
    assert got == data
    assert first.members.suspects == {"worker-2"}


@pytest_twisted.ensureDeferred
async def test_an_owner_that_is_silent(cluster, monkeypatch) -> None:
    """An owner that takes a connection and says nothing is suspected before a client notices, and the read is served."""
    monkeypatch.setattr("alluxio_s3.cluster.peers.FOR_READERS", Patience(30.0, 0.2, 60.0))
    made = await cluster()
    first, second, _ = made.workers
    await made.put(made.shared, made.key(2), b"data")
    with socket.create_server((second.members.me.host, 0)) as silent:
        mute = evolve(second.members.me, peer_port=silent.getsockname()[1])
        first.members.change([mute if one.worker == mute.worker else one for one in first.members.live])
        assert await read(await first.store.open(made.key(2))) == b"data"
    assert "worker-2" in first.members.suspects


@pytest_twisted.ensureDeferred
async def test_who_stood_still_itself_reads_what_has_come() -> None:
    """A worker that did not run for a while takes nobody for silent whose answer was there in time."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = TCP4ClientEndpoint(reactor, *server.getsockname())
        link = await endpoint.connect(Factory.forProtocol(lambda: Link(reactor)))
        peer, _ = server.accept()
        with peer:
            asking = Deferred.fromCoroutine(link.ask(b"?", 0.05, 30.0))
            peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            until_late = reactor.seconds() + 0.1
            while reactor.seconds() < until_late:
                pass
            assert (await asking).status == 200
            assert link.usable
            link.abort()


@implementer(IHostnameResolver)
class SilentResolver:
    """Never tells an address."""

    def resolveHostName(self, receiver, hostName, *_, **__):  # noqa: N803  # Twisted's names
        """See ``IHostnameResolver``."""
        resolution = HostResolution(hostName)
        receiver.resolutionBegan(resolution)
        return resolution


@pytest_twisted.ensureDeferred
async def test_an_owner_whose_address_nobody_tells(cluster, monkeypatch) -> None:
    """Where the name of an owner is not resolved, for long, it is suspected as one that takes no connection, and the read is served."""
    made = await cluster()
    first, second, _ = made.workers
    await made.put(made.shared, made.key(2), b"data")
    monkeypatch.setattr("alluxio_s3.cluster.peers.FOR_READERS", Patience(0.1, 30.0, 60.0))
    named = evolve(second.members.me, host="worker-2.example", peer_port=second.port)
    first.members.change([named if one.worker == named.worker else one for one in first.members.live])
    before = reactor.installNameResolver(SilentResolver())
    try:
        opening = Deferred.fromCoroutine(first.store.open(made.key(2)))
        await until(lambda: opening.called, "the read")
        reader = await opening
    finally:
        reactor.installNameResolver(before)
    assert await read(reader) == b"data"
    assert "worker-2" in first.members.suspects


@pytest_twisted.ensureDeferred
async def test_an_owner_that_has_lost_the_store(cluster, monkeypatch) -> None:
    """An owner that lives, and waits for a store that others reach, holds up their reads no longer than their patience lasts."""
    monkeypatch.setattr("alluxio_s3.cluster.peers.FOR_READERS", Patience(30.0, 30.0, 0.2))
    made = await cluster()
    first, second, _ = made.workers
    await made.put(made.shared, made.key(2), b"data")
    monkeypatch.setattr(second.store.here, "open", lambda _: Deferred())
    assert await read(await first.store.open(made.key(2))) == b"data"
    assert first.members.suspects == {"worker-2"}


@implementer(IObjectReader)
class OddReader:
    """``reader``, which gives bytes after ``before`` has returned."""

    def __init__(self, reader: IObjectReader, before: Callable[[], Awaitable[None]]) -> None:
        self.reader = reader
        self.status = reader.status
        self.before = before

    async def read(self, offset: int, count: int) -> AsyncIterator[bytes]:
        """See IObjectReader."""
        await self.before()
        async for piece in self.reader.read(offset, count):
            yield piece

    async def close(self) -> None:
        """See IObjectReader."""
        await self.reader.close()


def reads_oddly(worker: InnerWorker, before: Callable[[], Awaitable[None]]) -> None:
    """Have the store, as ``worker`` sees it, give bytes after ``before`` has returned."""
    shared = worker.store.here._inner

    async def opened(path: str) -> OddReader:
        return OddReader(await shared.open(path), before)

    odd = worker.store.here._inner = ForwardingUnderFileSystem(shared)
    odd.open = opened


@pytest_twisted.ensureDeferred
async def test_an_owner_whose_store_takes_its_time(cluster, monkeypatch) -> None:
    """As long as an owner waits for the first bytes of the store it gives signs of life: it is not suspected."""
    for name in ("SIGN_SECONDS", "SIGN_AGAIN_SECONDS"):
        monkeypatch.setattr(f"alluxio_s3.http.peers.{name}", 0.05)
    made = await cluster()
    first, second, _ = made.workers
    await made.put(made.shared, made.key(2), b"data")
    waiting: list[Deferred[None]] = []
    give = peers_site._Signs._give

    def given(signs: Any) -> None:
        give(signs)
        while waiting:
            waiting.pop().callback(None)

    async def wait() -> None:
        waiting.append(Deferred())
        await waiting[-1]

    monkeypatch.setattr(peers_site._Signs, "_give", given)
    reads_oddly(second, wait)
    assert await read(await first.store.open(made.key(2))) == b"data"
    assert not first.members.suspects


@pytest_twisted.ensureDeferred
async def test_an_owner_whose_store_gives_no_bytes(cluster) -> None:
    """It says so, and lives: it is not asked again for that, and not suspected."""
    made = await cluster()
    first, second, _ = made.workers
    keys = [key for n in range(100) if first.members.owners(f"/b/{(key := f'key-{n}')}")[0].worker == "worker-2"]
    for key in keys[:2]:
        await made.put(made.shared, key, b"data")
    assert await read(await first.store.open(keys[0])) == b"data"  # the connection is kept
    asked: list[None] = []

    async def fail() -> None:
        asked.append(None)
        raise Unavailable("data")

    reads_oddly(second, fail)
    assert await read(await first.store.open(keys[1])) == b"data"
    assert not first.members.suspects
    assert len(asked) == 1


@pytest_twisted.ensureDeferred
async def test_an_owner_that_has_no_descriptors(cluster, monkeypatch) -> None:
    """What the machine refuses an owner is told to who asked, who reads elsewhere: no connection is cut, and nobody suspected."""
    made = await cluster(freshness="immutable")
    first, second, _ = made.workers
    await made.put(made.shared, made.key(2), b"data")
    await first.store.status(made.key(2))
    kept = set(second.site.connections)

    async def refuse(path: str) -> None:
        raise OSError(errno.EMFILE, "no more descriptors")

    for name in ("open", "status"):
        monkeypatch.setattr(second.store.here, name, refuse)
    assert await read(await first.store.open(made.key(2))) == b"data"
    assert (await first.store.status(made.key(2))).size == 4
    assert kept
    assert set(second.site.connections) == kept
    assert not first.members.suspects


@pytest_twisted.ensureDeferred
async def test_a_size_counts_while_its_owner_is_there(cluster, lasting_sizes) -> None:
    """What an owner told with a status, or with bytes, is known; once a connection to it has ended nothing is."""
    made = await cluster(freshness="immutable")
    first, second, _ = made.workers
    key, owner = made.key(2), first.members.find("worker-2")
    await made.put(made.shared, key, b"data")
    assert first.store.size(key, owner) is None
    for ask in (first.store.status, first.store.open):
        done = await ask(key)
        if isinstance(done, PeerReader):
            await done.close()
        assert first.store.size(key, owner) == 4
        for connection in list(second.site.connections):
            connection.transport.abortConnection()
        await until(lambda: first.store.size(key, owner) is None, "the end of a connection")
    await first.store.status(key)
    assert first.store.size(key, owner) == 4
    await second.die()
    await until(lambda: first.members.suspects == {"worker-2"}, "the look at a dead one")
    assert first.store.size(key, owner) is None


@pytest_twisted.ensureDeferred
async def test_whoever_wants_a_size_all_the_time_never_waits_for_it(cluster, monkeypatch) -> None:
    """A worker that wants the size of an object of another again and again asks for it ahead, and always has it, until that one is gone."""
    monkeypatch.setattr("alluxio_s3.cluster.sizes.MOMENT_SECONDS", 4.0)  # on a busy machine
    monkeypatch.setattr("alluxio_s3.cluster.sizes._AHEAD", 0.001)
    made = await cluster(freshness="immutable")
    first, second, _ = made.workers
    key, owner = made.key(2), first.members.find("worker-2")
    await made.put(made.shared, key, b"data")
    await first.store.status(key)
    told, tell = [], first.sizes.tell
    monkeypatch.setattr(first.sizes, "tell", lambda *words: (told.append(words), tell(*words)))

    def told_again() -> bool:
        assert first.store.size(key, owner) == 4
        return told[2:] != []

    await until(told_again, "answers to questions ahead")
    assert set(told) == {(f"/b/{key}", 4, "worker-2")}
    await second.die()
    await until(lambda: first.store.size(key, owner) is None, "the look at a dead one")


@pytest_twisted.ensureDeferred
async def test_an_owner_that_would_ask_the_store_is_not_asked_ahead(cluster, monkeypatch) -> None:
    """With freshness ``strong`` a size that came with bytes is good for its time, and brings no questions of its own."""
    monkeypatch.setattr("alluxio_s3.cluster.sizes._AHEAD", -1.0)  # it is always time to ask
    made = await cluster(freshness="strong")
    first = made.workers[0]
    key, owner = made.key(2), first.members.find("worker-2")
    await made.put(made.shared, key, b"data")
    assert await read(await first.store.open(key)) == b"data"
    assert first.sizes.is_due(f"/b/{key}", owner.worker)
    asked: list[str] = []
    monkeypatch.setattr(first.peers, "status", lambda member, path, store: asked.append(path))
    assert [first.store.size(key, owner) for _ in range(3)] == [4, 4, 4]
    await deferLater(reactor, 0)
    await deferLater(reactor, 0)
    assert asked == []


@pytest_twisted.ensureDeferred
async def test_a_size_is_forgotten_with_a_body_that_ends(cluster, lasting_sizes) -> None:
    """That a connection ends while it gives bytes, and no other one is kept, is a word of its owner being gone, too."""
    made = await cluster(freshness="immutable")
    first, second, _ = made.workers
    key, owner = made.key(2), first.members.find("worker-2")
    data = body(4 << 20)
    await made.put(made.shared, key, data)
    given = await first.store.give(key, 0, len(data))
    assert first.store.size(key, owner) == len(data)
    for connection in list(second.site.connections):
        connection.transport.abortConnection()
    with pytest.raises(PeerFailed):
        async for _ in given.pieces():
            pass
    given.close()
    assert first.store.size(key, owner) is None


@pytest_twisted.ensureDeferred
async def test_never_two_versions(cluster) -> None:
    """A read whose owner goes away, of an object that has been replaced meanwhile, is cut."""
    made = await cluster()
    first, second, _ = made.workers
    key = made.key(2)
    data = body(4 << 20)
    await made.put(made.shared, key, data)
    reader = await first.store.open(key)
    got = b""
    with pytest.raises(ObjectChanged):
        async for piece in reader.read(0, len(data)):
            got += piece
            if not first.members.suspects:
                await made.put(made.shared, key, body(4 << 20, 7))
                await second.die()
                first.members.suspect("worker-2")
    await reader.close()
    assert data.startswith(got)


@pytest_twisted.ensureDeferred
async def test_an_abandoned_read_leaves_nothing(cluster) -> None:
    """A reader that is closed early lets go of the owner's side, too."""
    made = await cluster()
    first, second, _ = made.workers
    key = made.key(2)
    await made.put(made.shared, key, body(8 << 20))
    reader = await first.store.open(key)
    pieces = reader.read(0, 8 << 20)
    await anext(pieces)
    await pieces.aclose()
    await reader.close()
    await until(lambda: not second.site.busy)
    await second.namespace.visits.departed()


@pytest_twisted.ensureDeferred
async def test_memory_of_a_stopped_reader_is_bounded(cluster) -> None:
    """While nobody reads, no more than a little comes."""
    made = await cluster()
    first = made.workers[0]
    key = made.key(2)
    await made.put(made.shared, key, body(8 << 20))
    reader = await first.store.open(key)
    pieces = reader.read(0, 8 << 20)
    await anext(pieces)
    link = reader._given._link
    await until(lambda: link._paused)
    assert link._held <= 256 << 10
    await pieces.aclose()
    await reader.close()


@pytest_twisted.ensureDeferred
async def test_a_write_elsewhere_is_seen_at_once(cluster) -> None:
    """What the owner remembers is forgotten before a write through any worker is answered."""
    made = await cluster(freshness="max_age", max_age=3600, negative_max_age=3600)
    for writer in made.workers:
        for owner in (1, 2, 3):
            key = made.key(owner)
            for data in (b"one", b"other", b"third!"):
                await made.put(writer.store, key, data)
                for worker in made.workers:
                    assert await read(await worker.store.open(key)) == data
                    assert (await worker.store.status(key)).size == len(data)
            await writer.store.delete(key, ALWAYS)
            for worker in made.workers:
                with pytest.raises(NoSuchPath):
                    await worker.store.open(key)


@pytest_twisted.ensureDeferred
async def test_what_the_owner_remembers_saves_the_store(cluster) -> None:
    """An owner that is certain answers from memory; one that is not asks the store."""
    made = await cluster(freshness="max_age", max_age=3600)
    first, second, _ = made.workers
    key = made.key(2)
    await made.put(first.store, key, b"old")
    # What was learned in the same millisecond as the write does not count.
    await until(lambda: second.ownership.limit(f"/b/{key}") > 0.01)
    for _ in range(500):  # the page is kept some time after it was read
        reader = await first.store.open(key)
        seen = await reader.prepare(0, 3)
        assert await read(reader) == b"old"
        if not seen.forward:
            break
    await made.put(made.shared, key, b"behind its back")
    assert await read(await first.store.open(key)) == b"old"
    second.members.certain = False
    assert await read(await first.store.open(key)) == b"behind its back"


@pytest_twisted.ensureDeferred
async def test_hot_objects_are_only_ours(cluster) -> None:
    """The short way serves what this worker owns, while it is certain; nothing of others'."""
    made = await cluster(freshness="max_age", max_age=3600)
    first = made.workers[0]
    hot = IHotObjects(first.store)
    for owner in (1, 2):
        await made.put(first.store, made.key(owner), b"data")
    found = None
    for _ in range(500):  # the page is kept some time after it was read, and opened when it is read again
        for owner in (1, 2):
            assert await read(await first.store.here.open(made.key(owner))) == b"data"
        found = hot.hot(made.key(1))
        if found is not None:
            found.release()
            break
    assert found is not None
    assert hot.hot(made.key(2)) is None
    first.members.certain = False
    assert hot.hot(made.key(1)) is None


@pytest_twisted.ensureDeferred
async def test_what_the_owner_is_to_load(cluster) -> None:
    """What is to be loaded comes into the owner's cache, and what is there is what the owner has."""
    made = await cluster()
    first, second, _ = made.workers
    key, size = made.key(2), 10 * PAGE
    await made.put(first.store, key, body(size))
    reader = await first.store.open(key)
    cached = ICachedReader(reader)
    await cached.load(0, size)
    assert await cached.resident(0, size) == size
    await reader.close()
    for store, there in ((first.store.here, 0), (second.store, size)):
        reader = await store.open(key)
        assert await ICachedReader(reader).resident(0, size) == there
        await reader.close()


@pytest_twisted.ensureDeferred
async def test_an_owner_that_cannot_be_told(cluster) -> None:
    """When the owner does not acknowledge, word is left; when that fails too, the write is not answered with success."""
    made = await cluster(freshness="max_age", max_age=3600)
    first, second, _ = made.workers
    key = made.key(2)
    await second.die()
    await made.put(first.store, key, b"one")
    assert first.members.marked == [f"/b/{key}"]
    first.members.can_mark = False
    with pytest.raises(Unavailable):
        await made.put(first.store, key, b"two")
    assert list(first.store.neighbours.notices.owed.paths) == [f"/b/{key}"]
    await made.put(first.store, made.key(1), b"ours needs nobody")


def test_word_that_could_not_be_left_is_left_later() -> None:
    """What changed while nobody could be told is not forgotten: word of it is left as soon as that can be, of all if there is too much."""
    clock, marked, can = Clock(), [], []

    async def mark(path: str) -> None:
        if not can:
            raise Unavailable(path)
        marked.append(path)

    owed = Owed(mark, clock)
    for path in ("/b/one", "/b/two", "/b/one"):
        owed.add(path)
    clock.advance(AGAIN_SECONDS)
    assert (marked, set(owed.paths)) == ([], {"/b/one", "/b/two"})
    can.append(True)
    clock.advance(AGAIN_SECONDS)
    assert len(marked) == 1
    clock.advance(AGAIN_SECONDS)
    assert (sorted(marked), list(owed.paths)) == (["/b/one", "/b/two"], [])
    assert not clock.getDelayedCalls()
    for number in range(MOST_OWED + 2):
        owed.add(f"/b/{number}")
    clock.advance(AGAIN_SECONDS)
    assert marked[2:] == [""]
    owed.add("/b/three")
    owed.close()
    assert not clock.getDelayedCalls()


def test_word_of_much_is_left_in_two_goes() -> None:
    """However much changed while nobody could be told: when etcd is there again, all know of it after the second word."""
    clock, marked = Clock(), []

    async def mark(path: str) -> None:
        marked.append(path)

    owed = Owed(mark, clock)
    for number in range(1000):
        owed.add(f"/b/{number}")
    for _ in range(2):
        clock.advance(AGAIN_SECONDS)
    assert not owed.paths
    assert "" in marked


@pytest_twisted.ensureDeferred
async def test_an_owner_of_which_nothing_can_be_asked(cluster) -> None:
    """An owner with a name for which there can be no TLS is one that does not answer: reads come from the store, of writes word is left."""
    made = await cluster(freshness="max_age", max_age=3600)
    first = made.workers[0]
    key = made.key(2)

    def refuse(host: str) -> Any:
        raise ValueError(host)

    first.peers._trust = refuse
    await made.put(first.store, key, b"data")
    assert first.members.marked == [f"/b/{key}"]
    assert await read(await first.store.open(key)) == b"data"


@pytest_twisted.ensureDeferred
async def test_whatever_keeps_an_owner_from_being_told(cluster, monkeypatch) -> None:
    """Also where telling an owner fails in a way that nobody thought of, word is left."""
    made = await cluster(freshness="max_age", max_age=3600)
    first = made.workers[0]

    async def fail(*_: Any) -> str:
        raise RuntimeError

    monkeypatch.setattr(first.peers, "forget", fail)
    await made.put(first.store, made.key(2), b"data")
    assert first.members.marked == [f"/b/{made.key(2)}"]


@pytest_twisted.ensureDeferred
async def test_a_writer_that_was_taken_for_gone(cluster) -> None:
    """Who is not certain, and takes a path for its own, asks others whether they see the same members, and leaves word if not."""
    made = await cluster(freshness="max_age", max_age=3600)
    first, second, third = made.workers
    key = made.key(1)
    first.members.certain = False
    await made.put(first.store, key, b"one")
    assert first.members.marked == []
    await second.die()
    await made.put(first.store, key, b"two")
    assert first.members.marked == []
    third.members.change([one for one in third.members.live if one.worker != "worker-1"])
    await made.put(first.store, key, b"three")
    assert first.members.marked == [f"/b/{key}"]
    await third.die()
    first.members.can_mark = False
    with pytest.raises(Unavailable):
        await made.put(first.store, key, b"four")


@pytest_twisted.ensureDeferred
async def test_writers_that_are_cut_off_together(cluster, monkeypatch) -> None:
    """Who is not certain tells all that it knows of, and leaves word if it is cut off from one, though those with it see no more."""
    made = await cluster(freshness="max_age", max_age=3600)
    first, second, third = made.workers
    for one in (first, second):
        one.members.certain = False
    key = made.key(2)
    await made.put(third.store, key, b"one")
    await made.put(first.store, key, b"two")
    assert first.members.marked == []
    monkeypatch.setattr("alluxio_s3.cluster.peers.FOR_OTHERS", Patience(30.0, 0.2, 60.0))
    with socket.create_server((third.members.me.host, 0)) as silent:
        cut_off = evolve(third.members.me, peer_port=silent.getsockname()[1])
        first.members.change([cut_off if one.worker == "worker-3" else one for one in first.members.live])
        first.members.can_mark = False
        with pytest.raises(Unavailable):
            await made.put(first.store, key, b"three")
        for one in (first, second):
            one.members.certain = True
        await made.put(first.store, key, b"four")


@pytest_twisted.ensureDeferred
async def test_a_writer_that_knows_nobody(cluster) -> None:
    """Who is not certain and knows of nobody else leaves word, unless there was never anybody: others may be where it does not reach."""
    made = await cluster(freshness="max_age", max_age=3600)
    members = made.workers[0].members
    key = made.key(1)
    members.change([members.me])
    members.certain = False
    await made.put(made.workers[0].store, key, b"one")
    assert members.marked == [f"/b/{key}"]
    members.alone = True
    await made.put(made.workers[0].store, key, b"two")
    assert members.marked == [f"/b/{key}"]


@pytest_twisted.ensureDeferred
async def test_a_second_delete_tells_too(cluster) -> None:
    """A delete that finds nothing, because another is about to tell the owner, is answered when the owner knows."""
    made = await cluster(freshness="max_age", max_age=3600)
    first, second, _ = made.workers
    key = made.key(2)
    await made.put(first.store, key, b"data")
    await until(lambda: second.ownership.limit(f"/b/{key}") > 0.01)
    assert await read(await second.store.open(key)) == b"data"
    await made.shared.delete(key, ALWAYS)
    with pytest.raises(NoSuchPath):
        await first.store.delete(key, ALWAYS)
    with pytest.raises(NoSuchPath):
        await second.store.open(key)


@pytest_twisted.ensureDeferred
async def test_strong_mounts_need_no_telling(cluster) -> None:
    """Where the store is asked at each read, a dead owner keeps no write waiting."""
    made = await cluster()
    first, second, _ = made.workers
    await second.die()
    await made.put(first.store, made.key(2), b"one")
    assert first.members.marked == []


@pytest_twisted.ensureDeferred
async def test_word_that_was_left_is_heeded(cluster) -> None:
    """What was remembered before another worker left word is not given any more."""
    made = await cluster(freshness="max_age", max_age=3600)
    second = made.workers[1]
    key = made.key(2)
    await made.put(second.store, key, b"old")
    assert await read(await second.store.open(key)) == b"old"
    await made.put(made.shared, key, b"newer")
    second.members.leave_word(f"/b/{key}")
    assert await read(await second.store.open(key)) == b"newer"


@pytest_twisted.ensureDeferred
async def test_an_owner_for_the_second_time(cluster) -> None:
    """What an owner learned before it was not one for a while does not count when it is one again; those of before are told of writes."""
    made = await cluster(freshness="max_age", max_age=3600)
    first, second, _ = made.workers
    key = made.key(2)
    everybody = second.members.live
    await made.put(second.store, key, b"old")
    assert await read(await second.store.open(key)) == b"old"
    assert [one.worker for one in first.ownership.witnesses(f"/b/{key}")] == ["worker-2"]
    heavy = [one if one.worker == "worker-2" else evolve(one, weight=90.0) for one in everybody]
    if second.ownership.limit(f"/b/{key}") >= 0:
        for one in (first, second):
            one.members.change(heavy)
    lost = second.ownership.limit(f"/b/{key}") < 0
    if lost:
        assert "worker-2" in [one.worker for one in first.ownership.witnesses(f"/b/{key}")]
        await made.put(made.shared, key, b"newer")
        for one in (first, second):
            one.members.change(everybody)
        assert second.ownership.limit(f"/b/{key}") >= 0
        assert await read(await second.store.open(key)) == b"newer"


class Raw(Protocol):
    """Collects what comes till the connection ends, or an answer is whole."""

    def __init__(self) -> None:
        self.data = b""
        self.done: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        if b"\r\n\r\n" in self.data and not self.done.called:
            self.done.callback(self.data)


async def ask(worker: InnerWorker, target: str, seal: str, method: str = "GET") -> bytes:
    """The head of the answer to a raw question."""
    endpoint = TCP4ClientEndpoint(reactor, worker.members.me.host, worker.port)
    raw = await connectProtocol(endpoint, Raw())
    raw.transport.write(f"{method} {target} HTTP/1.1\r\nHost: h\r\n{HEADER}: {seal}\r\n\r\n".encode())
    try:
        return await raw.done
    finally:
        raw.transport.abortConnection()


@pytest_twisted.ensureDeferred
async def test_strangers_are_told_nothing(cluster) -> None:
    """Without a seal, with one that was used, and with another worker's, the answer is 403 and nothing else."""
    made = await cluster()
    first, second, _ = made.workers
    key = made.key(2)
    await made.put(made.shared, key, b"data")
    target = Question("open", {"path": f"/b/{key}", "store": second.store.name, "offset": "0", "count": "9", "validator": ""}).target
    process = second.seals.process
    good, _ = first.seals.seal("worker-2", "GET", target, process)
    assert (await ask(second, target, good)).startswith(b"HTTP/1.1 200 ")
    for seal in (
        good,
        "",
        "x",
        "a b c d e",
        first.seals.seal("worker-3", "GET", target, process)[0],
        first.seals.seal("worker-2", "GET", target + "&x=1", process)[0],
        # What another process of it, or the one before it, may have taken already; and what is good for a greeting only.
        first.seals.seal("worker-2", "GET", target, "another")[0],
        first.seals.seal("worker-2", "GET", target)[0],
    ):
        answer = await ask(second, target, seal)
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b"data" not in answer
        assert b"alluxio-told" not in answer
    nothing = f"/{VERSION}/nothing?a=b"
    wrong, _ = first.seals.seal("worker-2", "GET", nothing, process)
    assert (await ask(second, nothing, wrong)).startswith(b"HTTP/1.1 400 ")


@pytest_twisted.ensureDeferred
async def test_another_store_of_the_same_name(cluster) -> None:
    """A peer at which the bucket is another store does not answer for this one."""
    made = await cluster()
    first, second, _ = made.workers
    key = made.key(2)
    await made.put(made.shared, key, b"data")
    second.store.name = "other"
    reader = await first.store.open(key)
    assert not isinstance(reader, PeerReader)
    assert await read(reader) == b"data"


@pytest_twisted.ensureDeferred
async def test_clients_that_arrive_are_told_of(cluster) -> None:
    """A report of arrivals reaches the worker that redirected."""
    made = await cluster()
    first, second, _ = made.workers
    await first.peers.arrived(first.members.find("worker-2"), ["a", "b"])
    assert second.arrived == ["a", "b"]


def test_a_refused_connection_is_noticed_at_once() -> None:
    """Where an owner's port is closed, as it is when it has died, nobody waits for another of its addresses to be tried."""
    clock = MemoryReactorClock()
    members = FixedMembers("worker-1", [member("worker-1"), member("worker-2")])
    asking = Deferred.fromCoroutine(Peers(members, Seals(members, clock), clock).status(members.live[1], "/b/key", "store"))
    _, _, factory, _, _ = clock.tcpClients[0]
    factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
    clock.advance(ATTEMPT_SECONDS)
    assert "worker-2" in members.suspects
    with pytest.raises(PeerFailed):
        asking.result.raiseException()
    asking.addErrback(lambda _: None)


def test_a_seal_is_for_one_process() -> None:
    """What one process of a worker has opened is no good for another of the same worker; a greeting is for all, and for nothing else."""
    clock = Clock()
    members = [member("worker-1"), member("worker-2")]
    one = Seals(FixedMembers("worker-1", members), clock)
    two, sibling = (Seals(FixedMembers("worker-2", members), clock) for _ in range(2))
    seal = one.seal("worker-2", "GET", "/t", two.process)[0]
    two.open(seal, "GET", "/t")
    with pytest.raises(BadSeal):
        sibling.open(seal, "GET", "/t")
    hello = one.seal("worker-2", "GET", "/h")[0]
    for process in (two, sibling):
        process.open(hello, "GET", "/h", greeting=True)
        with pytest.raises(BadSeal):
            process.open(hello, "GET", "/h")


def test_seals_are_good_once() -> None:
    """A seal opens once, in any order within the window, not when it is old, and not for anything else."""
    clock = Clock()
    members = [member("worker-1"), member("worker-2")]
    one, two = (Seals(FixedMembers(name, members), clock) for name in ("worker-1", "worker-2"))
    sealed = [one.seal("worker-2", "GET", "/t", two.process)[0] for _ in range(50)]
    for seal in [*sealed[25:], *sealed[:25]]:
        assert two.open(seal, "GET", "/t").worker == "worker-1"
    for seal in sealed:
        with pytest.raises(BadSeal):
            two.open(seal, "GET", "/t")
    late = one.seal("worker-2", "GET", "/t", two.process)[0]
    for method, target in (("POST", "/t"), ("GET", "/u")):
        with pytest.raises(BadSeal):
            two.open(late, method, target)
    clock.advance(10_000)
    with pytest.raises(BadSeal):
        two.open(late, "GET", "/t")


def test_messages_come_back() -> None:
    """What is told is what is read."""
    status = Status("a/é", 5, 1, "e", "v", Attributes(part_sizes=(5,) * 9999 + (1,)), provenance=Provenance("stale", validated=True))
    told = Told("ring", status, Provenance(age=3), 7, 2)
    assert len(told.text()) < 1000
    again = Told.read(told.text())
    assert again == told
    assert again.status is not None
    assert again.status.provenance == status.provenance
    with pytest.raises(Unavailable):
        Told("r", Status("p", 1, 1, "e", "v", Attributes(user_metadata={"a": "x" * 30_000}))).text()


@given(st.dictionaries(st.sampled_from(["path", "store", "offset", "validator"]), st.text(st.characters(codec="utf-8"))))
def test_questions_come_back(values: dict[str, str]) -> None:
    """A question is the same when it has been a target, which has nothing in it that ends one."""
    question = Question("open", values)
    assert Question.read(question.target) == question
    assert re.fullmatch(r"[!-~]+", question.target)


@given(st.text())
def test_no_other_question_makes_sense(text: str) -> None:
    """What is no question is a ValueError, whatever it is."""
    with contextlib.suppress(ValueError):
        assert Question.read(f"/{VERSION}/open?{text}").verb == "open"
    with pytest.raises(ValueError, match=r"there is no|unpack"):
        Question.read(f"/none/{text}")

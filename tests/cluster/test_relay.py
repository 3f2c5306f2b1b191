"""Bytes of an owner that are passed on without being looked at: the same as those that are, whatever happens on the way."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater

from alluxio_s3.cluster.peer_reader import PeerReader
from alluxio_s3.cluster.peers import Patience
from alluxio_s3.http.relay import PIPE_BYTES, Pipe, Relay
from alluxio_s3.http.transport import EagerEndpoint
from alluxio_s3.interfaces import IFlow
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes, ObjectChanged
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.memory import MemoryUnderFileSystem
from tests.cluster.fixed_members import owned_by
from tests.cluster.workers import InnerWorker, start_workers
from tests.http.conftest import RawClient
from tests.http.test_sendfile import Sending, turns

SIZE = 6 << 20
DATA = random.Random(5).randbytes(SIZE)


class Client(RawClient):
    """A client of which one may ask how much has come."""

    @property
    def count(self) -> int:
        """How many bytes have come."""
        return len(self._buffer)

    async def has(self, count: int) -> None:
        """Return when so many have."""
        while self.count < count:
            await turns(1)


class Way:
    """A client's connection, a worker that has it, and an object of 6 MiB that another worker owns."""

    def __init__(self, workers: list[InnerWorker], shared: MemoryUnderFileSystem, sending: Sending, client: Client) -> None:
        self.workers, self.shared, self.sending, self.client = workers, shared, sending, client
        self.first, self.owner = workers[0], workers[1]
        self.key = owned_by(self.first.members, "worker-2")
        # What kinds of items were passed on.
        self.kinds: set[str] = set()

    async def put(self, data: bytes) -> None:
        """Have this at the key, behind the owner's back."""
        writer = await self.shared.create(self.key, Attributes(), len(data))
        await writer.write(data)
        await writer.commit(Attributes(), ALWAYS)

    async def open(self) -> PeerReader:
        """A reader at the worker that does not own it."""
        reader = await self.first.store.open(self.key)
        assert isinstance(reader, PeerReader)
        return reader

    def relay(self, reader: PeerReader, offset: int, count: int) -> Relay:
        """What passes that range on."""
        pipe = Pipe.opened()
        assert pipe is not None
        return Relay(self.sending.transport, self.sending, pipe, self._noted(reader.flows(offset, count)), count)

    async def _noted(self, items: AsyncIterator[bytes | IFlow]) -> AsyncIterator[bytes | IFlow]:
        async with aclosing(items) as closing:  # type: ignore[type-var]  # async generators
            async for item in closing:
                self.kinds.add("bytes" if isinstance(item, bytes) else "flow")
                yield item

    async def begun(self) -> tuple[PeerReader, Relay, Deferred[None]]:
        """The whole object on its way to a client that takes nothing, when some of it has been sent."""
        transport: Any = self.client.transport
        transport.pauseProducing()
        reader = await self.open()
        relay = self.relay(reader, 0, SIZE)
        sending = Deferred.fromCoroutine(relay.send())
        while not relay.sent:
            await turns(1)
        return reader, relay, sending

    def cut(self) -> None:
        """End every connection of peers to the owner."""
        for connection in list(self.owner.site.connections):
            connection.transport.abortConnection()


@pytest.fixture
def way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    """All of it; at the end no descriptor is left open."""
    monkeypatch.setattr("alluxio_s3.cluster.peers.FOR_READERS", Patience(30.0, 30.0, 60.0))
    monkeypatch.setattr("alluxio_s3.cluster.links.STALL_SECONDS", 60.0)
    monkeypatch.setattr("alluxio_s3.cluster.peer_reader.TRY_SECONDS", 60.0)
    threads = Threads(reactor, 4, "relay-test")
    threads.start()

    async def make() -> Way:
        shared = MemoryUnderFileSystem(reactor, buckets=False)
        workers = await start_workers(["worker-1", "worker-2", "worker-3"], shared, tmp_path, threads)
        factory = Factory.forProtocol(Sending)
        factory.made = Deferred()  # type: ignore[attr-defined]
        port = await EagerEndpoint(reactor, "127.0.0.1", 0).listen(factory)
        address: Any = port.getHost()
        client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", address.port), Client())
        sending = await factory.made  # type: ignore[attr-defined]
        stopped: Any = port.stopListening()
        await stopped
        made = Way(workers, shared, sending, client)
        await made.put(DATA)
        return made

    async def end(made: Way) -> None:
        made.client.leave()
        await made.client.closed
        for worker in made.workers:
            await worker.close()

    found = pytest_twisted.blockon(Deferred.fromCoroutine(make()))
    yield found
    pytest_twisted.blockon(Deferred.fromCoroutine(end(found)))
    threads.stop()


def pipes() -> int:
    """How many ends of pipes this process has."""
    found = 0
    for one in Path("/proc/self/fd").iterdir():
        try:
            found += str(one.readlink()).startswith("pipe:")
        except FileNotFoundError:
            continue
    return found


async def read_unevenly(client: Client, until: int, chance: random.Random) -> None:
    """Have the client read as clients do that are busy with something else, until it has so much."""
    transport: Any = client.transport
    while client.count < until:
        transport.pauseProducing()
        await turns(chance.randrange(6))
        transport.resumeProducing()
        await turns(chance.randrange(1, 4))


@pytest.mark.parametrize("seed", range(6))
@pytest_twisted.ensureDeferred
async def test_the_same_bytes_as_the_long_way(way: Way, seed: int) -> None:
    """Any range arrives between head and tail exactly, to readers that pause, also where the owner's connections are cut."""
    chance = random.Random(seed)
    expected = b""
    before = pipes()
    for number in range(3):
        offset = chance.randrange(SIZE - 1)
        count = chance.choice([1, chance.randrange(1, SIZE - offset + 1), SIZE - offset])
        reader = await way.open()
        if chance.random() < 0.5:
            await reader.prepare(offset, count)
        head, tail = b"head %d:" % number, b":tail %d" % number
        transport: Any = way.sending.transport
        transport.write(head)
        expected += head + DATA[offset : offset + count]
        relay = way.relay(reader, offset, count)
        sending = Deferred.fromCoroutine(relay.send())
        reading = Deferred.fromCoroutine(read_unevenly(way.client, len(expected), chance))
        for _ in range(chance.randrange(4)):
            sent = relay.sent
            while relay.sent == sent and not sending.called:
                await turns(1)
            way.cut()
        await sending
        assert relay.sent == count
        transport.write(tail)
        expected += tail
        await reading
        await reader.close()
        assert transport.producer is way.sending
    await way.client.has(len(expected))
    assert way.client.received == expected
    assert "flow" in way.kinds
    assert pipes() == before


@pytest_twisted.ensureDeferred
async def test_the_connection_to_the_owner_is_kept(way: Way) -> None:
    """After a body that was passed on whole the same connection is good for the next question, and its end is noticed."""
    for _ in range(3):
        reader = await way.open()
        await way.relay(reader, 0, SIZE).send()
        await reader.close()
    assert "flow" in way.kinds
    idle = [link for links in way.first.peers._idle.values() for link in links]
    assert len(idle) == 1
    way.cut()
    while idle[0].usable:
        await turns(1)


@pytest_twisted.ensureDeferred
async def test_a_slow_client_slows_the_owner(way: Way) -> None:
    """While the client takes nothing, what was taken of the owner is what pipe and sockets hold, and the owner is asked for no more."""
    reader, relay, sending = await way.begun()
    sent = -1
    while relay.sent != sent:
        sent = relay.sent
        await deferLater(reactor, 0.2)
    assert not sending.called
    assert not relay.warming
    assert relay.sent < SIZE
    way.client.transport.resumeProducing()
    await sending
    await way.client.has(SIZE)
    assert way.client.received == DATA
    await reader.close()


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves(way: Way) -> None:
    """When what sends is given up in the middle, pipe and connections are let go of, at the owner too."""
    before = pipes()
    reader, _, sending = await way.begun()
    sending.cancel()
    with pytest.raises(CancelledError):
        await sending
    await reader.close()
    assert pipes() == before
    while way.owner.site.busy:
        await turns(1)
    await way.owner.namespace.visits.departed()


@pytest_twisted.ensureDeferred
async def test_never_two_versions(way: Way) -> None:
    """Where the owner goes away and the object has been replaced, what was sent is a part of the old one, and the rest is refused."""
    reader, relay, sending = await way.begun()
    await way.put(DATA[::-1])
    await way.owner.die()
    way.first.members.suspect("worker-2")
    way.client.transport.resumeProducing()
    with pytest.raises(ObjectChanged):
        await sending
    await reader.close()
    await way.client.has(relay.sent)
    assert DATA.startswith(way.client.received)


def test_pipes_that_are_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the user has too many pipes already, so that new ones are tiny, there is none; nor where there are no descriptors."""
    before = pipes()
    monkeypatch.setattr("alluxio_s3.http.relay.LEAST_PIPE_BYTES", PIPE_BYTES + 1)
    assert Pipe.opened() is None
    monkeypatch.setattr("os.pipe2", lambda _: (_ for _ in ()).throw(OSError(24, "none left")))
    assert Pipe.opened() is None
    assert pipes() == before


@pytest_twisted.ensureDeferred
async def test_the_rest_from_the_store(way: Way) -> None:
    """An owner that dies in the middle: the answer goes on from the store at the same byte."""
    reader, _, sending = await way.begun()
    await way.owner.die()
    way.first.members.suspect("worker-2")
    way.client.transport.resumeProducing()
    await sending
    await way.client.has(SIZE)
    assert way.client.received == DATA
    await reader.close()


@pytest_twisted.ensureDeferred
async def test_a_range_is_read_twice(way: Way) -> None:
    """What was prepared is good for one reading; who reads the same range once more gets it once more."""
    reader = await way.open()
    await reader.prepare(10, 1 << 20)
    for _ in range(2):
        assert b"".join([piece async for piece in reader.read(10, 1 << 20)]) == DATA[10 : 10 + (1 << 20)]
    await reader.close()

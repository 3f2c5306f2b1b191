"""Large bodies come straight from their sockets, and the connections stay as good as they were."""

from __future__ import annotations

from random import Random

import pytest
from twisted.internet import reactor

from alluxio_s3.testing.in_reactor import in_reactor
from alluxio_s3.testing.workbench import read
from alluxio_s3.ufs.s3.inlet import PIECE_BYTES

DATA = Random(2).randbytes(3 * PIECE_BYTES + 12_345)


@pytest.fixture
def store(moto, on_s3):
    return on_s3(uri=f"s3://{moto.make_bucket()}")


def straight():
    """How many connections give what comes to an inlet."""
    return sum("doRead" in getattr(one, "__dict__", ()) for one in reactor.getReaders())


@in_reactor
async def test_large_bodies_go_past_twisted(store):
    """While a large body comes its socket is read by an inlet: this Twisted is one that it knows. A small one needs none."""
    await store.put("large", DATA)
    await store.put("small", DATA[:1000])
    for key, count in (("large", 1), ("small", 0)):
        reader = await store.ufs.open(key)
        pieces = reader.read(0, reader.status.size)
        await anext(pieces)
        assert straight() == count
        await pieces.aclose()
        assert not straight()


@in_reactor
async def test_the_connection_is_used_again(store, server):
    """Whole bodies and ranges, of any length and from anywhere, are right, and one connection carries them all."""
    await store.put("large", DATA)
    reader = await store.ufs.open("large")
    server.seen.clear()
    chance = Random(3)
    for count in (len(DATA), PIECE_BYTES, PIECE_BYTES + 1, *(chance.randrange(1, len(DATA)) for _ in range(12))):
        offset = chance.randrange(len(DATA) - count + 1)
        assert await read(reader, offset, count) == DATA[offset : offset + count]
        assert not straight()
    assert len({id(one.socket) for one in server.seen}) == 1


@in_reactor
async def test_what_is_given_up(store):
    """A read that is given up in the middle leaves nothing behind, and the next one is whole."""
    await store.put("large", DATA)
    reader = await store.ufs.open("large")
    for _ in range(5):
        pieces = reader.read(0, len(DATA))
        await anext(pieces)
        await pieces.aclose()
    assert not straight()
    assert await read(reader, 0, len(DATA)) == DATA

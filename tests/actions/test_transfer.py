"""Bytes on their way into writers: hashed beside, bounded, and aborted when anything goes wrong."""

from __future__ import annotations

import hashlib
import threading

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred

from alluxio_s3.actions.transfer import MAX_OBJECT_BYTES, Hashing, aborting, check_size, copy, receive
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.payload import Payload
from alluxio_s3.s3.request import Headers, RequestHead
from alluxio_s3.s3.target import Target
from alluxio_s3.storage import Attributes, ObjectChanged, Unavailable

TARGET = "/bucket/k"


class Writer:
    """Takes pieces; ``ended`` is how often it was aborted."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.pieces, self.ended, self.failure = [], 0, failure

    async def write(self, data):
        self.pieces.append(data)

    async def abort(self):
        self.ended += 1
        if self.failure is not None:
            raise self.failure


class Reader:
    """Gives the pieces that it was made with, whatever it is asked for."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.status = type("Status", (), {"path": "bucket/k"})()

    async def read(self, offset, count):
        for piece in self.pieces:
            yield piece


@pytest_twisted.ensureDeferred
async def test_hashing_keeps_the_order(bench):
    """Small and large pieces are all hashed, in the order they came, one batch at a time and off the reactor thread."""
    digest, threads, running = hashlib.md5(), set(), []

    def update(pieces):
        running.append(None)
        assert len(running) == 1
        threads.add(threading.current_thread() is threading.main_thread())
        for piece in pieces:
            digest.update(piece)
        running.pop()

    batches = [[b"a" * 10], [b"b" * 70_000, b"c"], [b"d"], [], [b"e" * 200_000]]
    async with Hashing(bench.services.threads, update) as hashing:
        for batch in batches:
            await hashing.take(batch)
    assert digest.digest() == hashlib.md5(b"".join(b"".join(batch) for batch in batches)).digest()
    assert threads == {True, False}


@pytest_twisted.ensureDeferred
async def test_a_failed_hash_is_not_lost(bench):
    """An error in the thread comes out where the digest would be asked for."""

    def update(pieces):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        async with Hashing(bench.services.threads, update) as hashing:
            await hashing.take([bytes(100_000)])


@pytest_twisted.ensureDeferred
async def test_cancelling_a_put_leaves_nothing(bench):
    """A client that goes away while its body is awaited takes its writer with it, and what was there stays."""
    await bench.ask("PUT", TARGET, {}, b"before")
    never: Deferred[None] = Deferred()
    request = Deferred.fromCoroutine(bench.ask("PUT", TARGET, {"content-length": "900000"}, [bytes(300_000), lambda: never]))
    while bench.bodies[-1].reads < 2:
        await next_turn(bench)
    assert bench.store.in_use
    request.cancel()
    with pytest.raises(CancelledError):
        await request
    assert not bench.store.in_use
    assert (await bench.ask("GET", TARGET)).body == b"before"


async def next_turn(bench):
    """Let the reactor run."""
    await bench.services.threads.run(int)


@pytest_twisted.ensureDeferred
async def test_an_abort_that_fails_does_not_hide_why():
    """The error that led to the abort is the one that is answered."""
    writer = Writer(Unavailable("bucket/k"))
    with pytest.raises(S3Error):
        async with aborting(writer):
            raise S3Error("BadDigest")
    assert writer.ended == 1


@pytest_twisted.ensureDeferred
async def test_an_abort_outlives_its_request():
    """A request that is cancelled while its writer is aborted ends as cancelled, and the abort goes on."""
    going, ended = Deferred(), []

    class Slow(Writer):
        async def abort(self):
            await going
            ended.append(True)

    async def request():
        async with aborting(Slow()):
            raise S3Error("IncompleteBody")

    running = Deferred.fromCoroutine(request())
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    going.callback(None)
    assert ended


@pytest_twisted.ensureDeferred
async def test_no_abort_when_all_is_well():
    """A block that ends well leaves the writer to be committed."""
    writer = Writer()
    async with aborting(writer):
        pass
    assert not writer.ended


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("pieces", [[b"123"], [b"123", b"456"], []])
async def test_a_reader_that_gives_another_number_of_bytes(bench, pieces):
    """A copy of more or fewer bytes than were asked for is no copy."""
    writer = Writer()
    with pytest.raises(ObjectChanged):
        await copy(bench.services.threads, Reader(*pieces), 0, 4, writer)
    assert writer.ended == 1


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("own_copies", [True, False])
async def test_copy_of_a_stretch(bench, own_copies):
    """Just the bytes of the stretch are appended and hashed, whoever copies them."""
    data = bytes(range(256)) * 4000
    await bench.ask("PUT", TARGET, {}, data)
    bench.store.own_copies = own_copies
    reader = await bench.store.open("bucket/k")
    writer = await bench.store.create("bucket/copy", Attributes(), None)
    digest = hashlib.md5()
    await writer.write(b"before ")
    await copy(bench.services.threads, reader, 1000, 700_000, writer, digests=[digest])
    await writer.commit(Attributes(), ALWAYS)
    await reader.close()
    assert digest.digest() == hashlib.md5(data[1000:701_000]).digest()
    assert (await bench.ask("GET", "/bucket/copy")).body == b"before " + data[1000:701_000]


@pytest_twisted.ensureDeferred
async def test_many_small_chunks_are_one_write(bench):
    """However small the chunks of an aws-chunked body are, a read of it is one write."""
    chunks = b"".join(b"1\r\n%c\r\n" % (65 + n % 26) for n in range(5000)) + b"0\r\n\r\n"
    headers = Headers({"content-length": str(len(chunks)), "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"})
    call = bench.call(RequestHead("PUT", Target("bucket", "k"), headers), [chunks])
    writer = Writer()
    received = await receive(call, Payload.of(call.head), writer)
    assert (received.size, [len(piece) for piece in writer.pieces]) == (5000, [5000])


def test_sizes():
    """The largest object there may be is 5 TiB; a size that is not known yet is let pass."""
    check_size(None, MAX_OBJECT_BYTES)
    check_size(5 << 40, MAX_OBJECT_BYTES)
    with pytest.raises(S3Error) as caught:
        check_size((5 << 40) + 1, MAX_OBJECT_BYTES)
    assert caught.value.code == "EntityTooLarge"

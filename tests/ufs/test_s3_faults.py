"""A store that fails, stalls, lies or goes away: no wrong byte, and no write that is told as done without proof."""

from __future__ import annotations

import hashlib
import socket
from random import Random

import pytest
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.threads import blockingCallFromThread
from twisted.logger import capturedLogs

from alluxio_s3.s3.conditions import ALWAYS, WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes, ObjectChanged, PermissionRefused, Status, Unavailable
from alluxio_s3.testing.in_reactor import in_reactor
from alluxio_s3.testing.workbench import outcome_of, read, together

DATA = Random(1).randbytes(1_000_003)
MIB = 1 << 20


@pytest.fixture
def build(moto, on_s3):
    """Builds a mount of a fresh bucket through the faulty server, with short waits."""

    def make(**options):
        waits = {"alluxio.underfs.s3.request.timeout": "4s", "alluxio.underfs.s3.socket.timeout": "500ms"}
        return on_s3(**{"uri": f"s3://{moto.make_bucket()}", **waits, **options})

    return make


@pytest.fixture
def store(build):
    return build()


def cut_at(count):
    """The answer ends after so many bytes of its body."""
    return lambda exchange: exchange.send(exchange.forward(), count)


def reset_at(count):
    """The connection is reset after so many bytes of the body."""

    def act(exchange):
        exchange.send(exchange.forward(), count)
        exchange.reset()

    return act


def stall_at(count):
    """Nothing comes after so many bytes of the body."""

    def act(exchange):
        exchange.send(exchange.forward(), count)
        exchange.hang()

    return act


def hang(exchange):
    """No answer."""
    exchange.hang()


def vanish(exchange):
    """The connection ends without an answer; the request is not carried out."""
    exchange.socket.close()


def lose_reply(exchange):
    """The request is carried out, and its answer lost."""
    exchange.forward()


def busy(exchange):
    """Slow down."""
    body = b"<Error><Code>SlowDown</Code></Error>"
    exchange.socket.sendall(b"HTTP/1.1 503 Busy\r\nConnection: close\r\nRetry-After: 0\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def broken(exchange):
    """An internal error of the store, before it did anything."""
    exchange.socket.sendall(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")


def with_header(name, value):
    """An answer with another header than it should have."""
    return lambda exchange: exchange.send(exchange.forward().with_header(name, value))


@pytest.mark.parametrize("count", [0, 1, 65_536, 500_000, len(DATA) - 1])
@pytest.mark.parametrize("fault", [cut_at, reset_at, stall_at])
@in_reactor
async def test_a_read_that_breaks_goes_on(store, server, fault, count):
    """An answer that is cut, reset or stalled anywhere goes on where it was, and the bytes are right."""
    await store.put("a", DATA)
    server.on("GET", fault(count))
    assert await store.get("a") == DATA
    assert server.count("GET") == 2


@in_reactor
async def test_a_read_that_breaks_again_and_again(store, server):
    """After three tries a read fails; it is never short."""
    await store.put("a", DATA)
    server.on("GET", cut_at(10), reset_at(20), cut_at(30))
    assert isinstance(await outcome_of(store.get("a")), Unavailable)
    assert server.count("GET") == 3
    assert await store.get("a") == DATA


@in_reactor
async def test_changed_between_ranges(store, server):
    """An object that is replaced while a read is broken is not spliced with what replaced it."""
    await store.put("a", DATA)
    reader = await store.ufs.open("a")

    def replace_and_cut(exchange):
        exchange.send(exchange.forward(), 1000)
        blockingCallFromThread(reactor, lambda: ensureDeferred(store.put("a", bytes(len(DATA)))))

    server.on("GET", replace_and_cut)
    assert isinstance(await outcome_of(read(reader, 0, len(DATA))), ObjectChanged)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("ETag", '"00000000000000000000000000000000"', ObjectChanged),
        ("Content-Range", f"bytes 1-{len(DATA)}/{len(DATA)}", Unavailable),
        ("Content-Range", f"bytes 0-{len(DATA) - 1}/{len(DATA) + 1}", Unavailable),
        ("Content-Length", str(len(DATA) - 1), Unavailable),
        ("Content-Length", str(len(DATA) + 1), Unavailable),
    ],
)
@in_reactor
async def test_answers_that_lie(store, server, name, value, error):
    """An answer of another version, range or length than asked for gives no byte."""
    await store.put("a", DATA)
    server.on("GET", *[with_header(name, value)] * 3)
    reader = await store.ufs.open("a")
    pieces = reader.read(0, len(DATA))
    with pytest.raises(error):
        await anext(pieces)


@in_reactor
async def test_a_store_that_ignores_the_condition(store, server):
    """A store that takes no If-Match, and gives what is there now, is found out by the ETag."""
    await store.put("a", DATA)
    reader = await store.ufs.open("a")
    await store.put("a", bytes(len(DATA)))

    def ignore(exchange):
        del exchange.headers["If-Match"]
        exchange.send(exchange.forward())

    server.on("GET", ignore)
    assert isinstance(await outcome_of(read(reader, 0, 10)), ObjectChanged)


@pytest.mark.parametrize("fault", [busy, broken, vanish])
@in_reactor
async def test_what_passes_is_tried_again(store, server, fault):
    """A store that is busy, fails or drops the connection is asked again, whatever it was asked."""
    for method in ("PUT", "HEAD", "GET", "DELETE"):
        server.on(method, fault, fault)
    await store.put("a", DATA)
    assert await store.get("a") == DATA
    assert await store.keys({"a"}) == [("a", False)]
    await store.delete("a")
    assert not await store.exists("a")


@in_reactor
async def test_a_store_that_stays_busy(store, server):
    """A store that is busy all the time is Unavailable in the end."""
    server.on("HEAD", *[busy] * 5)
    assert isinstance(await outcome_of(store.status("a")), Unavailable)
    assert server.count("HEAD") == 5


@in_reactor
async def test_retry_after_is_honoured(store, server):
    """A store that asks for more time than there is is not asked again."""

    def later(exchange):
        exchange.socket.sendall(b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n")

    server.on("HEAD", later)
    assert isinstance(await outcome_of(store.status("a")), Unavailable)
    assert server.count("HEAD") == 1


@in_reactor
async def test_a_store_that_hangs(build, server):
    """A store that does not answer is given up when its time is up, all tries together."""
    store = build(**{"alluxio.underfs.s3.request.timeout": "300ms"})
    server.on("HEAD", *[hang] * 5)
    started = reactor.seconds()
    assert isinstance(await outcome_of(store.status("a")), Unavailable)
    assert reactor.seconds() - started < 3


@in_reactor
async def test_nobody_there(build):
    """A store that nobody listens for, or that is not found, fails at use and not when it is built."""
    for endpoint in ("http://127.0.0.1:1", "http://no-such-host.invalid"):
        store = build(**{"alluxio.underfs.s3.endpoint": endpoint, "alluxio.underfs.s3.max.error.retry": "1"})
        assert isinstance(await outcome_of(store.status("a")), Unavailable)
        await store.ufs.close()


@in_reactor
async def test_a_bucket_that_is_not_there(build):
    """The first use of a bucket that does not exist says so."""
    store = build(uri="s3://no-such-bucket-of-ours")
    assert "does not exist" in str(await outcome_of(store.page()))


@in_reactor
async def test_refusals(store, server):
    """A store that refuses the daemon is PermissionRefused, at once."""
    server.on("HEAD", lambda exchange: exchange.socket.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"))
    assert isinstance(await outcome_of(store.status("a")), PermissionRefused)
    assert server.count("HEAD") == 1


@in_reactor
async def test_a_lost_reply_to_a_put(store, server):
    """A PUT whose answer is lost is made again; that answer is the proof."""
    server.on("PUT", lose_reply)
    status = await store.put("a", DATA)
    assert status.etag == hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    assert await store.get("a") == DATA
    assert server.count("PUT") == 2


@in_reactor
async def test_a_lost_reply_to_a_conditional_put(store, server):
    """A conditional PUT whose answer is lost has succeeded if what is there is what it wrote, and is not told as failed."""
    server.on("PUT", lose_reply)
    status = await store.put("a", DATA, condition=WriteCondition(if_none_match=("*",)))
    assert isinstance(status, Status)
    assert await store.get("a") == DATA
    server.on("PUT", lose_reply)
    status = await store.put("a", b"new", condition=WriteCondition(if_match=(status.etag,)))
    assert await store.get("a") == b"new"


@in_reactor
async def test_a_lost_reply_that_nothing_proves(store, server):
    """When what is there is something else than the conditional PUT wrote, nobody knows what became of it: Unavailable."""
    await store.put("a", b"theirs")
    server.on("PUT", lose_reply)
    result = await outcome_of(store.put("a", DATA, condition=WriteCondition(if_none_match=("*",))))
    assert isinstance(result, Unavailable)
    assert await store.get("a") == b"theirs"


@in_reactor
async def test_every_reply_lost(store, server):
    """A PUT to which no answer ever comes is not told as done."""
    server.on("PUT", *[lose_reply] * 5)
    assert isinstance(await outcome_of(store.put("a", DATA)), Unavailable)


@in_reactor
async def test_another_etag_than_what_was_sent(store, server):
    """A PUT is not told as done if the store says it holds something else."""
    server.on("PUT", with_header("ETag", '"00000000000000000000000000000000"'))
    assert isinstance(await outcome_of(store.put("a", DATA)), Unavailable)
    server.on("PUT", with_header("ETag", ""))
    assert isinstance(await outcome_of(store.put("a", DATA)), Unavailable)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 501 No\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n"])
@in_reactor
async def test_a_store_without_conditional_writes(store, server, answer):
    """Where the store takes no conditions on a write, we look before it."""
    absent = WriteCondition(if_none_match=("*",))
    server.on("PUT", lambda exchange: exchange.socket.sendall(answer))
    await store.put("a", b"1", condition=absent)
    assert "If-None-Match" not in server.seen[-1].headers
    server.on("PUT", lambda exchange: exchange.socket.sendall(answer))
    with pytest.raises(S3Error, match="PreconditionFailed"):
        await store.put("a", b"2", condition=absent)
    assert await store.get("a") == b"1"


@in_reactor
async def test_large_objects(store, server):
    """A large object is sent in parts, some of which fail at first, and is published as one; nothing shows before."""
    pieces = [Random(number).randbytes(MIB) for number in range(36)]
    server.on("PUT", busy, vanish, lose_reply)
    server.on("POST", busy, lose_reply)
    attributes = Attributes(content_type="text/plain", user_metadata={"a": "b"})
    writer = await store.ufs.create("a", attributes, None)
    for piece in pieces:
        await writer.write(piece)
        assert not await store.exists("a")
    status = await writer.commit(attributes, WriteCondition(if_none_match=("*",)))
    assert status.etag.endswith("-3")
    assert await store.get("a") == b"".join(pieces)
    assert (await store.status("a")).attributes.user_metadata == {"a": "b"}
    uploads = [one for one in server.seen if "partNumber" in one.target]
    assert max(len(one.body) for one in uploads) == 16 * MIB


@in_reactor
async def test_a_large_object_that_is_given_up(store, server):
    """Parts that were sent are taken away when the writer is aborted."""
    writer = await store.ufs.create("a", Attributes(), 80 * MIB)
    for _ in range(35):
        await writer.write(bytes(MIB))
    await writer.abort()
    assert not await store.exists("a")
    assert server.count("DELETE") == 1
    deleted = next(one for one in server.seen if one.method == "DELETE")
    assert "uploadId=" in deleted.target


@in_reactor
async def test_a_large_object_whose_condition_fails(store, server):
    """A large object that may not be published leaves what is there, and no parts."""
    await store.put("a", b"old")
    writer = await store.ufs.create("a", Attributes(), None)
    for _ in range(17):
        await writer.write(bytes(MIB))
    with pytest.raises(S3Error, match="PreconditionFailed"):
        await writer.commit(Attributes(), WriteCondition(if_none_match=("*",)))
    await writer.abort()
    assert await store.get("a") == b"old"
    assert server.count("DELETE") == 1


@in_reactor
async def test_a_slow_reader_holds_the_store_back(store, server):
    """What nobody takes is not fetched: beyond what the network holds, at most 512 KiB wait here."""
    size = 64 * MIB
    sent = Deferred()

    def measure(exchange):
        reply = exchange.forward()
        exchange.socket.sendall(reply.head)
        exchange.socket.settimeout(1)
        count = 0
        try:
            while count < len(reply.body):
                count += exchange.socket.send(reply.body[count : count + (64 << 10)])
        except TimeoutError:
            reactor.callFromThread(sent.callback, count)
        exchange.hang()

    writer = await store.ufs.create("a", Attributes(), size)
    for _ in range(64):
        await writer.write(bytes(MIB))
    await writer.commit(Attributes(), ALWAYS)
    reader = await store.ufs.open("a")
    server.on("GET", measure)
    pieces = reader.read(0, size)
    first = await anext(pieces)
    assert await sent < 16 * MIB  # the buffers of both sockets
    answer_held = len(first)
    assert answer_held <= 512 << 10
    await pieces.aclose()


@in_reactor
async def test_reading_and_writing_at_once(build):
    """Clients that write what they read, however many and slow, never wait for each other's ends."""
    store = build(**{"alluxio.underfs.s3.threads.max": "1"})
    await store.put("a", bytes(4 * MIB))

    async def copy(number):
        reader = await store.ufs.open("a")
        pieces = reader.read(0, 4 * MIB)
        first = await anext(pieces)
        await store.put(f"copy-{number}", first)
        size = len(first) + sum([len(piece) async for piece in pieces])
        assert size == 4 * MIB

    await together(*(copy(number) for number in range(6)))
    assert len(await store.keys({"a"})) == 7


@in_reactor
async def test_a_client_that_leaves(store, server):
    """A read or a wait that is given up lets go of its connection, and the store can be used at once, again and again."""
    await store.put("a", DATA)
    for _ in range(60):  # more than there are places for connections
        server.on("GET", stall_at(10))
        reader = await store.ufs.open("a")
        reading = ensureDeferred(read(reader, 0, len(DATA)))
        await _pause(0.01)
        reading.cancel()
        with pytest.raises(CancelledError):
            await reading
    server.faults.clear()
    assert await store.get("a") == DATA


@in_reactor
async def test_a_write_that_is_given_up_is_not_tried_again(build):
    """A PUT whose client goes away while it is sent, or waits for its answer, ends then and there."""
    for size in (1, 16 * MIB):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            store = build(**{"alluxio.underfs.s3.endpoint": f"http://127.0.0.1:{listening.getsockname()[1]}"})
            writing = ensureDeferred(store.put("a", [bytes(min(size, MIB))] * max(1, size // MIB)))
            await _pause(0.3)
            connection, _ = listening.accept()
            writing.cancel()
            with pytest.raises(CancelledError):
                await writing
            await _pause(0.3)
            listening.setblocking(False)
            with pytest.raises(BlockingIOError):
                listening.accept()
            connection.close()
            await store.ufs.close()


async def _pause(seconds):
    waiting = Deferred()
    reactor.callLater(seconds, waiting.callback, None)
    await waiting


@in_reactor
async def test_a_store_that_is_down_fills_no_log(build):
    """That a connection could not be made is in the error, and not told of at each try."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    store = build(**{"alluxio.underfs.s3.endpoint": endpoint, "alluxio.underfs.s3.max.error.retry": "1"})
    with capturedLogs() as told:
        assert isinstance(await outcome_of(store.status("a")), Unavailable)
    assert not told

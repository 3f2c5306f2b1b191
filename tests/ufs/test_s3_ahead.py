"""The first bytes of an object on S3, asked for together with what it is."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from random import Random

import pytest
from botocore.exceptions import ClientError
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.threads import blockingCallFromThread

from alluxio_s3.interfaces import IEagerReading
from alluxio_s3.storage import NoSuchPath, ObjectChanged, Unavailable
from alluxio_s3.testing.in_reactor import in_reactor
from alluxio_s3.testing.workbench import outcome_of, read
from tests.running import Daemon
from tests.ufs.servers.faulty import Reply
from tests.ufs.test_s3_daemon import client_of

DATA = Random(2).randbytes(1_000_003)
ALL = (0, None)


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


async def eager(store, path, offset, count):
    """A reader whose bytes are on their way."""
    return await IEagerReading(store.ufs).open_reading(path, offset, count)


@pytest.mark.parametrize(
    ("offset", "count", "end"), [(0, None, len(DATA)), (0, 1000, 1000), (5, 1000, 1005), (7, None, len(DATA)), (999_999, 1000, len(DATA))]
)
@in_reactor
async def test_both_come_in_the_time_of_one(store, server, offset, count, end):
    """The bytes have been asked for before the store says what the object is, and are not asked for again."""
    await store.put("a", DATA)
    asked = threading.Event()

    def note(exchange):
        asked.set()
        exchange.send(exchange.forward())

    def wait(exchange):
        assert asked.wait(30)
        exchange.send(exchange.forward())

    server.on("GET", note)
    server.on("HEAD", wait)
    reader = await eager(store, "a", offset, count)
    assert reader.status.size == len(DATA)
    assert await read(reader, offset, end - offset) == DATA[offset:end]
    assert server.count("GET") == 1
    assert await read(reader, offset, end - offset) == DATA[offset:end]
    assert server.count("GET") == 2
    await reader.close()


@pytest.mark.parametrize(("offset", "count"), [(1, 10), (0, 11), (500_000, 100_000)])
@in_reactor
async def test_other_bytes_than_were_announced(store, server, offset, count):
    """They are asked for, and right; those that were announced are let go of."""
    await store.put("a", DATA)
    reader = await eager(store, "a", 0, 10)
    assert await read(reader, offset, count) == DATA[offset : offset + count]
    await reader.close()
    assert server.count("GET") == 2


@in_reactor
async def test_an_object_without_bytes(store):
    """Of an empty object there is nothing to read, and it can be opened so."""
    await store.put("a", b"")
    for stretch in (ALL, (0, 10)):
        reader = await eager(store, "a", *stretch)
        assert reader.status.size == 0
        assert await read(reader, 0, 0) == b""
        await reader.close()


@in_reactor
async def test_what_is_not_there(store, server):
    """Is no more there than for those who just open it; nor is what begins beyond the object's end."""
    assert isinstance(await outcome_of(eager(store, "nothing", *ALL)), NoSuchPath)
    await store.put("a", DATA)
    reader = await eager(store, "a", len(DATA), None)
    assert isinstance(await outcome_of(read(reader, len(DATA), 1)), ObjectChanged)
    await reader.close()


@in_reactor
async def test_another_version_than_was_looked_at(store, server):
    """The bytes are those of the version that the store told of: what came of an older one, before it was asked, is not given."""
    await store.put("a", bytes(len(DATA)))
    asked = threading.Event()

    def note(exchange):
        reply = exchange.forward()
        asked.set()
        exchange.send(reply)

    def wait(exchange):
        assert asked.wait(30)
        blockingCallFromThread(reactor, lambda: ensureDeferred(store.put("a", DATA)))
        exchange.send(exchange.forward())

    server.on("GET", note)
    server.on("HEAD", wait)
    reader = await eager(store, "a", *ALL)
    assert await read(reader, 0, len(DATA)) == DATA
    await reader.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ETag", '"00000000000000000000000000000000"'),
        ("Content-Range", f"bytes 1-{len(DATA)}/{len(DATA)}"),
        ("Content-Range", f"bytes 5-{len(DATA) - 1}/{len(DATA) + 1}"),
        ("Content-Length", str(len(DATA) - 6)),
    ],
)
@in_reactor
async def test_answers_that_lie(store, server, name, value):
    """What is not what was asked for is not given; it is asked for once more."""
    await store.put("a", DATA)
    server.on("GET", lambda exchange: exchange.send(exchange.forward().with_header(name, value)))
    reader = await eager(store, "a", 5, None)
    assert await read(reader, 5, len(DATA) - 5) == DATA[5:]
    assert server.count("GET") == 2
    await reader.close()


@pytest.mark.parametrize("count", [0, 1, 65_536, 500_000])
@in_reactor
async def test_a_read_that_breaks_goes_on(store, server, count):
    """An answer that is cut goes on where it was."""
    await store.put("a", DATA)
    server.on("GET", lambda exchange: exchange.send(exchange.forward(), count))
    reader = await eager(store, "a", *ALL)
    assert await read(reader, 0, len(DATA)) == DATA
    await reader.close()


@in_reactor
async def test_a_store_that_refuses_or_is_silent(store, server):
    """A refusal is told as that of a read, and so is silence: after the time of one question, not of two."""
    await store.put("a", DATA)
    body = b"<Error><Code>AccessDenied</Code></Error>"
    refusing = [lambda exchange: exchange.send(Reply(403, (("Content-Length", str(len(body))),), body))] * 2
    server.on("GET", *refusing)
    reader = await eager(store, "a", *ALL)
    assert type(await outcome_of(read(reader, 0, len(DATA)))).__name__ == "PermissionRefused"
    await reader.close()
    server.on("GET", *[lambda exchange: exchange.hang()] * 10)
    reader = await eager(store, "a", *ALL)
    began = reactor.seconds()
    assert isinstance(await outcome_of(read(reader, 0, len(DATA))), Unavailable)
    assert reactor.seconds() - began < 6
    await reader.close()
    server.faults.clear()


@in_reactor
async def test_readers_that_read_nothing(build, server):
    """What is closed unread, before or after its bytes came, lets go of its connection: the store can be used on and on."""
    store = build(**{"alluxio.underfs.s3.threads.max": "1"})
    await store.put("a", DATA)
    for number in range(40):  # more than there are places for connections
        if number % 3 == 0:
            server.on("GET", lambda exchange: exchange.hang())
        reader = await eager(store, "a", *ALL)
        await reader.close()
        await reader.close()
    server.faults.clear()
    assert await store.get("a") == DATA


@pytest.fixture
def start(moto, server, tmp_path):
    """Starts a daemon on a bucket, through the faulty server, with one object; a client of it."""
    with ExitStack() as stack:

        def started(**properties):
            running = stack.enter_context(Daemon(tmp_path))
            endpoint = running.start(
                {
                    "alluxio.worker.s3.api.enabled": True,
                    "alluxio.worker.rest.port": 0,
                    "alluxio.worker.s3.bind.host": "127.0.0.1",
                    "alluxio.dora.client.ufs.root": f"s3://{moto.make_bucket()}",
                    "alluxio.underfs.s3.endpoint": server.endpoint,
                    "s3a.accessKeyId": "AKIAIOSFODNN7EXAMPLE",
                    "s3a.secretKey": "secret",
                    **properties,
                }
            )
            client = client_of(endpoint)
            stack.callback(ended, running, client)
            client.create_bucket(Bucket="data")
            client.put_object(Bucket="data", Key="a", Body=DATA)
            server.seen.clear()
            return client

        def ended(running, client):
            client.close()
            running.stop()
            assert not running.trouble

        yield started


@pytest.fixture(params=["past the cache", "strong", "max_age=1h"])
def daemon(request, start, tmp_path):
    """A client of a daemon, without a cache and with one."""
    if request.param == "past the cache":
        return start()
    return start(**cached(tmp_path, request.param))


def cached(directory, freshness):
    """Properties of a daemon with a cache."""
    return {
        "alluxio.worker.page.store.dirs": directory / "pages",
        "alluxio.worker.page.store.sizes": "1GB",
        "alluxio.dora.client.ufs.root.option.freshness": freshness,
    }


@pytest.mark.parametrize(
    ("asked", "bytes_of_it"),
    [
        ({}, DATA),
        ({"Range": "bytes=5-1004"}, DATA[5:1005]),
        ({"Range": "bytes=1000000-"}, DATA[1_000_000:]),
        ({"Range": "bytes=999999-2000000"}, DATA[999_999:]),
    ],
)
def test_a_get_asks_the_store_for_both(daemon, server, asked, bytes_of_it):
    """A client of the daemon waits as long as for one answer of the store, which is asked once for the object and once for its bytes."""
    gone = threading.Event()

    def note(exchange):
        gone.set()
        exchange.send(exchange.forward())

    def wait(exchange):
        assert gone.wait(30)
        exchange.send(exchange.forward())

    server.on("GET", note)
    server.on("HEAD", wait)
    assert daemon.get_object(Bucket="data", Key="a", **asked)["Body"].read() == bytes_of_it
    assert [one.method for one in server.seen if one.target.endswith("/data/a")].count("GET") == 1


@pytest.mark.parametrize(("asked", "status"), [({"IfNoneMatch": "*"}, 304), ({"IfMatch": '"other"'}, 412)])
def test_what_may_have_no_bytes_asks_for_none(daemon, server, asked, status):
    """A condition that fails costs the store no bytes, and neither does a HEAD; a suffix is asked for when the size is known."""
    etag = daemon.head_object(Bucket="data", Key="a")["ETag"]
    with pytest.raises(ClientError) as refused:
        daemon.get_object(Bucket="data", Key="a", **{name: etag if value == "*" else value for name, value in asked.items()})
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert server.count("GET") == 0
    assert daemon.get_object(Bucket="data", Key="a", Range="bytes=-7")["Body"].read() == DATA[-7:]
    assert server.count("GET") == 1


@pytest.mark.parametrize("freshness", ["strong", "max_age=1h"])
def test_each_page_is_fetched_once_however_many_are_the_first(start, server, tmp_path, freshness):
    """Clients that read an object of which nothing is kept, of two processes at once, cost the store one read of each page."""
    client = start(**cached(tmp_path, freshness), **{"alluxio.worker.s3.processes": 2})
    keys = [f"many{number}" for number in range(8)]
    data = {key: Random(key).randbytes(2_500_000) for key in keys}
    for key in keys:
        client.put_object(Bucket="data", Key=key, Body=data[key])
    server.seen.clear()

    def get(number):
        one = client_of(client.meta.endpoint_url)
        try:
            return [one.get_object(Bucket="data", Key=key)["Body"].read() == data[key] for key in keys]
        finally:
            one.close()

    with ThreadPoolExecutor(12) as pool:
        assert all(all(right) for right in pool.map(get, range(12)))
    gets = Counter(one.target.rpartition("/")[2] for one in server.seen if one.method == "GET")
    assert {key: gets[key] for key in keys} == dict.fromkeys(keys, 1)


@pytest.mark.parametrize("freshness", ["strong", "max_age=1h"])
def test_what_is_kept_is_not_fetched_again(start, server, tmp_path, freshness):
    """Once pages are kept the store is asked what the object is, if that, and for no byte of it."""
    client = start(**cached(tmp_path, freshness))
    for _ in range(3):
        assert client.get_object(Bucket="data", Key="a")["Body"].read() == DATA
        assert client.get_object(Bucket="data", Key="a", Range="bytes=5-9")["Body"].read() == DATA[5:10]
    assert server.count("GET") == 1

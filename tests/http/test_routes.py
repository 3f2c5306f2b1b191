"""Routes: a request ends with its answer, however it ends, and leaves nothing for the garbage collector to find."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred

from alluxio_s3.http.channel import S3Request
from tests.http.conftest import Echo, Hello
from tests.http.test_channel import request


@pytest.mark.parametrize(
    "one",
    [
        request(b"PUT /b/k HTTP/1.1", b"Content-Length: 3", body=b"one"),  # the route of an object, which takes a body
        request(b"PUT /b HTTP/1.1", b"Content-Length: 3", body=b"one"),  # a refusal, whose body nobody reads
        request(b"GET /b/k HTTP/1.1", b"Range: bytes=1-2"),
        request(b"GET / HTTP/1.1"),
        request(b"GET /b/../k HTTP/1.1"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_request_leaves_nothing_to_the_garbage_collector(server: Any, one: bytes) -> None:
    """On a connection that stays, what a request was made of goes with its answer: nobody waits while that is looked for."""
    client = await server.connect()
    try:
        client.write(one)
        await client.until(b"\r\n\r\n")
        _ = gc.collect()
        gc.disable()
        for number in range(100):
            client.write(one)
            await client.until(b"HTTP/1.1 ", number + 2)
        left = [thing for thing in gc.get_objects() if isinstance(thing, S3Request)]
        assert len(left) < 10
    finally:
        gc.enable()
        client.leave()


@pytest.mark.parametrize("one", [request(b"GET / HTTP/1.1"), request(b"PUT /b/k HTTP/1.1", b"Content-Length: 3", body=b"one")])
@pytest_twisted.ensureDeferred
async def test_nobody_waits_for_what_was_given_up(server: Any, one: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that something else than its client has cancelled ends its connection: its client would wait for ever."""

    async def given_up(*_: object) -> None:
        raise CancelledError

    monkeypatch.setattr(Hello, "run", given_up)
    monkeypatch.setattr(Echo, "run", given_up)
    client = await server.connect()
    client.write(one)
    assert await Deferred.fromCoroutine(client.all()).addTimeout(30, reactor) == b""
    assert not server.pipeline.in_flight

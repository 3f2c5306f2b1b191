"""Sockets that outlive who listens on them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol

from alluxio_s3.http.transport import EagerEndpoint
from alluxio_s3.listening import Place, places
from alluxio_s3.settings import Settings
from alluxio_s3.supervisor.sockets import Listening, open_sockets
from tests.http.conftest import RawClient


class Greeter(Protocol):
    """Says who it is, and goes."""

    def connectionMade(self) -> None:
        self.transport.write(self.factory.name)
        self.transport.loseConnection()


def greeter(name: bytes) -> Factory:
    made = Factory.forProtocol(Greeter)
    made.name = name
    return made


SETTINGS = Settings(bind_host="127.0.0.1", rest_port=0, endpoints=("tcp:0:interface=127.0.0.1",))
PLAIN = Settings(bind_host="127.0.0.1", rest_port=0)


def opened(settings: Settings) -> Listening:
    return open_sockets(lambda opening: places(settings, opening, None), reactor, 2)


@pytest.fixture(params=[PLAIN, SETTINGS], ids=["plain", "string"])
def listening(request: Any) -> Iterator[tuple[Settings, Listening]]:
    """The sockets of two processes."""
    made = opened(request.param)
    yield request.param, made
    made.close()


def place(settings: Settings, one: socket.socket) -> Place:
    (found,) = places(settings, reactor, None, [one.dup()])
    return found


async def greeting(port: int) -> bytes:
    client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), RawClient())
    return await client.all()


@pytest_twisted.ensureDeferred
async def test_what_waits_is_served_by_the_successor(listening: tuple[Settings, Listening]) -> None:
    """Each process has a socket of its own at the same address; clients that came to it while nobody listened get their answer."""
    settings, shares = listening
    (first,), (second,) = shares.shares
    port = first.getsockname()[1]
    assert second.getsockname()[1] == port
    assert first.fileno() != second.fileno()
    second.close()  # so that everybody comes to the first
    for name in (b"first", b"successor"):
        came = Deferred.fromCoroutine(greeting(port))
        served = await place(settings, first).endpoint.listen(greeter(name))
        assert await came == name
        await served.stopListening()


def test_who_shares_must_be_us(listening: tuple[Settings, Listening]) -> None:
    """An address on which somebody listens already is taken, though its sockets can be shared."""
    _, shares = listening
    port = shares.shares[0][0].getsockname()[1]
    with pytest.raises(SystemExit, match="cannot listen on"):
        opened(Settings(bind_host="127.0.0.1", rest_port=port))


@pytest_twisted.ensureDeferred
async def test_an_endpoint_opens_its_own_unless_it_is_given_one() -> None:
    """Without a socket it listens as it always did."""
    port = await EagerEndpoint(reactor, "127.0.0.1", 0).listen(greeter(b"own"))
    assert await greeting(port.getHost().port) == b"own"
    await port.stopListening()

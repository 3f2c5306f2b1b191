"""Each limit on what clients take lets through what is just within it, and refuses the next: at once, in S3's words, and counted."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import Clock

from alluxio_s3.http.limits.arrivals import Arrivals
from alluxio_s3.http.limits.gate import BODY_BYTES, Gate, Stay
from alluxio_s3.http.limits.rates import Bucket, Pace
from alluxio_s3.http.limits.values import ClientLimits
from alluxio_s3.ops.metrics import Metrics
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.settings import Settings
from tests.http.conftest import RawClient, Server

HELLO = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
UPLOAD = b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
ENDLESS = b"GET /b/endless HTTP/1.1\r\nHost: h\r\n\r\n"


class Refusals(dict[str, int]):
    """What a gate has refused, by limit."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        gate.count = self.add  # type: ignore[method-assign]

    def add(self, limit: str) -> None:
        self[limit] = self.get(limit, 0) + 1


@pytest.fixture
def refused(server: Server) -> Refusals:
    """What the server's gate has refused."""
    return Refusals(server.site.gate)


async def asked(server: Server) -> RawClient:
    """A client that has asked, has its answer, and stays."""
    client = await server.connect()
    client.write(HELLO)
    await client.until(b"hello")
    return client


@pytest.mark.parametrize("limit", ["connections", "address_connections", "tls_connections"])
@pytest_twisted.ensureDeferred
async def test_the_oldest_idle_connection_goes_for_a_new_one(server: Server, refused: Refusals, limit: str) -> None:
    """So many connections may be open; for the next one the one goes that has not asked for longest, and no other."""
    if limit == "tls_connections" and server.trust is None:
        pytest.skip("these are not TLS")
    setattr(server.site.gate.limits, limit, 3)
    first, second, third = [await asked(server) for _ in range(3)]
    first.write(HELLO)
    await first.until(b"hello", times=2)
    assert not refused
    fourth = await asked(server)
    await second.all()
    assert refused == {limit: 1}
    for client in (first, third, fourth):
        before = client.received.count(b"hello")
        client.write(HELLO)
        await client.until(b"hello", times=before + 1)
        client.leave()


@pytest_twisted.ensureDeferred
async def test_a_live_request_never_goes_for_a_new_connection(server: Server, refused: Refusals) -> None:
    """Where every connection has a request under way, a new one is told to come again, with S3's error, and those go on."""
    server.site.gate.limits.connections = 2
    busy = [await server.connect() for _ in range(2)]
    for client in busy:
        client.write(UPLOAD % 4 + b"ab")
    while server.pipeline.in_flight < 2:
        await turn(server)
    new = await server.connect()
    new.write(HELLO)
    answer = await new.all()
    assert b" 503 " in answer.partition(b"\r\n")[0]
    assert b"<Code>SlowDown</Code>" in answer
    assert b"Retry-After: 1\r\n" in answer
    assert refused == {"connections": 1}
    for client in busy:
        client.write(b"cd")
        assert (await client.until(b"abcd")).startswith(b"HTTP/1.1 200")
        client.leave()


async def turn(server: Server) -> None:
    """Let the reactor go round."""
    from twisted.internet import reactor  # noqa: PLC0415  # the one under the tests
    from twisted.internet.task import deferLater  # noqa: PLC0415

    await deferLater(reactor, 0)


@pytest_twisted.ensureDeferred
async def test_requests_under_way(server: Server, refused: Refusals) -> None:
    """The n-th request at once is served, the next is SlowDown with Retry-After at once; when one has ended there is room again."""
    server.site.gate.limits.requests = 3
    clients = [await server.connect() for _ in range(3)]
    for client in clients:
        client.write(UPLOAD % 4 + b"ab")
    while server.pipeline.in_flight < 3:
        await turn(server)
    assert not refused
    fourth = await server.connect()
    fourth.write(HELLO)
    answer = await fourth.until(b"</Error>")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"<Code>SlowDown</Code>" in answer
    assert b"Retry-After: 1\r\n" in answer
    assert refused == {"requests": 1}
    clients[0].write(b"cd")
    await clients[0].until(b"abcd")
    fourth.write(HELLO)
    await fourth.until(b"hello")
    for client in (*clients, fourth):
        client.leave()


@pytest_twisted.ensureDeferred
async def test_memory_for_bodies(server: Server, refused: Refusals) -> None:
    """Bodies together may be so large; the next is SlowDown before a byte of it is taken. A request without one is served."""
    server.site.gate.limits.body_memory = 8
    client = await server.connect()
    client.write(UPLOAD % 8 + b"abcd")
    while server.pipeline.in_flight < 1:
        await turn(server)
    other = await server.connect()
    other.write(UPLOAD % 1 + b"x")
    assert b"<Code>SlowDown</Code>" in await other.until(b"</Error>")
    assert refused == {"body_memory": 1}
    other.write(HELLO)
    await other.until(b"hello")
    client.write(b"efgh")
    assert b"abcdefgh" in await client.until(b"abcdefgh")
    for one in (client, other):
        one.leave()
    assert server.site.gate.memory == 0


@pytest_twisted.ensureDeferred
async def test_a_head_has_a_deadline(server: Server, refused: Refusals) -> None:
    """A head that trickles is given the time of the limit, however often a byte comes, and then an error; idle connections are not."""
    clock = Clock()
    arrivals = server.site.arrivals = Arrivals(server.site.gate, clock)
    server.site.gate.limits.head_seconds = 30
    idle, slow = await asked(server), await server.connect()
    for byte in b"GET / HTTP/1.1\r\nHost: h\r\nX-A":
        slow.write(bytes([byte]))
        await turn(server)
        clock.advance(1)
        if clock.seconds() < 28:
            arrivals.look()
    assert not refused
    while not arrivals._heads:
        await turn(server)
    clock.advance(29.9 - clock.seconds() + next(iter(arrivals._heads.values())))
    arrivals.look()
    assert not refused
    clock.advance(0.2)
    arrivals.look()
    assert b"<Code>RequestTimeout</Code>" in await slow.all()
    assert refused == {"head": 1}
    clock.advance(1000)
    arrivals.look()
    idle.write(HELLO)
    await idle.until(b"hello", times=2)
    idle.leave()


@pytest.mark.parametrize(("rate", "stays"), [(1024, True), (1023, False)])
@pytest_twisted.ensureDeferred
async def test_a_body_has_a_least_rate(server: Server, refused: Refusals, rate: int, stays: bool) -> None:
    """A body that comes at the least rate is taken; one that is a byte a second slower is RequestTimeout after the time of the limit."""
    clock = Clock()
    arrivals = server.site.arrivals = Arrivals(server.site.gate, clock)
    client = await server.connect()
    client.write(UPLOAD % 1_000_000)
    while not server.pipeline.in_flight:
        await turn(server)
    (body,) = arrivals._bodies
    for _ in range(30):
        client.write(bytes(rate))
        expected = body.received + rate
        while body.received < expected:
            await turn(server)
        assert not refused
        clock.advance(1)
        arrivals.look()
    if stays:
        assert not refused
    else:
        assert b"<Code>RequestTimeout</Code>" in await client.until(b"</Error>")
        assert refused == {"body": 1}
    client.leave()


class Slow:
    """A connection on which a head is on its way; whose end fails, if it is ``broken``."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.refused = False

    def catch_up(self) -> None:
        """Nothing has come."""

    def refuse(self, error: S3Error) -> None:
        """See S3Channel."""
        if self.broken:
            raise MemoryError
        self.refused = True


def test_a_failure_does_not_end_the_looking() -> None:
    """Where there is no memory to refuse one, the others are looked at again all the same."""
    clock = Clock()
    arrivals = Arrivals(Gate(clock, ClientLimits(head_seconds=30)), clock)
    arrivals.start()
    slow: list[Any] = [Slow(broken=True), Slow()]
    for one in slow:
        arrivals.head_begins(one)
    clock.pump([0.5] * 64)
    assert slow[1].refused
    arrivals.stop()


def test_requests_of_a_user_in_a_second() -> None:
    """A user's n requests of a second are let in and the next is not, until the time of one has passed; other users have their own."""
    clock = Clock()
    gate = Gate(clock, ClientLimits(user_requests=5))
    refused = Refusals(gate)
    for _ in range(5):
        gate.enter(Stay(), "alice", 0)
    assert not gate.passes("alice")
    with pytest.raises(S3Error, match="SlowDown") as raised:
        gate.enter(Stay(), "alice", 0)
    assert raised.value.headers == {"Retry-After": "1"}
    assert refused == {"user_requests": 1}
    gate.enter(Stay(), "bob", 0)
    clock.advance(0.2)
    assert gate.passes("alice")
    gate.passed("alice")
    assert not gate.passes("alice")


def test_a_share_of_the_requests_under_way() -> None:
    """Where a user has taken all there is, another still gets in, up to a tenth more; and who has more than a share gets no more."""
    gate = Gate(Clock(), ClientLimits(requests=20))
    stays = [Stay() for _ in range(20)]
    for stay in stays:
        gate.enter(stay, "alice", 0)
    for _ in range(2):
        gate.enter(Stay(), "bob", 0)
    with pytest.raises(S3Error):
        gate.enter(Stay(), "bob", 0)
    for stay in stays[:4]:
        gate.leave(stay)
    gate.enter(Stay(), "bob", 0)
    with pytest.raises(S3Error):
        gate.enter(Stay(), "alice", 0)


def test_memory_of_a_body_is_bounded() -> None:
    """However long a body is, or if nobody knows how long, it takes what one takes at most, and gives it back."""
    gate = Gate(Clock(), ClientLimits(body_memory=BODY_BYTES * 2))
    one, other, third = Stay(), Stay(), Stay()
    gate.enter(one, "alice", 5 << 40)
    gate.enter(other, "alice", None)
    with pytest.raises(S3Error):
        gate.enter(third, "alice", 1)
    for stay in (one, other, third, one):
        gate.leave(stay)
    assert (gate.memory, gate.requests) == (0, 0)


def test_limits_change_while_they_hold() -> None:
    """New values hold from the next request on, those of rates too, and what is under way still counts."""
    gate = Gate(Clock(), ClientLimits(requests=1, user_requests=1))
    gate.enter(Stay(), "alice", 0)
    with pytest.raises(S3Error):
        gate.enter(Stay(), "alice", 0)
    gate.limits.replace(ClientLimits(requests=2, user_requests=100))
    gate.enter(Stay(), "alice", 0)
    with pytest.raises(S3Error):
        gate.enter(Stay(), "alice", 0)


def test_refusals_are_counted() -> None:
    """Each refusal is a count of its limit, in the figures."""
    metrics = Metrics()
    gate = Gate(Clock(), ClientLimits(requests=1), metrics)
    gate.enter(Stay(), "alice", 0)
    with pytest.raises(S3Error):
        gate.enter(Stay(), "alice", 0)
    (refused,) = [one for one in metrics.snapshot() if one.name == "alluxio_s3_refused_total"]
    assert [(sample.labels, sample.values) for sample in refused.samples] == [(("requests",), (1.0,))]


@pytest.mark.parametrize("jump", [0.0, 86400.0, -86400.0])
def test_bytes_have_a_rate(jump: float) -> None:
    """A second's worth may go at once; more waits until it is paid for. A clock that jumps neither stops it nor lets all through."""
    clock = Clock()
    clock.advance(100_000)
    bucket = Bucket(1000)
    pace = Pace(clock, [bucket, Bucket(1_000_000)])
    assert pace.spend(1000) == 0
    assert pace.spend(500) == pytest.approx(0.5)
    clock.rightNow += jump
    assert pace.spend(1000) <= 1.5
    assert pace.spend(1000) > 0
    clock.advance(5)
    assert pace.spend(1000) == 0


@pytest_twisted.ensureDeferred
async def test_an_answer_has_a_rate(server: Server) -> None:
    """What the reads of a connection get in a second is what the limit says."""
    from twisted.internet import reactor  # noqa: PLC0415

    server.site.gate.limits.connection_read_bytes = 40_000
    client = await server.connect()
    started = reactor.seconds()  # type: ignore[attr-defined]
    client.write(ENDLESS)
    while len(client.received) < 60_000:
        await turn(server)
    passed = reactor.seconds() - started  # type: ignore[attr-defined]
    assert passed >= 0.4
    client.leave()


def test_descriptors_are_kept_for_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections never take more than three quarters of the descriptors, whatever is asked for."""
    import resource  # noqa: PLC0415

    monkeypatch.setattr(resource, "getrlimit", lambda _: (1000, 1000))
    assert ClientLimits.of(Settings(max_connections=0)).connections == 750
    assert ClientLimits.of(Settings(max_connections=751)).connections == 750
    assert ClientLimits.of(Settings(max_connections=749)).connections == 749

"""Redirects, by the short way and by the long one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from zope.interface import implementer

from alluxio_s3.actions.everything import REGISTRY
from alluxio_s3.actions.exchange import Services
from alluxio_s3.auth.authorizers import OpenAuthorizer
from alluxio_s3.auth.simple import SimpleAuthenticator
from alluxio_s3.cluster.arrivals import Arrivals
from alluxio_s3.cluster.clients import known_clients
from alluxio_s3.cluster.hops import HOP, HopAuthenticator, HopTokens
from alluxio_s3.cluster.routing import RedirectPolicy, Routing
from alluxio_s3.forwarding import ForwardingUnderFileSystem
from alluxio_s3.http.fastpath import FastPath
from alluxio_s3.http.pipeline import Pipeline
from alluxio_s3.http.routes import S3Routes
from alluxio_s3.http.site import S3Site
from alluxio_s3.http.transport import EagerEndpoint
from alluxio_s3.interfaces import IOwned, Member
from alluxio_s3.namespace.mounts import Mounted, Namespace
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes
from alluxio_s3.tags.carried import CarriedTagStore
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.memory import MemoryUnderFileSystem
from tests.cluster.fixed_members import FixedMembers, member
from tests.http.conftest import Accounts, RawClient
from tests.http.test_fastpath import same

LEAST = 1000
OTHER = member("worker-2", https_port=29996)
SIZES = {"large": LEAST, "small": LEAST - 1, "mine": LEAST, "unknown": LEAST}


@implementer(IOwned)
class Owned(ForwardingUnderFileSystem):
    """A store of which worker 2 owns everything but ``mine``, and has told the sizes of what is not ``unknown``."""

    noted = 0

    def note(self, path: str, *, sent: bool) -> None:
        """See ``IOwned``."""
        self.noted += 1

    def owner(self, path: str) -> Member | None:
        """See ``IOwned``."""
        return None if path == "mine" else OTHER

    def size(self, path: str, owner: Member) -> int | None:
        """See ``IOwned``."""
        return None if path == "unknown" else SIZES.get(path)


class Ways:
    """A gateway that redirects behind two ports: ``quick`` has the short way, ``plain`` only the long one."""

    def __init__(self, store: Owned, threads: Threads) -> None:
        self.store = store
        self.accounts = Accounts()
        members = FixedMembers("worker-1", [member("worker-1"), member("worker-2")])
        tokens = HopTokens(lambda: members.secret, reactor)  # type: ignore[arg-type]
        arrivals = Arrivals(reactor)  # type: ignore[arg-type]
        self.routing = Routing(members, RedirectPolicy(min_bytes=LEAST), known_clients(), tokens, arrivals, reactor)  # type: ignore[arg-type]
        namespace = Namespace(None, "tester")
        namespace.mounts = {"b": Mounted("test://", store)}
        services = Services(namespace, OpenAuthorizer(anonymous=True), CarriedTagStore(), threads, reactor, routing=self.routing)  # type: ignore[arg-type]
        authenticator = HopAuthenticator(SimpleAuthenticator("tester", reactor), tokens)  # type: ignore[arg-type]
        pipeline = Pipeline(authenticator, REGISTRY, services, self.accounts)
        fast = FastPath(pipeline)
        # How many redirects took the short way.
        self.short = 0
        redirect = fast._redirect

        def counted(*asked: Any) -> bool:
            sent = redirect(*asked)
            self.short += sent
            return sent

        fast._redirect = counted  # type: ignore[method-assign]
        self.site = S3Site(S3Routes(pipeline).resource(), reactor, fast=fast, keep_alive=True, idle_seconds=None, body_stall_seconds=30.0)
        self.quick = pytest_twisted.blockon(EagerEndpoint(reactor, "127.0.0.1", 0).listen(self.site))
        self.plain = reactor.listenTCP(0, self.site, interface="127.0.0.1")  # type: ignore[attr-defined]

    async def ask(self, port: object, request: bytes) -> tuple[bytes, tuple[object, ...]]:
        """The answer, without what no two have in common, and its account. On a connection of its own, from a client that is new here."""
        self.routing._sent.clear()
        self.routing.arrivals._records.clear()
        del self.accounts[:]
        client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), RawClient())  # type: ignore[attr-defined]
        client.write(request)
        await client.until(b"\r\n\r\n")
        client.write(b"HEAD /b/small HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        answer = await client.all()
        one = self.accounts[0]
        told = (one.action, one.user, one.status, one.error, one.bytes_in, one.bytes_out, one.raw_target)
        answer = re.sub(rb"%b=[!-~]*" % HOP.encode(), HOP.encode(), answer)
        return same(answer[: answer.rindex(b"HTTP/1.1 200 OK")]), told

    async def both(self, request: bytes) -> tuple[bytes, tuple[object, ...]]:
        """The same, by whatever way."""
        noted = self.store.noted
        quick = await self.ask(self.quick, request)
        counted = self.store.noted - noted
        plain = await self.ask(self.plain, request)
        assert quick == plain
        assert self.store.noted == noted + 2 * counted
        return quick


@pytest.fixture
def ways() -> Iterator[Ways]:
    """Objects of both sizes, of this worker and of the other."""
    threads = Threads(reactor, 4, "redirection")
    threads.start()
    store = MemoryUnderFileSystem(reactor, buckets=False)

    async def fill() -> None:
        for key, size in SIZES.items():
            writer = await store.create(key, Attributes(), size)
            await writer.write(bytes(size))
            await writer.commit(Attributes(), ALWAYS)

    pytest_twisted.blockon(Deferred.fromCoroutine(fill()))
    made = Ways(Owned(store), threads)
    yield made
    for port in (made.quick, made.plain):
        pytest_twisted.blockon(maybeDeferred(port.stopListening))
    threads.stop()


ODD = ["/b/missing", "/b/l%61rge", "http://h/b/large", "/b/large?x-id=GetObject", "/no/k"]
AGENTS = st.sampled_from(["rclone/v1.75.2", "Boto3/1.44.5", "curl/7", "Wget/1.21.3", "GDAL/3.10.3"])


@settings(max_examples=200, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "GET", "GET", "HEAD"]),
    target=st.sampled_from(
        [*(f"/b/{key}" for key in SIZES), "/b/missing", "/b/l%61rge", "http://h/b/large", "/b/large?x-id=GetObject", "/no/k"]
    ),
    agent=AGENTS,
    more=st.fixed_dictionaries(
        {},
        optional={
            "x-alluxio-redirect": st.sampled_from(["true", "TRUE", "false", ""]),
            "Range": st.sampled_from(["bytes=0-9", "bytes=0-999", "bytes=5-", "bytes=x"]),
            "If-None-Match": st.just("*"),
            "Authorization": st.just("AWS bob:sig"),
            "x-amz-date": st.sampled_from(["20260101T000000Z", "yesterday"]),
            "x-amz-expected-bucket-owner": st.sampled_from(["tester", "somebody"]),
            "Origin": st.just("http://page"),
        },
    ),
)
@pytest_twisted.ensureDeferred
async def test_both_ways_send_the_same(ways: Ways, method: str, target: str, agent: str, more: dict[str, str]) -> None:
    """Whoever asks for whatever: status, headers, body, account and what counts toward being hot are those of the long way."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in more.items())
    await ways.both(f"{method} {target} HTTP/1.1\r\nHost: h\r\nUser-Agent: {agent}\r\n{lines}\r\n".encode())


@pytest_twisted.ensureDeferred
async def test_what_needs_no_asking_takes_the_short_way(ways: Ways) -> None:
    """A redirect whose owner has told the size is no work for the pipeline; any other is. It is chunked, and logged with its bytes."""
    for key, short in (("large", 1), ("unknown", 0)):
        before = ways.short
        answer, told = await ways.ask(ways.quick, f"GET /b/{key} HTTP/1.1\r\nHost: h\r\nUser-Agent: rclone/1\r\n\r\n".encode())
        assert ways.short == before + short
        assert answer.startswith(b"HTTP/1.1 307 ")
        assert b"\r\nTransfer-Encoding: chunked\r\n" in answer
        assert b"Content-Length" not in answer
        body = answer.partition(b"\r\n\r\n")[2]
        size, _, rest = body.partition(b"\r\n")
        assert told[2] == 307
        assert told[5] == int(size, 16)
        assert rest.endswith(b"</Error>\r\n0\r\n\r\n")


@pytest_twisted.ensureDeferred
async def test_a_redirect_leaves_in_one_write(ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    """By either way head and body go out together: whoever waits wakes up once."""
    written: list[bytes] = []
    write = ways.quick.transport.write

    def noted(self: object, data: bytes, flags: int = 0) -> None:
        written.append(bytes(data))
        write(self, data, flags)

    monkeypatch.setattr(ways.quick.transport, "write", noted)
    for key in ("large", "unknown"):
        await ways.ask(ways.quick, f"GET /b/{key} HTTP/1.1\r\nHost: h\r\nUser-Agent: rclone/1\r\n\r\n".encode())
        assert written[0].startswith(b"HTTP/1.1 307 ")
        assert written[0].endswith(b"\r\n0\r\n\r\n")
        written.clear()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest_twisted.ensureDeferred
async def test_a_redirect_without_kept_connections(ways: Ways, version: str) -> None:
    """Where connections are not kept both ways say so, and close after the whole answer; for HTTP/1.0 it is not chunked."""
    ways.site.keep_alive = False
    answers = []
    for port in (ways.quick, ways.plain):
        ways.routing.arrivals._records.clear()
        client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), RawClient())
        client.write(f"GET /b/large HTTP/{version}\r\nHost: h\r\nUser-Agent: rclone/1\r\n\r\n".encode())
        answers.append(re.sub(rb"%b=[!-~]*" % HOP.encode(), HOP.encode(), same(await client.all())))
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"HTTP/1.1 307 ")
    assert b"\r\nConnection: close\r\n" in answers[0]
    assert (b"chunked" in answers[0]) == (version == "1.1")
    assert answers[0].endswith(b"</Error>\r\n0\r\n\r\n" if version == "1.1" else b"</Error>")

"""The short way and the long way give the same answers, and the short way is taken when it should be."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import pytest_twisted
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import Clock

from alluxio_s3.actions.everything import REGISTRY
from alluxio_s3.actions.exchange import Services
from alluxio_s3.auth.authorizers import OpenAuthorizer
from alluxio_s3.auth.principals import Principal
from alluxio_s3.auth.simple import SimpleAuthenticator
from alluxio_s3.cluster.hops import HOP, LIFE_SECONDS, SKEW_SECONDS, HopAuthenticator, HopTokens
from alluxio_s3.http.channel import S3Channel
from alluxio_s3.http.fastpath import ONE_WRITE_BYTES, FastPath
from alluxio_s3.http.pipeline import Pipeline
from alluxio_s3.http.routes import S3Routes
from alluxio_s3.http.sendfile import SLICE_BYTES
from alluxio_s3.http.site import S3Site
from alluxio_s3.http.transport import EagerEndpoint
from alluxio_s3.namespace.mounts import Namespace
from alluxio_s3.s3.target import parse_target
from alluxio_s3.storage import ObjectChanged
from alluxio_s3.tags.carried import CarriedTagStore
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local.filesystem import LocalUnderFileSystem
from alluxio_s3.ufs.local.kernel import is_local
from tests.http.conftest import Accounts, RawClient

SIZES = {"empty": 0, "one": 1, "small": 4096, "edge": ONE_WRITE_BYTES, "over": ONE_WRITE_BYTES + 1, "large": SLICE_BYTES * 2 + 5}
SIGNED = "AWS4-HMAC-SHA256 Credential=alice/20260101/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + "a" * 64
TOKENS = HopTokens(lambda: bytes(32), reactor)  # type: ignore[arg-type]
METADATA = {"x-amz-meta-one": "1", "x-amz-meta-Zwei": "ü", "content-type": "text/x", "cache-control": "no-store", "x-amz-tagging": "t=1"}


class TwoWays:
    """One gateway behind two ports: ``quick`` has the short way, ``plain`` has only the long one."""

    def __init__(self, directory: Path) -> None:
        self.threads = Threads(reactor, 4, "two-ways")
        self.threads.start()
        self.ufs = LocalUnderFileSystem(str(directory), self.threads, buckets=True)
        self.accounts = Accounts()
        services = Services(Namespace(self.ufs, "tester"), OpenAuthorizer(anonymous=True), CarriedTagStore(), self.threads, reactor)
        # The names of those who came by tokens.
        self.arrived: list[str] = []
        authenticator = HopAuthenticator(SimpleAuthenticator("tester", reactor), TOKENS, lambda hop: self.arrived.append(hop.guest.name))
        self.pipeline = Pipeline(authenticator, REGISTRY, services, self.accounts)
        self.fast = FastPath(self.pipeline)
        # Whether answers wait for those to others, as in a turn with many.
        self.together = False
        # How many requests were not twisted.web's, and how many of them were answered by the short way.
        self.served = self.taken = 0
        # And how many of those waited for others.
        self.waited = 0
        serve, answer = self.fast.serve, self.fast._answer

        def counted(channel: Any, data: bytes) -> bool:
            self.site.outbox.is_open = self.together
            served = serve(channel, data)
            self.waited += bool(channel.transport.waits)
            assert channel.busy == (channel._handlingRequest or bool(channel.transport.waits))
            self.site.outbox.close()
            self.served += served
            return served

        def counted_answer(*asked: Any) -> bool:
            taken = answer(*asked)
            self.taken += taken
            return taken

        self.fast.serve = counted  # type: ignore[method-assign]
        self.fast._answer = counted_answer  # type: ignore[method-assign]
        routes = S3Routes(self.pipeline).resource()
        self.site = S3Site(routes, reactor, fast=self.fast, keep_alive=True, idle_seconds=None, body_stall_seconds=30.0)
        self.quick = pytest_twisted.blockon(EagerEndpoint(reactor, "127.0.0.1", 0).listen(self.site))
        self.plain = reactor.listenTCP(0, self.site, interface="127.0.0.1")  # type: ignore[attr-defined]

    async def ask(self, port: Any, request: bytes) -> bytes:
        """The whole answer on a connection of its own: a last request asks for the close."""
        client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), RawClient())
        client.write(request)
        if await client.until(b"\r\n\r\n"):
            client.write(b"GET /b/one HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        answer = await client.all()
        return answer[: answer.rindex(b"HTTP/1.1 200 OK")]

    async def both(self, request: bytes) -> tuple[bytes, bytes]:
        """What the two ways answer, less what differs between any two answers."""
        return same(await self.ask(self.quick, request)), same(await self.ask(self.plain, request))

    async def put(self, key: str, body: bytes, headers: dict[str, str]) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"PUT /b/{key} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode()
        answer = await self.ask_once(head + body)
        assert b" 200 " in answer, answer

    async def ask_once(self, request: bytes) -> bytes:
        client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.plain.getHost().port), RawClient())
        client.write(request)
        answer = await client.until(b"\r\n\r\n")
        client.leave()
        return answer

    async def ask_quick(self, request: bytes) -> bytes:
        client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.quick.getHost().port), RawClient())
        client.write(request)
        answer = await client.until(b"\r\n\r\n")
        client.leave()
        return answer

    async def fill(self) -> None:
        (Path(self.ufs.identity.removeprefix("file://")) / "b" / "huge").write_bytes(bytes(24 << 20) + b"the end")
        for key, size in SIZES.items():
            await self.put(key, os.urandom(size), METADATA if key != "one" else {})
            await self.both(f"GET /b/{key} HTTP/1.1\r\nHost: h\r\n\r\n".encode())

    def close(self) -> None:
        for port in (self.quick, self.plain):
            pytest_twisted.blockon(maybeDeferred(port.stopListening))
        pytest_twisted.blockon(Deferred.fromCoroutine(self.ufs.close()))
        self.threads.stop()


def same(answer: bytes) -> bytes:
    """An answer without its request id and date."""
    return re.sub(rb"(x-amz-request-id: |Date: |<RequestId>)[^\r<]*", rb"\1", answer)


@pytest.fixture(scope="module")
def one_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoWays]:
    """Objects of every size class; each has been read once, so that it is open."""
    directory = tmp_path_factory.mktemp("ways")
    (directory / "b").mkdir()
    made = TwoWays(directory)
    pytest_twisted.blockon(Deferred.fromCoroutine(made.fill()))
    yield made
    made.close()


@pytest.fixture
def ways(one_gateway: TwoWays) -> Iterator[TwoWays]:
    """The gateway that all tests of here share; answers go at once unless a test says otherwise."""
    yield one_gateway
    one_gateway.together = False
    one_gateway.site.outbox.close()


RANGES = st.one_of(
    st.builds("bytes={}-{}".format, st.integers(0, 5000), st.one_of(st.just(""), st.integers(0, 20_000))),
    st.builds("bytes=-{}".format, st.integers(0, 5000)),
    st.sampled_from(["bytes=0-0,5-9", "bytes=5-1", "items=0-1", "bytes=x", "bytes=16384-16384"]),
)
DATES = st.sampled_from(["Thu, 01 Jan 1998 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT", "yesterday"])
ETAGS = st.sampled_from(["*", '"x"', '"d41d8cd98f00b204e9800998ecf8427e"', 'W/"x"', "x, y"])
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Range": RANGES,
        "If-Match": ETAGS,
        "If-None-Match": ETAGS,
        "If-Modified-Since": DATES,
        "If-Unmodified-Since": DATES,
        "If-Range": st.one_of(ETAGS, DATES),
        "x-amz-checksum-mode": st.sampled_from(["ENABLED", "enabled", "x"]),
        "Authorization": st.sampled_from([SIGNED, SIGNED.replace(", ", ","), SIGNED.replace("alice", "a" * 257), "AWS bob:sig", "rubbish"]),
        "x-amz-date": st.sampled_from(["20260101T000000Z", "20261399T000000Z", "yesterday", ""]),
        "Date": st.sampled_from(["Thu, 01 Jan 1998 00:00:00 GMT", "yesterday"]),
        "User-Agent": st.sampled_from(["Boto3/1.44.5", "curl/7.88.1"]),
        "Accept": st.just("*/*"),
        "accept-encoding": st.just("identity"),
        "Connection": st.sampled_from(["keep-alive", "Keep-Alive", "TE", "keep-alive, TE", "upgrade"]),
        "X-Unknown": st.just("1"),
    },
)


@settings(max_examples=400, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "GET", "HEAD"]),
    key=st.sampled_from([*SIZES, "missing", "sm%61ll", "small?x-id=GetObject", "", "folder/", "small/x", "..%2fx"]),
    headers=HEADERS,
    together=st.booleans(),
)
@pytest_twisted.ensureDeferred
async def test_both_ways_answer_the_same(ways: TwoWays, method: str, key: str, headers: dict[str, str], together: bool) -> None:
    """Whatever the request, status, headers, their order, and bytes are those of the long way; so they are of an answer that waits."""
    ways.together = together
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    quick, plain = await ways.both(f"{method} /b/{key} HTTP/1.1\r\nHost: h\r\n{lines}\r\n".encode())
    assert quick == plain


def token(target: str, name: str = "carol", late: float = 0.0) -> str:
    """The token of one who is sent to ``target``, made so many seconds ago."""
    clock = Clock()
    clock.advance(reactor.seconds() - late)  # type: ignore[attr-defined]
    made = HopTokens(lambda: bytes(32), clock).issue(Principal(name, "simple"), parse_target(target.encode()), "worker-1", "c")
    assert made is not None
    return made


QUERIES: dict[str, Callable[[str], str]] = {
    "good": lambda target: f"{HOP}={token(target)}",
    "good, of one with an odd name": lambda target: f"{HOP}={token(target, 'cärol')}",
    "good, encoded": lambda target: f"{HOP}={token(target).replace('.', '%2e')}",
    "good, and more": lambda target: f"{HOP}={token(target + '?x-id=GetObject')}&x-id=GetObject",
    "good, after more": lambda target: f"response-content-type=a%2Fb&{HOP}={token(target + '?response-content-type=a%2Fb')}",
    "good, and an ampersand": lambda target: f"{HOP}={token(target)}&",
    "old": lambda target: f"{HOP}={token(target, late=LIFE_SECONDS + SKEW_SECONDS + 5)}",
    "of another": lambda target: f"{HOP}={token(target + 'x')}",
    "twice": lambda target: f"{HOP}={token(target)}&{HOP}={token(target)}",
    "cut": lambda target: f"{HOP}={token(target)[:-3]}",
    "in other letters": lambda target: f"{HOP.upper()}={token(target)}",
    "empty": lambda _: f"{HOP}=",
    "no value": lambda _: HOP,
    "nonsense": lambda _: f"{HOP}=%zz",
    "a question mark": lambda target: f"?{HOP}={token(target)}",
}


@settings(max_examples=300, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "GET", "HEAD"]),
    key=st.sampled_from([*SIZES, "missing", "sm%61ll", "folder/"]),
    query=st.sampled_from(sorted(QUERIES)),
    headers=HEADERS,
    referer=st.booleans(),
)
@pytest_twisted.ensureDeferred
async def test_both_ways_answer_who_was_redirected_the_same(
    ways: TwoWays, method: str, key: str, query: str, headers: dict[str, str], referer: bool
) -> None:
    """Whatever token a request brings, and whatever else: answer and account are those of the long way, and the arrival is told of."""
    if referer:
        headers["Referer"] = f"http://h/b/{key}"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"{method} /b/{key}?{QUERIES[query](f'/b/{key}')} HTTP/1.1\r\nHost: h\r\n{lines}\r\n".encode()
    told = []
    answers = []
    for port in (ways.quick, ways.plain):
        del ways.accounts[:], ways.arrived[:]
        answers.append(same(await ways.ask(port, request)))
        one = ways.accounts[0]
        told.append((one.action, one.user, one.status, one.error, one.bytes_out, one.raw_target, set(ways.arrived)))
    assert answers[0] == answers[1]
    assert told[0] == told[1]


@pytest.mark.parametrize("query", ["good", "good, encoded", "good, of one with an odd name"])
@pytest.mark.parametrize("extra", ["", "Referer: http://h/b/small\r\n", "Authorization: rubbish\r\n", "x-alluxio-redirect: true\r\n"])
@pytest_twisted.ensureDeferred
async def test_who_was_redirected_takes_the_short_way(ways: TwoWays, query: str, extra: str) -> None:
    """A token that is good and alone is taken at once, before any Authorization; whoever brings it is in the log by the token's name."""
    request = f"GET /b/small?{QUERIES[query]('/b/small')} HTTP/1.1\r\nHost: h\r\n{extra}\r\n".encode()
    await ways.both(b"GET /b/small HTTP/1.1\r\nHost: h\r\n\r\n")
    before = ways.taken
    del ways.accounts[:], ways.arrived[:]
    answer = await ways.ask(ways.quick, request)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert ways.taken == before + 1
    assert ways.arrived == [ways.accounts[0].user]
    assert ways.accounts[0].user.endswith("rol")


TARGETS = [
    "/",
    "/b",
    "/b/",
    "/b?list-type=2",
    "/b?list-type=2&prefix=sm",
    "/b/?prefix=one&delimiter=%2F",
    "/b?list-type=2&max-keys=2&fetch-owner=true&encoding-type=url",
    "/b?list-type=2&max-keys=x",
    "/b?list-type=2&prefix=one/&prefix=two",
    "/b/small?response-content-type=a%2Fb",
    "/b/small?partNumber=1",
    "/b/one?tagging",
    "/b/one?acl",
    "/b/over?x-alluxio-hop=t",
    "/b/large?x-id=GetObject",
    f"/b/large?x-other={'l' * 300}",
    f"/b/large?x-other={'l' * 5000}",
    "/b?location",
    "/b?uploads",
    "/b?acl",
    "/b?x-id=ListObjects",
    "/b/one?partNumber=1",
    "/b/one?tagging",
    "/b/one?acl",
    "/b/missing",
    "/nobucket",
    "/nobucket?list-type=2",
    "/UPPER",
    "/b?%zz",
    "/b/one\x7f",
    "http://h/b?list-type=2",
    "*",
    "b",
]


@settings(max_examples=300, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(method=st.sampled_from(["GET", "HEAD"]), target=st.sampled_from(TARGETS), headers=HEADERS)
@pytest_twisted.ensureDeferred
async def test_both_ways_answer_the_same_of_buckets(ways: TwoWays, method: str, target: str, headers: dict[str, str]) -> None:
    """What is asked of buckets and of the service, errors too, is answered as by the long way."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    quick, plain = await ways.both(f"{method} {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\n".encode())
    assert quick == plain


@pytest.mark.parametrize("request_line", ["HEAD /b", "GET /b?list-type=2&prefix=one", "HEAD /b/missing", "GET /"])
@pytest.mark.parametrize("keep", [True, False])
@pytest_twisted.ensureDeferred
async def test_polling_takes_the_shorter_way(ways: TwoWays, request_line: str, keep: bool) -> None:
    """What clients poll goes through the pipeline without the framework, is logged alike, and closes where connections are not kept."""
    request = f"{request_line} HTTP/1.1\r\nHost: h\r\nAuthorization: {SIGNED}\r\n\r\n".encode()
    del ways.accounts[:]
    before = ways.served
    answers = []
    ways.site.keep_alive = keep
    try:
        for port in (ways.quick, ways.plain):
            client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), RawClient())
            client.write(request)
            if keep:
                await client.until(b"\r\n\r\n")
                client.write(b"GET /b/one HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            answers.append(same(await client.all()))
    finally:
        ways.site.keep_alive = True
    assert answers[0] == answers[1]
    assert ways.served == before + 1
    first, second = ways.accounts[0], ways.accounts[2 if keep else 1]
    told = [(one.action, one.user, one.status, one.error, one.bytes_in, one.bytes_out, one.raw_target) for one in (first, second)]
    assert told[0] == told[1]
    assert ways.pipeline.in_flight == 0


@pytest_twisted.ensureDeferred
async def test_requests_wait_behind_one_that_a_thread_answers(ways: TwoWays) -> None:
    """A client that does not wait for the answer of a listing has all answers in order; one that leaves leaves nothing behind."""
    listing = b"GET /b?list-type=2 HTTP/1.1\r\nHost: h\r\n\r\n"
    answers = []
    for port in (ways.quick, ways.plain):
        client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), RawClient())
        client.write(listing)
        while not (ways.pipeline.in_flight or client.received):
            await turn()
        client.write(b"GET /b/small HTTP/1.1\r\nHost: h\r\n\r\n" * 300)
        client.write(b"GET /b/one HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        answers.append(same(await client.all()))
    assert answers[0] == answers[1]
    assert answers[0].count(b"HTTP/1.1 200 OK") == 302
    client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", ways.quick.getHost().port), RawClient())
    del ways.accounts[:]
    client.write(listing)
    while not (ways.pipeline.in_flight or client.received):
        await turn()
    client.leave()
    while ways.pipeline.in_flight:
        await turn()
    await client.all()
    assert len(ways.accounts) == 1


async def turn() -> None:
    """Let the reactor go round."""
    done: Deferred[None] = Deferred()
    reactor.callLater(0, done.callback, None)  # type: ignore[attr-defined]
    await done


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("key", SIZES)
@pytest.mark.parametrize("extra", ["", "Range: bytes=0-0\r\n", f"Authorization: {SIGNED}\r\n", "x-amz-checksum-mode: ENABLED\r\n"])
@pytest.mark.parametrize("together", [False, True])
@pytest_twisted.ensureDeferred
async def test_plain_reads_take_the_short_way(ways: TwoWays, method: str, key: str, extra: str, together: bool) -> None:
    """What SDKs send for a hot object is answered without the long way, and is in the access log as the same action and user."""
    if key == "empty" and "Range" in extra:
        pytest.skip("a range of nothing is an error, and errors go the long way")
    request = f"{method} /b/{key} HTTP/1.1\r\nHost: h\r\n{extra}\r\n".encode()
    await ways.both(f"GET /b/{key} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    before, waited = ways.taken, ways.waited
    ways.together = together
    del ways.accounts[:]
    quick, plain = await ways.both(request)
    assert quick == plain
    assert ways.taken > before
    assert (ways.waited > waited) == together
    first, second = ways.accounts[0], ways.accounts[2]
    assert (first.action, first.user, first.status, first.bytes_out) == (second.action, second.user, second.status, second.bytes_out)


@pytest_twisted.ensureDeferred
async def test_an_object_that_nobody_has_read_takes_the_short_way_too(ways: TwoWays) -> None:
    """What the kernel can open without waiting needs no GET before: a HEAD by itself is answered by the short way, as by the long one."""
    if not is_local(ways.ufs.tree.root.fd):
        pytest.skip("opening may wait on this file system")
    await ways.put("unread", b"12345", METADATA)
    request = b"HEAD /b/unread HTTP/1.1\r\nHost: h\r\n\r\n"
    before = ways.taken
    for _ in range(10_000):  # until its last change is so long ago that the next one will show
        quick, plain = await ways.both(request)
        assert quick == plain
        # What asks for the close goes the long way.
        if ways.taken > before:
            return
    pytest.fail("it never did")


@pytest_twisted.ensureDeferred
async def test_a_replaced_object_is_never_served_from_the_old_file(ways: TwoWays) -> None:
    """After a PUT, a change from outside, or a DELETE the short way gives what is there now."""
    request = b"GET /b/changing HTTP/1.1\r\nHost: h\r\n\r\n"
    root = Path(ways.ufs.identity.removeprefix("file://"))
    for n in range(20):
        body = b"%d" % n
        await ways.put("changing", body, {"x-amz-tagging": f"n={n}"})
        for _ in range(2):
            quick, plain = await ways.both(request)
            assert quick == plain
            assert quick.endswith(b"\r\n\r\n" + body)
    (root / "b" / "changing").write_bytes(b"from outside")
    quick, plain = await ways.both(request)
    assert quick == plain
    assert quick.endswith(b"from outside")
    (root / "b" / "changing").unlink()
    assert b" 404 " in (await ways.both(request))[0].partition(b"\r\n")[0]


@pytest_twisted.ensureDeferred
async def test_what_was_changed_in_place_is_seen(ways: TwoWays) -> None:
    """A file that somebody overwrites in place, same size, is served as it is now."""
    root = Path(ways.ufs.identity.removeprefix("file://"))
    request = b"GET /b/inplace HTTP/1.1\r\nHost: h\r\n\r\n"
    await ways.put("inplace", b"aaaa", {})
    await ways.both(request)
    with (root / "b" / "inplace").open("r+b") as file:
        file.write(b"bbbb")
    quick, plain = await ways.both(request)
    assert quick == plain
    assert quick.endswith(b"bbbb")


@pytest_twisted.ensureDeferred
async def test_tags_changed_are_seen(ways: TwoWays) -> None:
    """New tags show in the next answer's count."""
    await ways.put("tagged", b"x", {})
    request = b"GET /b/tagged HTTP/1.1\r\nHost: h\r\n\r\n"
    assert b"tagging-count" not in (await ways.both(request))[0]
    await ways.ufs.set_tags("b/tagged", {"a": "1", "b": "2"})
    assert b"x-amz-tagging-count: 2" in (await ways.both(request))[0]


@pytest_twisted.ensureDeferred
async def test_many_requests_in_one_read_are_answered_in_order(ways: TwoWays) -> None:
    """Pipelined requests, large and small, come back in their order whatever way each takes."""
    keys = ["small", "large", "one", "large", "small", "missing", "over"]
    requests = b"".join(f"GET /b/{key} HTTP/1.1\r\nHost: h\r\n\r\n".encode() for key in keys)

    async def ask(port: Any) -> bytes:
        client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), RawClient())
        client.write(requests)
        client.write(b"GET /b/one HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        return same(await client.all())

    quick = await ask(ways.quick)
    plain = await ask(ways.plain)
    assert quick == plain
    assert quick.count(b"HTTP/1.1 200 OK") == len(keys)


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_in_mid_answer_leaves_nothing(ways: TwoWays) -> None:
    """A large answer that nobody reads to its end ends with its client: no error, nothing in flight, the file released."""

    async def leave() -> None:
        client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", ways.quick.getHost().port), RawClient())
        client.transport.pauseProducing()  # type: ignore[union-attr]
        client.write(b"GET /b/large HTTP/1.1\r\nHost: h\r\n\r\n" * 20)
        other = await ways.ask(ways.quick, b"GET /b/one HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b" 200 " in other
        client.leave()
        await client.all()
        while ways.pipeline.in_flight:
            await ways.ask(ways.quick, b"GET /b/one HTTP/1.1\r\nHost: h\r\n\r\n")

    await leave()
    assert all(file.readers == 0 for file in ways.ufs._files._files.values())


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("key", SIZES)
@pytest.mark.parametrize("together", [False, True])
@pytest_twisted.ensureDeferred
async def test_both_ways_close_when_connections_are_not_kept(ways: TwoWays, method: str, key: str, together: bool) -> None:
    """With keep-alive off each way says that it closes, in the same place, and does, after the whole answer."""
    ways.together = together
    await ways.both(f"GET /b/{key} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    request = f"{method} /b/{key} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    answers = []
    before = ways.taken
    ways.site.keep_alive = False
    try:
        for port in (ways.quick, ways.plain):
            client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), RawClient())
            client.write(request)
            answers.append(same(await client.all()))
    finally:
        ways.site.keep_alive = True
    assert ways.taken == before + 1
    assert answers[0] == answers[1]
    assert b"\r\nConnection: close\r\n\r\n" in answers[0]


@pytest.mark.parametrize("problem", [OSError(errno.ESTALE, "stale"), MemoryError()])
@pytest_twisted.ensureDeferred
async def test_a_file_that_cannot_be_read_takes_the_long_way(ways: TwoWays, monkeypatch: pytest.MonkeyPatch, problem: Exception) -> None:
    """What the kernel refuses on the short way, or has no memory for, is left to the long one, and the file is released."""

    def refuse(*_: object) -> None:
        raise problem

    await ways.both(b"GET /b/small HTTP/1.1\r\nHost: h\r\n\r\n")
    taken = ways.taken
    monkeypatch.setattr("alluxio_s3.http.fastpath._read_hot", refuse)
    answer = await ways.ask_quick(b"GET /b/small HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n")
    assert b" 200 " in answer
    assert ways.taken == taken
    assert all(file.readers == 0 for file in ways.ufs._files._files.values())


@pytest_twisted.ensureDeferred
async def test_idle_connections_end_and_busy_ones_do_not(ways: TwoWays) -> None:
    """Only fast requests: each puts off the end of the connection, a large answer suspends it, and an idle connection ends."""
    clock = Clock()
    ways.site.timeOut = 10.0
    build = ways.site.buildProtocol
    channels: list[Any] = []

    def clocked(address: Any) -> Any:
        channel = build(address)
        channel.callLater = clock.callLater
        channels.append(channel)
        return channel

    ways.site.buildProtocol = clocked  # type: ignore[method-assign]
    try:
        client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", ways.quick.getHost().port), RawClient())
        for answers in range(1, 4):
            clock.advance(9)
            client.write(b"HEAD /b/small HTTP/1.1\r\nHost: h\r\n\r\n")
            await client.until(b"\r\n\r\n", answers)
        client.transport.pauseProducing()  # type: ignore[union-attr]
        client.write(b"GET /b/huge HTTP/1.1\r\nHost: h\r\n\r\n")
        while not channels[0].busy:
            await ways.ask(ways.plain, b"GET /b/one HTTP/1.1\r\nHost: h\r\n\r\n")
        clock.advance(1000)
        client.transport.resumeProducing()  # type: ignore[union-attr]
        while not client.received.endswith(b"the end"):
            await ways.ask(ways.plain, b"GET /b/one HTTP/1.1\r\nHost: h\r\n\r\n")
        clock.advance(9)
        assert channels[0].transport.connected
        clock.advance(2)
        await client.all()
    finally:
        ways.site.timeOut = None
        del ways.site.buildProtocol


@pytest_twisted.ensureDeferred
async def test_more_requests_than_are_read_ahead_wait_behind_a_large_answer(ways: TwoWays) -> None:
    """A client that goes on asking while a large answer goes out is held back, and let go on: no request is lost."""
    await ways.both(b"GET /b/huge HTTP/1.1\r\nHost: h\r\n\r\n")
    client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", ways.quick.getHost().port), RawClient())
    taken = ways.taken
    client.transport.pauseProducing()  # type: ignore[union-attr]
    client.write(b"GET /b/huge HTTP/1.1\r\nHost: h\r\n\r\n")
    while ways.taken == taken:
        await ways.ask(ways.plain, b"GET /b/one HTTP/1.1\r\nHost: h\r\n\r\n")
    client.write(b"HEAD /b/one HTTP/1.1\r\nHost: h\r\n\r\n" * 2000)
    client.write(b"HEAD /b/one HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    for _ in range(5):
        await ways.ask(ways.plain, b"GET /b/one HTTP/1.1\r\nHost: h\r\n\r\n")
    client.transport.resumeProducing()  # type: ignore[union-attr]
    assert (await client.all()).count(b"HTTP/1.1 200 OK") == 2002


@pytest.mark.parametrize("together", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_file_that_changes_while_it_goes_out_at_once_is_cut(ways: TwoWays, monkeypatch: pytest.MonkeyPatch, together: bool) -> None:
    """An answer that fits into the socket is cut like a longer one when the file has changed before its end, and is logged as that."""
    ways.together = together

    def changed(_: object) -> None:
        raise ObjectChanged("b/over")

    request = b"GET /b/over HTTP/1.1\r\nHost: h\r\n\r\n"
    whole = await ways.ask(ways.quick, request)
    monkeypatch.setattr("alluxio_s3.ufs.local.open_files.OpenFile.check_unchanged", changed)
    del ways.accounts[:]
    client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", ways.quick.getHost().port), RawClient())
    client.write(request)
    answer = await client.all()
    assert len(answer) < len(whole)
    assert [one.error for one in ways.accounts] == ["ObjectChanged"]
    assert ways.accounts[0].bytes_out < SIZES["over"]
    assert all(file.readers == 0 for file in ways.ufs._files._files.values())


@pytest_twisted.ensureDeferred
async def test_who_has_a_large_answer_stands_in_line(ways: TwoWays, monkeypatch: pytest.MonkeyPatch) -> None:
    """While several users ask, a connection to which a large answer goes is looked at after those of others; a small one's is not."""
    stood: list[str] = []
    monkeypatch.setattr(S3Channel, "stand_in_line", lambda _, user: stood.append(user))
    ways.site.gate.turns.must_wait("somebody")
    for key in ("small", "huge"):
        await ways.both(f"GET /b/{key} HTTP/1.1\r\nHost: h\r\nAuthorization: {SIGNED}\r\n\r\n".encode())
        assert stood == (["alice"] if key == "huge" else [])


@pytest.mark.parametrize("way", ["quick", "plain"])
@pytest_twisted.ensureDeferred
async def test_answers_that_wait_go_before_anything_longer(ways: TwoWays, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Before a request that is not answered at once, all answers that wait are sent."""
    events: list[str] = []
    run = Pipeline.run

    async def told(pipeline: Pipeline, request: Any) -> None:
        events.append("longer")
        await run(pipeline, request)

    monkeypatch.setattr(Pipeline, "run", told)
    ways.site.outbox.is_open = True
    ways.site.outbox.send(Mock(), 1, events.append, "waited")
    assert not events
    assert b" 200 " in await ways.ask(getattr(ways, way), b"GET /b?list-type=2 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert events[:2] == ["waited", "longer"]

"""What a connection does with well-formed and malformed requests, byte by byte."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs

from alluxio_s3.actions.exchange import Call, ReaderBody, Response
from alluxio_s3.actions.registry import OBJECT, Action, Registry
from alluxio_s3.http.channel import SWALLOW_BYTES
from tests.http.conftest import Hello

CLOSE = b"Connection: close\r\n"


def request(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([line, b"Host: h", *headers, b"", body])


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


@pytest_twisted.ensureDeferred
async def test_keep_alive_serves_request_after_request(server: Any) -> None:
    """A connection that may stay open serves requests one after the other, pipelined ones too, in order."""
    client = await server.connect()
    client.write(request(b"PUT /b/k HTTP/1.1", b"Content-Length: 3", body=b"one") * 3)
    client.write(request(b"GET / HTTP/1.1"))
    answers = await client.until(b"hello")
    assert answers.count(b"HTTP/1.1 200 OK") == 4
    assert answers.count(b"\r\n\r\none") == 3
    assert b"Connection: close" not in answers
    client.leave()


@pytest_twisted.ensureDeferred
async def test_connection_close_is_honoured_and_said(server: Any) -> None:
    """``Connection: close`` closes after the answer, which says so; so does HTTP/1.0."""
    answer = await server.exchange(request(b"GET / HTTP/1.1", b"Connection: close"))
    assert status(answer) == 200
    assert CLOSE in answer
    answer = await server.exchange(b"GET / HTTP/1.0\r\n\r\n")
    assert status(answer) == 200
    assert body_of(answer) == b"hello"


@pytest_twisted.ensureDeferred
async def test_keep_alive_off_closes_every_connection(server: Any) -> None:
    """With keep-alive off, as Alluxio has it by default, each answer says that the connection closes, and it does."""
    server.site.keep_alive = False
    answer = await server.exchange(request(b"GET / HTTP/1.1"))
    assert CLOSE in answer
    assert body_of(answer) == b"hello"


@pytest_twisted.ensureDeferred
async def test_header_names_keep_their_case(server: Any) -> None:
    """Names of user metadata go out as they are: clients read their case."""
    answer = await server.exchange(request(b"PUT /b/k HTTP/1.1", b"Content-Length: 0", b"Connection: close"))
    assert b"\r\nx-amz-meta-CaSe: kept\r\n" in answer


@pytest_twisted.ensureDeferred
async def test_continue_comes_only_when_the_body_is_wanted(server: Any) -> None:
    """``100 Continue`` is answered by an action that reads, not before authentication and refusals; case does not matter."""
    client = await server.connect()
    client.write(request(b"PUT /b/k HTTP/1.1", b"Content-Length: 3", b"Expect: 100-Continue"))
    assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.write(b"abc")
    assert body_of((await client.until(b"abc")).partition(b"\r\n\r\n")[2]) == b"abc"
    client.leave()
    refused = await server.exchange(request(b"PUT /b HTTP/1.1", b"Content-Length: 3", b"Expect: 100-continue"))
    assert status(refused) == 403
    assert CLOSE in refused


@pytest_twisted.ensureDeferred
async def test_a_small_unread_body_does_not_cost_the_connection(server: Any) -> None:
    """An early refusal swallows a small body and serves the next request on the same connection."""
    client = await server.connect()
    client.write(request(b"PUT /b HTTP/1.1", b"Content-Length: 5", body=b"12"))
    await client.until(b"AccessDenied")
    client.write(b"345" + request(b"GET / HTTP/1.1"))
    answers = await client.until(b"hello")
    assert answers.count(b"HTTP/1.1") == 2
    client.leave()


@pytest_twisted.ensureDeferred
async def test_a_large_unread_body_closes_but_lets_the_answer_be_read(server: Any) -> None:
    """An early refusal of a large body is delivered whole while the client still sends, then the connection closes."""
    client = await server.connect()
    size = SWALLOW_BYTES * 4
    client.write(request(b"PUT /b HTTP/1.1", b"Content-Length: %d" % size))
    client.write(bytes(size))
    answer = await client.all()
    assert status(answer) == 403
    assert CLOSE in answer
    assert b"</Error>" in answer


@pytest_twisted.ensureDeferred
async def test_a_chunked_body_is_read_to_its_end(server: Any) -> None:
    """Transfer-Encoding: chunked gives the same bytes as Content-Length, however the chunks fall."""
    client = await server.connect()
    client.write(request(b"PUT /b/k HTTP/1.1", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n"))
    client.write(b"2;ext=1\r\nde\r\n0\r\n\r\n" + request(b"GET / HTTP/1.1"))
    assert b"\r\n\r\nabcde" in await client.until(b"hello")
    client.leave()


@pytest_twisted.ensureDeferred
async def test_an_answer_of_unknown_length_is_chunked(server: Any) -> None:
    """A streamed answer is chunked for HTTP/1.1, and ended by the close for HTTP/1.0."""
    answer = await server.exchange(request(b"GET /b/k HTTP/1.1", b"Connection: close"))
    assert b"Transfer-Encoding: chunked" in answer
    assert body_of(answer) == b"4\r\none,\r\n3\r\ntwo\r\n0\r\n\r\n"
    answer = await server.exchange(b"GET /b/k HTTP/1.0\r\n\r\n")
    assert body_of(answer) == b"one,two"


@pytest_twisted.ensureDeferred
async def test_an_answer_that_fails_half_way_is_cut_visibly(server: Any) -> None:
    """Once the head is out an error can't be told in words: the connection is reset and the body has no proper end."""
    with capturedLogs() as captured:
        answer = await server.exchange(request(b"GET /b/cut HTTP/1.1"))
    assert body_of(answer) in (b"", b"4\r\none,\r\n")
    assert any("was cut" in event["log_format"] for event in captured)
    assert server.accounts[-1].error == "RuntimeError"


@pytest_twisted.ensureDeferred
async def test_a_small_body_that_a_store_fails_to_give_is_refused_in_words(server: Any) -> None:
    """Before the head is out an error can be told: the client hears 503, may try again on that connection, and the log has it."""
    client = await server.connect()
    client.write(request(b"GET /b/gone HTTP/1.1"))
    answer = await client.until(b"</Error>")
    assert status(answer) == 503
    assert b"ETag" not in answer
    client.write(request(b"GET / HTTP/1.1"))
    await client.until(b"hello")
    client.leave()
    assert [(account.status, account.error) for account in server.accounts] == [(503, "ServiceUnavailable"), (200, "-")]


@pytest_twisted.ensureDeferred
async def test_an_unforeseen_failure_tells_nothing(server: Any) -> None:
    """What nobody foresaw is InternalError with a request id; the detail stays in the log."""
    with capturedLogs() as captured:
        answer = await server.exchange(request(b"GET /b HTTP/1.1", b"Connection: close"))
    assert status(answer) == 500
    assert b"<Code>InternalError</Code>" in answer
    assert b"secret" not in answer
    assert b"Traceback" not in answer
    request_id = re.search(rb"x-amz-request-id: (\w+)", answer)
    assert request_id
    assert b"<RequestId>" + request_id[1] + b"</RequestId>" in answer
    assert any("log_failure" in event for event in captured)


@pytest_twisted.ensureDeferred
async def test_head_errors_have_no_body(server: Any) -> None:
    """An error for HEAD is a status and headers."""
    answer = await server.exchange(request(b"HEAD /b/k?unknown HTTP/1.1", b"Connection: close"))
    assert status(answer) == 405
    assert body_of(answer) == b""


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_in_mid_body_fails_the_action(server: Any) -> None:
    """An upload cut by its client is an error to the action, and nothing is left in flight."""
    client = await server.connect()
    client.write(request(b"PUT /b/k HTTP/1.1", b"Content-Length: 10", b"Expect: 100-continue"))
    await client.until(b"100 Continue")
    client.write(b"abc")
    other = await server.connect()
    client.leave()
    await client.all()
    other.write(request(b"GET / HTTP/1.1"))
    await other.until(b"hello")
    while server.pipeline.in_flight:
        other.write(request(b"GET / HTTP/1.1"))
        await other.until(b"hello", times=other.received.count(b"hello") + 1)
    assert {account.error for account in server.accounts if account.action == "Echo"} <= {"IncompleteBody", "ClientGone"}
    other.leave()


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_in_mid_answer_is_no_trouble(server: Any) -> None:
    """A client that goes before the end of a streamed answer is an entry in the access log, nothing more."""
    client = await server.connect()
    with capturedLogs() as captured:
        client.write(request(b"GET /b/endless HTTP/1.1"))
        await client.until(b"more")
        client.leave()
        other = await server.connect()
        while server.pipeline.in_flight:
            other.write(request(b"GET / HTTP/1.1"))
            await other.until(b"hello", times=other.received.count(b"hello") + 1)
    assert [account.error for account in server.accounts if account.action == "Stream"] == ["ClientGone"]
    assert not [event for event in captured if "log_failure" in event]
    other.leave()


class Answered:
    """A reader, and a store of CORS rules that never tells any: one notes that it is closed, the other that it is asked."""

    def __init__(self) -> None:
        self.asked: Deferred[None] = Deferred()
        self.closed: Deferred[None] = Deferred()

    async def rules(self, bucket: str) -> Any:
        self.asked.callback(None)
        await Deferred()

    async def close(self) -> None:
        self.closed.callback(None)


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_before_its_answer_keeps_nothing_open(server: Any) -> None:
    """What an answer was to come from is closed, also when its client goes while the rules for pages are asked for."""
    answered, registry = Answered(), Registry()

    @registry.action("Held", method="GET", on=OBJECT)
    class Held(Action):
        async def run(self, call: Call) -> Response:
            return Response(body=ReaderBody(answered, 0, 1))  # type: ignore[arg-type]

    server.pipeline.registry = registry
    server.pipeline.services = evolve(server.pipeline.services, cors=answered)
    client = await server.connect()
    client.write(request(b"GET /b/k HTTP/1.1", b"Origin: http://app.example"))
    await answered.asked
    client.leave()
    await answered.closed


MALFORMED = {
    "not HTTP": b"hello\r\n\r\n",
    "no version": b"GET /\r\nHost: h\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "folded header": b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
    "bare CR in a header": b"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
    "header without a colon": b"GET / HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n",
    "empty header name": b"GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n",
    "two Content-Lengths": b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "length and chunked": b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "signed length": b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc",
    "negative length": b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\n",
    "hex length": b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\nabc",
    "empty length": b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n",
    "list of lengths": b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc",
    "unknown coding": b"PUT /b/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
    "two codings": b"PUT /b/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "bad chunk size": b"PUT /b/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
    "negative chunk size": b"PUT /b/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n",
    "chunk without its end": b"PUT /b/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    "long line": b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    "long head": b"GET / HTTP/1.1\r\nHost: h\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"v" * 1000) for n in range(100)) + b"\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: h\r\n" + b"".join(b"X-%d: v\r\n" % n for n in range(300)) + b"\r\n",
    "other expectation": b"GET / HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\n\r\n",
    "bad escape": b"GET /b/%zz HTTP/1.1\r\nHost: h\r\n\r\n",
    "not UTF-8": b"GET /b/%ff HTTP/1.1\r\nHost: h\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


@pytest.mark.parametrize("case", MALFORMED)
@pytest_twisted.ensureDeferred
async def test_malformed_requests_get_an_s3_error(server: Any, case: str) -> None:
    """What is not well-formed HTTP/1.1 gets one S3 error in XML, and the server goes on."""
    client = await server.connect()
    with capturedLogs() as captured:
        client.write(MALFORMED[case])
        answer = await client.until(b"</Error>")
    assert status(answer) == 400, answer
    assert b"Content-Type: application/xml" in answer
    assert b"Traceback" not in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not [event for event in captured if "log_failure" in event]
    client.leave()
    assert body_of(await server.exchange(request(b"GET / HTTP/1.1", b"Connection: close"))) == b"hello"


@pytest_twisted.ensureDeferred
async def test_a_host_that_is_no_text_changes_nothing(server: Any) -> None:
    """No route depends on the Host: odd bytes in it get the answer of any other, and leave nothing in the log."""
    with capturedLogs() as captured:
        answer = await server.exchange(b"GET / HTTP/1.1\r\nHost: \xe8\x97\xff\r\nConnection: close\r\n\r\n")
    assert body_of(answer) == b"hello"
    assert not [event for event in captured if "log_failure" in event]


@pytest_twisted.ensureDeferred
async def test_the_end_of_a_site_waits_for_what_has_not_gone_out(server: Any) -> None:
    """An answer that its action has given is busy until its client has it all; then the connection closes. Idle ones close at once."""
    body = bytes(24 << 20)
    idle, client = await server.connect(), await server.connect()
    idle.write(request(b"GET / HTTP/1.1"))
    await idle.until(b"hello")
    client.transport.pauseProducing()
    client.write(request(b"PUT /b/k HTTP/1.1", b"Content-Length: %d" % len(body), body=body))
    while not any(account.action == "Echo" for account in server.accounts):
        assert status(await server.exchange(request(b"GET / HTTP/1.1", CLOSE.strip()))) == 200
    assert server.pipeline.in_flight == 0
    assert server.site.busy == 1
    server.site.end()
    await idle.all()
    client.transport.resumeProducing()
    assert len(body_of(await client.all())) == len(body)
    assert server.site.busy == 0


@pytest_twisted.ensureDeferred
async def test_an_answer_that_fails_beside_the_requests_ends_its_connection(server: Any) -> None:
    """Whatever goes wrong in a coroutine that occupies a connection, the connection does not hang, and the log says why."""

    async def fail() -> None:
        raise RuntimeError("unforeseen")

    client = await server.connect()
    client.write(request(b"GET / HTTP/1.1"))
    await client.until(b"hello")
    (channel,) = server.site.connections
    with capturedLogs() as captured:
        channel.occupy(fail())
        await client.all()
    assert [event["log_failure"].type for event in captured if "log_failure" in event] == [RuntimeError]


def kept(channel: Any) -> int:
    """How many bytes wait for the client of ``channel`` in our memory."""
    transport = channel.transport
    incoming = sum(map(len, channel._dataBuffer)) + len(channel._buffer)
    return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen + incoming)


@pytest.mark.parametrize("streamed", [False, True])
@pytest_twisted.ensureDeferred
async def test_who_takes_no_answer_gets_no_more(server: Any, monkeypatch: pytest.MonkeyPatch, streamed: bool) -> None:
    """A client that sends one request after the other and reads nothing has few answers kept for it; when it reads it gets all."""
    most = [0]

    async def run(_: Hello, __: Call) -> Response:
        most[0] = max(most[0], *map(kept, server.site.connections))
        body = b"x" * 200_000

        async def pieces() -> AsyncIterator[bytes]:
            yield body

        return Response(body=pieces() if streamed else body)

    monkeypatch.setattr(Hello, "run", run)
    client = await server.connect()
    client.write(request(b"GET / HTTP/1.1") * 60 + request(b"GET / HTTP/1.1", CLOSE.strip()))
    answers = await client.all()
    assert answers.count(b"HTTP/1.1 200 OK") == 61
    assert answers.count(b"x" * 200_000) == 61 or streamed
    assert most[0] < 1 << 20


@pytest_twisted.ensureDeferred
async def test_who_takes_no_answer_is_not_listened_to(server: Any) -> None:
    """What a client sends while it takes nothing of an answer stays with the kernel."""
    client = await server.connect()
    client.transport.pauseProducing()
    client.write(request(b"GET /b/endless HTTP/1.1"))
    while not any(channel._waitingForTransport for channel in server.site.connections):
        await deferLater(reactor, 0.001)
    (channel,) = server.site.connections
    client.write(b"x" * (32 << 20))
    for _ in range(100):
        await deferLater(reactor, 0.001)
    assert sum(map(len, channel._dataBuffer)) < 1 << 20
    client.leave()

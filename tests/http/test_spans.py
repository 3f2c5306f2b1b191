"""Files and bytes go out in their order, whole or visibly not, and everything is let go of."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.protocol import Factory
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.task import Clock

from alluxio_s3.http import spans as spans_module
from alluxio_s3.http.certificates import Certificates
from alluxio_s3.http.sendfile import QUIET_SLICE_BYTES, SLICE_BYTES, Crowd, move
from alluxio_s3.http.spans import SpanSender, gathered
from alluxio_s3.http.tls_transport import TlsEndpoint
from alluxio_s3.http.transport import EagerPort
from alluxio_s3.interfaces import Span
from alluxio_s3.storage import ObjectChanged, Unavailable
from alluxio_s3.threads import Threads
from tests.certificates import Authority
from tests.http.conftest import RawClient, trusting
from tests.http.test_sendfile import OpenedFile, Sending, turns


class Shared(OpenedFile):
    """A file that counts who holds it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.held = 0

    def hold(self) -> None:
        self.held += 1

    def release(self) -> None:
        self.held -= 1


class Pair:
    """A server's end and a client's end of one connection, and files to send."""

    def __init__(self, directory: Path, threads: Threads, sending: Sending, client: RawClient) -> None:
        self.directory, self.threads, self.sending, self.client = directory, threads, sending, client
        self.files: list[Shared] = []
        self.closed = False

    def span(self, data: bytes, before: int = 0) -> Span:
        """``data`` in a file, behind so many other bytes."""
        path = self.directory / f"file{len(self.files)}"
        path.write_bytes(os.urandom(before) + data + b"beyond")
        self.files.append(Shared(path))
        return Span(self.files[-1], before, len(data))  # type: ignore[arg-type]

    async def items(self, given: Sequence[bytes | Span | Exception | Deferred[None]]) -> AsyncIterator[bytes | Span]:
        """What ``given`` says, with errors and waits."""
        try:
            for one in given:
                if isinstance(one, Deferred):
                    await one
                elif isinstance(one, Exception):
                    raise one
                else:
                    if isinstance(one, Span):
                        one.file.hold()  # type: ignore[attr-defined]
                    yield one
        finally:
            self.closed = True

    def sender(self, given: Sequence[Any], count: int) -> SpanSender:
        return SpanSender(self.sending.transport, self.sending, self.threads, self.items(given), count)

    @property
    def let_go(self) -> bool:
        """Whether nothing is held any more."""
        return self.closed and not any(file.held for file in self.files)


@pytest.fixture(params=["twisted", "eager", "tls"])
def pair(request: Any, tmp_path: Path, authority: Authority, certificates: Certificates) -> Any:
    """Both ends, connected, on a port of Twisted's own and on the gateway's."""

    async def connect() -> Pair:
        factory = Factory.forProtocol(Sending)
        factory.made = Deferred()  # type: ignore[attr-defined]
        if request.param == "eager":
            port = EagerPort(0, factory, 5, "127.0.0.1", reactor)
            port.startListening()
        elif request.param == "tls":
            port = await TlsEndpoint(reactor, "127.0.0.1", 0, certificates).listen(factory)
        else:
            port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        endpoint: Any = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        if request.param == "tls":
            endpoint = wrapClientTLS(optionsForClientTLS("localhost", trusting(authority)), endpoint)
        client = await connectProtocol(endpoint, RawClient())
        sending = await factory.made  # type: ignore[attr-defined]
        if request.param == "tls":
            await client.shaken
        await port.stopListening()
        return Pair(tmp_path, threads, sending, client)

    threads = Threads(reactor, 2, "spans-test")
    threads.start()
    made = pytest_twisted.blockon(Deferred.fromCoroutine(connect()))
    yield made
    made.client.leave()
    pytest_twisted.blockon(made.client.closed)
    threads.stop()


def small(pair: Pair) -> list[tuple[bytes | Span, bytes]]:
    return [(b"one,", b"one,"), (pair.span(b"two,", 3), b"two,"), (pair.span(b"three,"), b"three,"), (b"four", b"four")]


def large(pair: Pair) -> list[tuple[bytes | Span, bytes]]:
    pieces = [os.urandom(size) for size in (3 * SLICE_BYTES + 17, 5 << 20, SLICE_BYTES, 1, 4096)]
    return [(piece if number == 1 else pair.span(piece, number), piece) for number, piece in enumerate(pieces)]


def spans(pair: Pair) -> list[tuple[bytes | Span, bytes]]:
    pieces = [os.urandom(1 << 20) for _ in range(8)]
    return [(pair.span(piece), piece) for piece in pieces]


@pytest.mark.parametrize("made", [small, large, spans])
@pytest_twisted.ensureDeferred
async def test_all_goes_out_between_what_is_written_before_and_after(pair: Pair, made: Callable[[Pair], Any]) -> None:
    """Head, files, bytes and tail arrive in that order, exactly; the files are released, the connection's own producer is back."""
    given = made(pair)
    body = b"".join(piece for _, piece in given)
    transport: Any = pair.sending.transport
    transport.write(b"head:")
    sender = pair.sender([item for item, _ in given], len(body))
    await sender.send()
    assert sender.sent == len(body)
    transport.write(b":tail!")
    assert await pair.client.until(b":tail!") == b"head:" + body + b":tail!"
    assert transport.producer is pair.sending
    assert pair.let_go


@pytest.mark.parametrize("asking", [True, False])
@pytest_twisted.ensureDeferred
async def test_pages_share_a_turn_as_files_do(pair: Pair, asking: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer from pages is one of the large ones while it goes out, and has a share of a turn that is smaller while others ask."""
    channel: Any = pair.sending
    clock = Clock()
    crowd = channel.crowd = Crowd(clock.seconds)
    if asking:
        crowd.ask()
    given = spans(pair)
    sender = pair.sender([item for item, _ in given], 8 << 20)
    seen: set[tuple[int, int]] = set()

    def share() -> int:
        seen.add((crowd.large, crowd.slice_bytes()))
        return SpanSender._slice(sender)

    monkeypatch.setattr(sender, "_slice", share)
    sending = Deferred.fromCoroutine(sender.send())
    await pair.client.until(given[-1][1][-64:])
    await sending
    assert seen == {(1, SLICE_BYTES if asking else QUIET_SLICE_BYTES)}
    assert crowd.large == 0
    assert pair.let_go


@pytest_twisted.ensureDeferred
async def test_no_more_goes_at_once_than_is_known_to_be_in_memory(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """However quiet it is: what would have to come from the disk holds up everybody."""
    channel: Any = pair.sending
    channel.crowd = Crowd(Clock().seconds)
    data = os.urandom(12 << 20)
    sender = pair.sender([pair.span(data)], len(data))
    beyond: set[bool] = set()

    def moved(transport: Any, descriptor: int, offset: int, count: int) -> int:
        beyond.add(offset + count > sender._hot_until)
        return move(transport, descriptor, offset, count)

    monkeypatch.setattr(spans_module, "move", moved)
    sending = Deferred.fromCoroutine(sender.send())
    assert await pair.client.until(data[-64:]) == data
    await sending
    assert beyond == {False}


@pytest_twisted.ensureDeferred
async def test_what_comes_late_is_waited_for(pair: Pair) -> None:
    """While the next stretch is not there, what was before it goes, and the client is known to wait for us."""
    late: Deferred[None] = Deferred()
    sender = pair.sender([b"first,", late, pair.span(b"second")], 12)
    sending = Deferred.fromCoroutine(sender.send())
    await pair.client.until(b"first,")
    assert sender.warming
    late.callback(None)
    await sending
    assert await pair.client.until(b"second") == b"first,second"
    assert pair.let_go


@pytest.mark.parametrize("given", [[b"12", Unavailable("p")], [b"12"], [b"12", b"3456"], [Unavailable("p")]])
@pytest_twisted.ensureDeferred
async def test_what_cannot_be_whole_is_an_error(pair: Pair, given: list[Any]) -> None:
    """An error on the way, too few bytes and too many are all errors, and no byte too many is sent."""
    sender = pair.sender([pair.span(b"0"), *given], 5)
    with pytest.raises((Unavailable, ObjectChanged)):
        await sender.send()
    assert sender.sent < 5
    assert pair.let_go


@pytest_twisted.ensureDeferred
async def test_what_was_there_before_an_error_goes_out(pair: Pair) -> None:
    """Files that were fetched together with the error behind them are sent; the answer is cut where the error is."""
    pieces = [os.urandom(1 << 20) for _ in range(6)]
    sender = pair.sender([*(pair.span(piece) for piece in pieces), Unavailable("p")], 7 << 20)
    sending = Deferred.fromCoroutine(sender.send())
    assert await pair.client.until(pieces[-1][-64:]) == b"".join(pieces)
    with pytest.raises(Unavailable):
        await sending
    assert sender.sent == 6 << 20
    assert pair.let_go


@pytest_twisted.ensureDeferred
async def test_no_more_is_fetched_than_goes_out_soon(pair: Pair) -> None:
    """As many files are held as the last turn sent, and one more: what a slow client takes in an hour is not proven at its beginning."""
    channel: Any = pair.sending
    channel.crowd = Crowd(Clock().seconds)  # nobody asks: a turn sends what the client takes
    given = [pair.span(os.urandom(1 << 20)) for _ in range(32)]
    sender = pair.sender(given, 32 << 20)
    moved: list[int] = []
    held: list[int] = []
    sending = Deferred.fromCoroutine(sender.send())
    while not sending.called:
        before = sender.sent
        await turns(1)
        moved.append(sender.sent - before)
        held.append(sum(file.held for file in pair.files))
    await sending
    assert max(held) <= (max(moved) >> 20) + 3
    assert pair.let_go


@pytest.mark.parametrize("changed", [0, 2])
@pytest_twisted.ensureDeferred
async def test_a_page_that_is_changed_meanwhile_is_never_sent_whole(pair: Pair, changed: int) -> None:
    """A file that somebody touches while a slow client reads it ends the answer before its last bytes."""
    pair.client.transport.pauseProducing()  # type: ignore[union-attr]
    given = [pair.span(bytes(16 << 20)) for _ in range(3)]
    sender = pair.sender(given, 48 << 20)
    sending = Deferred.fromCoroutine(sender.send())
    await turns(200)
    with (pair.directory / f"file{changed}").open("r+b") as file:
        file.write(b"x" * (16 << 20))
    pair.client.transport.resumeProducing()  # type: ignore[union-attr]
    with pytest.raises(ObjectChanged):
        await sending
    assert sender.sent < 48 << 20
    assert pair.let_go


@pytest_twisted.ensureDeferred
async def test_what_was_damaged_since_it_was_verified_does_not_go_out(pair: Pair) -> None:
    """A page that is changed while what is before it goes out ends the answer there: none of its bytes come, so that who asks for the
    rest of what was cut has right bytes before it.
    """
    pages = [pair.span(bytes(256 << 10)) for _ in range(3)]
    with (pair.directory / "file1").open("r+b") as file:
        file.write(b"x" * (256 << 10))
    sender = pair.sender(pages, 768 << 10)
    with pytest.raises(ObjectChanged):
        await sender.send()
    assert sender.sent == 256 << 10
    assert pair.let_go


@pytest_twisted.ensureDeferred
async def test_a_client_that_does_not_read_holds_the_sender(pair: Pair) -> None:
    """No more is taken than the sockets hold and the next stretch, and it goes on when the client does."""
    pair.client.transport.pauseProducing()  # type: ignore[union-attr]
    piece = bytes(1 << 20)
    taken: list[int] = []

    async def endless() -> AsyncIterator[bytes | Span]:
        for number in range(64):
            taken.append(number)
            span = pair.span(piece)
            if number % 2:
                pair.files[-1].hold()
            yield span if number % 2 else piece
        pair.closed = True

    sender = SpanSender(pair.sending.transport, pair.sending, pair.threads, endless(), 64 << 20)
    sending = Deferred.fromCoroutine(sender.send())
    await turns(1000)
    assert 0 < sender.sent < 64 << 20
    assert len(taken) <= sender.sent // len(piece) + 2
    assert not sender.warming
    pair.client.transport.resumeProducing()  # type: ignore[union-attr]
    await sending
    assert sender.sent == 64 << 20
    assert not any(file.held for file in pair.files)


@pytest.mark.parametrize("waiting", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_ends_everything(pair: Pair, waiting: bool) -> None:
    """Cancelled while it sends or while it waits, it ends what would have come and releases the files."""
    given = [b"x", Deferred()] if waiting else [pair.span(bytes(32 << 20)), pair.span(bytes(32 << 20))]
    sending = Deferred.fromCoroutine(pair.sender(given, 64 << 20).send())
    await turns(5)
    pair.client.leave()
    await pair.client.all()
    failures: list[Any] = []
    sending.addErrback(failures.append)
    sending.cancel()
    await turns(3)
    assert failures[0].check(CancelledError)
    assert pair.let_go


@pytest.mark.parametrize("hot", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_little_is_gathered(pair: Pair, monkeypatch: pytest.MonkeyPatch, hot: bool) -> None:
    """What is small is had in memory whole, from files in memory and from others, and the files are let go of."""
    monkeypatch.setattr("alluxio_s3.http.spans.is_hot", lambda *_: hot)
    assert await gathered(pair.items([pair.span(b"one", 5), b"two", pair.span(b"three")]), pair.threads) == b"onetwothree"
    assert pair.let_go


@pytest.mark.parametrize("change", [b"", b"x" * 4096])
@pytest_twisted.ensureDeferred
async def test_what_has_changed_is_not_gathered(pair: Pair, change: bytes) -> None:
    """A file that was changed, or has become shorter, since it was opened is an error, and so is one of who gives."""
    items = [b"before", pair.span(bytes(4096)), Unavailable("p")]
    (pair.directory / "file0").write_bytes(change)
    with pytest.raises(ObjectChanged):
        await gathered(pair.items(items), pair.threads)
    assert pair.let_go
    with pytest.raises(Unavailable):
        await gathered(pair.items([pair.span(b"good"), Unavailable("p")]), pair.threads)
    assert pair.let_go

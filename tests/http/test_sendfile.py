"""Files go out whole, in slices, and stop with the client."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.task import Clock
from zope.interface import implementer

from alluxio_s3.http.certificates import Certificates
from alluxio_s3.http.sendfile import (
    LEAST_BYTES,
    QUIET_SECONDS,
    QUIET_SLICE_BYTES,
    QUIET_TURN_BYTES,
    SLICE_BYTES,
    TAIL_BYTES,
    TURN_BYTES,
    Crowd,
    FileSender,
    is_hot,
    move,
)
from alluxio_s3.http.tls_transport import TlsEndpoint
from alluxio_s3.http.transport import EagerEndpoint
from alluxio_s3.interfaces import IFileBacked
from alluxio_s3.storage import ObjectChanged
from alluxio_s3.threads import Threads
from tests.certificates import Authority
from tests.http.conftest import RawClient, trusting


class Sending(Protocol):
    """A connection that sends a file behind a head, then a tail."""

    made: Deferred[Sending]

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.registerProducer(self, True)  # type: ignore[attr-defined]
        self.factory.made.callback(self)  # type: ignore[union-attr]

    paused = False

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def stopProducing(self) -> None: ...


@implementer(IFileBacked)
class OpenedFile:
    """A file as a reader has it; it is closed when nobody has it any more."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        self._modified = os.fstat(self._descriptor).st_mtime_ns

    def __del__(self) -> None:
        os.close(self._descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def check_unchanged(self) -> None:
        if os.fstat(self._descriptor).st_mtime_ns != self._modified:
            raise ObjectChanged(str(self._descriptor))


class Pair:
    """A server's end and a client's end of one connection."""

    def __init__(self, threads: Threads, sending: Sending, client: RawClient) -> None:
        self.threads, self.sending, self.client = threads, sending, client

    def sender(self, path: Path, offset: int, count: int) -> FileSender:
        return self.send_file(OpenedFile(path), offset, count)

    def send_file(self, file: OpenedFile, offset: int, count: int) -> FileSender:
        """As the connection would have it."""
        transport: Any = self.sending.transport
        return FileSender(transport, self.sending, self.threads, file, offset, count)


async def turns(count: int) -> None:
    """Let the reactor go round so many times."""
    for _ in range(count):
        turn: Deferred[None] = Deferred()
        reactor.callLater(0, turn.callback, None)  # type: ignore[attr-defined]
        await turn


@pytest.fixture(params=["twisted", "eager", "tls"])
def pair(request: Any, authority: Authority, certificates: Certificates) -> Any:
    """Both ends, connected, over each kind of connection."""

    async def connect() -> Pair:
        factory = Factory.forProtocol(Sending)
        factory.made = Deferred()  # type: ignore[attr-defined]
        if request.param == "eager":
            port = await EagerEndpoint(reactor, "127.0.0.1", 0).listen(factory)
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
        return Pair(threads, sending, client)

    threads = Threads(reactor, 2, "sendfile-test")
    threads.start()
    made = pytest_twisted.blockon(Deferred.fromCoroutine(connect()))
    yield made
    made.client.leave()
    pytest_twisted.blockon(made.client.closed)
    threads.stop()


@pytest.mark.parametrize("size", [1, 4096, SLICE_BYTES, 3 * SLICE_BYTES + 17])
@pytest_twisted.ensureDeferred
async def test_a_range_goes_out_between_what_is_written_before_and_after(pair: Pair, tmp_path: Path, size: int) -> None:
    """Head, bytes and tail arrive in that order, exactly, and the connection's own producer is back in its place."""
    body = os.urandom(size + 10)
    (tmp_path / "file").write_bytes(body)
    assert pair.sending.transport is not None
    pair.sending.transport.write(b"head:")
    sender = pair.sender(tmp_path / "file", 5, size)
    await sender.send()
    assert sender.sent == size
    pair.sending.transport.write(b":tail!")
    assert await pair.client.until(b":tail!") == b"head:" + body[5 : 5 + size] + b":tail!"
    assert pair.sending.transport.producer is pair.sending  # type: ignore[attr-defined]


@pytest_twisted.ensureDeferred
async def test_a_cold_file_is_read_in_a_thread_first(pair: Pair, tmp_path: Path) -> None:
    """What is not in the page cache goes out just the same."""
    body = os.urandom(2 * SLICE_BYTES)
    path = tmp_path / "file"
    path.write_bytes(body)
    file = OpenedFile(path)
    descriptor = file.fileno()
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    cold = not is_hot(descriptor, 0, SLICE_BYTES)
    await pair.send_file(file, 0, len(body)).send()
    assert pair.sending.transport is not None
    pair.sending.transport.write(b"!end")
    assert await pair.client.until(b"!end") == body + b"!end"
    assert is_hot(descriptor, 0, SLICE_BYTES)
    if not cold:
        pytest.skip("this file system keeps the pages")


@pytest_twisted.ensureDeferred
async def test_a_file_that_shrank_is_an_error(pair: Pair, tmp_path: Path) -> None:
    """Fewer bytes than were announced is ObjectChanged, after what there was."""
    (tmp_path / "file").write_bytes(b"short")
    with pytest.raises(ObjectChanged):
        await pair.sender(tmp_path / "file", 0, 6).send()


@pytest_twisted.ensureDeferred
async def test_a_client_that_does_not_read_holds_the_sender(pair: Pair, tmp_path: Path) -> None:
    """The sender takes no more of the file than the sockets hold, and goes on when the client does."""
    size = 64 << 20
    with (tmp_path / "file").open("wb") as file:
        file.truncate(size)
    pair.client.transport.pauseProducing()  # type: ignore[union-attr]
    sender = pair.sender(tmp_path / "file", 0, size)
    sending = Deferred.fromCoroutine(sender.send())
    await turns(1000)
    assert 0 < sender.sent < size
    pair.client.transport.resumeProducing()  # type: ignore[union-attr]
    await sending
    assert sender.sent == size


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_ends_the_sending_by_cancellation(pair: Pair, tmp_path: Path) -> None:
    """A lost connection raises nothing by itself; cancelling then ends the sender and nothing is left registered."""
    size = 64 << 20
    with (tmp_path / "file").open("wb") as file:
        file.truncate(size)
    sending = Deferred.fromCoroutine(pair.sender(tmp_path / "file", 0, size).send())
    pair.client.leave()
    await pair.client.all()
    sending.cancel()
    failures: list[Any] = []
    sending.addErrback(failures.append)
    assert len(failures) == 1


@pytest_twisted.ensureDeferred
async def test_a_file_that_is_rewritten_meanwhile_is_never_sent_whole(pair: Pair, tmp_path: Path) -> None:
    """A file that is changed in place while a slow client reads it is ObjectChanged, before its last bytes have gone."""
    size = 32 << 20
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    pair.client.transport.pauseProducing()  # type: ignore[union-attr]
    sender = pair.sender(path, 0, size)
    sending = Deferred.fromCoroutine(sender.send())
    await turns(1000)
    with path.open("r+b") as file:
        file.write(b"x" * size)
    pair.client.transport.resumeProducing()  # type: ignore[union-attr]
    with pytest.raises(ObjectChanged):
        await sending
    assert sender.sent < size


@pytest_twisted.ensureDeferred
async def test_who_was_told_to_pause_before_is_told_to_go_on(pair: Pair, tmp_path: Path) -> None:
    """A connection whose buffer was full when the file came goes on when the file has gone."""
    size = 24 << 20
    (tmp_path / "file").write_bytes(b"file")
    assert pair.sending.transport is not None
    pair.client.transport.pauseProducing()  # type: ignore[union-attr]
    pair.sending.transport.write(bytes(size))
    sending = Deferred.fromCoroutine(pair.sender(tmp_path / "file", 0, 4).send())
    assert pair.sending.paused
    pair.client.transport.resumeProducing()  # type: ignore[union-attr]
    await sending
    assert await pair.client.until(b"file") == bytes(size) + b"file"
    assert not pair.sending.paused


@pytest_twisted.ensureDeferred
async def test_a_sender_that_is_cancelled_waits_for_the_thread_that_reads(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file may be closed when ``send`` has ended: so it ends after the thread, and sends nothing more."""
    monkeypatch.setattr("alluxio_s3.http.sendfile.is_hot", lambda *_: False)
    (tmp_path / "file").write_bytes(bytes(SLICE_BYTES))
    go = threading.Event()
    blocking = [Deferred.fromCoroutine(pair.threads.run(go.wait)) for _ in range(2)]
    sender = pair.sender(tmp_path / "file", 0, SLICE_BYTES)
    sending = Deferred.fromCoroutine(sender.send())
    while not sender.warming:
        await turns(1)
    ended: list[Any] = []
    sending.addErrback(ended.append)
    sending.cancel()
    await turns(10)
    assert not ended
    go.set()
    for one in blocking:
        await one
    await sending
    assert ended[0].check(CancelledError)
    assert sender.sent == 0
    assert not sender.warming


eager = pytest.mark.parametrize("pair", ["eager"], indirect=True)


@eager
@pytest.mark.parametrize("size", [0, 1, TAIL_BYTES, TAIL_BYTES + 1, 100 << 10])
@pytest_twisted.ensureDeferred
async def test_what_the_socket_takes_goes_at_once(pair: Pair, tmp_path: Path, size: int) -> None:
    """A hot file that fits into the socket is gone when ``send_now`` returns, behind the head, and nothing is registered."""
    body = os.urandom(size)
    (tmp_path / "file").write_bytes(body)
    transport: Any = pair.sending.transport
    transport.write_more(b"head")
    sender = pair.sender(tmp_path / "file", 0, size)
    assert sender.send_now()
    assert transport.idle
    assert sender.sent == size
    assert transport.producer is pair.sending
    transport.write(b"!end")
    assert await pair.client.until(b"!end") == b"head" + body + b"!end"


@eager
@pytest_twisted.ensureDeferred
async def test_what_the_socket_does_not_take_at_once_is_sent_after_it(pair: Pair, tmp_path: Path) -> None:
    """What ``send_now`` leaves over ``send`` sends, from where it stood, whatever is hot and whoever reads slowly."""
    body = os.urandom(24 << 20)
    (tmp_path / "file").write_bytes(body)
    pair.client.transport.pauseProducing()  # type: ignore[union-attr]
    sender = pair.sender(tmp_path / "file", 3, len(body) - 3)
    assert not sender.send_now()
    assert 0 < sender.sent <= SLICE_BYTES
    sending = Deferred.fromCoroutine(sender.send())
    await turns(100)
    pair.client.transport.resumeProducing()  # type: ignore[union-attr]
    await sending
    assert pair.sending.transport is not None
    pair.sending.transport.write(b"!end")
    assert await pair.client.until(b"!end") == body[3:] + b"!end"


@eager
@pytest_twisted.ensureDeferred
async def test_nothing_goes_at_once_that_is_cold_or_would_overtake(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind what still waits, or before a disk has been read, ``send_now`` sends nothing."""
    (tmp_path / "file").write_bytes(b"x" * 10_000)
    with monkeypatch.context() as patched:
        patched.setattr("alluxio_s3.http.sendfile.is_hot", lambda *_: False)
        assert not pair.sender(tmp_path / "file", 0, 10_000).send_now()
    transport: Any = pair.sending.transport
    waiting = bytes(24 << 20)
    transport.write(waiting)
    sender = pair.sender(tmp_path / "file", 0, 10_000)
    assert not sender.send_now()
    assert sender.sent == 0
    await sender.send()
    assert await pair.client.until(b"x", 10_000) == waiting + b"x" * 10_000


@eager
@pytest_twisted.ensureDeferred
async def test_a_file_that_changes_is_not_sent_whole_at_once_either(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is changed in place or shrinks between the first bytes and the last is ObjectChanged before the last have gone."""
    path = tmp_path / "file"
    for change in (b"y" * 100_000, b"y" * 5_000):
        path.write_bytes(b"x" * 100_000)
        os.utime(path, ns=(10**18, 10**18))
        sender = pair.sender(path, 0, 100_000)
        monkeypatch.setattr(sender, "_took", lambda count, one=sender, body=change: (FileSender._took(one, count), path.write_bytes(body)))
        with pytest.raises(ObjectChanged):
            sender.send_now()
        assert sender.sent < 100_000


@eager
@pytest_twisted.ensureDeferred
async def test_a_turn_takes_less_when_others_ask(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While clients send requests no turn gives a connection more than its slice; when none has for a while, turns are larger."""
    clock = Clock()
    channel: Any = pair.sending
    crowd = channel.crowd = Crowd(clock.seconds)
    taken: list[int] = []

    def counting(transport: Any, descriptor: int, offset: int, count: int) -> int:
        taken.append(count)
        assert crowd.large == 1
        return move(transport, descriptor, offset, count)

    monkeypatch.setattr("alluxio_s3.http.sendfile.move", counting)
    with (tmp_path / "file").open("wb") as file:
        file.truncate(64 << 20)
    for most in (QUIET_SLICE_BYTES, SLICE_BYTES, QUIET_SLICE_BYTES):
        del taken[:]
        if most == SLICE_BYTES:
            crowd.ask()
        await FileSender(channel.transport, channel, pair.threads, OpenedFile(tmp_path / "file"), 0, 64 << 20).send()
        assert max(taken) == most
        assert crowd.large == 0
        clock.advance(2 * QUIET_SECONDS)


@pytest.mark.parametrize(("asking", "together"), [(True, TURN_BYTES), (False, QUIET_TURN_BYTES)])
def test_large_answers_share_a_turn(asking: bool, together: int) -> None:
    """However many large answers go out, one turn gives all of them together no more than its due, as long as each gets something."""
    clock = Clock()
    crowd = Crowd(clock.seconds)
    if asking:
        crowd.ask()
    for crowd.large in range(1, 200):
        assert LEAST_BYTES <= crowd.slice_bytes() <= max(LEAST_BYTES, together // crowd.large)
    clock.advance(2 * QUIET_SECONDS)
    crowd.large = 1
    assert crowd.slice_bytes() == QUIET_SLICE_BYTES


@pytest_twisted.ensureDeferred
async def test_what_could_not_begin_counts_no_more(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer for whose first step there is no memory ends, and makes the turns of others no smaller."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * SLICE_BYTES)
    channel: Any = pair.sending
    crowd = channel.crowd = Crowd(Clock().seconds)

    def without_memory(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(channel.transport, "registerProducer", without_memory)
        with pytest.raises(MemoryError):
            await pair.sender(path, 0, SLICE_BYTES).send()
    assert crowd.large == 0
    channel.transport.abortConnection()
    await pair.client.all()

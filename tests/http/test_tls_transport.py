"""Connections in which OpenSSL owns the socket keep the order, the promises and the manners of Twisted's own."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import ssl
import struct
import subprocess
import termios
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs

from alluxio_s3.http.certificates import CertificateFiles, Certificates
from alluxio_s3.http.outbox import Outbox
from alluxio_s3.http.tls_transport import UNIT_BYTES, TlsEndpoint, TlsServer
from alluxio_s3.threads import Threads
from tests.certificates import Authority
from tests.http.conftest import RawClient, trusting


class Accepted(Protocol):
    """The server's end: keeps what comes, and says when it is over."""

    def __init__(self) -> None:
        self.received = b""
        self.lost: Deferred[str] = Deferred()

    def connectionMade(self) -> None:
        self.factory.made.callback(self)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost.callback(reason.type.__name__)


class Door:
    """A port that takes one connection."""

    def __init__(self, certificates: Certificates) -> None:
        factory = Factory.forProtocol(Accepted)
        factory.made = self.made = Deferred()  # type: ignore[attr-defined]
        self.port: Any = pytest_twisted.blockon(TlsEndpoint(reactor, "127.0.0.1", 0, certificates).listen(factory))
        self.number: int = self.port.getHost().port

    async def accepted(self) -> Accepted:
        made: Accepted = await self.made
        return made


@pytest.fixture
def door(certificates: Certificates) -> Any:
    """A port."""
    made = Door(certificates)
    yield made
    pytest_twisted.blockon(made.port.stopListening())


class Ends:
    """Both ends of a connection."""

    def __init__(self, accepted: Accepted, client: RawClient) -> None:
        self.accepted, self.client = accepted, client
        self.server: TlsServer = accepted.transport  # type: ignore[assignment]


@pytest.fixture
def ends(door: Door, authority: Authority) -> Any:
    """A connected pair, hands shaken."""

    async def connect() -> Ends:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", door.number)
        client: RawClient = await connectProtocol(
            wrapClientTLS(optionsForClientTLS("localhost", trusting(authority)), endpoint), RawClient()
        )
        await client.shaken
        made = Ends(await door.accepted(), client)
        client.write(b"!")  # TLS 1.3: the client has finished before the server knows
        while not made.accepted.received:
            await turn()
        return made

    made = pytest_twisted.blockon(Deferred.fromCoroutine(connect()))
    yield made
    made.client.leave()
    pytest_twisted.blockon(made.client.closed)


async def turn() -> None:
    """Let the reactor go round once."""
    turned: Deferred[None] = Deferred()
    reactor.callLater(0, turned.callback, None)  # type: ignore[attr-defined]
    await turned


def context(authority: Authority) -> ssl.SSLContext:
    """What a client of Python's trusts."""
    return ssl.create_default_context(cadata=authority.certificate.public_bytes(Encoding.PEM).decode())


@pytest_twisted.ensureDeferred
async def test_a_small_write_is_gone_when_it_returns(ends: Ends) -> None:
    """A write that the socket takes leaves nothing behind for the reactor."""
    ends.server.write(b"head ")
    ends.server.write_more(b"more ")
    ends.server.writeSequence([b"a", b"b"])
    assert ends.server.idle
    assert await ends.client.until(b"ab") == b"head more ab"


@pytest.mark.parametrize("size", [1, UNIT_BYTES - 1, UNIT_BYTES, UNIT_BYTES + 1, 1 << 20])
@pytest_twisted.ensureDeferred
async def test_large_writes_keep_their_order(ends: Ends, size: int) -> None:
    """What the socket does not take waits, later writes wait behind it, and all arrives in order, however it was cut."""
    pieces = [os.urandom(size), b"small", os.urandom(3 << 19), os.urandom(size), b"END!"]
    ends.client.transport.pauseProducing()  # type: ignore[union-attr]
    for piece in pieces:
        ends.server.write(piece)
    for _ in range(20):
        await turn()
    ends.server.write(b"LAST")
    ends.client.transport.resumeProducing()  # type: ignore[union-attr]
    assert await ends.client.until(b"END!LAST") == b"".join(pieces) + b"LAST"
    assert ends.server.idle


@pytest_twisted.ensureDeferred
async def test_what_is_written_before_hands_are_shaken_waits(door: Door, authority: Authority) -> None:
    """Nothing goes out in the clear, and nothing is lost."""
    with socket.create_connection(("127.0.0.1", door.number)) as plain:
        accepted = await door.accepted()
        transport: Any = accepted.transport
        transport.write(b"early ")
        assert not transport.idle
        for _ in range(5):
            await turn()
        plain.setblocking(False)
        with pytest.raises(BlockingIOError):
            plain.recv(1)
        plain.setblocking(True)

        def read() -> bytes:
            with context(authority).wrap_socket(plain, server_hostname="localhost") as secure:
                return secure.recv(100)

        assert await deferToThread(read) == b"early "


@pytest_twisted.ensureDeferred
async def test_losing_the_connection_sends_all_and_says_farewell(door: Door, authority: Authority) -> None:
    """loseConnection delivers what was written, then tells the client that nothing was cut off."""
    body = os.urandom(8 << 20)

    def read() -> bytes:
        received = bytearray()
        with socket.create_connection(("127.0.0.1", door.number)) as plain:
            secure = context(authority).wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
            while piece := secure.recv(1 << 16):  # an end without a farewell would raise
                received += piece
        return bytes(received)

    reading = deferToThread(read)
    accepted = await door.accepted()
    accepted.transport.write(body)  # type: ignore[union-attr]
    accepted.transport.loseConnection()  # type: ignore[union-attr]
    assert await reading == body
    await accepted.lost


@pytest_twisted.ensureDeferred
async def test_nothing_is_sent_after_an_abort(ends: Ends) -> None:
    """What is written to a connection that is being cut does not reach the client."""
    ends.server.abortConnection()
    ends.server.write(b"0\r\n\r\n")
    assert await ends.client.all() == b""


@pytest.mark.parametrize("way", ["farewell", "end", "reset"])
@pytest_twisted.ensureDeferred
async def test_a_client_may_leave_in_any_way(door: Door, authority: Authority, way: str) -> None:
    """With a farewell it is a clean end, without one, or reset, it is a loss; in each what it sent before has come."""

    def visit() -> None:
        plain = socket.create_connection(("127.0.0.1", door.number))
        with context(authority).wrap_socket(plain, server_hostname="localhost") as secure:
            secure.sendall(b"x" * 100_000)
            if way == "farewell":
                secure.unwrap().close()
            elif way == "end":
                secure.shutdown(socket.SHUT_WR)
                while secure.recv(4096):
                    pass
            elif way == "reset":
                secure.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    visiting = deferToThread(visit)
    accepted = await door.accepted()
    reason = await accepted.lost
    await visiting
    assert reason == ("ConnectionDone" if way == "farewell" else "ConnectionLost")
    if way != "reset":  # the kernel drops what was not read yet
        assert accepted.received == b"x" * 100_000


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00"])
@pytest_twisted.ensureDeferred
async def test_a_client_that_resets_before_a_word_is_read(door: Door, said: bytes) -> None:
    """Its connection is lost like any other, and with it its descriptor, and nothing is left with the poller."""
    with capturedLogs() as captured:
        # The reactor does not turn meanwhile: it finds the connection made, spoken on and reset.
        with socket.create_connection(("127.0.0.1", door.number)) as plain:
            plain.sendall(said)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted = await door.accepted()
        reason = await accepted.lost.addTimeout(5, reactor)
    assert reason == "ConnectionLost"
    assert not [event for event in captured if "log_failure" in event]


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01"])
@pytest_twisted.ensureDeferred
async def test_a_client_that_does_not_shake_hands_is_given_up(door: Door, said: bytes) -> None:
    """Somebody who connects and says nothing, or half a word, holds a connection for so long and no longer."""
    door.port.handshake_seconds = 0.05
    with socket.create_connection(("127.0.0.1", door.number)) as silent:
        silent.sendall(said)
        reason = await (await door.accepted()).lost
    assert reason == "ConnectionAborted"


@pytest_twisted.ensureDeferred
async def test_those_who_have_shaken_hands_may_be_silent(door: Door, authority: Authority, ends: Ends) -> None:
    """The limit is one of the handshake only."""
    assert ends.server._deadline is None


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100, b"\x16\x03\x01\x00\x05hello", b"\x80" * 9000])
@pytest_twisted.ensureDeferred
async def test_what_is_not_tls_is_ended(door: Door, said: bytes) -> None:
    """Plain HTTP and rubbish lose the connection, with a line in the log and no trace."""
    with capturedLogs() as captured, socket.create_connection(("127.0.0.1", door.number)) as plain:
        plain.sendall(said)
        await (await door.accepted()).lost
    assert not [event for event in captured if "log_failure" in event]
    assert [event["peer"] for event in captured if "do not agree" in event.get("log_format", "")] == ["127.0.0.1"]


@pytest.mark.parametrize(("version", "spoken"), [("TLSv1_1", None), ("TLSv1_2", "TLSv1.2"), ("TLSv1_3", "TLSv1.3")])
@pytest_twisted.ensureDeferred
async def test_versions_and_protocols(door: Door, authority: Authority, version: str, spoken: str | None) -> None:
    """TLS 1.2 and 1.3 are spoken and nothing older, with ciphers that authenticate; ALPN chooses HTTP/1.1."""

    def shake() -> tuple[str | None, str | None, str] | None:
        asking = context(authority)
        asking.set_ciphers("ALL:@SECLEVEL=0")
        asking.minimum_version = asking.maximum_version = ssl.TLSVersion[version]
        asking.set_alpn_protocols(["h2", "http/1.1"])
        with socket.create_connection(("127.0.0.1", door.number)) as plain:
            try:
                with asking.wrap_socket(plain, server_hostname="localhost") as secure:
                    return secure.version(), secure.selected_alpn_protocol(), secure.cipher()[0]  # type: ignore[index]
            except ssl.SSLError:
                return None

    found = await deferToThread(shake)
    if spoken is None:
        assert found is None
    else:
        assert found is not None
        assert found[:2] == (spoken, "http/1.1")
        assert "GCM" in found[2] or "CHACHA20" in found[2]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl's command is not there")
@pytest.mark.parametrize(("version", "letters"), [("tls1_3", [b"K\n", b"k\n"]), ("tls1_2", [b"R\n"])])
@pytest_twisted.ensureDeferred
async def test_new_keys_and_new_handshakes(door: Door, version: str, letters: list[bytes]) -> None:
    """TLS 1.3 changes keys in mid-connection and goes on; TLS 1.2's renegotiation, which costs us and not them, is refused."""
    process = s_client(door.number, version)
    assert process.stdin is not None
    accepted = await door.accepted()
    transport: Any = accepted.transport
    for line in [b"one\n", letters[0], b"two\n", *letters[1:], b"three\n"]:
        before = accepted.received
        with suppress(BrokenPipeError):
            process.stdin.write(line)
        while process.poll() is None and unread(process.stdin):  # one read for each: what follows a letter is dropped
            await turn()
        while len(line) > 2 and accepted.received == before and transport.connected:
            await turn()
    if version == "tls1_3":
        assert accepted.received == b"one\ntwo\nthree\n"
        transport.write(b"four\n" * 100_000)
        transport.loseConnection()
    else:
        assert accepted.received == b"one\n"
    await deferToThread(process.communicate)
    await accepted.lost


def s_client(number: int, version: str) -> subprocess.Popen[bytes]:
    """openssl's own client: a line of K or k asks for new keys, one of R for another handshake."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{number}", f"-{version}"]
    nothing = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing, bufsize=0)


def unread(pipe: Any) -> int:
    """How many bytes are in a pipe: FIONREAD of ioctl_tty(2)."""
    (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
    return int(count)


@pytest.mark.parametrize("held", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_read_that_waits_for_room_to_write(ends: Ends, held: bool) -> None:
    """When OpenSSL has to answer before it can read on, nobody spins meanwhile, and reading goes on; unless it is held."""
    secure: Any = ends.server.socket
    read = secure.read
    asked: list[int] = []

    def waiting(*args: Any) -> int:
        asked.append(1)
        if len(asked) == 1:
            if held:
                ends.server.pauseProducing()
            raise ssl.SSLWantWriteError
        return int(read(*args))

    secure.read = waiting
    ends.client.write(b"more")
    while not asked:
        await turn()
    for _ in range(10):
        await turn()
    if held:
        assert len(asked) == 1
        ends.server.resumeProducing()
    while ends.accepted.received != b"!more":
        await turn()
    assert len(asked) <= 3
    ends.server.write(b"answer")
    assert await ends.client.until(b"answer") == b"answer"


@pytest_twisted.ensureDeferred
async def test_a_connection_says_that_it_is_secure(ends: Ends) -> None:
    """So a request knows that it came by TLS."""
    assert ISSLTransport.providedBy(ends.server)
    assert ends.server.getPeerCertificate() is None


@pytest_twisted.ensureDeferred
async def test_the_certificate_of_a_client(authority: Authority, tmp_path: Path) -> None:
    """Who has shown one is known by it; who has not, where that is allowed, is not."""
    trusted = Authority("clients")
    issued, alice = authority.issue(), trusted.issue("alice")
    files = CertificateFiles(
        str(issued.certificate_file(tmp_path / "c.pem")),
        str(issued.key_file(tmp_path / "k.pem")),
        ca=str(trusted.certificate_file(tmp_path / "ca.pem")),
        client_auth="optional",
    )
    made = Certificates(files, reactor, Threads(reactor, 1, "certificates"))
    for own in (alice, None):
        factory = Factory.forProtocol(Accepted)
        factory.made = Deferred()  # type: ignore[attr-defined]
        port: Any = await TlsEndpoint(reactor, "127.0.0.1", 0, made).listen(factory)
        number = port.getHost().port

        def visit(number: int = number, own: Any = own) -> None:
            asking = context(authority)
            if own is not None:
                asking.load_cert_chain(own.both_file(tmp_path / "alice.pem"))
            plain = socket.create_connection(("127.0.0.1", number))
            with asking.wrap_socket(plain, server_hostname="localhost") as secure:
                secure.sendall(b"hello")
                secure.recv(1)

        visiting = deferToThread(visit)
        accepted = await factory.made  # type: ignore[attr-defined]
        assert accepted.transport.getPeerCertificate() is None
        while not accepted.received:
            await turn()
        assert accepted.transport.getPeerCertificate() == (None if own is None else own.certificate)
        accepted.transport.loseConnection()
        await visiting
        await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_an_answer_that_waits_goes_before_the_end(ends: Ends) -> None:
    """Where a connection ends while its answer waits for others, the answer goes first, and nothing waits then."""
    outbox = Outbox()
    outbox.is_open = True
    outbox.send(ends.server, 4, ends.server.write, b"LAST")
    ends.server.end_now()
    assert ends.server.waits is None
    assert await ends.client.until(b"LAST") == b"LAST"

"""A site on a real port, with actions made to show what the channel does, and a client that writes raw bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_twisted
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL.crypto import FILETYPE_PEM
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import Certificate, optionsForClientTLS
from zope.interface import implementer

from alluxio_s3.actions.exchange import Call, ReaderBody, Response, Services
from alluxio_s3.actions.registry import BUCKET, OBJECT, SERVICE, Action, Registry
from alluxio_s3.auth.authorizers import OpenAuthorizer
from alluxio_s3.auth.simple import Principal
from alluxio_s3.http.certificates import CertificateFiles, Certificates
from alluxio_s3.http.fastpath import FastPath
from alluxio_s3.http.pipeline import Pipeline
from alluxio_s3.http.routes import S3Routes
from alluxio_s3.http.site import S3Site
from alluxio_s3.http.tls_transport import TlsEndpoint
from alluxio_s3.http.transport import EagerEndpoint
from alluxio_s3.interfaces import IAuthenticator, IObjectReader
from alluxio_s3.namespace.mounts import Namespace
from alluxio_s3.ops.access_log import Account
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import RequestHead
from alluxio_s3.storage import Status, Unavailable
from alluxio_s3.tags.carried import CarriedTagStore
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.memory import MemoryUnderFileSystem
from tests.certificates import Authority

REGISTRY = Registry()


@REGISTRY.action("Echo", method="PUT", on=OBJECT)
class Echo(Action):
    """Answers with the body it read."""

    async def run(self, call: Call) -> Response:
        pieces = []
        while piece := await call.body.read():
            pieces.append(piece)
        return Response(headers={"x-amz-meta-CaSe": "kept", "Content-Type": "text/plain"}, body=b"".join(pieces))


@REGISTRY.action("Refuse", method="PUT", on=BUCKET)
class Refuse(Action):
    """Refuses without reading."""

    async def run(self, call: Call) -> Response:
        raise S3Error("AccessDenied")


@REGISTRY.action("Fail", method="GET", on=BUCKET)
class Fail(Action):
    """Fails in a way that nobody foresaw."""

    async def run(self, call: Call) -> Response:
        raise RuntimeError("secret detail")


@REGISTRY.action("Hello", method="GET", on=SERVICE)
class Hello(Action):
    """A small answer."""

    async def run(self, call: Call) -> Response:
        return Response(body=b"hello")


@implementer(IObjectReader)
class Gone:
    """An open object of a store that went away."""

    status = Status("/b/gone", 3, 0, "e", "v")

    async def read(self, offset: int, count: int) -> AsyncIterator[bytes]:
        raise Unavailable("/b/gone", "the store went away")
        yield b""

    async def close(self) -> None:
        """See ``IObjectReader``."""


@REGISTRY.action("Stream", method="GET", on=OBJECT)
class Stream(Action):
    """An answer of unknown length; the key ``cut`` fails half-way, ``endless`` never ends, ``gone`` fails before its three bytes."""

    async def run(self, call: Call) -> Response:
        if call.key == "gone":
            return Response(headers={"ETag": '"e"'}, body=ReaderBody(Gone(), 0, 3))

        async def pieces() -> AsyncIterator[bytes]:
            yield b"one,"
            if call.key == "cut":
                raise RuntimeError("half-way")
            while call.key == "endless":
                yield b"more" * 1000
            yield b"two"

        return Response(body=pieces())


@implementer(IAuthenticator)
class Anyone:
    """Lets everybody in."""

    async def authenticate(self, head: RequestHead) -> Principal:
        return Principal("tester", "test")


class Accounts(list[Account]):
    """The access log, kept."""

    def record(self, account: Account) -> None:
        self.append(account)


@implementer(IHandshakeListener)
class RawClient(Protocol):
    """Writes what it is told and keeps what comes back."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.closed: Deferred[None] = Deferred()
        self.shaken: Deferred[None] = Deferred()
        self._waiting: list[tuple[Callable[[bytes], bool], Deferred[None]]] = []

    @property
    def received(self) -> bytes:
        """All that has come."""
        return bytes(self._buffer)

    def write(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def handshakeCompleted(self) -> None:
        self.shaken.callback(None)

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        if not self._waiting:
            return
        for entry in [one for one in self._waiting if one[0](self.received)]:
            self._waiting.remove(entry)
            entry[1].callback(None)

    def connectionLost(self, reason: Any = None) -> None:
        self.closed.callback(None)
        for _, waiting in self._waiting:
            waiting.errback(EOFError(self.received))
        self._waiting = []

    async def until(self, wanted: bytes, times: int = 1) -> bytes:
        """What has come once ``wanted`` has come ``times`` times."""
        if self.received.count(wanted) < times:
            waiting: Deferred[None] = Deferred()
            self._waiting.append((lambda received: received.count(wanted) >= times, waiting))
            await waiting
        return self.received

    async def all(self) -> bytes:
        """All that came until the server closed."""
        await self.closed
        return self.received

    def leave(self) -> None:
        assert self.transport is not None
        if not self.closed.called:
            self.transport.abortConnection()  # type: ignore[attr-defined]


class Server:
    """A site and its accounts; ``trust`` is whom its clients must trust, if it is on TLS."""

    def __init__(self, port: Any, site: S3Site, pipeline: Pipeline, accounts: Accounts, trust: Authority | None = None) -> None:
        self.port, self.site, self.pipeline, self.accounts, self.trust = port, site, pipeline, accounts, trust

    async def connect(self) -> RawClient:
        endpoint: Any = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port.getHost().port)
        if self.trust is None:
            return await connectProtocol(endpoint, RawClient())
        secure = wrapClientTLS(optionsForClientTLS("localhost", trusting(self.trust)), endpoint)
        client: RawClient = await connectProtocol(secure, RawClient())
        await client.shaken
        return client

    async def exchange(self, request: bytes) -> bytes:
        """Everything that comes back for ``request`` on a connection of its own."""
        client = await self.connect()
        client.write(request)
        return await client.all()


def trusting(authority: Authority) -> Certificate:
    """Whom a client of Twisted's trusts."""
    return Certificate.load(authority.certificate.public_bytes(Encoding.PEM), FILETYPE_PEM)


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Who vouches for the certificates of the tests."""
    return Authority()


@pytest.fixture(scope="session")
def certificates(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A certificate of this machine, as the gateway has one."""
    directory, issued = tmp_path_factory.mktemp("certificates"), authority.issue()
    files = CertificateFiles(str(issued.certificate_file(directory / "c.pem")), str(issued.key_file(directory / "k.pem")))
    return Certificates(files, reactor, Threads(reactor, 1, "certificates"))


@pytest.fixture(params=["twisted", "eager", "tls"])
def server(request: Any, authority: Authority, certificates: Certificates) -> Any:
    """A running site, on a port of Twisted's own, as endpoint strings make it, and on both of the gateway's."""
    accounts = Accounts()
    namespace = Namespace(MemoryUnderFileSystem(reactor), "tester")
    services = Services(namespace, OpenAuthorizer(anonymous=True), CarriedTagStore(), Threads(reactor, 1, "test"), reactor)
    pipeline = Pipeline(Anyone(), REGISTRY, services, accounts)
    routes = S3Routes(pipeline).resource()
    site = S3Site(routes, reactor, fast=FastPath(pipeline), keep_alive=True, idle_seconds=60.0, body_stall_seconds=30.0)
    if request.param == "eager":
        port = pytest_twisted.blockon(EagerEndpoint(reactor, "127.0.0.1", 0).listen(site))
    elif request.param == "tls":
        port = pytest_twisted.blockon(TlsEndpoint(reactor, "127.0.0.1", 0, certificates).listen(site))
    else:
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
    yield Server(port, site, pipeline, accounts, authority if request.param == "tls" else None)
    pytest_twisted.blockon(port.stopListening())


def turn_until(reactor: Any, done: Callable[[], object]) -> None:
    """Have ``reactor``, which nobody else runs, take turns until ``done``."""
    for _ in range(3000):
        if done():
            return
        reactor.runUntilCurrent()
        reactor.doIteration(0.01)
    raise AssertionError("nothing came of it")

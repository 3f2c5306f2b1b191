"""A connection without a network: bytes into the channel, and what it answers."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from alluxio_s3.actions.exchange import Call, Response, Services
from alluxio_s3.actions.registry import BUCKET, OBJECT, SERVICE, Action, Registry
from alluxio_s3.auth.authorizers import OpenAuthorizer
from alluxio_s3.auth.simple import SimpleAuthenticator
from alluxio_s3.http.fastpath import FastPath
from alluxio_s3.http.pipeline import Pipeline
from alluxio_s3.http.routes import S3Routes
from alluxio_s3.http.site import S3Site
from alluxio_s3.namespace.mounts import Namespace
from alluxio_s3.ops.access_log import Account
from alluxio_s3.tags.carried import CarriedTagStore
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.memory import MemoryUnderFileSystem

REGISTRY = Registry()


@REGISTRY.action("Echo", method="PUT", on=OBJECT)
class Echo(Action):
    """Answers with how much it read."""

    async def run(self, call: Call) -> Response:
        """See ``Action``."""
        size = 0
        while piece := await call.body.read():
            size += len(piece)
        return Response(body=b"%d" % size)


@REGISTRY.action("Unread", method="PUT", on=BUCKET)
class Unread(Action):
    """Leaves the body unread."""

    async def run(self, call: Call) -> Response:
        """See ``Action``."""
        return Response(body=b"unread")


@REGISTRY.action("Hello", method="GET", on=SERVICE)
class Hello(Action):
    """A small answer."""

    async def run(self, call: Call) -> Response:
        """See ``Action``."""
        return Response(body=b"hello")


class _Accounts(list[Account]):
    def record(self, account: Account) -> None:
        self.append(account)

    def reopen(self) -> None:
        """Nothing is open."""

    def close(self) -> None:
        """Nothing is held."""


_CLOCK = Clock()
_CLOCK.advance(1_767_268_800.0)
_ACCOUNTS = _Accounts()


def _site() -> S3Site:
    reactor: Any = _CLOCK
    services = Services(
        Namespace(MemoryUnderFileSystem(reactor), "u"),
        OpenAuthorizer(anonymous=True),
        CarriedTagStore(),
        Threads(reactor, 1, "fuzz"),
        reactor,
    )
    pipeline = Pipeline(SimpleAuthenticator("u", reactor), REGISTRY, services, _ACCOUNTS)
    return S3Site(
        S3Routes(pipeline).app.resource(), reactor, fast=FastPath(pipeline), keep_alive=True, idle_seconds=60.0, body_stall_seconds=30.0
    )


_SITE = _site()
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


class _Transport(StringTransport):
    """Ends the connection when it is told to, as a real one does."""

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 4)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """It has none."""

    def abortConnection(self) -> None:
        self.disconnecting = True


def converse(data: bytes) -> None:
    """*data* comes in pieces, time passes, the client goes: every answer is one of S3's, none is 500, and nothing is left."""
    trouble: list[Any] = []

    def observe(event: Any) -> None:
        if "log_failure" in event:
            trouble.append(event["log_failure"])

    globalLogPublisher.addObserver(observe)
    _ACCOUNTS.clear()
    try:
        channel: Any = _SITE.buildProtocol(None)
        transport = _Transport()
        channel.makeConnection(transport)
        step = 1 + data[-1] if data else 1
        for at in range(0, len(data), step):
            if not transport.disconnecting:
                channel.dataReceived(data[at : at + step])
        _SITE.arrivals.look()
        channel.connectionLost(Failure(ConnectionDone()))
    finally:
        globalLogPublisher.removeObserver(observe)
    assert not trouble, trouble
    answers = transport.value()
    assert not answers or answers.startswith(b"HTTP/1.1 ")
    assert not [status for status in _STATUS.findall(answers) if status == b"500"], answers
    assert all(account.status != 500 for account in _ACCOUNTS)
    gate = _SITE.gate
    assert (gate.requests, gate.memory, len(_SITE.connections)) == (0, 0, 0)
    assert not _SITE.arrivals._bodies, answers
    assert not _SITE.arrivals._heads
    for call in _CLOCK.getDelayedCalls():
        call.cancel()

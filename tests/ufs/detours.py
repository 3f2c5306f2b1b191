"""Ways round: a proxy before a server that loses, cuts or holds what passes, and an HTTP agent that takes them."""

from __future__ import annotations

import re

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.protocols import portforward
from twisted.web.iweb import IAgent
from zope.interface import implementer


class _Upstream(portforward.ProxyClient):
    """The proxy's connection to the server."""

    def dataReceived(self, data):
        self.peer.factory.pass_down(self.peer, data)


class _UpstreamFactory(portforward.ProxyClientFactory):
    protocol = _Upstream
    noisy = False


class _Downstream(portforward.ProxyServer):
    """A client's connection to the proxy."""

    clientProtocolFactory = _UpstreamFactory  # noqa: N815

    def connectionMade(self):
        self.passed = 0
        self.drops_answer = False
        self.factory.connections.append(self)
        if self.factory.resets > 0:
            self.factory.resets -= 1
            self.peer = None
            self.transport.abortConnection()
            return
        super().connectionMade()

    def dataReceived(self, data):
        factory = self.factory
        factory.uploaded += len(data)
        factory.asked += 1
        if factory.cut_upload_at is not None and factory.uploaded >= factory.cut_upload_at:
            factory.cut_upload_at = None
            self.transport.abortConnection()
            return
        if factory.lose_answer_to is not None and re.search(factory.lose_answer_to, data):
            factory.lose_answer_to = None
            self.drops_answer = True
        super().dataReceived(data)

    def connectionLost(self, reason):
        self.factory.connections.remove(self)
        super().connectionLost(reason)
        self.factory.note_end()


class Detour(portforward.ProxyFactory):
    """A proxy to ``port`` of this machine, with its faults as attributes.

    ``resets``: so many connections are reset at once. ``cuts``: so many are cut after ``cut_at`` bytes of answer. ``holds``: whether
    nothing more passes then. ``lose_answer_to``: the request that matches is passed on, and its connection cut when the answer comes.
    ``cut_upload_at``: the connection on which that many bytes have been sent, by all together, is reset.
    """

    protocol = _Downstream
    noisy = False

    def __init__(self, reactor, port):
        super().__init__("127.0.0.1", port)
        self.connections = []
        self.resets = self.cuts = self.cut_at = self.uploaded = self.asked = 0
        self.holds = False
        self.lose_answer_to = self.cut_upload_at = None
        self._ends = []
        self._listening = reactor.listenTCP(0, self, interface="127.0.0.1")
        self.own_port = self._listening.getHost().port

    def pass_down(self, connection, data):
        if connection.drops_answer:
            connection.transport.abortConnection()
            return
        connection.passed += len(data)
        if connection.passed > self.cut_at and self.cuts:
            self.cuts -= 1
            connection.transport.write(data[: len(data) // 2])
            connection.transport.loseConnection()
        elif not (self.holds and connection.passed > self.cut_at):
            connection.transport.write(data)

    def note_end(self):
        if not self.connections:
            ends, self._ends = self._ends, []
            for one in ends:
                one.callback(None)

    def emptied(self):
        """A Deferred that fires when there is no connection any more."""
        ended = Deferred()
        self._ends.append(ended)
        if not self.connections:
            self.note_end()
        return ended

    def stop(self):
        return self._listening.stopListening()


@implementer(IAgent)
@define
class Diverted:
    """An agent that goes to other ports than those of the URLs."""

    agent: object
    ports: dict[int, int] = field(factory=dict)

    def request(self, method, uri, headers=None, bodyProducer=None):  # noqa: N803
        for port, other in self.ports.items():
            uri = uri.replace(b":%d/" % port, b":%d/" % other, 1)
        return self.agent.request(method, uri, headers, bodyProducer)

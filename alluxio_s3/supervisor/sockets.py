"""The listening sockets of all processes, opened by the parent."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.abstract import isIPv6Address
from twisted.internet.defer import execute
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.protocol import Factory

from alluxio_s3.http.transport import BACKLOG, EagerEndpoint
from alluxio_s3.inspection.dashboards import Served
from alluxio_s3.listening import Place, listen

# Those of a process, in the order of the places.
Sockets = list[socket.socket]


@define
class Listening:
    """``shares`` are the sockets of each process, in the order of ``schemes``.

    ``close`` ends the listening, once every process has closed its own.
    """

    shares: tuple[Sockets, ...]
    _ports: list[IListeningPort] = field(factory=list)
    schemes: list[str] = field(factory=list)

    def served(self) -> list[Served]:
        """Where S3 is served."""
        sockets = self.shares[0]
        return [Served(scheme, one.getsockname()) for scheme, one in zip(self.schemes, sockets, strict=True) if one.fileno() >= 0]

    def close(self) -> None:
        """Close them all."""
        for share in self.shares:
            for one in share:
                one.close()
        for port in self._ports:
            _ = port.stopListening()


def open_sockets(places: Callable[[Any], list[Place]], reactor: Any, count: int) -> Listening:
    """Sockets for ``count`` processes, for each of the ``places`` that a reactor makes. Raises SystemExit as ``listening.listen`` does.

    Those of one address are different ones; a socket of the file system, or one that was inherited, is the same for all, which
    spreads connections less evenly.
    """
    opening = _Opening(reactor, count)
    listening = Listening(tuple([] for _ in range(count)), opening.ports)
    for place in places(opening):
        opening.found = []
        endpoint = _Group(opening, place.endpoint) if isinstance(place.endpoint, EagerEndpoint) else place.endpoint
        listen(place.description, endpoint, Factory())
        listening.schemes.append(place.scheme)
        for share, one in zip(listening.shares, opening.found, strict=True):
            share.append(one)
    return listening


class _Opening:
    """A reactor that opens sockets for others where one is asked to listen."""

    def __init__(self, reactor: Any, count: int) -> None:
        self._reactor = reactor
        self._count = count
        self.found: list[socket.socket] = []
        self.ports: list[IListeningPort] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = BACKLOG, interface: str = "") -> None:  # noqa: ARG002, N802
        """See ``IReactorTCP``."""
        self.found = _open_group(interface, port, backlog, self._count)

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, backlog: int = BACKLOG, interface: str = "") -> None:  # noqa: ARG002, N802, N803
        """See ``IReactorSSL``."""
        self.found = _open_group(interface, port, backlog, self._count)

    def listenUNIX(self, address: str, factory: IProtocolFactory, *args: Any, **kwargs: Any) -> None:  # noqa: N802
        """See ``IReactorUNIX``. The port is the parent's, for the sake of its lock file, and takes no connections."""
        port = self._reactor.listenUNIX(address, factory, *args, **kwargs)
        port.stopReading()
        self.ports.append(port)
        self.found = [port.socket.dup() for _ in range(self._count)]

    def adoptStreamPort(self, descriptor: int, family: int, factory: IProtocolFactory) -> None:  # noqa: ARG002, N802
        """See ``IReactorSocket``."""
        self.found = [socket.fromfd(descriptor, family, socket.SOCK_STREAM) for _ in range(self._count)]


@define
class _Group:
    """Opens what ``endpoint`` would listen on."""

    opening: _Opening
    endpoint: EagerEndpoint

    def listen(self, factory: IProtocolFactory) -> Any:
        """See ``IStreamServerEndpoint``."""
        if self.endpoint.opened is not None:
            return execute(self.opening.adoptStreamPort, self.endpoint.opened.fileno(), self.endpoint.opened.family, factory)
        return execute(self.opening.listenTCP, self.endpoint.port, factory, BACKLOG, self.endpoint.interface)


def _open_group(interface: str, port: int, backlog: int, count: int) -> list[socket.socket]:
    """``count`` sockets that share an address. Raises OSError, above all when somebody has it already."""
    family = socket.AF_INET6 if isIPv6Address(interface) else socket.AF_INET
    address = socket.getaddrinfo(interface or None, port, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][4]
    # One that does not share finds out whether others, who may share as well, are there.
    with socket.socket(family, socket.SOCK_STREAM) as first:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.bind(address)
        first.listen()
        address = first.getsockname()
    found: list[socket.socket] = []
    try:
        for _ in range(count):
            one = socket.socket(family, socket.SOCK_STREAM)
            found.append(one)
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(address)
            one.listen(backlog)
    except OSError:
        for one in found:
            one.close()
        raise
    return found

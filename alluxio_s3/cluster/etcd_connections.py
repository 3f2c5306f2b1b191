"""How etcd is reached: TLS, and connections that notice when the other side is gone."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS, platformTrust, trustRootFromCertificates
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

# A watch says nothing for hours. The kernel asks whether the other side is there, after so many seconds, so often, so many times.
_ALIVE = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@frozen
class EtcdTls:
    """Whom to trust, and who to be. None: the certificates that this machine trusts; no certificate of one's own."""

    trusted: Any = None
    own: PrivateCertificate | None = None

    @classmethod
    def of_files(cls, ca: str | None, certificate: str | None, key: str | None) -> EtcdTls:
        """From files of PEM. Raises ValueError that names the one that is no good."""
        trusted = own = None
        if ca is not None:
            found = _CERTIFICATE.findall(_read(ca))
            if not found:
                raise ValueError(f"{ca}: no certificate is in there")
            with _blamed(ca):
                trusted = trustRootFromCertificates([Certificate.loadPEM(one) for one in found])
        if certificate is not None and key is not None:
            both = _read(certificate) + b"\n" + _read(key)
            with _blamed(certificate):
                own = PrivateCertificate.loadPEM(both)
        return cls(trusted, own)

    def options(self, host: str) -> Any:
        """For a connection to ``host``, whose certificate must say that name or address."""
        return optionsForClientTLS(host, platformTrust() if self.trusted is None else self.trusted, self.own)


@implementer(IAgentEndpointFactory)
@frozen
class Connections:
    """Where Twisted's HTTP client gets its connections."""

    reactor: Any
    tls: EtcdTls | None
    timeout: float

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:  # noqa: N802  # Twisted's name
        """See IAgentEndpointFactory."""
        host = uri.host.decode("ascii").strip("[]")
        endpoint: IStreamClientEndpoint = _Lively(HostnameEndpoint(self.reactor, host, uri.port, self.timeout))
        if uri.scheme == b"https":
            endpoint = wrapClientTLS((self.tls or EtcdTls()).options(host), endpoint)
        return endpoint


@implementer(IStreamClientEndpoint)
@frozen
class _Lively:
    endpoint: IStreamClientEndpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803  # Twisted's name
        protocolFactory.noisy = False  # type: ignore[attr-defined]  # each connection is nothing to tell of
        return self.endpoint.connect(protocolFactory).addCallback(_keep_alive)


def _keep_alive(protocol: Any) -> Any:
    transport = protocol.transport
    transport.setTcpKeepAlive(True)
    connection = transport.getHandle()
    with suppress(OSError):
        for option, value in _ALIVE:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
    return protocol


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as problem:
        raise ValueError(f"{path}: {problem.strerror}") from None


@contextmanager
def _blamed(path: str) -> Iterator[None]:
    try:
        yield
    except Exception:  # noqa: BLE001  # OpenSSL's own kinds
        raise ValueError(f"{path}: OpenSSL cannot use it") from None

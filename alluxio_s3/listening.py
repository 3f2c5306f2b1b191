"""Where the daemon listens, by its settings."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, cast

from attrs import evolve, frozen
from twisted.internet.defer import Deferred, execute
from twisted.internet.endpoints import TCP4ServerEndpoint, serverFromString
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.web.server import Site

from alluxio_s3.clocks import wall_clock
from alluxio_s3.clustering import is_clustered
from alluxio_s3.http.certificates import CertificateFiles, Certificates
from alluxio_s3.http.mutual_tls import MutualTls
from alluxio_s3.http.tls_transport import TlsEndpoint
from alluxio_s3.http.transport import EagerEndpoint
from alluxio_s3.settings import Settings, SettingsError
from alluxio_s3.threads import Threads

# The scheme of the port for other workers.
PEERS = "peers"
_TLS_STRING = "ssl:"
_SYSTEMD_STRING = "systemd:"
_log = Logger()


@frozen
class Place:
    """Where to listen: the ``description`` is for messages, the ``scheme`` that of its URLs."""

    description: str
    scheme: str
    endpoint: Any


@frozen
class Inherited:
    """Sockets that listen already, opened by the service manager: each takes the place of the port that would be opened for it."""

    http: socket.socket | None = None
    https: socket.socket | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str], reactor: Any, settings: Settings) -> Self:
        """What was inherited: a socket named ``https`` for HTTPS, one with another name for HTTP. Raises SettingsError.

        The protocol is that of ``sd_listen_fds(3)``.

        Nothing, if endpoint strings of ``settings`` say themselves what becomes of the sockets.
        """
        if any(description.startswith(_SYSTEMD_STRING) for description in settings.endpoints):
            return cls()
        found = list(_descriptors(environ, reactor))
        plain = [descriptor for name, descriptor in found if name != "https"]
        secure = [descriptor for name, descriptor in found if name == "https"]
        for kind, sockets in (("HTTP", plain), ("HTTPS", secure)):
            if len(sockets) > 1:
                raise SettingsError(f"{len(sockets)} sockets for {kind} were inherited, and one is all that can be served: listen on [::].")
        if plain and settings.only_https:
            raise SettingsError("alluxio.worker.s3.only.https.access=true, and a socket for HTTP was inherited.")
        if secure and not settings.tls_enabled:
            raise SettingsError("A socket for HTTPS was inherited, and alluxio.network.tls.enabled is not set.")
        return cls(*(_inherited(sockets[0]) if sockets else None for sockets in (plain, secure)))

    def applied(self, settings: Settings) -> Settings:
        """``settings`` under which they are served: they win over endpoint strings."""
        return settings if self == NOTHING_INHERITED else evolve(settings, endpoints=())


NOTHING_INHERITED = Inherited()


def _descriptors(environ: Mapping[str, str], reactor: Any) -> Iterator[tuple[str, int]]:
    """The name and number of each. Twisted took the other variables from the environment when it was imported."""
    for index, name in enumerate(environ.get("LISTEN_FDNAMES", "").split(":")):
        try:
            endpoint: Any = serverFromString(reactor, f"{_SYSTEMD_STRING}domain=INET:index={index}")
        except IndexError:  # meant for another process
            return
        yield name, endpoint.fileno


def _inherited(descriptor: int) -> socket.socket:
    found = socket.socket(fileno=descriptor)
    found.set_inheritable(False)
    found.setblocking(False)
    return found


def check_https(settings: Settings) -> None:
    """See that nothing is served in the clear that must not be. Raises SettingsError."""
    if not settings.only_https:
        return
    if not settings.tls_enabled and not settings.endpoints:
        raise SettingsError(
            "alluxio.worker.s3.only.https.access=true, and nothing says with which certificate: set alluxio.network.tls.enabled=true,"
            " alluxio.network.tls.server.cert and alluxio.network.tls.server.key."
        )
    for description in settings.endpoints:
        if not description.startswith(_TLS_STRING):
            raise SettingsError(f"alluxio.worker.s3.only.https.access=true, and alluxio.worker.s3.endpoints has {description!r}.")


def build_certificates(settings: Settings, reactor: Any, threads: Threads, kept: Mapping[str, bytes] | None = None) -> Certificates | None:
    """The certificates of the HTTPS port, if there is to be one; ``kept`` as in ``Certificates``. Raises SettingsError."""
    if not settings.tls_enabled:
        return None
    return Certificates(certificate_files(settings), wall_clock(reactor), threads, kept)


def certificate_files(settings: Settings) -> CertificateFiles:
    """Where the certificates are."""
    return CertificateFiles(
        certificate=settings.tls_certificate,
        key=settings.tls_key,
        keystore=settings.tls_keystore,
        keystore_password=settings.tls_keystore_password,
        key_password=settings.tls_key_password,
        ca=settings.tls_ca,
        client_auth=settings.tls_client_auth,
    )


def places(
    settings: Settings,
    reactor: Any,
    certificates: Certificates | None,
    sockets: Iterable[socket.socket] = (),
    inherited: Inherited = NOTHING_INHERITED,
) -> list[Place]:
    """Everywhere to listen. Raises SystemExit for an endpoint string that can't be read.

    ``sockets`` listen in these places already, in this order; they belong to what is returned, as does what is ``inherited``.
    """
    host, plain, secure = settings.bind_host, settings.rest_port, settings.https_port
    opened = iter(sockets)
    found = []
    for description in settings.endpoints:
        given = next(opened, None)
        try:
            endpoint = serverFromString(reactor, description) if given is None else _adopting(reactor, description, given)
        except Exception as problem:  # noqa: BLE001  # whatever a parser of endpoints makes of a file or a name that is not there
            raise SystemExit(f"alluxio-s3: alluxio.worker.s3.endpoints: {description!r}: {problem}") from None
        found.append(Place(description, "https" if description.startswith(_TLS_STRING) else "http", endpoint))
    if not settings.endpoints and not settings.only_https:
        at, number, given = _where(host, plain, next(opened, inherited.http))
        found.append(Place(f"{at}:{number}", "http", EagerEndpoint(reactor, at, number, opened=given)))
    if certificates is not None:
        at, number, given = _where(host, secure, next(opened, inherited.https))
        found.append(Place(f"{at}:{number}", "https", TlsEndpoint(reactor, at, number, certificates, opened=given)))
    if is_clustered(settings):
        at, number, given = _where(settings.peer_bind_host or host, settings.peer_port, next(opened, None))
        port: Any = EagerEndpoint(reactor, at, number, opened=given)
        if certificates is not None and settings.tls_ca is not None:
            port = TlsEndpoint(reactor, at, number, MutualTls(certificates), opened=given)
        found.append(Place(f"{at}:{number} (the port for other workers)", PEERS, port))
    return found


def _where(host: str, port: int, opened: socket.socket | None) -> tuple[str, int, socket.socket | None]:
    """Address and port of the socket, if it listens already, else those of the settings."""
    return (host, port, None) if opened is None else (*opened.getsockname()[:2], opened)


def _adopting(reactor: Any, description: str, opened: socket.socket) -> Any:
    """The endpoint that ``description`` is, on a socket that listens already."""
    adopting = _Adopting(reactor, opened)
    # What systemd opened goes by what the first process inherited.
    return adopting if description.startswith(_SYSTEMD_STRING) else serverFromString(adopting, description)


@frozen
class _Adopting:
    """A reactor that listens on what is open already; and an endpoint that is nothing else."""

    reactor: Any
    opened: socket.socket

    def listenTCP(self, port: int, factory: IProtocolFactory, *_args: Any, **_kwargs: Any) -> IListeningPort:  # noqa: ARG002, N802
        """See ``IReactorTCP``."""
        return self._adopt(factory)

    def listenSSL(self, port: int, factory: IProtocolFactory, context: Any, *_args: Any, **_kwargs: Any) -> IListeningPort:  # noqa: ARG002, N802
        """See ``IReactorSSL``."""
        return self._adopt(TLSMemoryBIOFactory(context, False, factory))

    def listenUNIX(self, address: str, factory: IProtocolFactory, *_args: Any, **_kwargs: Any) -> IListeningPort:  # noqa: ARG002, N802
        """See ``IReactorUNIX``."""
        return self._adopt(factory)

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See ``IStreamServerEndpoint``."""
        return execute(self._adopt, factory)

    def _adopt(self, factory: IProtocolFactory) -> IListeningPort:
        with self.opened as opened:  # the port has one of its own
            port: Any = self.reactor.adoptStreamPort(opened.fileno(), opened.family, factory)
        if opened.family == socket.AF_UNIX:
            port._bindPath = b"\0"  # noqa: SLF001  # its file is not this process's to remove
        return cast("IListeningPort", port)


def listen(description: str, endpoint: Any, factory: IProtocolFactory) -> IListeningPort:
    """Listen at once. Raises SystemExit when that can't be done, which says where (``description``) and why."""
    outcome: list[Any] = []
    _ = endpoint.listen(factory).addBoth(outcome.append)
    if not outcome or isinstance(outcome[0], Failure):
        reason = outcome[0].getErrorMessage() if outcome else "that takes longer than a start may"
        raise SystemExit(f"alluxio-s3: cannot listen on {description}: {reason}")
    port: IListeningPort = outcome[0]
    return port


def listen_for_admin(settings: Settings, reactor: Any, site: Site) -> IListeningPort | None:
    """Open the admin port for ``site``, and say so, if one is wanted. Raises SystemExit."""
    host, number = settings.admin_bind_host, settings.admin_port
    if number is None:
        return None
    port = listen(f"{host}:{number} (the admin port)", TCP4ServerEndpoint(reactor, number, interface=host), site)
    address: Any = port.getHost()
    shown = f"[{address.host}]" if ":" in address.host else address.host
    if settings.admin_token is None and not address.host.startswith("127.") and address.host != "::1":
        _log.warn(
            "The admin port asks nobody who they are: whoever reaches {host} sees its pages. Set alluxio.worker.s3.admin.token.path.",
            host=shown,
        )
    _log.info(
        "Metrics at {endpoint}/metrics, health at {endpoint}/ready, the dashboard at {endpoint}/", endpoint=f"http://{shown}:{address.port}"
    )
    return port

"""Where the daemon listens, by its settings."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import TCP4ServerEndpoint, serverFromString
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Site

from alluxio_s3.http.transport import EagerEndpoint
from alluxio_s3.settings import Settings

_log = Logger()


def endpoints(settings: Settings, reactor: Any) -> list[tuple[str, Any]]:
    """Where to listen, each with the words for it. Raises SystemExit for an endpoint string that can't be read."""
    if not settings.endpoints:
        host, port = settings.bind_host, settings.rest_port
        return [(f"{host}:{port}", EagerEndpoint(reactor, host, port))]
    found = []
    for description in settings.endpoints:
        try:
            found.append((description, serverFromString(reactor, description)))
        except Exception as problem:  # noqa: BLE001  # whatever a parser of endpoints makes of a file or a name that is not there
            raise SystemExit(f"alluxio-s3: alluxio.worker.s3.endpoints: {description!r}: {problem}") from None
    return found


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
    _log.info("Metrics at {endpoint}/metrics, health at {endpoint}/ready", endpoint=f"http://{shown}:{address.port}")
    return port

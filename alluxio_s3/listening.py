"""Where the daemon listens, by its settings."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import serverFromString

from alluxio_s3.http.transport import EagerEndpoint
from alluxio_s3.settings import Settings


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

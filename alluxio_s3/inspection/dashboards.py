"""The dashboard of a daemon, built as its settings say: for a daemon that is one process, and for the parent of several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from attrs import field, frozen
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import CertificateOptions

from alluxio_s3.cache.ufs import Cache
from alluxio_s3.dashboard.pages import About, Dashboard
from alluxio_s3.inspection.cached_place import NothingCached, cached_place
from alluxio_s3.inspection.explanation import explained
from alluxio_s3.ops.admin import Witness
from alluxio_s3.settings import Loaded, SettingsError
from alluxio_s3.settings.mount_options import masked
from alluxio_s3.storage import StorageError
from alluxio_s3.stores import build_mount_table
from alluxio_s3.threads import Threads

CONNECT_SECONDS = 10
# Addresses that mean every interface, and one by which this machine reaches itself there.
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


@frozen
class Served:
    """Where S3 is served: the ``scheme``, and the name of the socket as ``getsockname`` tells it (a path or bytes: a Unix socket)."""

    scheme: str
    name: Any

    @classmethod
    def of(cls, scheme: str, address: Any) -> Self:
        """What listens at ``address``, as Twisted tells it."""
        return cls(scheme, (address.host, address.port) if hasattr(address, "port") else address.name)

    @property
    def port(self) -> int | None:
        """The TCP port."""
        return self.name[1] if isinstance(self.name, tuple) else None


@frozen
class Surroundings:
    """The S3 endpoint that the pages use: the first that is plain, else the first, of those that ``served`` tells."""

    reactor: Any
    served: Callable[[], Sequence[Served]]

    def port(self) -> tuple[str, int] | None:
        """Scheme and TCP port of the endpoint, for links; None if it has none."""
        found = self._chosen([one for one in self.served() if one.port is not None])
        return None if found is None or found.port is None else (found.scheme, found.port)

    def upstream(self) -> IStreamClientEndpoint | None:
        """The way there."""
        found = self._chosen(self.served())
        if found is None:
            return None
        if not isinstance(found.name, tuple):
            return UNIXClientEndpoint(self.reactor, found.name, CONNECT_SECONDS)
        host, port = str(found.name[0]), int(found.name[1])
        kind = TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint
        near = kind(self.reactor, _ANYWHERE.get(host, host), port, CONNECT_SECONDS)
        # The socket is this daemon's own, and its certificate is for other names than that of this machine to itself.
        return near if found.scheme == "http" else wrapClientTLS(CertificateOptions(verify=False), near)

    @staticmethod
    def _chosen(served: Sequence[Served]) -> Served | None:
        return next((one for one in served if one.scheme == "http"), served[0] if served else None)


@frozen
class Knowledge:
    """An ``Informant`` by the configuration. ``cache`` is that of this process; ``broken`` tells what is wrong with which bucket."""

    loaded: Loaded
    reactor: Any
    cache: Cache | None = None
    broken: Callable[[], Mapping[str, str]] = field(default=dict)

    async def mounts(self) -> Sequence[Mapping[str, Any]]:
        """See ``Informant``."""
        settings = self.loaded.settings
        found: list[Mapping[str, Any]] = []
        if settings.ufs_root is not None:
            found.append({"path": "/", "uri": settings.ufs_root, "options": masked(self.loaded.root_options), "since": 0, "trouble": ""})
        threads = Threads(self.reactor, 1, "mounts", expendable=True)
        threads.start()
        try:
            table = build_mount_table(settings, self.reactor, threads)
            mounted = () if table is None else await table.mounts()
        except (SettingsError, StorageError) as problem:
            return [*found, {"path": "", "uri": "", "options": {}, "since": 0, "trouble": str(problem)}]
        finally:
            threads.abandon()
        broken = self.broken()
        return [
            *found,
            *(
                {
                    "path": one.path,
                    "uri": one.uri,
                    "options": masked(one.options),
                    "since": one.since_ns // 10**9,
                    "trouble": broken.get(one.bucket, ""),
                }
                for one in mounted
            ),
        ]

    async def explain(self, name: str) -> Mapping[str, Any]:
        """See ``Informant``."""
        try:
            async with cached_place(self.loaded, name, self.reactor, self.cache) as place:
                return await explained(place, self.reactor)
        except (NothingCached, SettingsError, StorageError) as problem:
            raise LookupError(str(problem)) from None


def build_dashboard(
    loaded: Loaded,
    reactor: Any,
    witness: Witness,
    served: Callable[[], Sequence[Served]],
    cache: Cache | None = None,
    broken: Callable[[], Mapping[str, str]] = dict,
) -> Dashboard | None:
    """The dashboard of the admin port, if there is such a port."""
    settings = loaded.settings
    if settings.admin_port is None:
        return None
    surroundings = Surroundings(reactor, served)
    about = About(settings.authentication_type.upper(), settings.region, surroundings.port, guarded=settings.admin_token is not None)
    return Dashboard(witness, Knowledge(loaded, reactor, cache, broken), about, surroundings.upstream, reactor)

"""The gateway: the one place where everything is built and wired, and the order in which it starts and stops."""

from __future__ import annotations

import signal
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any

from attrs import evolve, frozen
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.logger import Logger

from alluxio_s3.actions.everything import REGISTRY
from alluxio_s3.actions.exchange import Services
from alluxio_s3.admission import build_authenticator, build_authorizer, process_user, watched_admin_token
from alluxio_s3.cache.ufs import Cache
from alluxio_s3.clocks import wall_clock
from alluxio_s3.clustering import Clustering, build_clustering, is_clustered, shared_keys
from alluxio_s3.dashboard.pages import Dashboard
from alluxio_s3.http.certificates import Certificates
from alluxio_s3.http.draining import Drain, stop_listening
from alluxio_s3.http.fastpath import FastPath
from alluxio_s3.http.limits.gate import Gate
from alluxio_s3.http.limits.values import ClientLimits
from alluxio_s3.http.pipeline import Pipeline
from alluxio_s3.http.routes import S3Routes
from alluxio_s3.http.site import S3Site
from alluxio_s3.inspection.dashboards import Served, build_dashboard
from alluxio_s3.interfaces import IMeasured, ITokenExchange
from alluxio_s3.listening import (
    NOTHING_INHERITED,
    PEERS,
    Inherited,
    Place,
    build_certificates,
    check_https,
    listen,
    listen_for_admin,
    places,
)
from alluxio_s3.namespace.mounts import Namespace
from alluxio_s3.namespace.upload_expiry import UploadExpiry
from alluxio_s3.ops.access_log import AccessLog, AuditedLog, EventAccessLog, FileAccessLog
from alluxio_s3.ops.admin import AdminPages
from alluxio_s3.ops.door import Door
from alluxio_s3.ops.health import store_check
from alluxio_s3.ops.ledger import Ledger
from alluxio_s3.ops.log_forms import AUDIT, STYLES
from alluxio_s3.ops.log_level import LogThreshold
from alluxio_s3.ops.operations import Operations
from alluxio_s3.reloading import AdmissionPart, CertificatePart, MountsPart, Part, PlainPart, Renewal, limits_of
from alluxio_s3.settings import Loaded, Settings, SettingsError
from alluxio_s3.sharing import Alone, Sharing
from alluxio_s3.stores import IN_ETCD, Shell, build_cache, build_cors_store, build_mounts, build_root, build_tag_store, cache_trouble, stage
from alluxio_s3.threads import Threads

# Addresses that mean every interface, and one by which this machine reaches itself there.
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


@frozen
class Share:
    """What one of several processes has of the whole: ``sockets`` that listen already, in the order of its places.

    Signals to stop are its parent's business. ``announces`` is whether it says where it serves, ``number`` which of ``count`` it is.
    """

    sockets: Sequence[socket.socket]
    announces: bool
    number: int = 0
    count: int = 1


@frozen(eq=False)
class Wiring:
    """What a gateway is made of: everything that ``Gateway.build`` builds, and ``parts`` of it that can be made anew while it runs."""

    loaded: Loaded
    threads: Threads
    operations: Operations
    pipeline: Pipeline
    site: S3Site
    certificates: Certificates | None
    cache: Cache | None
    clustering: Clustering | None
    sharing: Alone
    parts: Sequence[Part]


class Gateway(MultiService):
    """The daemon. ``build`` makes one from settings; starting it listens, stopping it drains.

    ``port`` is the TCP port that it serves on, once it is running. A second signal to stop ends the draining. ``share`` makes it
    one of several processes; ``inherited`` is listened on in place of ports; ``read`` reads the configuration again, to ``reload`` it.
    """

    name = "alluxio-s3"
    _log = Logger()

    def __init__(
        self,
        wiring: Wiring,
        reactor: Any,
        share: Share | None = None,
        inherited: Inherited = NOTHING_INHERITED,
        read: Callable[[], Loaded] | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings = wiring.loaded.settings
        self.port = 0
        self.operations = operations = wiring.operations
        self._wiring = wiring
        self._read = read
        self._share = share
        self._inherited = inherited
        self._reactor = reactor
        self._threshold = LogThreshold()
        self._door = Door.of(watched_admin_token(settings, reactor), wall_clock(reactor))
        self._pipeline = wiring.pipeline
        self._site = wiring.site
        self._sites = (wiring.site, *wiring.sharing.sites(wiring.pipeline.services.namespace))
        self._drain = Drain(self._sites, lambda: wiring.pipeline.in_flight, reactor)
        self._listening: list[IListeningPort] = []
        self._served: list[Served] = []
        self._admin: IListeningPort | None = None
        self._drain.measure(operations.metrics)
        self.renewal = Renewal(wiring.loaded, [*wiring.parts, *self._plain_parts()], operations.metrics)
        if settings.upload_cleaner_enabled:
            expiry = UploadExpiry(
                wiring.pipeline.services.namespace, settings.upload_cleaner_timeout_ms / 1000, reactor, wall_clock(reactor)
            )
            expiry.setServiceParent(self)

    @classmethod
    def build(
        cls,
        loaded: Loaded,
        reactor: Any,
        share: Share | None = None,
        inherited: Inherited = NOTHING_INHERITED,
        read: Callable[[], Loaded] | None = None,
    ) -> Gateway:
        """Everything, in the order of its dependencies. Raises SettingsError."""
        settings = loaded.settings
        for warning in loaded.warnings:
            cls._log.warn("{warning}", warning=warning)
        _check(settings)
        threads = Threads(reactor, settings.io_threads, "alluxio-s3-io")
        user = process_user()
        operations = Operations(reactor)
        metrics = operations.metrics
        cache = build_cache(settings, reactor, threads, metrics)
        clustering = build_clustering(loaded, reactor, 0 if share is None else share.number) if is_clustered(settings) else None
        certificates = build_certificates(settings, reactor, threads, loaded.kept)
        beside = 1 if share is None else share.count
        sharing = Alone() if clustering is None else Sharing(settings, clustering.members, reactor, threads, metrics, certificates, beside)
        if clustering is not None:
            clustering.report(metrics, operations.health.warn_of, operations.health.watch if settings.mount_table == IN_ETCD else None)
        shell = Shell(cache, metrics, sharing.store)
        namespace = Namespace(build_root(loaded, reactor, threads, shell), user, partial(stage, settings, reactor, threads))
        watched = None if clustering is None else clustering.watched
        namespace.source = build_mounts(loaded, namespace, reactor, threads, shell, watched)
        _report(operations, namespace, threads, certificates, cache)
        shared = shared_keys(watched)
        authenticator = sharing.authenticator(build_authenticator(loaded, user, reactor, threads, shared))
        services = Services(
            namespace=namespace,
            authorizer=build_authorizer(loaded, permissions(), reactor, threads),
            tags=build_tag_store(loaded, reactor, threads),
            threads=threads,
            clock=reactor,
            limits=limits_of(settings),
            region=settings.region,
            exchange=ITokenExchange(authenticator, None),
            cors=build_cors_store(settings, threads, namespace.root),
            routing=sharing.routing,
        )
        measured = IMeasured(authenticator, None)
        if measured is not None:
            measured.measure(metrics)
        gate = Gate(reactor, ClientLimits.of(settings), metrics)
        pipeline = Pipeline(authenticator, REGISTRY, services, Ledger(_access_log(settings, wall_clock(reactor)), operations.metrics), gate)
        site = S3Site(
            S3Routes(pipeline).resource(),
            reactor,
            fast=FastPath(pipeline),
            keep_alive=settings.keep_alive,
            idle_seconds=settings.idle_max_ms / 1000 or None,
            body_stall_seconds=settings.body_stall_ms / 1000 or None,
        )
        site.refused = pipeline.refuse
        parts: list[Part] = [] if certificates is None else [CertificatePart(certificates)]
        parts += [AdmissionPart(pipeline, site.fast, metrics, reactor, threads, loaded, user, permissions(), sharing.authenticator, shared)]
        if namespace.source is not None:
            parts.append(MountsPart(namespace.source.look))
        wiring = Wiring(loaded, threads, operations, pipeline, site, certificates, cache, clustering, sharing, parts)
        return cls(wiring, reactor, share, inherited, read)

    def startService(self) -> None:  # noqa: N802  # Twisted's name
        """Listen, then say where. Raises SystemExit when that can't be done, a port that is taken above all."""
        self._wiring.threads.start()
        self._threshold.set(self.settings.log_level)
        try:
            self._admin = listen_for_admin(self.settings, self._reactor, AdminPages(self.operations, self._door, self._dashboard()).site())
            for place in self.places(self._reactor):
                port = listen(place.description, place.endpoint, self._sites[place.scheme == PEERS])
                self._listening.append(port)
                self._served.append(Served.of(place.scheme, port.getHost()))
                if place.scheme != PEERS and (self._share is None or self._share.announces):
                    self._announce(place, port.getHost())
        except SystemExit:
            self._wiring.threads.stop()
            raise
        self.operations.start()
        if self._wiring.cache is not None:
            self._wiring.cache.start()
        self._pipeline.services.namespace.start()
        if self._wiring.clustering is not None:
            self._wiring.clustering.begin(self._port_of("http"), self._port_of("https"), self._port_of(PEERS))
        super().startService()

    def _dashboard(self) -> Dashboard | None:
        mounts = self._pipeline.services.namespace
        loaded = self.renewal.loaded
        return build_dashboard(loaded, self._reactor, self.operations, lambda: self._served, self._wiring.cache, lambda: mounts.broken)

    def places(self, reactor: Any) -> list[Place]:
        """Everywhere it listens, with ``reactor``. Raises SystemExit."""
        return places(
            self.settings, reactor, self._wiring.certificates, () if self._share is None else self._share.sockets, self._inherited
        )

    @property
    def serving(self) -> bool:
        """Whether it listens, and goes on doing so."""
        return bool(self._listening) and not self.operations.health.stopping

    def reopen_logs(self) -> None:
        """Go on in an access log of the same name: the old one has been renamed."""
        self._pipeline.access_log.reopen()

    def abandon(self) -> None:
        """Let go of what a gateway holds that is not to be started."""
        self._pipeline.access_log.close()
        if self._wiring.cache is not None:
            self._wiring.cache.store.close()

    async def reload(self, given: Loaded | None = None, but: Collection[str] = ()) -> None:
        """Take what has changed in the configuration (``given``, or read again) and its files. See ``Renewal.take``."""
        if given is None:
            given = self.renewal.loaded if self._read is None else self.renewal.read(self._read)
        await self.renewal.take(given, but)

    def told_to_reload(self, given: Loaded, but: Collection[str]) -> None:
        """``reload``, without waiting for it."""
        _ = Deferred.fromCoroutine(self.reload(given, but)).addErrback(partial(self._log.failure, "Reloading has failed"))

    def _plain_parts(self) -> list[Part]:
        def connections(settings: Settings) -> None:
            self.settings = settings
            self._site.timeOut = settings.idle_max_ms / 1000 or None
            if self.serving:
                self._site.keep_alive = settings.keep_alive

        def limits(settings: Settings) -> None:
            self._pipeline.services = evolve(self._pipeline.services, limits=limits_of(settings))
            self._site.fast.renew()
            self._pipeline.gate.limits.replace(ClientLimits.of(settings))
            self._site.allow_stalls(settings.body_stall_ms / 1000 or None)

        return [
            PlainPart("connections", "connections", connections),
            PlainPart("limits", "limits", limits),
            PlainPart("log level", "log level", lambda settings: self._threshold.set(settings.log_level)),
        ]

    async def _stop(self) -> None:
        if self._share is None:
            take_signals(self._reactor, self.hurry)
        self.operations.health.stopping = True
        wiring, services = self._wiring, self._pipeline.services
        clustering, cache, admin = wiring.clustering, wiring.cache, self._admin
        steps: Sequence[Callable[[], Awaitable[None] | None]] = (
            *(() if clustering is None else (clustering.leave,)),
            lambda: self._drain.notice(self.settings.drain_notice_ms / 1000),
            lambda: self._drain.end(self._listening, self.settings.drain_ms / 1000),
            services.namespace.close,
            services.tags.close,
            wiring.sharing.close,
            *(() if clustering is None else (clustering.close,)),
            *(() if cache is None else (cache.close,)),
            wiring.threads.stop,
            self._pipeline.access_log.close,
            self.operations.stop,
            *(() if admin is None else (partial(stop_listening, admin),)),
        )
        for step in steps:
            await self._take(step)
        self._threshold.clear()

    async def _take(self, step: Callable[[], Awaitable[None] | None]) -> None:
        """Whatever becomes of it, those that follow are taken: threads that were left would keep the process from its end."""
        try:
            under_way = step()
            if under_way is not None:
                await under_way
        except Exception:  # noqa: BLE001  # as above
            self._log.failure("Stopping: a step has failed, and the others are taken")

    def stopService(self) -> Deferred[None]:  # noqa: N802  # Twisted's name
        """Stop listening, let requests end (up to the drain limit), then let go of the stores."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def hurry(self) -> None:
        """End the draining, if it has begun."""
        self._drain.hurry()

    def _port_of(self, scheme: str) -> int | None:
        return next((one.port for one in self._served if one.scheme == scheme and one.port is not None), None)

    def _announce(self, place: Place, address: Any) -> None:
        host, port = getattr(address, "host", None), getattr(address, "port", None)
        if host is None or port is None:
            self._log.info("Serving S3 on {description}", description=place.description)
            return
        self.port = self.port or port
        near = _ANYWHERE.get(host, host)
        endpoint = f"{place.scheme}://{f'[{near}]' if ':' in near else near}:{port}"
        self._log.info("Serving S3 at {endpoint}", endpoint=endpoint)
        self._log.info("Try: aws --endpoint-url {endpoint} s3 mb s3://first-bucket", endpoint=endpoint)
        if self.settings.authentication_type.lower() == "simple" and not host.startswith("127.") and host != "::1":
            self._log.warn("SIMPLE identifies users and does not authenticate them: whoever reaches {host} can be anybody.", host=host)


def take_signals(reactor: Any, hurry: Callable[[], None]) -> None:
    """Have the reactor's own signals call ``hurry``: while it stops it would take a second one for an error."""
    for number, name in ((signal.SIGTERM, "sigTerm"), (signal.SIGINT, "sigInt")):
        if signal.getsignal(number) == getattr(reactor, name, None):
            signal.signal(number, lambda *_: reactor.callFromThread(hurry))


def _check(settings: Settings) -> None:
    if not settings.api_enabled:
        raise SettingsError("The S3 API is not enabled: set alluxio.worker.s3.api.enabled=true.")
    check_https(settings)


def _report(operations: Operations, namespace: Namespace, threads: Threads, certificates: Certificates | None, cache: Cache | None) -> None:
    """Have figures and warnings tell of these."""
    namespace.measure(operations.metrics)
    operations.metrics.gauge("alluxio_s3_threads_busy", "Threads that do what may block, those of mounts too.", lambda: threads.busy)
    operations.metrics.gauge("alluxio_s3_threads_waiting", "Calls that wait for a thread, each for its turn.", lambda: threads.waiting)
    operations.metrics.levels(
        "alluxio_s3_certificate_expires_timestamp_seconds",
        "When the certificate of HTTPS expires, in seconds since 1970; nothing without one.",
        lambda: {} if certificates is None else {(): certificates.expires},
        (),
    )
    warn_of = operations.health.warn_of
    warn_of("mounts", namespace.trouble)
    if certificates is not None:
        warn_of("certificate", certificates.trouble)
    if cache is not None:
        warn_of("cache", partial(cache_trouble, cache))
    if namespace.root is not None:
        operations.health.watch("store", store_check(namespace.root))


def _access_log(settings: Settings, wall: IReactorTime) -> AccessLog:
    try:
        style = STYLES[settings.access_log_format]
        access = EventAccessLog() if settings.access_log is None else FileAccessLog(settings.access_log, wall, style)
        return access if settings.audit_log is None else AuditedLog(access, FileAccessLog(settings.audit_log, wall, AUDIT))
    except OSError as problem:
        name = "access" if problem.filename == settings.access_log else "audit"
        raise SettingsError(f"alluxio.worker.s3.{name}.log.path: {problem.filename}: {problem.strerror}") from None


def permissions() -> frozenset[str]:
    """Everything that a policy may speak of."""
    return REGISTRY.permissions()

"""The cluster that a worker is of, built as its settings say."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from alluxio_s3.cluster.etcd import TIMEOUT_SECONDS, Etcd
from alluxio_s3.cluster.etcd_connections import EtcdTls
from alluxio_s3.cluster.fixed import FixedMembers, parse_members
from alluxio_s3.cluster.identity import check_identity, identity_in, new_boot
from alluxio_s3.cluster.membership import PROBE_SECONDS, SECRET_BYTES, EtcdMembers, Probe
from alluxio_s3.cluster.settings_copy import SETTINGS, SettingsCopy
from alluxio_s3.cluster.shared_texts import ACCESS_KEYS, SharedTexts
from alluxio_s3.cluster.watched import WatchedPrefix
from alluxio_s3.interfaces import IMetrics, ISharedTexts, Member
from alluxio_s3.settings import Loaded, Settings, SettingsError

ETCD, STATIC = "ETCD", "STATIC"
SETTINGS_COPY = "alluxio.worker.s3.cluster.settings.file"
IDENTITY_FILE = "worker_identity"
# A row for each of a thousand workers, from each of them, is more than a monitor should have to keep.
MEMBERS_TOLD = 64
_ANYWHERE = frozenset({"0.0.0.0", "::", ""})  # noqa: S104

_log = Logger()

Watch = Callable[[str, Callable[[], Coroutine[Any, Any, str]]], None]


def boottime() -> float:
    """Seconds, by a clock that never goes back and runs while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def is_clustered(settings: Settings) -> bool:
    """Whether there may be other workers."""
    return (settings.membership == ETCD and bool(settings.etcd_endpoints)) or settings.membership == STATIC


@define(eq=False)
class Clustering:
    """What a worker has of its cluster. ``etcd`` and what is ``watched`` in it are there if members find each other so."""

    members: EtcdMembers | FixedMembers
    etcd: Etcd | None = None
    watched: WatchedPrefix | None = None
    _joining: Deferred[None] | None = field(default=None, init=False)

    def begin(self, http_port: int | None, https_port: int | None, peer_port: int | None) -> None:
        """Be there for the others, at these ports, as soon as that can be."""
        if self.watched is not None:
            self.watched.start()
        joining = Deferred.fromCoroutine(self.members.start(http_port, https_port, peer_port))
        self._joining = joining.addErrback(_not_joined)

    async def leave(self) -> None:
        """Be gone for the others at once; what is known of them stays."""
        if self._joining is not None:
            self._joining.cancel()
        await self.members.stop()

    async def close(self) -> None:
        """Let go of everything."""
        if self.watched is not None:
            self.watched.stop()
        if self.etcd is not None:
            await self.etcd.close()

    def trouble(self) -> str:
        """What an operator should know of; empty if all is well."""
        return self.members.trouble if isinstance(self.members, EtcdMembers) else ""

    def report(self, metrics: IMetrics, warn_of: Callable[[str, Callable[[], str]], None], watch: Watch | None) -> None:
        """Keep figures in ``metrics``, and say what is wrong: that etcd is away is worth a warning (``Health.warn_of``).

        Requests are kept away (``Health.watch``) only where mounts are there and it has not been heard of once.
        """
        warn_of("cluster", self.trouble)
        if watch is not None:
            watch("mounts", self._mounts_known)
        self._measure(metrics)

    async def _mounts_known(self) -> str:
        known = self.watched is None or self.watched.revision
        return "" if known else "they are in etcd, which has not answered yet"

    def _measure(self, metrics: IMetrics) -> None:
        members = self.members
        metrics.levels("alluxio_s3_cluster_members", "Workers that are there, this one too.", lambda: {(): len(members.live)}, ())
        metrics.levels(
            "alluxio_s3_cluster_member_weight",
            "Each worker that is there, where clients reach it, and its weight on the ring; of more than 64 workers, the first.",
            lambda: {(one.worker, _address(one)): one.weight for one in members.live[:MEMBERS_TOLD]},
            ("worker", "address"),
        )
        metrics.levels("alluxio_s3_cluster_epoch", "A number that grows with each change of the members.", lambda: {(): members.epoch}, ())
        if not isinstance(members, EtcdMembers) or self.etcd is None:
            return
        metrics.levels(
            "alluxio_s3_cluster_frozen",
            "1 while members are kept of whom etcd says nothing, because it is away or was; else 0.",
            lambda: {(): members.frozen},
            (),
        )
        metrics.levels(
            "alluxio_s3_cluster_lease_age_seconds",
            "How long ago this worker's lease was last known to be valid; nothing before it ever was. Of several processes, the oldest.",
            lambda: {(): age} if (age := members.lease_age) < float("inf") else {},
            (),
        )
        count = metrics.counters(
            "alluxio_s3_etcd_calls_total",
            "What was asked of etcd, by how it ended: `done`, `refused`, or `failed` for want of an answer.",
            ("outcome",),
        )
        tallies = {outcome: count(outcome) for outcome in ("done", "refused", "failed")}
        self.etcd.tell = lambda outcome: tallies[outcome].add()


def _address(member: Member) -> str:
    return f"{member.host}:{member.http_port or member.https_port or '-'}"


def build_settings_copy(
    settings: Settings, reactor: Any, check: Callable[[Path], None], reload: Callable[[], Coroutine[Any, Any, None]]
) -> SettingsCopy | None:
    """The copy of the properties that are in etcd, if there is a place for it. ``check`` raises SettingsError. Raises SettingsError."""
    if settings.settings_copy is None:
        return None
    etcd = build_etcd(settings, reactor)
    watched = WatchedPrefix(etcd, f"{root_of(settings)}{SETTINGS}", reactor)

    def checked(path: Path) -> None:
        try:
            check(path)
        except SettingsError as problem:
            raise ValueError(str(problem)) from None

    return SettingsCopy(watched, Path(settings.settings_copy), checked, reload)


def build_etcd(settings: Settings, reactor: Any, *, lasting: bool = True) -> Etcd:
    """The client of etcd. Raises SettingsError."""
    if not settings.etcd_endpoints:
        raise SettingsError("alluxio.etcd.endpoints: where etcd is has to be said.")
    endpoints = [one if "://" in one else f"{'https' if settings.etcd_tls_enabled else 'http'}://{one}" for one in settings.etcd_endpoints]
    for one in endpoints:
        if not one.startswith("https://" if settings.etcd_tls_enabled else ("http://", "https://")):
            raise SettingsError(
                f"alluxio.etcd.endpoints: {one!r} is not {'https://' if settings.etcd_tls_enabled else 'http://'}host:port."
            )
    if (settings.etcd_tls_certificate is None) != (settings.etcd_tls_key is None):
        raise SettingsError("alluxio.etcd.tls.client.cert: certificate and key (alluxio.etcd.tls.client.key) go together.")
    try:
        tls = EtcdTls.of_files(settings.etcd_tls_ca, settings.etcd_tls_certificate, settings.etcd_tls_key)
    except ValueError as problem:
        raise SettingsError(f"alluxio.etcd.tls: {problem}") from None
    timeout = min(TIMEOUT_SECONDS, settings.failure_detection_ms / 3000)
    return Etcd(endpoints, reactor, tls, settings.etcd_username, settings.etcd_password, timeout, lasting)


def root_of(settings: Settings) -> str:
    """What the keys of this cluster begin with."""
    return f"{settings.etcd_prefix.rstrip('/')}/{settings.cluster_name}/"


def build_clustering(loaded: Loaded, reactor: Any, slot: int = 0, probe: Probe | None = None) -> Clustering:
    """The cluster of ``loaded``; ``slot`` is the number of this process of the worker, ``probe`` asks another worker itself.

    Raises SettingsError.
    """
    settings = loaded.settings
    if settings.membership == STATIC:
        return Clustering(_fixed(settings))
    if not is_clustered(settings):
        return Clustering(FixedMembers(_me(loaded, "alone"), {}, boottime))
    etcd = build_etcd(settings, reactor)
    watched = WatchedPrefix(etcd, root_of(settings), reactor)
    ttl = -(-settings.failure_detection_ms // 1000)
    asking = partial(reached, reactor) if probe is None else probe
    me = _me(loaded, identity_of(loaded, os.environ))
    return Clustering(EtcdMembers(me, slot, etcd, watched, reactor, boottime, ttl, asking, _secret(settings)), etcd, watched)


def shared_keys(watched: WatchedPrefix | None) -> ISharedTexts | None:
    """The access keys of the cluster that etcd has, if it is ``watched``."""
    return None if watched is None else SharedTexts(watched, ACCESS_KEYS)


def identity_of(loaded: Loaded, environ: Mapping[str, str]) -> str:
    """The id of this worker, made now if it has none. Raises SettingsError."""
    settings = loaded.settings
    if settings.identity is not None:
        try:
            return check_identity(settings.identity)
        except ValueError as problem:
            raise SettingsError(f"alluxio.worker.identity.uuid: {problem}.") from None
    place = settings.identity_file
    if place is None:
        state = environ.get("STATE_DIRECTORY", "").partition(":")[0]
        directory = Path(state) if state else None if loaded.source_path is None else Path(loaded.source_path).parent
        if directory is None:
            raise SettingsError("alluxio.worker.identity.uuid.file.path: a worker of a cluster has an id, and a file to keep it in.")
        place = str(directory / IDENTITY_FILE)
    try:
        return identity_in(Path(place))
    except ValueError as problem:
        raise SettingsError(f"alluxio.worker.identity.uuid.file.path: {problem}") from None


def host_of(settings: Settings) -> str:
    """By which name or address others reach this worker."""
    if settings.worker_host is not None:
        return settings.worker_host
    return socket.getfqdn() if settings.bind_host in _ANYWHERE else settings.bind_host


async def reached(reactor: Any, member: Member) -> bool:
    """Whether somebody listens where ``member`` is."""
    port = member.peer_port or member.http_port or member.https_port
    if port is None:
        return False
    try:
        protocol: Any = await HostnameEndpoint(reactor, member.host, port, PROBE_SECONDS).connect(Factory.forProtocol(Protocol))
    except Exception:  # noqa: BLE001  # whatever a network can do
        return False
    protocol.transport.abortConnection()
    return True


def _me(loaded: Loaded, identity: str) -> Member:
    settings = loaded.settings
    return Member(identity, new_boot(), host_of(settings), None, None, None, settings.weight / 100, settings.hot_replicas)


def _fixed(settings: Settings) -> FixedMembers:
    file = "alluxio.worker.static.membership.manager.config.file"
    if settings.static_members is None:
        raise SettingsError(f"{file}: which workers there are has to be said.")
    secret = _secret(settings)
    if secret is None:
        raise SettingsError("alluxio.worker.s3.cluster.secret.file: workers that know each other from a file need one.")
    try:
        found = parse_members(
            Path(settings.static_members).read_text(encoding="utf-8"),
            settings.rest_port,
            settings.peer_port,
            settings.https_port if settings.tls_enabled else None,
            plain=not settings.only_https,
        )
    except (OSError, ValueError) as problem:
        raise SettingsError(f"{file}: {settings.static_members}: {getattr(problem, 'strerror', None) or problem}") from None
    host = host_of(settings)
    me = found.get(f"{f'[{host}]' if ':' in host else host}:{settings.rest_port}")
    if me is None:
        raise SettingsError(f"{file}: {settings.static_members}: this worker, {host}:{settings.rest_port}, is not there.")
    return FixedMembers(me, found, boottime, secret)


def _secret(settings: Settings) -> bytes | None:
    if settings.cluster_secret is None:
        return None
    try:
        secret = Path(settings.cluster_secret).read_bytes().strip()
    except OSError as problem:
        raise SettingsError(f"alluxio.worker.s3.cluster.secret.file: {settings.cluster_secret}: {problem.strerror}") from None
    if len(secret) < SECRET_BYTES:
        raise SettingsError(f"alluxio.worker.s3.cluster.secret.file: {settings.cluster_secret}: it has less than {SECRET_BYTES} bytes.")
    return secret


def _not_joined(reason: Failure) -> None:
    if not reason.check(CancelledError):
        _log.failure("This worker has not joined", reason)

"""What of the daemon can be changed while it serves: each part from its properties and files, or as it was, with the reason in the log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from attrs import define, evolve
from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from alluxio_s3.actions.exchange import Limits
from alluxio_s3.admission import build_authenticator, build_authorizer
from alluxio_s3.http.certificates import Certificates, check_certificates
from alluxio_s3.http.fastpath import FastPath
from alluxio_s3.http.pipeline import Pipeline
from alluxio_s3.interfaces import IAuthenticator, IAuthorizer, IMeasured, IMetrics, ISharedTexts, ITokenExchange
from alluxio_s3.listening import certificate_files
from alluxio_s3.settings import Loaded, Settings, SettingsError
from alluxio_s3.settings.renewal import renewed, same, without
from alluxio_s3.stores import IN_ETCD, check_mount_table
from alluxio_s3.threads import Threads

# What the metric calls the properties file; parts have names of their own.
PROPERTIES = "properties"
RELOADS = "alluxio_s3_reloads_total"
TAKEN, REFUSED = "taken", "refused"


class Part(Protocol):
    """A part of the daemon that can be made anew. ``name`` is what properties call it (``Property.reload``), ``title`` the log."""

    name: str
    title: str

    def files(self, settings: Settings) -> Sequence[str | None]:
        """The files that it is made from."""

    def check(self, loaded: Loaded) -> None:
        """That it can be made from ``loaded`` and those files. Raises SettingsError that says why not. Reads files, waiting for them."""

    async def reload(self, loaded: Loaded) -> None:
        """Make it from them, in place of the one that there is. Raises SettingsError, and leaves everything as it was."""


class Renewal:
    """Keeps the parts of a daemon as ``loaded`` says, which is what they were made from last."""

    _log = Logger()

    def __init__(self, loaded: Loaded, parts: Sequence[Part], metrics: IMetrics) -> None:
        self.loaded = loaded
        self.parts = parts
        self._turn = DeferredLock()
        self._count = metrics.counters(
            "alluxio_s3_reloads_total",
            "What was read again while the daemon ran, by what it is, and whether that was `taken` or `refused`, which leaves it as it was;"
            " of several processes each counts what it took.",
            ("what", "outcome"),
        )

    def read(self, read: Callable[[], Loaded]) -> Loaded:
        """What ``read`` gives, with what needs a restart as it was; all as it was if it raises SettingsError."""
        try:
            found = read()
        except SettingsError as problem:
            self._log.error("properties: as they were, because of {problem}", problem=problem)
            self._count(PROPERTIES, REFUSED).add()
            return self.loaded
        for warning in found.warnings:
            if warning not in self.loaded.warnings:
                self._log.warn("{warning}", warning=warning)
        effective, waiting = renewed(self.loaded, found)
        for name in waiting:
            self._log.warn("{name}: the change needs a restart", name=name)
        self._count(PROPERTIES, TAKEN).add()
        return effective

    async def take(self, loaded: Loaded, but: Collection[str] = ()) -> None:
        """Make every part anew, from ``loaded``, ``but`` those of these names; each that can't be stays as it was, and the log says why."""
        await self._turn.acquire()
        try:
            await self._take(loaded, but)
        finally:
            self._turn.release()

    async def _take(self, loaded: Loaded, but: Collection[str]) -> None:
        for part in self.parts:
            if part.name in but:
                continue
            try:
                await part.reload(loaded)
            except SettingsError as problem:
                self._refuse(part, problem)
                loaded = without(part.name, self.loaded, loaded)
            else:
                self._log.info("{title}: read again", title=part.title)
                self._count(part.name, TAKEN).add()
        self.loaded = loaded

    def rehearse(self, loaded: Loaded) -> tuple[Loaded, frozenset[str]]:
        """``loaded`` without what ``take`` would refuse, and the names of the parts that would be: for a parent, whose children do it."""
        refused = set()
        for part in self.parts:
            try:
                part.check(loaded)
            except SettingsError as problem:
                self._refuse(part, problem)
                refused.add(part.name)
                loaded = without(part.name, self.loaded, loaded)
        self.loaded = loaded
        return loaded, frozenset(refused)

    def _refuse(self, part: Part, problem: SettingsError) -> None:
        self._log.error("{title}: as they were, because of {problem}", title=part.title, problem=problem)
        self._count(part.name, REFUSED).add()


@define
class CertificatePart:
    """The certificates of HTTPS."""

    certificates: Certificates
    name: str = "certificates"
    title: str = "TLS certificates"

    def files(self, settings: Settings) -> Sequence[str | None]:
        """See ``Part``."""
        return (settings.tls_certificate, settings.tls_key, settings.tls_keystore, settings.tls_ca)

    def check(self, loaded: Loaded) -> None:
        """See ``Part``."""
        check_certificates(certificate_files(loaded.settings))

    async def reload(self, loaded: Loaded) -> None:
        """See ``Part``."""
        await self.certificates.reload(certificate_files(loaded.settings))


@define
class AdmissionPart:
    """Who tells who users are, and what they may do: both or neither, for half of a new way in might be open to all.

    Those whose properties are as they were stay, with what they know: they follow their files by themselves. ``wrap`` is put around
    each authenticator, ``shared`` are keys in etcd.
    """

    pipeline: Pipeline
    fast: FastPath
    metrics: IMetrics
    reactor: Any
    threads: Threads
    loaded: Loaded
    user: str
    permissions: frozenset[str]
    wrap: Callable[[IAuthenticator], IAuthenticator] | None = None
    shared: ISharedTexts | None = None
    name: str = "admission"
    title: str = "users and policy"

    def files(self, settings: Settings) -> Sequence[str | None]:
        """See ``Part``."""
        keys = (one for one in settings.oidc_jwks_uri if "://" not in one)
        return (None if settings.access_keys == IN_ETCD else settings.access_keys, settings.sts_secret, *keys, settings.policy_file)

    def check(self, loaded: Loaded) -> None:
        """See ``Part``."""
        self._built(loaded)

    async def reload(self, loaded: Loaded) -> None:
        """See ``Part``."""
        authenticator, authorizer = self._built(loaded)
        if not same(self.name, self.loaded, loaded):
            measured = IMeasured(authenticator, None)
            if measured is not None:
                measured.measure(self.metrics)
            self.pipeline.authenticator = authenticator
            exchange = ITokenExchange(authenticator, None)
            self.pipeline.services = evolve(self.pipeline.services, authorizer=authorizer, exchange=exchange)
            self.fast.renew()
        self.loaded = loaded

    def _built(self, loaded: Loaded) -> tuple[IAuthenticator, IAuthorizer]:
        fresh = evolve(loaded, kept={})
        authenticator = build_authenticator(fresh, self.user, self.reactor, self.threads, self.shared)
        authenticator = authenticator if self.wrap is None else self.wrap(authenticator)
        return authenticator, build_authorizer(fresh, self.permissions, self.reactor, self.threads)


@define
class MountsPart:
    """The mount table, which ``look`` has followed at once."""

    look: Callable[[], None]
    name: str = "mounts"
    title: str = "mounts"

    def files(self, settings: Settings) -> Sequence[str | None]:
        """See ``Part``."""
        return () if settings.mount_table == IN_ETCD else (settings.mount_table,)

    def check(self, loaded: Loaded) -> None:
        """See ``Part``."""
        check_mount_table(loaded.settings)

    async def reload(self, loaded: Loaded) -> None:
        """See ``Part``."""
        self.check(loaded)
        self.look()


@define
class PlainPart:
    """What is made from properties alone, which were checked when they were read, by ``make``."""

    name: str
    title: str
    make: Callable[[Settings], None]

    def files(self, settings: Settings) -> Sequence[str | None]:
        """See ``Part``."""
        del settings
        return ()

    def check(self, loaded: Loaded) -> None:
        """See ``Part``."""

    async def reload(self, loaded: Loaded) -> None:
        """See ``Part``."""
        self.make(loaded.settings)


def limits_of(settings: Settings) -> Limits:
    """What the configuration allows of a request."""
    return Limits(
        user_metadata_bytes=settings.metadata_max_bytes,
        tagging_restrictions=settings.tagging_restrictions,
        bucket_naming_restrictions=settings.bucket_naming_restrictions,
        put_md5=settings.put_md5,
        min_part_bytes=settings.multipart_min_part_bytes,
        complete_keepalive=settings.complete_keepalive_enabled,
        complete_keepalive_seconds=settings.complete_keepalive_ms / 1000,
    )

"""What a worker shares with those beside it, built as the settings say: stores that several own, the port of peers, redirects."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from alluxio_s3.clocks import wall_clock
from alluxio_s3.cluster.arrivals import Arrivals
from alluxio_s3.cluster.clients import known_clients
from alluxio_s3.cluster.hops import Hop, HopAuthenticator, HopTokens
from alluxio_s3.cluster.notices import Notices
from alluxio_s3.cluster.ownership import Ownership
from alluxio_s3.cluster.peers import PeerFailed, Peers
from alluxio_s3.cluster.replicas import Replicas
from alluxio_s3.cluster.routing import RedirectPolicy, Routing
from alluxio_s3.cluster.seals import Seals
from alluxio_s3.cluster.sizes import Sizes
from alluxio_s3.cluster.store import ClusterStore, Neighbours
from alluxio_s3.http.certificates import Certificates
from alluxio_s3.http.mutual_tls import MutualTls
from alluxio_s3.http.peers import PeerDesk, PeerSite
from alluxio_s3.interfaces import IAuthenticator, IMembers, IMetrics, IRemembering, IRouting, IUnderFileSystem, Member
from alluxio_s3.namespace.mounts import Namespace
from alluxio_s3.settings import Settings
from alluxio_s3.threads import Threads

# Arrivals are reported together, so often, and so long each is worth a report.
REPORT_SECONDS = 0.5
REPORTABLE_SECONDS = 60.0
MOST_REPORTED = 200


class Alone:
    """What stands for it where there are no others. See ``Sharing``."""

    routing: IRouting | None = None

    def store(self, ufs: IUnderFileSystem, mount: str) -> IUnderFileSystem:
        """``ufs``, mounted at ``mount`` (``/`` or ``/bucket``)."""
        del mount
        return ufs

    def authenticator(self, inner: IAuthenticator) -> IAuthenticator:
        """``inner``."""
        return inner

    def sites(self, namespace: Namespace) -> tuple[PeerSite, ...]:
        """What is served to others."""
        del namespace
        return ()

    def close(self) -> None:
        """Nothing."""


class Sharing(Alone):
    """One for a process, of ``processes`` that share the worker's ports. With ``certificates``, and an authority for them, workers speak
    TLS to each other. Raises SettingsError.
    """

    _log = Logger()

    def __init__(
        self,
        settings: Settings,
        members: IMembers,
        reactor: Any,
        threads: Threads,
        metrics: IMetrics,
        certificates: Certificates | None = None,
        processes: int = 1,
    ) -> None:
        self.members = members
        self._reactor = reactor
        self._threads = threads
        self._seals = Seals(members, wall_clock(reactor))
        self._tokens = HopTokens(lambda: members.secret, wall_clock(reactor))
        self._arrivals = Arrivals(reactor, processes)
        tls = None if certificates is None or settings.tls_ca is None else MutualTls(certificates)
        sizes = Sizes(reactor.seconds)
        members.watch(sizes.forget)
        self._peers = Peers(members, self._seals, reactor, None if tls is None else tls.towards, lost=sizes.forget)
        # Whoever has not heard of a change of the members after this time has no certain lease any more.
        grace = settings.failure_detection_ms / 1000 + 1.0
        self._ownership = Ownership(members, partial(time.clock_gettime, time.CLOCK_BOOTTIME), grace)
        notices = Notices(members, self._ownership, self._peers, reactor)
        replicas = Replicas(members, settings.hot_replicas, reactor.seconds)
        self._neighbours = Neighbours(members, self._ownership, self._peers, notices, replicas, sizes, reactor)
        mode = settings.redirect_policy if settings.redirect_enabled else "never"
        policy = RedirectPolicy(mode, settings.redirect_min_bytes)
        routing = Routing(members, policy, known_clients(), self._tokens, self._arrivals, reactor)
        routing.measure(metrics)
        self.routing = routing
        # By the worker that redirected, its clients that have come, and until when it is to be told of each.
        self._arrived: dict[str, dict[str, float]] = {}
        self._reporting: IDelayedCall | None = None
        self._closed = False

    def store(self, ufs: IUnderFileSystem, mount: str) -> IUnderFileSystem:
        """``ufs``, mounted at ``mount`` (``/`` or ``/bucket``), as one whose objects workers own, if it is one that keeps anything."""
        if IRemembering(ufs, None) is None:
            return ufs
        return ClusterStore(ufs, f"{mount.rstrip('/')}/", self._neighbours)

    def authenticator(self, inner: IAuthenticator) -> IAuthenticator:
        """``inner``, but for those who were redirected here."""
        return HopAuthenticator(inner, self._tokens, self._note)

    def sites(self, namespace: Namespace) -> tuple[PeerSite, ...]:
        """What is served at the port of peers, of ``namespace``."""
        desk = PeerDesk(self._ownership, namespace, self._arrivals.arrived)
        return (PeerSite(desk, self._seals, self._threads, self._reactor),)

    def close(self) -> None:
        """Ask nobody any more."""
        self._closed = True
        reporting, self._reporting = self._reporting, None
        if reporting is not None and reporting.active():
            reporting.cancel()
        self._neighbours.notices.owed.close()
        self._peers.close()

    def _note(self, hop: Hop) -> None:
        """Have the worker that redirected a client know that it has come, if it wants to."""
        if not hop.client:
            return
        if hop.issuer == self.members.me.worker:
            self._arrivals.arrived(hop.client)
            return
        self._keep(hop.issuer, {hop.client: self._reactor.seconds() + REPORTABLE_SECONDS})

    def _keep(self, issuer: str, clients: Mapping[str, float]) -> None:
        """Tell ``issuer`` in the next round of those of whom it is still to be told."""
        now = self._reactor.seconds()
        waiting = self._arrived.setdefault(issuer, {})
        for client, until in clients.items():
            if until > now and (client in waiting or len(waiting) < MOST_REPORTED):
                waiting[client] = max(until, waiting.get(client, until))
        if not waiting:
            del self._arrived[issuer]
        elif self._reporting is None and not self._closed:
            self._reporting = self._reactor.callLater(REPORT_SECONDS, self._report)

    def _report(self) -> None:
        self._reporting = None
        arrived, self._arrived = self._arrived, {}
        for issuer, clients in arrived.items():
            member = self.members.find(issuer)
            if member is None:  # it may just have come, or come back
                self._keep(issuer, clients)
                continue
            reported = Deferred.fromCoroutine(self._tell(member, clients))
            _ = reported.addErrback(lambda reason: self._log.failure("Arrivals could not be reported", reason))

    async def _tell(self, member: Member, clients: Mapping[str, float]) -> None:
        try:
            await self._peers.arrived(member, sorted(clients))
        except PeerFailed:
            self._log.debug("{worker} could not be told who has come", worker=member.worker)
            self._keep(member.worker, clients)

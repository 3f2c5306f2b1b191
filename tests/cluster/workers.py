"""Workers of one process: each with its own cache, members and peers' port, before one store."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet import reactor

from alluxio_s3.cache.freshness import CachePolicy
from alluxio_s3.cache.store import PageStore, Place
from alluxio_s3.cache.ufs import Cache, CachedUnderFileSystem
from alluxio_s3.cluster.notices import Notices
from alluxio_s3.cluster.ownership import Ownership
from alluxio_s3.cluster.peers import Peers
from alluxio_s3.cluster.replicas import Replicas
from alluxio_s3.cluster.seals import Seals
from alluxio_s3.cluster.sizes import Sizes
from alluxio_s3.cluster.store import ClusterStore, Neighbours
from alluxio_s3.http.peers import PeerDesk, PeerSite
from alluxio_s3.http.transport import EagerEndpoint
from alluxio_s3.interfaces import IUnderFileSystem
from alluxio_s3.namespace.mounts import Mounted, Namespace
from alluxio_s3.threads import Threads
from tests.cluster.fixed_members import FixedMembers, member

PAGE = 4096


class InnerWorker:
    """A worker; ``store`` is the bucket ``b`` as it reads it. ``arrived`` are the clients of which others told it."""

    def __init__(
        self, name: str, names: list[str], shared: IUnderFileSystem, place: Path, threads: Threads, policy: CachePolicy, owners: int
    ) -> None:
        self.name = name
        self.members = FixedMembers(name, [evolve(member(one, peer_port=0), owners=owners) for one in names])
        self.ownership = Ownership(self.members, lambda: time.clock_gettime(time.CLOCK_BOOTTIME), 0.0)
        self.seals = Seals(self.members, reactor)
        self.sizes = Sizes(reactor.seconds)  # type: ignore[attr-defined]
        self.peers = Peers(self.members, self.seals, reactor, lost=self.sizes.forget)
        notices = Notices(self.members, self.ownership, self.peers, reactor)
        replicas = Replicas(self.members, owners, reactor.seconds)
        neighbours = Neighbours(self.members, self.ownership, self.peers, notices, replicas, self.sizes, reactor)
        self.pages = PageStore([Place(str(place), 1 << 24)], PAGE)
        self.cache = Cache(self.pages, threads, reactor)
        self.store = ClusterStore(CachedUnderFileSystem(shared, self.cache, policy), "/b/", neighbours)
        self.namespace = Namespace(None, "owner")
        self.namespace.mounts = {"b": Mounted("test://", self.store)}
        self.arrived: list[str] = []
        desk = PeerDesk(self.ownership, self.namespace, self.arrived.append)
        self.site = PeerSite(desk, self.seals, threads, reactor)
        self.listening: Any = None

    async def listen(self) -> None:
        """Open the peers' port, on the address of this worker."""
        self.listening = await EagerEndpoint(reactor, self.members.me.host, 0).listen(self.site)

    @property
    def port(self) -> int:
        """The peers' port."""
        return self.listening.getHost().port

    async def die(self) -> None:
        """Be gone: connections are cut, and no new one is taken."""
        stopped = self.listening.stopListening()
        if stopped is not None:
            await stopped
        for connection in list(self.site.connections):
            connection.transport.abortConnection()

    async def close(self) -> None:
        """Let go of everything."""
        self.store.neighbours.notices.owed.close()
        self.peers.close()
        await self.die()
        self.pages.close()


async def start_workers(
    names: list[str], shared: IUnderFileSystem, place: Path, threads: Threads, *, owners: int = 1, **policy: Any
) -> list[InnerWorker]:
    """Workers that know each other; ``owners`` of them hold what is hot."""
    made = [InnerWorker(name, names, shared, place / name, threads, CachePolicy(**policy), owners) for name in names]
    for one in made:
        await one.listen()
    ports = {one.name: one.port for one in made}
    for one in made:
        one.members.change([evolve(other, peer_port=ports[other.worker]) for other in one.members.live])
    return made

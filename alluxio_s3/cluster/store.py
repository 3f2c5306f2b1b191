"""An under-store whose objects are owned by workers: each is read through the worker that owns it, and so cached once.

Ownership makes reads fast, never right. Whoever the bytes come from, they are of the version that was asked for; and when the owner
does not answer, the next one is asked, or the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from alluxio_s3.cluster.messages import name_of
from alluxio_s3.cluster.notices import Notices
from alluxio_s3.cluster.ownership import Ownership
from alluxio_s3.cluster.peer_reader import FIRST_BYTES, PeerReader
from alluxio_s3.cluster.peers import Given, PeerFailed, Peers
from alluxio_s3.cluster.replicas import Replicas
from alluxio_s3.cluster.shared_writes import SharedAttributes, SharedUploads, SharedWriter
from alluxio_s3.cluster.sizes import STORE, Sizes
from alluxio_s3.interfaces import (
    IAttributeUpdater,
    IBucketContainer,
    IHotObjects,
    IIdentified,
    IMembers,
    IMultipartUploads,
    IObjectReader,
    IObjectWriter,
    IOwned,
    IPartLocator,
    IReadOnly,
    IRemembering,
    IRemote,
    IResidency,
    ITagReader,
    IUnderFileSystem,
    Member,
)
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, Listing, Status, StorageError

_log = Logger()

# So many owners are asked before the store is.
OWNERS_ASKED = 2


@frozen(eq=False)
class Neighbours:
    """The workers beside this one, for the stores of a process."""

    members: IMembers
    ownership: Ownership
    peers: Peers
    notices: Notices
    replicas: Replicas
    sizes: Sizes
    clock: IReactorTime


@implementer(IUnderFileSystem, IIdentified, IOwned)
class ClusterStore:
    """``here`` is the store as this worker reads it, through its cache; ``base`` stands before its paths in the cluster: ``/bucket/``,
    or ``/`` for what is mounted at the root.
    """

    def __init__(self, here: IUnderFileSystem, base: str, neighbours: Neighbours) -> None:
        self.here = here
        self.base = base
        self.identity: str = IIdentified(here).identity
        self.name = name_of(self.identity)
        self.neighbours = neighbours
        self._me = neighbours.members.me.worker
        remembering = IRemembering(here, None)
        self.relies = remembering is not None and remembering.relies
        if remembering is not None:
            limit = neighbours.ownership.limit
            remembering.rely(lambda path: limit(base + path))
        self._offered: dict[Any, object] = {}

    def __conform__(self, interface: Any) -> object:
        """The optional interfaces of the store here; always the same objects."""
        if interface not in self._offered:
            self._offered[interface] = self._offer(interface)
        return self._offered[interface]

    def _offer(self, interface: Any) -> object:
        # What is hot here is given only as far as ``rely`` has it.
        if interface in (IBucketContainer, IHotObjects, IPartLocator, ITagReader, IReadOnly, IRemote, IResidency):
            return interface(self.here, None)
        wrap: Any = {IMultipartUploads: SharedUploads, IAttributeUpdater: SharedAttributes}.get(interface)
        found = None if wrap is None else interface(self.here, None)
        return None if found is None else wrap(found, self)

    def note(self, path: str, *, sent: bool) -> None:
        """See ``IOwned``."""
        self.neighbours.replicas.note(self.base + path, sent=sent)

    def size(self, path: str, owner: Member) -> int | None:
        """See ``IOwned``."""
        sizes = self.neighbours.sizes
        found = sizes.find(self.base + path, owner.worker)
        # Where the store is asked at each read, the owner would have to ask it, too.
        if self.relies and found is not None and sizes.is_due(self.base + path, owner.worker):
            with suppress(MemoryError):  # whoever wants to know it now is answered first, and in any case
                asking = deferLater(self.neighbours.clock, 0, lambda: Deferred.fromCoroutine(self._ask_ahead(path, owner)))
                _ = asking.addErrback(lambda reason: _log.failure("An owner could not be asked ahead", reason))
        return found

    def owner(self, path: str) -> Member | None:
        """See ``IOwned``."""
        found = self.neighbours.replicas.owner(self.base + path)
        return None if found.worker == self._me or found.peer_port is None else found

    def _others(self, path: str) -> Iterator[Member]:
        """Whom to ask for it, one after the other; none of them twice: who lives, and can't give it, will not be able to."""
        before = None
        for _ in range(OWNERS_ASKED):
            owner = self.owner(path)
            if owner is None or owner == before:
                return
            yield owner
            before = owner

    async def status(self, path: str) -> Status:
        """See IUnderFileSystem. What the owner remembers is good; what this worker remembers of others' is not."""
        if self.relies and path and not path.endswith("/"):
            for owner in self._others(path):
                with suppress(PeerFailed):
                    return self._told(path, await self.neighbours.peers.status(owner, self.base + path, self.name), owner.worker)
        status = await self.here.status(path)
        # Who answers from memory is asked whether it is there; where the store is asked nobody is.
        return status if self.relies else self._told(path, status, STORE)

    async def list(self, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
        """See IUnderFileSystem. The store is asked."""
        return await self.here.list(prefix, start, limit, delimiter)

    async def open(self, path: str) -> IObjectReader:
        """See IUnderFileSystem."""
        if path and not path.endswith("/"):
            given = await self.give(path, 0, FIRST_BYTES)
            if given is not None:
                return await PeerReader.begin(self, path, given)
        return await self.here.open(path)

    async def give(self, path: str, offset: int, count: int, validator: str = "") -> Given | None:
        """Bytes from whoever owns ``path``; None if that is this worker, or nobody who owns it answers.

        Raises NoSuchPath, PathConflict, ObjectChanged.
        """
        for owner in self._others(path):
            with suppress(PeerFailed):
                given = await self.neighbours.peers.open(owner, self.base + path, self.name, offset, count, validator=validator)
                self._told(path, given.status, owner.worker)
                return given
        return None

    async def _ask_ahead(self, path: str, owner: Member) -> None:
        with suppress(PeerFailed, StorageError):
            self._told(path, await self.neighbours.peers.status(owner, self.base + path, self.name), owner.worker)

    def _told(self, path: str, status: Status, who: str) -> Status:
        self.neighbours.sizes.tell(self.base + path, status.size, who)
        return status

    async def create(self, path: str, attributes: Attributes, length: int | None) -> IObjectWriter:
        """See IUnderFileSystem."""
        return SharedWriter(await self.here.create(path, attributes, length), path, self)

    async def delete(self, path: str, condition: WriteCondition) -> None:
        """See IUnderFileSystem."""
        if not self.relies:
            await self.here.delete(path, condition)
            return
        await self.neighbours.notices.changing(self.base + path, self.name, lambda: self.here.delete(path, condition))

    async def close(self) -> None:
        """See IUnderFileSystem."""
        await self.here.close()

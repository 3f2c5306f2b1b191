"""Telling the owners of a path that it has changed, before whoever changed it is answered (promises D3)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from alluxio_s3.cluster.ownership import Ownership
from alluxio_s3.cluster.peers import PeerFailed, Peers
from alluxio_s3.interfaces import IMembers, Member
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import NoSuchPath, PathConflict, StorageError, Unavailable

T = TypeVar("T")

# So many others are asked, one after the other, which members there are.
OTHERS_ASKED = 2


@frozen(eq=False)
class Notices:
    """Tells them; where that fails it leaves word for all, which takes about a lease."""

    members: IMembers
    ownership: Ownership
    peers: Peers
    clock: IReactorTime
    _log = Logger()

    async def changing(self, path: str, store: str, change: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of ``change``, which changes what is at ``path`` in the store of that name, once every owner knows that it has.

        Raises what ``change`` raises; Unavailable when it was done and not everybody can be told. Once begun it goes on to its end, also
        when nobody waits for it any more.
        """

        async def whole() -> T:
            try:
                result = await change()
            except (S3Error, PathConflict):
                raise  # nothing has changed
            except NoSuchPath:
                # Whoever has taken it away may be about to tell, and this is answered as if it had done it.
                await self.tell(path, store)
                raise
            except Exception:
                await self._tell_if_possible(path, store)
                raise
            await self.tell(path, store)
            return result

        return await lasting(whole())

    async def tell(self, path: str, store: str) -> None:
        """Return when no other worker gives what it remembered of ``path``. Raises Unavailable when that can't be brought about."""
        rings = await self._told(path, store)
        # While its lease is certain, this worker hears of every change before anybody relies on it (``Ownership``'s grace).
        if rings is None or (rings - {self.ownership.ring} and not self.members.is_certain()):
            self._log.info("Leaving word that {path} has changed: not every owner could be told", path=path)
            try:
                await self.members.mark(path)
            except Unavailable:
                raise Unavailable(path, "it is written, and not every worker can be told") from None

    async def _told(self, path: str, store: str) -> set[str] | None:
        """The rings of those that know now; None if somebody could not be told."""
        witnesses = self.ownership.witnesses(path)
        if witnesses is None:
            return None
        asked = [Deferred.fromCoroutine(self._forgotten(one, path, store)) for one in witnesses]
        rings = [ring for _, ring in await DeferredList(asked)]
        if not rings and not self.members.is_certain():
            rings = await self._heard(path, store)
        known = {ring for ring in rings if ring is not None}
        return None if None in rings else known

    async def _heard(self, path: str, store: str) -> list[str | None]:
        """The ring of another, for who owns the path as far as it knows, and may not know; of a worker that is alone, nothing.

        It may have been taken for gone, and what it owned be another's since. Who knows of no others any more, or has not heard of any
        yet, may be cut off from where they are.
        """
        me = self.members.me.worker
        if self.members.is_alone():
            return []
        for other in self.members.owners(path, OTHERS_ASKED + 1):
            ring = None if other.worker == me else await self._forgotten(other, path, store)
            if ring is not None:
                return [ring]
        return [None]

    async def _forgotten(self, witness: Member, path: str, store: str) -> str | None:
        try:
            return await self.peers.forget(witness, path, store)
        except (PeerFailed, StorageError):
            return None
        except Exception:  # noqa: BLE001  # whatever it was, nobody may take it for a word of the owner
            self._log.failure("{worker} could not be told of a change", worker=witness.worker)
            return None

    async def _tell_if_possible(self, path: str, store: str) -> None:
        try:
            await self.tell(path, store)
        except Unavailable:
            self._log.warn("{path} may have changed, and not every owner could be told", path=path)


async def lasting(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which goes on to its end also when nobody waits for it any more."""
    waiting: Deferred[T] = Deferred()
    _ = Deferred.fromCoroutine(work).addBoth(waiting.callback)
    return await waiting

"""Telling the owners of a path that it has changed, before whoever changed it is answered (promises D3)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from alluxio_s3.cluster.ownership import MOST_TOLD, Ownership
from alluxio_s3.cluster.peers import PeerAbsent, PeerFailed, Peers
from alluxio_s3.interfaces import IMembers, Member
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import NoSuchPath, PathConflict, StorageError, Unavailable

T = TypeVar("T")

# How soon leaving word is tried again; and of how many paths, all at once when one could be left: of more, of everything. Each time takes
# about a lease, and until the last an owner may go on to give what it remembers.
AGAIN_SECONDS = 1.0
MOST_OWED = 50
_EVERYTHING = ""


@define(eq=False)
class Owed:
    """Paths that have changed and of which nobody could be told: ``mark`` leaves word of one (``IMembers``), as soon as it can.

    Until then an owner may go on to give what it remembers, and whoever wrote has been told that the write is in doubt.
    """

    mark: Callable[[str], Coroutine[Any, Any, None]]
    clock: IReactorTime
    paths: dict[str, None] = field(factory=dict, init=False)
    _work: Deferred[None] | None = field(default=None, init=False)
    _log: ClassVar[Logger] = Logger()

    def add(self, path: str) -> None:
        """One more."""
        if len(self.paths) >= MOST_OWED:
            self.paths = {_EVERYTHING: None}
        if _EVERYTHING not in self.paths:
            self.paths[path] = None
        if self._work is None:
            self._work = Deferred.fromCoroutine(self._pay()).addErrback(self._failed)

    def close(self) -> None:
        """Leave no more word."""
        if self._work is not None:
            self._work.cancel()

    async def _pay(self) -> None:
        count = 1
        while self.paths:
            await deferLater(self.clock, AGAIN_SECONDS)
            some = list(self.paths)[:count]
            for path in some:  # one that changes again meanwhile is owed again
                del self.paths[path]
            marked = await DeferredList([Deferred.fromCoroutine(self.mark(path)) for path in some], consumeErrors=True)
            left = [path for path, (told, _) in zip(some, marked, strict=True) if not told]
            self.paths |= dict.fromkeys(left)
            count = 1 if left else MOST_OWED
            if len(left) < len(some):
                self._log.info("Word is left of {count} paths that nobody could be told of", count=len(some) - len(left))
        self._work = None

    def _failed(self, reason: Failure) -> None:
        self._work = None
        if not reason.check(CancelledError):
            self._log.failure("No more word is left of what has changed", reason)


@frozen(eq=False)
class Notices:
    """Tells them; where that fails it leaves word for all, which takes about a lease."""

    members: IMembers
    ownership: Ownership
    peers: Peers
    clock: IReactorTime
    owed: Owed = field(init=False)
    _log = Logger()

    @owed.default
    def _owing(self) -> Owed:
        return Owed(self.members.mark, self.clock)

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
                self.owed.add(path)
                raise Unavailable(path, "it is written, and not every worker can be told") from None

    async def _told(self, path: str, store: str) -> set[str] | None:
        """The rings of those that know now; None if somebody could not be told.

        While this worker is not certain it may have been taken for gone, alone or together with others, and what they owned be another's
        since. So all that it knows of are told, and somebody has to answer.
        """
        witnesses = self.ownership.witnesses(path)
        if witnesses is None:
            return None
        certain = self.members.is_certain() or not self.members.leased
        told = {self.members.me.worker, *(one.worker for one in witnesses)}
        others = [] if certain else [one for one in self.members.live if one.worker not in told]
        if len(others) > MOST_TOLD:
            return None
        asked = [self._forgotten(one, path, store, None) for one in witnesses]
        asked += [self._forgotten(one, path, store, "") for one in others]  # where nobody is, nobody remembers anything
        rings = [ring for _, ring in await DeferredList([Deferred.fromCoroutine(one) for one in asked])]
        known = {ring for ring in rings if ring}
        if None in rings or not (certain or known or self.members.is_alone()):
            return None
        return known

    async def _forgotten(self, other: Member, path: str, store: str, absent: str | None) -> str | None:
        """The ring that it knows of; ``absent`` if nobody is there, and None if it could not be told."""
        try:
            return await self.peers.forget(other, path, store)
        except PeerAbsent:
            return absent
        except (PeerFailed, StorageError):
            return None
        except Exception:  # noqa: BLE001  # whatever it was, nobody may take it for a word of the owner
            self._log.failure("{worker} could not be told of a change", worker=other.worker)
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

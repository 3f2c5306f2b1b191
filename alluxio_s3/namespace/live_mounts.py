"""Mounts that come and go while the daemon runs: what the mount table says becomes what the namespace has.

A mount that was removed disappears at once, and its under-store is let go of when every request has ended that began before. One
that was changed gets a new store, and the old one serves until that is set up. One that cannot be set up is there and broken, and
is tried again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Protocol

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredLock
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from alluxio_s3.interfaces import IMountTable, IUnderFileSystem
from alluxio_s3.namespace.mounts import Mounted, Namespace
from alluxio_s3.storage import Mount, StorageError

FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 60.0
TABLE_RETRY_SECONDS = 10.0
# How long an under-store may take to let go of what it holds.
CLOSE_SECONDS = 5.0
# How long a mount may take to be set up before it is shown as one that is not.
SET_UP_SECONDS = 2.0
_NOT_YET = "it is being set up"


@frozen(eq=False)
class Store:
    """An under-store that was built for one mount. ``ended`` is called once, when it is closed or has hung in closing."""

    ufs: IUnderFileSystem
    ended: Callable[[], None]


class StoreBuilder(Protocol):
    """Builds the under-store of a mount.

    Raises an Exception whose message is for the operator and shows no secrets. Only with ``at_leisure`` may it wait.
    """

    def __call__(self, mount: Mount, *, at_leisure: bool) -> Coroutine[Deferred[Any], Any, Store]:
        """A new one."""


@define(eq=False)
class _Held:
    """A mount of the table, and how far it has come. Until it is ``shown``, ``before`` serves in its place."""

    mount: Mount
    before: _Held | None = None
    shown: bool = False
    store: Store | None = None
    trouble: str = _NOT_YET
    failures: int = 0
    building: Deferred[None] | None = None
    retry: IDelayedCall | None = None
    late: IDelayedCall | None = None

    @property
    def visible(self) -> _Held | None:
        """What of it clients see."""
        return self if self.shown else self.before

    def serves(self, mount: Mount) -> bool:
        """Whether the store for this mount is as good for ``mount``."""
        return self.mount.uri == mount.uri and dict(self.mount.options) == dict(mount.options)


@define(eq=False)
class LiveMounts:
    """Keeps the mounts of ``namespace`` as ``table`` has them. ``build`` makes their under-stores; ``first`` was in the table lately."""

    namespace: Namespace
    table: IMountTable
    build: StoreBuilder
    clock: IReactorTime
    first: Sequence[Mount] = ()
    _held: dict[str, _Held] = field(factory=dict, init=False)
    _stores: set[Store] = field(factory=set, init=False)
    _turn: DeferredLock = field(factory=DeferredLock, init=False)
    _unwatch: Callable[[], None] | None = field(default=None, init=False)
    _again: IDelayedCall | None = field(default=None, init=False)
    _departing: set[Deferred[None]] = field(factory=set, init=False)
    _complaint: str = field(default="", init=False)
    _closed: bool = field(default=False, init=False)
    _log = Logger()

    def start(self) -> None:
        """Set up what was in the table, and follow it from now on. What can't be set up is broken, and nothing is raised."""
        for mount in self.first:
            self._add(mount, None, at_leisure=False)
        self._unwatch = self.table.watch(self.look)
        self.look()

    async def close(self) -> None:
        """Follow no more, and let go of every mount. Called when no request is in progress."""
        self._closed = True
        if self._unwatch is not None:
            self._unwatch()
        _cancel(self._again)
        held, self._held = self._held, {}
        for one in held.values():
            _give_up(one)
        self._publish()
        for waiting in list(self._departing):
            waiting.cancel()
        await DeferredList([Deferred.fromCoroutine(self._let_go(store)) for store in list(self._stores)])

    def look(self) -> None:
        """See what the table says now, without waiting for it to change."""
        looked = Deferred.fromCoroutine(self._apply())
        looked.addErrback(lambda reason: self._log.failure("The mount table could not be followed", reason))  # type: ignore[unused-awaitable]

    async def _apply(self) -> None:
        await self._turn.acquire()
        try:
            wanted = {mount.path: mount for mount in await self.table.mounts()}
        except StorageError as problem:
            if not self._closed:
                self._complain(str(problem))
                _cancel(self._again)
                self._again = self.clock.callLater(TABLE_RETRY_SECONDS, self.look)
            return
        finally:
            self._turn.release()
        if self._closed:
            return
        self._complaint = ""
        gone = [self._held.pop(path) for path in list(self._held) if path not in wanted]
        for mount in wanted.values():
            held = self._held.get(mount.path)
            if held is not None and held.serves(mount):
                held.mount = mount
            else:
                self._add(mount, held, at_leisure=True)
        self._publish()
        for one in gone:
            self._log.info("{path} is mounted no more", path=one.mount.path)
            for held in (one, one.before):
                self._retire(held)

    def _complain(self, problem: str) -> None:
        if problem != self._complaint:
            self._complaint = problem
            self._log.error("{problem}; the mounts stay as they are", problem=problem)

    def _publish(self) -> None:
        self.namespace.mounts = {
            one.mount.bucket: Mounted(one.mount.uri, one.store.ufs if one.store else None, one.mount.since_ns, one.trouble)
            for one in (held.visible for held in self._held.values())
            if one is not None
        }

    def _add(self, mount: Mount, old: _Held | None, *, at_leisure: bool) -> None:
        held = self._held[mount.path] = _Held(mount, old.visible if old else None)
        if old is not None and not old.shown:
            self._retire(old)
        held.late = self.clock.callLater(SET_UP_SECONDS, self._show, held)
        self._set_up(held, at_leisure=at_leisure)

    def _show(self, held: _Held) -> None:
        """Have clients see it as it is now, and no more what it takes the place of."""
        _cancel(held.late)
        held.shown = True
        self._publish()
        before, held.before = held.before, None
        self._retire(before)

    def _set_up(self, held: _Held, *, at_leisure: bool = True) -> None:
        held.retry = None
        building = Deferred.fromCoroutine(self._build(held, at_leisure=at_leisure))
        held.building = None if building.called else building
        building.addErrback(self._unexpected)  # type: ignore[unused-awaitable]  # it goes on by itself

    def _unexpected(self, reason: Failure) -> None:
        if not reason.check(CancelledError):
            self._log.failure("A mount could not be set up", reason)

    async def _build(self, held: _Held, *, at_leisure: bool) -> None:
        mount = held.mount
        try:
            store = await self.build(mount, at_leisure=at_leisure)
        except CancelledError:
            raise
        except Exception as problem:  # noqa: BLE001  # whatever is wrong with one mount, the others are served
            held.building = None
            self._fail(held, str(problem) or type(problem).__name__)
            return
        self._stores.add(store)
        held.building = None
        held.store, held.trouble, held.failures = store, "", 0
        self._log.info("Mounted {uri} at {path}", uri=mount.uri, path=mount.path)
        self._show(held)

    def _fail(self, held: _Held, trouble: str) -> None:
        delay = min(FIRST_RETRY_SECONDS * 2.0**held.failures, LAST_RETRY_SECONDS)
        held.failures = min(held.failures + 1, 10)
        held.retry = self.clock.callLater(delay, self._set_up, held)
        if trouble != held.trouble:
            held.trouble = trouble
            self._log.warn("{path} is broken: {trouble}; it will be tried again", path=held.mount.path, trouble=trouble)
            self._show(held)

    def _retire(self, held: _Held | None) -> None:
        if held is None:
            return
        _give_up(held)
        if held.store is not None:
            waiting = Deferred.fromCoroutine(self._outlast(held.store))
            self._departing.add(waiting)
            waiting.addErrback(self._unexpected)  # type: ignore[unused-awaitable]  # it goes on by itself
            waiting.addBoth(lambda _: self._departing.discard(waiting))  # type: ignore[unused-awaitable]

    async def _outlast(self, store: Store) -> None:
        await self.namespace.visits.departed()
        await self._let_go(store)

    async def _let_go(self, store: Store) -> None:
        if store not in self._stores:
            return
        self._stores.discard(store)
        closing = Deferred.fromCoroutine(self.namespace.let_go(store.ufs))
        try:
            await closing.addTimeout(CLOSE_SECONDS, self.clock)
        except Exception as problem:  # noqa: BLE001  # it is gone all the same
            self._log.warn("An under-store did not close: {problem}", problem=f"{type(problem).__name__}: {problem}")
        finally:
            store.ended()


def _give_up(held: _Held) -> None:
    _cancel(held.retry)
    _cancel(held.late)
    if held.building is not None:
        held.building.cancel()


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None:
        with suppress(AlreadyCalled, AlreadyCancelled):
            call.cancel()

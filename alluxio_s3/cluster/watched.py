"""What is under a prefix of etcd, followed: one list and one watch for all who want to know of a part of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from alluxio_s3.cluster.etcd import Etcd
from alluxio_s3.cluster.etcd_words import Entry, EtcdError, Event

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 2.0

_log = Logger()


@define(eq=False)
class WatchedPrefix:
    """The entries under ``prefix``, by what follows it. While etcd is away they are what they were.

    Nothing is patched blindly: whenever the watch has ended, for whatever reason, everything is listed again and compared.
    """

    etcd: Etcd
    prefix: str
    clock: Any
    entries: dict[str, Entry] = field(factory=dict, init=False)
    # At which revision ``entries`` are; 0: etcd has not been heard of yet.
    revision: int = field(default=0, init=False)
    # Whether changes are being told of, for all that is known.
    following: bool = field(default=False, init=False)
    # Whether etcd has lost its data since, or been given older ones: what is not there may not have been taken away by anybody.
    lost: bool = field(default=False, init=False)
    _told: list[tuple[str, Callable[[Collection[str]], None]]] = field(factory=list, init=False)
    _work: Deferred[None] | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)
    _first: list[Deferred[None]] = field(factory=list, init=False)

    def subscribe(self, under: str, changed: Callable[[Collection[str]], None]) -> Callable[[], None]:
        """Have ``changed`` called with the keys under ``under`` that are other than they were. Returns what ends that."""
        entry = (under, changed)
        self._told.append(entry)

        def end() -> None:
            if entry in self._told:
                self._told.remove(entry)

        return end

    def under(self, part: str) -> Mapping[str, Entry]:
        """The entries whose key begins with ``part``, by what follows that."""
        return {key.removeprefix(part): entry for key, entry in self.entries.items() if key.startswith(part)}

    def start(self) -> None:
        """Begin to follow. It never ends by itself."""
        self._stopped = False
        self._work = Deferred.fromCoroutine(self._follow()).addErrback(_ended)

    async def listed(self, seconds: float) -> bool:
        """Return when all has been listed once, or ``seconds`` have passed; whether it has."""
        if not self.revision:
            waiting: Deferred[None] = Deferred()
            self._first.append(waiting)
            timer = self.clock.callLater(seconds, waiting.callback, None)
            try:
                await waiting
            finally:
                if timer.active():
                    timer.cancel()
                if waiting in self._first:
                    self._first.remove(waiting)
        return bool(self.revision)

    def stop(self) -> None:
        """Follow no more."""
        self.following = False
        self._stopped = True
        self._told.clear()
        if self._work is not None:
            self._work.cancel()

    async def _follow(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        trouble = ""
        while not self._stopped:
            try:
                found = await self.etcd.list(self.prefix)
                self._list({entry.key: entry for entry in found.entries}, found.revision)
                if trouble:
                    _log.info("etcd answers again")
                self.following, trouble, pause = not self._stopped, "", FIRST_PAUSE_SECONDS
                if self._stopped:  # by somebody who was told
                    break
                await self.etcd.watch(self.prefix, found.revision + 1, self._apply)
            except EtcdError as problem:
                if not self.following and str(problem) != trouble:
                    trouble = str(problem)
                    _log.warn("{problem}; what it said before holds on", problem=problem)
                self.following = False
            except CancelledError:
                raise
            except Exception:  # noqa: BLE001  # whatever it was, such as no memory: there may be some the next time
                _log.failure("etcd could not be followed; all is listed again")
                self.following = False
            await deferLater(self.clock, pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _list(self, found: Mapping[str, Entry], revision: int) -> None:
        now = {key.removeprefix(self.prefix): entry for key, entry in found.items()}
        changed = {key for key in now.keys() | self.entries.keys() if now.get(key) != self.entries.get(key)}
        self.lost = self.lost or revision < self.revision
        self.entries, self.revision = now, revision
        self._tell(changed)
        waiting, self._first = self._first, []
        for one in waiting:
            one.callback(None)

    def _apply(self, events: Sequence[Event], revision: int) -> None:
        for event in events:
            key = event.key.removeprefix(self.prefix)
            if event.value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = event.entry
        self.revision = max(self.revision, revision)
        self._tell({event.key.removeprefix(self.prefix) for event in events})

    def _tell(self, keys: Collection[str]) -> None:
        for under, changed in tuple(self._told):
            own = {key for key in keys if key.startswith(under)}
            if own:
                try:
                    changed(own)
                except Exception:  # noqa: BLE001  # one who fails must not keep others from knowing
                    _log.failure("Who was told of a change in etcd has failed")


def _ended(reason: Any) -> None:
    if not reason.check(CancelledError):
        _log.failure("etcd is followed no more", reason)

"""A worker's own place among the members: its key, the lease that it is under, and how long that is certainly valid.

The lease is renewed in rounds. A round sends the renewal, then in one step of etcd makes sure that the key is still this worker's and
reads the marks that others have left. Only when what is marked has been forgotten is the worker certain, and only until the lease that
was asked for when the round began must have ended by any clock; and only if it knows of everybody who is there, as that step of etcd says:
not to be told any more who comes and goes is to be cut off, too. So a worker that was stopped, or cut off, is not certain any more
before anybody who has left a mark goes on, whatever it believes.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from alluxio_s3.cluster.etcd import Etcd
from alluxio_s3.cluster.etcd_words import Entry, EtcdError, EtcdRefused, Outcome, get_of, list_of, names_of, unchanged

# What is marked stays so long at least: longer than any lease that is still renewed in rounds.
MARKED_SECONDS = 60
# How soon a worker whose key is gone tries to have it again.
AGAIN_SECONDS = 0.1
# How long news of a member may be on their way: it is looked after each of these.
FOLLOW_SECONDS = (0.01, 0.05, 0.3)
# Everything, as a path that is marked.
EVERYTHING = ""

# A revision that no store comes to.
_NEVER = 1 << 62

# What is done with a path that is marked; when that has come about, nothing of it is remembered.
Forget = Callable[[str], Awaitable[None] | None]

_log = Logger()


@define(eq=False)
class Registration:
    """Keeps ``value`` at ``key``, under a lease of ``ttl`` seconds. Marks are under ``marks``, those of this process under ``mine`` there.

    ``now`` tells seconds by a clock that runs while the machine sleeps. ``prepare`` is awaited before each time that the key is put.
    Who is there is under ``workers``, and ``knows`` tells whether this worker has heard of keys that were changed there, and how many
    there are; ``followed`` is the revision up to which it has heard of changes.
    """

    etcd: Etcd
    clock: Any
    now: Callable[[], float]
    key: str
    value: bytes
    ttl: int
    marks: str
    mine: str
    prepare: Callable[[], Awaitable[None]]
    workers: str
    knows: Callable[[Collection[Entry], int], bool]
    followed: Callable[[], int]
    # Until when this worker is certain, and when etcd was last heard of, by ``now``.
    certain_until: float = field(default=-math.inf, init=False)
    heard: float = field(default=-math.inf, init=False)
    trouble: str = field(default="etcd has not been asked yet", init=False)
    forgetful: list[Forget] = field(factory=list, init=False)
    _lease: int = field(default=0, init=False)
    _granted: int = field(default=0, init=False)
    _revision: int = field(default=0, init=False)
    _seen: int = field(default=0, init=False)
    # Of which data of etcd that revision is: their name, and the term.
    _data: tuple[int, int] = field(default=(0, 0), init=False)
    _mark_lease: tuple[int, float] = field(default=(0, -math.inf), init=False)
    _work: Deferred[None] | None = field(default=None, init=False)
    _first: list[Deferred[None]] = field(factory=list, init=False)
    _ended: bool = field(default=False, init=False)
    _resting: Deferred[None] | None = field(default=None, init=False)

    @property
    def registered(self) -> bool:
        """Whether the key is there, as far as is known."""
        return bool(self._lease)

    def is_certain(self) -> bool:
        """See ``IMembers``."""
        return self.now() < self.certain_until

    async def start(self) -> None:
        """Begin the rounds. Returns after the first, whether it went well or not."""
        tried: Deferred[None] = Deferred()
        self._first.append(tried)
        self._work = Deferred.fromCoroutine(self._rounds()).addErrback(_failed)
        await tried

    async def stop(self) -> None:
        """End the rounds, and be gone for everybody at once."""
        self.abandon()
        lease, self._lease = self._granted, 0
        if lease and self.now() - self.heard < self.ttl:  # otherwise it has ended, or etcd would not hear
            try:
                await self.etcd.revoke(lease)
            except EtcdError as problem:
                _log.warn("The others learn late that this worker stops: {problem}", problem=problem)

    def hurry(self) -> None:
        """Have the next round at once: the key is gone, as far as others see."""
        if self._resting is not None and not self._resting.called:
            self._resting.callback(None)

    def abandon(self) -> None:
        """End the rounds. For the others this worker is there until its lease has ended."""
        self.certain_until = -math.inf
        self._ended = True
        if self._work is not None:
            self._work.cancel()

    async def mark(self, path: str, seconds: float) -> None:
        """Leave word that ``path`` has changed, and return when that is ``seconds`` ago. Raises Unavailable."""
        lease = await self._lease_of_marks()
        try:
            await self.etcd.put(self.mine + path, b"", lease)
        except EtcdRefused:  # it has lost its data, and knows no such lease
            self._mark_lease = (0, -math.inf)
            await self.etcd.put(self.mine + path, b"", await self._lease_of_marks())
        end = self.now() + seconds
        while (left := end - self.now()) > 0:
            await deferLater(self.clock, min(left, 0.5))

    async def _lease_of_marks(self) -> int:
        lease, granted = self._mark_lease
        if self.now() - granted > MARKED_SECONDS:
            granted = self.now()
            lease = await self.etcd.grant(2 * MARKED_SECONDS + self.ttl)
            self._mark_lease = (lease, granted)
        return lease

    async def _rounds(self) -> None:
        while not self._ended:  # whoever is told of something may end it
            pause = self.ttl / 3
            try:
                await self._round()
            except CancelledError:
                raise
            except EtcdError as problem:
                self._say(str(problem))
                pause = min(1.0, pause)
            except Exception:  # noqa: BLE001  # whatever it was, the next round may be better; till then nothing is certain for long
                _log.failure("A round of the lease has failed")
                self._say("the lease could not be renewed")
                pause = min(1.0, pause)
            else:
                if self.registered:
                    self._say("")
                elif not self.trouble:  # it was taken for gone, or somebody has deleted its key
                    pause = AGAIN_SECONDS
            first, self._first = self._first, []
            for one in first:
                one.callback(None)
            if not self._ended:
                await self._rest(pause)

    async def _rest(self, seconds: float) -> None:
        self._resting = Deferred()
        timer = self.clock.callLater(seconds, self._resting.callback, None)
        try:
            await self._resting
        finally:
            self._resting = None
            if timer.active():
                timer.cancel()

    async def _round(self) -> None:
        sent = self.now()
        if self._lease and not await self.etcd.keep_alive(self._lease):
            self._lease, self.certain_until = 0, -math.inf
            _log.warn("This worker was taken for gone: it had not been heard of for {ttl} s", ttl=self.ttl)
        new = not self._lease
        if new and not await self._register():
            return
        since = _NEVER if new else self._seen + 1
        reads = [list_of(self.marks, since), names_of(self.workers, self.followed() + 1)]
        outcome = await self.etcd.transact([unchanged(self.key, self._revision)], reads, [get_of(self.key)])
        self.heard = self.now()
        if not outcome.held:
            self._lease, self.certain_until = 0, -math.inf
            return
        # What was remembered under another lease may have been marked, and the mark be gone; so may those that older data don't have.
        everything = new or self._is_older(outcome)
        await self.forget([EVERYTHING] if everything else [path for one in outcome.found[0] if (path := self._path(one.key)) is not None])
        self._seen, self._data = outcome.revision, (outcome.cluster, outcome.term)
        if not await self._is_followed(outcome):
            return
        if not self._ended:
            self.certain_until = sent + self.ttl - max(0.5, self.ttl / 10)

    def _is_older(self, outcome: Outcome) -> bool:
        """Whether etcd has been given older data since the last round: a copy of before."""
        cluster, term = self._data
        return outcome.revision < self._seen or (bool(cluster) and (outcome.cluster != cluster or outcome.term < term))

    async def _is_followed(self, outcome: Outcome) -> bool:
        """Whether this worker knows who was there; what has just happened may take a moment to come. If not, all are listed again."""
        for seconds in FOLLOW_SECONDS:
            if self.knows(outcome.found[1], outcome.counts[1]):
                return True
            await deferLater(self.clock, seconds)
        _log.warn("This worker is not told any more who comes and goes: it asks anew")
        self.etcd.watch_anew()
        return False

    async def forget(self, paths: list[str]) -> None:
        """Have everything of ``paths`` forgotten."""
        for path in paths:
            for forget in self.forgetful:
                waiting = forget(path)
                if waiting is not None:
                    await waiting

    def _path(self, key: str) -> str | None:
        """What is marked by ``key``; None if it was this process."""
        return None if key.startswith(self.mine) else key.removeprefix(self.marks).partition("/")[2]

    async def _register(self) -> bool:
        """Have the key under a new lease; False while another process has it."""
        await self.prepare()
        there = await self.etcd.get(self.key)
        self.heard = self.now()
        if there is not None and self._revision and there.value != self.value:
            self._say("another worker has this one's identity; each needs its own (alluxio.worker.identity.uuid)")
            return False
        self._granted = await self.etcd.grant(self.ttl)
        await self.forget([EVERYTHING])  # who has come has to know it before anybody else does
        self._revision = await self.etcd.put(self.key, self.value, self._granted)
        self._lease = self._granted
        return True

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            if trouble:
                _log.warn("{trouble}; this worker goes on with the members that it knows", trouble=trouble)
            else:
                _log.info("This worker is registered in etcd, under a lease of {ttl} s", ttl=self.ttl)
        self.trouble = trouble


def _failed(reason: Any) -> None:
    if not reason.check(CancelledError):
        _log.failure("The lease is renewed no more", reason)

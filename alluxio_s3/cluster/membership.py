"""Who is there, as etcd says: a key for each process of each worker, under a lease.

The keys are ``<prefix>workers/<worker>/<slot>``. The secret that members share is at ``<prefix>secret``, marks of what has changed
are under ``<prefix>marks/``.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, ClassVar

from attrs import define, evolve, field
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from alluxio_s3.cluster.etcd import Etcd
from alluxio_s3.cluster.etcd_words import Entry, get_of, put_of, unchanged
from alluxio_s3.cluster.owners import Owners, OwnersKnown
from alluxio_s3.cluster.registration import Forget, Registration
from alluxio_s3.cluster.roster import Roster
from alluxio_s3.cluster.watched import WatchedPrefix
from alluxio_s3.interfaces import IMembers, Member
from alluxio_s3.storage import Unavailable

WORKERS, MARKS, SECRET = "workers/", "marks/", "secret"
SECRET_BYTES = 32
# How long the first list of members may take before this worker begins without.
FIRST_LIST_SECONDS = 2.0
PROBE_SECONDS = 1.0
# etcd makes longer any lease that is shorter.
LEAST_TTL = 2
MAX_PORT = 65535

_log = Logger()

# Asks a worker itself whether it is there. Raises nothing but CancelledError.
Probe = Callable[[Member], Awaitable[bool]]


def encode(member: Member, ttl: int) -> bytes:
    """What is at the key of a process of ``member``."""
    document = {
        "boot": member.boot,
        "host": member.host,
        "http": member.http_port,
        "https": member.https_port,
        "peer": member.peer_port,
        "weight": member.weight,
        "ttl": ttl,
        "owners": member.owners,
    }
    return json.dumps(document).encode()


def decode(worker: str, value: bytes) -> tuple[Member, int]:
    """A member and its time to live. Raises ValueError."""
    try:
        document = json.loads(value)
        ports = [document[name] for name in ("http", "https", "peer")]
        good = all(port is None or (type(port) is int and 0 < port <= MAX_PORT) for port in ports)
        boot, host, weight, ttl = (document[name] for name in ("boot", "host", "weight", "ttl"))
        owners = document.get("owners", 1)  # who says nothing of it knows of one
        good = good and type(owners) is int and owners > 0
    except (ValueError, TypeError, KeyError, RecursionError):
        good = False
    if not good or not isinstance(boot, str) or not isinstance(host, str) or type(ttl) is not int or not isinstance(weight, int | float):
        raise ValueError(f"what is registered for {worker[:100]!r} is no worker")
    return Member(worker, boot, host, ports[0], ports[1], ports[2], float(weight), owners), ttl


@implementer(IMembers)
@define(eq=False)
class EtcdMembers(OwnersKnown):
    """``me`` and whoever else is under ``watched``; ``slot`` is the number of this process of the worker. ``now`` tells seconds by a
    clock that runs while the machine sleeps. ``shared`` is the secret, if it is not kept in etcd.
    """

    leased: ClassVar[bool] = True
    me: Member
    slot: int
    etcd: Etcd
    watched: WatchedPrefix
    clock: Any
    now: Callable[[], float]
    ttl: int
    probe: Probe
    shared: bytes | None = field(default=None, repr=False)
    _owners: Owners = field(init=False)
    _roster: Roster = field(init=False)
    _registration: Registration = field(init=False)
    _longest: int = field(default=0, init=False)
    # Which start of each worker has registered it, and at which revision of etcd.
    _births: dict[str, tuple[str, int]] = field(factory=dict, init=False)
    # Whether there was ever anybody else.
    _met: bool = field(default=False, init=False)
    _probing: Deferred[None] | None = field(default=None, init=False)
    _secret: bytes = field(factory=lambda: secrets.token_bytes(SECRET_BYTES), init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Nobody else is known till ``start``."""
        self.ttl = max(self.ttl, LEAST_TTL)
        self._owners = Owners(self.me, self.now)
        self._roster = Roster(self.ttl)
        marks = self.watched.prefix + MARKS
        self._registration = Registration(
            etcd=self.etcd,
            clock=self.clock,
            now=self.now,
            key=f"{self.watched.prefix}{WORKERS}{self.me.worker}/{self.slot}",
            value=b"",
            ttl=self.ttl,
            marks=marks,
            mine=f"{marks}{self.me.worker}.{self.slot}/",
            prepare=self._agree,
            workers=self.watched.prefix + WORKERS,
            knows=self._knows,
            followed=lambda: self.watched.revision,
        )
        self.watched.subscribe(WORKERS, self._workers_changed)
        self.watched.subscribe(MARKS, self._marks_changed)
        self.watched.subscribe(SECRET, lambda _: self._take_secret(self.watched.entries.get(SECRET)))

    async def start(self, http_port: int | None, https_port: int | None, peer_port: int | None) -> None:
        """Be there for the others, at these ports. Returns when that is so, or etcd has not answered; then it comes about when it does."""
        self.me = self._owners.me = evolve(self.me, http_port=http_port, https_port=https_port, peer_port=peer_port)
        self._registration.value = encode(self.me, self.ttl)
        self._show()
        await self.watched.listed(FIRST_LIST_SECONDS)
        await self._registration.start()

    async def stop(self) -> None:
        """Be gone for the others at once."""
        if self._probing is not None:
            self._probing.cancel()
        await self._registration.stop()

    @property
    def secret(self) -> bytes:
        """See ``IMembers``. It may change: while etcd has not been heard of it is nobody else's."""
        return self._secret if self.shared is None else self.shared

    @property
    def frozen(self) -> bool:
        """Whether members are kept of whom etcd says nothing."""
        return bool(self._roster.doubted) or not self.watched.following

    @property
    def trouble(self) -> str:
        """Why this worker is not registered; empty if it is."""
        return self._registration.trouble

    @property
    def lease_age(self) -> float:
        """How many seconds ago etcd was heard of; infinite if it never was."""
        return self.now() - self._registration.heard

    def is_certain(self) -> bool:
        """See ``IMembers``."""
        return self._registration.is_certain()

    def is_alone(self) -> bool:
        """See ``IMembers``."""
        return not self._met and bool(self.watched.revision)

    async def mark(self, path: str) -> None:
        """See ``IMembers``."""
        await self._registration.mark(path, max(self.ttl, self._longest) + 1.0)

    def on_mark(self, forget: Forget) -> None:
        """See ``IMembers``."""
        self._registration.forgetful.append(forget)

    def _knows(self, changed: Collection[Entry], count: int) -> bool:
        """Whether ``changed`` are known here as they are, and as many as are there."""
        entries = self.watched.entries
        known = (entries.get(one.key.removeprefix(self.watched.prefix)) for one in changed)
        return len(self.watched.under(WORKERS)) == count and all(
            mine is not None and mine.changed >= one.changed for mine, one in zip(known, changed, strict=True)
        )

    def _workers_changed(self, keys: Collection[str]) -> None:
        members, births, self._longest = _members(self.watched.under(WORKERS))
        before = self._births
        anew = {
            worker for worker, (boot, at) in births.items() if worker in before and before[worker][0] == boot and before[worker][1] != at
        }
        self._roster.see(members, self.now(), anew)
        self._births = {worker: birth for worker, birth in (self._births | births).items() if worker in self._roster.live}
        self._show()
        if self._registration.registered and f"{WORKERS}{self.me.worker}/{self.slot}" in set(keys) - self.watched.entries.keys():
            self._registration.hurry()
        if self._roster.doubted and (self._probing is None or self._probing.called):
            self._probing = Deferred.fromCoroutine(self._ask_doubted()).addErrback(_probed)

    def _show(self) -> None:
        others = {worker: one for worker, one in self._roster.live.items() if worker != self.me.worker}
        self._met = self._met or bool(others)
        self._owners.show(others, self.watched.revision)

    async def _ask_doubted(self) -> None:
        _log.warn("{count} workers vanished at once: each is asked itself", count=len(self._roster.doubted))
        while self._roster.doubted:
            await deferLater(self.clock, self.ttl / 5)
            await DeferredList([Deferred.fromCoroutine(self._ask(member)) for member in tuple(self._roster.doubted.values())])
            self._show()

    async def _ask(self, member: Member) -> None:
        well = member.worker == self.me.worker
        if not well:
            try:
                well = await Deferred.fromCoroutine(_probe(self.probe, member)).addTimeout(PROBE_SECONDS, self.clock)
            except (TookTooLong, Unavailable):
                well = False
        self._roster.answered(member.worker, well=well)

    def _marks_changed(self, keys: Collection[str]) -> None:
        """Forget at once, too, what the next round would tell of."""
        own = f"{MARKS}{self.me.worker}.{self.slot}/"
        paths = [key.removeprefix(MARKS).partition("/")[2] for key in keys if key in self.watched.entries and not key.startswith(own)]
        if paths:
            _ = Deferred.fromCoroutine(self._registration.forget(paths)).addErrback(lambda reason: _log.failure("Not forgotten", reason))

    async def _agree(self) -> None:
        """Have the secret that the others have."""
        if self.shared is not None:
            return
        key = self.watched.prefix + SECRET
        made = secrets.token_bytes(SECRET_BYTES).hex().encode()
        outcome = await self.etcd.transact([unchanged(key, 0)], [put_of(key, made)], [get_of(key)])
        self._take_secret(Entry(key, made) if outcome.held else next(iter(outcome.found[0]), None))

    def _take_secret(self, entry: Entry | None) -> None:
        if entry is not None and len(entry.value) >= SECRET_BYTES:
            self._secret = entry.value


def _members(entries: Mapping[str, Entry]) -> tuple[dict[str, Member], dict[str, tuple[str, int]], int]:
    """The members by id, each as the first of its processes says; which start of each registered it, at which revision; the longest time
    to live.
    """
    found: dict[str, tuple[str, Member, int]] = {}
    longest = 0
    for key, entry in entries.items():
        worker, _, slot = key.rpartition("/")
        try:
            member, ttl = decode(worker, entry.value)
        except ValueError as problem:
            _log.warn("{problem}", problem=problem)
            continue
        longest = max(longest, ttl)
        if worker not in found or (len(slot), slot) < (len(found[worker][0]), found[worker][0]):
            found[worker] = (slot, member, entry.created)
    births = {worker: (member.boot, created) for worker, (_, member, created) in found.items()}
    return {worker: member for worker, (_, member, _) in found.items()}, births, longest


async def _probe(probe: Probe, member: Member) -> bool:
    return await probe(member)


def _probed(reason: Any) -> None:
    if not reason.check(CancelledError):
        _log.failure("Workers are asked no more", reason)

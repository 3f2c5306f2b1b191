"""How long what an under-store said of an object is believed, and what is remembered of it, for all processes."""

from __future__ import annotations

import time
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Generic, Literal, TypeVar

from attrs import evolve, frozen

from alluxio_s3.cache.keys import Known
from alluxio_s3.cache.store import PageStore
from alluxio_s3.storage import NoSuchPath, Provenance, Status, Unavailable
from alluxio_s3.threads import Threads

T = TypeVar("T")

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_MILLISECONDS_BITS = 40
_BOOT_BITS = 22


@frozen
class CachePolicy:
    """What a mount asks of the cache; times in seconds.

    ``freshness``: the store is asked at each read (``strong``), what it said is good for ``max_age``, or for ever (``immutable``).
    That there is nothing at a path is believed for ``negative_max_age``, a listing for ``listing_max_age``. While the store does not
    answer, what it said within the last ``stale_if_error``, beyond its time, is still good. ``pages``: which are kept: ``always`` all,
    ``never`` any, ``second_touch`` those of objects that were read before.
    """

    freshness: Literal["strong", "max_age", "immutable"] = "strong"
    max_age: float = 0
    negative_max_age: float = 0
    listing_max_age: float = 0
    stale_if_error: float = 0
    pages: Literal["always", "never", "second_touch"] = "always"


class Moments:
    """The time of this machine, the same to all its processes, which no setting of its clock moves; it goes on while it sleeps.

    A moment is a number: which start of the machine it is after, and the milliseconds since then (CLOCK_BOOTTIME of clock_gettime(2)).
    ``seconds`` is that clock, ``boot`` the name of that start.
    """

    def __init__(self, seconds: Callable[[], float] | None = None, boot: str | None = None) -> None:
        self._seconds = seconds or (lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
        name = Path(_BOOT_ID).read_text(encoding="ascii") if boot is None else boot
        self._boot = (zlib.crc32(name.encode()) & ((1 << _BOOT_BITS) - 1)) << _MILLISECONDS_BITS

    def now(self) -> int:
        """The moment that it is."""
        return self._boot | int(self._seconds() * 1000)

    def age(self, moment: int) -> float | None:
        """How many seconds ago that was; None when it was before the machine started."""
        passed = self.now() - moment
        return passed / 1000 if 0 <= passed < 1 << _MILLISECONDS_BITS else None


@frozen
class Looked(Generic[T]):
    """What a look at a path found: its Status, and the store's own answer if it was asked."""

    status: Status
    answer: T | None


class Memory:
    """What is remembered of the paths of the under-store ``identity``, as ``policy`` has it."""

    def __init__(self, identity: str, store: PageStore, threads: Threads, policy: CachePolicy, moments: Moments) -> None:
        self._identity = identity
        self._store = store
        self._threads = threads
        self._policy = policy
        self._moments = moments
        # In strong mode what the store said is of use only when it is silent.
        self._learns = policy.freshness != "strong" or policy.stale_if_error > 0
        # How old what is remembered of a path may be, whatever the policy says; see IRemembering.
        self.limit: Callable[[str], float] | None = None

    def recall(self, path: str) -> Known | None:
        """What is remembered. For the reactor's thread."""
        return self._store.recall(self._identity, path)

    def age(self, known: Known) -> float | None:
        """How many seconds ago the store said so, None if nobody can tell."""
        return self._moments.age(known.checked_ns)

    def is_fresh(self, known: Known) -> bool:
        """Whether that can be given without asking the store."""
        if known.status is None:
            return bool(known.checked_ns) and self._within(known, self._policy.negative_max_age)
        if self._policy.freshness == "immutable":
            return True
        return self._policy.freshness == "max_age" and self._within(known, self._policy.max_age)

    def fresh_for(self) -> int | None:
        """For how long what the store said of an object can be given without asking it, in milliseconds; None: for ever."""
        return None if self._policy.freshness == "immutable" else int(self._policy.max_age * 1000)

    async def look(self, path: str, ask: Callable[[str], Awaitable[T]], status_of: Callable[[T], Status]) -> Looked[T]:
        """The Status of ``path``, with its provenance: what is remembered, or else what ``ask`` answers, which is remembered.

        Raises NoSuchPath, which may be remembered too, and what ``ask`` raises.
        """
        known = self.recall(path)
        if known is not None and self.is_fresh(known) and self._counts(path, known):
            if known.status is None:
                raise NoSuchPath(path)
            return Looked(self.remembered(known, known.status), None)
        asked = self._moments.now()
        try:
            answer = await ask(path)
        except NoSuchPath:
            if self._policy.negative_max_age:
                await self._learn(path, known, None, asked)
            raise
        except Unavailable:
            if known is None or known.status is None or not self._bridges(known):
                raise
            return Looked(self.remembered(known, known.status, unreachable=True), None)
        status = status_of(answer)
        seen = known is not None and known.status is not None
        stored = self._learns and await self._learn(path, known, status, asked)
        same = seen and known is not None and known.status is not None and known.status.validator == status.validator
        provenance = Provenance("stale" if seen else "uri-miss", validated=same, stored=stored)
        return Looked(evolve(status, provenance=provenance), answer)

    def remembered(self, known: Known, status: Status, *, unreachable: bool = False) -> Status:
        """The Status of what is remembered, with its age."""
        age = self.age(known)
        return evolve(status, provenance=Provenance(age=None if age is None else int(age), unreachable=unreachable))

    async def forget(self, path: str) -> None:
        """Remember nothing of ``path``, in any process, nor what the store was asked before now.

        The folders above it may have come or gone with it.
        """
        paths = [path]
        slash = path.rstrip("/").rfind("/")
        while slash >= 0:
            known = self.recall(path[: slash + 1])
            if known is not None and known.checked_ns:
                paths.append(path[: slash + 1])
            slash = path.rfind("/", 0, slash)
        await self._threads.run(self._forget, paths)

    def _forget(self, paths: list[str]) -> None:
        for path in paths:
            self._store.forget(self._identity, path)

    async def _learn(self, path: str, known: Known | None, status: Status | None, asked: int) -> bool:
        if known is None:
            return False
        return await self._threads.run(self._store.learn, self._identity, path, known.generation, status, asked)

    def _within(self, known: Known, seconds: float) -> bool:
        age = self.age(known)
        return age is not None and age <= seconds

    def _counts(self, path: str, known: Known) -> bool:
        """Whether it is not older than may be. Moments are whole milliseconds, so it may be one older than it looks."""
        return self.limit is None or self._within(known, self.limit(path) - 0.001)

    def _bridges(self, known: Known) -> bool:
        """Whether that is still good while the store does not answer."""
        if not self._policy.stale_if_error:
            return False
        return self._within(known, self._policy.max_age + self._policy.stale_if_error)

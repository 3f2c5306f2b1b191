"""Small objects that were read lately, for the short way of a request: one page, open, and what is remembered of its path."""

from __future__ import annotations

from collections import OrderedDict

from zope.interface import classImplements, implementer

from alluxio_s3.cache.figures import UNCOUNTED, MountFigures
from alluxio_s3.cache.freshness import Memory, Moments
from alluxio_s3.cache.keys import Known, version_key
from alluxio_s3.cache.page import Page
from alluxio_s3.cache.store import PageStore
from alluxio_s3.interfaces import IHotObject, IHotObjects
from alluxio_s3.storage import Status

CAPACITY = 16384


class HotObject:
    """An object in one page, for all its readers of one second: its age is in ``status``. What they rendered is that of all seconds.

    It provides IHotObject. Its methods are the page's own, since each of them is called for every request.
    """

    __slots__ = ("check_unchanged", "fileno", "is_current", "known", "release", "rendered", "second", "state", "status", "take")

    def __init__(self, page: Page, known: Known, state: bytes, second: int, status: Status, rendered: dict[object, object]) -> None:
        self.known = known
        # What the store's state was before it was asked what is known.
        self.state = state
        self.second = second
        self.status = status
        self.rendered = rendered
        self.take = page.take
        self.fileno = page.fileno
        self.check_unchanged = page.check_unchanged
        # What is remembered was looked at when this was found, in the same turn of the reactor.
        self.is_current = page.is_proven
        self.release = page.release


classImplements(HotObject, IHotObject)


@implementer(IHotObjects)
class HotObjects:
    """Opens them, by path, for the under-store ``identity``. For the reactor's thread."""

    def __init__(
        self, identity: str, store: PageStore, memory: Memory, moments: Moments, figures: MountFigures = UNCOUNTED, capacity: int = CAPACITY
    ) -> None:
        self._identity = identity
        self._store = store
        self._memory = memory
        self._recall = memory.recall
        self._state = store.state
        self._now = moments.now
        self._fresh_for = memory.fresh_for()
        # See IRemembering; it is set before the first object is asked for.
        self._limit = memory.limit
        self._capacity = capacity
        self._hits = figures.reads("hit")
        self._given = figures.from_disk
        self._objects: OrderedDict[str, HotObject] = OrderedDict()

    def hot(self, path: str) -> HotObject | None:
        """See IHotObjects."""
        found = self._objects.get(path)
        if found is None:
            return self._open(path)
        state = self._state()
        if state != found.state:
            if self._recall(path) is not found.known:
                return self._open(path)
            found.state = state
        known = found.known
        age = self._now() - known.checked_ns
        if self._fresh_for is not None and not 0 <= age <= self._fresh_for:
            return None
        if self._limit is not None and age >= self._limit(path) * 1000 - 1:  # it may be a millisecond older than it looks
            return None
        # An answer of the same second is the same; and once a second the store gets to know that the page is read.
        if age // 1000 != found.second or not found.take():
            return self._open(path)
        self._count(found)
        return found

    def _count(self, found: HotObject) -> None:
        self._hits.add()
        self._given.add(found.status.size)

    def _open(self, path: str) -> HotObject | None:
        """The same with all that has to be looked at."""
        limit = None if self._limit is None else self._limit(path)
        if limit is not None and limit <= 0:
            return None
        state = self._state()
        known = self._recall(path)
        if known is None or known.status is None or not self._memory.is_fresh(known):
            return None
        if limit is not None and not 0 <= self._now() - known.checked_ns < limit * 1000 - 1:
            return None
        if not 0 < known.status.size <= self._store.page_bytes:
            return None
        page = self._store.hot(version_key(self._identity, path, known.status.validator), 0)
        if page is None:
            self._objects.pop(path, None)
            return None
        second = (self._now() - known.checked_ns) // 1000
        before = self._objects.get(path)
        rendered = before.rendered if before is not None and before.known is known else {}
        status = self._memory.remembered(known, known.status)
        found = self._objects[path] = HotObject(page, known, state, second, status, rendered)
        self._objects.move_to_end(path)
        if len(self._objects) > self._capacity:
            self._objects.popitem(last=False)
        self._count(found)
        return found

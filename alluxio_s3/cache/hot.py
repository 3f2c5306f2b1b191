"""Small objects that were read lately, for the short way of a request: one page, open, and what is remembered of its path."""

from __future__ import annotations

from collections import OrderedDict

from attrs import define, field
from zope.interface import implementer

from alluxio_s3.cache.freshness import Memory
from alluxio_s3.cache.keys import Known, version_key
from alluxio_s3.cache.page import Page
from alluxio_s3.cache.store import PageStore
from alluxio_s3.interfaces import IHotObject, IHotObjects
from alluxio_s3.storage import ObjectChanged, Status

CAPACITY = 16384


@define(eq=False)
class Remembered:
    """What is remembered of a path, as answers tell it. Its age is in ``status`` and in what was rendered of it: they are of ``second``."""

    known: Known
    version: bytes
    second: int = -1
    status: Status | None = None
    rendered: dict[object, object] = field(factory=dict)


@implementer(IHotObjects)
class HotObjects:
    """Opens them, by path, for the under-store ``identity``. For the reactor's thread."""

    def __init__(self, identity: str, store: PageStore, memory: Memory, capacity: int = CAPACITY) -> None:
        self._identity = identity
        self._store = store
        self._memory = memory
        self._capacity = capacity
        self._remembered: OrderedDict[str, Remembered] = OrderedDict()

    def hot(self, path: str) -> HotObject | None:
        """See IHotObjects."""
        known = self._memory.recall(path)
        if known is None or known.status is None or not self._memory.is_fresh(known):
            return None
        if not 0 < known.status.size <= self._store.page_bytes:
            return None
        remembered = self._remember(path, known, known.status)
        page = self._store.hot(remembered.version, 0)
        if page is None:
            return None
        age = self._memory.age(known)
        second = -1 if age is None else int(age)
        if remembered.status is None or remembered.second != second:
            remembered.second = second
            remembered.status = self._memory.remembered(known, known.status)
            remembered.rendered = {}
        return HotObject(remembered.status, remembered.rendered, page)

    def _remember(self, path: str, known: Known, status: Status) -> Remembered:
        remembered = self._remembered.get(path)
        if remembered is not None:
            old = remembered.known
            if old.generation == known.generation and old.checked_ns == known.checked_ns:
                return remembered
        remembered = Remembered(known, version_key(self._identity, path, status.validator))
        self._remembered[path] = remembered
        self._remembered.move_to_end(path)
        if len(self._remembered) > self._capacity:
            self._remembered.popitem(last=False)
        return remembered


@implementer(IHotObject)
class HotObject:
    """An object in one page, open for one reader."""

    __slots__ = ("_page", "rendered", "status")

    def __init__(self, status: Status, rendered: dict[object, object], page: Page) -> None:
        self.status = status
        self.rendered = rendered
        self._page = page

    def fileno(self) -> int:
        """See IFileBacked."""
        return self._page.fileno()

    def check_unchanged(self) -> None:
        """See IFileBacked."""
        self._page.check_unchanged()

    def is_current(self) -> bool:
        """See IHotObject. What is remembered was looked at when this was made, in the same turn of the reactor."""
        try:
            self._page.check_unchanged()
        except ObjectChanged:
            return False
        return True

    def release(self) -> None:
        """See IHotReader."""
        self._page.release()

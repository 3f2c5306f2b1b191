"""Pages kept open between reads, so that what is read again and again needs no look-up and no verifying."""

from __future__ import annotations

import resource
from collections import OrderedDict
from contextlib import suppress
from threading import Lock

from alluxio_s3.cache.page import Page

MOST_OPEN = 4096

Key = tuple[bytes, int]


class OpenPages:
    """The ``capacity`` pages that were read last, by version and number. For threads and the reactor's alike: no lock is held for long."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = Lock()
        self._pages: OrderedDict[Key, Page] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pages)

    def __contains__(self, key: Key) -> bool:
        return key in self._pages

    def find(self, key: Key) -> Page | None:
        """The page, for one reader more, if it is open and proven. Does not wait."""
        page = self._pages.get(key)
        if page is None or not page.take():
            return None
        if not page.is_proven():
            page.release()
            self.drop(key, page)
            return None
        with suppress(KeyError):  # another thread has just let go of it
            self._pages.move_to_end(key)
        return page

    def keep(self, key: Key, page: Page) -> None:
        """Keep a page that its one reader has just opened, in place of an older one and of the one read longest ago."""
        if page.dropped or not self._capacity:
            page.drop()
            return
        with self._lock:
            gone = [self._pages.pop(key, None)]
            self._pages[key] = page
            if len(self._pages) > self._capacity:
                gone.append(self._pages.popitem(last=False)[1])
        for one in gone:
            if one is not None:
                one.drop()

    def drop(self, key: Key, page: Page | None = None) -> None:
        """Let go of a page, if it is ``page`` where that is given; it is closed when its last reader has let go."""
        with self._lock:
            kept = self._pages.get(key)
            if kept is None or page not in (None, kept):
                return
            del self._pages[key]
        kept.drop()

    def drop_removed(self) -> None:
        """Let go of pages that another process has evicted, so that their room on the disk is free. Blocking."""
        with self._lock:
            pages = list(self._pages.items())
        for key, page in pages:
            if not page.has_name():
                self.drop(key, page)

    def clear(self) -> None:
        """Let go of all."""
        with self._lock:
            pages = list(self._pages.values())
            self._pages.clear()
        for page in pages:
            page.drop()


def most_open() -> int:
    """How many pages this process may keep open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_OPEN if soft == resource.RLIM_INFINITY else min(MOST_OPEN, soft // 8)

"""The page store: pages of objects on local disks, within their sizes, and what is known of paths."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock

from attrs import frozen
from awscrt import checksums

from alluxio_s3.cache.keys import CachedObject, CachedVersion, Freed, Known
from alluxio_s3.cache.page import Page, trailer, verified_size
from alluxio_s3.storage import Status


@frozen
class Place:
    """A directory for pages, and how many bytes of disk they may take there."""

    path: str
    size: int


@frozen
class PlaceStats:
    """How one directory does: bytes of disk and pages in it, evictions since it was made, and whether it is in use."""

    path: str
    size: int
    stored: int
    pages: int
    evictions: int
    on: bool


@frozen
class Stats:
    """How the store does. ``hits`` and ``misses`` are of this process since it started."""

    hits: int
    misses: int
    places: tuple[PlaceStats, ...]


class PageStore:
    """Pages of objects. Several processes share the directories; each has one of these.

    ``page_bytes`` is the size of every page but an object's last. ``clock`` is monotonic, in seconds.
    ``tend`` has to be called about once a second, in a thread.
    """

    def __init__(
        self, places: Sequence[Place], page_bytes: int, clock: Callable[[], float] = time.monotonic, open_files: int = 4096
    ) -> None:
        self.page_bytes = page_bytes
        self._places = places
        self._clock = clock
        self._capacity = open_files
        self._root = Path(places[0].path) / "pages"
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = Lock()
        self._open: dict[tuple[bytes, int], Page] = {}
        self._objects: dict[bytes, CachedObject] = {}
        self._known: dict[tuple[str, str], Known] = {}
        self._hits = self._misses = 0

    def _path(self, version: bytes, number: int) -> Path:
        return self._root / f"{version.hex()}.{number}"

    def hot(self, version: bytes, number: int) -> Page | None:
        """The page if that means to wait for nothing: its file is open here, verified, unchanged, its bytes in memory.

        For the reactor's thread. Whoever gets it calls its ``release``.
        """
        page = self._open.get((version, number))
        if page is None or not page.take():
            return None
        self._hits += 1
        return page

    def open(self, version: bytes, number: int) -> Page | None:
        """The page, verified now; None if it is not there or not right (then it is removed). Blocking; raises nothing."""
        try:
            descriptor = os.open(self._path(version, number), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._misses += 1
            return None
        found = os.fstat(descriptor)
        size = verified_size(descriptor, version, number, found.st_size)
        if size is None:
            os.close(descriptor)
            self._path(version, number).unlink(missing_ok=True)
            self._misses += 1
            return None
        page = Page(version, number, size, descriptor, found)
        page.take()
        with self._lock:
            old, self._open[version, number] = self._open.get((version, number)), page
        if old is not None:
            old.drop()
        self._hits += 1
        return page

    def holds(self, version: bytes, number: int) -> bool:
        """Whether the page seems to be there; may be wrong either way. For the reactor's thread."""
        return (version, number) in self._open or self._path(version, number).exists()

    def put(self, thing: CachedObject, number: int, data: memoryview) -> bool:
        """Keep a page; False if it was not kept. ``data`` is all of the page. Blocking; raises nothing."""
        final = self._path(thing.version, number)
        temporary = final.with_suffix(".tmp")
        temporary.write_bytes(bytes(data) + trailer(thing.version, number, len(data), checksums.crc32c(data)))
        temporary.rename(final)
        self._objects[thing.version] = thing
        return True

    def recall(self, identity: str, path: str) -> Known | None:
        """What is known of a path; None if nothing can be remembered now (then ``learn`` does nothing either).

        A path of which nothing is known has a generation all the same. Microseconds, for the reactor's thread.
        """
        return self._known.get((identity, path), Known(0, None, 0))

    def learn(self, identity: str, path: str, generation: int, status: Status | None, checked_ns: int) -> bool:
        """Remember ``status`` if ``generation`` is still the path's: if it was recalled before the under-store was asked, and nobody has
        called ``forget`` since. Whether it was. Blocking.
        """
        with self._lock:
            known = self._known.get((identity, path), Known(0, None, 0))
            if known.generation != generation:
                return False
            self._known[identity, path] = Known(generation, status, checked_ns)
            return True

    def forget(self, identity: str, path: str) -> None:
        """Know nothing of a path any more, in all processes, and nothing of what was asked before now. Blocking."""
        with self._lock:
            known = self._known.get((identity, path), Known(0, None, 0))
            self._known[identity, path] = Known(known.generation + 1, None, 0)

    def objects(self, identity: str, prefix: str, start: str, limit: int) -> list[CachedVersion]:
        """Versions of which pages are kept, of paths that begin with ``prefix`` and are >= ``start``, in order; at most ``limit``.

        Blocking.
        """
        found = sorted(
            (one for one in self._objects.values() if one.identity == identity and one.path.startswith(prefix) and one.path >= start),
            key=lambda one: one.path,
        )
        return [CachedVersion(one.path, one.validator, one.size, len(self._pages(one)), one.size, None) for one in found[:limit]]

    def _pages(self, one: CachedObject) -> list[Path]:
        return list(self._root.glob(f"{one.version.hex()}.*"))

    def free(self, identity: str, prefix: str) -> Freed:
        """Remove the pages of the paths that begin with ``prefix``, and forget these paths. Blocking."""
        objects = stored = 0
        for version, one in list(self._objects.items()):
            if one.identity == identity and one.path.startswith(prefix):
                objects += 1
                for page in self._pages(one):
                    stored += page.stat().st_size
                    page.unlink()
                del self._objects[version]
                self.forget(identity, one.path)
        with self._lock:
            for page in self._open.values():
                page.drop()
            self._open.clear()
        return Freed(objects, stored)

    def stats(self) -> Stats:
        """How the store does."""
        return Stats(self._hits, self._misses, tuple(PlaceStats(one.path, one.size, 0, 0, 0, True) for one in self._places))

    def tend(self) -> None:
        """What has to be done now and then. Blocking; raises nothing."""

    def close(self) -> None:
        """Let go of everything. Blocking."""
        for page in self._open.values():
            page.drop()
        self._open.clear()

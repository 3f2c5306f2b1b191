"""The page store: pages of objects on local disks, within their sizes, and what is known of paths.

It never fails a read: whatever is wrong with a page, the index or a disk is a miss.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TypeVar

import lmdb
from attrs import frozen
from twisted.logger import Logger

from alluxio_s3.cache import listing
from alluxio_s3.cache.alarm import FIRST_WORD, Alarm
from alluxio_s3.cache.claims import Claims
from alluxio_s3.cache.directory import FULL, Directory, Mishaps
from alluxio_s3.cache.index import Found, page_key
from alluxio_s3.cache.keys import CachedObject, CachedVersion, Freed, Known, NewPage
from alluxio_s3.cache.knowledge import Knowledge, Learned, believe, settle
from alluxio_s3.cache.open_pages import Key, OpenPages, most_open
from alluxio_s3.cache.page import Page, verified_size
from alluxio_s3.cache.session import Session
from alluxio_s3.cache.stats import PlaceStats, Stats
from alluxio_s3.cache.stock import Stock
from alluxio_s3.cache.upkeep import Upkeep
from alluxio_s3.storage import Status

# What the index may raise after which it is made anew.
_LOST = (lmdb.CorruptedError, lmdb.PanicError, lmdb.PageNotFoundError, lmdb.InvalidError)
# A process that has run for so long is not ended by a damaged index.
LASTING_SECONDS = 2.0
# The index is tried again so long after it failed.
RETRY_SECONDS = 60.0

_log = Logger()
T = TypeVar("T")


@frozen
class Place:
    """A directory for pages, and how many bytes of disk they may take there."""

    path: str
    size: int


class PageStore:
    """Pages of objects. Several processes share the directories; each makes one of these, after it has forked.

    ``page_bytes`` is the size of every page but an object's last. The index is in the first of ``places``, beside the pages, and
    comes on top of its size: some 200 bytes a page. ``clock`` is monotonic, in seconds; ``wall_ns`` is the time as file systems
    have it; ``open_files`` is how many pages are kept open, by default as many as leave most descriptors to others. ``tend`` has to be
    called about once a second, in a thread. Raises ValueError, with a message for the operator, for a directory that is not the
    daemon's alone.
    """

    def __init__(
        self,
        places: Sequence[Place],
        page_bytes: int,
        clock: Callable[[], float] = time.monotonic,
        open_files: int | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.page_bytes = page_bytes
        self._places = tuple(places)
        self._clock = clock
        self._wall_ns = wall_ns
        self._open = OpenPages(most_open() if open_files is None else open_files)
        self._lock = Lock()
        self._touched: set[Key] = set()
        self._hits = self._misses = 0
        self._stock: Stock | None = None
        self._retired: list[Stock] = []
        self._tried_at = clock()
        self._settled = b""
        self._lasted = False
        self._mishaps = Mishaps(clock)
        self._begin()
        self.claims = Claims(str(Path(self._places[0].path, "index", "claims")))

    def hot(self, version: bytes, number: int) -> Page | None:
        """The page if that means to wait for nothing: its file is open here, verified, unchanged, its bytes in memory.

        For the reactor's thread. Whoever gets it calls its ``release``.
        """
        key = (version, number)
        page = self._open.find(key)
        if page is not None:
            self._hits += 1
            self._touched.add(key)
        return page

    def open(self, version: bytes, number: int) -> Page | None:
        """The page, verified now; None if it is not there or not right (then it is removed). Blocking; raises nothing."""
        page = self.hot(version, number)
        if page is not None:
            return page
        key = (version, number)
        try:
            page = self._open_file(version, number)
        except (OSError, lmdb.Error) as problem:
            _log.warn("The cache could not look for a page: {problem}", problem=str(problem))
        with self._lock:
            if page is None:
                self._misses += 1
                return None
            self._hits += 1
        self._touched.add(key)
        self._open.keep(key, page)
        return page

    def holds(self, version: bytes, number: int) -> bool:
        """Whether the page seems to be there; may be wrong either way. For the reactor's thread."""
        if (version, number) in self._open:
            return True
        try:
            return self._find(self._stock, page_key(version, number)) is not None
        except lmdb.Error:
            return False

    def put(self, thing: CachedObject, number: int, data: memoryview, *, wanted: bool = False) -> bool:
        """Keep a page; False if it was not kept. ``data`` is all of the page. Blocking; raises nothing.

        ``wanted``: somebody has asked for it to be kept, so it need not be read a second time to stay.
        """
        return self.put_all([NewPage(thing, number, [data], wanted)])[0]

    def put_all(self, pages: Sequence[NewPage]) -> list[bool]:
        """Keep pages, with one change of the index for those that go to the same directory; which were kept, as far as is known.

        Blocking; raises nothing.
        """
        kept = [False] * len(pages)
        stock = self._stock
        if stock is None:
            return kept
        places: dict[Directory, list[int]] = {}
        for at, page in enumerate(pages):
            directory = stock.choose(page_key(page.thing.version, page.number))
            if directory is not None and 0 < page.size <= self.page_bytes:
                places.setdefault(directory, []).append(at)
        for directory, numbers in places.items():
            try:
                for at, one in zip(numbers, stock.put(directory, [pages[at] for at in numbers]), strict=True):
                    kept[at] = one
            except OSError as problem:
                # A disk that has less room than it may take serves with what it has.
                if problem.errno not in FULL or not directory.limit:
                    directory.failed(problem)
            except lmdb.Error as problem:
                self._index_failed(problem)
        return kept

    def recall(self, identity: str, path: str) -> Known | None:
        """What is known of a path; None if nothing can be remembered now (then ``learn`` does nothing either).

        A path of which nothing is known has a generation all the same. Microseconds, for the reactor's thread.
        """
        if self._stock is None or self._alarm.word() != self._settled:
            return None
        try:
            return self._knowledge.recall(identity, path)
        except lmdb.Error:
            return None

    def state(self) -> bytes:
        """What is another as soon as any process has learned something new of a path, or forgotten it, and has said so to anybody.

        A fraction of a microsecond, for the reactor's thread. Of use only to be compared with what it was before ``recall``.
        """
        return self._alarm.state() if self._stock is not None else b""

    def learn(self, identity: str, path: str, generation: int, status: Status | None, checked_ns: int) -> bool:
        """Remember ``status`` if ``generation`` is still the path's: if it was recalled before the under-store was asked, and nobody has
        called ``forget`` since. Whether it was. Blocking.
        """
        if (stock := self._stock) is None or self._alarm.word() != self._settled:
            return False
        try:
            with stock.index.writing() as writing:
                learned = self._knowledge.learn(writing, identity, path, Known(generation, status, checked_ns))
        except lmdb.Error as problem:
            self._index_failed(problem)
            return False
        if learned is Learned.NEWS:
            self._alarm.mark()
        return learned is not Learned.NOTHING

    def forget(self, identity: str, path: str) -> None:
        """Know nothing of a path any more, in all processes, and nothing of what was asked before now. Blocking; raises nothing."""
        if (stock := self._stock) is None:
            with suppress(OSError):  # other processes may have what this one has not
                Alarm(os.path.realpath(self._places[0].path)).change()
            return
        try:
            with stock.index.writing() as writing:
                self._knowledge.forget(writing, identity, path)
            self._alarm.mark(everybody=stock.session.is_in_place())
        except lmdb.Error as problem:
            self._alarm.change()
            self._index_failed(problem)

    def objects(self, identity: str, prefix: str, start: str, limit: int) -> list[CachedVersion]:
        """At most ``limit`` versions of which pages are kept, of paths that begin with ``prefix``, in order from ``start``. Blocking."""
        return self._ask(lambda stock: listing.objects(stock, identity, prefix, start, limit), [])

    def has(self, identity: str, path: str) -> bool:
        """Whether pages are kept of any version of ``path``. Microseconds, for the reactor's thread."""
        return self._ask(lambda stock: listing.has(stock, identity, path), False)

    def stored(self, versions: Sequence[bytes]) -> list[int]:
        """How many bytes are kept of each version, by its key. Blocking."""
        return self._ask(lambda stock: listing.stored(stock, versions), [0] * len(versions))

    def free(self, identity: str, prefix: str) -> Freed:
        """Remove the pages of the paths that begin with ``prefix``, and forget these paths. Blocking. Raises OSError."""
        if (stock := self._stock) is None:
            return Freed(0, 0)
        try:
            try:
                return listing.free(stock, self._knowledge, identity, prefix)
            finally:
                self._alarm.mark(everybody=stock.session.is_in_place())
        except lmdb.Error as problem:
            self._alarm.change()
            self._index_failed(problem)
            raise OSError(str(problem)) from problem

    def free_object(self, identity: str, path: str) -> None:
        """Remove the pages of the object at ``path``, of all its versions, as far as that can be done. Blocking; raises nothing."""
        try:
            if (stock := self._stock) is not None:
                listing.free_object(stock, identity, path)
        except OSError as problem:
            _log.warn("The pages of an object that is gone stay in the cache: {problem}", problem=str(problem))
        except lmdb.Error as problem:
            self._index_failed(problem)

    def stats(self) -> Stats:
        """How the store does. Microseconds, for the reactor's thread."""
        stock, tally = self._stock, self._ask(listing.tally, None)
        if stock is None or tally is None:
            return Stats(self._hits, self._misses, tuple(PlaceStats(one.path, one.size, 0, 0, 0, on=False) for one in self._places))
        found = []
        for one in stock.directories:
            place = tally.place(one.number)
            counted = (one.evicted, one.damaged)
            found.append(PlaceStats(one.path, one.size, place.taken, place.pages, place.evictions, one.on, *counted))
        return Stats(self._hits, self._misses, tuple(found))

    def tend(self) -> None:
        """What has to be done now and then. Blocking; raises nothing. Not at the same time in two threads."""
        if (stock := self._stock) is not None and not stock.session.is_in_place():
            self._index_lost("its directory has been removed")
        if (stock := self._stock) is None:
            if self._clock() - self._tried_at >= RETRY_SECONDS:
                self._begin()
            return
        touched, self._touched = self._touched, set()
        self._upkeep.round(touched)
        if self._clock() - self._tried_at > LASTING_SECONDS and not self._lasted:
            self._lasted = True
            with suppress(OSError):
                stock.session.trust()
        self._settle_alarm()

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing left to repair after a crash."""
        return self._stock is None or self._upkeep.is_settled

    def close(self) -> None:
        """Let go of everything. No other thread may use the store any more. Blocking."""
        self.claims.close()
        self._open.clear()
        for stock in self._retired:
            stock.session.close(clean=False)
        if self._stock is not None:
            stock, self._stock = self._stock, None
            self._upkeep.close()
            stock.session.close(clean=self._upkeep.is_settled, last=lambda: self._leave(stock))

    def _ask(self, question: Callable[[Stock], T], otherwise: T) -> T:
        stock = self._stock  # another thread may find it lost
        try:
            return otherwise if stock is None else question(stock)
        except lmdb.Error as problem:
            self._index_failed(problem)
            return otherwise

    def _begin(self) -> None:
        """Take part in the index, if that is possible. Raises ValueError."""
        self._tried_at = self._clock()
        self._lasted = False
        try:
            directories = [Directory(one.path, one.size, self._clock) for one in self._places]
            directories[0].check()
            paths = [os.path.realpath(one.path) for one in self._places]
            session = Session(Path(self._places[0].path, "index"), paths, self.page_bytes, sum(one.size for one in self._places))
            # Only now: the last process to leave has removed the one that was there before.
            self._alarm = Alarm(paths[0])
            if session.renewed:  # others may still have the index that was here before
                self._alarm.change()
            settle(session.index, word := self._alarm.word())
        except (OSError, lmdb.Error) as problem:
            _log.error("There is no cache for now: {problem}", problem=str(problem))
            return
        for directory, path in zip(directories, paths, strict=True):
            directory.number = session.number(path)
            try:
                directory.prepare(session.origin.identity)
            except OSError as problem:
                _log.error("The cache does without {path} for now: {problem}", path=path, problem=str(problem))
        stock = Stock(session, directories, self._open)
        self._settled = word
        self._upkeep = Upkeep(stock)
        self._knowledge = Knowledge(session.index)
        self._stock = stock

    def _find(self, stock: Stock | None, key: bytes) -> Found | None:
        """Where a page is, if there is one in a directory that is in use."""
        if stock is None:
            return None
        with stock.index.reading() as transaction:
            found = stock.index.find(transaction, key)
        return found if found is not None and found.entry.is_page and stock.directory(found.place) is not None else None

    def _open_file(self, version: bytes, number: int) -> Page | None:
        stock, key = self._stock, page_key(version, number)
        found = self._find(stock, key)
        directory = stock.directory(found.place) if stock is not None and found is not None else None
        if stock is None or found is None or directory is None:
            return None
        descriptor = -1
        try:
            descriptor = os.open(directory.file(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            looked_ns = self._wall_ns()
            state = os.fstat(descriptor)
            size = verified_size(descriptor, version, number, state.st_size)
            if size is not None:
                page, descriptor = Page(version, number, size, descriptor, state, looked_ns), -1
                return page
        except OSError as problem:
            if problem.errno not in (errno.ENOENT, errno.ELOOP):
                directory.failed(problem)
                return None
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        stock.discard(key, found.position)
        return None

    def _leave(self, stock: Stock) -> None:
        """Leave what is known to those that come, and no alarm."""
        if self._alarm.word() == self._settled:
            believe(stock.index, FIRST_WORD)
            self._alarm.remove()

    def _settle_alarm(self) -> None:
        """Drop all that is known, if somebody could not make the index forget a path."""
        word = self._alarm.word()
        if (stock := self._stock) is None or word == self._settled:
            return
        try:
            settle(stock.index, word)
        except lmdb.Error as problem:
            self._index_failed(problem)
        else:
            self._settled = word

    def _index_failed(self, problem: lmdb.Error) -> None:
        _log.error("The index of the cache failed: {problem}", problem=str(problem))
        # What LMDB has no name for is the disk's; one that is full is no reason to do without what is there.
        if isinstance(problem, _LOST) or (type(problem) is lmdb.Error and self._mishaps.add()):
            self._index_lost(str(problem))

    def _index_lost(self, reason: str) -> None:
        """Do without a cache for a while."""
        with self._lock:
            stock, self._stock = self._stock, None
        if stock is None:
            return
        _log.error("There is no cache for now: {reason}", reason=reason)
        self._tried_at = self._clock()
        # Other threads may still look into it, so it is closed at the end only.
        self._retired.append(stock)
        self._open.clear()
        if stock.session.is_in_place():
            stock.session.distrust()

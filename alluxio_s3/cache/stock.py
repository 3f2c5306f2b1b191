"""What a process works with to keep pages: the index, the directories, the pages that are open. And how a page gets in and out."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from threading import Lock

from attrs import frozen

from alluxio_s3.cache import catalogue
from alluxio_s3.cache.directory import FULL, Directory
from alluxio_s3.cache.eviction import Eviction
from alluxio_s3.cache.index import Found, Index, Writing, page_key, page_of
from alluxio_s3.cache.keys import NewPage
from alluxio_s3.cache.open_pages import OpenPages
from alluxio_s3.cache.page import TRAILER_BYTES, sealed
from alluxio_s3.cache.session import TOKEN_BYTES, Session

_RESERVATION = struct.Struct(">Q")
# The directory's number, the bytes of disk; the page's key follows.
_PROMISE = struct.Struct("<BQ")


@frozen(eq=False)
class _Fill:
    """A page on its way to ``temporary``, where it takes ``weight`` bytes of disk; until it is there it may take ``most``, for which
    ``promise`` stands in the index.
    """

    page: NewPage
    key: bytes
    promise: bytes
    temporary: str
    size: int
    weight: int
    most: int


class Stock:
    """The pages of a worker, as one of its processes holds them. Its methods block; they raise OSError and ``lmdb.Error``."""

    def __init__(self, session: Session, directories: Sequence[Directory], open_pages: OpenPages) -> None:
        self.session = session
        self.index: Index = session.index
        self.directories = directories
        self.open_pages = open_pages
        self._by_number = {one.number: one for one in directories}
        self._numbers = count()
        self._filling: set[bytes] = set()
        self._lock = Lock()

    def directory(self, number: int) -> Directory | None:
        """The directory of that number, if it is in use."""
        found = self._by_number.get(number)
        return found if found is not None and found.on else None

    def choose(self, key: bytes) -> Directory | None:
        """The directory for a new page."""
        usable = [one for one in self.directories if one.on]
        if len(usable) == 1:
            return usable[0]
        return max(usable, key=lambda one: one.share(key), default=None)

    def put(self, directory: Directory, pages: Sequence[NewPage]) -> list[bool]:
        """Keep pages; False for those for which there is no room. When one can't be written, those before it are kept all the same.

        Room is made and promised to it in one step, in which the files of the pages that go are removed: before that step there is
        no file of it, after it there is room. So what is on the disk never exceeds the directory's size, whoever dies when.
        """
        fills = [self._fill(directory, page) for page in pages]
        with self._lock:
            self._filling.update(one.promise for one in fills)
        try:
            rooms = self._reserve(directory, fills)
            written: list[tuple[_Fill, int]] = []
            try:
                for one, room in zip(fills, rooms, strict=True):
                    if room is None:
                        written.append((one, self._write(directory, one)))
            finally:
                self._publish(directory, written, [one for one, room in zip(fills, rooms, strict=True) if room is None])
            return [room is not False for room in rooms]
        finally:
            with self._lock:
                self._filling.difference_update(one.promise for one in fills)

    def make_room(self, writing: Writing, directory: Directory, weight: int) -> list[bytes] | None:
        """Evict what has to go for ``weight`` bytes more; the keys of what went, or None if there can't be room."""
        tally = writing.tally.place(directory.number)
        policy = Eviction(writing.shelf(directory.number, directory.size))
        gone = []
        while tally.taken + weight > directory.limit:
            evicted = policy.evict()
            if evicted is None:
                return None
            key, entry = evicted
            directory.remove(key)
            catalogue.take(writing, page_of(key)[0], entry.size)
            tally.evictions += 1
            directory.evicted += 1
            gone.append(key)
        return gone

    def remove(self, writing: Writing, key: bytes, found: Found) -> None:
        """Remove a page or its ghost: its file if its directory is in use, and what the index has of it."""
        directory = self.directory(found.place)
        if directory is not None and found.entry.is_page:
            directory.remove(key)
        writing.shelf(found.place, 0).remove(key)
        if found.entry.is_page:
            catalogue.take(writing, page_of(key)[0], found.entry.size)

    def discard(self, key: bytes, position: int) -> None:
        """Remove a page that is no good, unless there is another in its place by now."""
        with self.index.writing() as writing:
            found = writing.find(key)
            if found is not None and found.position == position:
                self.remove(writing, key, found)
                self._by_number[found.place].damaged += 1
        self.open_pages.drop(page_of(key))

    def close_gone(self, keys: Sequence[bytes]) -> None:
        """Let go of pages that were removed."""
        for key in keys:
            self.open_pages.drop(page_of(key))

    def reclaim(self) -> None:
        """Take back the room that was promised to fills of which nobody will hear again, with what they left on the disk."""
        with self.index.reading() as transaction:
            promises = list(transaction.cursor(db=self.index.reservations).iternext())
        live: dict[bytes, bool] = {}
        for promise, raw in promises:
            token = promise[:TOKEN_BYTES]
            if token == self.session.token:
                with self._lock:
                    lives = promise in self._filling
            else:
                lives = live[token] if token in live else live.setdefault(token, self.session.is_live(token))
            place, weight = _PROMISE.unpack_from(raw)
            directory = self._by_number.get(place)
            if lives or directory is None or not directory.on:
                continue
            key = raw[_PROMISE.size :]
            with self.index.writing() as writing:
                if writing.transaction.delete(promise, db=self.index.reservations):
                    Path(directory.fill(token, _RESERVATION.unpack(promise[TOKEN_BYTES:])[0])).unlink(missing_ok=True)
                    found = writing.find(key)
                    if found is None or not found.entry.is_page:
                        directory.remove(key)
                    writing.tally.place(place).reserved -= weight

    def _fill(self, directory: Directory, page: NewPage) -> _Fill:
        number = next(self._numbers)
        temporary = directory.fill(self.session.token, number)
        size = page.size
        key = page_key(page.thing.version, page.number)
        promise, length = self.session.token + _RESERVATION.pack(number), size + TRAILER_BYTES
        return _Fill(page, key, promise, temporary, size, directory.taken(length), directory.most(length))

    def _reserve(self, directory: Directory, fills: Sequence[_Fill]) -> list[bool | None]:
        """None for what room has been promised to; True if the page is there already, False if there is no room for it."""
        rooms: list[bool | None] = []
        closed: list[bytes] = []
        with self.index.writing() as writing:
            for one in fills:
                found = writing.find(one.key)
                if found is not None and found.entry.is_page and self.directory(found.place) is not None:
                    rooms.append(True)
                    continue
                gone = self.make_room(writing, directory, one.most)
                if gone is not None:
                    writing.tally.place(directory.number).reserved += one.most
                    writing.transaction.put(one.promise, _PROMISE.pack(directory.number, one.most) + one.key, db=self.index.reservations)
                closed += gone or ()
                rooms.append(None if gone is not None else False)
        self.close_gone(closed)
        return rooms

    def _write(self, directory: Directory, fill: _Fill) -> int:
        page = fill.page
        try:
            return directory.write(fill.temporary, sealed(page.thing.version, page.number, page.pieces))
        except OSError as problem:
            if problem.errno in FULL:
                with self.index.writing() as writing:
                    self._release(writing, fill.promise)
                self._shrink(directory, fill.weight)
            raise

    def _publish(self, directory: Directory, written: Sequence[tuple[_Fill, int]], promised: Sequence[_Fill]) -> None:
        """Give what was written, and takes so many bytes of disk, its place, and take back the promises."""
        with self.index.writing() as writing:
            for one in promised:
                self._release(writing, one.promise)
            for one, weight in written:
                found = writing.find(one.key)
                if found is not None and found.entry.is_page and self.directory(found.place) is not None:
                    Path(one.temporary).unlink(missing_ok=True)
                    continue
                if found is not None and (found.entry.is_page or found.place != directory.number):
                    self.remove(writing, one.key, found)
                directory.publish(one.temporary, one.key)
                Eviction(writing.shelf(directory.number, directory.size)).admit(one.key, weight, one.size, wanted=one.page.wanted)
                catalogue.add(writing, one.page.thing, one.size)

    def _release(self, writing: Writing, promise: bytes) -> None:
        raw = writing.transaction.pop(promise, db=self.index.reservations)
        if raw is not None:
            place, weight = _PROMISE.unpack_from(raw)
            writing.tally.place(place).reserved -= weight

    def _shrink(self, directory: Directory, weight: int) -> None:
        """Its disk has less room than it may take: do with what there is, and leave room for one page more."""
        with self.index.writing() as writing:
            directory.limit = max(0, writing.tally.place(directory.number).taken - weight)
            gone = self.make_room(writing, directory, 0)
        self.close_gone(gone or ())

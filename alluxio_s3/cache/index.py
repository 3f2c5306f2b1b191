"""The index: which pages there are, in which queue, whose they are; and what is known of paths. Shared by all processes of the worker.

It is an LMDB file, since a reader there waits for nobody and takes a microsecond, and a process that is killed at any moment leaves
it whole. It is never synced while it is in use: a machine that stops without warning may leave it damaged. So it is good
only for the boot of the kernel in which it was made, unless the last process to leave has synced it; in any other case the
cache begins empty, which is right, only slow.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import lmdb
from attrs import define, field

from alluxio_s3.cache.eviction import Entry, Queue
from alluxio_s3.cache.keys import VERSION_BYTES

# py-lmdb has no types of its own.
Transaction: TypeAlias = Any

# More than all processes of a worker have threads.
READERS = 1024
# An entry takes some 200 bytes with all that belongs to it, and a page 8 KiB of a disk at least; what is known of paths comes on top.
SMALLEST_MAP_BYTES = 1 << 30
MAP_SHARE = 16

_RECORD = struct.Struct("<BBBIQQ")
_POSITION = struct.Struct(">BBQ")
_NUMBERS = struct.Struct("<QQQ")
_PLACE = struct.Struct("<QQQQQQ")
_TALLY = b"tally"


@define
class PlaceTally:
    """What a directory holds.

    ``weights`` are bytes of disk by queue (those of ghosts are not there), ``reserved`` bytes are promised to fills.
    """

    weights: list[int] = field(factory=lambda: [0, 0, 0])
    reserved: int = 0
    pages: int = 0
    evictions: int = 0

    @property
    def taken(self) -> int:
        """Bytes of disk that are taken or promised."""
        return self.weights[Queue.SMALL] + self.weights[Queue.MAIN] + self.reserved


@define
class Tally:
    """The sums over the index.

    ``sequence`` numbers the times that a path was forgotten, ``floor`` is the generation of paths without a record.
    """

    position: int = 0
    sequence: int = 0
    floor: int = 0
    places: list[PlaceTally] = field(factory=list)

    @classmethod
    def unpacked(cls, raw: bytes | None) -> Tally:
        """What ``packed`` made."""
        if raw is None:
            return cls()
        tally = cls(*_NUMBERS.unpack_from(raw))
        for small, main, ghost, reserved, pages, evictions in _PLACE.iter_unpack(raw[_NUMBERS.size :]):
            tally.places.append(PlaceTally([small, main, ghost], reserved, pages, evictions))
        return tally

    def packed(self) -> bytes:
        """As it is kept."""
        places = (_PLACE.pack(*one.weights, one.reserved, one.pages, one.evictions) for one in self.places)
        return _NUMBERS.pack(self.position, self.sequence, self.floor) + b"".join(places)

    def place(self, number: int) -> PlaceTally:
        """That of a directory, by its number in the index."""
        while len(self.places) <= number:
            self.places.append(PlaceTally())
        return self.places[number]


@define
class Found:
    """Where a page is: the number of its directory, its entry, and its position in the queue, which no other page ever had."""

    place: int
    entry: Entry
    position: int


class Index:
    """The LMDB environment in the directory ``path``. Raises ``lmdb.Error`` whenever LMDB does.

    ``whole``: nobody else has it open, and it is an error if its file is shorter than it says; to read it then would end the process.
    """

    def __init__(self, path: str, room: int, *, whole: bool = False) -> None:
        self._env: Any = lmdb.open(
            path,
            map_size=max(SMALLEST_MAP_BYTES, room // MAP_SHARE),
            max_dbs=8,
            max_readers=READERS,
            max_spare_txns=16,
            mode=0o600,
            sync=False,
            metasync=False,
            readahead=False,
        )
        if whole and Path(path, "data.mdb").stat().st_size < self._env.info()["last_pgno"] * self._env.stat()["psize"]:
            self._env.close()
            raise lmdb.CorruptedError(f"{path} has been cut short")
        self.meta = self._env.open_db(b"meta")
        self.pages = self._env.open_db(b"pages")
        self.queues = self._env.open_db(b"queues")
        self.versions = self._env.open_db(b"versions")
        self.names = self._env.open_db(b"names")
        self.paths = self._env.open_db(b"paths")
        self.reservations = self._env.open_db(b"reservations")
        self._writers = Lock()
        self.begin = self._env.begin

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A look at the index as it stands."""
        with self._env.begin() as transaction:
            yield transaction

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """A change, of which all is done at the end or nothing; one at a time among all processes. Blocking."""
        with self._writers, self._env.begin(write=True) as transaction:
            writing = Writing(self, transaction)
            yield writing
            transaction.put(_TALLY, writing.tally.packed(), db=self.meta)

    def find(self, transaction: Transaction, key: bytes) -> Found | None:
        """The page (or its ghost) of a key."""
        raw = transaction.get(key, db=self.pages)
        if raw is None:
            return None
        place, queue, marks, size, weight, position = _RECORD.unpack(raw)
        return Found(place, Entry(queue, weight, marks, size), position)

    def tally(self, transaction: Transaction) -> Tally:
        """The sums."""
        return Tally.unpacked(transaction.get(_TALLY, db=self.meta))

    def keys(self, transaction: Transaction, prefix: bytes, start: bytes = b"") -> Iterator[bytes]:
        """The keys of pages and ghosts that begin with ``prefix``, from ``start`` on."""
        return _keys(transaction, self.pages, prefix, start)

    def queue(self, transaction: Transaction, place: int, queue: Queue) -> Iterator[bytes]:
        """The keys in a queue, the oldest first."""
        prefix = bytes((place, queue))
        with transaction.cursor(db=self.queues) as cursor:
            for position, key in cursor.iternext() if cursor.set_range(prefix) else ():
                if not position.startswith(prefix):
                    return
                yield key

    def clear_dead_readers(self) -> None:
        """Let go of what processes held that were killed while they looked."""
        self._env.reader_check()

    def sync(self) -> None:
        """Have it on the disk."""
        self._env.sync(True)

    def close(self) -> None:
        """Let go of it. No other thread may be using it."""
        self._env.close()


class Writing:
    """A change to the index in progress."""

    def __init__(self, index: Index, transaction: Transaction) -> None:
        self.index = index
        self.transaction = transaction
        self.tally = index.tally(transaction)

    def find(self, key: bytes) -> Found | None:
        """The page (or its ghost) of a key."""
        return self.index.find(self.transaction, key)

    def shelf(self, place: int, capacity: int) -> PlaceShelf:
        """The queues of a directory."""
        return PlaceShelf(self, place, capacity)

    def next_position(self) -> int:
        """A number greater than all before."""
        self.tally.position += 1
        return self.tally.position


class PlaceShelf:
    """The queues of one directory, in the index: an ``eviction.Shelf``."""

    def __init__(self, writing: Writing, place: int, capacity: int) -> None:
        self.capacity = capacity
        self._writing = writing
        self._transaction = writing.transaction
        self._place = place
        self._tally = writing.tally.place(place)

    def find(self, key: bytes) -> Entry | None:
        """See ``Shelf``."""
        found = self._writing.find(key)
        return found.entry if found is not None and found.place == self._place else None

    def append(self, key: bytes, entry: Entry) -> None:
        """See ``Shelf``."""
        position = self._writing.next_position()
        self._put(key, entry, position)
        self._transaction.put(_POSITION.pack(self._place, entry.queue, position), key, db=self._writing.index.queues)
        self._tally.weights[entry.queue] += entry.weight
        self._tally.pages += entry.is_page

    def remove(self, key: bytes) -> None:
        """See ``Shelf``."""
        found = self._writing.find(key)
        if found is None or found.place != self._place:
            return
        self._transaction.delete(key, db=self._writing.index.pages)
        self._transaction.delete(_POSITION.pack(self._place, found.entry.queue, found.position), db=self._writing.index.queues)
        self._tally.weights[found.entry.queue] -= found.entry.weight
        self._tally.pages -= found.entry.is_page

    def mark(self, key: bytes, entry: Entry) -> None:
        """See ``Shelf``."""
        found = self._writing.find(key)
        if found is not None and found.place == self._place:
            self._put(key, entry, found.position)

    def oldest(self, queue: Queue) -> bytes | None:
        """See ``Shelf``."""
        return next(self._writing.index.queue(self._transaction, self._place, queue), None)

    def weight(self, queue: Queue) -> int:
        """See ``Shelf``."""
        return self._tally.weights[queue]

    def _put(self, key: bytes, entry: Entry, position: int) -> None:
        packed = _RECORD.pack(self._place, entry.queue, entry.marks, entry.size, entry.weight, position)
        self._transaction.put(key, packed, db=self._writing.index.pages)


def page_key(version: bytes, number: int) -> bytes:
    """The key of a page: those of one version follow each other, in order."""
    return version + number.to_bytes(4, "big")


def page_of(key: bytes) -> tuple[bytes, int]:
    """What ``page_key`` was made of."""
    return key[:VERSION_BYTES], int.from_bytes(key[VERSION_BYTES:], "big")


def pairs(transaction: Transaction, database: Any, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a database of which the keys begin with ``prefix``, from ``start`` on."""
    with transaction.cursor(db=database) as cursor:
        for key, value in cursor.iternext() if cursor.set_range(max(prefix, start)) else ():
            if not key.startswith(prefix):
                return
            yield key, value


def _keys(transaction: Transaction, database: Any, prefix: bytes, start: bytes) -> Iterator[bytes]:
    return (key for key, _ in pairs(transaction, database, prefix, start))

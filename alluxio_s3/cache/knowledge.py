"""What is known of paths: their Status and when the under-store was asked for it, until somebody writes there. A part of the index.

Each path has a *generation*. An answer of the under-store is kept only if the generation that was recalled before it was asked is still the
path's, so an old answer that is late never follows a write. A path without a record has the generation ``Tally.floor``, which
rises whenever a record is dropped to make room: so what came before cannot be mistaken for what comes after.
"""

from __future__ import annotations

import json
import struct
from enum import Enum, auto
from typing import Any

from attrs import astuple, frozen

from alluxio_s3.cache.catalogue import name_key
from alluxio_s3.cache.index import Index, Transaction, Writing, pairs
from alluxio_s3.cache.keys import Known
from alluxio_s3.storage import Attributes, Status

MOST_PATHS = 1_000_000
# So many records go when there are too many.
_BATCH = 64
_HEAD = struct.Struct("<QQ")
_HAND = b"hand"
_WORD = b"alarm"
_MEMORY = 16384


def packed(known: Known) -> bytes:
    """As it is kept. A Status' provenance is not."""
    head = _HEAD.pack(known.generation, known.checked_ns)
    if known.status is None:
        return head
    status = known.status
    attributes = [dict(one) if hasattr(one, "keys") else one for one in astuple(status.attributes, recurse=False)]
    return head + json.dumps([status.path, status.size, status.modified_ns, status.etag, status.validator, *attributes]).encode()


def unpacked(raw: bytes) -> Known:
    """What ``packed`` made."""
    generation, checked_ns = _HEAD.unpack_from(raw)
    if len(raw) == _HEAD.size:
        return Known(generation, None, checked_ns)
    path, size, modified_ns, etag, validator, *attributes = json.loads(raw[_HEAD.size :])
    values: list[Any] = [tuple(one) if isinstance(one, list) else one for one in attributes]
    return Known(generation, Status(path, size, modified_ns, etag, validator, Attributes(*values)), checked_ns)


class Learned(Enum):
    """What came of learning.

    NOTHING: the answer was too old. TIME: what was known is still so. NEWS: it is something else than what was known.
    """

    NOTHING = auto()
    TIME = auto()
    NEWS = auto()


@frozen
class _Remembered:
    raw: bytes
    known: Known


class Knowledge:
    """The records of paths in ``index``. It remembers what it has decoded, so that to recall it again takes microseconds."""

    def __init__(self, index: Index, most: int = MOST_PATHS) -> None:
        self._index = index
        self._begin = index.begin
        self._paths = index.paths
        self._most = most
        self._decoded: dict[bytes, _Remembered] = {}

    def recall(self, identity: str, path: str) -> Known:
        """What is known of a path. Waits for nothing."""
        key = name_key(identity, path)
        with self._begin() as transaction:
            raw = transaction.get(key, db=self._paths)
            if raw is None:
                return Known(self._index.tally(transaction).floor, None, 0)
        remembered = self._decoded.get(key)
        if remembered is not None and remembered.raw == raw:
            return remembered.known
        known = unpacked(raw)
        if len(self._decoded) >= _MEMORY:
            self._decoded.clear()
        self._decoded[key] = _Remembered(raw, known)
        return known

    def learn(self, writing: Writing, identity: str, path: str, known: Known) -> Learned:
        """Keep ``known`` if its generation is still the path's."""
        key = name_key(identity, path)
        raw = writing.transaction.get(key, db=self._paths)
        if known.generation != (writing.tally.floor if raw is None else _HEAD.unpack_from(raw)[0]):
            return Learned.NOTHING
        if raw is None:
            self._make_room(writing)
        # Not what the caller recalled, if making room has just raised the floor; the path's generation has not changed for that.
        record = packed(known)
        writing.transaction.put(key, record, db=self._paths)
        return Learned.TIME if raw is not None and raw[_HEAD.size :] == record[_HEAD.size :] else Learned.NEWS

    def forget(self, writing: Writing, identity: str, path: str) -> None:
        """Give a path a generation that it never had, and nothing else."""
        key = name_key(identity, path)
        if writing.transaction.get(key, db=self._paths) is None:
            self._make_room(writing)
        writing.tally.sequence += 1
        writing.transaction.put(key, packed(Known(writing.tally.sequence, None, 0)), db=self._paths)

    def drop(self, writing: Writing, key: bytes) -> None:
        """Drop a record, by its key in the index."""
        writing.transaction.delete(key, db=self._paths)
        raise_floor(writing)

    def keys(self, transaction: Transaction, prefix: bytes, limit: int) -> list[bytes]:
        """The keys of at most ``limit`` records that begin with ``prefix``."""
        found = []
        for key, _ in pairs(transaction, self._paths, prefix):
            found.append(key)
            if len(found) >= limit:
                break
        return found

    def _make_room(self, writing: Writing) -> None:
        """Drop some records if there are too many: those that follow the ones that went last, all the way round."""
        if writing.transaction.stat(db=self._paths)["entries"] < self._most:
            return
        hand = writing.transaction.get(_HAND, db=self._index.meta) or b"\0"
        keys: list[bytes] = []
        for key, _ in pairs(writing.transaction, self._paths, b"", hand):
            keys.append(key)
            if len(keys) >= _BATCH:
                break
        for key in keys:
            writing.transaction.delete(key, db=self._paths)
        raise_floor(writing)
        writing.transaction.put(_HAND, keys[-1] if len(keys) >= _BATCH else b"\0", db=self._index.meta)


def settle(index: Index, word: bytes) -> None:
    """Make the index good for that word of the alarm: if it is not yet, nothing is known of any path any more. Blocking."""
    with index.writing() as writing:
        if writing.transaction.get(_WORD, db=index.meta) != word:
            writing.transaction.drop(index.paths, delete=False)
            raise_floor(writing)
            writing.transaction.put(_WORD, word, db=index.meta)


def believe(index: Index, word: bytes) -> None:
    """Make the index, which is good for the word of the alarm as it stands, good for that one instead. Blocking."""
    with index.writing() as writing:
        writing.transaction.put(_WORD, word, db=index.meta)


def raise_floor(writing: Writing) -> None:
    """Give the paths without a record a generation that none ever had."""
    writing.tally.sequence += 1
    writing.tally.floor = writing.tally.sequence

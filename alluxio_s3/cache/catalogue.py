"""Whose pages there are: versions of objects, by key and by path. A part of the index."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from functools import lru_cache

from attrs import frozen

from alluxio_s3.cache.index import Index, Transaction, Writing, pairs
from alluxio_s3.cache.keys import CachedObject

# LMDB takes keys up to 511 bytes; a longer path is cut, and told from others by a digest.
WHOLE_BYTES = 440
CUT_BYTES = 400
_IDENTITY_BYTES = 8
_COUNTS = struct.Struct("<IQ")


@frozen
class Version:
    """A version of an object of which ``pages`` pages are kept, with ``stored`` bytes of it."""

    thing: CachedObject
    pages: int = 0
    stored: int = 0

    def packed(self) -> bytes:
        """As it is kept."""
        thing = self.thing
        return _COUNTS.pack(self.pages, self.stored) + json.dumps([thing.identity, thing.path, thing.validator, thing.size]).encode()

    @classmethod
    def unpacked(cls, raw: bytes) -> Version:
        """What ``packed`` made."""
        return cls(CachedObject(*json.loads(raw[_COUNTS.size :])), *_COUNTS.unpack_from(raw))


@lru_cache(maxsize=16384)
def name_key(identity: str, path: str) -> bytes:
    """The key of a path in the index: the order of keys is that of the paths' UTF-8, up to ``CUT_BYTES`` of it."""
    encoded = encode(path)
    if len(encoded) > WHOLE_BYTES:
        encoded = encoded[:CUT_BYTES] + b"\0" + hashlib.blake2b(encoded, digest_size=16).digest()
    return _store_key(identity) + encoded


def name_prefix(identity: str, prefix: str) -> bytes:
    """What the keys of all paths that begin with ``prefix`` begin with; some others may too if it is long."""
    return _store_key(identity) + encode(prefix)[:CUT_BYTES]


def encode(path: str) -> bytes:
    """A path as it is ordered."""
    return path.encode("utf-8", "surrogatepass")


def add(writing: Writing, thing: CachedObject, size: int) -> None:
    """One page more, of ``size`` bytes."""
    version = thing.version
    raw = writing.transaction.get(version, db=writing.index.versions)
    changed = Version(thing, 1, size).packed() if raw is None else _counted(raw, 1, size)
    writing.transaction.put(version, changed, db=writing.index.versions)
    if raw is None:
        writing.transaction.put(name_key(thing.identity, thing.path) + b"\0" + version, b"", db=writing.index.names)


def take(writing: Writing, version: bytes, size: int) -> None:
    """One page less, of ``size`` bytes; with its last one a version goes."""
    raw = writing.transaction.get(version, db=writing.index.versions)
    if raw is None:
        return
    if _COUNTS.unpack_from(raw)[0] > 1:
        writing.transaction.put(version, _counted(raw, -1, -size), db=writing.index.versions)
        return
    drop(writing, version)


def _counted(raw: bytes, pages: int, size: int) -> bytes:
    """A version as it is kept, with so many pages and bytes more; all else as it is."""
    before, stored = _COUNTS.unpack_from(raw)
    return _COUNTS.pack(before + pages, max(0, stored + size)) + raw[_COUNTS.size :]


def drop(writing: Writing, version: bytes) -> None:
    """Drop a version, if there is a record of it."""
    raw = writing.transaction.pop(version, db=writing.index.versions)
    if raw is not None:
        thing = Version.unpacked(raw).thing
        writing.transaction.delete(name_key(thing.identity, thing.path) + b"\0" + version, db=writing.index.names)


def has(index: Index, transaction: Transaction, identity: str, path: str) -> bool:
    """Whether pages are kept of any version of ``path``."""
    return next(iter(pairs(transaction, index.names, name_key(identity, path) + b"\0")), None) is not None


def stored(index: Index, transaction: Transaction, version: bytes) -> int:
    """How many bytes are kept of a version."""
    raw = transaction.get(version, db=index.versions)
    return 0 if raw is None else int(_COUNTS.unpack_from(raw)[1])


def versions(index: Index, transaction: Transaction, identity: str, prefix: str, start: str, limit: int) -> list[Version]:
    """At most ``limit`` versions of paths that begin with ``prefix`` and are >= ``start``, in the order of their UTF-8."""
    first = max(encode(prefix), encode(start))
    wanted: list[Version] = []
    group: list[Version] = []
    cut = b""
    for key in _names(index, transaction, identity, encode(prefix), first):
        # Paths that are equal as far as they are in keys are in any order there.
        if key[: _IDENTITY_BYTES + CUT_BYTES] != cut:
            wanted += sorted(group, key=_order)
            group, cut = [], key[: _IDENTITY_BYTES + CUT_BYTES]
            if len(wanted) >= limit:
                return wanted[:limit]
        raw = transaction.get(key[-16:], db=index.versions)
        if raw is not None:
            version = Version.unpacked(raw)
            if version.thing.path.startswith(prefix) and encode(version.thing.path) >= first:
                group.append(version)
    return (wanted + sorted(group, key=_order))[:limit]


def _names(index: Index, transaction: Transaction, identity: str, prefix: bytes, first: bytes) -> Iterator[bytes]:
    store = _store_key(identity)
    return (key for key, _ in pairs(transaction, index.names, store + prefix[:CUT_BYTES], store + first[:CUT_BYTES]))


def _order(version: Version) -> tuple[bytes, str]:
    return encode(version.thing.path), version.thing.validator


@lru_cache(maxsize=64)
def _store_key(identity: str) -> bytes:
    return hashlib.blake2b(identity.encode(), digest_size=_IDENTITY_BYTES).digest()

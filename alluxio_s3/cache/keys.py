"""What pages are kept by, and what is known of them: values that the page store and its callers share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

from attrs import frozen

from alluxio_s3.storage import Status

VERSION_BYTES = 16


@frozen
class CachedObject:
    """One version of one object.

    ``identity`` is that of its under-store (see ``interfaces.IIdentified``); ``path``, ``validator`` and ``size`` (bytes) are those of
    its Status.
    """

    identity: str
    path: str
    validator: str
    size: int

    @property
    def version(self) -> bytes:
        """The key of this version."""
        return version_key(self.identity, self.path, self.validator)


@frozen(eq=False)
class NewPage:
    """Page ``number`` of ``thing``, as it came: ``pieces`` are all of its bytes, in order.

    ``wanted``: somebody has asked for it to be kept, so it need not be read a second time to stay.
    """

    thing: CachedObject
    number: int
    pieces: Sequence[bytes | memoryview]
    wanted: bool = False

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return sum(map(len, self.pieces))


@frozen
class Known:
    """What is remembered of a path.

    ``generation`` changes whenever the path is forgotten; ``status`` is None when nothing is known; ``checked_ns`` is when
    the under-store was last asked, as ``PageStore.learn`` was told.
    """

    generation: int
    status: Status | None
    checked_ns: int


@frozen
class CachedVersion:
    """A version of an object of which pages are kept.

    ``size`` is the object's, ``stored`` what its ``pages`` pages hold of it, both in bytes. ``rank`` is how many pages of its directory
    would be evicted before the first of its own, as far as that was counted; None if it is further back.
    """

    path: str
    validator: str
    size: int
    pages: int
    stored: int
    rank: int | None


@frozen
class Freed:
    """How much ``PageStore.free`` has freed: versions of objects, and bytes of them."""

    objects: int
    stored: int


@lru_cache(maxsize=8192)
def version_key(identity: str, path: str, validator: str) -> bytes:
    """16 bytes that tell a version of an object from every other, of this store and of every other."""
    digest = hashlib.blake2b(digest_size=VERSION_BYTES)
    for part in (identity, path, validator):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.digest()

"""What is kept with an object besides its bytes: a small file in the reserved directory for each path.

It holds a line for the object that is there, and one for the object that is about to take its place: each is bound to the validator of
its object, so that none is ever another's. Where the validator is not known before the object is there (an object store gives it), the
line is bound by size and time until it is. An object that others wrote has no line that fits, and so no attributes.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress

from attrs import define, evolve

from alluxio_s3.storage import Attributes, NoSuchPath
from alluxio_s3.ufs.fsspec_store.facts import Facts
from alluxio_s3.ufs.fsspec_store.staging import Staging
from alluxio_s3.ufs.local.containment import RESERVED
from alluxio_s3.ufs.local.record import Record, decode, encode

RECORDS = f"{RESERVED}/records"
NONE = Attributes()
# A line that nobody came back to bind holds for objects of this time after it, and so much before, if clocks differ.
_LATEST_NS = 3600 * 10**9
_EARLIEST_NS = 900 * 10**9
_MOST_BYTES = 1 << 20


def place_of(path: str) -> str:
    """Where the lines of the object at ``path`` are."""
    name = hashlib.sha256(path.encode()).hexdigest()
    return f"{RECORDS}/{name[:2]}/{name}"


def bound(attributes: Attributes, facts: Facts) -> Record:
    """The line of an object that is there. Its ETag is the store's, so none is kept."""
    return Record(evolve(attributes, etag=None), facts.size, version=facts.validator)


def expected(attributes: Attributes, size: int) -> Record:
    """The line of an object that will be there."""
    return Record(evolve(attributes, etag=None), size, created_ns=time.time_ns())


def fitting(lines: list[Record], facts: Facts) -> Record | None:
    """That of ``lines`` which is the object's."""
    for line in lines:
        if line.version == facts.validator:
            return line
    old = {line.version for line in lines if line.version is not None}
    for line in lines:
        begun = line.created_ns
        if line.version is None and begun is not None and line.size == facts.size and facts.validator not in old:
            near = not facts.modified_ns or begun - _EARLIEST_NS <= facts.modified_ns <= begun + _LATEST_NS
            return line if near else None
    return None


@define(eq=False)
class Records:
    """Reads and writes them."""

    _staging: Staging

    def read(self, path: str) -> list[Record]:
        """The lines for ``path``; none where nothing is kept."""
        try:
            raw = self._staging.remote.read_all(place_of(path), _MOST_BYTES)
        except NoSuchPath:
            return []
        return [record for record in map(decode, raw.split(b"\n")) if record is not None]

    def write(self, path: str, lines: list[Record]) -> None:
        """Keep these lines."""
        self._staging.replace(place_of(path), b"\n".join(encode(line) for line in lines))

    def forget(self, path: str) -> None:
        """Keep none."""
        with suppress(NoSuchPath):
            self._staging.remote.remove(place_of(path))

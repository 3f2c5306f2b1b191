"""How a page store does, in numbers."""

from __future__ import annotations

from attrs import frozen


@frozen
class PlaceStats:
    """How one directory does: bytes of disk and pages in it, evictions since the index was made, and whether it is in use.

    ``evicted`` and ``damaged`` are pages that this process has evicted, and found to be no good, since it took part in the index.
    """

    path: str
    size: int
    stored: int
    pages: int
    evictions: int
    on: bool
    evicted: int = 0
    damaged: int = 0


@frozen
class Stats:
    """How the store does. ``hits`` and ``misses`` are of this process since it started."""

    hits: int
    misses: int
    places: tuple[PlaceStats, ...]

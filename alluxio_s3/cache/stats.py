"""How a page store does, in numbers."""

from __future__ import annotations

from attrs import frozen


@frozen
class PlaceStats:
    """How one directory does: bytes of disk and pages in it, evictions since the index was made, and whether it is in use."""

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

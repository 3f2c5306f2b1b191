"""What is counted of the cache for each mount: what was read through it, and what was fetched for it."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen
from zope.interface import implementer

from alluxio_s3.interfaces import IMetrics, ITally
from alluxio_s3.storage import Provenance


@implementer(ITally)
class _Nobody:
    """Counts for nobody."""

    def add(self, amount: float = 1) -> None:
        """See ITally."""


_NOBODY = _Nobody()


@frozen
class MountFigures:
    """The figures of one mount: ``reads`` by how the cache came by them, the bytes of answers by where they came from, what was fetched."""

    reads: Callable[[str], ITally] = lambda _: _NOBODY
    from_disk: ITally = _NOBODY
    from_flight: ITally = _NOBODY
    from_store: ITally = _NOBODY
    fills: Callable[[str], ITally] = lambda _: _NOBODY
    filled: ITally = _NOBODY

    def read(self, provenance: Provenance) -> None:
        """An object is about to be read."""
        self.reads("hit" if not provenance.forward else "validated" if provenance.validated else provenance.forward).add()


UNCOUNTED = MountFigures()


def mount_figures(metrics: IMetrics, mount: str) -> MountFigures:
    """Those of the mount at ``mount``, in ``metrics``."""
    reads = metrics.counters(
        "alluxio_s3_cache_reads_total",
        "Reads of objects through the cache: `hit`, `validated` (the store was asked, the bytes are the cache's), `partial`, `uri-miss`,"
        " `bypass`.",
        ("mount", "result"),
    )
    read = metrics.counters(
        "alluxio_s3_cache_read_bytes_total",
        "Bytes of objects that were given through the cache: from its `disk`, from what was on its way there (`flight`), or past it"
        " (`store`). A small hot object counts whole.",
        ("mount", "source"),
    )
    fills = metrics.counters(
        "alluxio_s3_cache_fills_total",
        "Pages that were fetched for the cache (`fetched`), or could not be (`failed`), or whose fetch was given up (`dropped`).",
        ("mount", "result"),
    )
    filled = metrics.counters("alluxio_s3_cache_fill_bytes_total", "Bytes of pages that were fetched for the cache.", ("mount",))
    return MountFigures(
        lambda result: reads(mount, result),
        read(mount, "disk"),
        read(mount, "flight"),
        read(mount, "store"),
        lambda result: fills(mount, result),
        filled(mount),
    )

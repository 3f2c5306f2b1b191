"""Pages with bytes that can be told from their names, and what they take of the disk."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from alluxio_s3.cache.keys import CachedObject
from alluxio_s3.cache.page import Page
from alluxio_s3.cache.store import PageStore, Place

PAGE_BYTES = 64 << 10


def later_ns() -> int:
    """A wall clock that is ahead, so that a page that was just written counts as settled."""
    return time.time_ns() + 10**9


def made_store(directory: Path, size: int = 1 << 20, page_bytes: int = PAGE_BYTES, **options) -> PageStore:
    """A store with one directory."""
    return PageStore([Place(str(directory), size)], page_bytes, wall_ns=later_ns, **options)


def thing(path: str, validator: str = "v1", pages: int = 4) -> CachedObject:
    """A version of an object."""
    return CachedObject("mem://a", path, validator, pages * PAGE_BYTES)


def body(one: CachedObject, number: int, count: int = PAGE_BYTES) -> bytes:
    """The bytes of a page."""
    return hashlib.shake_128(f"{one.identity}\n{one.path}\n{one.validator}\n{number}".encode()).digest(count)


def put(store: PageStore, one: CachedObject, number: int = 0, count: int = PAGE_BYTES) -> bool:
    """Keep a page."""
    return store.put(one, number, memoryview(body(one, number, count)))


def content(page: Page) -> bytes:
    """The bytes of an open page, which is released."""
    try:
        return os.pread(page.fileno(), page.size, 0)
    finally:
        page.release()


def read(store: PageStore, one: CachedObject, number: int = 0) -> bytes | None:
    """The bytes of a page as the store has them, the quick way if there is one; None for a miss."""
    page = store.hot(one.version, number) or store.open(one.version, number)
    return content(page) if page is not None else None


def files(directory: Path) -> Sequence[Path]:
    """The files of pages, in order."""
    return sorted(path for path in (directory / "pages").glob("*/*") if path.is_file())


def on_disk(directory: Path) -> int:
    """Bytes of disk that pages take, those that are being written too."""
    found = [*(directory / "pages").rglob("*"), *(directory / "fills").rglob("*")]
    return sum(path.stat().st_blocks * 512 for path in found if path.is_file())

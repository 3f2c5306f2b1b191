"""What a page store does now and then: it tells the policy what was read, gives back room, tries disks again, and repairs after a crash.

Repair goes on beside the serving of requests, a little at a time, since nothing depends on it but room: a file without an entry is
never read, and an entry without a file is a miss.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import lmdb
from twisted.logger import Logger

from alluxio_s3.cache.directory import Directory
from alluxio_s3.cache.eviction import MOST_MARKS, Eviction
from alluxio_s3.cache.index import Tally, page_key
from alluxio_s3.cache.open_pages import Key
from alluxio_s3.cache.stock import Stock

# So long one round may repair, and so many things are looked at in one step.
REPAIR_SECONDS = 0.2
BATCH = 256
MOST_TOUCHED = 2048

_log = Logger()


class Upkeep:
    """The upkeep of ``stock``. All of it blocks; ``round`` raises nothing."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock
        self._repairs = ExitStack()
        self._repair: Iterator[None] | None = None
        self._seen: Tally | None = None
        if not stock.session.clean and self._repairs.enter_context(stock.session.repairing()):
            self._repair = self._repaired()
        else:
            self._repairs.close()

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to repair."""
        return self._repair is None

    def round(self, touched: set[Key]) -> None:
        """All that is to be done, once. ``touched`` are pages that were read since the last time."""
        try:
            self.mark(touched)
            self._close_removed()
            self._stock.index.clear_dead_readers()
            for directory in self._stock.directories:
                self._look_after(directory)
            self._stock.reclaim()
            self._go_on()
        except (OSError, lmdb.Error, ValueError) as problem:
            _log.warn("The upkeep of the cache failed: {problem}", problem=str(problem))

    def mark(self, touched: set[Key]) -> None:
        """Tell the policy what was read. A page that has all marks that it can have costs no change."""
        index = self._stock.index
        keys = [page_key(*one) for one in islice(touched, MOST_TOUCHED)]
        with index.reading() as transaction:
            found = {key: index.find(transaction, key) for key in keys}
        for start in range(0, len(keys), BATCH):
            with index.writing() as writing:
                for key in keys[start : start + BATCH]:
                    one = found[key]
                    if one is not None and one.entry.is_page and one.entry.marks < MOST_MARKS:
                        Eviction(writing.shelf(one.place, 0)).touch(key)

    def close(self) -> None:
        """Leave the repair, if there is one, to another process."""
        self._repair = None
        self._repairs.close()

    def _close_removed(self) -> None:
        """Let go of pages that others have removed, if anything has changed at all since the last time."""
        with self._stock.index.reading() as transaction:
            tally = self._stock.index.tally(transaction)
        if tally != self._seen:
            self._seen = tally
            self._stock.open_pages.drop_removed()

    def _look_after(self, directory: Directory) -> None:
        stock = self._stock
        try:
            if directory.wants_retry():
                directory.prepare(stock.session.origin.identity)
                if directory.on:
                    # What was kept elsewhere meanwhile may have left a file here that nobody knows.
                    self._repair = self._repaired()
                    _log.info("The cache uses {path} again", path=directory.path)
            discarded = directory.discarded()
            until = time.monotonic() + REPAIR_SECONDS
            left = [one for one in discarded if not _removed(one, until)]
            if discarded and not left:
                directory.prepare(stock.session.origin.identity)
            if not directory.on:
                return
            directory.limit = min(directory.size, directory.limit + directory.size // 60)
            with stock.index.writing() as writing:
                gone = stock.make_room(writing, directory, 0)
            stock.close_gone(gone or ())
        except (OSError, ValueError) as problem:
            directory.tried()
            directory.failed(problem)

    def _go_on(self) -> None:
        until = time.monotonic() + REPAIR_SECONDS
        while self._repair is not None and time.monotonic() < until:
            for _ in self._repair:
                break
            else:
                self.close()

    def _repaired(self) -> Iterator[None]:
        """Remove files that no entry knows, and entries that have no file; each step is short."""
        for directory in self._stock.directories:
            if directory.on:
                yield from self._remove_strays(directory)
        start: bytes | None = b""
        while start is not None:
            start = self._drop_fileless(start)
            yield

    def _remove_strays(self, directory: Directory) -> Iterator[None]:
        index = self._stock.index
        for fill in Path(directory.path, "fills").iterdir():
            token = _token(fill.name)
            if token is None or not self._stock.session.is_live(token):
                fill.unlink(missing_ok=True)
        for number, key in enumerate(directory.files()):
            with index.reading() as transaction:
                found = index.find(transaction, key)
            if found is None or not found.entry.is_page or found.place != directory.number:
                with index.writing() as writing:  # nobody gives or takes names meanwhile
                    found = writing.find(key)
                    if found is None or not found.entry.is_page or found.place != directory.number:
                        directory.remove(key)
            if number % BATCH == BATCH - 1:
                yield

    def _drop_fileless(self, start: bytes) -> bytes | None:
        """Look at some entries from ``start`` on; where the next begin."""
        stock, index = self._stock, self._stock.index
        with index.reading() as transaction:
            keys = list(islice(index.keys(transaction, b"", start), BATCH))
            found = {key: index.find(transaction, key) for key in keys}
        for key, one in found.items():
            directory = stock.directory(one.place) if one is not None else None
            if one is not None and directory is not None and one.entry.is_page and not Path(directory.file(key)).exists():
                stock.discard(key, one.position)
        return keys[-1] + b"\0" if len(keys) == BATCH else None


def _token(name: str) -> bytes | None:
    try:
        return bytes.fromhex(name.partition(".")[0])
    except ValueError:
        return None


def _removed(path: Path, until: float) -> bool:
    """Remove a discarded directory, or a part of it if that takes longer than ``until``; whether it has gone."""
    for part in path.iterdir():
        if time.monotonic() > until:
            return False
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink()
    path.rmdir()
    return True

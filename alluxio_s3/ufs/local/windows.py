"""Stretches of a directory's names, in the order of a listing, in bounded memory.

A kernel gives names in any order, so that the next page of a large directory needs a look at all of it. A *window* keeps
the smallest names from some point on; pages that fall into it cost nothing as long as the directory is the same.
"""

from __future__ import annotations

import os
import stat
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator
from threading import Lock

from attrs import define, field, frozen

from alluxio_s3.s3.target import key_problem
from alluxio_s3.ufs.local.containment import RESERVED

_SCANS = 4
# A directory that changed within the clock's last tick may have changed again with the same modification time.
_TICK_NS = 20 * 10**6
# For a window that is kept, the coarsest clock that file systems have counts.
_TRUSTED_AFTER_NS = 2 * 10**9

LinkKind = Callable[[str], int | None]
"""The mode of what the symbolic link of that name leads to; None if it leads nowhere."""


@frozen
class Window:
    """Names of a directory, sorted; that of a directory in it ends with a slash, and sorts so.

    They are all that sort from ``low`` on, up to ``high`` (None: to the end); both are such names themselves.
    """

    low: str
    high: str | None
    names: tuple[str, ...]

    def covers(self, bound: str) -> bool:
        """Whether it holds the next name from ``bound`` on."""
        return self.low <= bound and (self.high is None or bound <= self.high)

    def following(self, bound: str) -> Iterator[str]:
        """The names from ``bound`` on."""
        for place in range(bisect_left(self.names, bound), len(self.names)):
            yield self.names[place]


@frozen
class _Kept:
    window: Window
    modified_ns: int


class Windows:
    """The windows of the directories that were listed last, for any number of threads.

    ``size`` is how many names a window takes at least before it is cut off, and ``most`` how many are kept in all.
    """

    def __init__(self, size: int = 10_000, most: int = 200_000, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._size = size
        self._most = most
        self._now_ns = now_ns
        self._lock = Lock()
        self._kept: OrderedDict[tuple[int, int, str], _Kept] = OrderedDict()
        self._names = 0

    def window(self, descriptor: int, bound: str, link_kind: LinkKind) -> Window:
        """The window of the open directory that covers ``bound``. Blocks; raises OSError."""
        found = os.fstat(descriptor)
        window = self._find(found, bound)
        if window is None:
            window = self._scan(descriptor, found, bound, link_kind)
        return window

    def _find(self, found: os.stat_result, bound: str) -> Window | None:
        directory = (found.st_dev, found.st_ino)
        with self._lock:
            for key, kept in self._kept.items():
                if key[:2] == directory and kept.modified_ns == found.st_mtime_ns and kept.window.covers(bound):
                    self._kept.move_to_end(key)
                    return kept.window
        return None

    def _keep(self, found: os.stat_result, window: Window) -> None:
        key = (found.st_dev, found.st_ino, window.low)
        with self._lock:
            replaced = self._kept.pop(key, None)
            self._kept[key] = _Kept(window, found.st_mtime_ns)
            self._names += len(window.names) - (len(replaced.window.names) if replaced else 0)
            while self._names > self._most:
                _, dropped = self._kept.popitem(last=False)
                self._names -= len(dropped.window.names)

    def _scan(self, descriptor: int, found: os.stat_result, bound: str, link_kind: LinkKind) -> Window:
        smallest = _Smallest(bound, self._size)
        links = False
        for _ in range(_SCANS):
            before, now = found, self._now_ns()
            links |= _collect(descriptor, smallest, link_kind)
            found = os.fstat(descriptor)
            # While a name is replaced some file systems hide it for a moment; a second look, put together with the first, has it.
            if before.st_mtime_ns == found.st_mtime_ns < now - _TICK_NS:
                break
        low, high, names = smallest.result()
        window = Window(low, high, tuple(name for name in names if not is_hidden(name)))
        # What a link leads to may change without a trace in this directory.
        if not links and before.st_mtime_ns == found.st_mtime_ns < now - _TRUSTED_AFTER_NS:
            self._keep(found, window)
        return window


@define
class _Smallest:
    """The ``size`` smallest of the names it is given from ``bound`` on, or simply all while they are few."""

    bound: str
    size: int
    names: set[str] = field(factory=set)
    high: str | None = None
    cut: bool = False

    def add(self, name: str) -> None:
        if self.high is not None and name > self.high:
            return
        if self.cut and name < self.bound:
            return
        self.names.add(name)
        if len(self.names) >= 2 * self.size:
            self._trim()

    def result(self) -> tuple[str, str | None, list[str]]:
        names = sorted(self.names)
        if len(names) > self.size and self.high is not None:
            names = names[: self.size]
            self.high = names[-1]
        return (self.bound if self.cut else "", self.high, names)

    def _trim(self) -> None:
        names = sorted(self.names)
        if not self.cut:
            self.cut = True
            names = names[bisect_left(names, self.bound) :]
        if len(names) > self.size:
            names = names[: self.size]
            self.high = names[-1]
        self.names = set(names)


def _collect(descriptor: int, smallest: _Smallest, link_kind: LinkKind) -> bool:
    """Give ``smallest`` every name of the open directory that may be a key; whether there was a link among them."""
    links = False
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                smallest.add(entry.name)
            elif entry.is_dir(follow_symlinks=False):
                smallest.add(f"{entry.name}/")
            elif entry.is_symlink():
                links = True
                mode = link_kind(entry.name)
                if mode is not None and stat.S_ISREG(mode):
                    smallest.add(entry.name)
                elif mode is not None and stat.S_ISDIR(mode):
                    smallest.add(f"{entry.name}/")
    return links


def is_hidden(name: str) -> bool:
    """Whether no key can have a segment of that name."""
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:  # the bytes on the disk are not UTF-8
            return True
    return name.rstrip("/") == RESERVED or key_problem(name) is not None

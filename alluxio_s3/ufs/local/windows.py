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
from contextlib import suppress
from threading import BoundedSemaphore, Lock

from attrs import define, field, frozen

from alluxio_s3.s3.target import key_problem
from alluxio_s3.ufs.local.containment import RESERVED

_SCANS = 4
# How many scans of large directories may go on at once: each holds up to one and a half windows' names.
_LARGE_SCANS = 2
# What keeping a window takes besides its names, in names.
_OVERHEAD = 8
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


class _TooMany(Exception):
    """A directory has more names than were to be taken."""


class Windows:
    """The windows of the directories that were listed last, for any number of threads.

    ``size`` is how many names a window takes at least before it is cut off, and ``most`` how many are kept in all; it is more than
    one and a half times as many. A directory of up to ``few`` names is looked at whatever else goes on.
    """

    def __init__(self, size: int = 50_000, most: int = 100_000, now_ns: Callable[[], int] = time.time_ns, few: int = 10_000) -> None:
        self._size = size
        self._few = min(few, size)
        self._now_ns = now_ns
        self._kept = _Shelf(most)
        self._large = BoundedSemaphore(_LARGE_SCANS)

    def window(self, descriptor: int, bound: str, link_kind: LinkKind) -> Window:
        """The window of the open directory that covers ``bound``. Blocks; raises OSError."""
        found = os.fstat(descriptor)
        window = self._kept.find(found, bound)
        if window is not None:
            return window
        with suppress(_TooMany):
            return self._scan(descriptor, found, _Smallest(bound, self._few, overflows=True), link_kind)
        with self._large:
            found = os.fstat(descriptor)
            # Whoever was waited for may have been after the same.
            window = self._kept.find(found, bound)
            return window or self._scan(descriptor, found, _Smallest(bound, self._size), link_kind)

    def _scan(self, descriptor: int, found: os.stat_result, smallest: _Smallest, link_kind: LinkKind) -> Window:
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
            self._kept.put(found, window)
        return window


class _Shelf:
    """Windows of directories as of a modification time; those used last stay while they have no more than ``most`` names."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._windows: OrderedDict[tuple[int, int, str], Window] = OrderedDict()
        # By directory: as of when its windows are, and where each of them begins.
        self._directories: dict[tuple[int, int], tuple[int, set[str]]] = {}
        self._names = 0

    def find(self, found: os.stat_result, bound: str) -> Window | None:
        """The window of the directory ``found`` that covers ``bound``, if it is here."""
        with self._lock:
            modified_ns, lows = self._directories.get((found.st_dev, found.st_ino), (0, ()))
            if modified_ns == found.st_mtime_ns:
                for low in lows:
                    key = (found.st_dev, found.st_ino, low)
                    if self._windows[key].covers(bound):
                        self._windows.move_to_end(key)
                        return self._windows[key]
        return None

    def put(self, found: os.stat_result, window: Window) -> None:
        """Keep a window of the directory ``found``; those as of another time go."""
        directory = (found.st_dev, found.st_ino)
        with self._lock:
            modified_ns, lows = self._directories.get(directory, (0, set()))
            for low in set(lows) if modified_ns != found.st_mtime_ns else lows & {window.low}:
                self._drop((*directory, low))
            self._directories.setdefault(directory, (found.st_mtime_ns, set()))[1].add(window.low)
            self._windows[*directory, window.low] = window
            self._names += len(window.names) + _OVERHEAD
            while self._names > self._most:
                self._drop(next(iter(self._windows)))

    def _drop(self, key: tuple[int, int, str]) -> None:
        self._names -= len(self._windows.pop(key).names) + _OVERHEAD
        _, lows = self._directories[key[:2]]
        lows.remove(key[2])
        if not lows:
            del self._directories[key[:2]]


@define
class _Smallest:
    """The ``size`` smallest of the names it is given from ``bound`` on, or simply all while they are fewer than half as many again.

    With ``overflows`` more than ``size`` are _TooMany.
    """

    bound: str
    size: int
    overflows: bool = False
    names: set[str] = field(factory=set)
    high: str | None = None
    cut: bool = False

    def add(self, name: str) -> None:
        if self.high is not None and name > self.high:
            return
        if self.cut and name < self.bound:
            return
        self.names.add(name)
        if len(self.names) > self.size and (self.overflows or len(self.names) >= self.size * 3 // 2):
            self._trim()

    def result(self) -> tuple[str, str | None, list[str]]:
        names = sorted(self.names)
        if len(names) > self.size and self.high is not None:
            names = names[: self.size]
            self.high = names[-1]
        return (self.bound if self.cut else "", self.high, names)

    def _trim(self) -> None:
        if self.overflows:
            raise _TooMany
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

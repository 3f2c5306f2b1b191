"""The keys of a tree of directories in the order of their bytes, from any point on.

In a directory a file sorts as its name, a directory as its name with a slash: then all that is below it comes where it sorts
itself. So a walk needs to open only the directories in which the wanted keys are, and never holds more than one window of names
for each directory on its way.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from functools import partial
from itertools import islice

from attrs import define, field

from alluxio_s3.s3.target import MAX_KEY_BYTES, key_problem
from alluxio_s3.storage import Listing, NoSuchPath, Status
from alluxio_s3.ufs.local.containment import RESERVED
from alluxio_s3.ufs.local.identity import folder_status, is_folder_object, object_status, same_file
from alluxio_s3.ufs.local.tree import Tree, can_be_bucket
from alluxio_s3.ufs.local.windows import Windows

Identity = tuple[int, int]
_LOOKS = 100
_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG)
_LOST_AND_FOUND = "lost+found/"


def list_keys(tree: Tree, windows: Windows, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
    """See IUnderFileSystem.list. Blocks; raises OSError."""
    with (
        tree.records.sidecars() as sidecars,
        closing(_Walk(tree, windows, sidecars, prefix, max(prefix, start)).entries(delimiter)) as entries,
    ):
        found = tuple(islice(entries, limit + 1))
    return Listing(found[:limit], complete=len(found) <= limit)


@define
class _Level:
    """A directory on the way of a walk: where it stands in it, and the descriptor while it is needed.

    ``path`` is empty or ends with a slash; ``bound`` is the name from which it goes on.
    """

    tree: Tree
    windows: Windows
    sidecars: int | None
    path: str
    identity: Identity
    bound: str
    descriptor: int = -1
    _names: Iterator[str] = field(factory=partial(iter, ()))
    _more: bool = True

    def opened(self) -> int:
        if self.descriptor < 0:
            self.descriptor = self.tree.root.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        return self.descriptor

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def next_name(self) -> str | None:
        """The next name in it; None at the end, or when the directory has gone."""
        while (name := next(self._names, None)) is None and self._more:
            try:
                window = self.windows.window(self.opened(), self.bound, self._link_kind)
            except OSError as error:
                if error.errno in _NOTHING_THERE:
                    return None
                raise
            self._names = window.following(self.bound)
            self._more = window.high is not None
            if window.high is not None:
                self.bound = window.high + "\0"
        return name

    def file(self, name: str) -> Status | None:
        """The Status of the file ``name``; None if there is none any more."""
        path = self.path + name
        with suppress(FileNotFoundError, NotADirectoryError, NoSuchPath):
            directory = self.opened()
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            for _ in range(_LOOKS):
                if stat.S_ISLNK(found.st_mode):
                    return self._linked(path)
                if not stat.S_ISREG(found.st_mode):
                    return None
                record = self.tree.records.read_at(directory, name, found, self.sidecars)
                if record is not None and record.describes(found):
                    return object_status(path, found, record)
                # Without a record that fits it may have been replaced between the two looks.
                again = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if same_file(found, again):
                    return object_status(path, found, record)
                found = again
            return self.tree.status(path)
        return None

    def _linked(self, path: str) -> Status | None:
        try:
            return self.tree.status(path)
        except OSError as error:
            if error.errno in _NOTHING_THERE:
                return None
            raise

    def _link_kind(self, name: str) -> int | None:
        try:
            with self.tree.root.opened(self.path + name) as target:
                return os.fstat(target).st_mode
        except OSError as error:
            if error.errno in _NOTHING_THERE:
                return None
            raise


@define
class _Walk:
    """One listing of the keys from ``low`` on that begin with ``prefix``; ``low`` is not before it."""

    tree: Tree
    windows: Windows
    sidecars: int | None
    prefix: str
    low: str
    above: tuple[Identity, ...] = field(init=False, default=())

    def entries(self, delimiter: str) -> Generator[Status | str, None, None]:
        base = self.prefix[: self.prefix.rfind("/") + 1]
        # What no key can begin with is not asked of the kernel.
        if not self.low.startswith(self.prefix) or key_problem(base) or RESERVED in base.split("/") or not self._approach(base):
            return
        level = self._enter(base)
        if level is None:
            return
        with closing(self._folded(level) if delimiter else self._below(level)) as found:
            yield from found

    def _approach(self, base: str) -> bool:
        """Learn which directories are above ``base``; whether it can be listed at all."""
        above: list[Identity] = []
        try:
            for place in range(len(base)):
                if place == 0 or base[place - 1] == "/":
                    with self.tree.root.opened(base[:place]) as descriptor:
                        above.append(_identity(os.fstat(descriptor)))
        except OSError as error:
            if error.errno in _NOTHING_THERE:
                return False
            raise
        self.above = tuple(above)
        return len(set(above)) == len(above)

    def _below(self, first: _Level) -> Generator[Status, None, None]:
        """``first`` as a folder, and every key below it."""
        levels = [first]
        try:
            yield from self._folder(first)
            while levels:
                level = levels[-1]
                name = level.next_name()
                if name is None or not (level.path + name).startswith(self.prefix):
                    levels.pop().close()
                elif not name.endswith("/"):
                    yield from self._file(level, name)
                else:
                    child = self._enter(level.path + name, tuple(one.identity for one in levels))
                    if child is not None:
                        level.close()  # one descriptor at a time, however deep the tree
                        levels.append(child)
                        yield from self._folder(child)
        finally:
            for level in levels:
                level.close()

    def _folded(self, first: _Level) -> Generator[Status | str, None, None]:
        """``first`` as a folder, the keys right in it, and its directories as common prefixes."""
        try:
            yield from self._folder(first)
            while (name := first.next_name()) is not None and (first.path + name).startswith(self.prefix):
                if not name.endswith("/"):
                    yield from self._file(first, name)
                else:
                    child = self._enter(first.path + name, (first.identity,))
                    if child is not None and self._has_keys(child):
                        yield first.path + name
        finally:
            first.close()

    def _has_keys(self, level: _Level) -> bool:
        if self.tree.folders and self._is_wanted(level):  # then it is itself the first
            level.close()
            return True
        with closing(self._below(level)) as below:
            return next(below, None) is not None

    def _is_wanted(self, level: _Level) -> bool:
        """Whether the folder itself is among what is listed, if it is a key."""
        return level.path >= self.low and level.path.startswith(self.prefix) and not self.tree.is_top(level.path)

    def _is_too_long(self, path: str) -> bool:
        """Whether no key can be so long. The name of the bucket is none of the key."""
        key = path.partition("/")[2] if self.tree.buckets else path
        return len(key) > MAX_KEY_BYTES // 4 and len(key.encode()) > MAX_KEY_BYTES

    def _file(self, level: _Level, name: str) -> Generator[Status, None, None]:
        path = level.path + name
        if path >= self.low and not (self.tree.buckets and not level.path) and not self._is_too_long(path):
            status = level.file(name)
            if status is not None:
                yield status

    def _folder(self, level: _Level) -> Generator[Status, None, None]:
        """The folder itself, if it is a key."""
        if self._is_wanted(level):
            descriptor = level.opened()
            found = os.fstat(descriptor)
            record = self.tree.records.read(descriptor, found)
            if is_folder_object(record, every=self.tree.folders):
                yield folder_status(level.path, found, record, descriptor)

    def _enter(self, path: str, above: tuple[Identity, ...] = ()) -> _Level | None:
        """The directory at ``path`` from the first name on that matters; None if nothing in it does, or it is above itself."""
        bound = _bound(path, self.low)
        if bound is None or self._is_too_long(path) or (self.tree.buckets and path.count("/") == 1 and not can_be_bucket(path[:-1])):
            return None
        try:
            descriptor = self.tree.root.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            if error.errno in _NOTHING_THERE or (error.errno == errno.EACCES and path == _LOST_AND_FOUND):
                return None
            raise  # a listing that silently lacks keys would have them deleted elsewhere
        level = _Level(self.tree, self.windows, self.sidecars, path, _identity(os.fstat(descriptor)), bound, descriptor)
        if level.identity in self.above or level.identity in above:
            level.close()
            return None
        return level


def _bound(directory: str, low: str) -> str | None:
    """The first name in ``directory`` at or below which there may be a key from ``low`` on; None if there is none."""
    if low.startswith(directory):
        head, slash, _ = low[len(directory) :].partition("/")
        return head + slash
    return "" if low < directory else None


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino

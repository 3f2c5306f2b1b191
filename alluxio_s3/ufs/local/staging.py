"""The reserved directory: temporary files on their way to be objects, and small files of the daemon's own.

``.alluxio-s3/tmp`` holds the temporary files, named ``<run>.<n>`` (see ``runs``), ``attributes`` the sidecars. Everything
here blocks and raises ``OSError``.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from alluxio_s3.ufs.local import kernel
from alluxio_s3.ufs.local.containment import RESERVED, Root
from alluxio_s3.ufs.local.descriptor import Descriptor
from alluxio_s3.ufs.local.durability import Durability
from alluxio_s3.ufs.local.locks import byte_lock, suppress_unlockable
from alluxio_s3.ufs.local.runs import MAKING, SUFFIX, begin, sweep

_RESERVE_FROM = 1 << 20
_SLICE = 64 << 20
_SMALL = 1 << 20
_MOST_UNDONE = 1000
_START_UP = 1 << 40  # the byte of the lock file that a process holds while it prepares


class Staging:
    """The reserved directory below ``root``, made when it is first needed."""

    def __init__(self, root: Root, durability: Durability) -> None:
        self.root = root
        self.durability = durability
        self._lock = Lock()
        self._run = ""
        self._run_file = -1
        self._numbers = itertools.count(1)
        # Temporary files that could not be removed when they were no longer wanted: a name, and the directory where it is.
        self._undone: deque[tuple[str, str]] = deque(maxlen=_MOST_UNDONE)
        self._unfinished: list[str] = []
        self.file_mode = 0o666 & ~_umask()

    def prepare(self) -> None:
        """Make the reserved directory and remove what dead runs left in it. Done by itself at the first write."""
        with self._lock:
            if not self._run:
                self._prepare()

    def close(self) -> None:
        """End the run of this process."""
        with self._lock:
            if self._run:
                with suppress(OSError), self.directory("tmp") as tmp:
                    os.unlink(self._run + SUFFIX, dir_fd=tmp)
                os.close(self._run_file)
                self._run = ""

    @contextmanager
    def directory(self, name: str) -> Iterator[int]:
        """The directory ``name`` in the reserved one, open. ENOENT before ``prepare`` or ``make_directory``."""
        with self.root.directory(f"{RESERVED}/{name}") as descriptor:
            yield descriptor

    def make_directory(self, name: str) -> None:
        """Make the directory ``name`` (with its parents) in the reserved one; nothing if it is there."""
        self.prepare()
        at = ""
        for segment in (RESERVED, *name.split("/")):
            self._make(at, segment)
            at = f"{at}/{segment}".removeprefix("/")

    def open_lock(self) -> int:
        """The file whose bytes are the locks between processes, opened anew."""
        self.prepare()
        return self._open_lock()

    def temporary(self, length: int | None = None) -> Temporary:
        """A new temporary file. ENOSPC, early, where there is no room for ``length`` bytes, which is reserved as they come."""
        self.prepare()
        self._remove_undone()
        name = f"{self._run}.{next(self._numbers)}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with self.directory("tmp") as tmp:
                descriptor = os.open(name, flags, 0o600, dir_fd=tmp)
        except FileNotFoundError:  # somebody removed the reserved directory under us
            self.make_directory("tmp")
            with self.directory("tmp") as tmp:
                descriptor = os.open(name, flags, 0o600, dir_fd=tmp)
        temporary = Temporary(self, name, Descriptor(descriptor), self.file_mode, announced=length or 0)
        if length is not None and length >= _RESERVE_FROM:
            try:
                kernel.check_room(descriptor, length)
            except BaseException:
                temporary.discard()
                raise
        return temporary

    @contextmanager
    def announced(self, what: str) -> Iterator[None]:
        """If this process dies within it, who prepares next is told *what*, as one of ``unfinished``. Nothing is flushed."""
        self.prepare()
        name = f"{self._run}.{next(self._numbers)}{MAKING}"
        with self.directory("tmp") as tmp:
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=tmp)
        try:
            with os.fdopen(file, "wb") as opened:
                opened.write(what.encode())
            yield
        finally:
            with suppress(OSError):  # it is tried again
                self.remove("tmp", name)

    def unfinished(self) -> list[str]:
        """What runs had announced that have died since; once."""
        unfinished, self._unfinished = self._unfinished, []
        return unfinished

    def write_small(self, directory: str, name: str, data: bytes) -> None:
        """Make or replace the small file ``name`` in the reserved ``directory``: atomic, as durable as objects are."""
        temporary = self.temporary()
        try:
            temporary.write(data)
            with temporary.descriptor.held() as descriptor:
                self.durability.file(descriptor)
            try:
                self._publish_small(temporary, directory, name)
            except FileNotFoundError:
                self.make_directory(directory)
                self._publish_small(temporary, directory, name)
        finally:
            temporary.discard()

    def read_small(self, directory: str, name: str) -> bytes | None:
        """The small file ``name`` in the reserved ``directory``; None if it is not there."""
        try:
            with self.root.opened(f"{RESERVED}/{directory}/{name}", os.O_RDONLY) as descriptor:
                return os.read(descriptor, _SMALL)
        except FileNotFoundError:
            return None

    def remove_small(self, directory: str, name: str, *, durable: bool = True) -> bool:
        """Remove the small file ``name`` in the reserved ``directory``; false if it is not there."""
        try:
            with self.directory(directory) as parent:
                os.unlink(name, dir_fd=parent)
                if durable:
                    self.durability.directory(parent)
        except FileNotFoundError:
            return False
        return True

    def remove(self, directory: str, name: str) -> None:
        """Remove a temporary file. What cannot be removed is tried again later; raises ``OSError`` then."""
        try:
            with suppress(FileNotFoundError), self.directory(directory) as parent:
                os.unlink(name, dir_fd=parent)
        except OSError:
            self._undone.append((directory, name))
            raise

    def _remove_undone(self) -> None:
        for _ in range(min(len(self._undone), 2)):
            with suppress(OSError, IndexError):
                self.remove(*self._undone.popleft())

    def _publish_small(self, temporary: Temporary, directory: str, name: str) -> None:
        with self.directory(directory) as target:
            temporary.rename(target, name)
            self.durability.directory(target)

    def _prepare(self) -> None:
        self._make("", RESERVED, 0o700)
        for name in ("tmp", "attributes"):
            self._make(RESERVED, name, 0o700)
        lock = self._open_lock()
        try:
            with suppress_unlockable():
                fcntl.fcntl(lock, fcntl.F_OFD_SETLKW, byte_lock(fcntl.F_WRLCK, _START_UP))
            with self.directory("tmp") as tmp:
                self._unfinished = sweep(tmp)
                self._run, self._run_file = begin(tmp)
        finally:
            os.close(lock)

    def _open_lock(self) -> int:
        with self.root.directory(RESERVED) as reserved:
            return os.open("lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=reserved)

    def _make(self, parent: str, name: str, mode: int = 0o700) -> None:
        with self.root.directory(parent) as descriptor:
            try:
                os.mkdir(name, mode, dir_fd=descriptor)
            except FileExistsError:
                os.close(os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor))
            else:
                self.durability.directory(descriptor)


class Temporary:
    """A temporary file that is not an object yet. ``size`` is how much was written. For one thread at a time.

    ``directory`` is where in the reserved directory it is. Room for what was ``announced`` is reserved as the bytes come, as much again as
    there is: to announce much costs a client nothing.
    """

    def __init__(
        self, staging: Staging, name: str, descriptor: Descriptor, mode: int, directory: str = "tmp", *, announced: int = 0
    ) -> None:
        self.staging = staging
        self.directory = directory
        self.name = name
        self.descriptor = descriptor
        self.size = 0
        self._mode = mode
        self._there = True
        self._announced = announced if announced >= _RESERVE_FROM else 0
        self._reserved = 0

    def write(self, data: bytes) -> None:
        """Append ``data``."""
        with self.descriptor.held() as descriptor:
            end = self.size + len(data)
            if self._reserved < min(end, self._announced):
                self._reserved = min(max(2 * end, _RESERVE_FROM), self._announced)
                kernel.reserve(descriptor, self._reserved)
            view = memoryview(data)
            while view:
                written = os.write(descriptor, view)
                self.size += written
                view = view[written:]

    def copy_from(self, source: int, offset: int, count: int) -> int | None:
        """Append up to ``count`` bytes of the open file ``source`` without reading them; how many (0 at its end).

        At most 64 MiB at a time. None, with nothing written, if the file system can't for that file.
        """
        with self.descriptor.held() as descriptor:
            try:
                copied = os.copy_file_range(source, descriptor, min(count, _SLICE), offset_src=offset)
            except OSError as error:
                if error.errno in (errno.EXDEV, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EBADF):
                    return None
                raise
            self.size += copied
            return copied

    def is_there(self) -> bool:
        """Whether the file still has its temporary name."""
        if self._there:
            with suppress(FileNotFoundError), self.staging.directory(self.directory) as tmp:
                os.stat(self.name, dir_fd=tmp, follow_symlinks=False)
                return True
        return False

    def open_up(self) -> None:
        """Give the file the mode that objects have."""
        with self.descriptor.held() as descriptor:
            os.fchmod(descriptor, self._mode)

    def rename(self, directory: int, name: str, *, replace: bool = True) -> None:
        """Make it the file ``name`` in ``directory``, in place of what is there, or with ``replace`` false EEXIST.

        ENOENT if the directory was removed meanwhile.
        """
        with self.staging.directory(self.directory) as tmp:
            if replace or not _rename_new(tmp, self.name, directory, name):
                os.rename(self.name, name, src_dir_fd=tmp, dst_dir_fd=directory)
        self._there = False

    def discard(self) -> None:
        """Close it, and remove it if it was not renamed. May be called twice."""
        self.descriptor.close()
        if self._there:
            self._there = False
            self.staging.remove(self.directory, self.name)


def _rename_new(source: int, old: str, target: int, new: str) -> bool:
    try:
        kernel.rename_new(source, old.encode(), target, new.encode())
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOSYS):
            return False
        raise
    return True


def _umask() -> int:
    with Path("/proc/self/status").open(encoding="latin-1") as status:  # os.umask would have to change it
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022

"""The one directory that nothing leaves: every path is opened below it, by the kernel's own rule (promise C3)."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from alluxio_s3.ufs.local.kernel import is_local, open_beneath, open_cached

RESERVED = ".alluxio-s3"
"""The directory, at the root, of what is not the users'. No path may have a segment of that name."""


def split(path: str) -> tuple[str, str]:
    """``path``, without the slash that says folder, as its parent's path and its own name."""
    parent, _, name = path.removesuffix("/").rpartition("/")
    return parent, name


class Root:
    """The directory below which everything is.

    ``path`` is on this machine. Paths given to its methods are relative to it and may end with a slash; ``""`` is itself.
    Symbolic links that stay beneath are followed; one that leaves is OSError EXDEV. Where the kernel has no ``openat2``
    (before 5.6, or forbidden by a sandbox), or with ``openat2=False``, no symbolic link is followed (ELOOP).
    ``is_at_once`` is whether what the kernel has in memory is looked up without asking anybody else.
    """

    def __init__(self, path: str, *, openat2: bool = True) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open = self._open_by_component
        self.is_at_once = False
        if openat2:
            try:
                os.close(open_beneath(self.fd, b".", os.O_PATH))
            except OSError as error:
                if error.errno not in (errno.ENOSYS, errno.EPERM):
                    raise
            else:
                self._open = self._open_by_kernel
                self.is_at_once = is_local(self.fd)

    def open(self, path: str, flags: int) -> int:
        """A new descriptor of what is at ``path``. ``flags`` as for ``os.open``; nothing is created."""
        return self._open(path.rstrip("/").encode() or b".", flags)

    def open_at_once(self, path: str, flags: int) -> int | None:
        """``open`` without waiting for a disk or a network, or None if that cannot be, or nothing is there. Raises nothing."""
        if not self.is_at_once:
            return None
        try:
            return open_cached(self.fd, path.rstrip("/").encode() or b".", flags)
        except OSError:
            return None

    @contextmanager
    def opened(self, path: str, flags: int = os.O_PATH) -> Iterator[int]:
        """``open``, closed at the end."""
        descriptor = self.open(path, flags)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def directory(self, path: str) -> Iterator[int]:
        """The directory at ``path``, open for reading, for ``dir_fd`` and for fsync."""
        with self.opened(path, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
            yield descriptor

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self.fd)

    def _open_by_kernel(self, path: bytes, flags: int) -> int:
        return open_beneath(self.fd, path, flags)

    def _open_by_component(self, path: bytes, flags: int) -> int:
        segments = path.split(b"/")
        if b".." in segments:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
        descriptor = os.dup(self.fd)
        try:
            for place, segment in enumerate(segments, 1):
                last = place == len(segments)
                try:
                    following = os.open(
                        segment,
                        (flags if last else os.O_PATH | os.O_DIRECTORY) | os.O_NOFOLLOW | os.O_CLOEXEC,
                        dir_fd=descriptor,
                    )
                except NotADirectoryError:
                    _refuse_link(os.stat(segment, dir_fd=descriptor, follow_symlinks=False), path)
                    raise
                os.close(descriptor)
                descriptor = following
            # O_PATH | O_NOFOLLOW opens the link itself.
            _refuse_link(os.fstat(descriptor), path)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _refuse_link(found: os.stat_result, path: bytes) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)

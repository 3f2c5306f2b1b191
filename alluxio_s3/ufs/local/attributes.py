"""Where records are kept: in the file's extended attribute, or in a sidecar where that can't be.

A sidecar is a small file in the reserved directory, named by the identity of the file it describes (inode, modification time,
size), and written before the file gets its name: so attributes appear exactly with the bytes. A directory's identity is its inode and
its birth. The device is no part of it: its number may change when the machine starts again.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from alluxio_s3.ufs.local.kernel import birth_ns, extended_attribute
from alluxio_s3.ufs.local.record import Record, decode, encode
from alluxio_s3.ufs.local.staging import Staging

XATTR = "user.alluxio.s3"
_SIDECARS = "attributes"
# ext4 says ENOSPC when an attribute does not fit into the inode's block, however empty the disk is.
_DOES_NOT_FIT = (errno.ENOSPC, errno.E2BIG, errno.ERANGE, errno.EOPNOTSUPP, errno.ENOSYS)
_NOT_THERE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EPERM)


class Records:
    """The records of files and directories. With ``xattrs`` false there are sidecars only. Blocks; raises ``OSError``."""

    def __init__(self, staging: Staging, *, xattrs: bool) -> None:
        self._staging = staging
        self._xattrs = xattrs

    def read(self, descriptor: int, found: os.stat_result) -> Record | None:
        """The record of an open file (O_PATH will do), whose ``fstat`` is ``found``.

        None may also mean that the file was replaced since: then its link count is 0.
        """
        # An O_PATH descriptor has no fgetxattr; its name in /proc has getxattr.
        raw = self._attribute(b"/proc/self/fd/%d" % descriptor, follow=True)
        if raw is None:
            raw = self._staging.read_small(_SIDECARS, sidecar_name(found, descriptor))
        return None if raw is None else decode(raw)

    def read_own(self, descriptor: int) -> Record | None:
        """The record that an open file itself carries, None if it has none. It is with the inode, so this hardly ever waits for a disk."""
        raw = self._attribute(b"/proc/self/fd/%d" % descriptor, follow=True)
        return None if raw is None else decode(raw)

    def read_at(self, directory: int, name: str, found: os.stat_result, sidecars: int | None) -> Record | None:
        """The record of the file ``name`` in ``directory``, which is no link and whose ``lstat`` is ``found``.

        ``sidecars`` is what ``sidecars()`` gave.
        """
        raw = self._attribute(f"/proc/self/fd/{directory}/{name}".encode(), follow=False)
        if raw is None:
            sidecar = sidecar_name(found, None)
            if sidecars is not None and not _is_in(sidecars, sidecar):
                return None
            raw = self._staging.read_small(_SIDECARS, sidecar)
        return None if raw is None else decode(raw)

    def is_with_file(self, path: bytes, found: os.stat_result, descriptor: int | None, sidecars: int | None) -> bool:
        """Whether the record of what is at ``path``, or that it has none, changes only together with its inode, as an attribute does.

        ``path`` is absolute, ``found`` its ``stat``; ``descriptor`` is needed for a directory. ``sidecars`` is what ``sidecars()`` gave.
        """
        if not self._xattrs:
            return False
        try:
            if extended_attribute(path, XATTR.encode(), follow=descriptor is not None) is not None:
                return True
        except OSError:
            return False
        return sidecars is None or not _is_in(sidecars, sidecar_name(found, descriptor))

    @contextmanager
    def sidecars(self) -> Iterator[int | None]:
        """The directory of the sidecars, open, if there is one: who reads many records finds sooner that a file has none."""
        with ExitStack() as held:
            descriptor: int | None = None
            with suppress(FileNotFoundError):
                descriptor = held.enter_context(self._staging.directory(_SIDECARS))
            yield descriptor

    def write(self, descriptor: int, record: Record) -> None:
        """Make ``record`` the record of an open file or directory, in one step. Flushing the file is the caller's.

        The record must name the size and modification time that the file has.
        """
        raw = encode(record)
        path = f"/proc/self/fd/{descriptor}"
        if self._xattrs:
            try:
                os.setxattr(path, XATTR, raw)
            except OSError as error:
                if error.errno not in _DOES_NOT_FIT:
                    raise
            else:
                return
        self._staging.write_small(_SIDECARS, sidecar_name(os.fstat(descriptor), descriptor), raw)
        if self._xattrs:
            try:
                os.removexattr(path, XATTR)
            except OSError:
                # Who keeps the file open looks at its change time only, which a sidecar leaves as it is.
                with suppress(OSError):
                    os.chmod(path, stat.S_IMODE(os.stat(path).st_mode))  # noqa: PTH101, PTH116  # it is a descriptor

    def rewrite(self, descriptor: int, record: Record) -> None:
        """``write`` for a file that has had a record: what the other place still holds goes."""
        self.write(descriptor, record)
        if self._xattrs:
            with suppress(OSError):
                os.getxattr(f"/proc/self/fd/{descriptor}", XATTR)
                self._staging.remove_small(_SIDECARS, sidecar_name(os.fstat(descriptor), descriptor), durable=False)

    def forget(self, found: os.stat_result, descriptor: int | None = None) -> None:
        """Remove the sidecar, if there is one, of a file that is gone. A directory's needs the descriptor.

        A file that has other names keeps it.
        """
        if found.st_nlink <= 1 or stat.S_ISDIR(found.st_mode):
            self._staging.remove_small(_SIDECARS, sidecar_name(found, descriptor), durable=False)

    def _attribute(self, path: bytes, *, follow: bool) -> bytes | None:
        if self._xattrs:
            try:
                return extended_attribute(path, XATTR.encode(), follow=follow)
            except OSError as error:
                if error.errno not in _NOT_THERE:
                    raise
        return None


def _is_in(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def sidecar_name(found: os.stat_result, descriptor: int | None) -> str:
    """The name of the sidecar of what is ``found``; ``descriptor`` is needed for a directory."""
    if stat.S_ISDIR(found.st_mode):
        born = birth_ns(descriptor) if descriptor is not None else None
        return f"d-{found.st_ino:x}-{born or 0:x}"
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"

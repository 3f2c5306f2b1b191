"""Where records are kept: in the file's extended attribute, or in a sidecar where that can't be.

A sidecar is a small file in the reserved directory, named by the identity of the file it describes (inode, modification time,
size), and written before the file gets its name: so attributes appear exactly with the bytes. A directory's identity is its inode and
its birth. The device is no part of it: its number may change when the machine starts again.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from alluxio_s3.ufs.local.kernel import birth_ns
from alluxio_s3.ufs.local.record import Record, decode, encode
from alluxio_s3.ufs.local.staging import Staging

XATTR = "user.alluxio.s3"
_SIDECARS = "attributes"
# ext4 says ENOSPC when an attribute does not fit into the inode's block, however empty the disk is.
_DOES_NOT_FIT = (errno.ENOSPC, errno.E2BIG, errno.ERANGE, errno.EOPNOTSUPP, errno.ENOSYS)
_NOT_THERE = (errno.ENODATA, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EPERM)


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
        return self._read(f"/proc/self/fd/{descriptor}", found, descriptor, follow=True)

    def read_at(self, directory: int, name: str, found: os.stat_result) -> Record | None:
        """The record of the file ``name`` in ``directory``, which is no link and whose ``lstat`` is ``found``."""
        return self._read(f"/proc/self/fd/{directory}/{name}", found, None, follow=False)

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
            with suppress(OSError):
                os.removexattr(path, XATTR)

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

    def _read(self, path: str, found: os.stat_result, descriptor: int | None, *, follow: bool) -> Record | None:
        raw: bytes | None = None
        if self._xattrs:
            try:
                raw = os.getxattr(path, XATTR, follow_symlinks=follow)
            except OSError as error:
                if error.errno not in _NOT_THERE:
                    raise
        if raw is None:
            if descriptor is None and stat.S_ISDIR(found.st_mode):
                birth = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    name = sidecar_name(found, birth)
                finally:
                    os.close(birth)
            else:
                name = sidecar_name(found, descriptor)
            raw = self._staging.read_small(_SIDECARS, name)
        return None if raw is None else decode(raw)


def sidecar_name(found: os.stat_result, descriptor: int | None) -> str:
    """The name of the sidecar of what is ``found``; ``descriptor`` is needed for a directory."""
    if stat.S_ISDIR(found.st_mode):
        born = birth_ns(descriptor) if descriptor is not None else None
        return f"d-{found.st_ino:x}-{born or 0:x}"
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"

"""The system calls that Python does not offer, or not well enough.

Each blocks without holding the interpreter's lock, and raises ``OSError``. Paths are bytes without a NUL.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_BENEATH = 0x08
RESOLVE_CACHED = 0x20
# Those whose open(2) asks nobody elsewhere (linux/magic.h): ext4, XFS, Btrfs, F2FS, ZFS, tmpfs.
_TMPFS = 0x01021994
_LOCAL = frozenset({0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x2FC12FC1, _TMPFS})
_OPENAT2 = 437  # the same on every architecture
_AT_EMPTY_PATH = 0x1000
_STATX_BTIME = 0x800
_RENAME_NOREPLACE = 1
_FALLOC_FL_KEEP_SIZE = 1
_XATTR_SIZE_MAX = 65536
# More than what nearly all objects have for an attribute. The kernel clears as much as it is offered.
_SMALL = ctypes.c_char * 1024
_LARGE = ctypes.c_char * _XATTR_SIZE_MAX

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
_libc.syscall.restype = ctypes.c_long
_libc.statx.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p]
_libc.renameat2.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
_libc.fstatfs.argtypes = [ctypes.c_int, ctypes.c_char_p]
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
for _read in (_libc.getxattr, _libc.lgetxattr):
    _read.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
    _read.restype = ctypes.c_ssize_t


def open_beneath(directory: int, path: bytes, flags: int) -> int:
    """``openat2``: open ``path`` below ``directory``, following only symbolic links that stay beneath it.

    What would leave it is EXDEV. Does not create files.
    """
    _check(path)
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    while True:
        descriptor: int = _libc.syscall(_OPENAT2, directory, path, how, len(how))
        if descriptor >= 0:
            return descriptor
        # EAGAIN: a rename somewhere raced with a ".." in a link's target, so the kernel could not tell (openat2(2)).
        if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
            raise _error(path)


def open_cached(directory: int, path: bytes, flags: int) -> int:
    """``open_beneath`` for what the kernel can look up in memory, on the file system of ``directory``; else EAGAIN, EXDEV.

    EINVAL before Linux 5.12.
    """
    _check(path)
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV | RESOLVE_CACHED)
    descriptor: int = _libc.syscall(_OPENAT2, directory, path, how, len(how))
    if descriptor < 0:
        raise _error(path)
    return descriptor


def is_local(descriptor: int) -> bool:
    """Whether the file system of an open file is known to be one of this machine's own disks or memory."""
    return _kind(descriptor) in _LOCAL


def birth_ns(descriptor: int) -> int | None:
    """When the file was born, in nanoseconds since the epoch, where the file system knows."""
    buffer = ctypes.create_string_buffer(256)
    if _libc.statx(descriptor, b"", _AT_EMPTY_PATH, _STATX_BTIME, buffer) != 0:
        return None
    (mask,) = struct.unpack_from("I", buffer, 0)
    seconds, nanoseconds = struct.unpack_from("qI", buffer, 80)
    return seconds * 10**9 + nanoseconds if mask & _STATX_BTIME else None


def extended_attribute(path: bytes, name: bytes, *, follow: bool) -> bytes | None:
    """The extended attribute ``name`` of the file at ``path``, None if it has no such attribute.

    ``os.getxattr`` asks twice, the second time for 64 KiB, and raises an exception for None: listings feel it.
    """
    _check(path)
    read = _libc.getxattr if follow else _libc.lgetxattr
    for kind in (_SMALL, _LARGE):
        room = kind()
        length: int = read(path, name, room, len(room))
        if length >= 0:
            return room.raw[:length]
        if ctypes.get_errno() == errno.ENODATA:
            return None
        if ctypes.get_errno() != errno.ERANGE:
            break
    raise _error(path)


def rename_new(source: int, old: bytes, target: int, new: bytes) -> None:
    """``renameat2`` with RENAME_NOREPLACE: EEXIST if ``new`` is there, EINVAL if the file system can't promise that."""
    _check(old)
    _check(new)
    if _libc.renameat2(source, old, target, new, _RENAME_NOREPLACE) != 0:
        raise _error(new)


def check_room(descriptor: int, length: int) -> None:
    """Raise ENOSPC where the file system has no room for ``length`` bytes more."""
    room = os.fstatvfs(descriptor)
    if room.f_blocks and room.f_bavail * room.f_frsize < length:  # none at all: it has no limit
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def reserve(descriptor: int, length: int) -> None:
    """Reserve room for the first ``length`` bytes, the size unchanged. ENOSPC where there is none.

    Does nothing where the file system cannot: the C library's stand-in would write every block. Nor on a tmpfs, which would take each page
    at once: that lasts as long as writing them.
    """
    if _kind(descriptor) == _TMPFS:
        return
    while _libc.fallocate(descriptor, _FALLOC_FL_KEEP_SIZE, 0, length) != 0:
        number = ctypes.get_errno()
        if number in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            return
        if number != errno.EINTR:
            raise _error(b"")


def _kind(descriptor: int) -> int | None:
    """The magic number of the file system of an open file, None if it does not tell."""
    buffer = ctypes.create_string_buffer(256)
    if _libc.fstatfs(descriptor, buffer) != 0:
        return None
    (kind,) = struct.unpack_from("l", buffer, 0)
    return int(kind) & 0xFFFFFFFF


def _check(path: bytes) -> None:
    if b"\0" in path:  # C would see a shorter path
        raise OSError(errno.EINVAL, "a NUL in a path", path)


def _error(path: bytes) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)

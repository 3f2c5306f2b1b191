"""The file that an upload's parts are written into so that it becomes the object without being copied.

Part *n* has the slot from ``(n - 1) * unit`` in ``assembly``, where the unit is the length of the first part that arrived. A part that is
longer, of unknown length, or whose slot is in use has a file of its own. Whoever writes into a slot holds a lock of the kernel on
byte *n* of the file, which goes with its descriptor: a slot is free again when its writer is gone, however it went, and
nobody publishes the file while somebody writes into it. Where the file system has no locks there is no assembly. Everything here
blocks; raises ``OSError`` and Unavailable.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress

from alluxio_s3.storage import Unavailable
from alluxio_s3.ufs.local.descriptor import Descriptor
from alluxio_s3.ufs.local.locks import byte_lock
from alluxio_s3.ufs.local.parts import StoredPart
from alluxio_s3.ufs.local.staging import Staging, Temporary
from alluxio_s3.ufs.local.upload_directories import location, read

ASSEMBLY = "assembly"
_RESULT = "result"
_UNIT = "unit"
_MOST_PARTS = 10_000
_FURTHEST = 1 << 42  # ext4 takes files of up to 16 TiB, some take less
_SLICE = 64 << 20
_PIECE = 1 << 20
_CANNOT_COPY = (errno.EXDEV, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EBADF)


class Assembly(Temporary):
    """The assembly, about to be the object. If it does not become it, it stays."""

    def discard(self) -> None:
        """Close it."""
        self.descriptor.close()


class Slot(Assembly):
    """``room`` bytes of the assembly from ``offset``, this writer's alone until it is closed."""

    def __init__(self, staging: Staging, descriptor: int, directory: str, offset: int, room: int) -> None:
        super().__init__(staging, ASSEMBLY, Descriptor(descriptor), 0o600, directory)
        self.offset = offset
        self._room = room

    def write(self, data: bytes) -> None:
        """Append ``data``. Raises Unavailable beyond ``room``: what follows there is another part's."""
        self._check(len(data))
        super().write(data)

    def copy_from(self, source: int, offset: int, count: int) -> int | None:
        """See Temporary. Raises Unavailable beyond ``room``."""
        self._check(count)
        return super().copy_from(source, offset, count)

    def _check(self, count: int) -> None:
        if self.size + count > self._room:
            raise Unavailable("", "Unavailable: more bytes came for a part than were announced")


def claim_slot(staging: Staging, upload_id: str, directory: int, number: int, length: int) -> Slot | None:
    """The slot of part ``number``, for ``length`` bytes, if it has one that is free. The caller holds ``directory``.

    Not to be called for a part whose present bytes are in its slot.
    """
    if length <= 0:
        return None
    unit = _unit(staging, upload_id, directory, length)
    offset = (number - 1) * unit
    if length > unit or offset + length > _FURTHEST:
        return None
    file = os.open(ASSEMBLY, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
    if not _lock(file, number, 1):
        os.close(file)
        return None
    os.lseek(file, offset, os.SEEK_SET)
    return Slot(staging, file, location(upload_id), offset, length)


def join(staging: Staging, upload_id: str, directory: int, parts: Sequence[StoredPart], others: Sequence[StoredPart]) -> Temporary:
    """One file of the bytes of ``parts``, in that order; ``others`` are the upload's parts that are not in it.

    That is the assembly if everything in it is where it belongs: then only what is not in it is copied, and what else there
    is at its end is cut off. Else it is a new file. Either way every part stays as it is. The caller holds ``directory``.
    """
    places, total = [], 0
    for stored in parts:
        places.append((stored, total))
        total += stored.part.size
    assembled = [(stored, offset) for stored, offset in places if stored.data == ASSEMBLY]
    if assembled and all(stored.offset == offset for stored, offset in assembled) and all(stored.data != ASSEMBLY for stored in others):
        assembly = _open_assembly(staging, upload_id, directory)
        try:
            file = assembly.descriptor.number
            if _lock(file, 1, _MOST_PARTS):
                _check_whole(file, max(stored.end for stored, _ in assembled))
                _fill(directory, file, [(stored, offset) for stored, offset in places if stored.data != ASSEMBLY])
                os.ftruncate(file, total)
                assembly.size = total
                return assembly
        except BaseException:
            assembly.discard()
            raise
        assembly.discard()
    result = _new_result(staging, upload_id, directory, total)
    try:
        _fill(directory, result.descriptor.number, places)
    except BaseException:
        result.discard()
        raise
    return result


def _open_assembly(staging: Staging, upload_id: str, directory: int) -> Assembly:
    file = os.open(ASSEMBLY, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    return Assembly(staging, ASSEMBLY, Descriptor(file), staging.file_mode, location(upload_id))


def _new_result(staging: Staging, upload_id: str, directory: int, size: int) -> Temporary:
    with suppress(FileNotFoundError):
        os.unlink(_RESULT, dir_fd=directory)  # a crash left it
    file = os.open(_RESULT, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
    result = Temporary(staging, _RESULT, Descriptor(file), staging.file_mode, location(upload_id))
    result.size = size
    return result


def _fill(directory: int, target: int, pieces: Sequence[tuple[StoredPart, int]]) -> None:
    """Copy parts to where they belong in ``target``."""
    for stored, offset in pieces:
        if stored.part.size:
            source = os.open(stored.data, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                _check_whole(source, stored.end)
                _copy(source, stored.offset, target, offset, stored.part.size)
            finally:
                os.close(source)


def _copy(source: int, source_offset: int, target: int, target_offset: int, count: int) -> None:
    """Copy bytes in the kernel, which shares the blocks where the file system can; else by hand."""
    by_kernel = True
    while count:
        if by_kernel:
            try:
                copied = os.copy_file_range(source, target, min(count, _SLICE), source_offset, target_offset)
            except OSError as error:
                if error.errno not in _CANNOT_COPY:
                    raise
                by_kernel = False
                continue
        else:
            copied = os.pwrite(target, os.pread(source, min(count, _PIECE), source_offset), target_offset)
        if not copied:
            raise Unavailable("", "Unavailable: bytes of a part have gone")
        source_offset += copied
        target_offset += copied
        count -= copied


def _check_whole(file: int, end: int) -> None:
    if os.fstat(file).st_size < end:
        raise Unavailable("", "Unavailable: bytes of a part have gone")


def _unit(staging: Staging, upload_id: str, directory: int, length: int) -> int:
    """The unit of the upload, which is ``length`` if it has none yet."""
    raw = read(directory, _UNIT)
    if raw is None:
        raw = str(length).encode()
        staging.write_small(location(upload_id), _UNIT, raw)
    return int(raw) if raw.isdigit() else 0


def _lock(file: int, first: int, count: int) -> bool:
    """Lock bytes of ``file`` without waiting; whether that worked."""
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, byte_lock(fcntl.F_WRLCK, first, count))
    except OSError:  # held, or the file system has no locks
        return False
    return True

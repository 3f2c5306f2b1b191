"""The one way by which bytes become an object, and cease to be one (promises B1).

The temporary file gets its record and is flushed; then, under the lock of its key, the condition is checked and the
file renamed. What is visible is the old object or the new one, whole, also after a power cut. Everything here blocks; raises StorageErrors,
and S3Error from the condition.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, NoSuchPath, PathConflict, Status, Unavailable, Unsupported
from alluxio_s3.ufs.local import folders, kernel
from alluxio_s3.ufs.local.containment import split
from alluxio_s3.ufs.local.descriptor import Descriptor
from alluxio_s3.ufs.local.failures import storage_errors
from alluxio_s3.ufs.local.identity import object_status
from alluxio_s3.ufs.local.record import Record
from alluxio_s3.ufs.local.staging import Temporary
from alluxio_s3.ufs.local.tree import Tree

_TRIES = 100
# To free so much takes longer than to have it done elsewhere: 64 MiB of a tmpfs take 8 ms.
_LARGE_BYTES = 4 << 20
# Where there is not room for so many more of its size, it is freed before the answer.
_SPARE = 4


def check_place(tree: Tree, path: str) -> None:
    """Raise what ``publish`` would for ``path`` as things stand, before any bytes have come."""
    tree.check_new(path)
    with storage_errors(path, writing=True):
        if tree.buckets:
            bucket = path.partition("/")[0]
            with storage_errors(bucket), tree.root.opened(bucket, os.O_PATH | os.O_DIRECTORY):
                pass
        try:
            with tree.root.opened(split(path)[0], os.O_PATH | os.O_DIRECTORY) as parent:
                try:
                    _refuse_directory(tree, path, _entry(path, parent))
                except IsADirectoryError:
                    _clear(tree, path)
        except FileNotFoundError:
            return


def seal(tree: Tree, temporary: Temporary, attributes: Attributes) -> tuple[os.stat_result, Record]:
    """Give the file its mode and its record, and flush it; how it is now. A failure leaves it to be discarded."""
    temporary.open_up()
    with temporary.descriptor.held() as descriptor:
        found = os.fstat(descriptor)
        if found.st_size != temporary.size:
            raise OSError(errno.EIO, "the temporary file has another size than was written")
        for _ in range(_TRIES):
            record = Record.of(attributes, found)
            tree.records.write(descriptor, record)
            tree.durability.file(descriptor)
            # A network file system may settle the modification time only when it flushes.
            settled = os.fstat(descriptor)
            if record.describes(settled):
                return settled, record
            tree.records.forget(found)
            found = settled
        raise OSError(errno.EIO, "the modification time of the temporary file does not settle")


def publish(tree: Tree, temporary: Temporary, path: str, attributes: Attributes, condition: WriteCondition) -> Status:
    """Make ``temporary`` the object at ``path`` with ``attributes``, if ``condition`` holds of what is there."""
    with storage_errors(path, writing=True):
        found, record = seal(tree, temporary, attributes)
        try:
            _place(tree, temporary, path, condition)
        except BaseException:
            if temporary.is_there():
                with suppress(OSError):
                    tree.records.forget(found)
                folders.prune(tree, split(path)[0])
            raise
        return object_status(path, found, record)


def delete(tree: Tree, path: str, condition: WriteCondition) -> None:
    """Remove the object at ``path``, and the directories that were there only for it."""
    tree.check(path)
    parent_path, name = split(path)
    with storage_errors(path):
        with tree.root.directory(parent_path) as parent, tree.locks.held(path):
            if tree.check_condition(path, condition) is None:
                raise NoSuchPath(path)
            entry = os.stat(name, dir_fd=parent, follow_symlinks=False)
            os.unlink(name, dir_fd=parent)
            if not stat.S_ISLNK(entry.st_mode):
                tree.records.forget(entry)
            tree.durability.directory(parent)
        folders.prune(tree, parent_path)


def _place(tree: Tree, temporary: Temporary, path: str, condition: WriteCondition) -> None:
    parent_path, name = split(path)
    for _ in range(_TRIES):
        try:
            with ExitStack() as announced:
                folders.make_parents(tree, path, announced)
                parent = announced.enter_context(tree.root.directory(parent_path))
                with tree.locks.held(path):
                    replaced = _entry(path, parent)
                    tree.check_condition(path, condition)
                    _refuse_directory(tree, path, replaced)
                    with _told_apart(path), _kept(tree, parent, name, replaced):
                        temporary.rename(parent, name, replace=condition.if_none_match != ("*",))
                    if replaced is not None and not stat.S_ISLNK(replaced.st_mode):
                        tree.records.forget(replaced)
                tree.durability.directory(parent)
                return
        except IsADirectoryError:
            _clear(tree, path)
        except (FileNotFoundError, FileExistsError):
            # A delete took the parent away as empty, or another program made the file: once more.
            if not temporary.is_there():
                raise Unavailable(path, f"Unavailable: {path}: the temporary file has vanished") from None
    raise Unavailable(path, f"Unavailable: {path}: its directory is removed faster than it can be made")


@contextmanager
def _kept(tree: Tree, parent: int, name: str, entry: os.stat_result | None) -> Iterator[None]:
    """Keep the file that is replaced meanwhile, if it is large: whoever writes need not wait until its blocks are free.

    Not where it is somebody else's: what is open NFS renames first (nfs_rename), and until the new one has the name nobody has. Nor where
    the next write may need the room.
    """
    if entry is None or entry.st_size < _LARGE_BYTES or not stat.S_ISREG(entry.st_mode) or not kernel.is_local(parent):
        yield
        return
    held = None
    with suppress(OSError):  # it has gone, or there is little room, or no descriptor left
        kernel.check_room(parent, _SPARE * entry.st_size)
        held = Descriptor(os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent))
    try:
        yield
    finally:
        if held is not None:
            tree.let_go(held)


def _clear(tree: Tree, path: str) -> None:
    """Remove the directory at ``path`` if a crash left it empty between two steps; else raise PathConflict."""
    if not folders.remove_left_over(tree, path):
        raise PathConflict(path, f"PathConflict: {path}: there is a folder of that name")


def _entry(path: str, parent: int) -> os.stat_result | None:
    try:
        return os.stat(split(path)[1], dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _refuse_directory(tree: Tree, path: str, entry: os.stat_result | None) -> None:
    """Raise IsADirectoryError if keys may be below ``path``. A link that leads nowhere is in nobody's way."""
    if entry is None:
        return
    directory = stat.S_ISDIR(entry.st_mode)
    if stat.S_ISLNK(entry.st_mode):
        # What leads nowhere, or out, is NoSuchPath to a reader.
        with suppress(NoSuchPath), storage_errors(path), tree.root.opened(path) as target:
            directory = stat.S_ISDIR(os.fstat(target).st_mode)
    if directory:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)


@contextmanager
def _told_apart(path: str) -> Iterator[None]:
    """A rename across file systems is not a path that leaves the tree."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EXDEV:
            message = f"Unsupported: {path}: another file system is mounted there; mount it as an under-store by itself"
            raise Unsupported(path, message) from error
        raise

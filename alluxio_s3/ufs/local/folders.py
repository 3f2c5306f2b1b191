"""Directories as folders: those that users made, and those that are there only for what is in them.

A directory that was made for an object has a record that says *implicit*: it goes when it is empty. One that a user made with
a PUT of ``dir/`` or another program made stays until it is deleted by name. Everything here blocks; raises ``OSError`` and
StorageErrors. A directory's lock is that of its path with a slash.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import ExitStack

from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, NoSuchPath, PathConflict, PathNotAllowed, Status, StorageError, Unavailable
from alluxio_s3.ufs.local.containment import split
from alluxio_s3.ufs.local.failures import storage_errors
from alluxio_s3.ufs.local.identity import folder_status, is_directory
from alluxio_s3.ufs.local.record import Record
from alluxio_s3.ufs.local.tree import Tree

_TRIES = 100
IN_USE = (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY)


def make_parents(tree: Tree, path: str, announced: ExitStack) -> None:
    """Make the directories above ``path`` that are missing, implicit and durable. Raises NoSuchPath for a missing bucket.

    Until the caller leaves ``announced`` it counts as unfinished: if the process dies, ``remove_unfinished`` removes what is empty.
    """
    parent = split(path)[0]
    for _ in range(_TRIES):
        if _is_directory(tree, parent):
            return
        segments = parent.split("/")
        if tree.buckets and not _is_directory(tree, segments[0]):
            raise NoSuchPath(segments[0])
        announced.enter_context(tree.staging.announced(f"{_missing_from(tree, segments)} {parent}"))
        try:
            for depth in range(1 + tree.buckets, len(segments) + 1):
                _make_implicit(tree, "/".join(segments[:depth]))
        except FileNotFoundError:  # a delete took one of them away as empty
            continue
    raise Unavailable(path, f"Unavailable: {path}: its directory is removed faster than it can be made")


def remove_unfinished(tree: Tree) -> None:
    """Remove the directories that processes had begun to make for an object when they died, as far as they are empty."""
    for told in tree.staging.unfinished():
        depth, _, path = told.partition(" ")
        segments = path.split("/")
        for last in range(len(segments), int(depth) - 1 if depth.isdigit() else len(segments), -1):
            at = "/".join(segments[:last])
            parent_path, name = split(at)
            try:
                with tree.root.directory(parent_path) as parent, tree.locks.held(f"{at}/"):
                    if not _remove_implicit(tree, at, parent, name, unowned=True):
                        break
            except (OSError, StorageError):
                continue


def _missing_from(tree: Tree, segments: list[str]) -> int:
    """The number of the first of the directories, one in another, that is not there."""
    there = next((depth for depth in range(len(segments), 0, -1) if _is_directory(tree, "/".join(segments[:depth]))), 0)
    return there + 1


def check_place(tree: Tree, path: str) -> None:
    """Raise what ``make`` would for ``path`` as things stand."""
    tree.check_new(path)
    with storage_errors(path, writing=True):
        if tree.buckets and not _is_directory(tree, path.partition("/")[0]):
            raise NoSuchPath(path)
        _is_directory(tree, path)


def make(tree: Tree, path: str, attributes: Attributes, condition: WriteCondition) -> Status:
    """Make the folder at ``path`` the user's own, with ``attributes``, if ``condition`` holds of the one there."""
    parent_path = split(path)[0]
    with storage_errors(path, writing=True):
        for _ in range(_TRIES):
            with ExitStack() as announced:
                make_parents(tree, path.rstrip("/"), announced)
                try:
                    with tree.root.directory(parent_path) as parent, tree.locks.held(path):
                        tree.check_condition(path, condition)
                        _make_directory(tree, parent, path)
                        return _own(tree, path, parent, Record(attributes, created_ns=time.time_ns()))
                except FileNotFoundError:
                    continue
    raise Unavailable(path, f"Unavailable: {path}: its directory is removed faster than it can be made")


def delete(tree: Tree, path: str, condition: WriteCondition) -> None:
    """Remove the folder at ``path``; one that has something in it only ceases to be the user's own."""
    tree.check(path)
    if tree.is_top(path):
        raise PathNotAllowed(path, f"PathNotAllowed: {path}: this is a bucket, not a folder")
    parent_path = split(path)[0]
    with storage_errors(path):
        with tree.root.directory(parent_path) as parent, tree.locks.held(path):
            with tree.looked_up(path) as (found, record, descriptor):
                current = tree.describe(path, found, record, descriptor)
                condition.check(current.etag, current.size, current.modified_ns)
                try:
                    _remove(tree, path, parent)
                except OSError as error:
                    if error.errno not in IN_USE:
                        raise
                    tree.records.rewrite(descriptor, Record(implicit=True))
                    with tree.root.directory(path) as directory:
                        tree.durability.file(directory)
                    return
                tree.records.forget(found, descriptor)
            tree.durability.directory(parent)
        prune(tree, parent_path)


def prune(tree: Tree, path: str) -> None:
    """Remove the directory at ``path`` if it is implicit and empty, and so on upwards; never a bucket.

    Called after something went, with no lock held. What can't be removed stays, without an error.
    """
    while path and not tree.is_top(path):
        parent_path, name = split(path)
        try:
            with tree.root.directory(parent_path) as parent, tree.locks.held(f"{path}/"):
                if not _remove_implicit(tree, path, parent, name):
                    return
                tree.durability.directory(parent)
        except OSError:
            return
        path = parent_path


def remove_left_over(tree: Tree, path: str) -> bool:
    """Remove the directory at ``path`` if it is implicit and nothing but such directories is in it, or gone already; whether it is gone.

    Takes its lock, and theirs.
    """
    parent_path, name = split(path)
    try:
        with tree.root.directory(path) as directory, os.scandir(directory) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False) or not remove_left_over(tree, f"{path}/{entry.name}"):
                    return False
        with tree.root.directory(parent_path) as parent, tree.locks.held(f"{path}/"):
            return _remove_implicit(tree, path, parent, name)
    except FileNotFoundError:
        return True


def _remove_implicit(tree: Tree, path: str, parent: int, name: str, *, unowned: bool = False) -> bool:
    """``unowned``: also if nothing is known of it."""
    with tree.looked_up(f"{path}/") as (found, record, descriptor):
        if not (unowned if record is None else record.implicit):
            return False
        try:
            os.rmdir(name, dir_fd=parent)
        except OSError as error:
            if error.errno in (*IN_USE, errno.ENOTDIR):
                return False
            raise
        tree.records.forget(found, descriptor)
    return True


def _make_implicit(tree: Tree, path: str) -> None:
    if _is_directory(tree, path):
        return
    parent_path = split(path)[0]
    with tree.root.directory(parent_path) as parent, tree.locks.held(f"{path}/"):
        if _make_directory(tree, parent, path):
            _own(tree, path, parent, Record(implicit=True))


def _make_directory(tree: Tree, parent: int, path: str) -> bool:
    """Whether it had to be made. Raises PathConflict, PathNotAllowed for what is in the way."""
    name = split(path)[1]
    try:
        os.mkdir(name, 0o777, dir_fd=parent)
    except FileExistsError:
        entry = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISLNK(entry.st_mode):
            try:
                with tree.root.opened(path):
                    pass
            except FileNotFoundError:
                raise PathNotAllowed(path, f"PathNotAllowed: {path}: a symbolic link leads nowhere") from None
        elif not stat.S_ISDIR(entry.st_mode):
            raise PathConflict(path, f"PathConflict: {path}: there is an object of that name") from None
        return False
    return True


def _own(tree: Tree, path: str, parent: int, record: Record) -> Status:
    with tree.root.directory(path) as directory:
        tree.records.rewrite(directory, record)
        tree.durability.file(directory)
        tree.durability.directory(parent)
        return folder_status(path, os.fstat(directory), record, directory)


def _remove(tree: Tree, path: str, parent: int) -> None:
    name = split(path)[1]
    try:
        os.rmdir(name, dir_fd=parent)
    except NotADirectoryError:  # a symbolic link to a directory
        with tree.root.directory(path) as target, os.scandir(target) as entries:
            empty = next(entries, None) is None
        if not empty:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY)) from None
        os.unlink(name, dir_fd=parent)


def _is_directory(tree: Tree, path: str) -> bool:
    """False if nothing is there. Raises PathConflict for an object."""
    try:
        with tree.root.opened(path) as descriptor:
            found = os.fstat(descriptor)
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        raise PathConflict(path, f"PathConflict: {path}: there is an object above it") from None
    if not is_directory(found):
        raise PathConflict(path, f"PathConflict: {path}: there is an object of that name")
    return True

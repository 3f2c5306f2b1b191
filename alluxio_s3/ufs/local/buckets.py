"""The top-level directories as buckets. Everything here blocks; raises StorageErrors."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress

from alluxio_s3.storage import AlreadyExists, Attributes, NoSuchPath, NotEmpty, PathConflict, PathNotAllowed, Status, Unsupported
from alluxio_s3.ufs.local.failures import storage_errors
from alluxio_s3.ufs.local.folders import IN_USE, remove_left_over
from alluxio_s3.ufs.local.identity import folder_status, is_directory
from alluxio_s3.ufs.local.record import Record
from alluxio_s3.ufs.local.tree import Tree, can_be_bucket
from alluxio_s3.ufs.local.windows import is_hidden


def buckets(tree: Tree) -> Sequence[Status]:
    """Every bucket, by name."""
    _require_buckets(tree)
    found = []
    with storage_errors(""), tree.root.directory("") as root:
        for name in _names(root):
            with suppress(NoSuchPath):
                found.append(bucket(tree, name))
    return found


def bucket(tree: Tree, name: str) -> Status:
    """That bucket alone. Raises NoSuchPath."""
    _require_buckets(tree)
    path = f"{name}/"
    if not can_be_bucket(name):
        raise NoSuchPath(path)
    with storage_errors(path):
        return tree.status(path)


def create(tree: Tree, name: str, attributes: Attributes) -> Status:
    """Make a bucket of ``attributes.owner``, durably. Raises AlreadyExists."""
    _require_buckets(tree)
    path = f"{name}/"
    if not can_be_bucket(name):
        raise PathNotAllowed(path)
    # The loser of a race has to wait here until the bucket's owner is known.
    with storage_errors(path, writing=True), tree.locks.held(path):
        try:
            os.mkdir(name, 0o777, dir_fd=tree.root.fd)
        except FileExistsError:
            with storage_errors(path), tree.root.opened(path) as there:
                if is_directory(os.fstat(there)):
                    raise AlreadyExists(path) from None
            raise PathConflict(path, f"PathConflict: {path}: there is a file of that name at the root") from None
        record = Record(attributes, created_ns=time.time_ns())
        try:
            with tree.root.directory(path) as directory:
                tree.records.rewrite(directory, record)
                tree.durability.file(directory)
                tree.durability.directory(tree.root.fd)
                return folder_status(path, os.fstat(directory), record, directory)
        except BaseException:
            with suppress(OSError):
                os.rmdir(name, dir_fd=tree.root.fd)
            raise


def delete(tree: Tree, name: str) -> None:
    """Remove a bucket in which there is nothing, or nothing but directories that only were there for keys. Raises NotEmpty."""
    bucket(tree, name)
    path = f"{name}/"
    with storage_errors(path):
        if not (_is_hollow(tree, name, remove=False) and _is_hollow(tree, name, remove=True)):
            raise NotEmpty(path)
        with tree.locks.held(path), tree.looked_up(path) as (found, _, descriptor):
            try:
                os.rmdir(name, dir_fd=tree.root.fd)
            except NotADirectoryError:
                message = f"Unsupported: {path}: this bucket is a symbolic link; who made it may remove it"
                raise Unsupported(path, message) from None
            except OSError as error:
                if error.errno in IN_USE:
                    raise NotEmpty(path) from None
                raise
            tree.records.forget(found, descriptor)
            tree.durability.directory(tree.root.fd)


def _is_hollow(tree: Tree, path: str, *, remove: bool) -> bool:
    """Whether nothing is below the directory but implicit ones, which a crash may leave; with ``remove`` they go."""
    with tree.root.directory(path) as directory:
        names = _names(directory)
    for name in names:
        below = f"{path}/{name}"
        if is_hidden(name):
            return False
        with tree.root.opened(below) as descriptor:
            found = os.fstat(descriptor)
            record = tree.records.read(descriptor, found)
        if not is_directory(found) or record is None or not record.implicit or not _is_hollow(tree, below, remove=remove):
            return False
        if remove and not remove_left_over(tree, below):
            return False
    return True


def _names(directory: int) -> list[str]:
    with os.scandir(directory) as entries:
        return sorted(entry.name for entry in entries)


def _require_buckets(tree: Tree) -> None:
    if not tree.buckets:
        raise Unsupported("", "Unsupported: this directory is one bucket; mount it at '/' to have its directories as buckets")

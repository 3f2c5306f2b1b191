"""Folders and buckets: what was made by name, and not for the objects in it.

A folder that somebody made has a small file in a reserved directory within it, which holds its attributes; so it is there as long as
that file is, also in stores that know no directories. Everything here blocks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from attrs import evolve

from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import (
    AlreadyExists,
    Attributes,
    NoSuchPath,
    NotEmpty,
    PathConflict,
    PathNotAllowed,
    Status,
    StorageError,
    Unsupported,
)
from alluxio_s3.ufs.fsspec_store.facts import Facts
from alluxio_s3.ufs.fsspec_store.objects import Objects
from alluxio_s3.ufs.local.containment import RESERVED
from alluxio_s3.ufs.local.identity import EMPTY_ETAG
from alluxio_s3.ufs.local.record import Record, decode, encode
from alluxio_s3.ufs.local.tree import can_be_bucket

_MARK = "folder"
_MOST_BYTES = 1 << 20


def mark_of(path: str) -> str:
    """Where the file is that makes ``path`` (which is empty or ends with a slash) a folder."""
    return f"{path}{RESERVED}/{_MARK}"


def status(objects: Objects, path: str) -> Status:
    """The folder or bucket at ``path``. Raises NoSuchPath."""
    objects.check(path)
    record = _read(objects, path)
    modified = 0
    if record is None:
        if not objects.is_top(path):
            raise NoSuchPath(path)
        if path:
            facts = objects.remote.facts(path.rstrip("/"))
            if facts.kind != "directory":
                raise NoSuchPath(path)
            modified = facts.modified_ns
    return _status(path, record or Record(created_ns=modified))


def make(objects: Objects, path: str, attributes: Attributes, condition: WriteCondition) -> Status:
    """Make the folder ``path`` the user's own, with ``attributes``, if ``condition`` holds of the one there."""
    objects.check_place(path)
    try:
        current = status(objects, path)
    except NoSuchPath:
        condition.check(None)
    else:
        condition.check(current.etag, current.size, current.modified_ns)
    there = objects.remote.found(path.rstrip("/"))
    if there is not None and there.kind != "directory":
        raise PathConflict(path, f"PathConflict: {path}: there is an object of that name")
    return _write(objects, path, Record(evolve(attributes, etag=None), created_ns=time.time_ns()))


def delete(objects: Objects, path: str, condition: WriteCondition) -> None:
    """Remove the folder at ``path``; of one that has something in it only what made it the user's own."""
    objects.check(path)
    if objects.is_top(path):
        raise PathNotAllowed(path, f"PathNotAllowed: {path}: this is a bucket, not a folder")
    current = status(objects, path)
    condition.check(current.etag, current.size, current.modified_ns)
    objects.remote.remove(mark_of(path))
    with suppress(StorageError):
        objects.staging.prune(f"{path}{RESERVED}", 1 if objects.buckets else 0)


def set_tags(objects: Objects, path: str, tags: Mapping[str, str]) -> None:
    """Replace the tags of the folder or bucket at ``path``."""
    current = status(objects, path)
    _write(objects, path, Record(evolve(current.attributes, tags=dict(tags)), created_ns=current.modified_ns))


def buckets(objects: Objects) -> Sequence[Status]:
    """Every bucket, by name."""
    _require_buckets(objects)
    try:
        names = sorted(name for name, facts in objects.remote.children("") if facts.kind == "directory" and can_be_bucket(name))
    except NoSuchPath:  # there is nothing at all
        names = []
    found = []
    for name in names:
        with suppress(NoSuchPath):
            found.append(status(objects, f"{name}/"))
    return found


def bucket(objects: Objects, name: str) -> Status:
    """That bucket alone. Raises NoSuchPath."""
    _require_buckets(objects)
    if not can_be_bucket(name):
        raise NoSuchPath(f"{name}/")
    return status(objects, f"{name}/")


def create_bucket(objects: Objects, name: str, attributes: Attributes) -> Status:
    """Make a bucket of ``attributes.owner``. Raises AlreadyExists."""
    _require_buckets(objects)
    path = f"{name}/"
    if not can_be_bucket(name):
        raise PathNotAllowed(path)
    there = objects.remote.found(name)
    if there is not None:
        raise AlreadyExists(path) if there.kind == "directory" else PathConflict(path)
    if objects.staging.has_directories:
        try:
            objects.remote.make_directory(name)
        except PathConflict:
            raise AlreadyExists(path) from None
    return _write(objects, path, Record(attributes, created_ns=time.time_ns()))


def delete_bucket(objects: Objects, name: str) -> None:
    """Remove a bucket in which no key is. Raises NotEmpty."""
    path = bucket(objects, name).path
    if not _is_hollow(objects, path, top=True):
        raise NotEmpty(path)
    with suppress(NoSuchPath):
        objects.remote.remove(mark_of(path))
    if objects.staging.has_directories:
        with objects.staging.shaping():
            if not (objects.remote.remove_directory(f"{path}{RESERVED}") and _remove_hollow(objects, path)):
                raise NotEmpty(path)


def _is_hollow(objects: Objects, path: str, *, top: bool = False) -> bool:
    """Whether nothing is in the directory but empty ones."""
    for name, facts in _children(objects, path):
        if name == RESERVED and top:
            continue
        if facts.kind != "directory" or not _is_hollow(objects, f"{path}{name}/"):
            return False
    return True


def _remove_hollow(objects: Objects, path: str) -> bool:
    gone = all(_remove_hollow(objects, f"{path}{name}/") for name, facts in _children(objects, path) if facts.kind == "directory")
    return gone and objects.remote.remove_directory(path.rstrip("/"))


def _children(objects: Objects, path: str) -> list[tuple[str, Facts]]:
    try:
        return list(objects.remote.children(path))
    except NoSuchPath:
        return []


def _read(objects: Objects, path: str) -> Record | None:
    try:
        return decode(objects.remote.read_all(mark_of(path), _MOST_BYTES)) or Record()
    except (NoSuchPath, PathConflict):
        return None


def _write(objects: Objects, path: str, record: Record) -> Status:
    mark, data = mark_of(path), encode(record)
    if not objects.staging.has_directories:
        objects.remote.put(mark, data)
        return _status(path, record)
    temporary = objects.staging.temporary()
    try:
        objects.remote.put(temporary, data)
        objects.staging.place(temporary, objects.remote.facts(temporary), mark, objects.bucket_of(path))
    except StorageError:
        objects.staging.discard(temporary)
        raise
    return _status(path, record)


def _status(path: str, record: Record) -> Status:
    created = record.created_ns or 0
    return Status(path, 0, created, EMPTY_ETAG, f"{created:x}.d", record.attributes)


def _require_buckets(objects: Objects) -> None:
    if not objects.buckets:
        raise Unsupported("", "Unsupported: this store is one bucket; mount it at '/' to have its directories as buckets")

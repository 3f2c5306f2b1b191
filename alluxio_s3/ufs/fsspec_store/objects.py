"""Objects by path: looking, publishing, deleting. Everything here blocks, and is called by one thread at a time for each path."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from typing import IO

from attrs import define, evolve, field

from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.s3.target import key_problem
from alluxio_s3.storage import (
    Attributes,
    NoSuchPath,
    PathConflict,
    PathNotAllowed,
    PathTooLong,
    ReadOnly,
    Status,
    StorageError,
    Unavailable,
)
from alluxio_s3.ufs.fsspec_store.facts import Facts
from alluxio_s3.ufs.fsspec_store.options import READ_ONLY
from alluxio_s3.ufs.fsspec_store.records import NONE, Records, bound, expected, fitting
from alluxio_s3.ufs.fsspec_store.remote import Remote
from alluxio_s3.ufs.fsspec_store.staging import Staging
from alluxio_s3.ufs.local.containment import RESERVED, split
from alluxio_s3.ufs.local.record import Record

_LONGEST_NAME = 255
_TRIES = 20
# How many paths the validator of their last object is remembered for, and how long to wait for another: clocks may tick in seconds.
_REMEMBERED = 10_000
_TICK = 0.25


@define(eq=False)
class Objects:
    """What is below the root. With ``buckets`` its directories are buckets, else it is one bucket."""

    remote: Remote
    staging: Staging = field(init=False)
    records: Records = field(init=False)
    _last: OrderedDict[str, str] = field(factory=OrderedDict, init=False)

    def __attrs_post_init__(self) -> None:
        self.staging = Staging(self.remote)
        self.records = Records(self.staging)

    @property
    def buckets(self) -> bool:
        """Whether the directories at the root are buckets."""
        return self.remote.options.buckets

    def check(self, path: str) -> None:
        """Raise PathNotAllowed if no object can ever be at ``path``, PathTooLong for a name that directories can't hold."""
        if (RESERVED in path and RESERVED in path.split("/")) or key_problem(path):
            raise PathNotAllowed(path, f"PathNotAllowed: {path}: this name is reserved or not supported")
        if self.staging.has_directories and any(len(segment.encode()) > _LONGEST_NAME for segment in path.split("/")):
            raise PathTooLong(path, f"PathTooLong: a name between two slashes holds at most {_LONGEST_NAME} bytes here")

    def is_top(self, path: str) -> bool:
        """Whether ``path`` is that of the one bucket, or of one of the buckets."""
        return not path.rstrip("/").count("/") if self.buckets else not path

    def bucket_of(self, path: str) -> str:
        """The name of the bucket of ``path`` where buckets are; else nothing."""
        return path.partition("/")[0] if self.buckets else ""

    def look(self, path: str) -> tuple[Facts, Status]:
        """The object at ``path``, its facts and its Status, which belong together. Raises NoSuchPath."""
        self.check(path)
        for _ in range(_TRIES):
            facts = self.remote.facts(path)
            if facts.kind != "file" or (self.buckets and "/" not in path):
                raise NoSuchPath(path)
            lines = self.records.read(path)
            line = fitting(lines, facts)
            # Lines for other objects only: it was replaced meanwhile, or others wrote it.
            if line is not None or not lines or self.remote.facts(path).validator == facts.validator:
                return facts, facts.status(path, line.attributes if line is not None else NONE)
        raise Unavailable(path, f"Unavailable: {path}: it is replaced faster than it can be looked at")

    def check_place(self, path: str) -> None:
        """Raise what ``publish`` would for ``path`` as things stand, as far as that is quickly told."""
        self.check(path)
        if not path or self.is_top(path):
            raise PathNotAllowed(path, f"PathNotAllowed: {path}: objects live in buckets")
        if self.remote.options.layout == READ_ONLY:
            told = f"fsspec.layout says whether a {self.remote.options.protocol} store can be written to"
            raise ReadOnly(path, f"ReadOnly: {path}: {told}")
        self.remote.native(path)
        if self.buckets and self.remote.facts(self.bucket_of(path)).kind != "directory":
            raise NoSuchPath(f"{self.bucket_of(path)}/")

    def publish(self, path: str, spool: IO[bytes], size: int, attributes: Attributes, condition: WriteCondition) -> Status:
        """Make the ``size`` bytes of ``spool`` the object at ``path`` if ``condition`` holds of the one there."""
        self.check_place(path)
        current = self.remote.found(path)
        if current is not None and current.kind != "file":
            if not self.staging.has_directories:
                raise PathConflict(path, f"PathConflict: {path}: there is a folder of that name")
            current = None
        _check(condition, current)
        lines = self.records.read(path)
        there = fitting(lines, current) if current is not None else None
        kept = [bound(there.attributes, current)] if there is not None and current is not None else []
        wanted = evolve(attributes, etag=None)
        place = self._rename if self.staging.has_directories else self._put
        try:
            facts = place(path, spool, size, wanted, current, kept)
        except Unavailable:
            raise
        except StorageError:
            with suppress(StorageError):
                self._restore(path, lines, kept)
            raise
        self._remember(path, facts)
        return facts.status(path, wanted)

    def delete(self, path: str, condition: WriteCondition) -> None:
        """Remove the object at ``path``, and the directories that are empty then and that nobody made."""
        facts, status = self.look(path)
        condition.check(status.etag, status.size, status.modified_ns)
        self.remote.remove(path)
        self._remember(path, facts)
        with suppress(StorageError):
            self.records.forget(path)
            self.staging.prune(split(path)[0], 1 if self.buckets else 0)

    def set_tags(self, path: str, tags: Mapping[str, str]) -> None:
        """Replace the tags of the object at ``path``."""
        facts, status = self.look(path)
        self.records.write(path, [bound(evolve(status.attributes, tags=dict(tags)), facts)])

    def _put(self, path: str, spool: IO[bytes], size: int, attributes: Attributes, current: Facts | None, kept: list[Record]) -> Facts:
        """As an object store does it: in one step, and the validator is known after it."""
        if attributes != NONE or kept:
            self.records.write(path, [*kept, expected(attributes, size)])
        for _ in range(_TRIES):
            self.remote.upload(path, spool, size)
            facts = _whole(path, self.remote.facts(path), size)
            if self._is_new(path, facts, current):
                break
            time.sleep(_TICK)
        if attributes != NONE:
            self.records.write(path, [bound(attributes, facts)])
        else:
            self.records.forget(path)
        return facts

    def _rename(self, path: str, spool: IO[bytes], size: int, attributes: Attributes, current: Facts | None, kept: list[Record]) -> Facts:
        """As a file system does it: the file is written elsewhere, and then gets its name."""
        temporary = self.staging.temporary()
        try:
            for _ in range(_TRIES):
                self.remote.upload(temporary, spool, size)
                facts = _whole(path, self.remote.facts(temporary), size)
                if self._is_new(path, facts, current):
                    break
                time.sleep(_TICK)
            if attributes != NONE or kept:
                self.records.write(path, [*kept, bound(attributes, facts)])
            self.staging.place(temporary, facts, path, self.bucket_of(path))
        except StorageError:
            self.staging.discard(temporary)
            raise
        if attributes == NONE:
            with suppress(StorageError):
                self.records.forget(path)
        return facts

    def _is_new(self, path: str, facts: Facts, current: Facts | None) -> bool:
        """Whether the validator tells it from what was there before."""
        return facts.validator not in (current.validator if current is not None else None, self._last.get(path))

    def _remember(self, path: str, facts: Facts) -> None:
        self._last[path] = facts.validator
        self._last.move_to_end(path)
        while len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)

    def _restore(self, path: str, lines: list[Record], kept: list[Record]) -> None:
        if kept:
            self.records.write(path, kept)
        elif not lines:
            self.records.forget(path)


def _check(condition: WriteCondition, current: Facts | None) -> None:
    if current is None:
        condition.check(None)
    else:
        condition.check(current.etag, current.size, current.modified_ns)


def _whole(path: str, facts: Facts, size: int) -> Facts:
    if facts.kind != "file" or facts.size != size:
        raise Unavailable(path, f"Unavailable: {path}: the store kept {facts.size} of {size} bytes")
    return facts

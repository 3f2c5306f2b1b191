"""The keys of a store in the order of their bytes, from any point on.

In a directory a file sorts as its name, a directory as its name with a slash: then all that is below it comes where it sorts itself. The
library lists a directory whole, so memory is bounded by the directories on the way of a walk, not by the store. Everything here blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from attrs import frozen

from alluxio_s3.s3.target import MAX_KEY_BYTES, key_problem
from alluxio_s3.storage import Listing, NoSuchPath, PathConflict, Status
from alluxio_s3.ufs.fsspec_store import folders
from alluxio_s3.ufs.fsspec_store.facts import Facts
from alluxio_s3.ufs.fsspec_store.objects import Objects
from alluxio_s3.ufs.fsspec_store.records import NONE
from alluxio_s3.ufs.local.containment import RESERVED
from alluxio_s3.ufs.local.tree import can_be_bucket


def list_keys(objects: Objects, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
    """See IUnderFileSystem.list. Attributes of objects are not in it, nor of need."""
    listed: list[Status | str] = []
    for entry in _entries(objects, prefix, max(prefix, start), delimiter):  # the order of Python's strings is that of their UTF-8
        if len(listed) == limit:
            return Listing(tuple(listed), complete=False)
        listed.append(entry)
    return Listing(tuple(listed), complete=True)


def _entries(objects: Objects, prefix: str, low: str, delimiter: str) -> Iterator[Status | str]:
    base = prefix[: prefix.rfind("/") + 1]
    hidden = objects.buckets and bool(base) and not can_be_bucket(base.partition("/")[0])
    # What no key can begin with is not asked of the store.
    if hidden or not low.startswith(prefix) or key_problem(base) or RESERVED in base.split("/") or not objects.remote.holds(base):
        return
    walk = _Walk(objects, prefix, low)
    yield from walk.folded(base) if delimiter else walk.below(base)


@frozen
class _Walk:
    objects: Objects
    prefix: str
    low: str

    def below(self, base: str) -> Iterator[Status]:
        """Every key from the directory ``base`` on and below it."""
        levels: list[list[tuple[str, Facts | None]]] = [[(base, None)]]
        while levels:
            if not levels[-1]:
                levels.pop()
                continue
            path, facts = levels[-1].pop()
            if facts is not None and facts.kind == "file":
                yield facts.status(path, NONE)
                continue
            children, marked = self._children(path)
            if marked:
                yield from self._folder(path)
            levels.append(children)

    def folded(self, base: str) -> Iterator[Status | str]:
        """The keys right in ``base``, and its directories as common prefixes."""
        children, marked = self._children(base)
        if marked:
            yield from self._folder(base)
        for path, facts in reversed(children):
            if facts is not None and facts.kind == "file":
                yield facts.status(path, NONE)
            elif path >= self.low or next(self.below(path), None) is not None:
                yield path

    def _folder(self, path: str) -> Iterator[Status]:
        if self._wants(path) and not self.objects.is_top(path):
            with suppress(NoSuchPath):
                yield folders.status(self.objects, path)

    def _wants(self, path: str) -> bool:
        return path >= self.low and path.startswith(self.prefix)

    def _children(self, base: str) -> tuple[list[tuple[str, Facts | None]], bool]:
        """What in the directory may be, or have below it, a key of the listing, the last first; and whether it may be a folder object."""
        try:
            found = self.objects.remote.children(base)
        except (NoSuchPath, PathConflict):  # gone meanwhile
            return [], False
        children: list[tuple[str, Facts | None]] = []
        marked = False
        for name, facts in found:
            directory = facts.kind == "directory"
            if name == RESERVED:
                marked = marked or directory
                continue
            path = f"{base}{name}/" if directory else f"{base}{name}"
            if facts.kind not in ("file", "directory") or not self._is_key(path, base, directory=directory):
                continue
            if not directory:
                wanted = self._wants(path)
            else:
                within = path.startswith(self.prefix) or self.prefix.startswith(path)
                wanted = within and (path >= self.low or self.low.startswith(path))
            if wanted:
                children.append((path, facts))
        children.sort(key=lambda one: one[0], reverse=True)
        return children, marked

    def _is_key(self, path: str, base: str, *, directory: bool) -> bool:
        """Whether ``path`` can be a key, or the beginning of one, at all. The name of the bucket is none of the key."""
        if self.objects.buckets and not base:
            return directory and can_be_bucket(path.rstrip("/"))
        key = path.partition("/")[2] if self.objects.buckets else path
        try:
            size = len(key.encode())
        except UnicodeEncodeError:
            return False
        return size <= MAX_KEY_BYTES and not key_problem(path) and self.objects.remote.holds(path.rstrip("/"))

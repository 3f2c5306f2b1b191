"""The keys of a tree of directories in the order of their bytes, from any point on.

In a directory a file sorts as its name, a directory as its name with a slash: then all that is below it comes where it sorts itself. A
directory is asked for whole (LISTSTATUS has no pages), so memory is bounded by the directories on the way of a walk, not by the store.
What belongs to the objects of a page is fetched for the page only, several at a time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults

from alluxio_s3.s3.target import MAX_KEY_BYTES, key_problem
from alluxio_s3.storage import Listing, NoSuchPath, PathConflict, Status
from alluxio_s3.ufs.local.containment import RESERVED
from alluxio_s3.ufs.local.tree import can_be_bucket
from alluxio_s3.ufs.webhdfs.inode import Inode, folder_status, object_status, parse_inode
from alluxio_s3.ufs.webhdfs.tree import Tree

# How many requests for extended attributes are under way at a time.
_AT_ONCE = 16


@frozen
class _Found:
    """An entry before its attributes are known. ``path`` of a directory ends with a slash."""

    path: str
    inode: Inode


async def list_keys(tree: Tree, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
    """See IUnderFileSystem.list."""
    low = max(prefix, start)  # the order of Python's strings is that of their UTF-8
    listed: list[Status | str] = []
    while True:
        found: list[_Found | str] = []
        complete = True
        async with aclosing(_entries(tree, prefix, low, delimiter)) as entries:
            async for entry in entries:
                if len(listed) + len(found) == limit:
                    complete = False
                    break
                found.append(entry)
        listed += await _described(tree, found)
        if complete or len(listed) == limit:
            return Listing(tuple(listed), complete=complete)
        last = found[-1]  # some have gone since, or are no keys
        low = f"{last[:-1]}0" if isinstance(last, str) else f"{last.path}\0"


async def _described(tree: Tree, found: list[_Found | str]) -> list[Status | str]:
    turns = DeferredSemaphore(_AT_ONCE)

    async def describe(one: _Found) -> Status | None:
        async with _turn(turns):
            try:
                record = await tree.records.read(one.inode)
                if one.inode.is_directory and not tree.is_folder_object(one.path, record):
                    return None
                return (folder_status if one.inode.is_directory else object_status)(one.path, one.inode, record)
            except NoSuchPath:  # gone, or replaced by another
                try:
                    return await tree.status(one.path)
                except NoSuchPath:
                    return None

    running = [Deferred.fromCoroutine(describe(one)) for one in found if isinstance(one, _Found)]
    gathered = gatherResults(running, consumeErrors=True)
    try:
        statuses = iter(await gathered)
    except BaseException:
        for one in running:
            one.cancel()
        raise
    entries = [one if isinstance(one, str) else next(statuses) for one in found]
    return [one for one in entries if one is not None]


class _turn:  # noqa: N801 - reads as a word
    def __init__(self, turns: DeferredSemaphore) -> None:
        self._turns = turns

    async def __aenter__(self) -> None:
        await self._turns.acquire()

    async def __aexit__(self, *problem: object) -> None:
        self._turns.release()


async def _entries(tree: Tree, prefix: str, low: str, delimiter: str) -> AsyncGenerator[_Found | str, None]:
    """Everything from ``low`` on that begins with ``prefix``; ``low`` is not before it."""
    base = prefix[: prefix.rfind("/") + 1]
    # What no key can begin with is not asked of HDFS.
    if not low.startswith(prefix) or key_problem(base) or RESERVED in base.split("/") or _is_hidden(tree, base):
        return
    try:
        inode = await tree.inode(base)
    except NoSuchPath:
        return
    if not inode.is_directory:
        return
    walk = _Walk(tree, prefix, low)
    if walk.wants(base):
        yield _Found(base, inode)
    async with aclosing(walk.folded(base) if delimiter else walk.below(base)) as found:
        async for entry in found:
            yield entry


@frozen
class _Walk:
    tree: Tree
    prefix: str
    low: str

    def wants(self, path: str) -> bool:
        """Whether what is at ``path``, a file or a directory, is itself a key of the listing."""
        return path >= self.low and path.startswith(self.prefix) and not self.tree.is_top(path) and not self._is_too_long(path)

    async def below(self, base: str) -> AsyncGenerator[_Found, None]:
        """Every key below the directory ``base``, without itself."""
        levels = [await self._children(base)]
        while levels:
            if not levels[-1]:
                levels.pop()
                continue
            child = levels[-1].pop()
            if self.wants(child.path):
                yield child
            if child.inode.is_directory:
                levels.append(await self._children(child.path))

    async def folded(self, base: str) -> AsyncGenerator[_Found | str, None]:
        """The keys right in ``base``, and its directories as common prefixes: all but the empty ones that are no keys themselves."""
        children = await self._children(base)
        while children:
            child = children.pop()
            if not child.inode.is_directory:
                if self.wants(child.path):
                    yield child
            elif await (self._is_key(child) if self.wants(child.path) and child.inode.children == 0 else self._has_keys(child)):
                yield child.path

    async def _has_keys(self, directory: _Found) -> bool:
        if self.wants(directory.path):
            return True
        async with aclosing(self.below(directory.path)) as found:
            async for one in found:
                if not one.inode.is_directory or await self._is_key(one):
                    return True
        return False

    async def _is_key(self, directory: _Found) -> bool:
        if self.tree.folders:
            return True
        with suppress(NoSuchPath):
            return self.tree.is_folder_object(directory.path, await self.tree.records.read(directory.inode))
        return False

    async def _children(self, base: str) -> list[_Found]:
        """What in the directory may be, or have below it, a key of the listing; the last comes first."""
        try:
            answer = await self.tree.nodes.ask(b"GET", base, "LISTSTATUS")
        except (NoSuchPath, PathConflict):  # gone meanwhile
            return []
        children = []
        for one in answer["FileStatuses"]["FileStatus"]:
            name = one["pathSuffix"]
            directory = one["type"] == "DIRECTORY"
            path = f"{base}{name}/" if directory else f"{base}{name}"
            if not name or name == RESERVED or one["type"] not in ("FILE", "DIRECTORY") or self._is_too_long(path):
                continue
            if not directory:
                wanted = self.wants(path)
            else:
                within = path.startswith(self.prefix) or self.prefix.startswith(path)
                wanted = within and (path >= self.low or self.low.startswith(path)) and not _is_hidden(self.tree, path)
            if wanted:
                children.append(_Found(path, parse_inode(one)))
        children.sort(key=lambda one: one.path, reverse=True)
        return children

    def _is_too_long(self, path: str) -> bool:
        """Whether no key can be so long. The name of the bucket is none of the key."""
        key = path.partition("/")[2] if self.tree.buckets else path
        return len(key) > MAX_KEY_BYTES // 4 and len(key.encode()) > MAX_KEY_BYTES


def _is_hidden(tree: Tree, path: str) -> bool:
    """Whether ``path`` is in a top-level directory that can't be a bucket."""
    return tree.buckets and bool(path) and not can_be_bucket(path.partition("/")[0])

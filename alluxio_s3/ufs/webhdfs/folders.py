"""Directories as folders and buckets: those that users made, and those that are there only for what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from alluxio_s3.clocks import wall_clock
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
from alluxio_s3.ufs.local.containment import split
from alluxio_s3.ufs.local.record import Record
from alluxio_s3.ufs.local.tree import can_be_bucket
from alluxio_s3.ufs.webhdfs.inode import folder_status, parse_inode
from alluxio_s3.ufs.webhdfs.tree import Tree


async def make(tree: Tree, path: str, attributes: Attributes, condition: WriteCondition) -> Status:
    """Make the folder at ``path`` the user's own, with ``attributes``, if ``condition`` holds of the one there."""
    async with tree.turns.of(path):
        await tree.check_condition(path, condition)
        inode, record = await tree.make_directory(path, Record(attributes, created_ns=_now(tree)))
        return folder_status(path, inode, record)


async def delete(tree: Tree, path: str, condition: WriteCondition) -> None:
    """Remove the folder at ``path``; one that has something in it only ceases to be the user's own."""
    tree.check(path)
    if tree.is_top(path):
        raise PathNotAllowed(path, f"PathNotAllowed: {path}: this is a bucket, not a folder")
    async with tree.turns.of(path):
        inode, current = await tree.look(path)
        condition.check(current.etag, current.size, current.modified_ns)
        try:
            await tree.remove(inode)
        except NotEmpty:
            await tree.records.write(inode, Record(implicit=True), fresh=False)
            return
    await tree.prune(split(path)[0])


async def buckets(tree: Tree) -> Sequence[Status]:
    """Every bucket, by name."""
    _require_buckets(tree)
    found = (await tree.nodes.ask(b"GET", "", "LISTSTATUS"))["FileStatuses"]["FileStatus"]
    statuses = []
    for name in sorted(one["pathSuffix"] for one in found if one["type"] == "DIRECTORY"):
        with suppress(NoSuchPath):
            statuses.append(await bucket(tree, name))
    return statuses


async def bucket(tree: Tree, name: str) -> Status:
    """That bucket alone. Raises NoSuchPath."""
    _require_buckets(tree)
    if not can_be_bucket(name):
        raise NoSuchPath(f"{name}/")
    return await tree.status(f"{name}/")


async def create_bucket(tree: Tree, name: str, attributes: Attributes) -> Status:
    """Make a bucket of ``attributes.owner``: whole, with its record, and by one of those who want to. Raises AlreadyExists."""
    _require_buckets(tree)
    path = f"{name}/"
    if not can_be_bucket(name):
        raise PathNotAllowed(path)
    temporary = await tree.new_temporary()
    await tree.nodes.ask(b"PUT", temporary, "MKDIRS", permission="755")
    try:
        inode = await tree.inode(temporary)
        record = await tree.records.write(inode, Record(attributes, created_ns=_now(tree)))
        await tree.rename(temporary, inode, path, "NONE")
    except PathConflict:
        await tree.discard(temporary)
        if (await tree.inode(path)).is_directory:
            raise AlreadyExists(path) from None
        raise PathConflict(path, f"PathConflict: {path}: there is a file of that name at the root") from None
    except StorageError:
        await tree.discard(temporary)
        raise
    return folder_status(path, inode, record)


async def delete_bucket(tree: Tree, name: str) -> None:
    """Remove a bucket in which there is nothing, or nothing but directories that only were there for keys. Raises NotEmpty."""
    await bucket(tree, name)
    path = f"{name}/"
    if not (await _is_hollow(tree, name, remove=False) and await _is_hollow(tree, name, remove=True)):
        raise NotEmpty(path)
    try:
        await tree.remove(await tree.inode(path))
    except NotEmpty:
        raise NotEmpty(path) from None


async def _is_hollow(tree: Tree, path: str, *, remove: bool) -> bool:
    """Whether nothing is below the directory but implicit ones, which a crash may leave; with ``remove`` they go."""
    found = (await tree.nodes.ask(b"GET", path, "LISTSTATUS"))["FileStatuses"]["FileStatus"]
    for one in found:
        inode = parse_inode(one)
        if not inode.is_directory:
            return False
        record = await tree.records.read(inode)
        below = f"{path}/{one['pathSuffix']}"
        if record is None or not record.implicit or not await _is_hollow(tree, below, remove=remove):
            return False
        if remove:
            await tree.remove(inode)
    return True


def _now(tree: Tree) -> int:
    return int(wall_clock(tree.nodes.clock).seconds() * 1e9)


def _require_buckets(tree: Tree) -> None:
    if not tree.buckets:
        raise Unsupported("", "Unsupported: this directory is one bucket; mount it at '/' to have its directories as buckets")

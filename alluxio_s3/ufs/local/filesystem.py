"""A local directory (or one on a network file system) as an under-store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from zope.interface import implementer

from alluxio_s3.interfaces import IAttributeUpdater, IBucketContainer, IObjectReader, IObjectWriter, IUnderFileSystem
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, Listing, Status
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local import folders, publish, tags
from alluxio_s3.ufs.local.descriptor import acquire
from alluxio_s3.ufs.local.durability import Mode
from alluxio_s3.ufs.local.failures import storage_errors
from alluxio_s3.ufs.local.reader import LocalReader, open_object
from alluxio_s3.ufs.local.staging import Temporary
from alluxio_s3.ufs.local.tree import Tree
from alluxio_s3.ufs.local.writer import FolderWriter, LocalWriter


@implementer(IUnderFileSystem, IBucketContainer, IAttributeUpdater)
class LocalUnderFileSystem:
    """The objects below the directory ``root``: files are objects, directories folders. One hop to a thread per verb.

    ``buckets``: its top-level directories are buckets (mounted at ``/``), which only ``create_bucket`` makes;
    else it is one bucket. ``folders``: every directory is a folder object, or only those that somebody made. ``xattrs``: whether
    extended attributes may be used. Raises OSError when ``root`` is not a directory.
    """

    def __init__(
        self, root: str, threads: Threads, *, buckets: bool, folders: bool = True, xattrs: bool = True, durability: Mode = "full"
    ) -> None:
        self.tree = Tree.at(root, buckets=buckets, folders=folders, xattrs=xattrs, durability=durability)
        self._threads = threads

    def prepare(self) -> None:
        """Make the reserved directory and remove what died in it. Blocks; raises StorageError where nothing can be written.

        Not needed for reading, and done by itself at the first write.
        """
        with storage_errors("", writing=True):
            self.tree.staging.prepare()

    async def status(self, path: str) -> Status:
        """See IUnderFileSystem."""
        return await self._threads.run(self._status, path)

    async def list(self, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
        """See IUnderFileSystem."""
        raise NotImplementedError

    async def open(self, path: str) -> IObjectReader:
        """See IUnderFileSystem."""
        status, found, descriptor = await acquire(self._threads, partial(open_object, self.tree, path), lambda made: made[2].close())
        return LocalReader(status, found, descriptor, self._threads)

    async def create(self, path: str, attributes: Attributes, length: int | None) -> IObjectWriter:  # noqa: ARG002 - commit brings them
        """See IUnderFileSystem."""
        if path.endswith("/"):
            await self._threads.run(folders.check_place, self.tree, path)
            return FolderWriter(path, self._threads, partial(folders.make, self.tree, path))
        temporary = await acquire(self._threads, partial(self._begin, path, length), Temporary.discard)

        def place(temporary: Temporary, attributes: Attributes, condition: WriteCondition) -> Status:
            return publish.publish(self.tree, temporary, path, attributes, condition)

        return LocalWriter(path, temporary, length, self._threads, place)

    async def delete(self, path: str, condition: WriteCondition) -> None:
        """See IUnderFileSystem."""
        remove = folders.delete if path.endswith("/") else publish.delete
        await self._threads.run(remove, self.tree, path, condition)

    async def set_tags(self, path: str, tags_: Mapping[str, str]) -> None:
        """See IAttributeUpdater."""
        await self._threads.run(tags.set_tags, self.tree, path, tags_)

    async def buckets(self) -> Sequence[Status]:
        """See IBucketContainer."""
        raise NotImplementedError

    async def bucket(self, name: str) -> Status:
        """See IBucketContainer."""
        return await self._threads.run(self._status, f"{name}/")

    async def create_bucket(self, name: str, attributes: Attributes) -> Status:
        """See IBucketContainer."""
        raise NotImplementedError

    async def delete_bucket(self, name: str) -> None:
        """See IBucketContainer."""
        raise NotImplementedError

    async def close(self) -> None:
        """See IUnderFileSystem."""
        await self._threads.run(self.tree.close)

    def _status(self, path: str) -> Status:
        with storage_errors(path):
            return self.tree.status(path)

    def _begin(self, path: str, length: int | None) -> Temporary:
        publish.check_place(self.tree, path)
        with storage_errors(path, writing=True):
            return self.tree.staging.temporary(length)

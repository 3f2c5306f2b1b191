"""The under-store on fsspec. ``options`` tells what it can be told, ``objects`` how objects are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import cast

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from alluxio_s3.interfaces import (
    IAttributeUpdater,
    IBucketContainer,
    IForeseeingFactory,
    IIdentified,
    IObjectReader,
    IObjectWriter,
    IUnderFileSystem,
)
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, Listing, PathConflict, Status
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.fsspec_store import folders
from alluxio_s3.ufs.fsspec_store.errands import Errands
from alluxio_s3.ufs.fsspec_store.objects import Objects
from alluxio_s3.ufs.fsspec_store.options import Options, parse_options
from alluxio_s3.ufs.fsspec_store.reader import FsspecReader
from alluxio_s3.ufs.fsspec_store.remote import Remote
from alluxio_s3.ufs.fsspec_store.walk import list_keys
from alluxio_s3.ufs.fsspec_store.writer import FolderWriter, FsspecWriter


@implementer(IUnderFileSystem, IBucketContainer, IAttributeUpdater, IIdentified)
class FsspecUnderFileSystem:
    """The store that ``options`` name; every call of the library is made in ``threads``."""

    def __init__(self, options: Options, clock: IReactorTime, threads: Threads) -> None:
        self.identity = options.identity
        self._remote = Remote(options)
        self._objects = Objects(self._remote)
        self._threads = threads
        self._errands = Errands(threads, clock, options.timeout)

    async def status(self, path: str) -> Status:
        """See IUnderFileSystem."""
        if path.endswith("/") or not path:
            return await self._errands.ask(folders.status, self._objects, path)
        return (await self._errands.ask(self._objects.look, path))[1]

    async def list(self, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
        """See IUnderFileSystem."""
        return await self._errands.ask(list_keys, self._objects, prefix, start, limit, delimiter)

    async def open(self, path: str) -> IObjectReader:
        """See IUnderFileSystem."""
        status = await self.status(path)
        if status.is_folder:
            raise PathConflict(path)
        return FsspecReader(status, self._remote, self._errands)

    async def create(self, path: str, attributes: Attributes, length: int | None) -> IObjectWriter:  # noqa: ARG002 - commit brings them
        """See IUnderFileSystem."""
        await self._errands.ask(self._objects.check_place, path)
        if path.endswith("/"):
            return FolderWriter(path, partial(folders.make, self._objects, path), self._errands)
        return FsspecWriter(path, partial(self._objects.publish, path), self._errands, self._threads)

    async def delete(self, path: str, condition: WriteCondition) -> None:
        """See IUnderFileSystem."""
        if path.endswith("/"):
            await self._errands.change(path, folders.delete, self._objects, path, condition)
        else:
            await self._errands.change(path, self._objects.delete, path, condition)

    async def set_tags(self, path: str, tags: Mapping[str, str]) -> None:
        """See IAttributeUpdater."""
        if path.endswith("/") or not path:
            await self._errands.change(path, folders.set_tags, self._objects, path, tags)
        else:
            await self._errands.change(path, self._objects.set_tags, path, tags)

    async def buckets(self) -> Sequence[Status]:
        """See IBucketContainer."""
        return await self._errands.ask(folders.buckets, self._objects)

    async def bucket(self, name: str) -> Status:
        """See IBucketContainer."""
        return await self._errands.ask(folders.bucket, self._objects, name)

    async def create_bucket(self, name: str, attributes: Attributes) -> Status:
        """See IBucketContainer."""
        return await self._errands.change(f"{name}/", folders.create_bucket, self._objects, name, attributes)

    async def delete_bucket(self, name: str) -> None:
        """See IBucketContainer."""
        await self._errands.change(f"{name}/", folders.delete_bucket, self._objects, name)

    async def close(self) -> None:
        """See IUnderFileSystem. Changes that are being made end first."""
        await self._errands.settle()
        await self._threads.run(self._remote.close)


@implementer(IForeseeingFactory)
class FsspecFactory:
    """Builds the store of ``fsspec+<protocol>://`` URIs; ``options.parse_options`` tells its options."""

    def foresee(self, uri: str) -> None:
        """See IForeseeingFactory. The library is imported, which may take seconds."""
        with suppress(ValueError):
            parse_options({"uri": uri})

    def build(self, options: Mapping[str, str], reactor: object, threads: Threads) -> FsspecUnderFileSystem:
        """A store; nothing is asked of it yet. Raises ValueError for an option that is wrong or a library that is missing."""
        return FsspecUnderFileSystem(parse_options(options), cast(IReactorTime, reactor), threads)

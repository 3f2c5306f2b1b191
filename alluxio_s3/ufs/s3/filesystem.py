"""The under-store on S3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zope.interface import implementer

from alluxio_s3.clocks import wall_clock
from alluxio_s3.interfaces import (
    IAttributeUpdater,
    IBucketContainer,
    IEagerReading,
    IIdentified,
    IMultipartUploads,
    IPartLocator,
    IPluginFactory,
    IRemote,
    ITagReader,
    IUnderFileSystem,
)
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, Listing, PartPlace, PathConflict, Status
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.s3 import publication, tags
from alluxio_s3.ufs.s3.ahead import Ahead
from alluxio_s3.ufs.s3.bucket import Bucket
from alluxio_s3.ufs.s3.buckets import S3Buckets
from alluxio_s3.ufs.s3.client import Client
from alluxio_s3.ufs.s3.listing import list_keys
from alluxio_s3.ufs.s3.options import Options, read_options
from alluxio_s3.ufs.s3.part_places import PartPlaces
from alluxio_s3.ufs.s3.reader import S3Reader
from alluxio_s3.ufs.s3.uploads import S3Uploads
from alluxio_s3.ufs.s3.writer import S3Writer


@implementer(IUnderFileSystem, IAttributeUpdater, IEagerReading, IPartLocator, ITagReader, IIdentified, IRemote)
class S3UnderFileSystem:
    """A bucket of an S3 store, or what is below a prefix in it. Nothing is asked of the store before it is used."""

    def __init__(self, options: Options, reactor: Any, threads: Threads) -> None:
        self.identity = options.identity
        self._options = options
        self._client = Client(options, reactor, threads)
        self._bucket = Bucket(options, self._client, threads)
        self._buckets = S3Buckets(self._bucket)
        self._places = PartPlaces(self._bucket)
        self._uploads = S3Uploads(self._bucket, self._check_place, wall_clock(reactor))

    def __conform__(self, interface: object) -> object:
        """``IMultipartUploads(store)`` is the store's uploads, ``IBucketContainer(store)`` its buckets, if it is mounted at ``/``."""
        if interface is IMultipartUploads:
            return self._uploads
        return self._buckets if interface is IBucketContainer and self._options.buckets else None

    async def reach(self) -> None:
        """See IRemote."""
        await self._bucket.reach()

    async def status(self, path: str) -> Status:
        """See IUnderFileSystem."""
        if not path:
            return Status("", 0, 0, "root", "root")
        if self._options.buckets and path.endswith("/") and path.count("/") == 1:
            return await self._buckets.bucket(path[:-1])
        return await self._bucket.head(path)

    async def list(self, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
        """See IUnderFileSystem."""
        return await list_keys(self._bucket, prefix, start, limit, delimiter)

    async def open(self, path: str) -> S3Reader:
        """See IUnderFileSystem."""
        status = await self.status(path)
        if status.is_folder:
            raise PathConflict(path)
        return S3Reader(status, self._bucket)

    async def open_reading(self, path: str, offset: int, count: int | None) -> S3Reader:
        """See IEagerReading."""
        self._bucket.check_length(path)
        ahead = Ahead(self._bucket, path, offset, count)
        try:
            reader = await self.open(path)
        except BaseException:
            ahead.give_up()
            raise
        reader.ahead = ahead
        return reader

    async def create(self, path: str, attributes: Attributes, length: int | None) -> S3Writer:
        """See IUnderFileSystem."""
        self._bucket.check_length(path)
        await self._check_place(path)
        return S3Writer(self._bucket, path, attributes, length, self._check_place)

    async def delete(self, path: str, condition: WriteCondition) -> None:
        """See IUnderFileSystem."""
        if not path or (self._options.buckets and not path.partition("/")[2]):
            await self.status(path)
            raise PathConflict(path)
        await publication.delete(self._bucket, path, condition)

    async def tags(self, path: str) -> Mapping[str, str]:
        """See ITagReader."""
        return await tags.get_tags(self._bucket, path)

    async def part(self, status: Status, number: int) -> PartPlace | None:
        """See IPartLocator."""
        return await self._places.part(status, number)

    async def set_tags(self, path: str, tags_: Mapping[str, str]) -> None:
        """See IAttributeUpdater. Of the root of a mount without a prefix they are those of the bucket itself."""
        await tags.set_tags(self._bucket, path, tags_)

    async def close(self) -> None:
        """See IUnderFileSystem."""
        await self._client.close()

    async def _check_place(self, path: str) -> None:
        """Raise NoSuchPath unless the bucket of ``path`` is there; PathConflict for the root or a bucket itself."""
        bucket, _, key = path.partition("/")
        if self._options.buckets and bucket:
            await self._buckets.bucket(bucket)
        if not path or (self._options.buckets and not key):
            raise PathConflict(path)


@implementer(IPluginFactory)
class S3Factory:
    """Builds an ``S3UnderFileSystem``; ``ufs.s3.options`` has its options."""

    def build(self, options: Mapping[str, str], reactor: object, threads: Threads) -> S3UnderFileSystem:
        """A new under-store. Raises ValueError for an option that is unknown or wrong."""
        return S3UnderFileSystem(read_options(options), reactor, threads)

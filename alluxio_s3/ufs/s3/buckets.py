"""Buckets below one bucket of the store: its top-level prefixes.

A bucket is there when its marker is (the empty object ``b/``, whose metadata name the owner), or when something is in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from attrs import evolve, frozen
from twisted.internet.defer import DeferredSemaphore, gatherResults
from zope.interface import implementer

from alluxio_s3.interfaces import IBucketContainer
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import AlreadyExists, Attributes, NoSuchPath, NotEmpty, Status
from alluxio_s3.ufs.s3.attributes import etag_of, owner_header
from alluxio_s3.ufs.s3.bucket import Bucket
from alluxio_s3.ufs.s3.client import Answer, Body, Order
from alluxio_s3.ufs.s3.listing import list_keys
from alluxio_s3.ufs.s3.publication import publish

_AT_ONCE = 8
_PAGE = 1000


@implementer(IBucketContainer)
@frozen
class S3Buckets:
    """The buckets in ``bucket``, the store's."""

    _bucket: Bucket

    async def buckets(self) -> Sequence[Status]:
        """See IBucketContainer."""
        names: list[str] = []
        start, complete = "", False
        while not complete:
            listing = await list_keys(self._bucket, "", start, _PAGE, "/")
            names += [entry for entry in listing.entries if isinstance(entry, str)]
            if listing.entries:
                last = listing.entries[-1]
                start = f"{last[:-1]}0" if isinstance(last, str) else f"{last.path}\0"
            complete = listing.complete
        places = DeferredSemaphore(_AT_ONCE)
        looks = [places.run(partial(self._look, name)) for name in names]
        return list(await gatherResults(looks, consumeErrors=True))

    async def bucket(self, name: str) -> Status:
        """See IBucketContainer."""
        path = f"{name}/"
        try:
            return await self._marker(path)
        except NoSuchPath:
            if not (await list_keys(self._bucket, path, "", 1, "")).entries:
                raise
        return _unmarked(path)

    async def create_bucket(self, name: str, attributes: Attributes) -> Status:
        """See IBucketContainer."""
        path = f"{name}/"
        self._bucket.check_length(path)
        if (await list_keys(self._bucket, path, "", 1, "")).entries:
            raise AlreadyExists(path)

        async def write(conditions: Mapping[str, str]) -> Answer:
            headers = {**owner_header(attributes.owner), **conditions}
            return await self._bucket.client.ask(Order("PUT", self._bucket.key(path), headers=headers, body=Body.of(b"")))

        condition = WriteCondition(if_none_match=("*",))
        try:
            await publish(self._bucket, path, condition, write, lambda answer: etag_of(answer.headers, path), None)
        except S3Error as error:
            if error.code == "PreconditionFailed":
                raise AlreadyExists(path) from None
            raise
        return await self._marker(path)

    async def delete_bucket(self, name: str) -> None:
        """See IBucketContainer. Something that is written at this very moment brings the bucket back, without an owner."""
        path = f"{name}/"
        entries = (await list_keys(self._bucket, path, "", 2, "")).entries
        if not entries:
            raise NoSuchPath(path)
        if any(not isinstance(entry, Status) or entry.path != path for entry in entries):
            raise NotEmpty(path)
        await self._bucket.told(self._bucket.remove(path, {}), path)

    async def _look(self, path: str) -> Status:
        try:
            return await self._marker(path)
        except NoSuchPath:
            return _unmarked(path)

    async def _marker(self, path: str) -> Status:
        status, owner = await self._bucket.head_marker(path)
        return evolve(status, attributes=evolve(status.attributes, owner=owner))


def _unmarked(path: str) -> Status:
    return Status(path, 0, 0, "unmarked", "unmarked")

"""The bucket behind an under-store, in the words of storage: paths, statuses, errors."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TypeVar

from attrs import define, field, frozen

from alluxio_s3.storage import NoSuchPath, PathTooLong, Status
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.s3.attributes import owner_of, status_of
from alluxio_s3.ufs.s3.client import Answer, Client, Order
from alluxio_s3.ufs.s3.failures import Refused, storage_error
from alluxio_s3.ufs.s3.options import Options

T = TypeVar("T")

MAX_KEY_BYTES = 1024  # "Creating object key names" in the S3 user guide


@define
class Habits:
    """What was learned of the store: whether an ETag in the If-Match of a write has quotes (Ceph's does not)."""

    quotes: bool = True

    def match(self, etag: str) -> str:
        """The value of If-Match."""
        return f'"{etag}"' if self.quotes else etag

    def learn(self, headers: Mapping[str, str], etag: str | None) -> None:
        """A write with these headers was refused while the ETag was ``etag``: if that is the one it named, it named it wrong."""
        named = headers.get("If-Match", "")
        if etag is not None and named.strip('"') == etag:
            self.quotes = not named.startswith('"')


@frozen
class Bucket:
    """Asks ``client`` about paths below the prefix of ``options``."""

    options: Options
    client: Client
    threads: Threads
    habits: Habits = field(factory=Habits)

    def key(self, path: str) -> str:
        """The key of the object at ``path``."""
        return self.options.prefix + path

    def check_length(self, path: str) -> None:
        """Raise PathTooLong for what no key can be."""
        if len(self.key(path).encode()) > MAX_KEY_BYTES:
            raise PathTooLong(path)

    def path(self, key: str) -> str:
        """The path of ``key``, which begins with the prefix."""
        return key[len(self.options.prefix) :]

    async def ask(self, path: str, method: str, query: Mapping[str, str | None] | None = None, **kwargs: object) -> Answer:
        """The answer to a request about the object at ``path``. Raises StorageError, S3Error."""
        order = Order(method, self.key(path), query or {}, **kwargs)  # type: ignore[arg-type]  # Order's own fields
        return await self.told(self.client.ask(order), path)

    async def told(self, answering: Awaitable[T], path: str) -> T:
        """What ``answering`` brings, with a refusal told as the error of storage that it is."""
        try:
            return await answering
        except Refused as refused:
            raise storage_error(refused, path) from None

    async def head(self, path: str) -> Status:
        """The object at ``path``. Raises NoSuchPath, PathTooLong."""
        self.check_length(path)
        answer = await self.ask(path, "HEAD", headers={"x-amz-checksum-mode": "ENABLED"})
        return status_of(path, answer.headers)

    async def reach(self) -> None:
        """Have the store answer. A user who may do other things than list its objects is answered, too."""
        query: dict[str, str | None] = {"list-type": "2", "max-keys": "1", "prefix": self.key("")}
        try:
            await self.client.ask(Order("GET", None, query))
        except Refused as refused:
            if refused.code != "AccessDenied":
                raise storage_error(refused, "") from None

    async def head_marker(self, path: str) -> tuple[Status, str | None]:
        """The marker of a bucket, and the bucket's owner. Raises NoSuchPath."""
        answer = await self.ask(path, "HEAD")
        return status_of(path, answer.headers), owner_of(answer.headers)

    async def found(self, path: str) -> Status | None:
        """The object at ``path``, or None."""
        try:
            return await self.head(path)
        except NoSuchPath:
            return None

    async def remove(self, path: str, headers: Mapping[str, str]) -> None:
        """Delete the object at ``path``, be it there or not. Raises Refused, Unavailable."""
        await self.client.ask(Order("DELETE", self.key(path), headers=headers))

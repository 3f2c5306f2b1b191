"""The bucket behind an under-store, in the words of storage: paths, statuses, errors."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping
from typing import TypeVar

from attrs import define, field, frozen

from alluxio_s3.storage import NoSuchPath, ObjectChanged, PartPlace, PathTooLong, Status
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.s3.attributes import owner_of, status_of
from alluxio_s3.ufs.s3.client import Answer, Client, Order
from alluxio_s3.ufs.s3.failures import Refused, storage_error
from alluxio_s3.ufs.s3.options import Options

T = TypeVar("T")

MAX_KEY_BYTES = 1024  # "Creating object key names" in the S3 user guide
# The ETag of an object that was made of parts ends with how many.
_MULTIPART = re.compile(r"-(\d+)$")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


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

    async def part(self, status: Status, number: int) -> PartPlace | None:
        """Where part ``number`` of the object of ``status`` is: what HeadObject with ``partNumber`` says. See IPartLocator."""
        made_of = _MULTIPART.search(status.etag)
        if made_of is None or not status.size:
            return None
        answer = None if number > int(made_of[1]) else await self._head_part(status, number)
        if answer is None:
            return PartPlace(0, 0, int(made_of[1]))
        count, parts = int(answer.headers.get("content-length", 0)), int(answer.headers.get("x-amz-mp-parts-count") or made_of[1])
        told = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        if told is not None:
            return PartPlace(int(told[1]), int(told[2]) + 1 - int(told[1]), parts)
        if parts > 1 and count == status.size:  # the store does not know the question
            return None
        # Some stores tell how long a part is, but not where.
        offset = 0 if number < parts else status.size - count
        for before in range(1, number if number < parts else 1):
            answer = await self._head_part(status, before)
            offset += 0 if answer is None else int(answer.headers.get("content-length", 0))
        return PartPlace(offset, count, parts) if offset + count <= status.size else None

    async def _head_part(self, status: Status, number: int) -> Answer | None:
        """What the store says of a part; None if there is none."""
        key, path = self.key(status.path), status.path
        try:
            answer = await self.client.ask(Order("HEAD", key, {"partNumber": str(number)}))
            if answer.headers.get("etag", "").strip('"') != status.etag:
                # It is the part's own, or that of another version.
                await self.client.ask(Order("HEAD", key, headers={"If-Match": f'"{status.etag}"'}))
        except Refused as refused:
            if refused.status in (404, 412):
                raise ObjectChanged(path) from None
            if refused.status in (400, 416):
                return None
            raise storage_error(refused, path) from None
        return answer

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

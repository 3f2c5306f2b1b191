"""One version of one object, read through ranged GETs that only that version can answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from attrs import define, field
from zope.interface import implementer

from alluxio_s3.interfaces import IObjectReader
from alluxio_s3.storage import ObjectChanged, Status, StorageError, Unavailable
from alluxio_s3.ufs.s3.ahead import Ahead
from alluxio_s3.ufs.s3.attributes import etag_of
from alluxio_s3.ufs.s3.bucket import Bucket
from alluxio_s3.ufs.s3.client import Answer, Order
from alluxio_s3.ufs.s3.failures import Refused, storage_error
from alluxio_s3.ufs.s3.flow import BrokenOff

_TRIES = 3


@implementer(IObjectReader)
@define(eq=False)
class S3Reader:
    """Holds no connection between two reads. ``ahead`` is what was asked for before the first of them."""

    status: Status
    bucket: Bucket = field(repr=False)
    ahead: Ahead | None = field(default=None, repr=False)

    async def read(self, offset: int, count: int) -> AsyncIterator[bytes]:
        """See IObjectReader. A read that breaks off goes on where it was, twice at most."""
        end, tries = offset + count, 0
        if end > self.status.size:
            raise ObjectChanged(self.status.path, "The object does not reach so far.")
        while offset < end:
            tries += 1
            answer = await self._asked_ahead(offset, end) or await self._get(offset, end)
            try:
                async with aclosing(answer.pieces()) as pieces:  # type: ignore[type-var]  # it is a generator
                    async for piece in pieces:
                        offset += len(piece)
                        if offset > end:
                            raise ObjectChanged(self.status.path)
                        yield piece
            except BrokenOff as broken:
                if tries == _TRIES:
                    raise Unavailable(self.status.path, f"The S3 store did not give the whole object: {broken}") from None
            finally:
                answer.stop()

    async def close(self) -> None:
        """See IObjectReader."""
        ahead, self.ahead = self.ahead, None
        if ahead is not None:
            ahead.give_up()

    async def _asked_ahead(self, offset: int, end: int) -> Answer | None:
        ahead, self.ahead = self.ahead, None
        return None if ahead is None else await ahead.take(self.status, offset, end)

    async def _get(self, offset: int, end: int) -> Answer:
        path = self.status.path
        headers = {"Range": f"bytes={offset}-{end - 1}", "If-Match": f'"{self.status.etag}"'}
        try:
            answer = await self.bucket.client.stream(Order("GET", self.bucket.key(path), headers=headers))
        except Refused as refused:
            raise self._changed(refused) from None
        try:
            self._check(answer, offset, end)
        except StorageError:
            answer.stop()
            raise
        return answer

    def _check(self, answer: Answer, offset: int, end: int) -> None:
        """That what comes is what was asked for. Raises ObjectChanged, Unavailable."""
        path, size = self.status.path, self.status.size
        if etag_of(answer.headers, path) != self.status.etag:
            raise ObjectChanged(path)
        whole = answer.status == 200 and (offset, end) == (0, size)
        if not whole and (answer.status != 206 or answer.headers.get("content-range") != f"bytes {offset}-{end - 1}/{size}"):
            raise Unavailable(path, "The S3 store gave another range than it was asked for.")
        if answer.flow is None or answer.flow.length != end - offset:
            raise Unavailable(path, "The S3 store gave another length than it was asked for.")

    def _changed(self, refused: Refused) -> Exception:
        if refused.status in (404, 412, 416):
            return ObjectChanged(self.status.path)
        return storage_error(refused, self.status.path)

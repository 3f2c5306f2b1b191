"""Copies that the store makes by itself: of what one of its readers has open."""

from __future__ import annotations

from urllib.parse import quote

from attrs import frozen

from alluxio_s3.interfaces import IObjectReader
from alluxio_s3.storage import ObjectChanged
from alluxio_s3.ufs.s3.bucket import Bucket
from alluxio_s3.ufs.s3.failures import Refused
from alluxio_s3.ufs.s3.reader import S3Reader

MAX_COPY_BYTES = 5 << 30  # "CopyObject" and "UploadPartCopy" in the S3 API reference


@frozen
class Stretch:
    """``count`` bytes of what ``reader`` has open, from ``offset``."""

    reader: S3Reader
    offset: int
    count: int

    @classmethod
    def of(cls, bucket: Bucket, reader: IObjectReader, offset: int, count: int) -> Stretch | None:
        """The stretch, if ``bucket``'s store can copy it: it has it, with the same credentials, and it is no longer than S3 allows."""
        if not isinstance(reader, S3Reader) or not 0 < count <= MAX_COPY_BYTES or offset + count > reader.status.size:
            return None
        here, there = bucket.options, reader.bucket.options
        same = (here.endpoint, here.region, here.keys, here.path_style) == (there.endpoint, there.region, there.keys, there.path_style)
        return cls(reader, offset, count) if same else None

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the object."""
        return self.offset == 0 and self.count == self.reader.status.size

    def headers(self, *, ranged: bool) -> dict[str, str]:
        """The headers that name it as the source of a copy, in the version that is open."""
        bucket = self.reader.bucket
        name = quote(f"{bucket.options.bucket}/{bucket.key(self.reader.status.path)}", safe="/-_.~")
        headers = {"x-amz-copy-source": name, "x-amz-copy-source-if-match": f'"{self.reader.status.etag}"'}
        if ranged and not self.is_whole:
            headers["x-amz-copy-source-range"] = f"bytes={self.offset}-{self.offset + self.count - 1}"
        return headers

    async def check(self) -> None:
        """Raise ObjectChanged if the source is another version by now: there are stores that copy whatever there is."""
        status = await self.reader.bucket.found(self.reader.status.path)
        if status is None or status.etag != self.reader.status.etag:
            raise ObjectChanged(self.reader.status.path)

    def changed(self, refused: Refused) -> ObjectChanged | None:
        """That the source is not what was open any more, if this is what ``refused`` says of a copy that has no conditions of its own."""
        return ObjectChanged(self.reader.status.path) if refused.status == 412 or refused.code == "NoSuchKey" else None

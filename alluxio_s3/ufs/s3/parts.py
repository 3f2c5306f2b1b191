"""The requests of S3's multipart uploads, and the part on its way that they all have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alluxio_s3.s3.checksums import is_md5_etag
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, NoSuchPath, NoSuchUpload, Part, Upload
from alluxio_s3.ufs.s3.attributes import checksum_headers, etag_of, object_headers
from alluxio_s3.ufs.s3.bucket import Bucket
from alluxio_s3.ufs.s3.client import Answer, Body, Order
from alluxio_s3.ufs.s3.copying import Stretch
from alluxio_s3.ufs.s3.documents import completion, etag_in, value_in
from alluxio_s3.ufs.s3.failures import Refused, storage_error
from alluxio_s3.ufs.s3.publication import Published, publish, published
from alluxio_s3.ufs.s3.spool import Spool, md5_header, md5_of_parts


async def begin(bucket: Bucket, upload: Upload) -> str:
    """Begin an upload (CreateMultipartUpload); its id."""
    headers = object_headers(upload.attributes)
    if upload.checksum_algorithm:
        headers["x-amz-checksum-algorithm"] = upload.checksum_algorithm
    if upload.checksum_type:
        headers["x-amz-checksum-type"] = upload.checksum_type
    answer = await bucket.ask(upload.path, "POST", {"uploads": None}, headers=headers)
    return value_in(answer.body, "UploadId")


async def send(bucket: Bucket, path: str, upload_id: str, number: int, spool: Spool, attributes: Attributes) -> Published:
    """Send a part (UploadPart); the ETag in ``attributes`` is its MD5, or is computed. Raises NoSuchUpload."""
    md5 = attributes.etag if attributes.etag is not None and is_md5_etag(attributes.etag) else await spool.md5()
    headers = {**md5_header(md5), **checksum_headers(attributes)}
    answer = await bucket.ask(path, "PUT", _query(upload_id, number), headers=headers, body=spool.body())
    return published(answer, path, etag_of(answer.headers, path), md5)


async def copy(bucket: Bucket, path: str, upload_id: str, number: int, source: Stretch, expected: str | None) -> Published:
    """Have the store make a part of ``source`` (UploadPartCopy). Raises NoSuchUpload, ObjectChanged."""
    await source.check()
    order = Order("PUT", bucket.key(path), _query(upload_id, number), source.headers(ranged=True), document=True)
    try:
        answer = await bucket.client.ask(order)
    except Refused as refused:
        raise source.changed(refused) or storage_error(refused, path) from None
    # Ceph's answer has no ETag here either; the part is listed with it.
    return published(answer, path, etag_in(answer.body) or expected or "", expected)


async def complete(
    bucket: Bucket, path: str, upload_id: str, parts: Sequence[Part], attributes: Attributes, condition: WriteCondition
) -> Published:
    """Make the object of ``parts`` (CompleteMultipartUpload). Raises NoSuchUpload; S3Error InvalidPart, EntityTooSmall."""
    etags = [part.etag for part in parts]
    expected = md5_of_parts(etags) if all(map(is_md5_etag, etags)) else None
    checksum = checksum_headers(attributes)
    if checksum:
        checksum["x-amz-checksum-type"] = "FULL_OBJECT"
    body = Body.of(completion(parts))

    async def write(conditions: Mapping[str, str]) -> Answer:
        headers = {"Content-Type": "application/xml", **checksum, **conditions}
        return await bucket.client.ask(Order("POST", bucket.key(path), {"uploadId": upload_id}, headers, body, document=True))

    return await publish(bucket, path, condition, write, lambda answer: etag_in(answer.body), expected, careful=True)


async def complete_again(bucket: Bucket, path: str, upload_id: str, parts: Sequence[Part]) -> str | None:
    """Ask once more for what may have been done; the ETag of the object, or None if the store knows of no such upload."""
    headers = {"Content-Type": "application/xml"}
    order = Order("POST", bucket.key(path), {"uploadId": upload_id}, headers, Body.of(completion(parts)), document=True)
    try:
        answer = await bucket.client.ask(order)
    except Refused as refused:
        if refused.status in (400, 404):
            return None
        raise storage_error(refused, path) from None
    return etag_in(answer.body)


async def forget(bucket: Bucket, path: str, upload_id: str) -> None:
    """Give an upload up (AbortMultipartUpload). Raises NoSuchUpload."""
    try:
        await bucket.ask(path, "DELETE", {"uploadId": upload_id})
    except NoSuchPath:
        raise NoSuchUpload(path) from None


def _query(upload_id: str, number: int) -> dict[str, str | None]:
    return {"partNumber": str(number), "uploadId": upload_id}

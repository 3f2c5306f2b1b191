"""Tags of objects, folders and buckets, as S3 keeps them."""

from __future__ import annotations

from collections.abc import Mapping

from alluxio_s3.s3.tagging import tagging_document
from alluxio_s3.storage import NoSuchPath
from alluxio_s3.ufs.s3.bucket import Bucket
from alluxio_s3.ufs.s3.client import Body, Order
from alluxio_s3.ufs.s3.documents import tags_in
from alluxio_s3.ufs.s3.failures import Refused, storage_error
from alluxio_s3.ufs.s3.spool import Spool, md5_header


async def get_tags(bucket: Bucket, path: str) -> Mapping[str, str]:
    """The tags of what is at ``path``. What has no marker (the root, a bucket that nobody made) has none. Raises NoSuchPath."""
    try:
        answer = await bucket.client.ask(Order("GET", _key(bucket, path), {"tagging": None}))
    except Refused as refused:
        if refused.code == "NoSuchTagSet" or (refused.code == "NoSuchKey" and _is_top(bucket, path)):
            return {}
        raise storage_error(refused, path) from None
    return tags_in(answer.body) if answer.body else {}


async def ensure_tags(bucket: Bucket, path: str, tags: Mapping[str, str]) -> None:
    """See that an object that was made of parts, or copied, has the tags that it was to have: Ceph loses them."""
    if tags and dict(await get_tags(bucket, path)) != dict(tags):
        await _put(bucket, path, tags)


async def set_tags(bucket: Bucket, path: str, tags: Mapping[str, str]) -> None:
    """Replace the tags of what is at ``path``. Raises NoSuchPath."""
    try:
        await _put(bucket, path, tags)
    except NoSuchPath:
        if not _is_top(bucket, path):
            raise
        await _mark(bucket, path)
        await _put(bucket, path, tags)


async def _put(bucket: Bucket, path: str, tags: Mapping[str, str]) -> None:
    if not tags:
        order = Order("DELETE", _key(bucket, path), {"tagging": None})
    else:
        document = tagging_document(tags)
        spool = Spool(bucket.threads)
        await spool.write(document)
        order = Order("PUT", _key(bucket, path), {"tagging": None}, md5_header(await spool.md5()), Body.of(document))
        await spool.close()
    await bucket.told(bucket.client.ask(order), path)


async def _mark(bucket: Bucket, path: str) -> None:
    """Make the marker of the root, or of a bucket that is there because something is in it."""
    try:
        await bucket.client.ask(Order("PUT", bucket.key(path), headers={"If-None-Match": "*"}, body=Body.of(b"")))
    except Refused as refused:
        if refused.status != 412:  # somebody else has made it
            raise storage_error(refused, path) from None


def _is_top(bucket: Bucket, path: str) -> bool:
    return not path or (bucket.options.buckets and path.count("/") == 1 and path.endswith("/"))


def _key(bucket: Bucket, path: str) -> str | None:
    """The key whose tags they are; None for those of the bucket itself."""
    return bucket.key(path) or None

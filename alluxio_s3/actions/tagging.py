"""Tags of objects and buckets: get, replace, remove.

Where tags are kept is the tag store's business; one that keeps none refuses with a message that names the property
to set (``ITagStore.put``).
"""

from __future__ import annotations

from collections.abc import Mapping

from alluxio_s3.actions.buckets import XML
from alluxio_s3.actions.exchange import Call, Response
from alluxio_s3.actions.registry import BUCKET, OBJECT, Action, action
from alluxio_s3.actions.transfer import read_body
from alluxio_s3.interfaces import IReadOnly
from alluxio_s3.namespace.mounts import Place
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.tagging import MAX_BUCKET_TAGS, MAX_OBJECT_TAGS, check_tags, parse_tagging_document, tagging_document
from alluxio_s3.storage import ReadOnly, Status


@action("GetObjectTagging", method="GET", on=OBJECT, query={"tagging"})
class GetObjectTagging(Action):
    """The tags of an object; an empty set if it has none."""

    async def run(self, call: Call) -> Response:
        """Raises NoSuchPath."""
        place = call.services.namespace.locate(call.bucket)
        status = await place.ufs.status(place.path(call.key))
        return Response(headers=XML, body=tagging_document(await call.services.tags.get(place.ufs, status)))


@action("PutObjectTagging", method="PUT", on=OBJECT, query={"tagging"})
class PutObjectTagging(Action):
    """Replaces the tags of an object."""

    async def run(self, call: Call) -> Response:
        """Raises NoSuchPath; S3Error MalformedXML, InvalidTag, BadRequest."""
        tags = await _read_tags(call, MAX_OBJECT_TAGS)
        place = call.services.namespace.locate(call.bucket)
        await _put(call, place, await place.ufs.status(place.path(call.key)), tags)
        return Response()


@action("DeleteObjectTagging", method="DELETE", on=OBJECT, query={"tagging"})
class DeleteObjectTagging(Action):
    """Removes the tags of an object, and nothing else."""

    async def run(self, call: Call) -> Response:
        """Raises NoSuchPath."""
        place = call.services.namespace.locate(call.bucket)
        await _put(call, place, await place.ufs.status(place.path(call.key)), {})
        return Response(204)


@action("GetBucketTagging", method="GET", on=BUCKET, query={"tagging"})
class GetBucketTagging(Action):
    """The tags of a bucket."""

    async def run(self, call: Call) -> Response:
        """Raises S3Error NoSuchBucket; NoSuchTagSet if there are none."""
        bucket = await call.services.namespace.bucket(call.bucket)
        tags = await call.services.tags.get(bucket.place.ufs, bucket.status)
        if not tags:
            raise S3Error("NoSuchTagSet", BucketName=call.bucket)
        return Response(headers=XML, body=tagging_document(tags))


@action("PutBucketTagging", method="PUT", on=BUCKET, query={"tagging"})
class PutBucketTagging(Action):
    """Replaces the tags of a bucket."""

    async def run(self, call: Call) -> Response:
        """Raises S3Error: NoSuchBucket, MalformedXML, InvalidTag, BadRequest."""
        tags = await _read_tags(call, MAX_BUCKET_TAGS)
        await _put_on_bucket(call, tags)
        return Response(204)


@action("DeleteBucketTagging", method="DELETE", on=BUCKET, query={"tagging"}, permission="s3:PutBucketTagging")
class DeleteBucketTagging(Action):
    """Removes the tags of a bucket, and nothing else."""

    async def run(self, call: Call) -> Response:
        """Raises S3Error NoSuchBucket."""
        await _put_on_bucket(call, {})
        return Response(204)


async def _put_on_bucket(call: Call, tags: Mapping[str, str]) -> None:
    bucket = await call.services.namespace.bucket(call.bucket)
    await _put(call, bucket.place, bucket.status, tags)


async def _put(call: Call, place: Place, status: Status, tags: Mapping[str, str]) -> None:
    """Wherever tags are kept, those of what takes no writes stay as they are."""
    if IReadOnly(place.ufs, None) is not None:
        raise ReadOnly(status.path)
    await call.services.tags.put(place.ufs, status, tags)


async def _read_tags(call: Call, limit: int) -> dict[str, str]:
    limits = call.services.limits
    tags = parse_tagging_document(await read_body(call, limits.xml_body_bytes))
    check_tags(tags, restricted=limits.tagging_restrictions, limit=limit)
    return tags

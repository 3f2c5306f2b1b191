"""Writing objects: PutObject, and what it has in common with the other ways of making one."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from alluxio_s3.actions.exchange import Call, Response
from alluxio_s3.actions.registry import OBJECT, Action, action
from alluxio_s3.actions.transfer import MAX_OBJECT_BYTES, aborting, check_size, receive
from alluxio_s3.actions.unsupported import check_canned_acl
from alluxio_s3.interfaces import IObjectWriter
from alluxio_s3.namespace.mounts import Bucket, Place
from alluxio_s3.s3.checksums import ALGORITHMS
from alluxio_s3.s3.conditions import ALWAYS, WriteCondition, write_condition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.metadata import attributes_of
from alluxio_s3.s3.payload import Payload, Received
from alluxio_s3.s3.request import Headers
from alluxio_s3.s3.tagging import check_tags, parse_tagging_header
from alluxio_s3.storage import Attributes, NoSuchPath, Status, Unsupported

FULL_OBJECT = "FULL_OBJECT"
ANY_SIZE = range(MAX_OBJECT_BYTES + 1)


@action("PutObject", method="PUT", on=OBJECT)
class PutObject(Action):
    """Stores the body of the request as an object. A key that ends with ``/`` makes a folder."""

    async def run(self, call: Call) -> Response:
        """All that can be refused by the head is, before the body is asked for; nothing changes unless all of it is right."""
        attributes = requested_attributes(call)
        condition = write_condition(call.headers)
        return Response(200, await store(call, payload_of(call), attributes, condition))


async def store(
    call: Call, payload: Payload, attributes: Attributes, condition: WriteCondition = ALWAYS, sizes: range = ANY_SIZE
) -> dict[str, str]:
    """Make the body of ``call`` the object that it is about; the headers that tell what became of it.

    ``sizes`` are those that it may have. Raises S3Error: EntityTooLarge, EntityTooSmall, what ``receive`` and ``commit`` raise; then
    nothing has changed.
    """
    check_size(payload.length, sizes.stop - 1)
    bucket = await call.services.namespace.bucket(call.bucket)
    place = bucket.place
    await check_tags_kept(call, bucket, attributes.tags)
    await check_early(place, call.key, condition)
    writer = await place.ufs.create(place.path(call.key), stored_attributes(call, attributes), payload.length)
    received = await _receive(call, payload, writer, sizes.stop - 1)
    if received.size < sizes.start:
        async with aborting(writer):
            raise S3Error("EntityTooSmall", ProposedSize=str(received.size), MinSizeAllowed=str(sizes.start))
    attributes = evolve(attributes, etag=received.etag, checksums=received.checksums)
    if received.checksums:
        attributes = evolve(attributes, checksum_type=FULL_OBJECT)
    status = await commit(call, place, writer, attributes, condition)
    return {"ETag": f'"{status.etag}"', **checksum_headers(attributes)}


def payload_of(call: Call, extra_algorithm: str | None = None) -> Payload:
    """The body of ``call`` as bytes that are to be stored, with what their ETag is made of. Raises S3Error as ``Payload.of``."""
    md5 = call.services.limits.put_md5
    return Payload.of(call.head, md5=md5, fast_etag=not md5, extra_algorithm=extra_algorithm, signature=call.signature)


def requested_attributes(call: Call) -> Attributes:
    """What the headers of ``call`` ask of the object it makes, tags included, and its owner.

    Raises S3Error: MetadataTooLarge, InvalidTag, BadRequest, InvalidArgument, and as ``check_offered``.
    """
    check_offered(call.headers)
    attributes = attributes_of(call.headers, limit_bytes=call.services.limits.user_metadata_bytes)
    return evolve(attributes, tags=requested_tags(call), owner=call.principal.name)


def requested_tags(call: Call) -> dict[str, str]:
    """The tags in ``x-amz-tagging``. Raises S3Error: InvalidArgument, InvalidTag, BadRequest."""
    tags = parse_tagging_header(call.headers.get("x-amz-tagging", ""))
    check_tags(tags, restricted=call.services.limits.tagging_restrictions)
    return tags


def check_offered(headers: Headers) -> None:
    """Refuse what would otherwise be left out without a word. Raises S3Error InvalidStorageClass, NotImplemented."""
    check_canned_acl(headers)
    value = headers.get("x-amz-storage-class", "STANDARD")
    if value != "STANDARD":
        raise S3Error("InvalidStorageClass", StorageClassRequested=value)


async def check_early(place: Place, key: str, condition: WriteCondition) -> None:
    """Refuse a write that its condition forbids before its bytes have come; ``commit`` decides.

    Raises S3Error from ``condition.check``.
    """
    if condition == ALWAYS:
        return
    try:
        status = await place.ufs.status(place.path(key))
    except NoSuchPath:
        condition.check(None)
    else:
        condition.check(status.etag, status.size, status.modified_ns)


def stored_attributes(call: Call, attributes: Attributes) -> Attributes:
    """``attributes`` as the under-store is to have them: without tags, if those are kept elsewhere."""
    return attributes if call.services.tags.travels else evolve(attributes, tags={})


async def commit(call: Call, place: Place, writer: IObjectWriter, attributes: Attributes, condition: WriteCondition) -> Status:
    """``writer.commit``, and the tags wherever they are kept. Raises what that and ``keep_tags`` raise."""
    status = await writer.commit(stored_attributes(call, attributes), condition)
    await keep_tags(call, place, status, attributes.tags)
    return status


async def keep_tags(call: Call, place: Place, status: Status, tags: Mapping[str, str]) -> None:
    """Keep the tags of the object just published, if they did not go with it. Raises what ``ITagStore.put`` raises."""
    if call.services.tags.travels:
        return
    try:
        await call.services.tags.put(place.ufs, status, tags)
    except NoSuchPath:
        return  # deleted since: the write was done, and there is nothing left to have tags
    except Unsupported:
        if tags:
            raise


async def check_tags_kept(call: Call, bucket: Bucket, tags: Mapping[str, str]) -> None:
    """Refuse tags that could not be kept, before anything is stored. Raises Unsupported, whose message says what could."""
    if tags and not call.services.tags.travels:
        await call.services.tags.get(bucket.place.ufs, bucket.status)


async def tags_of(call: Call, place: Place, status: Status) -> Mapping[str, str]:
    """The tags of an object; none where none can be kept."""
    try:
        return await call.services.tags.get(place.ufs, status)
    except Unsupported:
        return {}


def checksum_headers(attributes: Attributes) -> dict[str, str]:
    """The headers that tell a client the checksums of what it made."""
    headers = {ALGORITHMS[name].header: value for name, value in attributes.checksums.items()}
    if headers and attributes.checksum_type:
        headers["x-amz-checksum-type"] = attributes.checksum_type
    return headers


async def _receive(call: Call, payload: Payload, writer: IObjectWriter, limit: int) -> Received:
    if not call.key.endswith("/"):
        return await receive(call, payload, writer, limit=limit)
    try:
        return await receive(call, payload, writer, limit=0)
    except S3Error as error:
        if error.code != "EntityTooLarge":
            raise
        raise S3Error("InvalidRequest", "A key that ends with '/' names a folder, which holds no bytes: its body must be empty.") from None

"""Copying objects: CopyObject, and the source of a copy, which a copied part has too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import evolve, frozen

from alluxio_s3.actions.exchange import Call, Response
from alluxio_s3.actions.object_write import (
    FULL_OBJECT,
    check_early,
    check_offered,
    check_tags_kept,
    checksum_headers,
    commit,
    requested_attributes,
    requested_tags,
    stored_attributes,
    tags_of,
)
from alluxio_s3.actions.registry import OBJECT, Action, action
from alluxio_s3.actions.storage_errors import translate
from alluxio_s3.actions.transfer import copy
from alluxio_s3.interfaces import IObjectReader, IObjectWriter
from alluxio_s3.namespace.mounts import Place
from alluxio_s3.s3.checksums import ALGORITHMS, algorithm_named, encode, is_md5_etag
from alluxio_s3.s3.conditions import check_read, iso_date, write_condition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import Headers
from alluxio_s3.s3.target import Target, parse_copy_source
from alluxio_s3.s3.xml import document, tag
from alluxio_s3.storage import Attributes, NoSuchPath, Status

# What the ETag of an object that was put whole looks like, and no other one does.


@action("CopyObject", method="PUT", on=OBJECT, headers={"x-amz-copy-source"}, permission="s3:PutObject")
class CopyObject(Action):
    """Makes an object of the bytes of another one, or of the same one with other attributes.

    Where the store can copy by itself the bytes don't pass through the daemon. They are read only for digests that the
    source does not have: the MD5, if it was uploaded in parts, and a checksum that the client asks for.
    """

    async def run(self, call: Call) -> Response:
        """The copy is an object that was put whole, whatever its source was."""
        order = _Order.of(call)
        condition = write_condition(call.headers)
        bucket = await call.services.namespace.bucket(call.bucket)
        place = bucket.place
        await check_early(place, call.key, condition)
        async with open_source(call, order.source) as source:
            size = source.status.size
            if call.key.endswith("/") and size:
                raise S3Error("InvalidRequest", "A key that ends with '/' names a folder, which holds no bytes.")
            attributes = await order.attributes(call, source)
            await check_tags_kept(call, bucket, attributes.tags)
            writer = await place.ufs.create(place.path(call.key), stored_attributes(call, attributes), size)
            attributes = await _copy(call, source, writer, attributes, order.algorithm)
        status = await commit(call, place, writer, attributes, condition)
        checksums = "".join(tag(ALGORITHMS[name].element, value) for name, value in attributes.checksums.items())
        body = document(
            "CopyObjectResult",
            tag("LastModified", iso_date(status.modified_ns))
            + tag("ETag", f'"{status.etag}"')
            + tag("ChecksumType", attributes.checksum_type)
            + checksums,
        )
        return Response(200, {"Content-Type": "application/xml", **checksum_headers(attributes)}, body)


@frozen
class Source:
    """What is copied from. ``reader`` is None for a folder, which holds no bytes."""

    place: Place
    status: Status
    reader: IObjectReader | None


@asynccontextmanager
async def open_source(call: Call, target: Target) -> AsyncIterator[Source]:
    """The object at ``target``, open, if the ``x-amz-copy-source-if-*`` headers of ``call`` allow its use.

    Raises S3Error: NoSuchBucket, NoSuchKey, PreconditionFailed; AccessDenied for a bucket that is not that of the owner it expects.
    """
    await call.authorize("s3:GetObject", target.bucket, target.key)
    await call.services.namespace.expect_owner(target.bucket, call.headers.get("x-amz-source-expected-bucket-owner"))
    place = call.services.namespace.locate(target.bucket)
    path = place.path(target.key)
    reader: IObjectReader | None = None
    try:
        if path.endswith("/"):
            status = await place.ufs.status(path)
        else:
            reader = await place.ufs.open(path)
            status = reader.status
    except NoSuchPath as missing:
        # The pipeline would take it for the destination.
        raise await translate(missing, target, call.services.namespace) from None
    try:
        check_read(call.headers, status.etag, status.modified_ns, prefix="x-amz-copy-source-")
        yield Source(place, status, reader)
    finally:
        if reader is not None:
            await reader.close()


@frozen
class _Order:
    """What the headers of a CopyObject ask for. ``algorithm`` is the name of a checksum, or None for those of the source."""

    source: Target
    replace_metadata: bool
    replace_tags: bool
    algorithm: str | None

    @classmethod
    def of(cls, call: Call) -> _Order:
        """Read them. Raises S3Error: InvalidArgument; InvalidRequest for a copy of an object onto itself that changes nothing."""
        headers = call.headers
        check_offered(headers)
        algorithm = headers.get("x-amz-checksum-algorithm")
        order = cls(
            parse_copy_source(headers["x-amz-copy-source"]),
            replace_metadata=_replaces(headers, "x-amz-metadata-directive"),
            replace_tags=_replaces(headers, "x-amz-tagging-directive"),
            algorithm=None if algorithm is None else algorithm_named(algorithm).name,
        )
        changes = order.replace_metadata or order.replace_tags or algorithm or "x-amz-storage-class" in headers
        if not changes and (order.source.bucket, order.source.key) == (call.bucket, call.key):
            raise S3Error(
                "InvalidRequest",
                "This copy request is illegal because it is trying to copy an object to itself without changing"
                " the object's metadata, storage class, website redirect location or encryption attributes.",
            )
        return order

    async def attributes(self, call: Call, source: Source) -> Attributes:
        """The attributes of the copy, but for its digests. Raises S3Error as ``requested_attributes``."""
        asked = requested_attributes(call) if self.replace_metadata else source.status.attributes
        tags = requested_tags(call) if self.replace_tags else await tags_of(call, source.place, source.status)
        return Attributes(asked.content_type, asked.headers, asked.user_metadata, tags, owner=call.principal.name)


async def _copy(call: Call, source: Source, writer: IObjectWriter, attributes: Attributes, algorithm: str | None) -> Attributes:
    """Copy the bytes; ``attributes`` with the digests of the copy.

    Those that the source has of the same bytes are taken over. A composite checksum and the ETag of a multipart object
    are not of the bytes alone, so the copy gets its own.
    """
    has = {} if source.status.attributes.checksum_type == "COMPOSITE" else source.status.attributes.checksums
    wanted = [name for name in source.status.attributes.checksums if name in ALGORITHMS] if algorithm is None else [algorithm]
    has_md5 = is_md5_etag(source.status.etag)
    etag_by = set() if has_md5 or not call.services.limits.put_md5 else {"MD5"}
    missing = {name for name in wanted if name not in has} | etag_by
    digests = {name: ALGORITHMS[name].new() for name in missing}
    if source.reader is not None:
        await copy(call.services.threads, source.reader, 0, source.status.size, writer, digests=list(digests.values()))
    found = {name: digest.digest() for name, digest in digests.items()}
    return evolve(
        attributes,
        # Neither: the store gives one.
        etag=source.status.etag if has_md5 else found["MD5"].hex() if etag_by else None,
        checksums={name: encode(found[name]) if name in found else has[name] for name in wanted},
        checksum_type=FULL_OBJECT if wanted else None,
    )


def _replaces(headers: Headers, name: str) -> bool:
    value = headers.get(name, "COPY")
    if value not in {"COPY", "REPLACE"}:
        kind = name.removeprefix("x-amz-").replace("-", " ")
        raise S3Error("InvalidArgument", f"Unknown {kind}.", ArgumentName=name, ArgumentValue=value)
    return value == "REPLACE"

"""Multipart uploads: beginning one, sending and copying its parts, giving it up.

Completing one is in ``actions.multipart_complete``, what lists them in ``actions.multipart_listings``.
"""

from __future__ import annotations

import re

from alluxio_s3.actions.buckets import XML
from alluxio_s3.actions.exchange import Call, Response
from alluxio_s3.actions.object_copy import open_source
from alluxio_s3.actions.object_write import FULL_OBJECT, checksum_headers, payload_of, requested_attributes
from alluxio_s3.actions.registry import OBJECT, Action, action
from alluxio_s3.actions.transfer import MAX_PART_BYTES, check_size, copy, receive
from alluxio_s3.interfaces import IMultipartUploads
from alluxio_s3.s3.checksums import ALGORITHMS, Algorithm, algorithm_named, encode, requested
from alluxio_s3.s3.conditions import ALWAYS, iso_date
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.ranges import Range, parse_copy_range
from alluxio_s3.s3.request import Headers
from alluxio_s3.s3.target import Query, parse_copy_source
from alluxio_s3.s3.xml import document, tag
from alluxio_s3.storage import Attributes, Upload

MAX_PARTS = 10_000  # "Amazon S3 multipart upload limits"
COMPOSITE = "COMPOSITE"

_NUMBER = re.compile(r"[0-9]{1,10}")


@action("CreateMultipartUpload", method="POST", on=OBJECT, query={"uploads"}, permission="s3:PutObject")
class CreateMultipartUpload(Action):
    """Begins an upload; what the object will have besides its bytes is said here."""

    async def run(self, call: Call) -> Response:
        """Raises S3Error: NoSuchBucket, InvalidRequest, NotImplemented, and what ``requested_attributes`` raises."""
        attributes = requested_attributes(call)
        algorithm, kind = requested_checksum(call.headers)
        place = (await call.services.namespace.bucket(call.bucket)).place
        upload = await call.services.namespace.uploads(place).create_upload(
            Upload(
                upload_id="",
                path=place.path(call.key),
                initiated_ns=0,
                attributes=attributes,
                owner=call.principal.name,
                checksum_algorithm=algorithm,
                checksum_type=kind,
            )
        )
        headers = dict(XML)
        if algorithm is not None and kind is not None:
            headers |= {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind}
        body = tag("Bucket", call.bucket) + tag("Key", call.key) + tag("UploadId", upload.upload_id)
        return Response(headers=headers, body=document("InitiateMultipartUploadResult", body))


@action("UploadPart", method="PUT", on=OBJECT, query={"partNumber", "uploadId"}, permission="s3:PutObject")
class UploadPart(Action):
    """Takes the body of the request as one part; it replaces an earlier one of its number."""

    async def run(self, call: Call) -> Response:
        """Raises NoSuchUpload; S3Error InvalidArgument, InvalidRequest, EntityTooLarge, and what ``receive`` raises."""
        number = part_number(call.query)
        uploads, upload = await find_upload(call)
        _check_algorithm(call.headers, upload)
        payload = payload_of(call, upload.checksum_algorithm)
        check_size(payload.length, MAX_PART_BYTES)
        writer = await uploads.create_part(upload, number, payload.length)
        received = await receive(call, payload, writer, limit=MAX_PART_BYTES)
        attributes = Attributes(etag=received.etag, checksums=received.checksums)
        status = await writer.commit(attributes, ALWAYS)
        return Response(headers={"ETag": f'"{status.etag}"', **checksum_headers(attributes)})


@action(
    "UploadPartCopy",
    method="PUT",
    on=OBJECT,
    query={"partNumber", "uploadId"},
    headers={"x-amz-copy-source"},
    permission="s3:PutObject",
)
class UploadPartCopy(Action):
    """Takes an object, or a stretch of one, as one part."""

    async def run(self, call: Call) -> Response:
        """Raises NoSuchUpload; S3Error InvalidArgument, InvalidRange, PreconditionFailed, and what opening the source raises."""
        number = part_number(call.query)
        uploads, upload = await find_upload(call)
        algorithm = None if upload.checksum_algorithm is None else ALGORITHMS[upload.checksum_algorithm]
        # The ETag of a part is its MD5 whatever way it came, so the bytes are read even where the store copies by itself.
        md5 = ALGORITHMS["MD5"].new()
        digests = {} if algorithm is None else {algorithm: algorithm.new()}
        async with open_source(call, parse_copy_source(call.headers["x-amz-copy-source"])) as source:
            asked, size = call.headers.get("x-amz-copy-source-range"), source.status.size
            stretch = Range(0, size) if asked is None else parse_copy_range(asked, size)
            check_size(stretch.count, MAX_PART_BYTES)
            writer = await uploads.create_part(upload, number, stretch.count)
            if source.reader is not None:
                await copy(call.services.threads, source.reader, stretch.offset, stretch.count, writer, digests=[md5, *digests.values()])
        checksums = {one.name: encode(digest.digest()) for one, digest in digests.items()}
        status = await writer.commit(Attributes(etag=md5.digest().hex(), checksums=checksums), ALWAYS)
        body = tag("LastModified", iso_date(status.modified_ns)) + tag("ETag", f'"{status.etag}"')
        body += "".join(tag(ALGORITHMS[name].element, value) for name, value in checksums.items())
        return Response(headers=XML, body=document("CopyPartResult", body))


@action("AbortMultipartUpload", method="DELETE", on=OBJECT, query={"uploadId"})
class AbortMultipartUpload(Action):
    """Forgets an upload and its parts."""

    async def run(self, call: Call) -> Response:
        """Raises NoSuchUpload."""
        uploads, upload = await find_upload(call)
        await uploads.abort(upload)
        return Response(204)


async def find_upload(call: Call) -> tuple[IMultipartUploads, Upload]:
    """The upload that ``call`` names, and the uploads that it is one of. Raises NoSuchUpload; S3Error NotImplemented."""
    place = call.services.namespace.locate(call.bucket)
    uploads = call.services.namespace.uploads(place)
    return uploads, await uploads.upload(place.path(call.key), call.query.get("uploadId") or "")


def part_number(query: Query) -> int:
    """``partNumber``, 1 to 10,000. Raises S3Error InvalidArgument."""
    value = query.get("partNumber") or ""
    if not _NUMBER.fullmatch(value) or not 1 <= int(value) <= MAX_PARTS:
        raise S3Error(
            "InvalidArgument",
            f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive",
            ArgumentName="partNumber",
            ArgumentValue=value,
        )
    return int(value)


def requested_checksum(headers: Headers) -> tuple[str | None, str | None]:
    """The checksum algorithm that CreateMultipartUpload asks for, and the type: how the parts' make the object's.

    Raises S3Error InvalidRequest for an unknown one, and for a type that the algorithm cannot have.
    """
    name, kind = headers.get("x-amz-checksum-algorithm"), headers.get("x-amz-checksum-type")
    if name is None:
        if kind is not None:
            raise S3Error("InvalidRequest", "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
        return None, None
    algorithm = algorithm_named(name)
    kind = default_type(algorithm) if kind is None else kind.strip().upper()
    if kind not in (COMPOSITE, FULL_OBJECT):
        raise S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    if not algorithm.combines if kind == FULL_OBJECT else algorithm.name == "CRC64NVME":
        raise S3Error("InvalidRequest", f"The {kind} checksum type cannot be used with the {algorithm.name.lower()} checksum algorithm.")
    return algorithm.name, kind


def default_type(algorithm: Algorithm) -> str:
    """The checksum type of an upload that names none."""
    return FULL_OBJECT if algorithm.name == "CRC64NVME" else COMPOSITE


def check_same_algorithm(algorithm: Algorithm, upload: Upload) -> None:
    """Raises S3Error InvalidRequest if the upload has another checksum algorithm."""
    if upload.checksum_algorithm not in (None, algorithm.name):
        raise S3Error(
            "InvalidRequest",
            f"Checksum Type mismatch occurred, expected checksum Type: {(upload.checksum_algorithm or '').lower()},"
            f" actual checksum Type: {algorithm.name.lower()}",
        )


def _check_algorithm(headers: Headers, upload: Upload) -> None:
    wanted = requested(headers)
    if wanted is not None:
        check_same_algorithm(wanted.algorithm, upload)

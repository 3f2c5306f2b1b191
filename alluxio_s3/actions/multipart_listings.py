"""What is under way: ListParts and ListMultipartUploads."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import frozen

from alluxio_s3.actions.buckets import XML
from alluxio_s3.actions.exchange import Call, Response
from alluxio_s3.actions.listings import Listing, Selection
from alluxio_s3.actions.multipart import find_upload
from alluxio_s3.actions.registry import BUCKET, OBJECT, Action, action
from alluxio_s3.namespace.mounts import Place
from alluxio_s3.s3.checksums import ALGORITHMS
from alluxio_s3.s3.conditions import iso_date
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.listing import common_prefix_xml, encode_key, owner_xml, parse_encoding_type, parse_max_keys
from alluxio_s3.s3.xml import document, element, tag
from alluxio_s3.storage import Part, Upload

_NUMBER = re.compile(r"[0-9]{1,10}")


@action(
    "ListParts",
    method="GET",
    on=OBJECT,
    query={"uploadId"},
    accepts={"encoding-type", "max-parts", "part-number-marker"},
    permission="s3:ListMultipartUploadParts",
)
class ListParts(Action):
    """The parts of an upload that arrived, in pages."""

    async def run(self, call: Call) -> Response:
        """Raises NoSuchUpload; S3Error InvalidArgument."""
        limit = parse_max_keys(call.query.get("max-parts"), name="max-parts")
        encoding = parse_encoding_type(call.query.get("encoding-type"))
        marker = _part_marker(call.query.get("part-number-marker"))
        uploads, upload = await find_upload(call)
        left = [part for part in await uploads.parts(upload) if part.number > marker]
        page = left[:limit]
        body = (
            tag("Bucket", call.bucket)
            + tag("Key", encode_key(call.key, encoding))
            + tag("EncodingType", encoding)
            + tag("UploadId", upload.upload_id)
            + _people(upload, call.services.namespace.owner)
            + tag("PartNumberMarker", marker)
            + tag("NextPartNumberMarker", page[-1].number if page else marker)
            + tag("MaxParts", limit)
            + tag("IsTruncated", bool(page) and len(page) < len(left))
            + "".join(_part_xml(part) for part in page)
            + _checksum_xml(upload)
        )
        return Response(headers=XML, body=document("ListPartsResult", body))


@action(
    "ListMultipartUploads",
    method="GET",
    on=BUCKET,
    query={"uploads"},
    accepts={"delimiter", "encoding-type", "key-marker", "max-uploads", "prefix", "upload-id-marker"},
    permission="s3:ListBucketMultipartUploads",
)
class ListMultipartUploads(Listing):
    """The uploads of a bucket that are neither completed nor aborted, in pages."""

    async def run(self, call: Call) -> Response:
        """Raises S3Error: NoSuchBucket, InvalidArgument, NotImplemented."""
        query = call.query
        wanted = Selection(
            prefix=query.get("prefix") or "",
            delimiter=query.get("delimiter") or "",
            limit=parse_max_keys(query.get("max-uploads"), name="max-uploads"),
            encoding_type=parse_encoding_type(query.get("encoding-type")),
        )
        key_marker, id_marker = query.get("key-marker") or "", query.get("upload-id-marker") or ""
        place = (await call.services.namespace.bucket(call.bucket)).place
        found = await call.services.namespace.uploads(place).uploads(place.path(wanted.prefix))
        page = uploads_page(found, place, wanted, key_marker, id_marker)
        owner = call.services.namespace.owner
        body = (
            tag("Bucket", call.bucket)
            + tag("KeyMarker", wanted.encoded(key_marker))
            + tag("UploadIdMarker", id_marker)
            + (_next_xml(wanted, page) if page.truncated else "")
            + tag("Prefix", wanted.encoded(wanted.prefix))
            + tag("Delimiter", wanted.encoded(wanted.delimiter) or None)
            + tag("MaxUploads", wanted.limit)
            + tag("EncodingType", wanted.encoding_type)
            + tag("IsTruncated", page.truncated)
            + "".join(_upload_xml(wanted, key, upload, owner) for key, upload in page.entries if upload is not None)
            + "".join(common_prefix_xml(key, encoding_type=wanted.encoding_type) for key, upload in page.entries if upload is None)
        )
        return Response(headers=XML, body=document("ListMultipartUploadsResult", body))


@frozen
class UploadsPage:
    """Entries of a list of uploads: (key, Upload), or (common prefix, None); ``truncated`` if more follow."""

    entries: tuple[tuple[str, Upload | None], ...]
    truncated: bool


def uploads_page(found: Sequence[Upload], place: Place, wanted: Selection, key_marker: str, id_marker: str) -> UploadsPage:
    """What of ``found`` (by path, then by time) is ``wanted`` and comes after the markers.

    ``id_marker`` is an upload of the key ``key_marker`` and counts only with it. If that upload has ended meanwhile its
    place is not known any more, and the page begins with the key's first: rather an upload twice than one left out.
    """
    start = wanted.after(key_marker) if key_marker else ""
    if start is None or not wanted.limit:
        return UploadsPage((), truncated=False)
    same_key = [one for one in found if place.key(one.path) == key_marker] if id_marker else []
    ids = [one.upload_id for one in same_key]
    resumed = set(ids[ids.index(id_marker) + 1 :]) if id_marker in ids else set(ids)
    entries: list[tuple[str, Upload | None]] = []
    for upload in found:
        key = place.key(upload.path)
        if key < start and upload.upload_id not in resumed:
            continue
        folded = wanted.rolled_up(key)
        if folded is not None and entries and entries[-1][0] == folded:
            continue
        if len(entries) == wanted.limit:
            return UploadsPage(tuple(entries), truncated=True)
        entries.append((key, upload) if folded is None else (folded, None))
    return UploadsPage(tuple(entries), truncated=False)


def _next_xml(wanted: Selection, page: UploadsPage) -> str:
    key, upload = page.entries[-1]
    return tag("NextKeyMarker", wanted.encoded(key)) + tag("NextUploadIdMarker", "" if upload is None else upload.upload_id)


def _upload_xml(wanted: Selection, key: str, upload: Upload, owner: str) -> str:
    return element(
        "Upload",
        tag("Key", wanted.encoded(key)),
        tag("UploadId", upload.upload_id),
        _people(upload, owner),
        tag("Initiated", iso_date(upload.initiated_ns)),
        _checksum_xml(upload),
    )


def _people(upload: Upload, default: str) -> str:
    name = upload.owner or default
    return element("Initiator", tag("ID", name), tag("DisplayName", name)) + owner_xml(name) + tag("StorageClass", "STANDARD")


def _checksum_xml(upload: Upload) -> str:
    return tag("ChecksumAlgorithm", upload.checksum_algorithm) + tag("ChecksumType", upload.checksum_type)


def _part_xml(part: Part) -> str:
    return element(
        "Part",
        tag("PartNumber", part.number),
        tag("LastModified", iso_date(part.modified_ns)),
        tag("ETag", f'"{part.etag}"'),
        tag("Size", part.size),
        *(tag(ALGORITHMS[name].element, value) for name, value in part.checksums.items() if name in ALGORITHMS),
    )


def _part_marker(value: str | None) -> int:
    if not value:
        return 0
    if not _NUMBER.fullmatch(value):
        raise S3Error(
            "InvalidArgument",
            "Provided part-number-marker not an integer or within integer range",
            ArgumentName="part-number-marker",
            ArgumentValue=value,
        )
    return int(value)

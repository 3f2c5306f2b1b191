"""What is known of an object, as XML: GetObjectAttributes."""

from __future__ import annotations

import re

from alluxio_s3.actions.exchange import Call, Response
from alluxio_s3.actions.registry import OBJECT, Action, action
from alluxio_s3.s3.checksums import ALGORITHMS
from alluxio_s3.s3.conditions import http_date
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import Headers
from alluxio_s3.s3.xml import document, element, tag
from alluxio_s3.storage import Status

_PAGE_OF_PARTS = 1000
_NUMBER = re.compile(r"[0-9]{1,10}")


@action("GetObjectAttributes", method="GET", on=OBJECT, query={"attributes"})
class GetObjectAttributes(Action):
    """The attributes of an object that ``x-amz-object-attributes`` names, as XML."""

    async def run(self, call: Call) -> Response:
        """The elements come in the order of the API reference, whatever order they were asked for in."""
        wanted = _wanted_attributes(call.headers)
        place = call.services.namespace.locate(call.bucket)
        status = await place.ufs.status(place.path(call.key))
        rendered = {
            "ETag": tag("ETag", status.etag),
            "Checksum": _checksum_element(status),
            "ObjectParts": _parts_element(status, call.headers) if "ObjectParts" in wanted else "",
            "StorageClass": tag("StorageClass", "STANDARD"),
            "ObjectSize": tag("ObjectSize", status.size),
        }
        body = document("GetObjectAttributesResponse", "".join(text for name, text in rendered.items() if name in wanted))
        return Response(200, {"Content-Type": "application/xml", "Last-Modified": http_date(status.modified_ns)}, body)


def _wanted_attributes(headers: Headers) -> frozenset[str]:
    wanted = frozenset(name.strip() for name in headers.get("x-amz-object-attributes", "").split(",") if name.strip())
    if not wanted:
        raise S3Error(
            "InvalidRequest",
            "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty",
        )
    if not wanted <= {"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}:
        raise S3Error("InvalidArgument", "Invalid attribute name specified.", ArgumentName="x-amz-object-attributes")
    return wanted


def _checksum_element(status: Status) -> str:
    checksums = status.attributes.checksums
    if not checksums:
        return ""
    values = [tag(ALGORITHMS[name].element, value) for name, value in checksums.items() if name in ALGORITHMS]
    return element("Checksum", *values, tag("ChecksumType", status.attributes.checksum_type))


def _parts_element(status: Status, headers: Headers) -> str:
    """A page of the parts of a multipart object; their own checksums are not kept with it."""
    marker = _number(headers, "x-amz-part-number-marker", 0)
    limit = min(_number(headers, "x-amz-max-parts", _PAGE_OF_PARTS), _PAGE_OF_PARTS)
    sizes = status.attributes.part_sizes
    if not sizes:
        return ""
    page = sizes[marker : marker + limit]
    last = marker + len(page)
    return element(
        "ObjectParts",
        tag("IsTruncated", last < len(sizes)),
        tag("MaxParts", limit),
        tag("NextPartNumberMarker", last if page else 0),
        tag("PartNumberMarker", marker),
        *(element("Part", tag("PartNumber", marker + place), tag("Size", size)) for place, size in enumerate(page, 1)),
        tag("PartsCount", len(sizes)),
    )


def _number(headers: Headers, name: str, default: int) -> int:
    value = headers.get(name)
    if value is None:
        return default
    if not _NUMBER.fullmatch(value.strip()):
        raise S3Error("InvalidArgument", f"The value of {name} must be a number.", ArgumentName=name, ArgumentValue=value)
    return int(value)

"""What travels with an object in headers: its content type, echoed headers, user metadata, checksums.

Values are text; those that are not ASCII come and go as UTF-8. Nothing is stored that could not stand in an
answer's header, and what another program stored and could not either is left out of the answer and counted in
``x-amz-missing-meta``, as S3 does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from alluxio_s3.s3.conditions import http_date
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.payload import stored_content_encoding
from alluxio_s3.s3.request import Headers
from alluxio_s3.s3.target import Query
from alluxio_s3.storage import Attributes, Status

DEFAULT_CONTENT_TYPE = "binary/octet-stream"
USER_PREFIX = "x-amz-meta-"

# The headers that S3 keeps and gives back as they came, by the name under which Attributes has them.
_ECHOED: Mapping[str, str] = MappingProxyType(
    {
        "cache-control": "Cache-Control",
        "content-disposition": "Content-Disposition",
        "content-encoding": "Content-Encoding",
        "content-language": "Content-Language",
        "expires": "Expires",
    }
)
_OVERRIDES: Mapping[str, str] = MappingProxyType({"response-content-type": "Content-Type"}) | {
    f"response-{name}": header for name, header in _ECHOED.items()
}
_UNSAFE = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")  # tab is allowed: RFC 9110, 5.5
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


def attributes_of(headers: Headers, *, limit_bytes: int) -> Attributes:
    """The attributes that a request gives to the object it makes: content type, echoed headers, user metadata.

    ``limit_bytes`` bounds the user metadata, names (without ``x-amz-meta-``) and values together; 0 is no
    limit. ``aws-chunked`` is how the body travels and not kept in content-encoding. Raises ``S3Error``
    MetadataTooLarge; InvalidArgument for what no header of an answer can hold.
    """
    echoed = {}
    for name in _ECHOED:
        value = stored_content_encoding(headers) if name == "content-encoding" else headers.get(name)
        if value:
            echoed[name] = _checked(name, value)
    user = {}
    size = 0
    for header, value in headers.items():
        if header.startswith(USER_PREFIX):
            name = header[len(USER_PREFIX) :]
            if not _TOKEN.fullmatch(name):
                raise S3Error("InvalidArgument", "The name of a metadata header is not valid.", ArgumentName=_printable(header))
            user[name] = _checked(header, value)
            size += len(name) + len(value.encode())
    if 0 < limit_bytes < size:
        raise S3Error("MetadataTooLarge", MaxSizeAllowed=str(limit_bytes), MetadataSize=str(size))
    content_type = headers.get("content-type")
    return Attributes(
        content_type=_checked("content-type", content_type) if content_type else None,
        headers=echoed,
        user_metadata=user,
    )


def object_headers(status: Status, *, checksums: bool) -> dict[str, str]:
    """The headers that describe an object in an answer to GET or HEAD, all but those of its length.

    ``checksums`` is whether to tell the checksums of the whole object (``x-amz-checksum-mode: ENABLED``): clients
    verify them, so only with the whole object.
    """
    attributes = status.attributes
    headers = {
        "ETag": f'"{status.etag}"',
        "Last-Modified": http_date(status.modified_ns),
        "Content-Type": _safe(attributes.content_type) or DEFAULT_CONTENT_TYPE,
        "Accept-Ranges": "bytes",
    }
    for name, value in attributes.headers.items():
        if name in _ECHOED and _safe(value):
            headers[_ECHOED[name]] = value
    missing = 0
    for name, value in attributes.user_metadata.items():
        if _TOKEN.fullmatch(name) and not _UNSAFE.search(value):
            headers[USER_PREFIX + name] = value
        else:
            missing += 1
    if missing:
        headers["x-amz-missing-meta"] = str(missing)
    if attributes.tags or attributes.tag_count:
        headers["x-amz-tagging-count"] = str(len(attributes.tags) or attributes.tag_count)
    if checksums and attributes.checksums:
        for algorithm, value in attributes.checksums.items():
            headers[f"x-amz-checksum-{algorithm.lower()}"] = value
        if attributes.checksum_type:
            headers["x-amz-checksum-type"] = attributes.checksum_type
    return headers


def response_overrides(query: Query) -> dict[str, str]:
    """The headers that the ``response-*`` parameters of a GET put in place of the object's own.

    Raises ``S3Error`` InvalidArgument for a value with control characters.
    """
    overrides = {}
    for parameter, header in _OVERRIDES.items():
        value = query.get(parameter)
        if value:
            overrides[header] = _checked(parameter, value)
    return overrides


def _checked(name: str, value: str) -> str:
    if _UNSAFE.search(value):
        raise S3Error("InvalidArgument", f"The value of {name} holds characters that a header cannot.", ArgumentName=name)
    return value


def _safe(value: str | None) -> str | None:
    return None if value is None or _UNSAFE.search(value) else value


def _printable(name: str) -> str:
    return name if name.isascii() and name.isprintable() else ascii(name)

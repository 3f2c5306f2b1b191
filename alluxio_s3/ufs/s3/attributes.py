"""What S3 keeps with an object, as headers of requests and answers."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from email.errors import HeaderParseError
from email.header import decode_header
from urllib.parse import quote

from alluxio_s3.s3.checksums import ALGORITHMS
from alluxio_s3.s3.conditions import parse_http_date
from alluxio_s3.s3.metadata import DEFAULT_CONTENT_TYPE, USER_PREFIX
from alluxio_s3.storage import Attributes, Status, Unavailable

OWNER = f"{USER_PREFIX}alluxio-owner"
ECHOED = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")
_ENCODED = re.compile(r"=\?[!-~]+\?[BbQq]\?[^?\s]*\?=")


def object_headers(attributes: Attributes) -> dict[str, str]:
    """The headers that give an object its attributes, all but its digests and its owner."""
    headers = {"Content-Type": _encoded(attributes.content_type)} if attributes.content_type else {}
    headers |= {name: _encoded(value) for name, value in attributes.headers.items() if name in ECHOED}
    headers |= {USER_PREFIX + name: _encoded(value) for name, value in attributes.user_metadata.items()}
    if attributes.tags:
        headers["x-amz-tagging"] = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in attributes.tags.items())
    return headers


def checksum_headers(attributes: Attributes) -> dict[str, str]:
    """The headers with the checksum of the whole, if there is one; S3 takes one."""
    if attributes.checksum_type == "COMPOSITE":
        return {}
    for name, value in attributes.checksums.items():
        if name in ALGORITHMS and "-" not in value:
            return {ALGORITHMS[name].header: value, "x-amz-sdk-checksum-algorithm": name}
    return {}


def status_of(path: str, headers: Mapping[str, str]) -> Status:
    """The Status in the headers of a HEAD. Raises Unavailable if they are not those of an object."""
    etag, size = etag_of(headers, path), headers.get("content-length", "")
    if not size.isdecimal():
        raise Unavailable(path, "The S3 store did not say how long the object is.")
    return Status(path, int(size), modified_of(headers), etag, etag, attributes_of(headers))


def etag_of(headers: Mapping[str, str], path: str) -> str:
    """The ETag in an answer, without quotes. Raises Unavailable if there is none."""
    etag = headers.get("etag", "").removeprefix("W/").strip('"')
    if not etag:
        raise Unavailable(path, "The S3 store gave no ETag.")
    return etag


def modified_of(headers: Mapping[str, str]) -> int:
    """``Last-Modified``, or of an answer that has none ``Date``, in nanoseconds; it is in whole seconds."""
    seconds = parse_http_date(headers.get("last-modified") or headers.get("date", ""))
    return (seconds or 0) * 10**9


def owner_of(headers: Mapping[str, str]) -> str | None:
    """The owner of a bucket, from the headers of its marker."""
    value = headers.get(OWNER)
    return None if value is None else _decoded(value)


def owner_header(owner: str | None) -> dict[str, str]:
    """The header that keeps the owner of a bucket with its marker."""
    return {} if owner is None else {OWNER: _encoded(owner)}


def attributes_of(headers: Mapping[str, str]) -> Attributes:
    """The attributes in the headers of an answer. S3 gives what has no content type one, which is none here."""
    checksums, kind = _checksums(headers)
    kept = headers.get("content-type", "")
    tag_count = headers.get("x-amz-tagging-count", "")
    return Attributes(
        content_type=None if kept in ("", DEFAULT_CONTENT_TYPE) else _decoded(kept),
        headers={name: _decoded(headers[name]) for name in ECHOED if headers.get(name)},
        user_metadata={
            name.removeprefix(USER_PREFIX): _decoded(value)
            for name, value in headers.items()
            if name.startswith(USER_PREFIX) and name != OWNER
        },
        checksums=checksums,
        checksum_type=kind,
        tag_count=int(tag_count) if tag_count.isdecimal() else 0,
    )


def _checksums(headers: Mapping[str, str]) -> tuple[dict[str, str], str | None]:
    """The checksums of an object, and their type. One of a multipart object that may be of the bytes or of its parts' is none."""
    found = {name: headers[one.header] for name, one in ALGORITHMS.items() if name != "MD5" and one.header in headers}
    kind = headers.get("x-amz-checksum-type")
    if not kind and any("-" in value for value in found.values()):
        kind = "COMPOSITE"
    count = headers.get("etag", "").strip('"').partition("-")[2]
    if not kind and count:
        found = {name: value for name, value in found.items() if name == "CRC64NVME"}
    elif kind == "COMPOSITE" and count:
        # Of how many parts it is made belongs to it, and some stores leave it out.
        found = {name: value if "-" in value else f"{value}-{count}" for name, value in found.items()}
    return found, (kind or "FULL_OBJECT") if found else None


def _encoded(value: str) -> str:
    """``value`` as S3 has text that is not ASCII: an encoded word of RFC 2047."""
    if value.isascii() and not _ENCODED.search(value) and value == " ".join(value.split()):
        return value
    return f"=?UTF-8?B?{base64.b64encode(value.encode('utf-8', 'replace')).decode('ascii')}?="


def _decoded(value: str) -> str:
    if not _ENCODED.search(value):
        return value
    try:
        return "".join(piece.decode(charset or "ascii") if isinstance(piece, bytes) else piece for piece, charset in decode_header(value))
    except (LookupError, UnicodeDecodeError, HeaderParseError, binascii.Error):
        return value

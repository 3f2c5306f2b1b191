"""The XML of the store: what its answers say, and what it is told in this form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import unquote_to_bytes

from attrs import frozen

from alluxio_s3.s3.checksums import ALGORITHMS
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.xml import Element, document, element, parse, tag
from alluxio_s3.storage import Part, Unavailable

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?[0-9]*(?:Z|\+00:00)")
# Keys are encoded; but there are stores that repeat what the request said as it was, with characters that XML cannot hold.
_ECHOES = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|&#[0-9xXa-fA-F]{1,8};")
_ROOT = re.compile(rb"<([A-Za-z][A-Za-z0-9]*)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@frozen
class Found:
    """An object in a page of keys. ``modified_ns`` is in whole seconds, as in the headers of the object."""

    key: str
    size: int
    modified_ns: int
    etag: str


@frozen
class Page:
    """A page of ListObjectsV2: objects and common prefixes in the order of bytes. ``token`` is where it goes on; None at the end."""

    entries: tuple[Found | str, ...]
    token: str | None


@frozen
class Begun:
    """An upload in a page of ListMultipartUploads."""

    key: str
    upload_id: str
    initiated_ns: int


@frozen
class UploadsPage:
    """A page of uploads, and the markers of key and id where it goes on; None at the end."""

    uploads: tuple[Begun, ...]
    markers: tuple[str, str] | None


@frozen
class PartsPage:
    """A page of the parts of an upload, and the marker where it goes on; None at the end."""

    parts: tuple[Part, ...]
    marker: str | None


def read(body: bytes) -> Element:
    """The document in the body of an answer, whatever it calls itself: stores differ. Raises Unavailable if it is none."""
    name = _ROOT.search(body)
    try:
        return parse(body, "" if name is None else name[1].decode("ascii"))
    except S3Error:
        raise _unreadable() from None


def page_of(body: bytes) -> Page:
    """A page of ListObjectsV2 with ``encoding-type=url``. Keys that are not UTF-8 are left out: nothing can name them."""
    root = read(_ECHOES.sub(b"", body))
    entries: list[Found | str] = []
    for child in root.children:
        if child.name == "Contents":
            key = _key(child)
            if key is not None:
                seconds = instant_of(_text(child, "LastModified")) // 10**9
                entries.append(Found(key, _number(child, "Size"), seconds * 10**9, _etag(child)))
        elif child.name == "CommonPrefixes":
            prefix = _key(child, "Prefix")
            if prefix is not None:
                entries.append(prefix)
    entries.sort(key=lambda entry: entry if isinstance(entry, str) else entry.key)
    token = _text(root, "NextContinuationToken") if _truncated(root) else None
    if token == "":
        raise _unreadable()
    return Page(tuple(entries), token)


def uploads_of(body: bytes) -> UploadsPage:
    """A page of ListMultipartUploads with ``encoding-type=url``."""
    root = read(_ECHOES.sub(b"", body))
    found = []
    for child in root.findall("Upload"):
        key = _key(child)
        if key is not None:
            found.append(Begun(key, _text(child, "UploadId"), instant_of(_text(child, "Initiated"))))
    if not _truncated(root):
        return UploadsPage(tuple(found), None)
    return UploadsPage(tuple(found), (_key(root, "NextKeyMarker") or "", _text(root, "NextUploadIdMarker")))


def parts_of(body: bytes) -> PartsPage:
    """A page of ListParts."""
    root = read(body)
    found = []
    for child in root.findall("Part"):
        checksums = {name: _text(child, one.element) for name, one in ALGORITHMS.items() if name != "MD5" and child.find(one.element)}
        modified = instant_of(_text(child, "LastModified"))
        found.append(Part(_number(child, "PartNumber"), _number(child, "Size"), modified, _etag(child), checksums))
    return PartsPage(tuple(found), _text(root, "NextPartNumberMarker") if _truncated(root) else None)


def etag_in(body: bytes) -> str:
    """The ETag, without quotes, in the answer to a completion or a copy; empty if it does not tell (Ceph's). Raises Unavailable."""
    return _text(read(body), "ETag").strip('"')


def completion(parts: Iterable[Part]) -> bytes:
    """The request that makes an object of ``parts``."""
    rows = (
        element(
            "Part",
            tag("PartNumber", part.number),
            tag("ETag", f'"{part.etag}"'),
            *(tag(ALGORITHMS[name].element, value) for name, value in part.checksums.items() if name in ALGORITHMS and name != "MD5"),
        )
        for part in parts
    )
    return document("CompleteMultipartUpload", "".join(rows))


def value_in(body: bytes, name: str) -> str:
    """The text of one element of an answer. Raises Unavailable if it is missing or empty."""
    text = _text(read(body), name)
    if not text:
        raise _unreadable()
    return text


def tags_in(body: bytes) -> Mapping[str, str]:
    """The tags in the answer to a GET of them."""
    found = read(body).find("TagSet")
    return {} if found is None else {_text(one, "Key"): _text(one, "Value") for one in found.findall("Tag")}


def instant_of(text: str) -> int:
    """A date of S3's XML in nanoseconds since the epoch. Raises Unavailable if it is none."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        raise _unreadable()
    try:
        since = datetime(*(int(match[place]) for place in range(1, 7)), tzinfo=UTC) - _EPOCH  # type: ignore[misc,arg-type]
    except ValueError:
        raise _unreadable() from None
    return (since.days * 86400 + since.seconds) * 10**9 + int((match[7] or "").ljust(9, "0"))


def _key(node: Element, name: str = "Key") -> str | None:
    try:
        return unquote_to_bytes(_text(node, name).replace("+", " ")).decode()
    except UnicodeDecodeError:
        return None


def _etag(node: Element) -> str:
    etag = _text(node, "ETag").strip('"')
    if not etag:
        raise _unreadable()
    return etag


def _number(node: Element, name: str) -> int:
    text = _text(node, name).strip()
    if not text.isdecimal():
        raise _unreadable()
    return int(text)


def _text(node: Element, name: str) -> str:
    try:
        return node.value(name, "")
    except S3Error:
        raise _unreadable() from None


def _truncated(root: Element) -> bool:
    return _text(root, "IsTruncated").strip().lower() == "true"


def _unreadable() -> Unavailable:
    return Unavailable(message="The S3 store answered with something that S3 does not answer.")

"""Tags: the header and the document in which they come, and the rules they obey.

The rules and their messages are S3's ("Categorizing your storage using tags" in its user guide).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.xml import Element, document, element, parse, tag

MAX_OBJECT_TAGS = 10
MAX_BUCKET_TAGS = 50
MAX_KEY_LENGTH = 128
MAX_VALUE_LENGTH = 256

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PLAIN = re.compile(r"[A-Za-z0-9 +\-=._:/@]*")
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")  # no characters of XML 1.0


def parse_tagging_header(value: str) -> dict[str, str]:
    """The tags in the value of ``x-amz-tagging``: ``k1=v1&k2=v2``, URL-encoded, ``+`` a space.

    Raises ``S3Error`` InvalidArgument if it is malformed or names a tag twice.
    """
    tags: dict[str, str] = {}
    for piece in value.split("&"):
        if piece:
            key, _, text = piece.partition("=")
            key = _decode(key)
            if key in tags:
                raise _bad_header()
            tags[key] = _decode(text)
    return tags


def parse_tagging_document(body: bytes) -> dict[str, str]:
    """The tags in a ``Tagging`` document. Raises ``S3Error`` MalformedXML; InvalidTag for a key that comes twice."""
    tag_set = parse(body, "Tagging").find("TagSet")
    if tag_set is None:
        raise S3Error("MalformedXML")
    tags: dict[str, str] = {}
    for child in tag_set.children:
        key, value = _pair(child)
        if key in tags:
            raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key", TagKey=key)
        tags[key] = value
    return tags


def check_tags(tags: Mapping[str, str], *, restricted: bool, limit: int = MAX_OBJECT_TAGS) -> None:
    """Refuse tags that break S3's rules: at most ``limit``, keys of 1 to 128 and values of 0 to 256 UTF-16 units,
    of letters, numbers, spaces and ``+ - = . _ : / @``, keys not beginning with ``aws:``.

    Without ``restricted`` only what no answer could give back is refused. Raises ``S3Error`` InvalidTag,
    and BadRequest for their number.
    """
    if restricted and len(tags) > limit:
        raise S3Error("BadRequest", f"{'Object' if limit == MAX_OBJECT_TAGS else 'Bucket'} tags cannot be greater than {limit}")
    for key, value in tags.items():
        if restricted and key.lower().startswith("aws:"):
            raise S3Error("InvalidTag", "System tags cannot be added/updated by requester", TagKey=key)
        if not key or not _fits(key, MAX_KEY_LENGTH, restricted):
            raise S3Error("InvalidTag", "The TagKey you have provided is invalid", TagKey=key)
        if not _fits(value, MAX_VALUE_LENGTH, restricted):
            raise S3Error("InvalidTag", "The TagValue you have provided is invalid", TagKey=key, TagValue=value)


def tagging_document(tags: Mapping[str, str]) -> bytes:
    """The body of the answer that gives ``tags``, in their order."""
    return document("Tagging", element("TagSet", *(element("Tag", tag("Key", key), tag("Value", value)) for key, value in tags.items())))


def _pair(child: Element) -> tuple[str, str]:
    key, value = child.value("Key"), child.value("Value")
    if child.name != "Tag" or key is None or value is None:
        raise S3Error("MalformedXML")
    return key, value


def _fits(text: str, length: int, restricted: bool) -> bool:
    if not restricted:
        return _UNWRITABLE.search(text) is None
    if _PLAIN.fullmatch(text):
        return len(text) <= length
    if len(text.encode("utf-16-le", "surrogatepass")) > 2 * length:
        return False
    return all(character in "+-=._:/@" or unicodedata.category(character)[0] in "LNZ" for character in text)


def _decode(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise _bad_header()
    try:
        return unquote_to_bytes(text.replace("+", " ").encode("utf-8", "surrogatepass")).decode()
    except UnicodeDecodeError:
        raise _bad_header() from None


def _bad_header() -> S3Error:
    return S3Error(
        "InvalidArgument",
        "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
        ArgumentName="x-amz-tagging",
    )

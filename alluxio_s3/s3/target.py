r"""The one parser of what a request is about: bucket, key, query.

Every key enters the daemon through ``parse_target``, ``parse_key`` or ``parse_copy_source``, whatever
part of a request it came in; nothing else splits or decodes a path (promises C1, C2).
The rules for keys are Alluxio's ("limitations of the S3 API") on top of S3's: no ``?``, ``\\``, no
segment ``.`` or ``..``, no ``//``; at most 1,024 bytes of UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote_plus, unquote_to_bytes

from attrs import field, frozen

from alluxio_s3.s3.errors import S3Error

MAX_KEY_BYTES = 1024
MAX_TARGET_BYTES = 8192
MAX_QUERY_KEYS = 64
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_BAD_ESCAPE_TEXT = re.compile(_BAD_ESCAPE.pattern.decode())
_AUTHORITY_FORM = re.compile(rb"https?://[^/?#]+", re.IGNORECASE)
_BUCKET_BYTES = re.compile(r"[A-Za-z0-9._:-]{1,255}")


@frozen
class Query:
    """The query of a request, decoded, in the order it came.

    A key without ``=`` has the value ``""``: presence decides, not the value.
    """

    pairs: tuple[tuple[str, str], ...] = ()
    _first: dict[str, str] = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        first: dict[str, str] = {}
        for name, value in self.pairs:
            first.setdefault(name, value)
        object.__setattr__(self, "_first", first)

    def __contains__(self, name: str) -> bool:
        return name in self._first

    def __iter__(self) -> Iterator[str]:
        return iter(self._first)

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of ``name``."""
        return self._first.get(name, default)


@frozen
class Target:
    """What a request is about. ``bucket`` is empty for the service, ``key`` for a bucket."""

    bucket: str = ""
    key: str = ""
    query: Query = Query()


def parse_target(raw: bytes) -> Target:
    """The target of a request line, raw, as bucket, key and query.

    Takes origin form (``/b/k?q``) and absolute form (``http://host/b/k?q``, which the AWS C++
    SDK's S3Crt client sends). Raises ``S3Error``: InvalidURI, InvalidArgument,
    InvalidBucketName, KeyTooLongError.
    """
    if len(raw) > MAX_TARGET_BYTES:
        raise S3Error("InvalidURI", "The request target is too long.")
    if raw[:1] != b"/":
        match = _AUTHORITY_FORM.match(raw)
        if match is None:
            raise S3Error("InvalidURI")
        raw = raw[match.end() :]
        if raw[:1] != b"/":
            raw = b"/" + raw
    path, _, query = raw.partition(b"?")
    if b"#" in raw:
        raise S3Error("InvalidURI")
    bucket, slash, key = path[1:].partition(b"/")
    if not bucket:
        if slash:
            raise S3Error("InvalidURI", "The request target has no bucket.")
        return Target(query=parse_query(query))
    return Target(parse_bucket(_decode(bucket)), parse_key(_decode(key)) if key else "", parse_query(query))


def parse_query(raw: bytes) -> Query:
    """The query of a target. Raises ``S3Error`` InvalidURI."""
    if not raw:
        return Query()
    pairs = []
    for piece in raw.split(b"&"):
        if piece:
            name, _, value = piece.partition(b"=")
            pairs.append((_decode(name.replace(b"+", b" ")), _decode(value.replace(b"+", b" "))))
    if len(pairs) > MAX_QUERY_KEYS:
        raise S3Error("InvalidURI", "The query has too many parameters.")
    return Query(tuple(pairs))


def parse_bucket(name: str) -> str:
    """``name`` if it can be the name of a bucket or mount. Raises ``S3Error`` InvalidBucketName.

    Only what no store could mean is refused here; S3's naming rules apply to new buckets
    (``s3.buckets``).
    """
    if not _BUCKET_BYTES.fullmatch(name) or name.startswith("."):
        raise S3Error("InvalidBucketName", BucketName=name)
    return name


def parse_key(key: str) -> str:
    """``key`` if an object may have it. Raises ``S3Error`` InvalidArgument, KeyTooLongError."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise S3Error("InvalidArgument", "A key must be UTF-8.", ArgumentName="key") from None
    if size > MAX_KEY_BYTES:
        raise S3Error("KeyTooLongError")
    if not key:
        raise S3Error("InvalidArgument", "A key must not be empty.")
    problem = key_problem(key)
    if problem:
        raise S3Error("InvalidArgument", f"This key is not supported: {problem}.", ArgumentName="key", ArgumentValue=key)
    return key


def key_problem(key: str) -> str | None:
    """Why ``key`` is not supported, or None. Listings leave out the names that it objects to."""
    if "\0" in key:
        return "it holds a NUL"
    if "\\" in key or "?" in key:
        return "it holds '?' or '\\'"
    if key.startswith("/") or "//" in key:
        return "it has an empty segment ('//')"
    if any(segment in (".", "..") for segment in key.split("/")):
        return "it has a '.' or '..' segment"
    return None


def parse_copy_source(value: str) -> Target:
    """The value of ``x-amz-copy-source``: ``[/]bucket/key[?versionId=null]``, URL-encoded.

    ``+`` means a space (s5cmd sends it so). Raises ``S3Error`` InvalidArgument and what keys raise.
    """
    raw, _, query = value.partition("?")
    if query and query != "versionId=null":
        raise S3Error("InvalidArgument", "Copy source versions are not supported.", ArgumentName="x-amz-copy-source")
    try:
        path = unquote_plus(raw, errors="strict")
    except UnicodeDecodeError:
        path = None
    if path is None or _BAD_ESCAPE_TEXT.search(raw):
        raise S3Error("InvalidArgument", "Invalid copy source encoding.", ArgumentName="x-amz-copy-source", ArgumentValue=value)
    bucket, slash, key = path.removeprefix("/").partition("/")
    if not slash or not key:
        raise S3Error(
            "InvalidArgument",
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            ArgumentName="x-amz-copy-source",
            ArgumentValue=value,
        )
    return Target(parse_bucket(bucket), parse_key(key))


def _decode(raw: bytes) -> str:
    if b"%" in raw:
        if _BAD_ESCAPE.search(raw):
            raise S3Error("InvalidURI", "The request target has a malformed percent-escape.")
        raw = unquote_to_bytes(raw)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise S3Error("InvalidURI", "The request target is not UTF-8.") from None

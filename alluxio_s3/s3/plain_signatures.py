"""Signature version 4 of the plainest requests, verified in a few microseconds: a read of an object, signed as SDKs sign.

``sigv4`` has the rules, and the last word: what is said to be right here is right there, and what is not is for ``sigv4`` to refuse, with
the reason. ``tests/s3/test_plain_signatures.py`` holds the two together.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from attrs import frozen

from alluxio_s3.s3.credentials import Scope
from alluxio_s3.s3.sigv4 import MAX_SKEW_SECONDS, signing_key

_AUTHORIZATION = re.compile(
    rb"AWS4-HMAC-SHA256 Credential=([A-Za-z0-9_.@+-]{1,256})/(\d{8})/([a-z0-9-]{1,64})/s3/aws4_request,"
    rb" ?SignedHeaders=([a-z0-9-]{1,64}(?:;[a-z0-9-]{1,64}){0,31}), ?Signature=([0-9a-f]{64})"
)
_TIME = re.compile(rb"\d{8}T\d{6}Z")
# What the header of a request without a body says of it; with another value there may be something to verify.
_CONTENTS = frozenset({b"UNSIGNED-PAYLOAD", hashlib.sha256(b"").hexdigest().encode()})


class PlainSignature(NamedTuple):
    """An Authorization header, taken apart. ``signed_headers`` are as they came, with semicolons."""

    access_key: str
    date: bytes
    region: str
    signed_headers: bytes
    signature: bytes


@frozen
class _Layout:
    """What the names of a request's headers decide: ``template`` takes the values of the headers ``names``, as they are spelled."""

    template: bytes
    names: tuple[bytes, ...]
    date: bytes
    content: bytes


@frozen
class _Key:
    """What signs for ``scope``: HMAC (RFC 2104), whose key has gone through its two hashes already, ``inner`` and ``outer``.

    ``hmac`` would begin with the key, and OpenSSL with a search for what HMAC is: that takes longer than the rest.
    """

    scope: bytes
    inner: hashlib._Hash
    outer: hashlib._Hash

    def sign(self, text: bytes) -> bytes:
        """The signature of ``text``, in hexadecimal digits."""
        inner, outer = self.inner.copy(), self.outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        return outer.hexdigest().encode()


def parse_authorization(authorization: bytes) -> PlainSignature | None:
    """The header's parts, if it is such as SDKs send."""
    match = _AUTHORIZATION.fullmatch(authorization)
    if match is None:
        return None
    access_key, date, region, signed_headers, signature = match.groups()
    return PlainSignature(access_key.decode(), date, region.decode(), signed_headers, signature)


def is_right(
    plain: PlainSignature, method: str, raw_target: bytes, headers: Mapping[bytes, bytes], secret: str, *, region: str, now_seconds: float
) -> bool:
    """Whether ``plain`` is ``secret``'s signature of the request. False, too, where it takes ``sigv4.verify`` to tell.

    ``headers`` are by their names as they are spelled, no two of them the same but for case; values may have spaces around.
    """
    layout = _layout(tuple(headers), plain.signed_headers)
    if layout is None or plain.region != region:
        return False
    timestamp, content = headers[layout.date].strip(b" \t"), headers[layout.content].strip(b" \t")
    signed_at = _seconds(timestamp)
    path = _path(raw_target)
    if path is None or content not in _CONTENTS or signed_at is None or timestamp[:8] != plain.date:
        return False
    if abs(now_seconds - signed_at) > MAX_SKEW_SECONDS:
        return False
    fields = layout.template % tuple([headers[name].strip(b" \t") for name in layout.names])
    if b"  " in fields or not fields.isascii():
        return False
    request = b"%b\n%b\n\n%b%b" % (method.encode(), path, fields, content)
    key = _key(secret, plain.date, region)
    to_sign = b"AWS4-HMAC-SHA256\n%b\n%b\n%b" % (timestamp, key.scope, hashlib.sha256(request).hexdigest().encode())
    return hmac.compare_digest(key.sign(to_sign), plain.signature)


@lru_cache(maxsize=256)
def _layout(names: tuple[bytes, ...], signed_headers: bytes) -> _Layout | None:
    """None if a header is signed that is not there, or not signed that must be, or has credentials of another kind."""
    spelled = {name.lower(): name for name in names}
    signed = signed_headers.split(b";")
    unsigned = [name for name in spelled if name.startswith(b"x-amz-") and name not in signed]
    needed = (b"host", b"x-amz-date", b"x-amz-content-sha256")
    if unsigned or any(name not in spelled for name in (*signed, *needed)) or b"host" not in signed or b"x-amz-security-token" in spelled:
        return None
    # No name has a percent sign in it: only what a header that is signed may be called is there.
    template = b"".join(name + b":%b\n" for name in signed) + b"\n" + signed_headers + b"\n"
    return _Layout(template, tuple(spelled[name] for name in signed), spelled[b"x-amz-date"], spelled[b"x-amz-content-sha256"])


@lru_cache(maxsize=4096)
def _path(raw_target: bytes) -> bytes | None:
    if raw_target[:1] != b"/" or b"?" in raw_target:
        return None
    return quote_from_bytes(unquote_to_bytes(raw_target), safe="/~").encode()


@lru_cache(maxsize=1024)
def _seconds(timestamp: bytes) -> int | None:
    try:
        return int(datetime.fromisoformat(timestamp.decode()).astimezone(UTC).timestamp()) if _TIME.fullmatch(timestamp) else None
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _key(secret: str, date: bytes, region: str) -> _Key:
    # It is shorter than SHA-256's block of 64 bytes.
    key = signing_key(secret, Scope(date.decode(), region, "s3")).ljust(64, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in key)) for pad in (0x36, 0x5C))
    return _Key(b"%b/%b/s3/aws4_request" % (date, region.encode()), inner, outer)

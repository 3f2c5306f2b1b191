"""Signature version 4, verified: what a request's signature is over, and whether it is that signature.

"Authenticating Requests: Using the Authorization Header", "Using Query Parameters" and "Signature Calculations ...: Transferring
Payload in Multiple Chunks" in the S3 API reference. The signature is over what arrived: the target as it came, each header
that it names; a header of S3's that it does not name is refused (promises C5), or whoever carries the request could add it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from attrs import field, frozen

from alluxio_s3.s3.conditions import iso_date
from alluxio_s3.s3.credentials import V4_HEADER, V4_QUERY, Credentials, Scope, check_not_expired, check_verifiable
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import RequestHead

MAX_SKEW_SECONDS = 15 * 60
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
_SPACES = re.compile(r" +")
_ALGORITHM = "AWS4-HMAC-SHA256"


@frozen
class Signature:
    """A signature that was found to be right, and what it takes to verify those of the chunks that follow it.

    With ``told`` a body whose chunks are not as they were signed is not refused: at its end that is told what is wrong with them, or None.
    """

    key: bytes
    value: str
    timestamp: str
    scope: str
    told: Callable[[S3Error | None], None] | None = field(default=None, eq=False, repr=False)


@lru_cache(maxsize=1024)
def signing_key(secret: str, scope: Scope) -> bytes:
    """The key of one day, region and service."""
    key = f"AWS4{secret}".encode()
    for word in (scope.date, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    return key


def verify(head: RequestHead, credentials: Credentials, secret: str, *, region: str, service: str, now_seconds: float) -> Signature:
    """That ``secret`` signed ``head``, lately, for here. ``credentials`` are those that ``find_credentials`` found in it.

    Raises ``S3Error``: AuthorizationHeaderMalformed, AuthorizationQueryParametersError, AccessDenied, InvalidRequest,
    RequestTimeTooSkewed, SignatureDoesNotMatch; NotImplemented for another version.
    """
    if credentials.form not in (V4_HEADER, V4_QUERY):
        raise S3Error("NotImplemented", "Only signature version 4 with HMAC is verified here.")
    check_verifiable(credentials)
    if credentials.scope is None or credentials.signed_at is None:
        raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    timestamp = datetime.fromtimestamp(credentials.signed_at, UTC).strftime("%Y%m%dT%H%M%SZ")
    _check_scope(credentials, credentials.scope, timestamp, region, service)
    _check_time(credentials, credentials.signed_at, now_seconds)
    _check_signed_headers(head, credentials)
    scope = f"{credentials.scope.date}/{credentials.scope.region}/{credentials.scope.service}/aws4_request"
    key = signing_key(secret, credentials.scope)
    # Clients encode a path as S3 says, or sign what they send.
    encoded = quote_from_bytes(unquote_to_bytes(_path(head)), safe="/~")
    for path in dict.fromkeys((encoded, _path(head).decode("latin-1"))):
        request = canonical_request(head, credentials, path)
        to_sign = f"{_ALGORITHM}\n{timestamp}\n{scope}\n{hashlib.sha256(request).hexdigest()}"
        expected = hmac.digest(key, to_sign.encode(), "sha256").hex()
        if hmac.compare_digest(expected.encode(), credentials.signature.encode()):
            return Signature(key, expected, timestamp, scope)
    raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=credentials.access_key, SignatureProvided=credentials.signature)


def canonical_request(head: RequestHead, credentials: Credentials, path: str) -> bytes:
    """What is hashed into the string to sign; ``path`` is as the client is taken to have encoded it."""
    headers = head.headers
    pairs = sorted(
        (quote(name, safe="~"), quote(value, safe="~"))
        for name, value in head.target.query.pairs
        if not (name == "X-Amz-Signature" and credentials.presigned)
    )
    query = "&".join(f"{name}={value}" for name, value in pairs)
    values = ((name, headers.arrived.get(name, "").strip(" \t")) for name in credentials.signed_headers)
    fields = "".join(f"{name}:{_SPACES.sub(' ', value)}\n" for name, value in values)
    content = headers.get("x-amz-content-sha256", UNSIGNED_PAYLOAD if credentials.presigned else "")
    lines = (head.method, path or "/", query, fields, ";".join(credentials.signed_headers), content)
    return "\n".join(lines).encode()


def _path(head: RequestHead) -> bytes:
    path = head.raw_target.partition(b"?")[0]
    if path[:1] != b"/":  # absolute form
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    return path


def _check_scope(credentials: Credentials, scope: Scope, timestamp: str, region: str, service: str) -> None:
    code = "AuthorizationQueryParametersError" if credentials.presigned else "AuthorizationHeaderMalformed"
    if scope.date != timestamp[:8]:
        raise S3Error(code, f"Invalid credential date {scope.date!r}. This date is not the same as X-Amz-Date: {timestamp[:8]!r}.")
    if scope.region != region:
        raise S3Error(code, f"The credential is mal-formed; the region {scope.region!r} is wrong; expecting {region!r}", Region=region)
    if scope.service != service:
        raise S3Error(code, f"The credential is mal-formed; incorrect service {scope.service!r}. This endpoint belongs to {service!r}.")


def _check_time(credentials: Credentials, signed_at: int, now_seconds: float) -> None:
    if credentials.presigned:
        check_not_expired(credentials, now_seconds)
        if signed_at > now_seconds + MAX_SKEW_SECONDS:
            raise S3Error("AccessDenied", "Request is not yet valid")
    elif abs(now_seconds - signed_at) > MAX_SKEW_SECONDS:
        raise S3Error(
            "RequestTimeTooSkewed",
            RequestTime=iso_date(signed_at * 10**9),
            ServerTime=iso_date(int(now_seconds) * 10**9),
            MaxAllowedSkewMilliseconds=str(MAX_SKEW_SECONDS * 1000),
        )


def _check_signed_headers(head: RequestHead, credentials: Credentials) -> None:
    signed = credentials.signed_headers
    arrived = head.headers.arrived
    missing = sorted(name for name in arrived if name.startswith("x-amz-") and name not in signed)
    if "host" not in signed:
        missing.insert(0, "host")
    if not credentials.presigned and "x-amz-date" not in arrived and "date" not in signed:
        missing.append("date")
    if missing:
        raise S3Error(
            "AccessDenied", "There were headers present in the request which were not signed", HeadersNotSigned=", ".join(missing)
        )
    if not credentials.presigned and "x-amz-content-sha256" not in arrived:
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")

"""Who a request says it is from, and how it proves it: the one credential form that it carries.

Forms are signature version 4, 4A and 2, each in the Authorization header or in the query (presigned URLs):
"Authenticating Requests" in the S3 API reference. Nothing is verified here. A header may lack
what only verification needs, since Alluxio's SIMPLE identity reads no more of it than the access key;
``check_verifiable`` refuses such a one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from attrs import field, frozen

from alluxio_s3.s3.conditions import iso_date, parse_http_date
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import Headers, RequestHead
from alluxio_s3.s3.target import Query

V4_HEADER, V4_QUERY = "v4-header", "v4-query"
V4A_HEADER, V4A_QUERY = "v4a-header", "v4a-query"
V2_HEADER, V2_QUERY = "v2-header", "v2-query"
MAX_EXPIRES_SECONDS = 7 * 24 * 3600

ALGORITHM = "AWS4-HMAC-SHA256"
_ECDSA = "AWS4-ECDSA-P256-SHA256"
_V4_PARAMETERS = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Expires")
_V2_PARAMETERS = ("AWSAccessKeyId", "Signature", "Expires")
_ISO_BASIC = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z")
_DAY = re.compile(r"[0-9]{8}")
MAX_ACCESS_KEY = 256


@frozen
class Scope:
    """What a version 4 signature is good for. ``date`` is ``YYYYMMDD``; ``region`` is 4A's region set where that is used."""

    date: str
    region: str
    service: str


@frozen
class Credentials:
    """What a request carries. ``form`` is one of the constants above; times are seconds since the epoch.

    ``scope`` and ``signed_headers`` are version 4's. ``signed_at`` is None when the request has no date of
    signing, ``expires_at`` when it is not presigned. ``session_token`` is of temporary credentials, and where
    SDKs put the token of OIDC.
    """

    form: str
    access_key: str
    signature: str = field(default="", repr=False)
    scope: Scope | None = None
    signed_headers: tuple[str, ...] = ()
    signed_at: int | None = None
    expires_at: int | None = None
    session_token: str | None = field(default=None, repr=False)

    @property
    def presigned(self) -> bool:
        """Whether they came in the query."""
        return self.expires_at is not None


def find_credentials(head: RequestHead) -> Credentials | None:
    """The credentials of a request; None if it has none.

    Raises ``S3Error``: InvalidArgument for more than one form or one that S3 does not have,
    AuthorizationHeaderMalformed, AuthorizationQueryParametersError, AccessDenied (dates, and version 2's parameters).
    """
    query = head.target.query
    header = head.headers.get("authorization")
    has_v4 = any(name in query for name in ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"))
    has_v2 = any(name in query for name in ("AWSAccessKeyId", "Signature"))
    if (header is not None) + has_v4 + has_v2 > 1:
        raise S3Error(
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter"
            " or the Authorization header should be specified",
            ArgumentName="Authorization",
        )
    if has_v4:
        return _v4_query(query)
    if has_v2:
        return _v2_query(query)
    if header is None:
        return None
    scheme, _, rest = header.strip().partition(" ")
    if scheme in (ALGORITHM, _ECDSA):
        return _v4_header(scheme, rest, head.headers)
    if scheme == "AWS":
        return _v2_header(rest.strip(), head.headers)
    raise S3Error("InvalidArgument", "Unsupported Authorization Type", ArgumentName="Authorization")


def bearer_token(headers: Headers) -> str | None:
    """The token of ``Authorization: Bearer``, which is no form of S3's own; None if there is none."""
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def check_not_expired(credentials: Credentials, now_seconds: float) -> None:
    """Refuse a presigned URL whose time is over. Raises ``S3Error`` AccessDenied."""
    expires_at = credentials.expires_at
    if expires_at is None or now_seconds <= expires_at:
        return
    error = S3Error(
        "AccessDenied", "Request has expired", Expires=iso_date(expires_at * 10**9), ServerTime=iso_date(int(now_seconds) * 10**9)
    )
    if credentials.signed_at is not None:
        error.details["X-Amz-Expires"] = str(expires_at - credentials.signed_at)
    raise error


def check_verifiable(credentials: Credentials) -> None:
    """Refuse a header that lacks what verifying its signature needs. Raises ``S3Error`` AuthorizationHeaderMalformed,
    and AccessDenied if the request has no date.
    """
    if not credentials.signature:
        raise _malformed("missing Signature.")
    if credentials.form in (V4_HEADER, V4A_HEADER):
        if credentials.scope is None:
            raise _malformed('the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".')
        if not credentials.signed_headers:
            raise _malformed("missing SignedHeaders.")
    if credentials.signed_at is None and credentials.expires_at is None:
        raise _bad_date()


def _v4_header(algorithm: str, rest: str, headers: Headers) -> Credentials:
    pieces: dict[str, str] = {}
    for piece in rest.split(","):
        name, equals, value = piece.strip().partition("=")
        if not equals or name in pieces or name not in ("Credential", "SignedHeaders", "Signature"):
            raise _malformed("expecting Credential, SignedHeaders and Signature, each once.")
        pieces[name] = value.strip()
    credential = pieces.get("Credential", "")
    region_set = headers.get("x-amz-region-set", "") if algorithm == _ECDSA else None
    access_key, scope = parse_credential(credential, region_set)
    if not _is_access_key(access_key):
        raise _malformed('the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".')
    return Credentials(
        form=V4_HEADER if algorithm == ALGORITHM else V4A_HEADER,
        access_key=access_key,
        signature=pieces.get("Signature", ""),
        scope=scope,
        signed_headers=_signed_headers(pieces.get("SignedHeaders", "")),
        signed_at=_header_time(headers),
        session_token=headers.get("x-amz-security-token"),
    )


def _v4_query(query: Query) -> Credentials:
    values = _once(query, _V4_PARAMETERS)
    if values is None:
        raise _bad_query(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature,"
            " X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        )
    algorithm, credential, signature, date, signed_headers, expires = values
    if algorithm not in (ALGORITHM, _ECDSA):
        raise _bad_query(f'X-Amz-Algorithm only supports "{ALGORITHM} and {_ECDSA}"')
    access_key, scope = parse_credential(credential, query.get("X-Amz-Region-Set", "") if algorithm == _ECDSA else None)
    if scope is None or not _is_access_key(access_key):
        raise _bad_query(
            "Error parsing the X-Amz-Credential parameter; the Credential is mal-formed;"
            ' expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
        )
    signed_at = parse_iso_basic(date)
    if signed_at is None:
        raise _bad_query("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    return Credentials(
        form=V4_QUERY if algorithm == ALGORITHM else V4A_QUERY,
        access_key=access_key,
        signature=signature,
        scope=scope,
        signed_headers=_signed_headers(signed_headers),
        signed_at=signed_at,
        expires_at=signed_at + _expires_seconds(expires),
        session_token=query.get("X-Amz-Security-Token"),
    )


def _v2_header(rest: str, headers: Headers) -> Credentials:
    access_key, colon, signature = rest.rpartition(":")
    if not colon or not signature or not _is_access_key(access_key):
        raise S3Error(
            "InvalidArgument", "AWS authorization header is invalid. Expected AwsAccessKeyId:signature", ArgumentName="Authorization"
        )
    return Credentials(
        form=V2_HEADER,
        access_key=access_key,
        signature=signature,
        signed_at=_header_time(headers),
        session_token=headers.get("x-amz-security-token"),
    )


def _v2_query(query: Query) -> Credentials:
    values = _once(query, _V2_PARAMETERS)
    if values is None or not _is_access_key(values[0]):
        raise S3Error("AccessDenied", "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters")
    access_key, signature, expires = values
    expires_at = _number(expires)
    if expires_at is None:
        raise S3Error("AccessDenied", "Invalid date (should be seconds since epoch)")
    return Credentials(
        form=V2_QUERY,
        access_key=access_key,
        signature=signature,
        expires_at=expires_at,
        session_token=query.get("x-amz-security-token"),
    )


def parse_credential(value: str, region_set: str | None = None) -> tuple[str, Scope | None]:
    """Access key and scope of a credential; ``region_set`` is that of version 4A.

    An access key may hold slashes; without a whole scope it is what is before the first one.
    """
    if region_set is None:
        parts = value.rsplit("/", 4)
        whole = len(parts) == 5
    else:
        parts = value.rsplit("/", 3)
        whole = len(parts) == 4
        parts.insert(2, region_set)
    if whole and _DAY.fullmatch(parts[1]) and parts[2] and parts[3] and parts[4] == "aws4_request":
        return parts[0], Scope(date=parts[1], region=parts[2], service=parts[3])
    return value.partition("/")[0], None


def _once(query: Query, names: tuple[str, ...]) -> list[str] | None:
    """The values of ``names``, each of which must be there once and not be empty; else None."""
    found = {name: value for name, value in query.pairs if name in names}
    count = sum(name in names for name, _ in query.pairs)
    return [found[name] for name in names] if count == len(found) == len(names) and all(found.values()) else None


def _signed_headers(value: str) -> tuple[str, ...]:
    return tuple(name.lower() for name in value.split(";") if name)


def _is_access_key(text: str) -> bool:
    return 0 < len(text) <= MAX_ACCESS_KEY and text.isprintable()


def _header_time(headers: Headers) -> int | None:
    value = headers.get("x-amz-date") or headers.get("date")
    if not value:
        return None
    seconds = parse_iso_basic(value)
    if seconds is None:
        seconds = parse_http_date(value)
    if seconds is None:
        raise _bad_date()
    return seconds


def parse_iso_basic(value: str) -> int | None:
    """The time in ``yyyyMMdd'T'HHmmss'Z'``, in seconds since the epoch; None if it is none."""
    match = _ISO_BASIC.fullmatch(value)
    if match is None:
        return None
    try:
        year, month, day, hour, minute, second = map(int, match.groups())
        return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
    except ValueError:
        return None


def _expires_seconds(value: str) -> int:
    seconds = _number(value.removeprefix("-"))
    if seconds is None:
        raise _bad_query("X-Amz-Expires should be a number")
    if value.startswith("-") or not seconds:
        raise _bad_query("X-Amz-Expires must be at least 1 second")
    if seconds > MAX_EXPIRES_SECONDS:
        raise _bad_query(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds"
        )
    return seconds


def _number(value: str) -> int | None:
    """Decimal digits, few enough for any time; a larger number is None."""
    return int(value) if len(value) <= 15 and value.isascii() and value.isdigit() else None


def _malformed(reason: str) -> S3Error:
    return S3Error("AuthorizationHeaderMalformed", f"The authorization header is malformed; {reason}")


def _bad_query(message: str) -> S3Error:
    return S3Error("AuthorizationQueryParametersError", message)


def _bad_date() -> S3Error:
    return S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")

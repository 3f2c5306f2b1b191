"""What goes wrong between us and the store, and what the daemon is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from attrs import frozen

from alluxio_s3.s3.conditions import parse_http_date
from alluxio_s3.s3.errors import TABLE, S3Error
from alluxio_s3.s3.xml import parse
from alluxio_s3.storage import (
    NoSpace,
    NoSuchPath,
    NoSuchUpload,
    PathTooLong,
    PermissionRefused,
    StorageError,
    Unavailable,
    Unsupported,
)

# "Error responses" of the S3 API reference: those that may pass.
_PASSING_CODES = frozenset(
    {
        "InternalError",
        "OperationAborted",
        "ConditionalRequestConflict",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "BandwidthLimitExceeded",
    }
)
_PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})

_KINDS: Mapping[str, type[StorageError]] = MappingProxyType(
    {
        "NoSuchKey": NoSuchPath,
        "NoSuchUpload": NoSuchUpload,
        "KeyTooLongError": PathTooLong,
        "QuotaExceeded": NoSpace,
        "XMinioStorageFull": NoSpace,
        "InsufficientStorage": NoSpace,
        "NotImplemented": Unsupported,
    }
)
# What the store finds wrong with what a client sent goes to the client as it is.
_CLIENTS_OWN = frozenset(
    {
        "BadDigest",
        "EntityTooLarge",
        "EntityTooSmall",
        "InvalidPart",
        "InvalidPartOrder",
        "InvalidTag",
        "MetadataTooLarge",
        "PreconditionFailed",
    }
)
# These are of a request that other stores may take: longer tags, other characters.
_REFUSED_AS_IT_IS = frozenset({"BadRequest", "InvalidArgument", "InvalidRequest", "InvalidTag"})
_ABOUT_CREDENTIALS = frozenset({"AuthorizationHeaderMalformed", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"})


@frozen(kw_only=True)
class Refused(Exception):
    """The store answered with an error.

    ``repeated`` says that an earlier try of the same request may have been carried out, though no answer to it came. ``after`` is how
    many seconds to wait before the next try, if the store said so.
    """

    status: int
    code: str
    message: str = ""
    repeated: bool = False
    after: float | None = None

    @property
    def passing(self) -> bool:
        """Whether trying again may help."""
        return self.status in _PASSING_STATUSES or self.code in _PASSING_CODES


def refusal(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Refused:
    """The error in an answer; ``body`` is empty for HEAD, or anything, if it is some proxy's."""
    code = message = ""
    try:
        found = parse(body, "Error")
        code, message = found.value("Code", ""), found.value("Message", "")
    except S3Error:
        pass
    if not code:
        code = {403: "AccessDenied", 404: "NoSuchKey", 412: "PreconditionFailed", 507: "InsufficientStorage"}.get(status, "")
    return Refused(status=status, code=code, message=message[:200], after=_after(headers.get("retry-after"), now))


def storage_error(refused: Refused, path: str) -> StorageError | S3Error:
    """What the daemon is to be told."""
    if refused.code in _KINDS:
        return _KINDS[refused.code](path)
    if refused.code in _CLIENTS_OWN and refused.code in TABLE:
        return S3Error(refused.code)
    if refused.status == 400 and refused.code in _REFUSED_AS_IT_IS:
        return S3Error("InvalidRequest", f"The S3 store behind this bucket does not take this: {refused.code}")
    if refused.status in (401, 403) or refused.code in _ABOUT_CREDENTIALS:
        return PermissionRefused(path, f"The S3 store refused the daemon: {refused.code}")
    message = f"The S3 store answered {refused.status} {refused.code}".rstrip()
    if refused.code == "NoSuchBucket":
        message = "The S3 bucket behind this mount does not exist."
    elif refused.status in (301, 307):
        message = "The S3 bucket behind this mount is in another region: set alluxio.underfs.s3.region."
    return Unavailable(path, message)


def _after(value: str | None, now: float) -> float | None:
    if value is None:
        return None
    if value.strip().isdecimal():
        return min(float(value), 3600.0)
    date = parse_http_date(value)
    return None if date is None else max(0.0, date - now)

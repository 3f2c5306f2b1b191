"""Who a form says it is from, and how it proves it: its fields that are credentials, and the signature over its policy.

"Authenticating Requests: Browser-Based Uploads Using POST" in the S3 API reference: the string to sign is the policy as it came, in Base64.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence

from attrs import field, frozen

from alluxio_s3.s3.conditions import iso_date
from alluxio_s3.s3.credentials import ALGORITHM, MAX_ACCESS_KEY, Credentials, parse_credential, parse_iso_basic
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.sigv4 import MAX_SKEW_SECONDS, signing_key

V4_FORM, V2_FORM = "v4-form", "v2-form"
# As long as a signing key is good: "the signing key is valid for up to seven days".
MAX_AGE_SECONDS = 7 * 24 * 3600
# The names of the fields as S3 spells them; those of a form are compared in lower case.
_V4 = ("policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")
_V2 = ("policy", "AWSAccessKeyId", "signature")
_TOKEN = "x-amz-security-token"  # noqa: S105  # the name of a field


@frozen
class SignedForm:
    """A form's credentials, and the policy that they are to be signed with, as it came."""

    credentials: Credentials
    policy: str = field(repr=False)


def find_form_credentials(fields: Mapping[str, str]) -> SignedForm | None:
    """The credentials in the fields of a form, by lower-case name; None if there are none.

    Raises ``S3Error`` InvalidArgument for what is missing or malformed, and for two kinds at once.
    """
    has_v4 = any(name in fields for name in ("x-amz-algorithm", "x-amz-credential", "x-amz-signature", _TOKEN, "policy"))
    has_v2 = any(name in fields for name in ("awsaccesskeyid", "signature"))
    if has_v2 and any(name in fields for name in ("x-amz-algorithm", "x-amz-credential", "x-amz-signature")):
        raise S3Error("InvalidArgument", "Only one auth mechanism allowed", ArgumentName="x-amz-signature")
    if has_v2:
        policy, access_key, signature = _required(fields, _V2)
        _check_access_key("AWSAccessKeyId", access_key)
        return SignedForm(Credentials(V2_FORM, access_key, signature, session_token=fields.get(_TOKEN)), policy)
    if not has_v4:
        return None
    policy, algorithm, credential, date, signature = _required(fields, _V4)
    if algorithm != ALGORITHM:
        raise _bad("x-amz-algorithm", algorithm, f"x-amz-algorithm only supports {ALGORITHM}")
    access_key, scope = parse_credential(credential)
    if scope is None:
        raise _bad(
            "x-amz-credential", credential, 'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
        )
    _check_access_key("x-amz-credential", access_key)
    signed_at = parse_iso_basic(date)
    if signed_at is None:
        raise _bad("x-amz-date", date, "x-amz-date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    if date[:8] != scope.date:
        raise _bad("x-amz-credential", credential, f"Invalid credential date {scope.date!r}. This date is not the same as x-amz-date.")
    credentials = Credentials(V4_FORM, access_key, signature, scope, signed_at=signed_at, session_token=fields.get(_TOKEN))
    return SignedForm(credentials, policy)


def verify_form(form: SignedForm, secret: str, *, region: str, now_seconds: float) -> None:
    """That ``secret`` signed the policy of ``form`` with version 4, within the last week, for here. When the policy ends is its own word.

    Raises ``S3Error``: InvalidArgument, RequestTimeTooSkewed, AccessDenied, SignatureDoesNotMatch.
    """
    credentials = form.credentials
    scope, signed_at = credentials.scope, credentials.signed_at
    if credentials.form != V4_FORM or scope is None or signed_at is None:
        message = 'Forms are signed with version 4 of the signature here; boto3 has to be told so: signature_version="s3v4".'
        raise S3Error("InvalidArgument", message, ArgumentName="AWSAccessKeyId")
    if scope.region != region or scope.service != "s3":
        message = f"The credential is mal-formed; the region or the service is wrong; expecting {region!r} and 's3'"
        raise S3Error("InvalidArgument", message, ArgumentName="x-amz-credential", Region=region)
    if signed_at > now_seconds + MAX_SKEW_SECONDS:
        raise S3Error(
            "RequestTimeTooSkewed",
            RequestTime=iso_date(signed_at * 10**9),
            ServerTime=iso_date(int(now_seconds) * 10**9),
            MaxAllowedSkewMilliseconds=str(MAX_SKEW_SECONDS * 1000),
        )
    if now_seconds > signed_at + MAX_AGE_SECONDS:
        raise S3Error("AccessDenied", "Request has expired")
    expected = hmac.digest(signing_key(secret, scope), _text(form), "sha256").hex()
    _check(credentials, expected.encode())


def verify_form_v2(form: SignedForm, secret: str) -> None:
    """The same with version 2, whose signature has no time of its own. Raises ``S3Error`` SignatureDoesNotMatch."""
    _check(form.credentials, base64.b64encode(hmac.digest(secret.encode(), _text(form), "sha1")))


def _text(form: SignedForm) -> bytes:
    return form.policy.encode("utf-8", "surrogatepass")


def _check(credentials: Credentials, expected: bytes) -> None:
    if not hmac.compare_digest(expected, credentials.signature.encode("utf-8", "surrogatepass")):
        raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=credentials.access_key, SignatureProvided=credentials.signature)


def _required(fields: Mapping[str, str], names: Sequence[str]) -> list[str]:
    for name in names:
        if not fields.get(name.lower()):
            raise missing_field(name)
    return [fields[name.lower()] for name in names]


def missing_field(name: str) -> S3Error:
    """The error for a form that lacks a field, in S3's words."""
    message = f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
    return S3Error("InvalidArgument", message, ArgumentName=name, ArgumentValue="")


def _check_access_key(name: str, value: str) -> None:
    if not 0 < len(value) <= MAX_ACCESS_KEY or not value.isprintable():
        raise _bad(name, value, f"{name} names no access key.")


def _bad(name: str, value: str, message: str) -> S3Error:
    return S3Error("InvalidArgument", message, ArgumentName=name, ArgumentValue=value)

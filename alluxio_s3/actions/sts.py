"""AssumeRoleWithWebIdentity: temporary keys for a token. It is an action of AWS STS, not of S3, and answers in STS's words
("AssumeRoleWithWebIdentity" and "Making query requests" in the STS API reference).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import parse_qs

from alluxio_s3.actions.exchange import Call, Response
from alluxio_s3.actions.registry import SERVICE, Action, Need, action
from alluxio_s3.actions.transfer import read_body
from alluxio_s3.interfaces import TemporaryCredentials
from alluxio_s3.s3.conditions import iso_date
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import RequestHead
from alluxio_s3.s3.xml import element, tag

MIN_SECONDS, MAX_SECONDS, DEFAULT_SECONDS = 900, 43_200, 3600
_MAX_BODY_BYTES = 64 << 10
_XML = {"Content-Type": "text/xml"}
_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
# What STS calls what goes wrong, by what S3 calls it.
_CODES = {"InvalidToken": "InvalidIdentityToken", "ExpiredToken": "ExpiredTokenException", "ServiceUnavailable": "IDPCommunicationError"}


@action("AssumeRoleWithWebIdentity", method="POST", on=SERVICE, permission="sts:AssumeRoleWithWebIdentity")
class AssumeRoleWithWebIdentity(Action):
    """Gives temporary keys to whom a token of OIDC names."""

    def needs(self, head: RequestHead) -> Iterator[Need]:
        """Nothing: the token in the body says who asks."""
        del head
        return iter(())

    async def run(self, call: Call) -> Response:
        """Raises S3Error NotImplemented where no keys are given; what else goes wrong is told as STS tells it."""
        exchange = call.services.exchange
        if exchange is None:
            raise S3Error("NotImplemented", "Temporary keys are given only under OIDC, with alluxio.worker.s3.sts.secret.file set.")
        body = await read_body(call, _MAX_BODY_BYTES)
        try:
            form = {name: values[0] for name, values in parse_qs(body.decode("ascii"), max_num_fields=64).items()}
        except ValueError:
            return _failure(call, S3Error("InvalidArgument", "The body is no form."))
        if form.get("Action") != "AssumeRoleWithWebIdentity":
            return _failure(call, S3Error("InvalidArgument", "The only action of STS here is AssumeRoleWithWebIdentity."))
        seconds = _seconds(form.get("DurationSeconds", str(DEFAULT_SECONDS)))
        if seconds is None:
            return _failure(call, S3Error("InvalidArgument", f"DurationSeconds must be between {MIN_SECONDS} and {MAX_SECONDS}."))
        try:
            given = await exchange.exchange(form.get("WebIdentityToken", ""), seconds)
        except S3Error as error:
            return _failure(call, error)
        return Response(200, _XML, _success(call, form.get("RoleSessionName", "session"), given))


def _seconds(text: str) -> int | None:
    with suppress(ValueError):
        if MIN_SECONDS <= int(text[:6]) <= MAX_SECONDS:
            return int(text[:6])
    return None


def _success(call: Call, session: str, given: TemporaryCredentials) -> bytes:
    credentials = element(
        "Credentials",
        tag("AccessKeyId", given.access_key)
        + tag("SecretAccessKey", given.secret_key)
        + tag("SessionToken", given.session_token)
        + tag("Expiration", iso_date(given.expires_at * 10**9)),
    )
    who = element(
        "AssumedRoleUser",
        tag("Arn", f"arn:aws:sts::000000000000:assumed-role/{given.user}/{session}") + tag("AssumedRoleId", f"{given.user}:{session}"),
    )
    result = element("AssumeRoleWithWebIdentityResult", credentials + who + tag("SubjectFromWebIdentityToken", given.user))
    return _document("AssumeRoleWithWebIdentityResponse", result + element("ResponseMetadata", tag("RequestId", call.request_id)))


def _failure(call: Call, error: S3Error) -> Response:
    code = _CODES.get(error.code, "ValidationError" if error.code == "InvalidArgument" else error.code)
    kind = "Sender" if error.status < 500 else "Receiver"
    body = element("Error", tag("Type", kind) + tag("Code", code) + tag("Message", error.message)) + tag("RequestId", call.request_id)
    return Response(error.status, _XML, _document("ErrorResponse", body))


def _document(root: str, body: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{_NAMESPACE}">{body}</{root}>'.encode()

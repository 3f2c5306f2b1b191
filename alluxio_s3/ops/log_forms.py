"""The forms of a line of the access and audit logs: each a function of the time and an account. None shows what lets somebody in."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as _quoted  # in C, where json itself has it from
from urllib.parse import quote, unquote_plus

from attrs import define, frozen

# Query parameters that let in whoever knows them, in lower case.
_SECRETS = frozenset({"awsaccesskeyid", "signature", "x-alluxio-hop", "x-amz-credential", "x-amz-security-token", "x-amz-signature"})


@frozen
class Deed:
    """What became of one of the objects that a request named in its body."""

    raw_target: str
    status: int
    error: str = "-"


@define
class Account:
    """What is known of a request when it is over.

    ``seconds`` is from the head to the last byte handed to the kernel, ``waited`` from the head to the first; 0: the answer began at once.
    ``deeds`` are what a request that is about several objects came to for each.
    """

    request_id: str
    method: str
    raw_target: str
    peer: str
    action: str = "-"
    user: str = "-"
    status: int = 0
    error: str = "-"
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    deeds: list[Deed] | None = None


# Of the second since the epoch, and what is known.
Form = Callable[[str, Account], str]


def iso_time(second: int) -> str:
    """As most programs read it, such as 2026-11-23T10:00:00Z."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def aws_time(second: int) -> str:
    """As in S3's own logs, such as 23/Nov/2026:10:00:00 +0000."""
    return datetime.fromtimestamp(second, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")


def line_of(account: Account) -> str:
    """An account as a line of text."""
    who = f"{account.peer or '-'} {_plain(account.user)}"
    return (
        f'{who} {account.action} "{_plain(account.method)} {_target(account)}" {account.status} {account.error}'
        f" in={account.bytes_in} out={account.bytes_out} {account.seconds * 1000:.1f}ms {account.request_id}"
    )


def plain_line(time: str, account: Account) -> str:
    """``line_of`` behind the time."""
    return f"{time} {line_of(account)}\n"


def json_line(time: str, account: Account) -> str:
    """A JSON document. What a client sent is escaped as in text, so that no form shows what another hides."""
    return (
        f'{{"time":"{time}","request_id":"{account.request_id}","peer":{_quoted(account.peer)},"user":{_quoted(account.user)},'
        f'"action":{_quoted(account.action)},"method":{_quoted(account.method)},"target":{_quoted(_target(account))},'
        f'"status":{account.status},"error":{_quoted(account.error)},"bytes_in":{account.bytes_in},"bytes_out":{account.bytes_out},'
        f'"seconds":{account.seconds:.6f},"first_byte_seconds":{account.waited:.6f}}}\n'
    )


def aws_line(time: str, account: Account) -> str:
    """A server access log record.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html has the fields; those that are not known are ``-``.
    """
    target = _target(account)
    bucket, _, key = target.partition("?")[0].removeprefix("/").partition("/")
    milliseconds = round(account.seconds * 1000)
    turnaround = round((account.waited or account.seconds) * 1000)
    return (
        f"- {bucket or '-'} [{time}] {account.peer or '-'} {_plain(account.user)} {account.request_id} {_operation(account, bucket, key)}"
        f' {quote(key, safe=_KEY) or "-"} "{_plain(account.method)} {target} HTTP/1.1" {account.status or "-"} {account.error}'
        f' {account.bytes_out or "-"} - {milliseconds} {turnaround} "-" "-" - - - - - - - - -\n'
    )


def audit_line(time: str, account: Account) -> str:
    """Who did or wanted what, and what came of it, as a JSON document."""
    outcome = "refused" if account.status in REFUSALS else "done" if account.status in _DONE else "failed"
    return (
        f'{{"time":"{time}","request_id":"{account.request_id}","peer":{_quoted(account.peer)},"user":{_quoted(account.user)},'
        f'"action":{_quoted(account.action)},"method":{_quoted(account.method)},"target":{_quoted(_target(account))},'
        f'"outcome":"{outcome}","status":{account.status},"error":{_quoted(account.error)}}}\n'
    )


# Statuses of those who were not let in, or not allowed; and of what was done.
REFUSALS = frozenset({401, 403})
_DONE = frozenset(range(200, 300))
_KEY = string.ascii_letters + string.digits + "-._~/!$&'()*+,;=:@"
# What S3's logs call that on which some actions act.
_RESOURCES: Mapping[str, str] = {
    "AbortMultipartUpload": "UPLOAD",
    "CompleteMultipartUpload": "UPLOAD",
    "CreateMultipartUpload": "UPLOADS",
    "DeleteBucketTagging": "TAGGING",
    "DeleteObjects": "MULTI_OBJECT_DELETE",
    "DeleteObjectTagging": "OBJECT_TAGGING",
    "GetBucketLocation": "LOCATION",
    "GetBucketTagging": "TAGGING",
    "GetObjectTagging": "OBJECT_TAGGING",
    "ListMultipartUploads": "UPLOADS",
    "ListParts": "UPLOAD",
    "PutBucketTagging": "TAGGING",
    "PutObjectTagging": "OBJECT_TAGGING",
    "UploadPart": "PART",
    "UploadPartCopy": "PART_COPY",
}


def _operation(account: Account, bucket: str, key: str) -> str:
    resource = _RESOURCES.get(account.action) or ("OBJECT" if key else "BUCKET" if bucket else "SERVICE")
    method = "COPY" if account.action == "CopyObject" else _plain(account.method)
    return f"REST.{method}.{resource}"


def _target(account: Account) -> str:
    target = _plain(account.raw_target)
    if "?" not in target:
        return target
    path, _, query = target.partition("?")
    return f"{path}?{'&'.join(map(_masked, query.split('&')))}"


def _plain(text: str) -> str:
    """What a client chose, without what would end a field, or move a terminal's cursor."""
    if text.isprintable() and '"' not in text and " " not in text:
        return text
    return quote(text, safe=string.punctuation.replace('"', ""))


def _masked(parameter: str) -> str:
    name, separator, _ = parameter.partition("=")
    return f"{name}=***" if separator and unquote_plus(name).lower() in _SECRETS else parameter


@define
class Style:
    """A form, and how it tells the time of a second since the epoch."""

    form: Form
    time: Callable[[int], str] = iso_time


STYLES: Mapping[str, Style] = {"plain": Style(plain_line), "json": Style(json_line), "aws": Style(aws_line, aws_time)}
AUDIT = Style(audit_line)

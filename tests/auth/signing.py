"""Requests as botocore signs them, as the daemon's own parsers see them."""

from __future__ import annotations

from urllib.parse import urlsplit

from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from alluxio_s3.s3.request import Headers, RequestHead
from alluxio_s3.s3.target import parse_target

ENDPOINT = "http://127.0.0.1:29998"
SIGNERS = {"header": S3SigV4Auth, "presigned": S3SigV4QueryAuth}


def signed(
    key: str, secret: str, *, how: str = "header", method: str = "GET", target: str = "/bucket/key", token: str | None = None
) -> RequestHead:
    """A request signed now; ``how`` is ``header``, ``presigned`` or ``presigned-v2``."""
    request = AWSRequest(method, ENDPOINT + target, headers={})
    if how == "presigned-v2":
        HmacV1QueryAuth(Credentials(key, secret), expires=60).add_auth(request)
    else:
        SIGNERS[how](Credentials(key, secret, token), "s3", "us-east-1").add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    raw = (parts.path + (f"?{parts.query}" if parts.query else "")).encode()
    parsed = parse_target(raw)
    headers = Headers({**dict(prepared.headers.items()), "host": parts.netloc}).with_presigned(parsed.query)
    return RequestHead(method, parsed, headers, raw)

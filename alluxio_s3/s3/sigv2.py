"""Presigned URLs of signature version 2, verified: "Signing and authenticating REST requests (Version 2)", "Query string request
authentication alternative" in the S3 API reference. boto3 and aws-cli 1 still make them for endpoints that are not Amazon's.
"""

from __future__ import annotations

import base64
import hmac

from alluxio_s3.s3.credentials import Credentials
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import RequestHead

# The query keys that are part of what is signed.
_SUBRESOURCES = frozenset(
    {"acl", "accelerate", "analytics", "cors", "delete", "inventory", "lifecycle", "location", "logging", "metrics", "notification",
     "partNumber", "policy", "requestPayment", "restore", "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning",
     "versions", "website", "response-cache-control", "response-content-disposition", "response-content-encoding",
     "response-content-language", "response-content-type", "response-expires"}
)  # fmt: skip


def verify_presigned(head: RequestHead, credentials: Credentials, secret: str) -> None:
    """That ``secret`` signed the URL of ``head``. Whether it has expired is another question.

    Raises ``S3Error`` SignatureDoesNotMatch; InvalidArgument for what is said twice, of which only one would be signed.
    """
    names = [name for name, _ in head.target.query.pairs]
    for name in names:
        if names.count(name) > 1:
            raise S3Error("InvalidArgument", f"The query parameter {name!r} must be given once.", ArgumentName=name)
    expected = base64.b64encode(hmac.digest(secret.encode(), _string_to_sign(head), "sha1"))
    if not hmac.compare_digest(expected, credentials.signature.encode()):
        raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=credentials.access_key, SignatureProvided=credentials.signature)


def _string_to_sign(head: RequestHead) -> bytes:
    headers = head.headers
    query = dict(head.target.query.pairs)
    amz = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(headers) if name.startswith("x-amz-"))
    path = head.raw_target.partition(b"?")[0].decode("latin-1")
    signed = [f"{name}={value}" if value else name for name, value in sorted(query.items()) if name in _SUBRESOURCES]
    resource = path + ("?" + "&".join(signed) if signed else "")
    lines = (head.method, headers.get("content-md5", ""), headers.get("content-type", ""), query.get("Expires", ""), amz + resource)
    return "\n".join(lines).encode()

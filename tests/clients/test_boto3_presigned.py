"""boto3: presigned URLs of both versions, used by a plain HTTP client."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from email.message import Message
from typing import Any

import pytest

from tests.clients.samples import OVER_A_PART, digest, random_bytes

pytestmark = pytest.mark.ci

KEY = "dir/a b+é.txt"


@pytest.fixture(params=["default", "s3v4", "s3"])
def signer(request: pytest.FixtureRequest, make_client: Any) -> Any:
    """A client that presigns: as boto3 does by default (version 2 for an endpoint of one's own), with version 4, with version 2."""
    return make_client() if request.param == "default" else make_client(signature_version=request.param)


def send(url: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, Message, bytes]:
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_presigned_get(signer: Any, bucket: str) -> None:
    """A presigned GET gives the object to whoever has the URL, with the headers that the URL asks for; a range of it too."""
    body = random_bytes(OVER_A_PART)
    signer.put_object(Bucket=bucket, Key=KEY, Body=body)
    asked = {"Bucket": bucket, "Key": KEY, "ResponseContentType": "text/html", "ResponseContentDisposition": 'attachment; filename="x y"'}
    url = signer.generate_presigned_url("get_object", Params=asked, ExpiresIn=60)
    status, headers, got = send(url)
    assert (status, digest(got)) == (200, digest(body))
    assert (headers["Content-Type"], headers["Content-Disposition"]) == ("text/html", 'attachment; filename="x y"')
    status, _, got = send(url, headers={"Range": "bytes=5-9"})
    assert (status, got) == (206, body[5:10])


def test_presigned_put(signer: Any, bucket: str) -> None:
    """A presigned PUT stores what is sent to it."""
    body = random_bytes(OVER_A_PART)
    url = signer.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": KEY, "ContentType": "text/csv"}, ExpiresIn=60)
    status, _, answer = send(url, "PUT", body, {"Content-Type": "text/csv"})
    assert status == 200, answer
    got = signer.get_object(Bucket=bucket, Key=KEY)
    assert (got["ContentType"], digest(got["Body"].read())) == ("text/csv", digest(body))


@pytest.mark.needs("forms")
def test_presigned_metadata(signer: Any, bucket: str) -> None:
    """Metadata and tags that were signed into a URL are stored: version 2 has them in the query, version 4 wants them sent as well."""
    asked = {"Bucket": bucket, "Key": KEY, "Metadata": {"owner": "alice"}, "Tagging": "team=a%20b"}
    url = signer.generate_presigned_url("put_object", Params=asked, ExpiresIn=60)
    sent = {"x-amz-meta-owner": "alice", "x-amz-tagging": "team=a%20b"} if "X-Amz-SignedHeaders" in url else {}
    status, _, answer = send(url, "PUT", b"x", sent)
    assert status == 200, answer
    assert signer.head_object(Bucket=bucket, Key=KEY)["Metadata"] == {"owner": "alice"}
    assert signer.get_object_tagging(Bucket=bucket, Key=KEY)["TagSet"] == [{"Key": "team", "Value": "a b"}]


def test_presigned_delete_and_head(signer: Any, bucket: str) -> None:
    """HEAD and DELETE can be presigned."""
    signer.put_object(Bucket=bucket, Key=KEY, Body=b"x")
    head = signer.generate_presigned_url("head_object", Params={"Bucket": bucket, "Key": KEY})
    assert send(head, "HEAD")[0] == 200
    assert send(signer.generate_presigned_url("delete_object", Params={"Bucket": bucket, "Key": KEY}), "DELETE")[0] == 204
    assert send(head, "HEAD")[0] == 404


def test_expired_url(signer: Any, bucket: str, daemon: Any) -> None:
    """A URL whose time is over is refused with 403 AccessDenied, in every mode of authentication."""
    if not daemon.ours:
        pytest.skip("not every server looks at the time")
    signer.put_object(Bucket=bucket, Key=KEY, Body=b"x")
    url = signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": KEY}, ExpiresIn=60)
    assert send(url)[0] == 200
    # Made long ago (version 4), or good until long ago (version 2). The change of the URL goes unnoticed where signatures aren't checked.
    aged = re.sub(r"X-Amz-Date=\d+T", "X-Amz-Date=20200101T", re.sub(r"Expires=\d{10}", "Expires=1577836800", url))
    assert aged != url
    status, _, body = send(aged)
    assert status == 403
    assert b"<Code>AccessDenied</Code>" in body

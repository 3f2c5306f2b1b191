"""boto3: objects written, read, overwritten, copied and deleted with its default settings."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.samples import AWKWARD_KEYS, EMPTY, OVER_A_PART, PAGE, SIZES, digest, random_bytes

pytestmark = pytest.mark.ci


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    """The status and the code of a refused request."""
    response = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.needs("digests as ETags")
def test_put_and_get(s3: Any, bucket: str, size: int) -> None:
    """What was put comes back byte for byte, and PUT, GET, HEAD and LIST agree on its size and ETag, the MD5 of its bytes."""
    body = random_bytes(size)
    etag = f'"{hashlib.md5(body).hexdigest()}"'
    assert s3.put_object(Bucket=bucket, Key="k", Body=body)["ETag"] == etag
    got = s3.get_object(Bucket=bucket, Key="k")
    assert digest(got["Body"].read()) == digest(body)
    head = s3.head_object(Bucket=bucket, Key="k")
    (entry,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [got["ETag"], head["ETag"], entry["ETag"]] == [etag] * 3
    assert [got["ContentLength"], head["ContentLength"], entry["Size"]] == [size] * 3
    assert got["LastModified"] == head["LastModified"]
    assert abs(datetime.now(UTC) - head["LastModified"]) < timedelta(minutes=5)
    assert got["AcceptRanges"] == "bytes"
    assert got["ContentType"] == "binary/octet-stream"


def test_last_write_wins(s3: Any, bucket: str) -> None:
    """A second PUT replaces the bytes, the metadata and the ETag of the first."""
    s3.put_object(Bucket=bucket, Key="k", Body=random_bytes(OVER_A_PART), Metadata={"round": "1"}, ContentType="text/plain")
    second = random_bytes(PAGE)
    s3.put_object(Bucket=bucket, Key="k", Body=second)
    got = s3.get_object(Bucket=bucket, Key="k")
    assert digest(got["Body"].read()) == digest(second)
    assert got["Metadata"] == {}
    assert got["ContentType"] == "binary/octet-stream"


@pytest.mark.parametrize("key", [pytest.param(key, marks=pytest.mark.needs("colons") if ":" in key else ()) for key in AWKWARD_KEYS])
def test_awkward_keys(s3: Any, bucket: str, key: str) -> None:
    """A key with characters that clients must encode is stored, listed, copied and deleted under exactly that name."""
    body = random_bytes(PAGE)
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    assert digest(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) == digest(body)
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]] == [key]
    assert [entry["Key"] for entry in s3.list_objects(Bucket=bucket, Prefix=key)["Contents"]] == [key]
    s3.copy_object(Bucket=bucket, Key=f"copied/{key}", CopySource={"Bucket": bucket, "Key": key})
    assert digest(s3.get_object(Bucket=bucket, Key=f"copied/{key}")["Body"].read()) == digest(body)
    s3.delete_object(Bucket=bucket, Key=key)
    with pytest.raises(ClientError) as error:
        s3.head_object(Bucket=bucket, Key=key)
    assert refusal(error)[0] == 404


@pytest.mark.parametrize("key", ["what?", "back\\slash", "../up", "a/./b", "a/../b", "a//b", "/a"])
def test_unsupported_keys(s3: Any, bucket: str, key: str, daemon: Any) -> None:
    """A key that the documentation excludes is refused with a 400, and nothing is stored."""
    if not daemon.ours:
        pytest.skip("a rule of the daemon's, not of S3")
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert refusal(error)[0] == 400
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=100-199", 100, 199), ("bytes=4000-", 4000, 4095), ("bytes=-10", 4086, 4095), ("bytes=0-99999", 0, 4095)],
)
def test_ranges(s3: Any, bucket: str, asked: str, first: int, last: int) -> None:
    """A range, open, closed or suffix, is answered with just its bytes and says where they lie."""
    body = random_bytes(PAGE)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    got = s3.get_object(Bucket=bucket, Key="k", Range=asked)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"] == f"bytes {first}-{last}/{PAGE}"
    assert got["ContentLength"] == last - first + 1
    assert digest(got["Body"].read()) == digest(body[first : last + 1])


@pytest.mark.parametrize(("size", "asked"), [(PAGE, "bytes=4096-"), (PAGE, "bytes=9999-10000"), (EMPTY, "bytes=0-0")])
def test_unsatisfiable_range(s3: Any, bucket: str, size: int, asked: str) -> None:
    """A range that begins beyond the end is 416 InvalidRange."""
    s3.put_object(Bucket=bucket, Key="k", Body=random_bytes(size))
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="k", Range=asked)
    assert refusal(error) == (416, "InvalidRange")


def test_conditional_reads(s3: Any, bucket: str) -> None:
    """If-Match, If-None-Match, If-Modified-Since and If-Unmodified-Since decide between 200, 304 and 412."""
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    earlier = modified - timedelta(hours=1)
    for good in ({"IfMatch": etag}, {"IfNoneMatch": '"other"'}, {"IfModifiedSince": earlier}, {"IfUnmodifiedSince": modified}):
        assert s3.get_object(Bucket=bucket, Key="k", **good)["Body"].read() == b"x"
        s3.head_object(Bucket=bucket, Key="k", **good)
    for refused, status in (
        ({"IfMatch": '"other"'}, 412),
        ({"IfNoneMatch": etag}, 304),
        ({"IfModifiedSince": modified}, 304),
        ({"IfUnmodifiedSince": earlier}, 412),
    ):
        for call in (s3.get_object, s3.head_object):
            with pytest.raises(ClientError) as error:
                call(Bucket=bucket, Key="k", **refused)
            assert refusal(error)[0] == status, refused


def test_conditional_writes(s3: Any, bucket: str) -> None:
    """If-None-Match: * never overwrites, If-Match overwrites only what it names; a refused write changes nothing."""
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")["ETag"]
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*")
    assert refusal(error) == (412, "PreconditionFailed")
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfMatch='"00000000000000000000000000000000"')
    assert refusal(error) == (412, "PreconditionFailed")
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="absent", Body=b"second", IfMatch=etag)
    assert refusal(error)[0] == 404
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"first"
    s3.put_object(Bucket=bucket, Key="k", Body=b"third", IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"third"


def test_metadata_and_system_headers(s3: Any, bucket: str) -> None:
    """User metadata and the headers that S3 keeps with an object come back with HEAD and GET."""
    kept = {
        "ContentType": "text/csv; charset=utf-8",
        "CacheControl": "max-age=60",
        "ContentDisposition": 'attachment; filename="a b.csv"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de-AT",
        "Metadata": {"owner": "alice", "empty": "", "with-dash": "a b  c", "x": "=?UTF-8?B?w6k=?="},
    }
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Expires=datetime(2040, 1, 1, tzinfo=UTC), **kept)
    for answer in (s3.head_object(Bucket=bucket, Key="k"), s3.get_object(Bucket=bucket, Key="k")):
        assert {name: answer[name] for name in kept} == kept
        assert answer["ExpiresString"] == "Sun, 01 Jan 2040 00:00:00 GMT" or answer["ExpiresString"].startswith("2040-01-01")


def test_response_overrides(s3: Any, bucket: str) -> None:
    """The response-* parameters replace the headers of one answer, and of that answer alone."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="text/csv")
    got = s3.get_object(Bucket=bucket, Key="k", ResponseContentType="text/html", ResponseContentDisposition="inline")
    assert (got["ContentType"], got["ContentDisposition"]) == ("text/html", "inline")
    assert s3.get_object(Bucket=bucket, Key="k")["ContentType"] == "text/csv"


def test_metadata_too_large(s3: Any, bucket: str) -> None:
    """More than two KiB of user metadata is 400 MetadataTooLarge."""
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"big": "x" * 2100})
    assert refusal(error) == (400, "MetadataTooLarge")


@pytest.mark.needs("digests as ETags")
def test_copy(s3: Any, bucket: str, new_bucket: Any) -> None:
    """CopyObject carries bytes and metadata within and between buckets, and REPLACE takes the request's metadata."""
    body = random_bytes(OVER_A_PART)
    etag = s3.put_object(Bucket=bucket, Key="a/b c", Body=body, Metadata={"kept": "yes"}, ContentType="text/csv")["ETag"]
    other = new_bucket()
    answer = s3.copy_object(Bucket=other, Key="copy", CopySource={"Bucket": bucket, "Key": "a/b c"})
    assert answer["CopyObjectResult"]["ETag"] == etag
    got = s3.get_object(Bucket=other, Key="copy")
    assert digest(got["Body"].read()) == digest(body)
    assert (got["Metadata"], got["ContentType"]) == ({"kept": "yes"}, "text/csv")
    s3.copy_object(
        Bucket=bucket,
        Key="a/b c",
        CopySource=f"/{bucket}/a/b c",
        MetadataDirective="REPLACE",
        Metadata={"now": "this"},
        ContentType="text/html",
    )
    head = s3.head_object(Bucket=bucket, Key="a/b c")
    assert (head["Metadata"], head["ContentType"], head["ContentLength"]) == ({"now": "this"}, "text/html", len(body))


def test_copy_conditions_and_errors(s3: Any, bucket: str) -> None:
    """A copy whose condition fails is 412, one without a source 404, and one onto itself without a change 400."""
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    source = {"Bucket": bucket, "Key": "k"}
    s3.copy_object(Bucket=bucket, Key="c", CopySource=source, CopySourceIfMatch=etag)
    for condition in ({"CopySourceIfMatch": '"other"'}, {"CopySourceIfNoneMatch": etag}):
        with pytest.raises(ClientError) as error:
            s3.copy_object(Bucket=bucket, Key="d", CopySource=source, **condition)
        assert refusal(error) == (412, "PreconditionFailed")
    with pytest.raises(ClientError) as error:
        s3.copy_object(Bucket=bucket, Key="d", CopySource={"Bucket": bucket, "Key": "absent"})
    assert refusal(error) == (404, "NoSuchKey")
    with pytest.raises(ClientError) as error:
        s3.copy_object(Bucket=bucket, Key="k", CopySource=source)
    assert refusal(error) == (400, "InvalidRequest")


def test_delete(s3: Any, bucket: str) -> None:
    """DeleteObject answers 204 whether the key was there or not, and the object is gone."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for _ in range(2):
        answer = s3.delete_object(Bucket=bucket, Key="k")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=bucket, Key="k")


def test_delete_objects(s3: Any, bucket: str) -> None:
    """DeleteObjects removes what is there, reports every key once, absent ones too, and Quiet reports none of them."""
    keys = [f"many/{number:03}" for number in range(50)] + ["<odd>&/é 🐘"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    asked = [{"Key": key} for key in [*keys[:30], keys[-1], "absent"]]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": asked})
    assert sorted(entry["Key"] for entry in answer["Deleted"]) == sorted(entry["Key"] for entry in asked)
    assert "Errors" not in answer
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys[30:-1]], "Quiet": True})
    assert "Deleted" not in quiet
    left = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    assert [entry["Key"] for entry in left if not entry["Key"].endswith("/")] == []


def test_folders(s3: Any, bucket: str) -> None:
    """A key that ends in a slash is a folder: empty, typed as one, listed, and gone only when it is deleted by name."""
    s3.put_object(Bucket=bucket, Key="dir/", Body=b"")
    s3.put_object(Bucket=bucket, Key="dir/file", Body=b"x")
    assert s3.head_object(Bucket=bucket, Key="dir/")["ContentLength"] == 0
    assert s3.get_object(Bucket=bucket, Key="dir/")["Body"].read() == b""
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["dir/", "dir/file"]
    s3.delete_object(Bucket=bucket, Key="dir/file")
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["dir/"]
    s3.delete_object(Bucket=bucket, Key="dir/")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_folder_is_no_object(s3: Any, bucket: str) -> None:
    """HEAD and GET of `dir` are 404 where only `dir/file` was written."""
    s3.put_object(Bucket=bucket, Key="dir/file", Body=b"x")
    for call in (s3.head_object, s3.get_object):
        with pytest.raises(ClientError) as error:
            call(Bucket=bucket, Key="dir")
        assert refusal(error)[0] == 404


def test_object_attributes(s3: Any, bucket: str) -> None:
    """GetObjectAttributes gives the ETag without quotes and the size."""
    etag = s3.put_object(Bucket=bucket, Key="k", Body=random_bytes(PAGE))["ETag"]
    answer = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ETag", "ObjectSize", "StorageClass"])
    assert (answer["ETag"], answer["ObjectSize"]) == (etag.strip('"'), PAGE)


class Unseekable(io.RawIOBase):
    """A stream that can only be read forward, as a pipe is."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._inner = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._inner.readinto(buffer)


@pytest.mark.parametrize("size", SIZES)
def test_upload_of_an_unseekable_stream(s3: Any, bucket: str, size: int) -> None:
    """upload_fileobj of a pipe-like stream and download_fileobj give the same bytes, whatever parts boto3 makes of them."""
    body = random_bytes(size)
    s3.upload_fileobj(Unseekable(body), bucket, "k")
    back = io.BytesIO()
    s3.download_fileobj(bucket, "k", back)
    assert digest(back.getvalue()) == digest(body)

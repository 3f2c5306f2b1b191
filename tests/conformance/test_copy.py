"""Copies."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.conformance.conftest import refused, status_of


@pytest.fixture
def source(s3: Any, bucket: str) -> str:
    """An object with everything."""
    s3.put_object(
        Bucket=bucket,
        Key="source",
        Body=b"content",
        ContentType="text/plain",
        CacheControl="max-age=1",
        ContentDisposition="inline",
        ContentEncoding="gzip",
        ContentLanguage="de",
        Metadata={"foo": "bar"},
        Tagging="a=b&c=d",
    )
    return f"{bucket}/source"


def test_copy_takes_everything(s3: Any, bucket: str, source: str) -> None:
    """A copy has the bytes, headers, metadata and tags of its source, and the answer tells its ETag."""
    answer = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    found = s3.get_object(Bucket=bucket, Key="copy")
    original = s3.get_object(Bucket=bucket, Key="source")
    assert found.pop("Body").read() == original.pop("Body").read()
    for name in ("LastModified", "ResponseMetadata"):
        found.pop(name)
        original.pop(name)
    assert found == original
    assert answer["CopyObjectResult"]["ETag"] == found["ETag"]
    assert s3.get_object_tagging(Bucket=bucket, Key="copy")["TagSet"] == [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d"}]


def test_replace_metadata(s3: Any, bucket: str, source: str) -> None:
    """REPLACE takes the attributes of the request and none of the source; its tags stay unless they are replaced too."""
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, MetadataDirective="REPLACE", Metadata={"new": "one"}, ContentType="a/b")
    found = s3.head_object(Bucket=bucket, Key="copy")
    assert (found["Metadata"], found["ContentType"]) == ({"new": "one"}, "a/b")
    assert not {"CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage"} & set(found)
    assert len(s3.get_object_tagging(Bucket=bucket, Key="copy")["TagSet"]) == 2


def test_retain_metadata(s3: Any, bucket: str, source: str) -> None:
    """Without REPLACE the attributes in the request are ignored, as S3 ignores them."""
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, Metadata={"new": "one"}, ContentType="a/b")
    found = s3.head_object(Bucket=bucket, Key="copy")
    assert (found["Metadata"], found["ContentType"]) == ({"foo": "bar"}, "text/plain")


def test_replace_tags(s3: Any, bucket: str, source: str) -> None:
    """The tagging directive is apart from the metadata's."""
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, TaggingDirective="REPLACE", Tagging="x=y")
    assert s3.get_object_tagging(Bucket=bucket, Key="copy")["TagSet"] == [{"Key": "x", "Value": "y"}]
    assert s3.head_object(Bucket=bucket, Key="copy")["Metadata"] == {"foo": "bar"}


def test_onto_itself(s3: Any, bucket: str, source: str) -> None:
    """A copy onto itself must change something; with REPLACE it changes the attributes and not the bytes."""
    with refused(400, "InvalidRequest"):
        s3.copy_object(Bucket=bucket, Key="source", CopySource=source)
    s3.copy_object(Bucket=bucket, Key="source", CopySource=source, MetadataDirective="REPLACE", Metadata={"foo": "2"})
    found = s3.get_object(Bucket=bucket, Key="source")
    assert (found["Body"].read(), found["Metadata"]) == (b"content", {"foo": "2"})


def test_between_buckets(s3: Any, bucket: str, source: str, new_bucket: Any) -> None:
    """Source and copy may be in two buckets; the copy outlives the source."""
    other = new_bucket()
    s3.copy_object(Bucket=other, Key="deep/copy", CopySource=source)
    s3.delete_object(Bucket=bucket, Key="source")
    assert s3.get_object(Bucket=other, Key="deep/copy")["Body"].read() == b"content"


@pytest.mark.parametrize("size", [0, 1, 300_000, 3 << 20])
def test_sizes(s3: Any, bucket: str, size: int) -> None:
    """Empty, small and large objects are copied whole, and changing the source later does not change the copy."""
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    etag = s3.put_object(Bucket=bucket, Key="source", Body=body)["ETag"]
    assert s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/source")["CopyObjectResult"]["ETag"] == etag
    s3.put_object(Bucket=bucket, Key="source", Body=b"changed")
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == body


def test_missing(s3: Any, bucket: str, source: str) -> None:
    """What is missing is named: the source's bucket, its key, the copy's bucket. Nothing is made."""
    with refused(404, "NoSuchBucket"):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource="conf-not-there/source")
    with refused(404, "NoSuchKey"):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/not-there")
    with refused(404, "NoSuchBucket"):
        s3.copy_object(Bucket="conf-not-there", Key="copy", CopySource=source)
    assert status_of(s3.head_object, Bucket=bucket, Key="copy") == 404


@pytest.mark.parametrize(
    "value",
    [
        "",
        "/",
        "//",
        "only-a-bucket",
        "BUCKET/",
        "BUCKET/../x",
        "BUCKET/a//b",
        "BUCKET/%zz",
        "BUCKET/%ff",
        "BUCKET/source?versionId=7",
        "/BUCKET",
    ],
)
def test_source_that_is_none(wire: Any, bucket: str, source: str, value: str) -> None:
    """A source that names no object is refused, whatever is wrong with it."""
    answer = wire("PUT", bucket, "copy", headers={"x-amz-copy-source": value.replace("BUCKET", bucket)})
    assert (answer.status, answer.code) in [(400, "InvalidArgument"), (400, "InvalidBucketName"), (404, "NoSuchKey"), (404, "NoSuchBucket")]
    assert wire("HEAD", bucket, "copy").status == 404


@pytest.mark.parametrize("key", ["a b", "a+b", "a%2Bb", "é/ü", "a&b=c", "a#b", "🐘", "a%", "~!*'()"])
def test_odd_names(s3: Any, wire: Any, bucket: str, key: str) -> None:
    """The source is URL-encoded once, with or without a leading slash."""
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for form in (
        f"/{bucket}/{quote(key)}",
        f"{bucket}/{quote(key)}",
        quote(f"{bucket}/{key}", safe=""),
        f"{bucket}/{quote(key)}?versionId=null",
    ):
        assert wire("PUT", bucket, "copy", headers={"x-amz-copy-source": form}).status == 200
        assert wire("GET", bucket, "copy").body == key.encode()
        wire("DELETE", bucket, "copy")


def test_unknown_directive(wire: Any, bucket: str, source: str) -> None:
    """A directive that is neither COPY nor REPLACE is refused."""
    for name in ("x-amz-metadata-directive", "x-amz-tagging-directive"):
        answer = wire("PUT", bucket, "copy", headers={"x-amz-copy-source": source, name: "UPDATE"})
        assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_copy_of_a_multipart_object(s3: Any, bucket: str) -> None:
    """The copy of an object of several parts is the same bytes in one piece, with the ETag of its bytes."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key="source")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="source", UploadId=upload, PartNumber=1, Body=b"content")["ETag"]
    done = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="source", UploadId=upload, MultipartUpload=done)
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/source")
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"content"
    assert s3.head_object(Bucket=bucket, Key="copy")["ETag"] == part


def test_checksum_of_a_copy(s3: Any, bucket: str) -> None:
    """A copy has the checksum of its source, or the one that is asked for."""
    made = s3.put_object(Bucket=bucket, Key="source", Body=b"content", ChecksumAlgorithm="SHA256")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/source")
    assert s3.head_object(Bucket=bucket, Key="copy", ChecksumMode="ENABLED")["ChecksumSHA256"] == made["ChecksumSHA256"]
    s3.copy_object(Bucket=bucket, Key="other", CopySource=f"{bucket}/source", ChecksumAlgorithm="CRC32")
    expected = s3.put_object(Bucket=bucket, Key="plain", Body=b"content", ChecksumAlgorithm="CRC32")["ChecksumCRC32"]
    assert s3.head_object(Bucket=bucket, Key="other", ChecksumMode="ENABLED")["ChecksumCRC32"] == expected

"""Objects and buckets: the basics of s3-tests, tags, and deleting many."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.conformance.conftest import refused, status_of


def test_write_read_update_delete(s3: Any, bucket: str) -> None:
    """What was written last is read, and after a delete nothing is."""
    for body in (b"bar", b"soup", b"", b"x" * 1_000_000):
        s3.put_object(Bucket=bucket, Key="foo", Body=body)
        assert s3.get_object(Bucket=bucket, Key="foo")["Body"].read() == body
    s3.delete_object(Bucket=bucket, Key="foo")
    with refused(404, "NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="foo")
    assert s3.delete_object(Bucket=bucket, Key="foo")["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_missing_buckets(s3: Any) -> None:
    """Everything about a bucket that is not there is NoSuchBucket."""
    name = "conf-not-there"
    calls: list[tuple[str, dict[str, Any]]] = [
        ("put_object", {"Key": "k", "Body": b"x"}),
        ("get_object", {"Key": "k"}),
        ("delete_object", {"Key": "k"}),
        ("delete_objects", {"Delete": {"Objects": [{"Key": "k"}]}}),
        ("delete_bucket", {}),
        ("list_objects_v2", {}),
        ("list_multipart_uploads", {}),
        ("create_multipart_upload", {"Key": "k"}),
        ("get_bucket_tagging", {}),
        ("get_bucket_location", {}),
        ("get_bucket_versioning", {}),
        ("get_object_tagging", {"Key": "k"}),
    ]
    for call, arguments in calls:
        with refused(404, "NoSuchBucket"):
            getattr(s3, call)(Bucket=name, **arguments)
    assert status_of(s3.head_bucket, Bucket=name) == 404


def test_bucket_life(s3: Any, bucket: str) -> None:
    """A bucket with objects is not deleted; its owner may create it again without harm; empty, it goes."""
    s3.put_object(Bucket=bucket, Key="a/b/c", Body=b"x")
    with refused(409, "BucketNotEmpty"):
        s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    assert s3.get_object(Bucket=bucket, Key="a/b/c")["Body"].read() == b"x"
    s3.delete_object(Bucket=bucket, Key="a/b/c")
    s3.delete_bucket(Bucket=bucket)
    assert status_of(s3.head_bucket, Bucket=bucket) == 404
    assert bucket not in [one["Name"] for one in s3.list_buckets()["Buckets"]]


def test_bucket_with_an_upload(s3: Any, bucket: str) -> None:
    """A bucket whose upload is in progress may go; the upload goes with it, and another bucket of that name does not have it."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    assert status_of(s3.list_parts, Bucket=bucket, Key="k", UploadId=upload) == 404


@pytest.mark.parametrize("name", ["..", ".hidden", "a b", "a\x00b", "%ff", "a" * 256, ".alluxio-s3", "é"])
def test_bucket_names_that_are_none(wire: Any, name: str) -> None:
    """What no directory of ours may be called is no bucket, and nobody reaches the daemon's own."""
    assert wire("PUT", name).status == 400
    assert wire("GET", name).status in (400, 404)
    assert wire("PUT", name, "k", body=b"x").status in (400, 404)


def test_delete_many(s3: Any, bucket: str) -> None:
    """DeleteObjects names what it removed, existing or not; Quiet names errors only; more than 1,000 are refused."""
    keys = ["a", "b/c", "d e", "missing", "<&>"]
    for key in keys:
        if key != "missing":
            s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert [one["Key"] for one in answer["Deleted"]] == keys
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}, {"Key": "b//c"}], "Quiet": True})
    assert "Deleted" not in quiet
    assert [(one["Key"], one["Code"]) for one in quiet["Errors"]] == [("b//c", "InvalidArgument")]
    with refused(400, "MalformedXML"):
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": f"k{number}"} for number in range(1001)]})
    with refused(400, "MalformedXML"):
        s3.delete_objects(Bucket=bucket, Delete={"Objects": []})


@pytest.mark.parametrize(
    "body",
    [b"", b"<", b"<Delete/>", b"<Delet><Object><Key>k</Key></Object></Delet>", b"<Delete><Object/></Delete>", b"<!DOCTYPE x><Delete/>",
     b'<!DOCTYPE x [<!ENTITY e "k">]><Delete><Object><Key>&e;</Key></Object></Delete>', b"\xff\xfe<\0D\0", b"<a>" * 100_000,
     b"<Delete><Object><Key>k</Key><Surprise/></Object></Delete>", b"<Delete>" + b"<Object><Key>k</Key></Object>" * 5000 + b"</Delete>"],
)  # fmt: skip
def test_documents_that_are_none(wire: Any, bucket: str, body: bytes) -> None:
    """A document that cannot be read deletes nothing."""
    wire("PUT", bucket, "k", body=b"x")
    answer = wire("POST", bucket, query={"delete": ""}, body=body)
    assert (answer.status, answer.code) in [(400, "MalformedXML"), (400, "MissingRequestBodyError")]
    assert wire("HEAD", bucket, "k").status == 200


@pytest.mark.parametrize("count", [1, 10])
def test_tags(s3: Any, bucket: str, count: int) -> None:
    """Up to ten tags are kept, counted, replaced and removed, and leave the object as it is."""
    made = s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"a": "b"})["ETag"]
    tags = [{"Key": f"key {number}", "Value": "é+&=" if number % 2 else ""} for number in range(count)]
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags[:1]})
    with refused(400, "InvalidTag"):
        s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "x", "Value": "a&b"}]})
    tags = [{**tag, "Value": tag["Value"].replace("&", "@")} for tag in tags]
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags
    found = s3.get_object(Bucket=bucket, Key="k")
    assert (found["TagCount"], found["ETag"], found["Metadata"]) == (count, made, {"a": "b"})
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    assert "TagCount" not in s3.get_object(Bucket=bucket, Key="k")


@pytest.mark.parametrize(
    "tags",
    [
        [{"Key": f"k{number}", "Value": ""} for number in range(11)],
        [{"Key": "k" * 129, "Value": ""}],
        [{"Key": "k", "Value": "v" * 257}],
        [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}],
        [{"Key": "aws:k", "Value": "1"}],
    ],
)
def test_tags_that_are_refused(s3: Any, bucket: str, tags: list[dict[str, str]]) -> None:
    """Eleven tags, long ones, and a key that comes twice are refused; the old ones stay (s3-tests' put_excess_tags and so on)."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="old=1")
    assert status_of(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging={"TagSet": tags}) == 400
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "old", "Value": "1"}]


def test_largest_tags(s3: Any, bucket: str) -> None:
    """Ten tags of the largest size are kept, whatever the file system has room for in attributes."""
    tags = [{"Key": f"{number}" + "é" * 127, "Value": "ü" * 256} for number in range(10)]
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"m": "v" * 2000})
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags
    found = s3.get_object(Bucket=bucket, Key="k")
    assert (found["Body"].read(), found["Metadata"]) == (b"x", {"m": "v" * 2000})


def test_bucket_tags(s3: Any, bucket: str) -> None:
    """Buckets have tags; none is NoSuchTagSet."""
    with refused(404, "NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=bucket)
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "Hello", "Value": "World"}]})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "Hello", "Value": "World"}]
    s3.delete_bucket_tagging(Bucket=bucket)
    with refused(404, "NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=bucket)


@pytest.mark.parametrize(
    "method", ["get_object", pytest.param("put_object", marks=pytest.mark.needs("forms")), "head_object", "delete_object"]
)
def test_presigned(s3: Any, bucket: str, method: str) -> None:
    """Presigned URLs work from any HTTP client, and not after their time."""
    s3.put_object(Bucket=bucket, Key="a b", Body=b"x")
    url = s3.generate_presigned_url(method, Params={"Bucket": bucket, "Key": "a b"}, ExpiresIn=60)
    verb = method.partition("_")[0].upper()
    with urllib.request.urlopen(urllib.request.Request(url, b"y" if verb == "PUT" else None, method=verb)) as answer:
        assert answer.status in (200, 204)
    expired = s3.generate_presigned_url(method, Params={"Bucket": bucket, "Key": "a b"}, ExpiresIn=-60)
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(urllib.request.Request(expired, b"z" if verb == "PUT" else None, method=verb))
    assert refusal.value.code in (400, 403)


@pytest.mark.parametrize(
    ("method", "on", "query"),
    [("GET", "bucket", "acl"), ("PUT", "bucket", "policy"), ("DELETE", "bucket", "lifecycle"),
     ("GET", "bucket", "versions"), ("DELETE", "object", "acl"), ("DELETE", "object", "retention"), ("PUT", "object", "legal-hold"),
     ("POST", "object", "restore"), ("GET", "object", "torrent"), ("DELETE", "bucket", "surprise"), ("DELETE", "object", "surprise"),
     ("PUT", "object", "partNumber"), ("PUT", "object", "uploadId")],
)  # fmt: skip
def test_what_is_not_offered(wire: Any, bucket: str, method: str, on: str, query: str) -> None:
    """A sub-resource that is not known is refused, and never taken for the object or bucket itself."""
    wire("PUT", bucket, "k", body=b"kept")
    answer = wire(method, bucket, "k" if on == "object" else "", query={query: ""}, body=b"new" if method == "PUT" else b"")
    assert answer.status in (400, 405, 501)
    assert wire("GET", bucket, "k").body == b"kept"

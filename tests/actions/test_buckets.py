"""Buckets."""

from __future__ import annotations

from xml.etree.ElementTree import Element, fromstring

import pytest
import pytest_twisted
from attrs import evolve

import alluxio_s3.actions.everything  # noqa: F401  # fills the registry
from alluxio_s3.namespace.mounts import Mounted
from alluxio_s3.ufs.memory import MemoryUnderFileSystem

S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
CONFIGURATION = b'<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">%s</CreateBucketConfiguration>'


def names(body: bytes) -> list[str | None]:
    return [one.text for one in fromstring(body).iter(f"{S3}Name")]


def text(tree: Element, path: str) -> str | None:
    return tree.findtext("/".join(S3 + step for step in path.split("/")))


@pytest_twisted.ensureDeferred
async def test_life_of_a_bucket(bench):
    """A bucket that was made is found and listed with its date, and gone when it was removed."""
    made = await bench.ask("PUT", "/photos")
    assert (made.status, made.headers["Location"]) == (200, "/photos")
    found = await bench.ask("HEAD", "/photos")
    assert (found.status, found.headers["x-amz-bucket-region"], found.body) == (200, "us-east-1", b"")
    listed = fromstring((await bench.ask("GET", "/", user="bob")).body)
    assert listed.tag == f"{S3}ListAllMyBucketsResult"
    assert (text(listed, "Owner/ID"), text(listed, "Owner/DisplayName")) == ("bob", "bob")
    assert [one.text for one in listed.iter(f"{S3}Name")] == ["bucket", "photos"]
    assert text(listed, "Buckets/Bucket/CreationDate") == "2026-01-02T03:04:05.000Z"
    assert (await bench.ask("DELETE", "/photos")).status == 204
    assert (await bench.refusal("HEAD", "/photos")).code == "NoSuchBucket"
    assert (await bench.refusal("DELETE", "/photos")).code == "NoSuchBucket"


@pytest_twisted.ensureDeferred
async def test_buckets_in_pages(bench):
    """Pages of buckets together are all of them, and a prefix leaves out the others."""
    for name in ("a1", "a2", "a3", "c"):
        await bench.ask("PUT", f"/{name}")
    found, token = [], ""
    for _ in range(3):
        answer = await bench.ask("GET", f"/?max-buckets=2{token}")
        found.append(names(answer.body))
        following = text(fromstring(answer.body), "ContinuationToken")
        token = f"&continuation-token={following}"
    assert found == [["a1", "a2"], ["a3", "bucket"], ["c"]]
    assert following is None
    assert names((await bench.ask("GET", "/?prefix=a")).body) == ["a1", "a2", "a3"]
    assert names((await bench.ask("GET", "/?bucket-region=eu-west-1")).body) == []
    for bad in ("max-buckets=0", "max-buckets=10001", "max-buckets=x", "max-buckets=%C2%B2", "continuation-token=x"):
        assert (await bench.refusal("GET", f"/?{bad}")).code == "InvalidArgument"


@pytest_twisted.ensureDeferred
async def test_mounts_are_buckets(bench):
    """A mount is listed with the other buckets, and nobody makes or removes one by S3."""
    bench.services.namespace.mounts = {"mount": Mounted("memory://", MemoryUnderFileSystem(bench.clock, buckets=False))}
    assert names((await bench.ask("GET", "/")).body) == ["bucket", "mount"]
    assert (await bench.ask("HEAD", "/mount")).status == 200
    assert (await bench.refusal("PUT", "/mount")).code == "BucketAlreadyExists"
    assert (await bench.refusal("DELETE", "/mount")).code == "InvalidRequest"


@pytest_twisted.ensureDeferred
async def test_a_bucket_that_exists(bench):
    """One's own bucket can be made again, with nothing lost; another's is 409 BucketAlreadyExists."""
    await bench.ask("PUT", "/bucket/k", body=b"x")
    assert (await bench.ask("PUT", "/bucket")).status == 200
    assert (await bench.ask("GET", "/bucket/k")).body == b"x"
    error = await bench.refusal("PUT", "/bucket", user="bob")
    assert (error.code, error.status) == ("BucketAlreadyExists", 409)


@pytest_twisted.ensureDeferred
async def test_a_bucket_that_is_not_empty(bench):
    """A bucket with a key in it stays."""
    await bench.ask("PUT", "/bucket/deep/k", body=b"x")
    error = await bench.refusal("DELETE", "/bucket")
    assert (error.code, error.status) == ("BucketNotEmpty", 409)
    assert (await bench.ask("GET", "/bucket/deep/k")).body == b"x"


@pytest_twisted.ensureDeferred
async def test_names_of_buckets(bench):
    """With restrictions a new bucket's name follows S3's rules; without, a name that a store can hold will do."""
    assert (await bench.ask("PUT", "/Under_Score")).status == 200
    bench.limit(bucket_naming_restrictions=True)
    assert (await bench.refusal("PUT", "/Upper")).code == "InvalidBucketName"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", None),
        (CONFIGURATION % b"", None),
        (CONFIGURATION % b"<LocationConstraint>eu-west-1</LocationConstraint>", None),
        (CONFIGURATION % b"<LocationConstraint>no where</LocationConstraint>", "IllegalLocationConstraintException"),
        (CONFIGURATION % b"<Bucket><Type>Directory</Type></Bucket>", "NotImplemented"),
        (b"<Other/>", "MalformedXML"),
        (b"<CreateBucket", "MalformedXML"),
        (b" " * ((2 << 20) + 1), "MaxMessageLengthExceeded"),
    ],
)
async def test_configuration_of_a_bucket(bench, body, code):
    """A location is read and any will do; what else a configuration asks for, or what is none, is refused and makes nothing."""
    if code is None:
        assert (await bench.ask("PUT", "/b", body=body)).status == 200
    else:
        assert (await bench.refusal("PUT", "/b", body=body)).code == code
        assert (await bench.refusal("HEAD", "/b")).code == "NoSuchBucket"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-amz-acl": "private"}, None),
        ({"x-amz-acl": "public-read"}, "NotImplemented"),
        ({"x-amz-grant-read": "id=1"}, "NotImplemented"),
        ({"x-amz-bucket-object-lock-enabled": "false"}, None),
        ({"x-amz-bucket-object-lock-enabled": "true"}, "NotImplemented"),
    ],
)
async def test_what_a_bucket_cannot_have(bench, headers, code):
    """Access lists for others and object lock are 501, and no bucket without them is made instead."""
    if code is None:
        assert (await bench.ask("PUT", "/b", headers, b"")).status == 200
    else:
        assert (await bench.refusal("PUT", "/b", headers, b"")).code == code
        assert (await bench.refusal("HEAD", "/b")).code == "NoSuchBucket"


@pytest_twisted.ensureDeferred
async def test_location_and_versioning(bench):
    """The location of us-east-1 is empty, that of another region its name; versioning was never switched on."""
    assert fromstring((await bench.ask("GET", "/bucket?location")).body).text is None
    versioning = fromstring((await bench.ask("GET", "/bucket?versioning")).body)
    assert (versioning.tag, len(versioning)) == (f"{S3}VersioningConfiguration", 0)
    bench.services = evolve(bench.services, region="eu-west-1")
    assert fromstring((await bench.ask("GET", "/bucket?location")).body).text == "eu-west-1"
    assert (await bench.ask("HEAD", "/bucket")).headers["x-amz-bucket-region"] == "eu-west-1"
    for query in ("location", "versioning"):
        assert (await bench.refusal("GET", f"/none?{query}")).code == "NoSuchBucket"

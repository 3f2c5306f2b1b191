"""A daemon on an S3 store: what its clients see of one."""

from __future__ import annotations

import hashlib
import re
from random import Random

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.running import Daemon

MIB = 1 << 20


def client_of(endpoint, user="alice"):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=user,
        aws_secret_access_key="x",
        config=Config(s3={"addressing_style": "path"}),
    )


@pytest.fixture(scope="module")
def daemon(moto, tmp_path_factory):
    running = Daemon(tmp_path_factory.mktemp("s3-root"))
    root = moto.make_bucket()
    properties = {
        "alluxio.worker.s3.api.enabled": True,
        "alluxio.worker.rest.port": 0,
        "alluxio.worker.s3.bind.host": "127.0.0.1",
        "alluxio.dora.client.ufs.root": f"s3://{root}/data",
        "alluxio.underfs.s3.endpoint": moto.endpoint,
        "s3a.accessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "s3a.secretKey": "a-secret-of-ours",
    }
    with running:
        running.endpoint = running.start(properties)
        running.root = root
        yield running
        running.stop()
    assert not running.trouble
    assert "a-secret-of-ours" not in running.log


@pytest.fixture
def s3(daemon):
    client = client_of(daemon.endpoint)
    yield client
    client.close()


@pytest.fixture
def bucket(s3, request):
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    s3.create_bucket(Bucket=name)
    return name


def test_objects(s3, bucket, daemon, moto):
    """Objects come back as they were put, whole and in ranges, and are plain objects of the store."""
    data = Random(1).randbytes(3 * MIB)
    put = s3.put_object(Bucket=bucket, Key="dir/é", Body=data, Metadata={"a": "b"}, ContentType="text/plain", Tagging="x=y%20z")
    assert put["ETag"] == f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="dir/é", Range="bytes=5-1000004")
    assert (got["Body"].read(), got["Metadata"], got["ContentType"]) == (data[5:1000005], {"a": "b"}, "text/plain")
    assert s3.get_object_tagging(Bucket=bucket, Key="dir/é")["TagSet"] == [{"Key": "x", "Value": "y z"}]
    behind = client_of(moto.endpoint)
    assert behind.get_object(Bucket=daemon.root, Key=f"data/{bucket}/dir/é")["Body"].read() == data
    behind.close()
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [(one["Key"], one["Size"], one["ETag"]) for one in listed if not one["Key"].endswith("/")] == [("dir/é", len(data), put["ETag"])]
    s3.delete_object(Bucket=bucket, Key="dir/é")
    with pytest.raises(ClientError, match="404"):
        s3.head_object(Bucket=bucket, Key="dir/é")


def test_conditions(s3, bucket):
    """Conditional writes hold all the way down."""
    put = s3.put_object(Bucket=bucket, Key="a", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="a", Body=b"2", IfNoneMatch="*")
    s3.put_object(Bucket=bucket, Key="a", Body=b"3", IfMatch=put["ETag"])
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="a", Body=b"4", IfMatch=put["ETag"])
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"3"


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256", "CRC64NVME"])
def test_uploads(s3, bucket, algorithm):
    """A multipart upload with a checksum gives what S3 gives, and completing it again gives it again."""
    data = [Random(number).randbytes(5 * MIB + number) for number in (1, 2)]
    begun = s3.create_multipart_upload(Bucket=bucket, Key="a", ChecksumAlgorithm=algorithm, Metadata={"a": "b"}, Tagging="x=y")
    names = {"Bucket": bucket, "Key": "a", "UploadId": begun["UploadId"]}
    parts = []
    for number, piece in enumerate(data, 1):
        sent = s3.upload_part(**names, PartNumber=number, Body=piece, ChecksumAlgorithm=algorithm)
        parts.append({"PartNumber": number, "ETag": sent["ETag"], f"Checksum{algorithm}": sent[f"Checksum{algorithm}"]})
    assert [one["ETag"] for one in s3.list_parts(**names)["Parts"]] == [one["ETag"] for one in parts]
    done = s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
    again = s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
    assert done["ETag"] == again["ETag"] == s3.head_object(Bucket=bucket, Key="a")["ETag"]
    got = s3.get_object(Bucket=bucket, Key="a")
    assert (got["Body"].read(), got["Metadata"]) == (b"".join(data), {"a": "b"})
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == [{"Key": "x", "Value": "y"}]


def test_copies_and_tags(s3, bucket):
    """Copies take attributes and tags along, or others; tags change in place."""
    s3.put_object(Bucket=bucket, Key="a", Body=b"12345", Metadata={"a": "b"}, Tagging="x=y")
    s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    assert s3.head_object(Bucket=bucket, Key="b")["Metadata"] == {"a": "b"}
    assert s3.get_object_tagging(Bucket=bucket, Key="b")["TagSet"] == [{"Key": "x", "Value": "y"}]
    s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"}, Metadata={"c": "d"}, MetadataDirective="REPLACE")
    assert s3.head_object(Bucket=bucket, Key="b")["Metadata"] == {"c": "d"}
    s3.put_object_tagging(Bucket=bucket, Key="b", Tagging={"TagSet": [{"Key": "new", "Value": "1"}]})
    assert s3.get_object_tagging(Bucket=bucket, Key="b")["TagSet"] == [{"Key": "new", "Value": "1"}]
    s3.delete_object_tagging(Bucket=bucket, Key="b")
    assert s3.get_object_tagging(Bucket=bucket, Key="b")["TagSet"] == []
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "of", "Value": "bucket"}]})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "of", "Value": "bucket"}]


def test_buckets(s3, bucket, daemon):
    """A bucket has the owner who made it, is there once, and goes when it is empty."""
    assert bucket in [one["Name"] for one in s3.list_buckets()["Buckets"]]
    other = client_of(daemon.endpoint, "bob")
    with pytest.raises(ClientError, match="BucketAlreadyExists"):
        other.create_bucket(Bucket=bucket)
    other.close()
    s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        s3.delete_bucket(Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="a")
    s3.delete_bucket(Bucket=bucket)
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.put_object(Bucket=bucket, Key="a", Body=b"1")


def test_a_large_object(s3, bucket):
    """An object that is sent in one piece may be larger than what the store is given at once."""
    data = Random(3).randbytes(65 * MIB)
    s3.put_object(Bucket=bucket, Key="a", Body=data)
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == data


@pytest.mark.parametrize("last", [1000, 0])
def test_parts_of_what_others_made(s3, bucket, daemon, moto, last):
    """GET and HEAD of a part of an object that another program made of parts, the last of them perhaps empty; what is not there is none."""
    others = client_of(moto.endpoint)
    place = {"Bucket": daemon.root, "Key": f"data/{bucket}/theirs"}
    upload = place | {"UploadId": others.create_multipart_upload(**place)["UploadId"]}
    data = [Random(number).randbytes(size) for number, size in ((1, 5 * MIB), (2, 6 * MIB), (3, last))]
    tags = [others.upload_part(**upload, PartNumber=number, Body=one)["ETag"] for number, one in enumerate(data, 1)]
    parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
    others.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    others.close()
    ours = {"Bucket": bucket, "Key": "theirs"}
    for number, one in enumerate(data, 1):
        got = s3.get_object(**ours, PartNumber=number)
        status = 206 if one else 200  # no bytes are no range
        assert (got["Body"].read(), got["PartsCount"], got["ResponseMetadata"]["HTTPStatusCode"]) == (one, 3, status)
        found = s3.head_object(**ours, PartNumber=number)
        assert (found["ContentLength"], found["PartsCount"]) == (len(one), 3)
    with pytest.raises(ClientError, match="416"):
        s3.head_object(**ours, PartNumber=4)
    s3.put_object(Bucket=bucket, Key="whole", Body=b"whole")
    assert s3.get_object(Bucket=bucket, Key="whole", PartNumber=1)["Body"].read() == b"whole"

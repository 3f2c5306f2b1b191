"""A daemon with a mount on fsspec: what its clients see, and what other programs do."""

from __future__ import annotations

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.running import Daemon


@pytest.fixture
def s3(tmp_path):
    (tmp_path / "root").mkdir()
    running = Daemon(tmp_path / "daemon")
    with running:
        endpoint = running.start(
            {
                "alluxio.worker.s3.api.enabled": True,
                "alluxio.worker.rest.port": 0,
                "alluxio.worker.s3.bind.host": "127.0.0.1",
                "alluxio.dora.client.ufs.root": f"fsspec+file://{tmp_path / 'root'}",
            }
        )
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="alice",
            aws_secret_access_key="x",
            config=Config(s3={"addressing_style": "path"}),
        )
        yield client
        client.close()
        running.stop()
    assert not running.trouble


def test_objects(s3, tmp_path):
    """Objects are plain files; attributes, tags and multipart uploads work; a file of others is served, without attributes."""
    s3.create_bucket(Bucket="first")
    data = bytes(range(256)) * 8192
    put = s3.put_object(Bucket="first", Key="dir/é", Body=data, Metadata={"a": "b"}, ContentType="text/plain", Tagging="x=y")
    assert (tmp_path / "root/first/dir/é").read_bytes() == data
    got = s3.get_object(Bucket="first", Key="dir/é", Range="bytes=5-1000004")
    assert (got["Body"].read(), got["Metadata"], got["ContentType"]) == (data[5:1000005], {"a": "b"}, "text/plain")
    assert got["ETag"] == put["ETag"] == s3.list_objects_v2(Bucket="first", Prefix="dir/é")["Contents"][0]["ETag"]
    assert s3.get_object_tagging(Bucket="first", Key="dir/é")["TagSet"] == [{"Key": "x", "Value": "y"}]
    (tmp_path / "root/first/dir/é").write_bytes(b"others")
    got = s3.get_object(Bucket="first", Key="dir/é")
    assert (got["Body"].read(), got["Metadata"]) == (b"others", {})
    upload = s3.create_multipart_upload(Bucket="first", Key="large")["UploadId"]
    part = s3.upload_part(Bucket="first", Key="large", UploadId=upload, PartNumber=1, Body=data)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket="first", Key="large", UploadId=upload, MultipartUpload=parts)
    assert s3.get_object(Bucket="first", Key="large")["Body"].read() == data
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        s3.delete_bucket(Bucket="first")
    for key in ("large", "dir/é"):
        s3.delete_object(Bucket="first", Key=key)
    s3.delete_bucket(Bucket="first")
    assert [one.name for one in (tmp_path / "root").iterdir()] == [".alluxio-s3"]

"""What test_minio.py runs: `minio_client.py FUNCTION ENDPOINT BUCKET DIRECTORY`."""

from __future__ import annotations

import io
import sys
from datetime import timedelta
from pathlib import Path

import urllib3
from minio import Minio
from minio.commonconfig import REPLACE, ComposeSource, CopySource, Tags
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from tests.clients.samples import LARGE, MIB, PAGE, SIZES, digest, digest_of, random_bytes, random_file

PART = 5 * MIB


def connect(endpoint: str) -> Minio:
    """As `docs/clients.md` shows, but with one try."""
    scheme, host = endpoint.split("://")
    pool = urllib3.PoolManager(retries=urllib3.Retry(total=0), timeout=60)
    return Minio(endpoint=host, access_key="alice", secret_key="anything", secure=scheme == "https", http_client=pool)


def read(client: Minio, bucket: str, key: str, **more: int) -> bytes:
    answer = client.get_object(bucket_name=bucket, object_name=key, **more)
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()


def objects(endpoint: str, bucket: str, directory: str) -> None:
    """Objects of any size, of known and unknown length, can be put, described, got whole and in part, and removed."""
    client = connect(endpoint)
    for size in SIZES:
        body = random_bytes(size)
        key = f"dir/{size} é"
        put = client.put_object(
            bucket_name=bucket, object_name=key, data=io.BytesIO(body), length=size, part_size=PART, metadata={"owner": "alice"}
        )
        found = client.stat_object(bucket_name=bucket, object_name=key)
        assert (found.size, found.etag, found.metadata["x-amz-meta-owner"]) == (size, put.etag, "alice")
        assert digest(read(client, bucket, key)) == digest(body)
        client.put_object(bucket_name=bucket, object_name="stream", data=io.BytesIO(body), length=-1, part_size=PART)
        assert digest(read(client, bucket, "stream")) == digest(body)
        if size >= PAGE:
            assert read(client, bucket, key, offset=10, length=20) == body[10:30]
    sent = random_file(Path(directory) / "sent", LARGE)
    client.fput_object(bucket_name=bucket, object_name="file", file_path=f"{directory}/sent", part_size=PART)
    client.fget_object(bucket_name=bucket, object_name="file", file_path=f"{directory}/got")
    assert digest_of(Path(directory) / "got") == sent
    client.remove_object(bucket_name=bucket, object_name="file")
    try:
        client.stat_object(bucket_name=bucket, object_name="file")
    except S3Error as error:
        assert error.code == "NoSuchKey"
    else:
        raise AssertionError("the object is still there")


def listings(endpoint: str, bucket: str, _directory: str) -> None:
    """Listings of both versions, folded or not, and removal of many objects at once."""
    client = connect(endpoint)
    keys = ["a b", "a/1", "a/2", "a/é/3", "b+c"]
    for key in keys:
        client.put_object(bucket_name=bucket, object_name=key, data=io.BytesIO(b"x"), length=1)
    for old in (False, True):
        deep = [item.object_name for item in client.list_objects(bucket_name=bucket, recursive=True, use_api_v1=old)]
        assert [key for key in deep if not key.endswith("/")] == sorted(keys, key=str.encode)
        flat = client.list_objects(bucket_name=bucket, use_api_v1=old)
        assert {item.object_name: item.is_dir for item in flat} == {"a b": False, "a/": True, "b+c": False}
        after = client.list_objects(bucket_name=bucket, prefix="a/", start_after="a/1", recursive=True, use_api_v1=old)
        assert [item.object_name for item in after if not item.object_name.endswith("/")] == ["a/2", "a/é/3"]
    assert list(client.remove_objects(bucket_name=bucket, delete_object_list=[DeleteObject(name=key) for key in keys])) == []
    assert [
        item.object_name for item in client.list_objects(bucket_name=bucket, recursive=True) if not item.object_name.endswith("/")
    ] == []


def copies(endpoint: str, bucket: str, _directory: str) -> None:
    """Objects can be copied, with new metadata too, and composed of several others and of ranges of them."""
    client = connect(endpoint)
    bodies = [random_bytes(PART), random_bytes(PART + 1), random_bytes(PAGE)]
    for number, body in enumerate(bodies):
        client.put_object(bucket_name=bucket, object_name=f"part {number}", data=io.BytesIO(body), length=len(body))
    client.copy_object(bucket_name=bucket, object_name="copy", source=CopySource(bucket_name=bucket, object_name="part 0"))
    assert digest(read(client, bucket, "copy")) == digest(bodies[0])
    client.copy_object(
        bucket_name=bucket,
        object_name="copy",
        source=CopySource(bucket_name=bucket, object_name="copy"),
        metadata={"new": "1"},
        metadata_directive=REPLACE,
    )
    assert client.stat_object(bucket_name=bucket, object_name="copy").metadata["x-amz-meta-new"] == "1"
    sources = [ComposeSource(bucket_name=bucket, object_name=f"part {number}") for number in range(2)]
    sources.append(ComposeSource(bucket_name=bucket, object_name="part 2", offset=10, length=100))
    client.compose_object(bucket_name=bucket, object_name="whole", sources=sources)
    assert digest(read(client, bucket, "whole")) == digest(bodies[0] + bodies[1] + bodies[2][10:110])


def tags(endpoint: str, bucket: str, _directory: str) -> None:
    """Objects and buckets have tags, which can be set, read and removed."""
    client = connect(endpoint)
    wanted = Tags.new_object_tags()
    wanted["team"] = "a b/é"
    client.put_object(bucket_name=bucket, object_name="k", data=io.BytesIO(b"x"), length=1, tags=wanted)
    assert dict(client.get_object_tags(bucket_name=bucket, object_name="k") or {}) == {"team": "a b/é"}
    wanted["more"] = "1"
    client.set_object_tags(bucket_name=bucket, object_name="k", tags=wanted)
    assert dict(client.get_object_tags(bucket_name=bucket, object_name="k") or {}) == {"team": "a b/é", "more": "1"}
    client.delete_object_tags(bucket_name=bucket, object_name="k")
    assert not client.get_object_tags(bucket_name=bucket, object_name="k")
    bucket_tags = Tags.new_bucket_tags()
    bucket_tags["cost"] = "0"
    client.set_bucket_tags(bucket_name=bucket, tags=bucket_tags)
    assert dict(client.get_bucket_tags(bucket_name=bucket) or {}) == {"cost": "0"}
    client.delete_bucket_tags(bucket_name=bucket)
    assert client.get_bucket_tags(bucket_name=bucket) is None


def buckets_and_urls(endpoint: str, bucket: str, _directory: str) -> None:
    """Buckets can be made, found and removed; presigned URLs upload and download."""
    client = connect(endpoint)
    client.make_bucket(bucket_name=f"{bucket}-two")
    assert client.bucket_exists(bucket_name=f"{bucket}-two")
    assert f"{bucket}-two" in [found.name for found in client.list_buckets()]
    client.remove_bucket(bucket_name=f"{bucket}-two")
    assert not client.bucket_exists(bucket_name=f"{bucket}-two")
    body = random_bytes(PAGE)
    plain = urllib3.PoolManager()
    url = client.presigned_put_object(bucket_name=bucket, object_name="a b+é", expires=timedelta(minutes=1))
    assert plain.request("PUT", url, body=body).status == 200
    url = client.presigned_get_object(bucket_name=bucket, object_name="a b+é", expires=timedelta(minutes=1))
    assert digest(plain.request("GET", url).data) == digest(body)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])

"""boto3: buckets, their errors, and the script on the documentation's page."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError

pytestmark = pytest.mark.ci


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    response = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def test_the_documented_script(endpoint: str, bucket: str) -> None:
    """The page's own example lists the buckets: an endpoint, a user name, and a secret that nobody checks."""
    s3 = boto3.client(service_name="s3", aws_access_key_id="alluxio", aws_secret_access_key="SK...", endpoint_url=endpoint)
    assert bucket in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]


def test_life_of_a_bucket(s3: Any, new_bucket: Any) -> None:
    """A bucket can be made, found, listed and removed, and is gone then."""
    name = new_bucket()
    assert s3.head_bucket(Bucket=name)["ResponseMetadata"]["HTTPStatusCode"] == 200
    buckets = {entry["Name"]: entry for entry in s3.list_buckets()["Buckets"]}
    assert buckets[name]["CreationDate"].year > 2000
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] in (None, "us-east-1")
    assert s3.get_bucket_versioning(Bucket=name).get("Status") in (None, "Suspended")
    s3.delete_bucket(Bucket=name)
    with pytest.raises(ClientError) as error:
        s3.head_bucket(Bucket=name)
    assert code_of(error)[0] == 404
    assert name not in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]


def test_bucket_that_exists(s3: Any, bucket: str) -> None:
    """Making one's own bucket again succeeds, as it does in us-east-1, and loses nothing."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.create_bucket(Bucket=bucket)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_bucket_that_is_not_empty(s3: Any, bucket: str) -> None:
    """A bucket with an object in it is not removed: 409 BucketNotEmpty."""
    s3.put_object(Bucket=bucket, Key="deep/er/k", Body=b"x")
    with pytest.raises(ClientError) as error:
        s3.delete_bucket(Bucket=bucket)
    assert code_of(error) == (409, "BucketNotEmpty")
    s3.delete_object(Bucket=bucket, Key="deep/er/k")
    s3.delete_bucket(Bucket=bucket)


def test_missing_bucket(s3: Any) -> None:
    """Every call on a bucket that is not there is 404 NoSuchBucket."""
    name = "clients-no-such-bucket"
    calls = (
        lambda: s3.list_objects_v2(Bucket=name),
        lambda: s3.list_objects(Bucket=name),
        lambda: s3.get_object(Bucket=name, Key="k"),
        lambda: s3.put_object(Bucket=name, Key="k", Body=b"x"),
        lambda: s3.delete_object(Bucket=name, Key="k"),
        lambda: s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "k"}]}),
        lambda: s3.create_multipart_upload(Bucket=name, Key="k"),
        lambda: s3.list_multipart_uploads(Bucket=name),
        lambda: s3.get_bucket_location(Bucket=name),
        lambda: s3.delete_bucket(Bucket=name),
        lambda: s3.get_bucket_tagging(Bucket=name),
    )
    for call in calls:
        with pytest.raises(ClientError) as error:
            call()
        assert code_of(error) == (404, "NoSuchBucket")


def test_missing_key(s3: Any, bucket: str) -> None:
    """A key that is not there is 404 NoSuchKey, with the key and a request id in the error."""
    with pytest.raises(s3.exceptions.NoSuchKey) as error:
        s3.get_object(Bucket=bucket, Key="absent/é")
    response = error.value.response
    assert response["Error"]["Key"] == "absent/é"
    assert response["ResponseMetadata"]["RequestId"]
    for call in (s3.get_object_tagging, s3.get_object_attributes):
        more = {"ObjectAttributes": ["ETag"]} if call == s3.get_object_attributes else {}
        with pytest.raises(ClientError) as missing:
            call(Bucket=bucket, Key="absent", **more)
        assert code_of(missing) == (404, "NoSuchKey")


def test_bucket_tags(s3: Any, bucket: str) -> None:
    """A bucket's tags can be set, read and removed; without any, reading them is 404 NoSuchTagSet."""
    with pytest.raises(ClientError) as error:
        s3.get_bucket_tagging(Bucket=bucket)
    assert code_of(error) == (404, "NoSuchTagSet")
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "team", "Value": "ä b"}]})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "team", "Value": "ä b"}]
    s3.delete_bucket_tagging(Bucket=bucket)
    with pytest.raises(ClientError) as error:
        s3.get_bucket_tagging(Bucket=bucket)
    assert code_of(error) == (404, "NoSuchTagSet")


def test_what_is_not_offered(s3: Any, bucket: str, daemon: Any) -> None:
    """A sub-resource that is not offered is 501 NotImplemented, and touches nothing."""
    if not daemon.ours:
        pytest.skip("other servers offer them")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    calls = (
        lambda: s3.get_object_acl(Bucket=bucket, Key="k"),
        lambda: s3.put_object_acl(Bucket=bucket, Key="k", ACL="private"),
        lambda: s3.get_bucket_policy(Bucket=bucket),
        lambda: s3.delete_bucket_policy(Bucket=bucket),
        lambda: s3.get_bucket_lifecycle_configuration(Bucket=bucket),
        lambda: s3.delete_bucket_lifecycle(Bucket=bucket),
        lambda: s3.delete_bucket_website(Bucket=bucket),
        lambda: s3.get_object_retention(Bucket=bucket, Key="k"),
        lambda: s3.list_object_versions(Bucket=bucket),
    )
    for call in calls:
        with pytest.raises(ClientError) as error:
            call()
        assert code_of(error) == (501, "NotImplemented")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_without_credentials(make_client: Any, bucket: str) -> None:
    """An unsigned client works too: it acts as the user that runs the daemon."""
    anonymous = make_client(signature_version=UNSIGNED)
    anonymous.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert anonymous.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_signature_version_two(make_client: Any, bucket: str) -> None:
    """A client that still signs with version 2 works."""
    old = make_client(signature_version="s3")
    old.put_object(Bucket=bucket, Key="k k", Body=b"x")
    assert old.get_object(Bucket=bucket, Key="k k")["Body"].read() == b"x"

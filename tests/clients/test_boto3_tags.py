"""boto3: tags of objects."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.ci


def test_object_tags(s3: Any, bucket: str) -> None:
    """Tags given with PUT or afterwards can be read, replaced and removed, and HEAD counts them."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="team=a%20b&empty=&%C3%A9=%2B")
    expected = [{"Key": "empty", "Value": ""}, {"Key": "team", "Value": "a b"}, {"Key": "é", "Value": "+"}]
    assert sorted(s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"], key=lambda tag: tag["Key"]) == expected
    assert s3.get_object(Bucket=bucket, Key="k")["TagCount"] == 3
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "new", "Value": "1"}]})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "new", "Value": "1"}]
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_tags_and_copies(s3: Any, bucket: str) -> None:
    """A copy has its source's tags, or with TaggingDirective=REPLACE the request's."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="a=1")
    source = {"Bucket": bucket, "Key": "k"}
    s3.copy_object(Bucket=bucket, Key="same", CopySource=source)
    assert s3.get_object_tagging(Bucket=bucket, Key="same")["TagSet"] == [{"Key": "a", "Value": "1"}]
    s3.copy_object(Bucket=bucket, Key="other", CopySource=source, TaggingDirective="REPLACE", Tagging="b=2")
    assert s3.get_object_tagging(Bucket=bucket, Key="other")["TagSet"] == [{"Key": "b", "Value": "2"}]


@pytest.mark.parametrize(
    "tags",
    [
        [{"Key": str(number), "Value": ""} for number in range(11)],
        [{"Key": "k" * 129, "Value": ""}],
        [{"Key": "k", "Value": "v" * 257}],
        [{"Key": "twice", "Value": "1"}, {"Key": "twice", "Value": "2"}],
    ],
    ids=["eleven", "long key", "long value", "twice"],
)
def test_too_many_tags(s3: Any, bucket: str, tags: list[dict[str, str]]) -> None:
    """More than ten tags, a key over 128 or a value over 256 characters, and a repeated key are refused with a 400."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with pytest.raises(ClientError) as error:
        s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags})
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []

"""boto3: multipart uploads, made by its transfer manager and by hand."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tests.clients.samples import LARGE, MIB, OVER_A_PART, PAGE, digest, digest_of, random_bytes, random_file

pytestmark = pytest.mark.ci

PART = 5 * MIB


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


def multipart_etag(parts: list[bytes]) -> str:
    """The ETag that S3 gives to an object made of *parts*."""
    inner = b"".join(hashlib.md5(part).digest() for part in parts)
    return f'"{hashlib.md5(inner).hexdigest()}-{len(parts)}"'


def upload_parts(s3: Any, bucket: str, key: str, upload: str, parts: list[bytes]) -> list[dict[str, Any]]:
    """Send *parts*, the last one first, and return what CompleteMultipartUpload wants to know of them."""
    done = []
    for number, part in reversed(list(enumerate(parts, 1))):
        answer = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=part)
        done.append({"PartNumber": number, "ETag": answer["ETag"]})
    return done[::-1]


@pytest.mark.needs("digests as ETags")
def test_upload_file(s3: Any, bucket: str, tmp_path: Path) -> None:
    """upload_file splits 20 MiB into parts, in parallel, and download_file brings the same bytes back."""
    sent = random_file(tmp_path / "sent", LARGE)
    s3.upload_file(str(tmp_path / "sent"), bucket, "dir/large", ExtraArgs={"Metadata": {"a": "b"}, "ContentType": "text/csv"})
    head = s3.head_object(Bucket=bucket, Key="dir/large")
    assert (head["ContentLength"], head["Metadata"], head["ContentType"]) == (LARGE, {"a": "b"}, "text/csv")
    assert head["ETag"].endswith('-3"')
    s3.download_file(bucket, "dir/large", str(tmp_path / "got"))
    assert digest_of(tmp_path / "got") == sent


@pytest.mark.needs("digests as ETags")
def test_parts_by_hand(s3: Any, bucket: str) -> None:
    """Parts sent in any order become one object with S3's ETag; until then nothing of it is to be seen."""
    parts = [random_bytes(PART), random_bytes(PART), random_bytes(1)]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", Metadata={"m": "1"}, Tagging="t=1")["UploadId"]
    done = upload_parts(s3, bucket, "k", upload, parts)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    listed = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)["Parts"]
    assert [(part["PartNumber"], part["Size"], part["ETag"]) for part in listed] == [
        (number, len(part), f'"{hashlib.md5(part).hexdigest()}"') for number, part in enumerate(parts, 1)
    ]
    assert [entry["UploadId"] for entry in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
    answer = s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": done})
    assert answer["ETag"] == multipart_etag(parts)
    got = s3.get_object(Bucket=bucket, Key="k")
    assert (got["ETag"], got["Metadata"], got["TagCount"]) == (answer["ETag"], {"m": "1"}, 1)
    assert digest(got["Body"].read()) == digest(b"".join(parts))
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


@pytest.mark.needs("part sizes")
def test_a_part_can_be_read(s3: Any, bucket: str) -> None:
    """GET and HEAD with a part number give that part of the object, and how many there are."""
    parts = [random_bytes(PART), random_bytes(PAGE)]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    done = upload_parts(s3, bucket, "k", upload, parts)
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": done})
    got = s3.get_object(Bucket=bucket, Key="k", PartNumber=2)
    assert digest(got["Body"].read()) == digest(parts[1])
    assert got["PartsCount"] == 2
    head = s3.head_object(Bucket=bucket, Key="k", PartNumber=1)
    assert (head["ContentLength"], head["PartsCount"]) == (PART, 2)


def test_a_part_sent_twice(s3: Any, bucket: str) -> None:
    """The last of two parts with one number counts, and numbers may have gaps."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=7, Body=b"never")
    body = random_bytes(PAGE)
    etag = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=7, Body=body)["ETag"]
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 7, "ETag": etag}]})
    assert digest(s3.get_object(Bucket=bucket, Key="k")["Body"].read()) == digest(body)


def test_upload_part_copy(s3: Any, bucket: str) -> None:
    """Parts can be copied from objects, whole or by range."""
    body = random_bytes(OVER_A_PART + PART)
    s3.put_object(Bucket=bucket, Key="source +é", Body=body)
    source = {"Bucket": bucket, "Key": "source +é"}
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    done = []
    for number, (first, last) in enumerate([(0, PART - 1), (PART, len(body) - 1)], 1):
        answer = s3.upload_part_copy(
            Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, CopySource=source, CopySourceRange=f"bytes={first}-{last}"
        )
        assert answer["CopyPartResult"]["ETag"] == f'"{hashlib.md5(body[first : last + 1]).hexdigest()}"'
        done.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": done})
    assert digest(s3.get_object(Bucket=bucket, Key="k")["Body"].read()) == digest(body)


def test_managed_copy(s3: Any, bucket: str, new_bucket: Any) -> None:
    """The transfer manager's copy makes parts of a large object, and the copy has the same bytes."""
    body = random_bytes(LARGE)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    other = new_bucket()
    s3.copy({"Bucket": bucket, "Key": "k"}, other, "copy", Config=TransferConfig(multipart_threshold=PART, multipart_chunksize=8 * MIB))
    assert digest(s3.get_object(Bucket=other, Key="copy")["Body"].read()) == digest(body)


def test_abort(s3: Any, bucket: str) -> None:
    """An aborted upload is gone, with its parts, and its bucket can be removed."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)
    for call in (
        lambda: s3.list_parts(Bucket=bucket, Key="k", UploadId=upload),
        lambda: s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x"),
        lambda: s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload),
    ):
        with pytest.raises(ClientError) as error:
            call()
        assert code_of(error) == "NoSuchUpload"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    s3.delete_bucket(Bucket=bucket)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda parts: parts[::-1], "InvalidPartOrder"),
        (lambda parts: [*parts, {"PartNumber": 9, "ETag": parts[0]["ETag"]}], "InvalidPart"),
        (lambda parts: [{"PartNumber": 1, "ETag": '"00000000000000000000000000000000"'}, parts[1]], "InvalidPart"),
    ],
    ids=["order", "absent", "wrong etag"],
)
def test_refused_completions(s3: Any, bucket: str, change: Any, code: str) -> None:
    """A list of parts that doesn't fit what was sent is refused, and the upload can still be completed."""
    parts = [random_bytes(PART), b"end"]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    done = upload_parts(s3, bucket, "k", upload, parts)
    with pytest.raises(ClientError) as error:
        s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": change(done)})
    assert code_of(error) == code
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": done})
    assert digest(s3.get_object(Bucket=bucket, Key="k")["Body"].read()) == digest(b"".join(parts))


def test_small_part(s3: Any, bucket: str) -> None:
    """A part under 5 MiB that is not the last one is EntityTooSmall."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    done = upload_parts(s3, bucket, "k", upload, [b"small", b"end"])
    with pytest.raises(ClientError) as error:
        s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": done})
    assert code_of(error) == "EntityTooSmall"


def test_completing_twice(s3: Any, bucket: str) -> None:
    """A client that lost the answer to its completion asks again, and gets the same answer."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    done = upload_parts(s3, bucket, "k", upload, [b"all"])
    asked = {"Bucket": bucket, "Key": "k", "UploadId": upload, "MultipartUpload": {"Parts": done}}
    first = s3.complete_multipart_upload(**asked)
    assert s3.complete_multipart_upload(**asked)["ETag"] == first["ETag"]


def test_conditional_completion(s3: Any, bucket: str) -> None:
    """If-None-Match: * on the completion keeps what came first."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    done = upload_parts(s3, bucket, "k", upload, [b"late"])
    s3.put_object(Bucket=bucket, Key="k", Body=b"first")
    with pytest.raises(ClientError) as error:
        s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": done}, IfNoneMatch="*")
    assert code_of(error) == "PreconditionFailed"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"first"


def test_lists_of_uploads_and_parts(s3: Any, bucket: str) -> None:
    """Uploads are listed by key and prefix, and parts in pages."""
    uploads = {key: s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"] for key in ("a/1", "a/2", "b")}
    listed = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert {entry["Key"]: entry["UploadId"] for entry in listed} == uploads
    assert [entry["Key"] for entry in s3.list_multipart_uploads(Bucket=bucket, Prefix="a/")["Uploads"]] == ["a/1", "a/2"]
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1})
    assert [entry["Key"] for page in pages for entry in page["Uploads"]] == ["a/1", "a/2", "b"]
    upload_parts(s3, bucket, "b", uploads["b"], [b"1", b"2", b"3"])
    pages = s3.get_paginator("list_parts").paginate(Bucket=bucket, Key="b", UploadId=uploads["b"], PaginationConfig={"PageSize": 2})
    assert [part["PartNumber"] for page in pages for part in page["Parts"]] == [1, 2, 3]

"""boto3: every checksum algorithm that it can compute, sent, kept, returned and verified."""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.samples import MIB, PAGE, SIZES, digest, random_bytes

pytestmark = pytest.mark.ci

# CRC64NVME needs botocore[crt], which the development environment has for the daemon's own sake.
ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
PART = 5 * MIB


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.needs("checksums")
def test_checksums_of_a_put(s3: Any, bucket: str, algorithm: str, size: int) -> None:
    """A checksum that came with a PUT is in its answer, and comes with HEAD and GET when it is asked for; boto3 verifies GET's."""
    body = random_bytes(size)
    field = f"Checksum{algorithm}"
    sent = s3.put_object(Bucket=bucket, Key="k", Body=body, ChecksumAlgorithm=algorithm)[field]
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert digest(got["Body"].read()) == digest(body)
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (got[field], head[field]) == (sent, sent)
    attributes = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum"])
    assert attributes["Checksum"][field] == sent


@pytest.mark.needs("checksums")
def test_default_checksum(s3: Any, bucket: str) -> None:
    """Without being asked boto3 sends CRC32, and it is kept."""
    body = random_bytes(PAGE)
    answer = s3.put_object(Bucket=bucket, Key="k", Body=body)
    expected = base64.b64encode(zlib.crc32(body).to_bytes(4)).decode()
    assert answer["ChecksumCRC32"] == expected
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumCRC32"] == expected


@pytest.mark.parametrize("setting", ["when_supported", "when_required"])
def test_checksum_settings(make_client: Any, bucket: str, setting: str) -> None:
    """Both settings of boto3's checksum calculation and validation work for PUT, GET and DeleteObjects."""
    s3 = make_client(request_checksum_calculation=setting, response_checksum_validation=setting)
    body = random_bytes(PAGE)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    assert digest(s3.get_object(Bucket=bucket, Key="k")["Body"].read()) == digest(body)
    assert [entry["Key"] for entry in s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}]})["Deleted"]] == ["k"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"ChecksumSHA256": base64.b64encode(bytes(32)).decode()},
        {"ChecksumCRC32": "AAAAAA=="},
        {"ContentMD5": base64.b64encode(bytes(16)).decode()},
    ],
    ids=["sha256", "crc32", "md5"],
)
def test_wrong_checksums(s3: Any, bucket: str, wrong: dict[str, str]) -> None:
    """A body that is not what its checksum says is refused with 400 BadDigest, and the old object stays."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"new", **wrong)
    assert error.value.response["Error"]["Code"] == "BadDigest"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"


def test_content_md5(s3: Any, bucket: str) -> None:
    """A correct Content-MD5 is taken, and one that is none is 400 InvalidDigest."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5=base64.b64encode(hashlib.md5(b"x").digest()).decode())
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5="not base64")
    assert error.value.response["Error"]["Code"] == "InvalidDigest"


@pytest.mark.parametrize(
    "algorithm", [pytest.param(name, marks=pytest.mark.needs("CRC32C of parts") if name == "CRC32C" else ()) for name in ALGORITHMS]
)
@pytest.mark.needs("checksums")
def test_checksums_of_parts(s3: Any, bucket: str, algorithm: str) -> None:
    """Parts have checksums, and so has the object that they become: one of its own bytes for CRC64NVME, one of the parts' otherwise."""
    field = f"Checksum{algorithm}"
    parts = [random_bytes(PART), random_bytes(PAGE)]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm)["UploadId"]
    done = []
    for number, part in enumerate(parts, 1):
        answer = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=part, ChecksumAlgorithm=algorithm)
        done.append({"PartNumber": number, "ETag": answer["ETag"], field: answer[field]})
    listed = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)["Parts"]
    assert [part[field] for part in listed] == [part[field] for part in done]
    answer = s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": done})
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[field] == answer[field]
    whole = algorithm == "CRC64NVME"
    assert answer[field].endswith("-2") is not whole
    if not whole and algorithm in ("SHA1", "SHA256"):
        inner = b"".join(base64.b64decode(part[field]) for part in done)
        assert answer[field] == base64.b64encode(hashlib.new(algorithm, inner).digest()).decode() + "-2"
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert digest(got["Body"].read()) == digest(b"".join(parts))


def test_full_object_crc_of_parts(s3: Any, bucket: str) -> None:
    """A CRC32 of type FULL_OBJECT is the CRC of the whole, put together from those of the parts."""
    parts = [random_bytes(PART), random_bytes(PAGE)]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")["UploadId"]
    done = []
    for number, part in enumerate(parts, 1):
        answer = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=part, ChecksumAlgorithm="CRC32")
        done.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32": answer["ChecksumCRC32"]})
    answer = s3.complete_multipart_upload(
        Bucket=bucket, Key="k", UploadId=upload, ChecksumType="FULL_OBJECT", MultipartUpload={"Parts": done}
    )
    assert answer["ChecksumCRC32"] == base64.b64encode(zlib.crc32(b"".join(parts)).to_bytes(4)).decode()
    assert answer["ChecksumType"] == "FULL_OBJECT"


def test_a_range_has_no_whole_checksum(s3: Any, bucket: str) -> None:
    """A range of an object with a checksum can be read with checksum mode on: the checksum is not that of the range."""
    body = random_bytes(PAGE)
    s3.put_object(Bucket=bucket, Key="k", Body=body, ChecksumAlgorithm="CRC32")
    got = s3.get_object(Bucket=bucket, Key="k", Range="bytes=10-19", ChecksumMode="ENABLED")
    assert got["Body"].read() == body[10:20]

"""Multipart uploads."""

from __future__ import annotations

import base64
import hashlib
import threading
from typing import Any

import pytest

from tests.conformance.conftest import MIN_PART, refused, status_of

PART = bytes(range(256)) * (MIN_PART // 256)


def begin(s3: Any, bucket: str, key: str = "k", **asked: Any) -> str:
    """The id of a new upload."""
    return str(s3.create_multipart_upload(Bucket=bucket, Key=key, **asked)["UploadId"])


def send(s3: Any, bucket: str, upload: str, *bodies: bytes, key: str = "k", first: int = 1, **asked: Any) -> list[dict[str, Any]]:
    """The parts, as CompleteMultipartUpload wants them."""
    sent = []
    for number, body in enumerate(bodies, first):
        answer = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body, **asked)
        sent.append({"PartNumber": number, "ETag": answer["ETag"]})
    return sent


def complete(s3: Any, bucket: str, upload: str, parts: list[dict[str, Any]], key: str = "k", **asked: Any) -> Any:
    """CompleteMultipartUpload."""
    return s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, **asked)


@pytest.mark.parametrize(
    "sizes", [(5,), (MIN_PART,), (MIN_PART, 1), (MIN_PART, MIN_PART, 7), (MIN_PART + 1, MIN_PART, MIN_PART + 13, 3), (0,)]
)
def test_whole(s3: Any, bucket: str, sizes: tuple[int, ...]) -> None:
    """The object is its parts in order; its ETag is S3's of them; its attributes are those of the beginning."""
    upload = begin(s3, bucket, ContentType="text/foo", Metadata={"foo": "bar"}, Tagging="a=b", CacheControl="no-cache")
    bodies = [bytes([number]) * size for number, size in enumerate(sizes, 65)]
    parts = send(s3, bucket, upload, *bodies)
    done = complete(s3, bucket, upload, parts)
    digests = b"".join(hashlib.md5(body).digest() for body in bodies)
    assert done["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-{len(sizes)}"'
    found = s3.get_object(Bucket=bucket, Key="k")
    assert found["Body"].read() == b"".join(bodies)
    assert (found["ETag"], found["ContentType"], found["Metadata"], found["CacheControl"]) == (
        done["ETag"], "text/foo", {"foo": "bar"}, "no-cache",
    )  # fmt: skip
    assert found["TagCount"] == 1
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["ETag"] == done["ETag"]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_nothing_is_seen_before_complete(s3: Any, bucket: str) -> None:
    """Parts are in no listing and their key has no object until Complete; and not after Abort."""
    upload = begin(s3, bucket)
    send(s3, bucket, upload, PART)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert status_of(s3.head_object, Bucket=bucket, Key="k") == 404
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)
    assert status_of(s3.head_object, Bucket=bucket, Key="k") == 404
    with refused(404, "NoSuchUpload"):
        s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)


def test_empty_list(s3: Any, bucket: str) -> None:
    """Complete without parts is MalformedXML."""
    upload = begin(s3, bucket)
    with refused(400, "MalformedXML"):
        complete(s3, bucket, upload, [])


def test_too_small(s3: Any, bucket: str) -> None:
    """A part that is not the last must have the least size; the upload stays."""
    upload = begin(s3, bucket)
    parts = send(s3, bucket, upload, b"a" * (MIN_PART - 1), b"b")
    with refused(400, "EntityTooSmall"):
        complete(s3, bucket, upload, parts)
    again = send(s3, bucket, upload, b"a" * MIN_PART)
    complete(s3, bucket, upload, [again[0], parts[1]])


def test_missing_and_wrong_parts(s3: Any, bucket: str) -> None:
    """A part that was not sent, or has another ETag, is InvalidPart; out of order is InvalidPartOrder."""
    upload = begin(s3, bucket)
    one, two = send(s3, bucket, upload, PART, b"x")
    with refused(400, "InvalidPart"):
        complete(s3, bucket, upload, [one, {"PartNumber": 9999, "ETag": two["ETag"]}])
    with refused(400, "InvalidPart"):
        complete(s3, bucket, upload, [one, {"PartNumber": 2, "ETag": '"' + "f" * 32 + '"'}])
    with refused(400, "InvalidPartOrder"):
        complete(s3, bucket, upload, [two, one])
    with refused(400, "InvalidPartOrder"):
        complete(s3, bucket, upload, [one, one])
    complete(s3, bucket, upload, [one, two])


def test_chosen_and_replaced_parts(s3: Any, bucket: str) -> None:
    """A part sent again replaces the former; parts that are not listed are left out; numbers may have gaps."""
    upload = begin(s3, bucket)
    send(s3, bucket, upload, b"old" * MIN_PART)
    one = send(s3, bucket, upload, PART)[0]
    send(s3, bucket, upload, b"left out", first=5)
    last = send(s3, bucket, upload, b"end", first=10_000)[0]
    complete(s3, bucket, upload, [one, last])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == PART + b"end"


@pytest.mark.parametrize("number", ["0", "10001", "-1", "a", "1.0", ""])
def test_part_numbers(wire: Any, s3: Any, bucket: str, number: str) -> None:
    """Part numbers are 1 to 10,000."""
    upload = begin(s3, bucket)
    answer = wire("PUT", f"{bucket}", "k", query={"partNumber": number, "uploadId": upload}, body=b"x")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_again_is_the_same(s3: Any, bucket: str) -> None:
    """Complete again answers the same, also when the object was replaced since, and changes nothing."""
    upload = begin(s3, bucket)
    parts = send(s3, bucket, upload, PART, b"x")
    first = complete(s3, bucket, upload, parts)
    s3.put_object(Bucket=bucket, Key="k", Body=b"since")
    assert complete(s3, bucket, upload, parts)["ETag"] == first["ETag"]
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"since"


def test_first_begun_completes_last(s3: Any, bucket: str) -> None:
    """Two uploads of a key do not mix: the one that completes last is the object (s3-tests' resend_first_finishes_last)."""
    first = begin(s3, bucket)
    second = begin(s3, bucket)
    parts_1 = send(s3, bucket, first, b"a" * MIN_PART, b"1")
    parts_2 = send(s3, bucket, second, b"b" * MIN_PART, b"2")
    complete(s3, bucket, second, parts_2)
    complete(s3, bucket, first, parts_1)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"a" * MIN_PART + b"1"


def test_many_completes_at_once(s3: Any, bucket: str) -> None:
    """Complete from many sides at the same time: all get the same object."""
    upload = begin(s3, bucket)
    parts = send(s3, bucket, upload, PART, b"x")
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(complete(s3, bucket, upload, parts)["ETag"])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == PART + b"x"


def test_same_part_from_many_sides(s3: Any, bucket: str) -> None:
    """One part sent from many sides at once is one of those that were sent, whole, and its ETag says which."""
    upload = begin(s3, bucket)
    bodies = [bytes([number]) * 300_000 for number in range(8)]
    threads = [threading.Thread(target=send, args=(s3, bucket, upload, body)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (part,) = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)["Parts"]
    complete(s3, bucket, upload, [{"PartNumber": 1, "ETag": part["ETag"]}])
    found = s3.get_object(Bucket=bucket, Key="k")["Body"].read()
    assert found in bodies
    assert part["ETag"] == f'"{hashlib.md5(found).hexdigest()}"'


def test_other_uploads(s3: Any, bucket: str, new_bucket: Any) -> None:
    """An upload is known under its own bucket and key only."""
    upload = begin(s3, bucket)
    other = new_bucket()
    for where in ({"Bucket": bucket, "Key": "other"}, {"Bucket": other, "Key": "k"}, {"Bucket": bucket, "Key": "k/"}):
        with refused(404, "NoSuchUpload"):
            s3.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"x")
        with refused(404, "NoSuchUpload"):
            s3.list_parts(**where, UploadId=upload)
        with refused(404, "NoSuchUpload"):
            s3.abort_multipart_upload(**where, UploadId=upload)
    for name in ("", "nonsense", "../../x", "x" * 2000, "\x00"):
        assert status_of(s3.list_parts, Bucket=bucket, Key="k", UploadId=name) == 404


def test_list_parts(s3: Any, bucket: str) -> None:
    """Parts are listed in order, in pages that go on after a number."""
    upload = begin(s3, bucket)
    send(s3, bucket, upload, b"a", b"bb", b"ccc")
    pages = list(s3.get_paginator("list_parts").paginate(Bucket=bucket, Key="k", UploadId=upload, PaginationConfig={"PageSize": 2}))
    assert [[(part["PartNumber"], part["Size"]) for part in page["Parts"]] for page in pages] == [[(1, 1), (2, 2)], [(3, 3)]]
    assert (pages[0]["IsTruncated"], pages[0]["NextPartNumberMarker"], pages[1]["IsTruncated"]) == (True, 2, False)


def test_list_uploads(s3: Any, bucket: str) -> None:
    """Uploads are listed by key and then by age, in pages, by prefix and folded at a delimiter."""
    wanted = [(key, begin(s3, bucket, key)) for key in ("a/1", "a/1", "a/2", "b", "c")]
    ask = s3.list_multipart_uploads
    assert [(one["Key"], one["UploadId"]) for one in ask(Bucket=bucket)["Uploads"]] == wanted
    found = []
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2}):
        found += [(one["Key"], one["UploadId"]) for one in page["Uploads"]]
    assert found == wanted
    assert [one["Key"] for one in ask(Bucket=bucket, Prefix="a/")["Uploads"]] == ["a/1", "a/1", "a/2"]
    folded = ask(Bucket=bucket, Delimiter="/")
    assert ([one["Key"] for one in folded["Uploads"]], folded["CommonPrefixes"]) == (["b", "c"], [{"Prefix": "a/"}])


@pytest.mark.needs("part sizes")
def test_read_by_part(s3: Any, bucket: str) -> None:
    """partNumber reads one part of the object, by GET and HEAD; beyond the last it is 416."""
    upload = begin(s3, bucket)
    parts = send(s3, bucket, upload, PART, b"tail")
    complete(s3, bucket, upload, parts)
    first, second = (s3.get_object(Bucket=bucket, Key="k", PartNumber=number) for number in (1, 2))
    assert (first["Body"].read(), first["PartsCount"], first["ResponseMetadata"]["HTTPStatusCode"]) == (PART, 2, 206)
    assert (second["Body"].read(), second["ContentRange"]) == (b"tail", f"bytes {MIN_PART}-{MIN_PART + 3}/{MIN_PART + 4}")
    assert s3.head_object(Bucket=bucket, Key="k", PartNumber=2)["ContentLength"] == 4
    with refused(416, "InvalidPartNumber"):
        s3.get_object(Bucket=bucket, Key="k", PartNumber=3)
    s3.put_object(Bucket=bucket, Key="single", Body=b"x")
    assert s3.get_object(Bucket=bucket, Key="single", PartNumber=1)["Body"].read() == b"x"
    with refused(416, "InvalidPartNumber"):
        s3.get_object(Bucket=bucket, Key="single", PartNumber=2)


def test_copied_parts(s3: Any, bucket: str) -> None:
    """Parts copied from an object, whole or in stretches, are its bytes."""
    content = bytes(range(256)) * 1000
    s3.put_object(Bucket=bucket, Key="source é", Body=content)
    upload = begin(s3, bucket)
    parts = []
    for number, stretch in enumerate((None, "bytes=0-99999", "bytes=255999-255999"), 1):
        asked = {} if stretch is None else {"CopySourceRange": stretch}
        source = {"Bucket": bucket, "Key": "source é"}
        copied = s3.upload_part_copy(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, CopySource=source, **asked)
        parts.append({"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]})
    assert parts[0]["ETag"] == f'"{hashlib.md5(content).hexdigest()}"'
    complete(s3, bucket, upload, parts)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == content + content[:100_000] + content[-1:]


@pytest.mark.parametrize(
    "stretch", ["0-2", "bytes=0", "bytes=hello-world", "bytes=0-bar", "hello", "bytes=0-2,3-5", "bytes=2-1", "bytes=-5", "bytes=0-"]
)
def test_copied_stretch_that_is_none(s3: Any, bucket: str, stretch: str) -> None:
    """A copy range that is not first-last is InvalidArgument (s3-tests' copy_improper_range)."""
    s3.put_object(Bucket=bucket, Key="source", Body=b"12345")
    upload = begin(s3, bucket)
    with refused(400, "InvalidArgument"):
        s3.upload_part_copy(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, CopySource=f"{bucket}/source", CopySourceRange=stretch)


def test_copied_stretch_outside(s3: Any, bucket: str) -> None:
    """A copy range beyond the source is refused (s3-tests take 400 or 416)."""
    s3.put_object(Bucket=bucket, Key="source", Body=b"12345")
    upload = begin(s3, bucket)
    with refused(416, "InvalidRange"):
        s3.upload_part_copy(
            Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, CopySource=f"{bucket}/source", CopySourceRange="bytes=0-21"
        )


def test_overwrite_keeps_nothing(s3: Any, bucket: str) -> None:
    """An upload over an object replaces its attributes as well as its bytes."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"old", Metadata={"old": "yes"}, Tagging="old=yes", ContentType="text/old")
    upload = begin(s3, bucket)
    complete(s3, bucket, upload, send(s3, bucket, upload, b"new"))
    found = s3.get_object(Bucket=bucket, Key="k")
    assert (found["Body"].read(), found["Metadata"], found["ContentType"]) == (b"new", {}, "binary/octet-stream")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [("CRC32", "COMPOSITE"), ("CRC32", "FULL_OBJECT"), pytest.param("CRC32C", "COMPOSITE", marks=pytest.mark.needs("CRC32C of parts")),
     ("CRC64NVME", "FULL_OBJECT"), ("SHA1", "COMPOSITE"),
     ("SHA256", "COMPOSITE")],
)  # fmt: skip
def test_checksums(s3: Any, bucket: str, algorithm: str, kind: str) -> None:
    """An upload with a checksum algorithm has it in every answer, and in the object, of the type that was asked for."""
    upload = begin(s3, bucket, ChecksumAlgorithm=algorithm, ChecksumType=kind)
    name = f"Checksum{algorithm}"
    parts = []
    for number, body in enumerate((PART, b"end"), 1):
        sent = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=body, ChecksumAlgorithm=algorithm)
        parts.append({"PartNumber": number, "ETag": sent["ETag"], name: sent[name]})
    listed = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)
    assert [part[name] for part in listed["Parts"]] == [part[name] for part in parts]
    done = complete(s3, bucket, upload, parts)
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head[name], head["ChecksumType"]) == (done[name], kind)
    assert head[name].endswith("-2") == (kind == "COMPOSITE")
    whole = s3.put_object(Bucket=bucket, Key="whole", Body=PART + b"end", ChecksumAlgorithm=algorithm)[name]
    assert (head[name] == whole) == (kind == "FULL_OBJECT")
    if algorithm == "SHA256":
        digests = b"".join(hashlib.sha256(body).digest() for body in (PART, b"end"))
        assert head[name] == base64.b64encode(hashlib.sha256(digests).digest()).decode() + "-2"


def test_wrong_checksum_of_a_part(s3: Any, bucket: str) -> None:
    """A part whose checksum or MD5 is wrong is refused and not kept."""
    upload = begin(s3, bucket)
    with refused(400, "BadDigest"):
        s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x", ChecksumCRC32="AAAAAA==")
    with refused(400, "BadDigest"):
        s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x", ContentMD5="rL0Y20xC+Fzt72VPzMSk2A==")
    assert "Parts" not in s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)

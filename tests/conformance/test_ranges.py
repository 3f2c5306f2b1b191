"""Ranges of GET and HEAD."""

from __future__ import annotations

from typing import Any

import pytest

CONTENT = bytes(range(256)) * 4
SIZE = len(CONTENT)


@pytest.mark.parametrize(
    ("value", "first", "last"),
    [
        ("bytes=4-7", 4, 7),
        ("bytes=0-0", 0, 0),
        ("bytes=4-", 4, SIZE - 1),
        ("bytes=-7", SIZE - 7, SIZE - 1),
        ("bytes=0-", 0, SIZE - 1),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
        (f"bytes=10-{10**30}", 10, SIZE - 1),
        (f"bytes=-{10**30}", 0, SIZE - 1),
        ("BYTES=1-2", 1, 2),
        ("bytes=007-0010", 7, 10),
    ],
)
def test_satisfiable(wire: Any, bucket: str, value: str, first: int, last: int) -> None:
    """A range is answered 206 with its bytes, where they are and how many; by HEAD without the bytes."""
    wire("PUT", bucket, "k", body=CONTENT)
    for method in ("GET", "HEAD"):
        answer = wire(method, bucket, "k", headers={"Range": value})
        assert answer.status == 206
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{SIZE}"
        assert answer.headers["content-length"] == str(last - first + 1)
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.body == (CONTENT[first : last + 1] if method == "GET" else b"")


@pytest.mark.parametrize(
    "value",
    ["bytes=7-4", "bytes=a-b", "bytes=", "bytes", "", "bytes=-", "items=0-1", "bytes=1-2,4-5", "bytes=0-1,", "bytes=+1-2", "bytes=1_0-20",
     "bytes=0x1-0x2", "bytes=\u0661-2", "bytes=1.0-2", "=0-1", "bytes=--1"],
)  # fmt: skip
def test_malformed(wire: Any, bucket: str, value: str) -> None:
    """What is no single range of bytes is ignored (RFC 9110, 14.2), as S3 does."""
    wire("PUT", bucket, "k", body=CONTENT)
    answer = wire("GET", bucket, "k", headers={"Range": value.encode().decode("latin-1")})
    assert (answer.status, answer.body, "content-range" in answer.headers) == (200, CONTENT, False)


@pytest.mark.parametrize("value", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0", f"bytes={10**30}-", f"bytes={SIZE}-{10**30}"])
def test_unsatisfiable(wire: Any, bucket: str, value: str) -> None:
    """A range beyond the object is 416 InvalidRange with the size."""
    wire("PUT", bucket, "k", body=CONTENT)
    answer = wire("GET", bucket, "k", headers={"Range": value})
    assert (answer.status, answer.code) == (416, "InvalidRange")
    assert answer.headers["content-range"] == f"bytes */{SIZE}"
    assert answer.texts("ActualObjectSize") == [str(SIZE)]
    head = wire("HEAD", bucket, "k", headers={"Range": value})
    assert (head.status, head.body) == (416, b"")


def test_empty_object(wire: Any, bucket: str) -> None:
    """An empty object has no satisfiable range from its front."""
    wire("PUT", bucket, "empty")
    assert wire("GET", bucket, "empty", headers={"Range": "bytes=40-50"}).status == 416
    assert wire("GET", bucket, "empty", headers={"Range": "bytes=0-"}).status == 416
    assert wire("GET", bucket, "empty").body == b""


def test_range_of_a_condition_that_fails(wire: Any, bucket: str) -> None:
    """The condition comes before the range: a 416 never hides a 304 or 412."""
    etag = wire("PUT", bucket, "k", body=CONTENT).headers["etag"]
    assert wire("GET", bucket, "k", headers={"Range": "bytes=9999-", "If-None-Match": etag}).status == 304
    assert wire("GET", bucket, "k", headers={"Range": "bytes=9999-", "If-Match": '"x"'}).status == 412


def test_large_object_in_pieces(s3: Any, bucket: str) -> None:
    """A large object read in odd pieces is the object."""
    content = bytes(range(251)) * 40_000
    s3.put_object(Bucket=bucket, Key="large", Body=content)
    step, found = 1_234_567, b""
    for start in range(0, len(content), step):
        answer = s3.get_object(Bucket=bucket, Key="large", Range=f"bytes={start}-{start + step - 1}")
        found += answer["Body"].read()
    assert found == content


def test_no_checksum_of_the_whole_with_a_range(s3: Any, bucket: str) -> None:
    """Clients verify what they are told: a 206 does not come with the checksum of the whole object."""
    s3.put_object(Bucket=bucket, Key="k", Body=CONTENT, ChecksumAlgorithm="CRC32")
    part = s3.get_object(Bucket=bucket, Key="k", Range="bytes=0-9", ChecksumMode="ENABLED")
    assert "ChecksumCRC32" not in part
    assert part["Body"].read() == CONTENT[:10]
    assert "ChecksumCRC32" in s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")

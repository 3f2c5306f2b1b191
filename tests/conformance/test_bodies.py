"""What is said of a body must be true of it: lengths, MD5, checksums, trailers, framing."""

from __future__ import annotations

import base64
import hashlib
import socket
import zlib
from typing import Any

import pytest

from tests.conformance.conftest import Served

CRC = base64.b64encode(zlib.crc32(b"hello").to_bytes(4, "big")).decode()
MD5 = base64.b64encode(hashlib.md5(b"hello").digest()).decode()
SHA = hashlib.sha256(b"hello").hexdigest()
STREAMING = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def framed(*chunks: bytes, trailers: str = "", signature: str = "") -> bytes:
    """An aws-chunked body."""
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), signature.encode(), chunk) for chunk in chunks)
    return body + f"0{signature}\r\n{trailers}\r\n".encode()


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-MD5": MD5}, 200, ""),
        ({"Content-MD5": "rL0Y20xC+Fzt72VPzMSk2A=="}, 400, "BadDigest"),
        ({"Content-MD5": "YWJyYWNhZGFicmE="}, 400, "InvalidDigest"),
        ({"Content-MD5": ""}, 400, "InvalidDigest"),
        ({"Content-MD5": "not base64!"}, 400, "InvalidDigest"),
        ({"x-amz-content-sha256": SHA}, 200, ""),
        ({"x-amz-content-sha256": SHA.upper()}, 200, ""),
        ({"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, 200, ""),
        ({"x-amz-content-sha256": hashlib.sha256(b"else").hexdigest()}, 400, "XAmzContentSHA256Mismatch"),
        ({"x-amz-content-sha256": "nonsense"}, 400, "InvalidArgument"),
        ({"x-amz-checksum-crc32": CRC}, 200, ""),
        ({"X-AMZ-Checksum-CRC32": CRC, "x-amz-sdk-checksum-algorithm": "crc32"}, 200, ""),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, 400, "BadDigest"),
        ({"x-amz-checksum-crc32": "AAAA"}, 400, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "?"}, 400, "InvalidRequest"),
        ({"x-amz-checksum-crc32": CRC, "x-amz-checksum-crc32c": "AAAAAA=="}, 400, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "sha1", "x-amz-checksum-crc32": CRC}, 400, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "nonsense"}, 400, "InvalidRequest"),
        ({"x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(SHA)).decode()}, 200, ""),
        ({"x-amz-trailer": "x-amz-checksum-crc32"}, 400, "MalformedTrailerError"),
    ],
)
def test_digests(wire: Any, bucket: str, headers: dict[str, str], status: int, code: str) -> None:
    """A digest that does not match, or is none, refuses the write; the object in place stays."""
    wire("PUT", bucket, "k", body=b"old")
    answer = wire("PUT", bucket, "k", headers=headers, body=b"hello")
    assert (answer.status, answer.code if answer.body else "") == (status, code)
    assert wire("GET", bucket, "k").body == (b"hello" if status == 200 else b"old")


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (framed(b"hello", trailers=f"x-amz-checksum-crc32:{CRC}\r\n"), {"x-amz-trailer": "x-amz-checksum-crc32"}, 200, ""),
        (framed(b"h", b"ello", trailers=f"x-amz-checksum-crc32:{CRC}\r\n"), {"x-amz-trailer": "x-amz-checksum-crc32"}, 200, ""),
        (framed(b"hello", trailers="x-amz-checksum-crc32:AAAAAA==\r\n"), {"x-amz-trailer": "x-amz-checksum-crc32"}, 400, "BadDigest"),
        (framed(b"hello"), {"x-amz-trailer": "x-amz-checksum-crc32"}, 400, "MalformedTrailerError"),
        (framed(b"hello", trailers="x-amz-meta-x:1\r\n"), {"x-amz-trailer": "x-amz-checksum-crc32"}, 400, "MalformedTrailerError"),
        (framed(b"hello"), {}, 200, ""),
        (
            framed(b"hello", signature=";chunk-signature=" + "0" * 64),
            {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"},
            200,
            "",
        ),
        (b"5\r\nhello\r\n", {}, 400, "IncompleteBody"),
        (b"5\r\nhel", {}, 400, "IncompleteBody"),
        (b"", {}, 400, "IncompleteBody"),
        (b"hello\r\n", {}, 400, "InvalidRequest"),
        (b"5\r\nhello!\r\n0\r\n\r\n", {}, 400, "InvalidRequest"),
        (b"-5\r\nhello\r\n0\r\n\r\n", {}, 400, "InvalidRequest"),
        (b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n", {}, 400, "InvalidRequest"),
        (b"5" * 2000 + b"\r\n", {}, 400, "InvalidRequest"),
        (framed(b"hell"), {}, 400, "IncompleteBody"),
        (framed(b"hello!"), {}, 400, "IncompleteBody"),
    ],
)
def test_aws_chunked(wire: Any, bucket: str, body: bytes, headers: dict[str, str], status: int, code: str) -> None:
    """An aws-chunked body is stored without its framing, or not at all; aws-chunked is not kept as its encoding."""
    wire("PUT", bucket, "k", body=b"old")
    sent = {"Content-Encoding": "aws-chunked,gzip", "x-amz-content-sha256": STREAMING, "x-amz-decoded-content-length": "5", **headers}
    answer = wire("PUT", bucket, "k", headers=sent, body=body)
    assert (answer.status, answer.code if answer.body else "") == (status, code)
    found = wire("GET", bucket, "k")
    assert found.body == (b"hello" if status == 200 else b"old")
    assert found.headers.get("content-encoding") == ("gzip" if status == 200 else None)


@pytest.mark.parametrize("encoding", ["aws-chunked", "AWS-Chunked", "aws-chunked, gzip", "gzip,aws-chunked", "deflate, gzip"])
def test_kept_encodings(wire: Any, bucket: str, encoding: str) -> None:
    """Content-Encoding is kept as it came, less aws-chunked (s3-tests' test_object_content_encoding_aws_chunked)."""
    headers = {"Content-Encoding": encoding, "x-amz-decoded-content-length": "5"}
    chunked = "chunked" in encoding.lower()
    wire("PUT", bucket, "k", headers=headers if chunked else {"Content-Encoding": encoding}, body=framed(b"hello") if chunked else b"hello")
    kept = ", ".join(one.strip() for one in encoding.split(",") if one.strip().lower() != "aws-chunked")
    found = wire("GET", bucket, "k")
    assert (found.body, found.headers.get("content-encoding", "")) == (b"hello", kept)


@pytest.mark.parametrize(
    "algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"],
)  # fmt: skip
def test_algorithms(s3: Any, bucket: str, algorithm: str) -> None:
    """Every algorithm of the SDK is verified, told with the write, by HEAD and GET in checksum mode, and by GetObjectAttributes."""
    made = s3.put_object(Bucket=bucket, Key="k", Body=b"hello", ChecksumAlgorithm=algorithm)[f"Checksum{algorithm}"]
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")[f"Checksum{algorithm}"] == made
    found = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (found["Body"].read(), found[f"Checksum{algorithm}"], found["ChecksumType"]) == (b"hello", made, "FULL_OBJECT")
    attributes = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum", "ETag", "ObjectSize", "StorageClass"])
    assert attributes["Checksum"][f"Checksum{algorithm}"] == made
    assert (attributes["ObjectSize"], attributes["ETag"]) == (5, found["ETag"].strip('"'))
    assert f"Checksum{algorithm}" not in s3.head_object(Bucket=bucket, Key="k")


def exchange(served: Served, *pieces: bytes, until: bytes = b"") -> bytes:
    """What comes back on a connection of its own for ``pieces``, until its end or ``until``; else the client says that no more comes."""
    answer = b""
    with socket.create_connection(served.address, timeout=20) as connection:
        for piece in pieces:
            connection.sendall(piece)
        if not until:
            connection.shutdown(socket.SHUT_WR)
        while not (until and until in answer) and (data := connection.recv(65536)):
            answer += data
    return answer


def test_short_body(served: Served, wire: Any, bucket: str) -> None:
    """A body that ends before its length leaves what was there (s3-tests' test_object_write_with_short_body)."""
    wire("PUT", bucket, "k", body=b"old")
    head = f"PUT /{bucket}/k HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode()
    assert b"200 OK" not in exchange(served, head, b"only this")
    assert wire("GET", bucket, "k").body == b"old"


def test_no_length(wire: Any, served: Served, bucket: str) -> None:
    """A PUT without any length is 411 MissingContentLength; one in chunks of HTTP is taken."""
    answer = exchange(served, f"PUT /{bucket}/k HTTP/1.1\r\nHost: x\r\n\r\n".encode(), until=b"</Error>")
    assert answer.startswith(b"HTTP/1.1 411 ")
    assert b"MissingContentLength" in answer
    chunked = f"PUT /{bucket}/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    assert exchange(served, chunked, b"5\r\nhello\r\n0\r\n\r\n", until=b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert wire("GET", bucket, "k").body == b"hello"


def test_continue_is_asked_only_if_wanted(served: Served, wire: Any, bucket: str) -> None:
    """Expect: 100-continue is answered before the body for a write that may go on, and by the refusal for one that may not."""
    for name, expected in ((bucket, b"HTTP/1.1 100 "), ("conf-not-there", b"HTTP/1.1 404 ")):
        with socket.create_connection(served.address, timeout=20) as connection:
            connection.sendall(f"PUT /{name}/k HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n".encode())
            answer = connection.recv(65536)
            assert answer.startswith(expected)
            if expected == b"HTTP/1.1 100 ":
                connection.sendall(b"hello")
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert wire("GET", bucket, "k").body == b"hello"


@pytest.mark.parametrize("length", ["-1", "+5", "5,5", "a", "", "0x5", "5.0", "1e3", "9" * 30])
def test_lengths_that_are_none(served: Served, wire: Any, bucket: str, length: str) -> None:
    """A Content-Length that is no length is a client error (s3-tests' bad_contentlength), and stores nothing."""
    head = f"PUT /{bucket}/k HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()
    assert exchange(served, head, b"hello", until=b"</Error>").startswith(b"HTTP/1.1 4")
    assert wire("HEAD", bucket, "k").status == 404


def test_body_of_an_empty_object(wire: Any, bucket: str) -> None:
    """An empty object is an object: 200, no bytes, the MD5 of nothing."""
    made = wire("PUT", bucket, "k")
    assert made.headers["etag"] == '"d41d8cd98f00b204e9800998ecf8427e"'
    found = wire("GET", bucket, "k")
    assert (found.status, found.body, found.headers["content-length"]) == (200, b"", "0")

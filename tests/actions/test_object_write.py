"""PutObject."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
import pytest_twisted

from alluxio_s3.s3.errors import S3Error

TARGET = "/bucket/a/k"


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


async def missing(bench, target: str = TARGET) -> bool:
    return (await bench.refusal("HEAD", target)).code == "NoSuchKey"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3_000_001])
async def test_what_was_put_is_read_back(bench, size):
    """The bytes come back as they went in, under the quoted MD5 of them, whatever their size and however they come."""
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    pieces = [data[at : at + 500_000] for at in range(0, size, 500_000)]
    put = await bench.ask("PUT", TARGET, {"content-length": str(size)}, pieces)
    assert put.status == 200
    assert put.headers["ETag"] == f'"{md5(data)}"'
    got = await bench.ask("GET", TARGET)
    assert (got.body, got.headers["ETag"]) == (data, put.headers["ETag"])


@pytest_twisted.ensureDeferred
async def test_attributes_are_stored(bench):
    """Content type, echoed headers, user metadata and decoded tags come back; aws-chunked is not among them."""
    headers = {
        "content-type": "text/plain",
        "cache-control": "no-cache",
        "content-encoding": "aws-chunked,gzip",
        "x-amz-meta-Colour": "blå",
        "x-amz-tagging": "a=1&b=two+words",
        "x-amz-acl": "private",
        "x-amz-storage-class": "STANDARD",
    }
    await bench.ask("PUT", TARGET, headers, b"x")
    head = await bench.ask("HEAD", TARGET)
    assert head.headers["Content-Type"] == "text/plain"
    assert head.headers["Cache-Control"] == "no-cache"
    assert head.headers["Content-Encoding"] == "gzip"
    assert head.headers["x-amz-meta-colour"] == "blå"
    assert head.headers["x-amz-tagging-count"] == "2"
    status = await bench.status(TARGET)
    assert status.attributes.tags == {"a": "1", "b": "two words"}
    assert status.attributes.owner == "alice"


@pytest_twisted.ensureDeferred
async def test_checksum_is_verified_echoed_and_kept(bench):
    """A checksum header is checked, comes back with its type, and is told to whoever asks for it."""
    put = await bench.ask("PUT", TARGET, {"x-amz-checksum-crc32": crc32(b"hello")}, b"hello")
    assert put.headers["x-amz-checksum-crc32"] == crc32(b"hello")
    assert put.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    head = await bench.ask("HEAD", TARGET, {"x-amz-checksum-mode": "ENABLED"})
    assert head.headers["x-amz-checksum-crc32"] == crc32(b"hello")


@pytest_twisted.ensureDeferred
async def test_no_checksum_unless_asked_for(bench):
    """A plain put has no checksum in its answer, and none later."""
    put = await bench.ask("PUT", TARGET, {}, b"hello")
    head = await bench.ask("HEAD", TARGET, {"x-amz-checksum-mode": "ENABLED"})
    assert not [name for name in (*put.headers, *head.headers) if name.startswith("x-amz-checksum")]


@pytest_twisted.ensureDeferred
async def test_chunked_body_with_trailer(bench):
    """An aws-chunked body of unknown length is decoded, and its trailing checksum verified."""
    body = b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:" + crc32(b"hello world").encode() + b"\r\n\r\n"
    headers = {
        "transfer-encoding": "chunked",
        "content-encoding": "aws-chunked",
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-trailer": "x-amz-checksum-crc32",
    }
    put = await bench.ask("PUT", TARGET, headers, [body[:9], body[9:]])
    assert put.headers["x-amz-checksum-crc32"] == crc32(b"hello world")
    assert (await bench.ask("GET", TARGET)).body == b"hello world"


BAD_BODIES = {
    "md5": ({"content-md5": base64.b64encode(bytes(16)).decode()}, [b"hello"], "BadDigest"),
    "crc": ({"x-amz-checksum-crc32": crc32(b"other")}, [b"hello"], "BadDigest"),
    "sha256": ({"x-amz-content-sha256": "0" * 64}, [b"hello"], "XAmzContentSHA256Mismatch"),
    "short": ({"content-length": "6"}, [b"hello"], "IncompleteBody"),
    "long": ({"content-length": "4"}, [b"hello"], "IncompleteBody"),
    "cut": ({"content-length": "9"}, [b"hello", S3Error("IncompleteBody")], "IncompleteBody"),
    "stalled": ({"content-length": "9"}, [b"h", S3Error("RequestTimeout")], "RequestTimeout"),
}


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("case", BAD_BODIES)
async def test_bad_body_changes_nothing(bench, case):
    """What is not what its sender said it is leaves the object in place as it was."""
    headers, pieces, code = BAD_BODIES[case]
    await bench.ask("PUT", TARGET, {"x-amz-meta-v": "1"}, b"before")
    assert (await bench.refusal("PUT", TARGET, {"content-length": "5", **headers}, pieces)).code == code
    got = await bench.ask("GET", TARGET)
    assert (got.body, got.headers["x-amz-meta-v"]) == (b"before", "1")


REFUSED = {
    "length": ({"content-length": None}, "MissingContentLength", 411),
    "too large": ({"content-length": str((5 << 40) + 1)}, "EntityTooLarge", 400),
    "bad md5": ({"content-md5": "nonsense"}, "InvalidDigest", 400),
    "metadata": ({"x-amz-meta-a": "x" * 2048}, "MetadataTooLarge", 400),
    "tag": ({"x-amz-tagging": "aws:a=1"}, "InvalidTag", 400),
    "tags": ({"x-amz-tagging": "&".join(f"k{n}=v" for n in range(11))}, "BadRequest", 400),
    "encryption": ({"x-amz-server-side-encryption": "AES256"}, "NotImplemented", 501),
    "customer key": ({"x-amz-server-side-encryption-customer-algorithm": "AES256"}, "NotImplemented", 501),
    "lock": ({"x-amz-object-lock-mode": "COMPLIANCE"}, "NotImplemented", 501),
    "redirect": ({"x-amz-website-redirect-location": "/x"}, "NotImplemented", 501),
    "append": ({"x-amz-write-offset-bytes": "0"}, "NotImplemented", 501),
    "public": ({"x-amz-acl": "public-read"}, "NotImplemented", 501),
    "glacier": ({"x-amz-storage-class": "GLACIER"}, "InvalidStorageClass", 400),
    "condition": ({"if-none-match": "*"}, "PreconditionFailed", 412),
    "etag": ({"if-match": '"0"'}, "PreconditionFailed", 412),
}


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("case", REFUSED)
async def test_refused_by_its_head(bench, case):
    """What the head of a request rules out is refused before any of the body is asked for."""
    changes, code, http_status = REFUSED[case]
    await bench.ask("PUT", TARGET, {}, b"before")
    headers = {name: value for name, value in {"content-length": "5", **changes}.items() if value is not None}
    error = await bench.refusal("PUT", TARGET, headers, [b"after"])
    assert (error.code, error.status) == (code, http_status)
    assert bench.bodies[-1].reads == 0
    assert (await bench.ask("GET", TARGET)).body == b"before"


@pytest_twisted.ensureDeferred
async def test_metadata_limit_can_be_lifted(bench):
    """With a limit of 0 any user metadata goes."""
    bench.limit(user_metadata_bytes=0)
    await bench.ask("PUT", TARGET, {"x-amz-meta-a": "x" * 5000}, b"")
    assert (await bench.ask("HEAD", TARGET)).headers["x-amz-meta-a"] == "x" * 5000


@pytest_twisted.ensureDeferred
async def test_conditions_that_hold(bench):
    """If-None-Match: * makes a new object, If-Match with its ETag replaces it."""
    first = await bench.ask("PUT", TARGET, {"if-none-match": "*"}, b"1")
    await bench.ask("PUT", TARGET, {"if-match": first.headers["ETag"]}, b"2")
    assert (await bench.ask("GET", TARGET)).body == b"2"


@pytest_twisted.ensureDeferred
async def test_condition_is_decided_at_the_end(bench):
    """Of two that both found no object before their bodies came, the one that ends last is refused."""

    async def overtake():
        await bench.ask("PUT", TARGET, {"if-none-match": "*"}, b"first")

    error = await bench.refusal("PUT", TARGET, {"if-none-match": "*", "content-length": "6"}, [b"sec", overtake, b"ond"])
    assert error.code == "PreconditionFailed"
    assert (await bench.ask("GET", TARGET)).body == b"first"


@pytest_twisted.ensureDeferred
async def test_if_match_without_object(bench):
    """If-Match on a key that is not there is NoSuchKey."""
    assert (await bench.refusal("PUT", TARGET, {"if-match": '"x"'}, b"")).code == "NoSuchKey"


@pytest_twisted.ensureDeferred
async def test_no_bucket(bench):
    """A put into no bucket is NoSuchBucket."""
    assert (await bench.refusal("PUT", "/nowhere/k", {}, b"x")).code == "NoSuchBucket"


@pytest_twisted.ensureDeferred
async def test_folder(bench):
    """A key that ends with a slash makes a folder, found by that key only."""
    await bench.ask("PUT", "/bucket/dir/", {"x-amz-meta-a": "1"}, b"")
    head = await bench.ask("HEAD", "/bucket/dir/")
    assert (head.headers["Content-Length"], head.headers["x-amz-meta-a"]) == ("0", "1")
    assert (await bench.ask("GET", "/bucket/dir/")).body == b""
    assert (await bench.refusal("HEAD", "/bucket/dir")).code == "NoSuchKey"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("headers", [{"content-length": "1"}, {"transfer-encoding": "chunked"}])
async def test_folder_with_bytes(bench, headers):
    """A folder holds no bytes, and a body for one is refused, whether its length is told or not."""
    error = await bench.refusal("PUT", "/bucket/dir/", headers, [b"x"])
    assert error.code == "InvalidRequest"
    assert await missing(bench, "/bucket/dir/")

"""Odd characters: in keys, in metadata, in what is echoed, in error documents."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any
from urllib.parse import quote

import pytest

from tests.conformance.conftest import refused, status_of
from tests.wire import Answer, Wire

# `?` and `\\` are not supported in keys (Alluxio's documented limits), `/` makes folders; all other characters can be in a name.
PRINTABLE = [chr(code) for code in range(0x20, 0x7F) if chr(code) not in "?\\/"]
CONTROLS = [chr(code) for code in [*range(1, 0x20), 0x7F, 0x85, 0xA0, 0xFEFF, 0xFFFE]]


def test_every_printable_character(s3: Any, bucket: str) -> None:
    """A key can hold every printable ASCII character at its front, in it and at its end, and is listed as it is."""
    keys = [f"{one}{place}" if place == "x" else f"x{one}{place}" for one in PRINTABLE for place in ("", "x", "y")]
    keys = sorted(set(keys) - {"."})
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for call in ("list_objects", "list_objects_v2"):
        assert [one["Key"] for one in getattr(s3, call)(Bucket=bucket)["Contents"]] == keys
    for key in keys[::7]:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert sorted(one["Key"] for one in gone["Deleted"]) == keys
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.needs("control characters")
def test_control_characters(s3: Any, wire: Any, bucket: str) -> None:
    """Keys with control characters are kept, and listed with encoding-type=url, which boto3 always asks for."""
    keys = sorted(f"x{one}y" for one in CONTROLS)
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
        assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == 1
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == keys
    assert wire("GET", bucket, query={"list-type": "2"}).body.count(b"<Key>") == len(keys)


@pytest.mark.parametrize("key", ["a?b", "a\\b", "a//b", "/a", "./a", "a/../b", "..", ".", "a/.", "a\x00b"])
def test_unsupported_keys(wire: Any, bucket: str, key: str) -> None:
    """Keys that Alluxio documents as unsupported are a clear 400, for every method, and name nothing else."""
    wire("PUT", bucket, "b", body=b"safe")
    wire("PUT", bucket, "a/b", body=b"safe")
    for method in ("PUT", "GET", "HEAD", "DELETE"):
        path = quote(key, safe="/").replace(".", "%2E")
        answer = _raw(wire, method, f"/{bucket}/{path}")
        assert answer.status == 400
        assert method == "HEAD" or answer.code in ("InvalidArgument", "InvalidURI")
    assert wire("GET", bucket, "b").body == wire("GET", bucket, "a/b").body == b"safe"


def _raw(wire: Wire, method: str, path: str) -> Answer:
    """A request for ``path`` as it is."""
    connection = wire._connection
    connection.request(method, path, b"x" if method == "PUT" else None, {"Content-Length": "1"} if method == "PUT" else {})
    response = connection.getresponse()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


@pytest.mark.parametrize("key", ["k" * 255, "é" * 127, pytest.param("/".join(["d" * 100] * 10), marks=pytest.mark.needs("long keys"))])
def test_long_keys(s3: Any, bucket: str, key: str) -> None:
    """Keys of up to 1,024 bytes, names of up to 255."""
    s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    s3.delete_object(Bucket=bucket, Key=key)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("key", ["k" * 256, "k" * 1024, "k" * 1025, "é" * 513, "d/" * 512 + "kk"])
@pytest.mark.needs("directories")
def test_too_long_keys(s3: Any, bucket: str, key: str) -> None:
    """What S3 or a directory tree cannot hold is KeyTooLongError for a write; nothing is there for a read."""
    with refused(400, "KeyTooLongError"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert status_of(s3.head_object, Bucket=bucket, Key=key) in (400, 404)
    assert status_of(s3.delete_object, Bucket=bucket, Key=key) in (204, 400)


@pytest.mark.parametrize(
    "value", ["plain", "", "two  spaces", "a,b;c", '"quoted"', "tab\tin it", "=?UTF-8?Q?h=C3=A9?=", "%20+", "x" * 1500]
)
def test_metadata(s3: Any, bucket: str, value: str) -> None:
    """The value of a metadata header comes back as it went, also empty, and what looks like RFC 2047 is left alone."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"name": value})
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {"name": value}
    assert s3.get_object(Bucket=bucket, Key="k")["Metadata"] == {"name": value}


@pytest.mark.parametrize("value", ["Hello World\u00e9", "\u65e5\u672c", "\U0001f418"])
def test_metadata_in_utf8(wire: Any, bucket: str, value: str) -> None:
    """Metadata that is UTF-8 on the wire comes back as UTF-8, byte for byte."""
    sent = value.encode().decode("latin-1")
    wire("PUT", bucket, "k", headers={"x-amz-meta-name": sent})
    assert wire("HEAD", bucket, "k").headers["x-amz-meta-name"] == sent


def test_metadata_names(wire: Any, bucket: str) -> None:
    """Metadata names lose their case, as with S3; one that comes twice has both values; writing again leaves none of the old."""
    wire("PUT", bucket, "k", headers={"X-Amz-Meta-MiXed_Case.name": "1", "x-amz-meta-a-b": "2"})
    found = {name: value for name, value in wire("GET", bucket, "k").headers.items() if name.startswith("x-amz-meta-")}
    assert found == {"x-amz-meta-mixed_case.name": "1", "x-amz-meta-a-b": "2"}
    wire("PUT", bucket, "k", headers={"x-amz-meta-new": "3"})
    assert not any(name.startswith("x-amz-meta-mixed") for name in wire("HEAD", bucket, "k").headers)


def test_metadata_limit(s3: Any, bucket: str) -> None:
    """Names and values of user metadata have 2 KB together: at the limit they are kept, beyond it refused."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"name": "v" * 2044})
    with refused(400, "MetadataTooLarge"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"y", Metadata={"name": "v" * 2045})
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Cache-Control", "max-age=3600"),
        ("Content-Disposition", 'attachment; filename="a b.txt"'),
        ("Content-Language", "de, en"),
        ("Expires", "Thu, 01 Dec 2050 16:00:00 GMT"),
        ("Expires", "not a date"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Encoding", "gzip"),
    ],
)
def test_echoed_headers(wire: Any, bucket: str, header: str, value: str) -> None:
    """S3's system headers come back as they went, by GET and HEAD (and are gone after a write without them)."""
    wire("PUT", bucket, "k", headers={header: value})
    assert wire("GET", bucket, "k").headers[header.lower()] == wire("HEAD", bucket, "k").headers[header.lower()] == value
    wire("PUT", bucket, "k")
    assert wire("HEAD", bucket, "k").headers.get(header.lower()) in (None, "binary/octet-stream")


def test_head_is_get_without_a_body(s3: Any, wire: Any, bucket: str) -> None:
    """HEAD answers with GET's headers, all of them, for objects, ranges, parts, conditions and errors."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"hello", Metadata={"a": "b"}, Tagging="a=b", CacheControl="c", ChecksumAlgorithm="CRC32")
    cases: list[tuple[str, dict[str, str], dict[str, str]]] = [
        ("k", {}, {}),
        ("k", {"Range": "bytes=1-2"}, {}),
        ("k", {"Range": "bytes=9-"}, {}),
        ("k", {"x-amz-checksum-mode": "ENABLED"}, {}),
        ("k", {}, {"partNumber": "1"}),
        ("k", {}, {"response-content-type": "a/b", "response-cache-control": "no-store"}),
        ("k", {"If-None-Match": "*"}, {}),
        ("k", {"If-Match": '"x"'}, {}),
        ("none", {}, {}),
    ]
    volatile = {"date", "x-amz-request-id", "x-amz-id-2"}
    for key, headers, query in cases:
        get, head = (wire(method, bucket, key, headers=headers, query=query) for method in ("GET", "HEAD"))
        assert (get.status, head.body) == (head.status, b"")
        ignored = volatile if get.status < 300 else volatile | {"content-length", "content-type"}
        assert {n: v for n, v in get.headers.items() if n not in ignored} == {n: v for n, v in head.headers.items() if n not in ignored}


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "a&b", "]]>", "\"'", "é", "\x01"])
def test_errors_escape_what_they_echo(wire: Any, bucket: str, text: str) -> None:
    """An error document repeats the request's words escaped, so that it stays XML, and never calls itself HTML."""
    for query in ({"max-keys": text}, {"list-type": "2", "continuation-token": text}, {"encoding-type": text}, {text: "1"}):
        answer = wire("GET", bucket, query=query)
        assert answer.status in (400, 405)
        assert answer.headers["content-type"] == "application/xml"
        ET.fromstring(answer.body)
        assert b"<script>" not in answer.body
    answer = wire("GET", bucket, f"{text}-not-there")
    assert answer.status == 404
    assert b"<script>" not in answer.body


@pytest.mark.parametrize(
    "parameter", ["response-content-type", "response-content-disposition", "response-cache-control", "response-expires"]
)
def test_overrides_cannot_break_out(wire: Any, bucket: str, parameter: str) -> None:
    """What a URL overrides of an answer's headers cannot end its line."""
    wire("PUT", bucket, "k", body=b"x")
    answer = wire("GET", bucket, "k", query={parameter: "a\r\nX-Evil: 1"})
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert "x-evil" not in answer.headers

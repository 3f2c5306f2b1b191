"""Heads of requests: headers by name, each in one reading."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import SINGLE, Headers, RequestHead
from alluxio_s3.s3.target import Target, parse_target


def test_names_have_no_case() -> None:
    """Headers are found by their lower-case name, however they were written."""
    headers = Headers({"Content-MD5": "x", "X-AMZ-Meta-A": "Y"})
    assert dict(headers) == {"content-md5": "x", "x-amz-meta-a": "Y"}
    assert "content-md5" in headers
    assert headers.get("range") is None
    assert len(headers) == 2


def test_from_raw() -> None:
    """Values are UTF-8, or else Latin-1; what comes twice is joined by a comma."""
    assert dict(Headers.from_raw(iter([(b"if-match", [b"a"]), (b"If-Match", [b"b"])]))) == {"if-match": "a,b"}
    raw = [(b"X-Amz-Meta-A", ["caf\u00e9".encode()]), (b"X-Amz-Meta-B", [b"caf\xe9"]), (b"If-Match", [b'"a"', b'"b"']), (b"Accept", [])]
    assert dict(Headers.from_raw(iter(raw))) == {
        "x-amz-meta-a": "caf\u00e9",
        "x-amz-meta-b": "caf\u00e9",
        "if-match": '"a","b"',
        "accept": "",
    }


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_doubled_headers(name: str) -> None:
    """Of what must be said once, two are refused, equal or not: two readers might each take another one."""
    for values in ([b"1", b"1"], [b"1", b"2"]):
        with pytest.raises(S3Error) as raised:
            Headers.from_raw(iter([(name.upper().encode(), values)]))
        assert raised.value.code == "InvalidArgument"
        with pytest.raises(S3Error):
            Headers.from_raw(iter([(name.encode(), values[:1]), (name.title().encode(), values[1:])]))
    assert Headers.from_raw(iter([(name.encode(), [b"1"])]))[name] == "1"


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=20), st.lists(st.binary(max_size=30), max_size=3)), max_size=5))
def test_from_raw_is_total(raw: list[tuple[bytes, list[bytes]]]) -> None:
    """Any names and values are headers or an S3Error."""
    try:
        headers = Headers.from_raw(iter(raw))
    except S3Error as error:
        assert error.code == "InvalidArgument"
    else:
        assert all(name == name.lower() for name in headers)


def test_a_head_is_a_value() -> None:
    """A head is what it is about, and nothing of it can be replaced later."""
    head = RequestHead("GET", Target("b", "k"))
    assert head == RequestHead("GET", Target("b", "k"))
    assert (dict(head.headers), head.raw_target, head.secure, head.peer) == ({}, b"", False, "")
    with pytest.raises(AttributeError):
        head.method = "PUT"


def test_presigned_queries_carry_headers() -> None:
    """What a presigner moved into the query counts as a header, unless the header is there; credentials don't."""
    query = parse_target(
        b"/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=c&x-amz-meta-a=one&X-Amz-Tagging=t%3D1&x-amz-acl=private&other=x"
    ).query
    headers = Headers({"x-amz-acl": "public-read", "host": "h"}).with_presigned(query)
    assert dict(headers) == {"x-amz-acl": "public-read", "host": "h", "x-amz-meta-a": "one", "x-amz-tagging": "t=1"}


def test_only_presigned_queries_do() -> None:
    """Without credentials in the query its x-amz-* keys are no headers: S3 leaves them to its users."""
    headers = Headers({"host": "h"})
    assert headers.with_presigned(parse_target(b"/b/k?x-amz-meta-a=one").query) is headers

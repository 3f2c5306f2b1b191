"""Targets: one reading of what a request is about, whatever the bytes."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.target import (
    MAX_KEY_BYTES,
    MAX_QUERY_KEYS,
    MAX_TARGET_BYTES,
    Query,
    Target,
    key_problem,
    parse_bucket,
    parse_copy_source,
    parse_key,
    parse_query,
    parse_target,
)


def refusal(parse: object, *args: object) -> str:
    with pytest.raises(S3Error) as raised:
        parse(*args)
    assert raised.value.status in (400, 404)
    return raised.value.code


ACCEPTED = [
    (b"/", "", ""),
    (b"/?", "", ""),
    (b"/b", "b", ""),
    (b"/b/", "b", ""),
    (b"/b/?", "b", ""),
    (b"/b/k", "b", "k"),
    (b"/b/k/", "b", "k/"),
    (b"/b/d/k", "b", "d/k"),
    (b"/b/k?", "b", "k"),
    (b"/b/a+b", "b", "a+b"),
    (b"/b/a%2Bb", "b", "a+b"),
    (b"/b/a%20b", "b", "a b"),
    (b"/b/a b", "b", "a b"),
    (b"/b/a%2fb", "b", "a/b"),
    (b"/b/d%2F", "b", "d/"),
    (b"/b/a%25b", "b", "a%b"),
    (b"/b/a%252Fb", "b", "a%2Fb"),
    (b"/b/%2525", "b", "%25"),
    (b"/b/%2561", "b", "%61"),
    (b"/b/caf%C3%A9", "b", "caf\u00e9"),
    ("/b/caf\u00e9".encode(), "b", "caf\u00e9"),
    (b"/b/cafe%CC%81", "b", "cafe\u0301"),  # no normalisation: another key than the one above
    (b"/b/%F0%9F%98%80", "b", "\U0001f600"),
    (b"/b/%EF%BF%BE", "b", "\ufffe"),
    (b"/b/%E2%80%AE", "b", "\u202e"),
    (b"/b/a%0Ab", "b", "a\nb"),
    (b"/b/a%0D%0Ab", "b", "a\r\nb"),
    (b"/b/a%7Fb", "b", "a\x7fb"),
    (b"/b/a%01b", "b", "a\x01b"),
    (b"/b/...", "b", "..."),
    (b"/b/..a", "b", "..a"),
    (b"/b/a..", "b", "a.."),
    (b"/b/.a/b", "b", ".a/b"),
    (b"/b/a./b", "b", "a./b"),
    (b"/b/a:b", "b", "a:b"),
    (b"/b/a;b=c", "b", "a;b=c"),
    (b"/b/a&b=c", "b", "a&b=c"),
    (b"/b/a=b", "b", "a=b"),
    (b"/b/a@b", "b", "a@b"),
    (b"/b/a*b", "b", "a*b"),
    (b"/b/a'b\"c", "b", "a'b\"c"),
    (b"/b/<a>&amp;", "b", "<a>&amp;"),
    (b"/b/a%23b", "b", "a#b"),
    (b"/b/~a", "b", "~a"),
    (b"/b/http:/x", "b", "http:/x"),
    (b"/b/%e2%82%ac", "b", "\u20ac"),
    (b"/%62ucket/k", "bucket", "k"),
    (b"/B.u-c_k:et/k", "B.u-c_k:et", "k"),
    (b"/b/" + b"a" * MAX_KEY_BYTES, "b", "a" * MAX_KEY_BYTES),
    (b"/b/" + b"%41" * MAX_KEY_BYTES, "b", "A" * MAX_KEY_BYTES),
    (b"/" + b"b" * 255 + b"/k", "b" * 255, "k"),
    (b"http://host/b/k", "b", "k"),
    (b"http://host:29998/b/k", "b", "k"),
    (b"HTTPS://Host/b/k", "b", "k"),
    (b"http://[::1]:80/b/k", "b", "k"),
    (b"http://host", "", ""),
    (b"http://host/", "", ""),
    (b"http://host?list-type=2", "", ""),
    (b"http://user@other/b/k", "b", "k"),
]


@pytest.mark.parametrize(("raw", "bucket", "key"), ACCEPTED)
def test_accepted_targets(raw: bytes, bucket: str, key: str) -> None:
    """Each target means one bucket and key, decoded once."""
    target = parse_target(raw)
    assert (target.bucket, target.key) == (bucket, key)


REFUSED = [
    (b"", "InvalidURI"),
    (b"*", "InvalidURI"),
    (b"b/k", "InvalidURI"),
    (b"host:443", "InvalidURI"),
    (b"ftp://host/b/k", "InvalidURI"),
    (b"http:/host/b", "InvalidURI"),
    (b"http:///b/k", "InvalidURI"),
    (b"http://", "InvalidURI"),
    (b"http", "InvalidURI"),
    (b" /b/k", "InvalidURI"),
    (b"\\b\\k", "InvalidURI"),
    (b"//", "InvalidURI"),
    (b"///", "InvalidURI"),
    (b"//b/k", "InvalidURI"),
    (b"//?x", "InvalidURI"),
    (b"http://host//b", "InvalidURI"),
    (b"/b/k#f", "InvalidURI"),
    (b"/b#", "InvalidURI"),
    (b"/b/k?a#b", "InvalidURI"),
    (b"/b/%", "InvalidURI"),
    (b"/b/%4", "InvalidURI"),
    (b"/b/%zz", "InvalidURI"),
    (b"/b/%+1", "InvalidURI"),
    (b"/b/%u0041", "InvalidURI"),
    (b"/b/%FF", "InvalidURI"),
    (b"/b/\xff", "InvalidURI"),
    (b"/b/%C0%AF", "InvalidURI"),  # an overlong slash
    (b"/b/%C0%AE%C0%AE/x", "InvalidURI"),
    (b"/b/%ED%A0%80", "InvalidURI"),  # a surrogate
    (b"/b/%C3", "InvalidURI"),
    (b"/b/%F4%90%80%80", "InvalidURI"),
    (b"/%FF/k", "InvalidURI"),
    (b"/b?%", "InvalidURI"),
    (b"/b?a=%FF", "InvalidURI"),
    (b"/" + b"a" * MAX_TARGET_BYTES, "InvalidURI"),
    (b"/b?" + b"a&" * (MAX_QUERY_KEYS + 1), "InvalidURI"),
    (b"/b/.", "InvalidArgument"),
    (b"/b/..", "InvalidArgument"),
    (b"/b/./k", "InvalidArgument"),
    (b"/b/../k", "InvalidArgument"),
    (b"/b/d/..", "InvalidArgument"),
    (b"/b/d/../k", "InvalidArgument"),
    (b"/b/d/./k", "InvalidArgument"),
    (b"/b/d/.", "InvalidArgument"),
    (b"/b/../", "InvalidArgument"),
    (b"/b/%2e%2e/k", "InvalidArgument"),
    (b"/b/%2E./k", "InvalidArgument"),
    (b"/b/d%2F..%2Fk", "InvalidArgument"),
    (b"/b/..%2Fk", "InvalidArgument"),
    (b"/b//", "InvalidArgument"),
    (b"/b//k", "InvalidArgument"),
    (b"/b/d//k", "InvalidArgument"),
    (b"/b/d//", "InvalidArgument"),
    (b"/b/%2F", "InvalidArgument"),
    (b"/b/%2Fk", "InvalidArgument"),
    (b"/b/%2Fetc%2Fpasswd", "InvalidArgument"),
    (b"/b/d%2F/k", "InvalidArgument"),
    (b"/b/%00", "InvalidArgument"),
    (b"/b/k%00.txt", "InvalidArgument"),
    (b"/b/\x00", "InvalidArgument"),
    (b"/b/a\\b", "InvalidArgument"),
    (b"/b/a%5Cb", "InvalidArgument"),
    (b"/b/..%5Ck", "InvalidArgument"),
    (b"/b/a%3Fb", "InvalidArgument"),
    (b"/b/%3F", "InvalidArgument"),
    (b"/./k", "InvalidBucketName"),
    (b"/../k", "InvalidBucketName"),
    (b"/..", "InvalidBucketName"),
    (b"/%2e%2e/k", "InvalidBucketName"),
    (b"/.hidden/k", "InvalidBucketName"),
    (b"/b%2Fk", "InvalidBucketName"),
    (b"/b%2F..%2Fc/k", "InvalidBucketName"),
    (b"/b%00/k", "InvalidBucketName"),
    (b"/b%0A/k", "InvalidBucketName"),
    (b"/b c/k", "InvalidBucketName"),
    (b"/b%20/k", "InvalidBucketName"),
    (b"/b\\c/k", "InvalidBucketName"),
    (b"/caf%C3%A9/k", "InvalidBucketName"),
    (b"/b%3Fx/k", "InvalidBucketName"),
    (b"/b+c/k", "InvalidBucketName"),
    (b"/~b/k", "InvalidBucketName"),
    (b"/" + b"b" * 256, "InvalidBucketName"),
    (b"/b/" + b"a" * (MAX_KEY_BYTES + 1), "KeyTooLongError"),
    (b"/b/" + b"%C3%A9" * 513, "KeyTooLongError"),
]


@pytest.mark.parametrize(("raw", "code"), REFUSED)
def test_refused_targets(raw: bytes, code: str) -> None:
    """What could be read in two ways, or names no key that a store could hold, is refused."""
    assert refusal(parse_target, raw) == code


@pytest.mark.parametrize(
    ("raw", "pairs"),
    [
        (b"", ()),
        (b"&&", ()),
        (b"tagging", (("tagging", ""),)),
        (b"tagging=", (("tagging", ""),)),
        (b"prefix=&delimiter=", (("prefix", ""), ("delimiter", ""))),
        (b"prefix=a+b%2Bc%20d", (("prefix", "a b+c d"),)),
        (b"a=b=c", (("a", "b=c"),)),
        (b"=v", (("", "v"),)),
        (b"%70refix=x", (("prefix", "x"),)),
        (b"prefix=a%26b%3Dc", (("prefix", "a&b=c"),)),
        (b"a;b", (("a;b", ""),)),
        (b"prefix=../x/", (("prefix", "../x/"),)),
        (b"a=1&a=2", (("a", "1"), ("a", "2"))),
        (b"a?b=c", (("a?b", "c"),)),
    ],
)
def test_queries(raw: bytes, pairs: tuple[tuple[str, str], ...]) -> None:
    """Queries are decoded once, in order; a key without a value is there all the same."""
    query = parse_query(raw)
    assert query.pairs == pairs
    for name, _ in pairs:
        assert name in query
    assert list(query) == list(dict(pairs))
    assert parse_target(b"/b?" + raw).query == query == parse_target(b"http://h/b?" + raw).query


def test_query_lookup() -> None:
    """The first value counts; an absent key has the default."""
    query = Query((("a", "1"), ("a", "2"), ("b", "")))
    assert (query.get("a"), query.get("b", "x"), query.get("c", "x"), query.get("c")) == ("1", "", "x", None)
    assert "c" not in query


@pytest.mark.parametrize(
    ("value", "bucket", "key"),
    [
        ("b/k", "b", "k"),
        ("/b/k", "b", "k"),
        ("b/d/k", "b", "d/k"),
        ("b/d/", "b", "d/"),
        ("/b/a%20b", "b", "a b"),
        ("b/one+%C3%A9.txt", "b", "one \u00e9.txt"),
        ("b/a%2Bb", "b", "a+b"),
        ("b/caf\u00e9", "b", "caf\u00e9"),
        ("b%2Fk", "b", "k"),
        ("%2Fb%2Fd%2Fk", "b", "d/k"),
        ("b/k?versionId=null", "b", "k"),
        ("b/k?", "b", "k"),
        ("b/a%252Fb", "b", "a%2Fb"),
    ],
)
def test_copy_sources(value: str, bucket: str, key: str) -> None:
    """The source of a copy is read as clients write it, decoded once."""
    assert parse_copy_source(value) == Target(bucket, key)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("", "InvalidArgument"),
        ("/", "InvalidArgument"),
        ("b", "InvalidArgument"),
        ("b/", "InvalidArgument"),
        ("/b", "InvalidArgument"),
        ("/b/", "InvalidArgument"),
        ("b/../c/k", "InvalidArgument"),
        ("b/%2e%2e/k", "InvalidArgument"),
        ("b//k", "InvalidArgument"),
        ("b/k%00", "InvalidArgument"),
        ("b/k%3Fx", "InvalidArgument"),
        ("b/a%5Cb", "InvalidArgument"),
        ("b/%zz", "InvalidArgument"),
        ("b/100%", "InvalidArgument"),
        ("b/%FF", "InvalidArgument"),
        ("b/k?versionId=3", "InvalidArgument"),
        ("b/k?x", "InvalidArgument"),
        ("b/\ud800", "InvalidArgument"),
        ("//b/k", "InvalidBucketName"),
        ("../b/k", "InvalidBucketName"),
        ("http://b/k", "InvalidArgument"),
        ("b/" + "a" * (MAX_KEY_BYTES + 1), "KeyTooLongError"),
    ],
)
def test_refused_copy_sources(value: str, code: str) -> None:
    """A source that is none, or whose key no request could name, is refused."""
    assert refusal(parse_copy_source, value) == code


def test_key_lengths() -> None:
    """The limit is in bytes of UTF-8: the longest is taken, one byte more is not."""
    assert parse_key("\u00e9" * 512)
    assert refusal(parse_key, "\u00e9" * 512 + "a") == "KeyTooLongError"
    assert refusal(parse_key, "") == "InvalidArgument"


def safe(key: str) -> bool:
    return bool(key) and not any(bad in key for bad in ("\0", "\\", "?", "//")) and not (
        key.startswith("/") or {".", ".."} & set(key.split("/"))
    )  # fmt: skip


keys = st.text(st.one_of(st.sampled_from("./ab?\\\0%"), st.characters(exclude_categories=["Cs"])), max_size=40)


@given(keys)
def test_every_entrance_agrees(key: str) -> None:
    """A key in a target, in a copy source and alone is the same key, or refused alike."""
    quoted = quote(key, safe="/")
    assert safe(key) == (bool(key) and key_problem(key) is None)
    if safe(key):
        assert parse_key(key) == key
        assert parse_target(f"/b/{quoted}".encode()).key == key
        assert parse_target(f"/b/{quote(key, safe='')}".encode()).key == key
        assert parse_copy_source(f"b/{quoted}") == parse_copy_source(f"/b/{quoted}") == Target("b", key)
    else:
        assert refusal(parse_key, key) == "InvalidArgument"
        assert refusal(parse_copy_source, f"b/{quoted}") == "InvalidArgument"
        if key:
            assert refusal(parse_target, f"/b/{quoted}".encode()) == "InvalidArgument"


targets = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from([b"/", b"//", b"b", b"..", b".", b"%", b"%2F", b"%2e", b"%00", b"?", b"&", b"=", b"#", b"http://h", b"\xff", b"k"])
    ).map(b"".join),
)


@given(targets)
def test_targets_are_total(raw: bytes) -> None:
    """Any bytes are a target that a store can be asked for, or an S3Error."""
    try:
        target = parse_target(raw)
    except S3Error as error:
        assert error.status == 400
    else:
        assert not target.key or (target.bucket and safe(target.key) and len(target.key.encode()) <= MAX_KEY_BYTES)
        assert not target.bucket or parse_bucket(target.bucket) == target.bucket
        assert "/" not in target.bucket


@given(st.text(st.characters(), max_size=40))
def test_texts_are_total(text: str) -> None:
    """Any text, lone surrogates too, is a bucket, a key, a source, or an S3Error."""
    for parse in (parse_bucket, parse_key, parse_copy_source):
        try:
            parse(text)
        except S3Error as error:
            assert error.status == 400

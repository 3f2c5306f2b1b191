"""Listings: delimiters, prefixes, pages, markers and encoding, of both versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest

from tests.conformance.conftest import refused

BOTH = pytest.mark.parametrize("call", ["list_objects", "list_objects_v2"])


def listed(s3: Any, call: str, bucket: str, **asked: Any) -> tuple[list[str], list[str]]:
    """Keys and common prefixes of one page."""
    page = getattr(s3, call)(Bucket=bucket, **asked)
    return [one["Key"] for one in page.get("Contents", [])], [one["Prefix"] for one in page.get("CommonPrefixes", [])]


def paged(s3: Any, call: str, bucket: str, size: int, **asked: Any) -> tuple[list[str], list[str]]:
    """Keys and common prefixes of all pages of ``size``."""
    keys: list[str] = []
    prefixes: list[str] = []
    for page in s3.get_paginator(call).paginate(Bucket=bucket, PaginationConfig={"PageSize": size}, **asked):
        keys += [one["Key"] for one in page.get("Contents", [])]
        prefixes += [one["Prefix"] for one in page.get("CommonPrefixes", [])]
    return keys, prefixes


# Keys, what is asked, the keys and the common prefixes of the answer: the cases of s3-tests' test_bucket_list_*, less those that
# need an object "foo/bar" beside one "foo/bar/xyzzy", which a directory tree cannot have.
CASES: dict[str, tuple[tuple[str, ...], dict[str, str], list[str], list[str]]] = {
    "delimiter_basic": (
        ("foo/bar", "foo/baz/xyzzy", "quux/thud", "asdf"),
        {"Delimiter": "/"},
        ["asdf"],
        ["foo/", "quux/"],
    ),
    "delimiter_alt": (("bar", "baz", "cab", "foo"), {"Delimiter": "a"}, ["foo"], ["ba", "ca"]),
    "delimiter_percentage": (("b%ar", "b%az", "c%ab", "foo"), {"Delimiter": "%"}, ["foo"], ["b%", "c%"]),
    "delimiter_whitespace": (("b ar", "b az", "c ab", "foo"), {"Delimiter": " "}, ["foo"], ["b ", "c "]),
    "delimiter_dot": (("b.ar", "b.az", "c.ab", "foo"), {"Delimiter": "."}, ["foo"], ["b.", "c."]),
    "delimiter_longer": (("a--b", "a-b", "c--", "d"), {"Delimiter": "--"}, ["a-b", "d"], ["a--", "c--"]),
    "delimiter_newline": (("bar", "baz", "cab", "foo"), {"Delimiter": "\x0a"}, ["bar", "baz", "cab", "foo"], []),
    "delimiter_empty": (("bar", "baz", "cab", "foo"), {"Delimiter": ""}, ["bar", "baz", "cab", "foo"], []),
    "delimiter_not_there": (("bar", "baz", "cab", "foo"), {"Delimiter": "/"}, ["bar", "baz", "cab", "foo"], []),
    "delimiter_not_skip_special": (
        ("0/", *(f"0/{number}" for number in range(100, 120)), "1999", "1999#", "1999+", "2000"),
        {"Delimiter": "/"},
        ["1999", "1999#", "1999+", "2000"],
        ["0/"],
    ),
    "prefix_basic": (("foo/bar", "foo/baz", "quux"), {"Prefix": "foo/"}, ["foo/bar", "foo/baz"], []),
    "prefix_alt": (("bar", "baz", "foo"), {"Prefix": "ba"}, ["bar", "baz"], []),
    "prefix_empty": (("foo/bar", "foo/baz", "quux"), {"Prefix": ""}, ["foo/bar", "foo/baz", "quux"], []),
    "prefix_not_there": (("foo/bar", "foo/baz", "quux"), {"Prefix": "d"}, [], []),
    "prefix_control": (("foo/bar", "foo/baz", "quux"), {"Prefix": "\x0a"}, [], []),
    "prefix_is_a_key": (("foo", "foobar"), {"Prefix": "foo"}, ["foo", "foobar"], []),
    "prefix_below_a_key": (("foo", "foobar"), {"Prefix": "foo/"}, [], []),
    "prefix_special": (("_bla/1", "_bla/2", "_bla/3", "_bla/4", "abcd"), {"Prefix": "_bla/"}, ["_bla/1", "_bla/2", "_bla/3", "_bla/4"], []),
    "both_basic": (("foo/bar", "foo/baz/xyzzy", "quux/thud", "asdf"), {"Prefix": "foo/", "Delimiter": "/"}, ["foo/bar"], ["foo/baz/"]),
    "both_alt": (("bar", "bazar", "cab", "foo"), {"Prefix": "ba", "Delimiter": "a"}, ["bar"], ["baza"]),
    "both_prefix_not_there": (("b/a/r", "b/a/c", "b/a/g", "g"), {"Prefix": "d", "Delimiter": "/"}, [], []),
    "both_delimiter_not_there": (("b/a/c", "b/a/g", "b/a/r", "g"), {"Prefix": "b", "Delimiter": "z"}, ["b/a/c", "b/a/g", "b/a/r"], []),
    "both_neither_there": (("b/a/c", "b/a/g", "b/a/r", "g"), {"Prefix": "y", "Delimiter": "z"}, [], []),
    "prefix_ends_with_delimiter": (("asdf/",), {"Prefix": "asdf/", "Delimiter": "/"}, ["asdf/"], []),
    "prefix_without_its_slash": (("a/b", "a-b", "ab"), {"Prefix": "a", "Delimiter": "/"}, ["a-b", "ab"], ["a/"]),
    "dot_names": ((".a", "..b", "a..", "..."), {}, ["...", "..b", ".a", "a.."], []),
    "order_around_the_slash": (("a/b", "a-b", "a.b", "a0", "a!", "a"[0] + "~"), {}, ["a!", "a-b", "a.b", "a/b", "a0", "a~"], []),
    "order_of_planes": (("\ufffd", "\U00010000", "z", "é"), {}, ["z", "é", "\ufffd", "\U00010000"], []),
}


@BOTH
@pytest.mark.parametrize("case", CASES)
def test_selection(s3: Any, bucket: str, put: Callable[..., None], call: str, case: str) -> None:
    """Prefix and delimiter select and fold as S3 says, in byte order, on one page or on pages of one and two."""
    keys, asked, expected, prefixes = CASES[case]
    put(*keys)
    assert listed(s3, call, bucket, **asked) == (expected, prefixes)
    for size in (1, 2):
        assert paged(s3, call, bucket, size, **asked) == (expected, prefixes)


@BOTH
def test_delimiter_prefix(s3: Any, bucket: str, put: Callable[..., None], call: str) -> None:
    """Keys and common prefixes of a page are counted together and cut in their common order (s3-tests' delimiter_prefix)."""
    put("asdf", "boo/bar", "boo/baz/xyzzy", "cquux/thud", "cquux/bla")

    def page(start: str, size: int, prefix: str) -> tuple[bool, list[str], list[str], str]:
        asked: dict[str, Any] = {"Delimiter": "/", "MaxKeys": size, "Prefix": prefix}
        if start:
            asked["Marker" if call == "list_objects" else "ContinuationToken"] = start
        answer = getattr(s3, call)(Bucket=bucket, **asked)
        following = answer.get("NextMarker" if call == "list_objects" else "NextContinuationToken", "")
        keys = [one["Key"] for one in answer.get("Contents", [])]
        return answer["IsTruncated"], keys, [one["Prefix"] for one in answer.get("CommonPrefixes", [])], following

    truncated, keys, prefixes, following = page("", 1, "")
    assert (truncated, keys, prefixes) == (True, ["asdf"], [])
    truncated, keys, prefixes, following = page(following, 1, "")
    assert (truncated, keys, prefixes) == (True, [], ["boo/"])
    assert page(following, 1, "") == (False, [], ["cquux/"], "")
    truncated, keys, prefixes, following = page("", 2, "")
    assert (truncated, keys, prefixes) == (True, ["asdf"], ["boo/"])
    assert page(following, 2, "") == (False, [], ["cquux/"], "")
    truncated, keys, prefixes, following = page("", 1, "boo/")
    assert (truncated, keys, prefixes) == (True, ["boo/bar"], [])
    assert page(following, 1, "boo/") == (False, [], ["boo/baz/"], "")
    assert page("", 2, "boo/") == (False, ["boo/bar"], ["boo/baz/"], "")


@BOTH
@pytest.mark.parametrize(
    ("delimiter", "after", "keys", "prefixes"),
    [
        ("", "bar", ["baz", "foo", "quxx"], []),
        ("", "", ["bar", "baz", "foo", "quxx"], []),
        ("", "\x0a", ["bar", "baz", "foo", "quxx"], []),
        ("", "blah", ["foo", "quxx"], []),
        ("", "zzz", [], []),
        ("", "ba", ["bar", "baz", "foo", "quxx"], []),
        ("/", "baz", ["foo", "quxx"], []),
    ],
)
def test_beginning_after(
    s3: Any, bucket: str, put: Callable[..., None], call: str, delimiter: str, after: str, keys: list[str], prefixes: list[str]
) -> None:
    """Marker and StartAfter need be no key; what comes is greater than they are."""
    put("bar", "baz", "foo", "quxx")
    name = "Marker" if call == "list_objects" else "StartAfter"
    assert listed(s3, call, bucket, Delimiter=delimiter, **{name: after}) == (keys, prefixes)


@BOTH
def test_limits(s3: Any, bucket: str, put: Callable[..., None], call: str) -> None:
    """MaxKeys 0 is an empty page that is not truncated, 1 is one key; none is 1000, and so is more."""
    put("bar", "baz", "foo", "quxx")
    ask = getattr(s3, call)
    one = ask(Bucket=bucket, MaxKeys=1)
    assert (one["IsTruncated"], [key["Key"] for key in one["Contents"]], one["MaxKeys"]) == (True, ["bar"], 1)
    none = ask(Bucket=bucket, MaxKeys=0)
    assert (none["IsTruncated"], none.get("Contents"), none["MaxKeys"]) == (False, None, 0)
    assert ask(Bucket=bucket)["MaxKeys"] == 1000
    assert ask(Bucket=bucket, MaxKeys=5000)["MaxKeys"] == 1000


@pytest.mark.parametrize("value", ["blah", "1.5", "-1", "99999999999999999999", "0x10", "\u0661"])
def test_limit_that_is_none(wire: Any, bucket: str, value: str) -> None:
    """A max-keys that is no number of S3's range is InvalidArgument, in both versions."""
    for version in ({}, {"list-type": "2"}):
        answer = wire("GET", bucket, query={**version, "max-keys": value})
        assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_key_count(s3: Any, bucket: str, put: Callable[..., None]) -> None:
    """KeyCount of version 2 counts keys and common prefixes."""
    put("a", "b/1", "b/2", "c")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 4
    assert s3.list_objects_v2(Bucket=bucket, Delimiter="/")["KeyCount"] == 3
    assert s3.list_objects_v2(Bucket=bucket, Prefix="x")["KeyCount"] == 0


@BOTH
def test_encoding(s3: Any, bucket: str, put: Callable[..., None], wire: Any, call: str) -> None:
    """With encoding-type=url keys, prefixes, delimiter and markers come percent-encoded, and decode to what they were."""
    put("asdf+b", "foo+1/bar", "foo/bar/xyzzy", "quux ab/thud")
    version = {} if call == "list_objects" else {"list-type": "2"}
    answer = wire("GET", bucket, query={**version, "delimiter": "/", "encoding-type": "url"})
    assert answer.texts("Contents/Key") == ["asdf%2Bb"]
    assert answer.texts("CommonPrefixes/Prefix")[:2] == ["foo%2B1/", "foo/"]
    assert [unquote(one) for one in answer.texts("CommonPrefixes/Prefix")] == ["foo+1/", "foo/", "quux ab/"]
    assert answer.texts("Delimiter") == ["/"]
    assert answer.texts("EncodingType") == ["url"]
    assert wire("GET", bucket, query={**version, "encoding-type": "base64"}).code == "InvalidArgument"


@BOTH
@pytest.mark.needs("owners")
def test_entries_are_complete(s3: Any, bucket: str, call: str) -> None:
    """What a listing tells of an object is what HEAD tells of it."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"12345")
    asked = {"FetchOwner": True} if call == "list_objects_v2" else {}
    (entry,) = getattr(s3, call)(Bucket=bucket, **asked)["Contents"]
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (entry["ETag"], entry["Size"], entry["StorageClass"]) == (head["ETag"], 5, "STANDARD")
    assert entry["LastModified"].replace(microsecond=0) == head["LastModified"]
    assert entry["Owner"]["ID"] == entry["Owner"]["DisplayName"] == "conformance"


def test_owner_only_if_asked(s3: Any, bucket: str, put: Callable[..., None]) -> None:
    """Version 2 tells owners with fetch-owner=true only."""
    put("k")
    assert "Owner" in s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"][0]
    assert "Owner" not in s3.list_objects_v2(Bucket=bucket, FetchOwner=False)["Contents"][0]
    assert "Owner" not in s3.list_objects_v2(Bucket=bucket)["Contents"][0]


def test_token_and_start(s3: Any, bucket: str, put: Callable[..., None]) -> None:
    """A continuation token goes on where its page ended, and counts more than StartAfter; both are repeated in the answer."""
    put("bar", "baz", "foo", "quxx")
    first = s3.list_objects_v2(Bucket=bucket, StartAfter="bar", MaxKeys=1)
    assert (first["StartAfter"], first["Contents"][0]["Key"], first["IsTruncated"]) == ("bar", "baz", True)
    token = first["NextContinuationToken"]
    rest = s3.list_objects_v2(Bucket=bucket, StartAfter="bar", ContinuationToken=token)
    assert (rest["ContinuationToken"], [one["Key"] for one in rest["Contents"]]) == (token, ["foo", "quxx"])


@pytest.mark.parametrize("token", ["abc", "AAAA", "%00", "é", "A" * 3000, "==="])
def test_token_that_is_none(wire: Any, bucket: str, token: str) -> None:
    """A continuation token that nobody gave is InvalidArgument."""
    answer = wire("GET", bucket, query={"list-type": "2", "continuation-token": token})
    assert (answer.status, answer.code) == (400, "InvalidArgument")


@BOTH
def test_no_bucket(s3: Any, call: str) -> None:
    """Listing a bucket that is not there is NoSuchBucket."""
    with refused(404, "NoSuchBucket"):
        getattr(s3, call)(Bucket="conf-not-there")


@BOTH
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_pages_under_change(s3: Any, bucket: str, put: Callable[..., None], call: str, delimiter: str) -> None:
    """Keys that stay are listed once, whatever comes and goes around the edge of a page."""
    stay = [f"s/{number:02}" if number % 3 else f"s{number:02}" for number in range(30)]
    put(*stay)
    seen: list[str] = []
    for turn, page in enumerate(s3.get_paginator(call).paginate(Bucket=bucket, Delimiter=delimiter, PaginationConfig={"PageSize": 4})):
        seen += [one["Key"] for one in page.get("Contents", [])] + [one["Prefix"] for one in page.get("CommonPrefixes", [])]
        last = seen[-1].rstrip("/")
        put(f"{last}-x{turn}", f"{last}~{turn}")  # after the last key
        put(f"a{turn}")  # before all
        s3.delete_object(Bucket=bucket, Key=f"a{turn}")
    expected = stay if not delimiter else [key for key in stay if "/" not in key] + ["s/"]
    assert sorted(key for key in seen if "-x" not in key and "~" not in key and not key.startswith("a")) == sorted(expected)


def test_folders_as_alluxio_lists_them(s3: Any, bucket: str) -> None:
    """A key that a client put with a trailing slash is listed; a directory that is there only for its keys is not (with the
    setting of these tests; Alluxio's documented default lists it as well)."""
    s3.put_object(Bucket=bucket, Key="made/", Body=b"")
    s3.put_object(Bucket=bucket, Key="implied/k", Body=b"")
    assert listed(s3, "list_objects_v2", bucket) == (["implied/k", "made/"], [])


@pytest.mark.needs("directories")
def test_tree_conflicts_are_told(s3: Any, bucket: str, put: Callable[..., None]) -> None:
    """S3 can have both `foo` and `foo/bar`; a directory tree cannot, and says so with 400 instead of losing one of them."""
    put("foo")
    with refused(400, "InvalidRequest"):
        put("foo/bar")
    put("dir/k")
    with refused(400, "InvalidRequest"):
        put("dir")
    assert listed(s3, "list_objects_v2", bucket)[0] == ["dir/k", "foo"]

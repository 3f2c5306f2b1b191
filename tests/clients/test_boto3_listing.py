"""boto3: listings of both versions, with pages, prefixes and delimiters."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.ci

FLAT = sorted([f"{number:03}" for number in range(25)] + ["a-b", "a.b", "a b", "a+b", "aé", "a🐘", "a&<>"], key=str.encode)
TREE = ("a-b", "a/1", "a/2", "a/b/3", "a.b", "b/1", "c")


def put_all(s3: Any, bucket: str, keys: Any) -> None:
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")


def keys_of(pages: Any) -> list[str]:
    """The keys of all *pages*, without the entries for folders that nobody put."""
    found = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return [key for key in found if not key.endswith("/")]


def prefixes_of(pages: Any) -> list[str]:
    return [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]


@pytest.mark.parametrize("call", ["list_objects", "list_objects_v2"])
@pytest.mark.parametrize("size", [1, 7, 32, 1000])
def test_pages(s3: Any, bucket: str, call: str, size: int) -> None:
    """Pages of any size together give every key once, in UTF-8 byte order, and none is larger than was asked."""
    put_all(s3, bucket, FLAT)
    pages = list(s3.get_paginator(call).paginate(Bucket=bucket, PaginationConfig={"PageSize": size}))
    assert keys_of(pages) == FLAT
    assert max(len(page["Contents"]) for page in pages) == min(size, len(FLAT))
    assert [page["IsTruncated"] for page in pages] == [True] * (len(pages) - 1) + [False]


@pytest.mark.parametrize("call", ["list_objects", "list_objects_v2"])
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_delimiter(s3: Any, bucket: str, call: str, size: int) -> None:
    """A delimiter folds keys into common prefixes, each given once however the pages fall."""
    put_all(s3, bucket, TREE)
    paginate = s3.get_paginator(call).paginate

    def pages(**asked: str) -> list[Any]:
        return list(paginate(Bucket=bucket, PaginationConfig={"PageSize": size}, **asked))

    top = pages(Delimiter="/")
    assert (keys_of(top), prefixes_of(top)) == (["a-b", "a.b", "c"], ["a/", "b/"])
    inside = pages(Delimiter="/", Prefix="a/")
    assert (keys_of(inside), prefixes_of(inside)) == (["a/1", "a/2"], ["a/b/"])
    cut = pages(Delimiter="/", Prefix="a")
    assert (keys_of(cut), prefixes_of(cut)) == (["a-b", "a.b"], ["a/"])


@pytest.mark.parametrize(
    ("delimiter", "keys", "prefixes"),
    [("-", ["a/1", "a/2", "a/b/3", "a.b", "b/1", "c"], ["a-"]), ("/b", ["a-b", "a.b", "a/1", "a/2", "b/1", "c"], ["a/b"])],
)
def test_any_delimiter(s3: Any, bucket: str, delimiter: str, keys: list[str], prefixes: list[str]) -> None:
    """A delimiter need not be a slash, nor one character."""
    put_all(s3, bucket, TREE)
    page = s3.list_objects_v2(Bucket=bucket, Delimiter=delimiter)
    assert (keys_of([page]), prefixes_of([page])) == (sorted(keys), prefixes)


def test_bounds_of_a_listing(s3: Any, bucket: str) -> None:
    """StartAfter and Marker leave out what is not after them, whether there is such a key or not."""
    put_all(s3, bucket, ["a", "b", "c"])
    assert keys_of([s3.list_objects_v2(Bucket=bucket, StartAfter="a")]) == ["b", "c"]
    assert keys_of([s3.list_objects_v2(Bucket=bucket, StartAfter="aa")]) == ["b", "c"]
    assert keys_of([s3.list_objects(Bucket=bucket, Marker="b")]) == ["c"]
    assert keys_of([s3.list_objects_v2(Bucket=bucket, MaxKeys=0)]) == []


def test_empty_and_unknown_prefix(s3: Any, bucket: str) -> None:
    """An empty bucket and a prefix that nothing has are empty listings, not errors."""
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    put_all(s3, bucket, ["file.ext"])
    for prefix in ("nothing/here", "file.ext/", "file.extra"):
        for call in (s3.list_objects, s3.list_objects_v2):
            page = call(Bucket=bucket, Prefix=prefix)
            assert ("Contents" in page, page["IsTruncated"]) == (False, False)


def test_entries_are_complete(s3: Any, bucket: str) -> None:
    """An entry has all that S3 documents; version 2 leaves out the owner unless it is asked for."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"12345")
    (entry,) = s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"]
    assert {"Key", "LastModified", "ETag", "Size", "StorageClass", "Owner"} <= entry.keys()
    assert (entry["Size"], entry["StorageClass"]) == (5, "STANDARD")
    assert entry["LastModified"].replace(microsecond=0) == s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert "Owner" not in s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert "Owner" in s3.list_objects(Bucket=bucket)["Contents"][0]


@pytest.mark.parametrize(
    ("asked", "code"),
    [({"MaxKeys": -1}, "InvalidArgument"), ({"ContinuationToken": "not one of ours"}, "InvalidArgument")],
)
def test_bad_arguments(s3: Any, bucket: str, asked: dict[str, Any], code: str) -> None:
    """A negative number of keys and a made-up continuation token are refused with a 400."""
    with pytest.raises(ClientError) as error:
        s3.list_objects_v2(Bucket=bucket, **asked)
    assert error.value.response["Error"]["Code"] == code

"""ListObjects and ListObjectsV2."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote
from xml.etree.ElementTree import Element, fromstring

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

import alluxio_s3.actions.everything  # noqa: F401  # fills the registry
from alluxio_s3.actions.listings import MAX_LOOKS, Page, Selection, read_page
from alluxio_s3.interfaces import IUnderFileSystem
from alluxio_s3.namespace.mounts import Place
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes, Listing, Status, Unavailable
from alluxio_s3.ufs.memory import MemoryUnderFileSystem

S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
VERSIONS = pytest.mark.parametrize("version", ["", "&list-type=2"], ids=["v1", "v2"])

# Few characters, so that keys share prefixes: around "/", at both ends of the order, of one to four bytes.
KEYS = st.sets(st.text("a!/b0é\uffff\U0010ffff", min_size=1, max_size=5), max_size=25)
STEPS = st.text("a!/b0é\uffff\U0010ffff", max_size=3)


def now(coroutine: Any) -> Any:
    """What a coroutine that waits for nothing returns."""
    results: list[Any] = []
    Deferred.fromCoroutine(coroutine).addBoth(results.append)
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]


def text(tree: Element, name: str) -> str | None:
    return tree.findtext(S3 + name)


def keys(body: bytes) -> list[str]:
    return [one.findtext(f"{S3}Key") or "" for one in fromstring(body).iter(f"{S3}Contents")]


def prefixes(body: bytes) -> list[str]:
    return [one.findtext(f"{S3}Prefix") or "" for one in fromstring(body).iter(f"{S3}CommonPrefixes")]


def expected(all_keys: set[str], prefix: str, delimiter: str, after: str = "") -> list[str]:
    """The entries of the whole listing, by S3's definition."""
    entries = set()
    for key in all_keys:
        if key.startswith(prefix):
            head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            entries.add(prefix + head + found if found else key)
    return sorted((entry for entry in entries if entry > after), key=str.encode)


async def filled(all_keys: set[str], place: str) -> MemoryUnderFileSystem:
    """A store with the keys, whatever their form, below ``place``."""
    ufs = MemoryUnderFileSystem(Clock(), buckets=bool(place))
    for bucket in [place.rstrip("/"), "zz"] if place else []:
        await ufs.create_bucket(bucket, Attributes())
    for key in all_keys:
        writer = await ufs.create(place + key, Attributes(), 0)
        await writer.commit(Attributes(), ALWAYS)
    return ufs


async def put(bench: Any, *names: str) -> None:
    for name in names:
        await bench.ask("PUT", f"/bucket/{quote(name)}", body=b"x")


@given(KEYS, STEPS, STEPS, st.integers(1, 7), st.sampled_from(["", "b/"]))
def test_pages_are_the_listing(all_keys, prefix, delimiter, limit, bucket):
    """Pages of any size, one after the other, are every entry once, in UTF-8 byte order; only the last says that it is the last,
    and all others are full. With any prefix and any delimiter.
    """
    place = Place(now(filled(all_keys, bucket)), bucket)
    wanted = Selection(prefix, delimiter, limit, None)
    found: list[str] = []
    start: str | None = ""
    while start is not None:
        page: Page = now(read_page(place, wanted, start))
        assert len(page.entries) == limit or page.following is None
        found += [key for key, _ in page.entries]
        assert all((status is None) == (key not in all_keys or wanted.rolled_up(key) is not None) for key, status in page.entries)
        start = page.following
        assert start is None or len(found) < len(expected(all_keys, prefix, delimiter))
    assert found == expected(all_keys, prefix, delimiter)


@given(KEYS, STEPS, STEPS, STEPS)
def test_what_comes_after_a_marker(all_keys, prefix, delimiter, marker):
    """After a marker come the entries that are greater than it: a common prefix by itself, not by its keys."""
    place = Place(now(filled(all_keys, "")), "")
    wanted = Selection(prefix, delimiter, 1000, None)
    start = wanted.after(marker) if marker else ""
    page = Page() if start is None else now(read_page(place, wanted, start))
    assert [key for key, _ in page.entries] == expected(all_keys, prefix, delimiter, marker)


@given(KEYS, st.data())
def test_a_key_that_stays_is_listed_once(all_keys, data):
    """While other keys come and go between pages, each key that stays is given exactly once."""
    stay = data.draw(st.sets(st.sampled_from(sorted(all_keys)))) if all_keys else set()
    ufs = now(filled(all_keys, ""))
    wanted = Selection("", data.draw(st.sampled_from(["", "/", "b"])), 2, None)
    found: list[str] = []
    start: str | None = ""
    while start is not None:
        page = now(read_page(Place(ufs, ""), wanted, start))
        found += [key for key, _ in page.entries]
        start = page.following
        for key in data.draw(st.sets(st.sampled_from(sorted(all_keys - stay)))) if all_keys - stay else set():
            if now(ufs.list(key, key, 1, "")).entries[:1] and now(ufs.list(key, key, 1, "")).entries[0].path == key:
                now(ufs.delete(key, ALWAYS))
            else:
                now(now(ufs.create(key, Attributes(), 0)).commit(Attributes(), ALWAYS))
    assert sorted(set(found)) == sorted(found)
    assert set(expected(stay, "", wanted.delimiter)) <= set(found)


@implementer(IUnderFileSystem)
class Counting:
    """How often, and for how many keys, a store is asked."""

    def __init__(self, ufs: MemoryUnderFileSystem) -> None:
        self.ufs = ufs
        self.looks = 0
        self.entries = 0

    async def list(self, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
        assert 1 <= limit <= 1000
        listing = await self.ufs.list(prefix, start, limit, delimiter)
        self.looks += 1
        self.entries += len(listing.entries)
        return listing


@pytest.mark.parametrize("delimiter", ["/", "-", "x"])
def test_work_is_bounded(delimiter):
    """A page of common prefixes costs neither all their keys nor more than so many looks, and what it leaves out comes next."""
    folders, inside = 150, 40
    all_keys = {f"{folder:03}{delimiter}{number:03}" for folder in range(folders) for number in range(inside)}
    store = Counting(now(filled(all_keys, "")))
    wanted = Selection("", delimiter, 1000, None)
    found: list[str] = []
    start: str | None = ""
    while start is not None:
        store.looks = store.entries = 0
        page = now(read_page(Place(store, ""), wanted, start))
        assert store.looks <= MAX_LOOKS
        assert store.entries <= 1000 + 40 * MAX_LOOKS
        found += [key for key, _ in page.entries]
        start = page.following
    assert found == [f"{folder:03}{delimiter}" for folder in range(folders)]


@implementer(IUnderFileSystem)
class Unending:
    """A store that always says that more follows."""

    async def list(self, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
        return Listing((), complete=False)


def test_a_store_that_gets_nowhere():
    """A store that gives nothing and promises more is an error, not a listing without end."""
    with pytest.raises(Unavailable):
        now(read_page(Place(Unending(), ""), Selection("", "/", 10, None), ""))


@pytest_twisted.ensureDeferred
@VERSIONS
async def test_missing_and_empty(bench, version):
    """A bucket that is not there is 404; an empty one, and a prefix that nothing has, are empty listings."""
    assert (await bench.refusal("GET", f"/none?{version}")).code == "NoSuchBucket"
    assert (await bench.refusal("GET", f"/none?max-keys=0{version}")).code == "NoSuchBucket"
    await put(bench, "file.ext")
    for prefix in ("no", "file.ext/", "file.extra", "../", "a//", "/", "a?b", "\U0010ffff", "k" * 1025):
        answer = await bench.ask("GET", f"/bucket?prefix={quote(prefix)}&delimiter=/{version}")
        tree = fromstring(answer.body)
        assert (keys(answer.body), prefixes(answer.body), text(tree, "IsTruncated")) == ([], [], "false")
        assert text(tree, "Prefix") == prefix


@pytest_twisted.ensureDeferred
@VERSIONS
async def test_max_keys(bench, version):
    """A page has at most 1,000 entries whatever is asked for; none is an empty page that is not truncated."""
    await put(bench, *(f"{number:04}" for number in range(1001)))
    for asked, got, truncated in (("1000", 1000, "true"), ("5000", 1000, "true"), ("", 1000, "true"), ("1", 1, "true"), ("0", 0, "false")):
        answer = await bench.ask("GET", f"/bucket?max-keys={asked}{version}")
        tree = fromstring(answer.body)
        assert (len(keys(answer.body)), text(tree, "IsTruncated"), text(tree, "MaxKeys")) == (got, truncated, str(got))
    for bad in ("-1", "x", "99999999999999999999"):
        assert (await bench.refusal("GET", f"/bucket?max-keys={bad}{version}")).code == "InvalidArgument"


@pytest_twisted.ensureDeferred
async def test_pages_of_version_1(bench):
    """A marker is exclusive; NextMarker comes with a delimiter only, and may be a common prefix."""
    await put(bench, "a", "b/1", "b/2", "c", "d")
    answer = await bench.ask("GET", "/bucket?max-keys=2&marker=a")
    tree = fromstring(answer.body)
    assert (keys(answer.body), text(tree, "Marker"), text(tree, "NextMarker")) == (["b/1", "b/2"], "a", None)
    answer = await bench.ask("GET", "/bucket?max-keys=2&delimiter=/")
    tree = fromstring(answer.body)
    assert (keys(answer.body), prefixes(answer.body), text(tree, "NextMarker")) == (["a"], ["b/"], "b/")
    answer = await bench.ask("GET", "/bucket?max-keys=2&delimiter=/&marker=b/")
    tree = fromstring(answer.body)
    assert (keys(answer.body), prefixes(answer.body), text(tree, "NextMarker")) == (["c", "d"], [], None)
    assert (text(tree, "IsTruncated"), text(tree, "Delimiter")) == ("false", "/")


@pytest_twisted.ensureDeferred
async def test_pages_of_version_2(bench):
    """Pages go on at the token, which wins over start-after; the count is that of keys and common prefixes."""
    await put(bench, "a", "b/1", "b/2", "c", "d")
    answer = await bench.ask("GET", "/bucket?list-type=2&max-keys=2&delimiter=/&start-after=0")
    tree = fromstring(answer.body)
    assert (keys(answer.body), prefixes(answer.body), text(tree, "KeyCount"), text(tree, "StartAfter")) == (["a"], ["b/"], "2", "0")
    token = text(tree, "NextContinuationToken")
    answer = await bench.ask("GET", f"/bucket?list-type=2&delimiter=/&start-after=zzz&continuation-token={token}")
    tree = fromstring(answer.body)
    assert (keys(answer.body), text(tree, "ContinuationToken"), text(tree, "NextContinuationToken")) == (["c", "d"], token, None)
    answer = await bench.ask("GET", "/bucket?list-type=2&start-after=b/1&continuation-token=")
    assert (keys(answer.body), text(fromstring(answer.body), "ContinuationToken")) == (["b/2", "c", "d"], "")
    assert keys((await bench.ask("GET", "/bucket?list-type=2&prefix=b/&start-after=c")).body) == []
    for bad in ("list-type=1", "list-type=2&continuation-token=x", "list-type=2&encoding-type=x"):
        assert (await bench.refusal("GET", f"/bucket?{bad}")).code == "InvalidArgument"


@pytest_twisted.ensureDeferred
@VERSIONS
async def test_entries_are_complete(bench, version):
    """An entry has key, date, quoted ETag, size and storage class; an owner too, in version 2 if it is asked for."""
    answer = await bench.ask("PUT", "/bucket/k", {}, b"x", user="bob")
    body = (await bench.ask("GET", f"/bucket?prefix=&delimiter={version}")).body
    (entry,) = fromstring(body).iter(f"{S3}Contents")
    assert [text(entry, name) for name in ("Key", "LastModified", "ETag", "Size", "StorageClass")] == [
        "k", "2026-01-02T03:04:05.000Z", answer.headers["ETag"], "1", "STANDARD",
    ]  # fmt: skip
    assert text(fromstring(body), "Delimiter") is None
    owner = entry.find(f"{S3}Owner")
    assert (owner is None) == bool(version)
    if version:
        body = (await bench.ask("GET", f"/bucket?fetch-owner=true{version}")).body
        owner = next(fromstring(body).iter(f"{S3}Owner"))
    assert owner is not None
    assert (text(owner, "ID"), text(owner, "DisplayName")) == ("bob", "bob")


@pytest_twisted.ensureDeferred
async def test_checksums_are_told(bench):
    """An object that was put with a checksum is listed with its algorithm and type."""
    await bench.ask("PUT", "/bucket/k", {"x-amz-checksum-crc32": "jNwWgw=="}, b"x")
    (entry,) = fromstring((await bench.ask("GET", "/bucket?list-type=2")).body).iter(f"{S3}Contents")
    assert (text(entry, "ChecksumAlgorithm"), text(entry, "ChecksumType")) == ("CRC32", "FULL_OBJECT")


@pytest_twisted.ensureDeferred
@VERSIONS
async def test_encoding(bench, version):
    """With encoding-type=url keys, prefixes, delimiter and markers are URL-encoded; without they are XML text."""
    names = ["a b/1", "a+b", "a&<b>", "é\U0001f418", "z"]
    await put(bench, *names)
    plain = (await bench.ask("GET", f"/bucket?delimiter=%20{version}")).body
    assert (keys(plain), prefixes(plain)) == (sorted(names[1:]), ["a "])
    after = "start-after" if version else "marker"
    answer = await bench.ask("GET", f"/bucket?delimiter=%20&max-keys=2&encoding-type=url&prefix=a&{after}=a{version}")
    tree = fromstring(answer.body)
    assert (keys(answer.body), prefixes(answer.body)) == (["a%26%3Cb%3E"], ["a%20"])
    assert (text(tree, "Delimiter"), text(tree, "Prefix"), text(tree, "EncodingType")) == ("%20", "a", "url")
    assert (text(tree, "NextMarker") == "a%26%3Cb%3E") != bool(version)
    everything = (await bench.ask("GET", f"/bucket?encoding-type=url{version}")).body
    assert [unquote(key) for key in keys(everything)] == sorted(names, key=str.encode)


@pytest_twisted.ensureDeferred
async def test_folders_are_keys(bench):
    """A key that ends with the delimiter is a common prefix from above, and an entry of its own listing; the bucket is none."""
    await bench.ask("PUT", "/bucket/dir/", body=b"")
    await put(bench, "dir/k")
    above = (await bench.ask("GET", "/bucket?list-type=2&delimiter=/")).body
    assert (keys(above), prefixes(above)) == ([], ["dir/"])
    inside = (await bench.ask("GET", "/bucket?list-type=2&delimiter=/&prefix=dir/")).body
    assert (keys(inside), prefixes(inside)) == (["dir/", "dir/k"], [])
    assert keys((await bench.ask("GET", "/bucket")).body) == ["dir/", "dir/k"]
    assert isinstance(await bench.status("/bucket/dir/"), Status)

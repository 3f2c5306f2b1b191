"""GetObjectAttributes."""

from __future__ import annotations

import hashlib
from xml.etree import ElementTree as ET

import pytest
import pytest_twisted

from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes

TARGET = "/bucket/k?attributes"
EVERYTHING = {"x-amz-object-attributes": "ObjectSize,StorageClass, ObjectParts,Checksum,ETag"}


async def put_in_parts(bench, sizes: tuple[int, ...]):
    """An object as a multipart upload left it."""
    writer = await bench.store.create("bucket/k", Attributes(), sum(sizes))
    await writer.write(bytes(sum(sizes)))
    attributes = Attributes(etag="0" * 32 + f"-{len(sizes)}", part_sizes=sizes, checksums={"SHA256": "eA==-3"}, checksum_type="COMPOSITE")
    await writer.commit(attributes, ALWAYS)


def tree(answer) -> ET.Element:
    """The document, its namespace left out."""
    text = answer.body.decode().replace(' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', "")
    root = ET.fromstring(text)
    assert root.tag == "GetObjectAttributesResponse"
    return root


@pytest_twisted.ensureDeferred
async def test_everything(bench):
    """All that is asked for is told, in S3's order; an ETag without its quotes here."""
    await put_in_parts(bench, (4, 4, 2))
    answer = await bench.ask("GET", TARGET, EVERYTHING)
    root = tree(answer)
    assert answer.headers["Last-Modified"] == "Fri, 02 Jan 2026 03:04:05 GMT"
    assert [child.tag for child in root] == ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    assert (root.findtext("ETag"), root.findtext("StorageClass"), root.findtext("ObjectSize")) == ("0" * 32 + "-3", "STANDARD", "10")
    assert (root.findtext("Checksum/ChecksumSHA256"), root.findtext("Checksum/ChecksumType")) == ("eA==-3", "COMPOSITE")
    assert root.findtext("ObjectParts/PartsCount") == "3"
    parts = [(part.findtext("PartNumber"), part.findtext("Size")) for part in root.findall("ObjectParts/Part")]
    assert parts == [("1", "4"), ("2", "4"), ("3", "2")]


@pytest_twisted.ensureDeferred
async def test_only_what_is_asked_for(bench):
    """What was not asked for is left out, and so is what the object has not."""
    await bench.ask("PUT", "/bucket/k", {}, b"hello")
    assert [child.tag for child in tree(await bench.ask("GET", TARGET, {"x-amz-object-attributes": "ObjectSize"}))] == ["ObjectSize"]
    root = tree(await bench.ask("GET", TARGET, EVERYTHING))
    assert [child.tag for child in root] == ["ETag", "StorageClass", "ObjectSize"]
    assert root.findtext("ETag") == hashlib.md5(b"hello").hexdigest()


@pytest_twisted.ensureDeferred
async def test_pages_of_parts(bench):
    """Every part comes once, in pages of the size that is asked for."""
    await put_in_parts(bench, tuple(range(1, 8)))
    marker, found, pages = "0", [], 0
    while True:
        headers = {"x-amz-object-attributes": "ObjectParts", "x-amz-max-parts": "3", "x-amz-part-number-marker": marker}
        parts = tree(await bench.ask("GET", TARGET, headers)).find("ObjectParts")
        assert (parts.findtext("PartNumberMarker"), parts.findtext("MaxParts")) == (marker, "3")
        found += [int(part.findtext("Size")) for part in parts.findall("Part")]
        pages += 1
        marker = parts.findtext("NextPartNumberMarker")
        if parts.findtext("IsTruncated") == "false":
            break
    assert (found, pages) == (list(range(1, 8)), 3)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "InvalidRequest"),
        ({"x-amz-object-attributes": " , "}, "InvalidRequest"),
        ({"x-amz-object-attributes": "ETag,Colour"}, "InvalidArgument"),
        ({"x-amz-object-attributes": "ObjectParts", "x-amz-max-parts": "-1"}, "InvalidArgument"),
        ({"x-amz-object-attributes": "ObjectParts", "x-amz-part-number-marker": "9" * 99}, "InvalidArgument"),
    ],
)
async def test_refused(bench, headers, code):
    """What cannot be told, or not so, is refused."""
    await put_in_parts(bench, (1, 2))
    assert (await bench.refusal("GET", TARGET, headers)).code == code


@pytest_twisted.ensureDeferred
async def test_missing(bench):
    """An object that is not there is NoSuchKey."""
    assert (await bench.refusal("GET", TARGET, EVERYTHING)).code == "NoSuchKey"

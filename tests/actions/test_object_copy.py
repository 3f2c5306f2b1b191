"""CopyObject."""

from __future__ import annotations

import base64
import hashlib
import zlib
from xml.etree import ElementTree as ET

import pytest
import pytest_twisted

from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes

SOURCE, TARGET = "/bucket/source", "/bucket/copy"
DATA = bytes(range(256)) * 2000  # beyond what is hashed at once, and more than one piece
ETAG = f'"{hashlib.md5(DATA).hexdigest()}"'
BEFORE, AT = "Fri, 02 Jan 2026 03:04:04 GMT", "Fri, 02 Jan 2026 03:04:05 GMT"  # the bench's clock stands at 05
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def copy_headers(**more: str) -> dict[str, str]:
    return {"x-amz-copy-source": "bucket/source", **{name.replace("_", "-"): value for name, value in more.items()}}


def result(answer) -> dict[str, str]:
    """The elements of a CopyObjectResult."""
    root = ET.fromstring(answer.body)
    assert root.tag == f"{NAMESPACE}CopyObjectResult"
    return {child.tag.removeprefix(NAMESPACE): child.text for child in root}


@pytest.fixture(params=[True, False], ids=["store copies", "daemon copies"])
def bench(bench, request):
    """Each test with a store that copies by itself, and with one that does not."""
    bench.store.own_copies = request.param
    return bench


async def put_source(bench, **attributes):
    """Store the source as another program would, with ``attributes`` of its own."""
    writer = await bench.store.create("bucket/source", Attributes(), len(DATA))
    await writer.write(DATA)
    return await writer.commit(Attributes(**attributes), ALWAYS)


@pytest_twisted.ensureDeferred
async def test_copy(bench):
    """A copy has the bytes, the MD5, the attributes and the tags of its source, and its maker as owner."""
    headers = {"content-type": "text/plain", "x-amz-meta-a": "1", "x-amz-tagging": "t=1", "cache-control": "no-cache"}
    await bench.ask("PUT", SOURCE, headers, DATA)
    answer = await bench.ask("PUT", TARGET, copy_headers(), user="bob")
    assert result(answer) == {"ETag": ETAG, "LastModified": "2026-01-02T03:04:05.000Z"}
    got = await bench.ask("GET", TARGET)
    assert (got.body, got.headers["ETag"]) == (DATA, ETAG)
    assert (got.headers["Content-Type"], got.headers["x-amz-meta-a"], got.headers["Cache-Control"]) == ("text/plain", "1", "no-cache")
    attributes = (await bench.status(TARGET)).attributes
    assert (attributes.tags, attributes.owner) == ({"t": "1"}, "bob")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("source", ["/bucket/a%20%C3%A9", "bucket/a+%C3%A9", "bucket/a%20%c3%a9?versionId=null"])
async def test_copy_source_forms(bench, source):
    """The source may begin with a slash, have + for a space, and name the version null."""
    await bench.ask("PUT", "/bucket/a%20%C3%A9", {}, b"x")
    await bench.ask("PUT", TARGET, {"x-amz-copy-source": source})
    assert (await bench.ask("GET", TARGET)).body == b"x"


@pytest_twisted.ensureDeferred
async def test_replace_metadata(bench):
    """With REPLACE the metadata are the request's and nothing of the source's; the tags stay."""
    await bench.ask("PUT", SOURCE, {"content-type": "text/plain", "x-amz-meta-a": "1", "x-amz-tagging": "t=1"}, DATA)
    await bench.ask("PUT", TARGET, copy_headers(x_amz_metadata_directive="REPLACE", x_amz_meta_b="2", x_amz_tagging="u=2"))
    head = await bench.ask("HEAD", TARGET)
    assert head.headers["Content-Type"] == "binary/octet-stream"
    assert ("x-amz-meta-a" in head.headers, head.headers["x-amz-meta-b"]) == (False, "2")
    assert (await bench.status(TARGET)).attributes.tags == {"t": "1"}


@pytest_twisted.ensureDeferred
async def test_replace_tags(bench):
    """With REPLACE the tags are the request's; the metadata stay."""
    await bench.ask("PUT", SOURCE, {"x-amz-meta-a": "1", "x-amz-tagging": "t=1"}, DATA)
    await bench.ask("PUT", TARGET, copy_headers(x_amz_tagging_directive="REPLACE", x_amz_tagging="u=2"))
    status = await bench.status(TARGET)
    assert (status.attributes.tags, status.attributes.user_metadata) == ({"u": "2"}, {"a": "1"})


@pytest_twisted.ensureDeferred
async def test_onto_itself(bench):
    """An object can be copied onto itself to change what it says of itself, and not for nothing."""
    await bench.ask("PUT", SOURCE, {"x-amz-meta-a": "1"}, DATA)
    error = await bench.refusal("PUT", SOURCE, copy_headers())
    assert (error.code, error.message.partition(" because")[0]) == ("InvalidRequest", "This copy request is illegal")
    await bench.ask("PUT", SOURCE, copy_headers(x_amz_metadata_directive="REPLACE", x_amz_meta_b="2"))
    got = await bench.ask("GET", SOURCE)
    assert (got.body, got.headers["ETag"], got.headers["x-amz-meta-b"]) == (DATA, ETAG, "2")


@pytest_twisted.ensureDeferred
async def test_multipart_source(bench):
    """The copy of a multipart object is a plain one: an MD5 for its ETag, a full checksum for the composite, no parts."""
    await put_source(bench, etag="0" * 32 + "-2", part_sizes=(500_000, 12_000), checksums={"CRC32": "eA==-2"}, checksum_type="COMPOSITE")
    found = result(await bench.ask("PUT", TARGET, copy_headers()))
    assert (found["ETag"], found["ChecksumCRC32"], found["ChecksumType"]) == (ETAG, crc32(DATA), "FULL_OBJECT")
    status = await bench.status(TARGET)
    assert (f'"{status.etag}"', status.attributes.part_sizes) == (ETAG, ())


@pytest_twisted.ensureDeferred
async def test_source_of_another_program(bench):
    """The copy of a file without an ETag of its own has the MD5 of its bytes."""
    await put_source(bench)
    assert result(await bench.ask("PUT", TARGET, copy_headers()))["ETag"] == ETAG


@pytest_twisted.ensureDeferred
async def test_checksum(bench):
    """A full checksum of the source goes with the bytes; one of another kind is computed when asked for."""
    await bench.ask("PUT", SOURCE, {"x-amz-checksum-crc32": crc32(DATA)}, DATA)
    assert result(await bench.ask("PUT", TARGET, copy_headers()))["ChecksumCRC32"] == crc32(DATA)
    answer = await bench.ask("PUT", TARGET, copy_headers(x_amz_checksum_algorithm="sha256"))
    expected = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
    assert result(answer)["ChecksumSHA256"] == expected
    head = await bench.ask("HEAD", TARGET, {"x-amz-checksum-mode": "ENABLED"})
    assert head.headers["x-amz-checksum-sha256"] == expected
    assert "x-amz-checksum-crc32" not in head.headers


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({"x-amz-copy-source-if-match": ETAG}, True),
        ({"x-amz-copy-source-if-match": '"other"'}, False),
        ({"x-amz-copy-source-if-none-match": ETAG}, False),
        ({"x-amz-copy-source-if-none-match": '"other"'}, True),
        ({"x-amz-copy-source-if-modified-since": BEFORE}, True),
        ({"x-amz-copy-source-if-modified-since": AT}, False),
        ({"x-amz-copy-source-if-unmodified-since": AT}, True),
        ({"x-amz-copy-source-if-unmodified-since": BEFORE}, False),
        ({"x-amz-copy-source-if-match": ETAG, "x-amz-copy-source-if-unmodified-since": BEFORE}, True),
        ({"if-none-match": "*"}, True),
        ({"if-match": '"other"'}, False),
    ],
)
async def test_conditions(bench, condition, allowed):
    """Conditions on the source and on what is replaced: all must hold, and a 412 leaves nothing behind."""
    await bench.ask("PUT", SOURCE, {}, DATA)
    if "if-match" in condition:
        await bench.ask("PUT", TARGET, {}, b"before")
    if allowed:
        await bench.ask("PUT", TARGET, copy_headers() | condition)
        assert (await bench.ask("GET", TARGET)).body == DATA
    else:
        assert (await bench.refusal("PUT", TARGET, copy_headers() | condition)).code == "PreconditionFailed"
        if "if-match" in condition:
            assert (await bench.ask("GET", TARGET)).body == b"before"
        else:
            assert (await bench.refusal("HEAD", TARGET)).code == "NoSuchKey"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("target", "headers", "code"),
    [
        (TARGET, {"x-amz-copy-source": "bucket/none"}, "NoSuchKey"),
        (TARGET, {"x-amz-copy-source": "nowhere/source"}, "NoSuchBucket"),
        ("/nowhere/copy", {}, "NoSuchBucket"),
        (TARGET, {"x-amz-copy-source": "bucket"}, "InvalidArgument"),
        (TARGET, {"x-amz-copy-source": "bucket/../source"}, "InvalidArgument"),
        (TARGET, {"x-amz-copy-source": "bucket/source?versionId=7"}, "InvalidArgument"),
        (TARGET, {"x-amz-metadata-directive": "MERGE"}, "InvalidArgument"),
        (TARGET, {"x-amz-tagging-directive": "replace"}, "InvalidArgument"),
        (TARGET, {"x-amz-checksum-algorithm": "CRC7"}, "InvalidRequest"),
        (TARGET, {"x-amz-acl": "public-read"}, "NotImplemented"),
        (TARGET, {"x-amz-source-expected-bucket-owner": "somebody else"}, "AccessDenied"),
        (TARGET, {"x-amz-storage-class": "GLACIER"}, "InvalidStorageClass"),
        (TARGET, {"x-amz-metadata-directive": "REPLACE", "x-amz-meta-a": "x" * 2048}, "MetadataTooLarge"),
        ("/bucket/folder/", {}, "InvalidRequest"),
    ],
)
async def test_refused(bench, target, headers, code):
    """What can't be copied, or not so, is refused with S3's code for it."""
    await bench.ask("PUT", SOURCE, {}, DATA)
    assert (await bench.refusal("PUT", target, copy_headers() | headers)).code == code


@pytest_twisted.ensureDeferred
async def test_folder(bench):
    """A folder can be copied to a folder, its metadata with it, as clients do that rename directories."""
    await bench.ask("PUT", "/bucket/dir/", {"x-amz-meta-mode": "0755"}, b"")
    answer = await bench.ask("PUT", "/bucket/moved/", {"x-amz-copy-source": "/bucket/dir/"})
    assert result(answer)["ETag"] == f'"{hashlib.md5(b"").hexdigest()}"'
    assert (await bench.ask("HEAD", "/bucket/moved/")).headers["x-amz-meta-mode"] == "0755"

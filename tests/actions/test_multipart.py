"""Multipart uploads."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pytest
import pytest_twisted
from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.python.components import proxyForInterface

import alluxio_s3.actions.everything  # noqa: F401  # fills the registry
from alluxio_s3.actions.listings import Selection
from alluxio_s3.actions.multipart_listings import uploads_page
from alluxio_s3.actions.part_list import etag_of
from alluxio_s3.interfaces import IMultipartUploads, ITagStore, IUnderFileSystem
from alluxio_s3.namespace.mounts import Place
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import NoSpace, Part, Upload
from alluxio_s3.ufs.memory import MemoryUnderFileSystem

S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
TARGET = "/bucket/dir/k"


def text(tree: Element | bytes, path: str) -> str | None:
    tree = fromstring(tree) if isinstance(tree, bytes) else tree
    return tree.findtext("/".join(S3 + step for step in path.split("/")))


def texts(body: bytes, name: str) -> list[str]:
    return [one.text or "" for one in fromstring(body).iter(S3 + name)]


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def multipart_etag(parts: Sequence[bytes]) -> str:
    return f'"{md5(b"".join(hashlib.md5(part).digest() for part in parts))}-{len(parts)}"'


def encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def crc32(data: bytes) -> str:
    return encoded(zlib.crc32(data).to_bytes(4, "big"))


def part_list(*parts: tuple[object, str], more: str = "") -> bytes:
    inner = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{more}</Part>" for number, etag in parts)
    return f'<CompleteMultipartUpload xmlns="{S3[1:-1]}">{inner}</CompleteMultipartUpload>'.encode()


async def begin(bench: Any, target: str = TARGET, headers: dict[str, str] | None = None) -> str:
    answer = await bench.ask("POST", f"{target}?uploads", headers, b"")
    return text(answer.body, "UploadId") or ""


async def send(bench: Any, upload: str, number: int, data: bytes, headers: dict[str, str] | None = None, target: str = TARGET) -> str:
    answer = await bench.ask("PUT", f"{target}?partNumber={number}&uploadId={upload}", headers, data)
    return answer.headers["ETag"]


async def complete(bench: Any, upload: str, *parts: tuple[object, str], headers: dict[str, str] | None = None, more: str = "") -> Any:
    return await bench.ask("POST", f"{TARGET}?uploadId={upload}", headers, part_list(*parts, more=more))


async def uploaded(bench: Any, *parts: bytes, headers: dict[str, str] | None = None) -> tuple[str, list[tuple[object, str]]]:
    """An upload with the parts, and what its completion lists."""
    bench.limit(min_part_bytes=0)
    upload = await begin(bench, headers=headers)
    return upload, [(number, await send(bench, upload, number, part)) for number, part in enumerate(parts, 1)]


async def code_of(asked: Any) -> str:
    with pytest.raises(S3Error) as caught:
        await asked
    return caught.value.code


@pytest_twisted.ensureDeferred
async def test_parts_become_an_object(bench):
    """Parts sent in any order become one object, with S3's ETag and what was said of it at the beginning; before, nothing is seen."""
    bench.limit(min_part_bytes=3)
    headers = {"content-type": "text/csv", "x-amz-meta-m": "1", "x-amz-tagging": "t=1"}
    upload = await begin(bench, headers=headers)
    last = await send(bench, upload, 9, b"c")
    first = await send(bench, upload, 2, b"aaa")
    assert (first, last) == (f'"{md5(b"aaa")}"', f'"{md5(b"c")}"')
    assert (await bench.refusal("GET", TARGET)).code == "NoSuchKey"
    assert texts((await bench.ask("GET", "/bucket")).body, "Key") == []
    answer = await complete(bench, upload, (2, first), (9, last), headers={"host": "h:1"})
    assert texts(answer.body, "ETag") == [multipart_etag([b"aaa", b"c"])]
    assert [text(answer.body, name) for name in ("Bucket", "Key", "Location")] == ["bucket", "dir/k", "http://h:1/bucket/dir/k"]
    got = await bench.ask("GET", TARGET)
    assert got.body == b"aaac"
    assert [got.headers[name] for name in ("ETag", "Content-Type", "x-amz-meta-m", "x-amz-tagging-count")] == [
        multipart_etag([b"aaa", b"c"]), "text/csv", "1", "1",
    ]  # fmt: skip
    assert (await bench.status(TARGET)).attributes.owner == "alice"
    part = await bench.ask("GET", f"{TARGET}?partNumber=2")
    assert (part.body, part.headers["x-amz-mp-parts-count"]) == (b"c", "2")


@pytest_twisted.ensureDeferred
async def test_an_empty_part_is_empty(bench):
    """The last part may have no bytes: whoever asks for it gets none, and not the object."""
    upload = await begin(bench)
    parts = [(number, await send(bench, upload, number, data)) for number, data in ((1, b"a" * (5 << 20)), (2, b""))]
    await complete(bench, upload, *parts)
    part = await bench.ask("GET", f"{TARGET}?partNumber=2")
    assert (part.status, part.body, part.headers["x-amz-mp-parts-count"]) == (200, b"", "2")
    head = await bench.ask("HEAD", f"{TARGET}?partNumber=2")
    assert head.headers["Content-Length"] == "0"
    await complete(bench, empty := await begin(bench), (1, await send(bench, empty, 1, b"")))
    part = await bench.ask("GET", f"{TARGET}?partNumber=1")
    assert (part.status, part.body, part.headers["x-amz-mp-parts-count"]) == (200, b"", "1")


@pytest_twisted.ensureDeferred
async def test_a_part_sent_again(bench):
    """The part that was sent last has the number; the ETag of the one before it is an InvalidPart."""
    upload, [(_, old)] = await uploaded(bench, b"old")
    new = await send(bench, upload, 1, b"new")
    assert await code_of(complete(bench, upload, (1, old))) == "InvalidPart"
    await complete(bench, upload, (1, new))
    assert (await bench.ask("GET", TARGET)).body == b"new"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("form", ["{}", '"{}"', "&quot;{}&quot;", "&amp;quot;{}&amp;quot;", "\n  {}  \n"])
async def test_forms_of_etags(bench, form):
    """Clients list ETags with quotes, without, and escaped; each of them is understood."""
    upload, [(_, etag)] = await uploaded(bench, b"x")
    await complete(bench, upload, (1, form.format(etag.strip('"'))))
    assert (await bench.ask("GET", TARGET)).body == b"x"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MissingRequestBodyError"),
        (b"<CompleteMultipartUpload/>", "MalformedXML"),
        (b"<Complete", "MalformedXML"),
        (part_list(*((number, "e") for number in range(1, 10_002))), "MalformedXML"),
        (part_list(("one", "e")), "MalformedXML"),
        (b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>", "MalformedXML"),
        (part_list((0, "e")), "InvalidArgument"),
        (part_list((10_001, "e")), "InvalidArgument"),
        (part_list((2, md5(b"b")), (1, md5(b"a"))), "InvalidPartOrder"),
        (part_list((1, md5(b"a")), (1, md5(b"a"))), "InvalidPartOrder"),
        (part_list((1, md5(b"a")), (2, md5(b"b")), (7, md5(b"b"))), "InvalidPart"),
        (part_list((1, md5(b"a")), (2, md5(b"a"))), "InvalidPart"),
        (part_list((1, md5(b"a")), more=f"<ChecksumCRC32>{crc32(b'b')}</ChecksumCRC32>"), "InvalidPart"),
    ],
)
async def test_lists_that_are_refused(bench, body, code):
    """A list that does not fit the parts is refused, and the upload can still be completed."""
    upload, parts = await uploaded(bench, b"a", b"b")
    assert (await bench.refusal("POST", f"{TARGET}?uploadId={upload}", None, body)).code == code
    await complete(bench, upload, *parts)
    assert (await bench.ask("GET", TARGET)).body == b"ab"


@pytest_twisted.ensureDeferred
async def test_as_many_parts_as_there_may_be(bench):
    """10,000 parts, each listed with a checksum, are one object."""
    bench.limit(min_part_bytes=0)
    upload = await begin(bench, headers={"x-amz-checksum-algorithm": "SHA512"})
    checksum = encoded(hashlib.sha512(b"x").digest())
    for number in range(1, 10_001):
        await send(bench, upload, number, b"x")
    listed = ((number, f'"{md5(b"x")}"') for number in range(1, 10_001))
    answer = await complete(bench, upload, *listed, more=f"<ChecksumSHA512>{checksum}</ChecksumSHA512>")
    assert text(answer.body, "ETag") == multipart_etag([b"x"] * 10_000)
    assert (await bench.status(TARGET)).size == 10_000


@pytest_twisted.ensureDeferred
async def test_parts_that_are_too_small(bench):
    """All parts but the last have the least size, which the configuration may switch off."""
    upload, parts = await uploaded(bench, b"aaaaa", b"bbbb", b"c")
    bench.limit(min_part_bytes=5)
    error = await bench.refusal("POST", f"{TARGET}?uploadId={upload}", None, part_list(*parts))
    assert (error.code, error.details["PartNumber"], error.details["ProposedSize"]) == ("EntityTooSmall", "2", "4")
    await complete(bench, upload, parts[0], parts[2])
    assert (await bench.ask("GET", TARGET)).body == b"aaaaac"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("number", ["0", "10001", "-1", "x", "", "1.0", "\u0661"])
async def test_numbers_of_parts(bench, number):
    """A part's number is 1 to 10,000."""
    upload = await begin(bench)
    error = await bench.refusal("PUT", f"{TARGET}?uploadId={upload}&partNumber={number}", None, b"x")
    assert (error.code, error.details["ArgumentName"]) == ("InvalidArgument", "partNumber")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({"content-md5": encoded(hashlib.md5(b"y").digest())}, b"x", "BadDigest"),
        ({"x-amz-checksum-crc32": crc32(b"y")}, b"x", "BadDigest"),
        ({"x-amz-checksum-sha1": encoded(hashlib.sha1(b"x").digest())}, b"x", "InvalidRequest"),
        ({"content-length": "2"}, b"x", "IncompleteBody"),
        ({"content-length": str((5 << 30) + 1)}, b"x", "EntityTooLarge"),
        ({}, None, "MissingContentLength"),
    ],
)
async def test_parts_that_are_refused(bench, headers, body, code):
    """A part that is not what was said, of the wrong algorithm or too large, does not arrive."""
    upload = await begin(bench, headers={"x-amz-checksum-algorithm": "CRC32"})
    assert (await bench.refusal("PUT", f"{TARGET}?uploadId={upload}&partNumber=1", headers, body)).code == code
    assert texts((await bench.ask("GET", f"{TARGET}?uploadId={upload}")).body, "PartNumber") == []


@pytest_twisted.ensureDeferred
async def test_a_part_with_a_trailer(bench):
    """An aws-chunked part with its checksum in a trailer arrives without the framing."""
    upload = await begin(bench, headers={"x-amz-checksum-algorithm": "crc32"})
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": "3",
        "x-amz-trailer": "x-amz-checksum-crc32",
    }
    body = f"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:{crc32(b'abc')}\r\n\r\n".encode()
    answer = await bench.ask("PUT", f"{TARGET}?uploadId={upload}&partNumber=1", headers, body)
    assert (answer.headers["ETag"], answer.headers["x-amz-checksum-crc32"]) == (f'"{md5(b"abc")}"', crc32(b"abc"))


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, (None, None)),
        ({"x-amz-checksum-algorithm": "crc32"}, ("CRC32", "COMPOSITE")),
        ({"x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-type": "COMPOSITE"}, ("SHA256", "COMPOSITE")),
        ({"x-amz-checksum-algorithm": "CRC32C", "x-amz-checksum-type": "FULL_OBJECT"}, ("CRC32C", "FULL_OBJECT")),
        ({"x-amz-checksum-algorithm": "CRC64NVME"}, ("CRC64NVME", "FULL_OBJECT")),
        ({"x-amz-checksum-algorithm": "CRC64NVME", "x-amz-checksum-type": "COMPOSITE"}, None),
        ({"x-amz-checksum-algorithm": "SHA1", "x-amz-checksum-type": "FULL_OBJECT"}, None),
        ({"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "HALF"}, None),
        ({"x-amz-checksum-algorithm": "CRC16"}, None),
        ({"x-amz-checksum-type": "FULL_OBJECT"}, None),
    ],
)
async def test_checksum_of_an_upload(bench, headers, told):
    """The algorithm and type that were asked for, or S3's default for the type, are told; what cannot be is an InvalidRequest."""
    if told is None:
        assert (await bench.refusal("POST", f"{TARGET}?uploads", headers, b"")).code == "InvalidRequest"
    else:
        answer = await bench.ask("POST", f"{TARGET}?uploads", headers, b"")
        assert (answer.headers.get("x-amz-checksum-algorithm"), answer.headers.get("x-amz-checksum-type")) == told


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("kind", ["COMPOSITE", "FULL_OBJECT"])
async def test_checksum_of_the_object(bench, kind):
    """The parts' checksums make the object's, whether the client sent them or not; one that is sent along must be right."""
    headers = {"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": kind}
    upload, parts = await uploaded(bench, b"aaa", b"b", headers=headers)
    composite = crc32(b"".join(zlib.crc32(part).to_bytes(4, "big") for part in (b"aaa", b"b")))
    right = crc32(b"aaab") if kind == "FULL_OBJECT" else f"{composite}-2"
    for wrong, code in (
        ({"x-amz-checksum-crc32": crc32(b"wrong")}, "BadDigest"),
        ({"x-amz-checksum-crc32c": crc32(b"aaab")}, "InvalidRequest"),
        ({"x-amz-checksum-type": "FULL_OBJECT" if kind == "COMPOSITE" else "COMPOSITE"}, "InvalidRequest"),
        ({"x-amz-mp-object-size": "5"}, "InvalidRequest"),
    ):
        assert await code_of(complete(bench, upload, *parts, headers=wrong)) == code
    given = {"x-amz-checksum-crc32": right, "x-amz-checksum-type": kind, "x-amz-mp-object-size": "4"}
    answer = await complete(bench, upload, *parts, headers=given)
    assert (text(answer.body, "ChecksumCRC32"), text(answer.body, "ChecksumType")) == (right, kind)
    got = await bench.ask("GET", TARGET, {"x-amz-checksum-mode": "ENABLED"})
    assert (got.headers["x-amz-checksum-crc32"], got.headers["x-amz-checksum-type"]) == (right, kind)


@pytest_twisted.ensureDeferred
async def test_checksum_that_was_not_announced(bench):
    """A checksum that comes with the completion only is verified by those of the parts, and refused if they have none."""
    upload, [part] = await uploaded(bench, b"aaa")
    given = {"x-amz-checksum-crc32": crc32(b"aaa")}
    assert await code_of(complete(bench, upload, part, headers=given)) == "InvalidRequest"
    await send(bench, upload, 1, b"aaa", given)
    assert await code_of(complete(bench, upload, part, headers={"x-amz-checksum-crc32": crc32(b"b")})) == "BadDigest"
    answer = await complete(bench, upload, part, headers=given)
    assert text(answer.body, "ChecksumCRC32") == given["x-amz-checksum-crc32"]


@pytest_twisted.ensureDeferred
async def test_conditional_completion(bench):
    """A completion whose condition fails keeps the object that is there, and the upload."""
    await bench.ask("PUT", TARGET, body=b"first")
    upload, parts = await uploaded(bench, b"second")
    assert await code_of(complete(bench, upload, *parts, headers={"if-none-match": "*"})) == "PreconditionFailed"
    assert await code_of(complete(bench, upload, *parts, headers={"if-match": '"x"'})) == "PreconditionFailed"
    assert (await bench.ask("GET", TARGET)).body == b"first"
    await complete(bench, upload, *parts, headers={"if-match": f'"{md5(b"first")}"'})
    assert (await bench.ask("GET", TARGET)).body == b"second"


@pytest_twisted.ensureDeferred
async def test_completing_again(bench):
    """Who lost the answer asks again and gets it, within a day; then, or after an abort, the upload is unknown."""
    upload, parts = await uploaded(bench, b"a", b"b")
    first = await complete(bench, upload, *parts)
    await bench.ask("PUT", TARGET, body=b"later")
    assert (await complete(bench, upload, *parts)).body == first.body
    assert (await bench.ask("GET", TARGET)).body == b"later"
    bench.clock.advance(86_401)
    assert await code_of(complete(bench, upload, *parts)) == "NoSuchUpload"


@pytest_twisted.ensureDeferred
async def test_abort(bench):
    """An aborted upload is unknown to everything, and so is one of another key."""
    upload, parts = await uploaded(bench, b"a")
    query = f"uploadId={upload}"
    assert (await bench.refusal("GET", f"/bucket/other?{query}")).code == "NoSuchUpload"
    answer = await bench.ask("DELETE", f"{TARGET}?{query}")
    assert (answer.status, answer.body) == (204, b"")
    assert (await bench.refusal("DELETE", f"{TARGET}?{query}")).code == "NoSuchUpload"
    assert (await bench.refusal("GET", f"{TARGET}?{query}")).code == "NoSuchUpload"
    assert (await bench.refusal("PUT", f"{TARGET}?partNumber=1&{query}", None, b"x")).code == "NoSuchUpload"
    assert await code_of(complete(bench, upload, *parts)) == "NoSuchUpload"
    assert (await bench.refusal("GET", f"{TARGET}?uploadId=")).code == "NoSuchUpload"


@pytest_twisted.ensureDeferred
async def test_where_no_upload_can_begin(bench):
    """A bucket that is not there, and attributes that are not allowed, are refused at the beginning."""
    assert (await bench.refusal("POST", "/none/k?uploads", None, b"")).code == "NoSuchBucket"
    for headers, code in (
        ({"x-amz-meta-m": "x" * 2048}, "MetadataTooLarge"),
        ({"x-amz-tagging": "=1"}, "InvalidTag"),
        ({"x-amz-acl": "public-read"}, "NotImplemented"),
        ({"x-amz-server-side-encryption": "AES256"}, "NotImplemented"),
    ):
        assert (await bench.refusal("POST", f"{TARGET}?uploads", headers, b"")).code == code
    assert texts((await bench.ask("GET", "/bucket?uploads")).body, "UploadId") == []


class TagsElsewhere(proxyForInterface(ITagStore, "real")):  # type: ignore[misc]
    """A tag store that objects don't carry."""

    travels = False


@pytest_twisted.ensureDeferred
async def test_tags_that_are_kept_elsewhere(bench):
    """Where tags don't travel with the object they are put once it is there."""
    bench.services = evolve(bench.services, tags=TagsElsewhere(bench.services.tags))
    upload, parts = await uploaded(bench, b"a", headers={"x-amz-tagging": "t=1"})
    await complete(bench, upload, *parts)
    assert dict((await bench.status(TARGET)).attributes.tags) == {"t": "1"}


@pytest_twisted.ensureDeferred
async def test_copied_parts(bench):
    """Parts copied from an object, whole or a range, have the MD5 of their bytes as ETag, and the upload's checksum."""
    await bench.ask("PUT", "/bucket/a%20b", body=b"0123456789")
    bench.limit(min_part_bytes=0)
    upload = await begin(bench, headers={"x-amz-checksum-algorithm": "CRC32"})
    done = []
    for number, (span, data) in enumerate([(None, b"0123456789"), ("bytes=2-4", b"234"), ("bytes=9-9", b"9")], 1):
        headers = {"x-amz-copy-source": "bucket/a+b"} | ({"x-amz-copy-source-range": span} if span else {})
        answer = await bench.ask("PUT", f"{TARGET}?partNumber={number}&uploadId={upload}", headers, b"")
        assert fromstring(answer.body).tag == f"{S3}CopyPartResult"
        assert (text(answer.body, "ETag"), text(answer.body, "ChecksumCRC32")) == (f'"{md5(data)}"', crc32(data))
        assert text(answer.body, "LastModified") == "2026-01-02T03:04:05.000Z"
        done.append((number, f'"{md5(data)}"'))
    await complete(bench, upload, *done)
    assert (await bench.ask("GET", TARGET)).body == b"01234567892349"


@pytest_twisted.ensureDeferred
async def test_a_folder_as_a_part(bench):
    """A folder is copied as the empty part that it is."""
    await bench.ask("PUT", "/bucket/folder/", body=b"")
    upload = await begin(bench)
    answer = await bench.ask("PUT", f"{TARGET}?partNumber=1&uploadId={upload}", {"x-amz-copy-source": "bucket/folder/"}, b"")
    assert text(answer.body, "ETag") == f'"{md5(b"")}"'


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-amz-copy-source": "bucket/none"}, "NoSuchKey"),
        ({"x-amz-copy-source": "none/k"}, "NoSuchBucket"),
        ({"x-amz-copy-source": "bucket"}, "InvalidArgument"),
        ({"x-amz-copy-source": "bucket/source", "x-amz-copy-source-range": "bytes=0-10"}, "InvalidRange"),
        ({"x-amz-copy-source": "bucket/source", "x-amz-copy-source-range": "0-1"}, "InvalidArgument"),
        ({"x-amz-copy-source": "bucket/source", "x-amz-copy-source-if-match": '"x"'}, "PreconditionFailed"),
        ({"x-amz-copy-source": "bucket/source", "x-amz-copy-source-if-none-match": "*"}, "PreconditionFailed"),
    ],
)
async def test_copies_of_parts_that_are_refused(bench, headers, code):
    """A source that is not there, not as it was asked for, or shorter than the range, gives no part."""
    await bench.ask("PUT", "/bucket/source", body=b"0123456789")
    upload = await begin(bench)
    assert (await bench.refusal("PUT", f"{TARGET}?partNumber=1&uploadId={upload}", headers, b"")).code == code
    assert texts((await bench.ask("GET", f"{TARGET}?uploadId={upload}")).body, "PartNumber") == []


@pytest_twisted.ensureDeferred
async def test_list_of_parts(bench):
    """Parts are listed by number in pages, with size, date, ETag and checksum, and who sends them."""
    upload, parts = await uploaded(bench, b"a", b"bb", b"ccc", headers={"x-amz-checksum-algorithm": "CRC32"})
    pages = []
    marker = "0"
    for _ in range(2):
        body = (await bench.ask("GET", f"{TARGET}?uploadId={upload}&max-parts=2&part-number-marker={marker}")).body
        marker = text(body, "NextPartNumberMarker") or ""
        pages.append((texts(body, "PartNumber"), text(body, "IsTruncated"), marker))
    assert pages == [(["1", "2"], "true", "2"), (["3"], "false", "3")]
    assert [text(body, f"Part/{name}") for name in ("Size", "ETag", "ChecksumCRC32", "LastModified")] == [
        "3", parts[2][1], crc32(b"ccc"), "2026-01-02T03:04:05.000Z",
    ]  # fmt: skip
    assert [text(body, name) for name in ("Bucket", "Key", "UploadId", "Owner/ID", "Initiator/ID", "ChecksumAlgorithm")] == [
        "bucket", "dir/k", upload, "alice", "alice", "CRC32",
    ]  # fmt: skip
    for query in ("max-parts=x", "part-number-marker=x", "max-parts=-1"):
        assert (await bench.refusal("GET", f"{TARGET}?uploadId={upload}&{query}")).code == "InvalidArgument"


@pytest_twisted.ensureDeferred
async def test_list_of_uploads(bench):
    """Uploads are listed by key, then by age, in pages that go on after the last; a delimiter folds them; encoded if asked for."""
    begun = []
    for key in ("a/1", "a/1", "a/2", "b c", "d"):
        begun.append(await begin(bench, f"/bucket/{key.replace(' ', '%20')}"))
        bench.clock.advance(1)
    body = (await bench.ask("GET", "/bucket?uploads")).body
    assert (texts(body, "Key"), texts(body, "UploadId"), text(body, "IsTruncated")) == (["a/1", "a/1", "a/2", "b c", "d"], begun, "false")
    found, markers = [], ""
    while True:
        body = (await bench.ask("GET", f"/bucket?uploads&max-uploads=1&encoding-type=url{markers}")).body
        found += texts(body, "UploadId")
        if text(body, "IsTruncated") == "false":
            break
        markers = f"&key-marker={text(body, 'NextKeyMarker')}&upload-id-marker={text(body, 'NextUploadIdMarker')}"
    assert found == begun
    body = (await bench.ask("GET", "/bucket?uploads&delimiter=/&max-uploads=1")).body
    assert (texts(body, "UploadId"), text(body, "CommonPrefixes/Prefix"), text(body, "NextKeyMarker")) == ([], "a/", "a/")
    body = (await bench.ask("GET", "/bucket?uploads&delimiter=/&key-marker=a/&prefix=")).body
    assert texts(body, "Key") == ["b c", "d"]
    body = (await bench.ask("GET", "/bucket?uploads&prefix=a/&key-marker=a/1")).body
    assert texts(body, "UploadId") == begun[2:3]
    for query in ("max-uploads=0", "prefix=a&key-marker=b"):
        body = (await bench.ask("GET", f"/bucket?uploads&{query}")).body
        assert (texts(body, "UploadId"), text(body, "IsTruncated")) == ([], "false")
    assert (await bench.refusal("GET", "/none?uploads")).code == "NoSuchBucket"


def test_a_marker_that_ended():
    """When the upload of a marker has ended meanwhile, no other upload of its key is left out."""
    found = [Upload(name, "k", age) for age, name in enumerate("xyz")]
    page = uploads_page(found, Place(MemoryUnderFileSystem, ""), Selection("", "", 10, None), "k", "gone")  # type: ignore[arg-type]
    assert [upload.upload_id for _, upload in page.entries if upload] == ["x", "y", "z"]


class SlowUploads(proxyForInterface(IMultipartUploads, "real")):  # type: ignore[misc]
    """Uploads whose completion waits for ``gate``."""

    def __init__(self, real: IMultipartUploads) -> None:
        super().__init__(real)
        self.gate: Deferred[None] = Deferred()

    async def complete(self, *arguments: Any) -> Any:
        await self.gate
        return await self.real.complete(*arguments)


class SlowStore(proxyForInterface(IUnderFileSystem, "real")):  # type: ignore[misc]
    """A store with slow uploads."""

    def __init__(self, real: Any) -> None:
        super().__init__(real)
        self.slow = SlowUploads(IMultipartUploads(real))

    def __conform__(self, interface: Any) -> Any:
        return self.slow if interface is IMultipartUploads else interface(self.real, None)


@pytest.fixture
def gate(bench) -> Deferred[None]:
    """What completions of the bench wait for."""
    store = SlowStore(bench.services.namespace.root)
    bench.services.namespace.root = store
    return store.slow.gate


@pytest_twisted.ensureDeferred
async def test_a_slow_completion_is_kept_alive(bench, gate):
    """After the interval the answer begins with the declaration; a space each interval follows, then the result: one document."""
    upload, parts = await uploaded(bench, b"a")
    bench.limit(min_part_bytes=0, complete_keepalive_seconds=10.0)
    asked = Deferred.fromCoroutine(complete(bench, upload, *parts))
    for _ in range(35):
        bench.clock.advance(1)
    assert not asked.called
    gate.callback(None)
    answer = await asked
    assert answer.status == 200
    assert answer.body.startswith(DECLARATION + b"  <CompleteMultipartUploadResult")
    assert text(answer.body, "ETag") == multipart_etag([b"a"])


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("problem", "code"),
    [(NoSpace("k"), "InsufficientStorage"), (S3Error("PreconditionFailed"), "PreconditionFailed"), (ZeroDivisionError(), "InternalError")],
)
async def test_a_slow_completion_that_fails(bench, gate, problem, code):
    """What goes wrong after the answer has begun is told in its body, as one document with one declaration."""
    upload, parts = await uploaded(bench, b"a")
    asked = Deferred.fromCoroutine(complete(bench, upload, *parts))
    bench.clock.advance(10)
    gate.errback(problem)
    answer = await asked
    assert (answer.status, answer.body.count(b"<?xml")) == (200, 1)
    error = fromstring(answer.body)
    assert (error.tag, error.findtext("Code"), error.findtext("RequestId")) == ("Error", code, "1")


@pytest_twisted.ensureDeferred
async def test_without_keep_alive(bench, gate):
    """With the keep-alive off the answer waits for the end, and its status is that of the outcome."""
    upload, parts = await uploaded(bench, b"a")
    bench.limit(min_part_bytes=0, complete_keepalive=False)
    asked = Deferred.fromCoroutine(complete(bench, upload, *parts))
    bench.clock.advance(3600)
    gate.errback(NoSpace("k"))
    assert await code_of(asked) == "InsufficientStorage"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("seconds", [1, 25])
async def test_a_client_that_goes_away(bench, gate, seconds):
    """A completion goes on when its client has gone, before the answer began or after; asking again finds it done."""
    upload, parts = await uploaded(bench, b"a")
    asked = Deferred.fromCoroutine(complete(bench, upload, *parts))
    bench.clock.advance(seconds)
    asked.addErrback(lambda _: None)
    asked.cancel()
    gate.callback(None)
    assert (await bench.ask("GET", TARGET)).body == b"a"
    assert text((await complete(bench, upload, *parts)).body, "ETag") == multipart_etag([b"a"])


@pytest_twisted.ensureDeferred
async def test_a_failure_that_nobody_waits_for(bench, gate):
    """What goes wrong when the client has gone is in the log."""
    upload, parts = await uploaded(bench, b"a")
    asked = Deferred.fromCoroutine(complete(bench, upload, *parts))
    asked.addErrback(lambda _: None)
    asked.cancel()
    with capturedLogs() as events:
        gate.errback(NoSpace("k"))
    assert [formatEvent(event) for event in events] == ["work that nobody waited for any more has failed: NoSpace: k"]


@pytest_twisted.ensureDeferred
async def test_two_completions_at_once(bench, gate):
    """Completions of one upload that overlap have one outcome: the object, and the same answer."""
    upload, parts = await uploaded(bench, b"a")
    asked = [Deferred.fromCoroutine(complete(bench, upload, *parts)) for _ in range(2)]
    gate.callback(None)
    first, second = [await one for one in asked]
    assert first.body == second.body


def test_a_part_that_is_no_md5():
    """Where parts have another ETag than their MD5, the store names the object."""
    assert etag_of([Part(1, 1, 0, md5(b"x")), Part(2, 1, 0, "0x8D")]) is None

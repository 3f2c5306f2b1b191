"""DeleteObject and DeleteObjects."""

from __future__ import annotations

import base64
import hashlib
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import pytest
import pytest_twisted

from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes

TARGET = "/bucket/k"
BEFORE, AT = "Fri, 02 Jan 2026 03:04:04 GMT", "Fri, 02 Jan 2026 03:04:05 GMT"  # the bench's clock stands at 05
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
ETAG = hashlib.md5(b"x").hexdigest()


async def there(bench, target: str = TARGET) -> bool:
    try:
        await bench.ask("HEAD", target)
    except S3Error as error:
        assert error.code == "NoSuchKey"
        return False
    return True


@pytest_twisted.ensureDeferred
async def test_delete(bench):
    """What was deleted is gone, and deleting it once more is a 204 as well."""
    await bench.ask("PUT", TARGET, {}, b"x")
    for _ in range(2):
        answer = await bench.ask("DELETE", TARGET)
        assert (answer.status, answer.body) == (204, b"")
        assert not await there(bench)


@pytest_twisted.ensureDeferred
async def test_no_bucket(bench):
    """A delete in no bucket is NoSuchBucket."""
    assert (await bench.refusal("DELETE", "/nowhere/k")).code == "NoSuchBucket"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({"if-match": f'"{ETAG}"'}, True),
        ({"if-match": "*"}, True),
        ({"if-match": '"other"'}, False),
        ({"x-amz-if-match-size": "1"}, True),
        ({"x-amz-if-match-size": "2"}, False),
        ({"x-amz-if-match-last-modified-time": AT}, True),
        ({"x-amz-if-match-last-modified-time": BEFORE}, False),
        ({"if-match": f'"{ETAG}"', "x-amz-if-match-size": "2"}, False),
    ],
)
async def test_conditions(bench, condition, allowed):
    """Only the object that was meant is deleted."""
    await bench.ask("PUT", TARGET, {}, b"x")
    if allowed:
        assert (await bench.ask("DELETE", TARGET, condition)).status == 204
    else:
        assert (await bench.refusal("DELETE", TARGET, condition)).code == "PreconditionFailed"
    assert await there(bench) is not allowed


@pytest_twisted.ensureDeferred
async def test_conditions_on_nothing(bench):
    """Without an object only If-Match: * fails: it asks that there be one."""
    assert (await bench.refusal("DELETE", TARGET, {"if-match": "*"})).code == "PreconditionFailed"
    assert (await bench.ask("DELETE", TARGET, {"if-match": '"x"'})).status == 204


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("query", ["versionId=1", "acl", "legal-hold", "unknown"])
async def test_not_the_object(bench, query):
    """A delete of something else than the object never deletes the object."""
    await bench.ask("PUT", TARGET, {}, b"x")
    assert (await bench.refusal("DELETE", f"{TARGET}?{query}")).status in {400, 405, 501}
    assert await there(bench)


def document(*objects: str, quiet: str = "") -> bytes:
    return f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{quiet}{"".join(objects)}</Delete>'.encode()


def one(key: str, **more: str) -> str:
    elements = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in {"Key": key, **more}.items())
    return f"<Object>{elements}</Object>"


async def delete_all(bench, body: bytes, **headers: str) -> list[tuple[str, str | None, str | None]]:
    """What a DeleteObjects answers, in order: Deleted or Error, the key, the code of the error."""
    answer = await bench.ask("POST", "/bucket?delete", headers, body)
    root = ET.fromstring(answer.body)
    assert (answer.status, root.tag) == (200, f"{NAMESPACE}DeleteResult")
    return [(child.tag.removeprefix(NAMESPACE), child.findtext(f"{NAMESPACE}Key"), child.findtext(f"{NAMESPACE}Code")) for child in root]


@pytest_twisted.ensureDeferred
async def test_delete_many(bench):
    """All are deleted, those that were not there too, whatever characters they have; white space is part of a key."""
    keys = [f"k{n}" for n in range(40)] + ["<&>\"'", " é ", "dir/", "dir/a"]
    for key in keys[5:]:
        writer = await bench.store.create(f"bucket/{key}", Attributes(), 0)
        await writer.commit(Attributes(), ALWAYS)
    assert await delete_all(bench, document(*map(one, keys))) == [("Deleted", key, None) for key in keys]
    assert (await bench.store.list("bucket/k", "", 10, "")).entries == ()


@pytest_twisted.ensureDeferred
async def test_quiet(bench):
    """Quiet answers tell of errors only."""
    await bench.ask("PUT", TARGET, {}, b"x")
    body = document(one("k"), one("a//b"), quiet="<Quiet>true</Quiet>")
    assert await delete_all(bench, body) == [("Error", "a//b", "InvalidArgument")]
    assert not await there(bench)


@pytest_twisted.ensureDeferred
async def test_errors_by_key(bench):
    """A key that can't be, a version that is none, a condition that fails: each is an error of that key, and the others go."""
    for key in "abcdef":
        await bench.ask("PUT", f"/bucket/{key}", {}, b"x")
    body = document(
        one("a", VersionId="null"),
        one("b", VersionId="1"),
        one("c", ETag='"other"'),
        one("d", ETag=f'"{ETAG}"', Size="1", LastModifiedTime=AT),
        one("e", Size="2"),
        one("f", LastModifiedTime=BEFORE),
        one("../f"),
        one("x" * 1025),
        one("gone", ETag="*"),
    )
    assert [(kind, code) for kind, _, code in await delete_all(bench, body)] == [
        ("Deleted", None),
        ("Error", "InvalidArgument"),
        ("Error", "PreconditionFailed"),
        ("Deleted", None),
        ("Error", "PreconditionFailed"),
        ("Error", "PreconditionFailed"),
        ("Error", "InvalidArgument"),
        ("Error", "KeyTooLongError"),
        ("Error", "PreconditionFailed"),
    ]
    assert [key for key in "abcdef" if await there(bench, f"/bucket/{key}")] == ["b", "c", "e", "f"]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MissingRequestBodyError"),
        (b"<Delete", "MalformedXML"),
        (b"<Other/>", "MalformedXML"),
        (document(), "MalformedXML"),
        (document(*map(one, map(str, range(1001)))), "MalformedXML"),
        (document(one("k"), "<Unknown/>"), "MalformedXML"),
        (document(one("k", IfSomething="1")), "MalformedXML"),
        (document(one("k"), "<Object/>"), "MalformedXML"),
        (document(one("k"), quiet="<Quiet>perhaps</Quiet>"), "MalformedXML"),
        (document(one("k"), quiet="<Quiet>true</Quiet>" * 2), "MalformedXML"),
    ],
)
async def test_bad_documents(bench, body, code):
    """A document that cannot be followed to the letter deletes nothing."""
    await bench.ask("PUT", TARGET, {}, b"x")
    assert (await bench.refusal("POST", "/bucket?delete", {}, body)).code == code
    assert await there(bench)


@pytest_twisted.ensureDeferred
async def test_a_thousand(bench):
    """A thousand keys go in one request."""
    body = document(*map(one, map(str, range(1000))))
    assert len(await delete_all(bench, body)) == 1000


@pytest_twisted.ensureDeferred
async def test_document_is_verified(bench):
    """A Content-MD5 or checksum of the document is checked before anything is deleted."""
    await bench.ask("PUT", TARGET, {}, b"x")
    body = document(one("k"))
    for headers in ({"content-md5": base64.b64encode(bytes(16)).decode()}, {"x-amz-checksum-crc32": "AAAAAA=="}):
        assert (await bench.refusal("POST", "/bucket?delete", headers, body)).code == "BadDigest"
        assert await there(bench)
    await delete_all(bench, body, **{"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()})
    assert not await there(bench)


@pytest_twisted.ensureDeferred
async def test_many_in_no_bucket(bench):
    """A DeleteObjects in no bucket is NoSuchBucket."""
    assert (await bench.refusal("POST", "/nowhere?delete", {}, document(one("k")))).code == "NoSuchBucket"


@pytest_twisted.ensureDeferred
async def test_document_is_bounded(bench):
    """A document beyond the configured size is refused: by its length before it is read, without one once it is too long."""
    bench.limit(xml_body_bytes=200)
    body = document(one("k"))
    await delete_all(bench, body)
    body += b" " * (201 - len(body))
    for headers in ({"content-length": "201"}, {"transfer-encoding": "chunked"}):
        error = await bench.refusal("POST", "/bucket?delete", headers, [body, b"never read"])
        assert error.code == "MaxMessageLengthExceeded"
        assert bench.bodies[-1].reads == (0 if "content-length" in headers else 1)

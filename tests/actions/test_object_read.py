"""GetObject and HeadObject."""

from __future__ import annotations

import hashlib

import pytest
import pytest_twisted

from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes

TARGET = "/bucket/k"
DATA = b"0123456789"
ETAG = f'"{hashlib.md5(DATA).hexdigest()}"'
BEFORE, AT, AFTER = (f"Fri, 02 Jan 2026 03:04:{second} GMT" for second in ("04", "05", "06"))  # the bench's clock stands at 05


async def put(bench, data: bytes = DATA, **attributes):
    """Store an object as another program would, with ``attributes`` of its own."""
    writer = await bench.services.namespace.root.create("bucket/k", Attributes(), len(data))
    await writer.write(data)
    return await writer.commit(Attributes(**attributes), ALWAYS)


async def put_in_parts(bench):
    """The object as a multipart upload of 4, 4 and 2 bytes left it."""
    return await put(bench, etag="0" * 32 + "-3", part_sizes=(4, 4, 2), checksums={"SHA256": "eA==-3"}, checksum_type="COMPOSITE")


def both(test):
    """Run ``test`` with GET and with HEAD, which must answer alike but for the body."""
    return pytest.mark.parametrize("method", ["GET", "HEAD"])(pytest_twisted.ensureDeferred(test))


@both
async def test_whole(bench, method):
    """A plain read is a 200 with the object's length, ETag and date."""
    await bench.ask("PUT", TARGET, {"content-type": "text/plain"}, DATA)
    answer = await bench.ask(method, TARGET)
    assert answer.status == 200
    assert answer.body == (DATA if method == "GET" else b"")
    assert answer.headers["ETag"] == ETAG
    assert answer.headers["Last-Modified"] == AT
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Type"] == "text/plain"
    assert "Content-Range" not in answer.headers
    if method == "HEAD":
        assert answer.headers["Content-Length"] == "10"


@both
async def test_missing(bench, method):
    """A key that is not there is NoSuchKey, and in no bucket NoSuchBucket; a folder is not found without its slash."""
    await bench.ask("PUT", "/bucket/dir/x", {}, DATA)
    assert (await bench.refusal(method, "/bucket/none")).code == "NoSuchKey"
    assert (await bench.refusal(method, "/bucket/dir")).code == "NoSuchKey"
    assert (await bench.refusal(method, "/nowhere/k")).code == "NoSuchBucket"


RANGES = {
    "bytes=0-0": (b"0", "bytes 0-0/10"),
    "bytes=2-4": (b"234", "bytes 2-4/10"),
    "bytes=7-": (b"789", "bytes 7-9/10"),
    "bytes=-3": (b"789", "bytes 7-9/10"),
    "bytes=-99": (DATA, "bytes 0-9/10"),
    "bytes=5-99": (b"56789", "bytes 5-9/10"),
    "bytes=0-": (DATA, "bytes 0-9/10"),
}


@both
@pytest.mark.parametrize("asked", RANGES)
async def test_range(bench, method, asked):
    """A range that can be satisfied is a 206 with just its bytes and where they are."""
    await bench.ask("PUT", TARGET, {}, DATA)
    answer = await bench.ask(method, TARGET, {"range": asked})
    body, where = RANGES[asked]
    assert (answer.status, answer.headers["Content-Range"]) == (206, where)
    if method == "GET":
        assert answer.body == body
    else:
        assert answer.headers["Content-Length"] == str(len(body))


@both
@pytest.mark.parametrize("asked", ["bytes=4-2", "bytes=a-b", "lines=1-2", "bytes=0-1,4-5", "bytes"])
async def test_range_that_is_ignored(bench, method, asked):
    """What is no range, or is many, gives the whole object."""
    await bench.ask("PUT", TARGET, {}, DATA)
    assert (await bench.ask(method, TARGET, {"range": asked})).status == 200


@both
@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=99-100", "bytes=-0"])
async def test_range_that_cannot_be_satisfied(bench, method, asked):
    """A range past the end is a 416 that tells the size."""
    await bench.ask("PUT", TARGET, {}, DATA)
    error = await bench.refusal(method, TARGET, {"range": asked})
    assert (error.code, error.status, error.headers["Content-Range"]) == ("InvalidRange", 416, "bytes */10")


CONDITIONS = [
    ({"if-match": ETAG}, 200),
    ({"if-match": "*"}, 200),
    ({"if-match": '"other"'}, 412),
    ({"if-none-match": ETAG}, 304),
    ({"if-none-match": '"other"'}, 200),
    ({"if-modified-since": AT}, 304),
    ({"if-modified-since": BEFORE}, 200),
    ({"if-unmodified-since": AT}, 200),
    ({"if-unmodified-since": BEFORE}, 412),
    ({"if-match": ETAG, "if-unmodified-since": BEFORE}, 200),
    ({"if-none-match": '"other"', "if-modified-since": AFTER}, 200),
    ({"if-none-match": ETAG, "range": "bytes=99-"}, 304),
    ({"if-match": '"other"', "range": "bytes=99-"}, 412),
]


@both
@pytest.mark.parametrize(("headers", "expected"), CONDITIONS)
async def test_conditions(bench, method, headers, expected):
    """Conditions are judged in the order of RFC 9110, and before the range is."""
    await bench.ask("PUT", TARGET, {}, DATA)
    if expected == 200:
        assert (await bench.ask(method, TARGET, headers)).status == 200
        return
    error = await bench.refusal(method, TARGET, headers)
    assert error.status == expected
    if expected == 304:
        assert (error.headers["ETag"], error.headers["Last-Modified"]) == (ETAG, AT)


@both
@pytest.mark.parametrize(
    ("value", "status"), [(ETAG, 206), (f"W/{ETAG}", 200), ('"other"', 200), (AT, 206), (BEFORE, 200), (AFTER, 200), ("x", 200)]
)
async def test_if_range(bench, method, value, status):
    """A range goes with the version that If-Range names, exactly; of another version the whole is sent."""
    await bench.ask("PUT", TARGET, {}, DATA)
    assert (await bench.ask(method, TARGET, {"range": "bytes=1-2", "if-range": value})).status == status


@both
async def test_parts(bench, method):
    """partNumber gives a part's bytes, where they are, and how many parts there are."""
    await put_in_parts(bench)
    found = []
    for number in (1, 2, 3):
        answer = await bench.ask(method, f"{TARGET}?partNumber={number}")
        assert (answer.status, answer.headers["x-amz-mp-parts-count"]) == (206, "3")
        found.append((answer.headers["Content-Range"], answer.body))
    ranges = ["bytes 0-3/10", "bytes 4-7/10", "bytes 8-9/10"]
    assert found == list(zip(ranges, [b"0123", b"4567", b"89"] if method == "GET" else [b""] * 3, strict=True))


@both
@pytest.mark.parametrize(
    ("number", "code", "status"),
    [
        ("4", "InvalidPartNumber", 416),
        ("0", "InvalidArgument", 400),
        ("10001", "InvalidArgument", 400),
        ("x", "InvalidArgument", 400),
        ("", "InvalidArgument", 400),
    ],
)
async def test_part_that_is_none(bench, method, number, code, status):
    """A part past the last is a 416; what is no part number at all a 400."""
    await put_in_parts(bench)
    error = await bench.refusal(method, f"{TARGET}?partNumber={number}")
    assert (error.code, error.status) == (code, status)


@both
async def test_part_and_range(bench, method):
    """A part and a range cannot both be asked for."""
    await put_in_parts(bench)
    assert (await bench.refusal(method, f"{TARGET}?partNumber=1", {"range": "bytes=0-1"})).code == "InvalidRequest"


@both
async def test_part_of_an_object_put_whole(bench, method):
    """An object that was put whole is its own part 1, and says nothing of parts; so does one that changed since."""
    await bench.ask("PUT", TARGET, {}, DATA)
    answer = await bench.ask(method, f"{TARGET}?partNumber=1")
    assert (answer.status, answer.headers["Content-Range"]) == (206, "bytes 0-9/10")
    assert "x-amz-mp-parts-count" not in answer.headers
    assert (await bench.refusal(method, f"{TARGET}?partNumber=2")).code == "InvalidPartNumber"
    await put(bench, DATA + b"more", part_sizes=(4, 4, 2))
    assert (await bench.ask(method, f"{TARGET}?partNumber=1")).headers["Content-Range"] == "bytes 0-13/14"


@both
async def test_part_of_an_empty_object(bench, method):
    """Part 1 of an empty object is all of it, which is nothing."""
    await bench.ask("PUT", TARGET, {}, b"")
    assert (await bench.ask(method, f"{TARGET}?partNumber=1")).status == 200


@both
async def test_checksums_only_of_the_whole(bench, method):
    """Stored checksums are told when asked for, and never with a part of the bytes: clients would verify those by them."""
    await put(bench, checksums={"CRC32": "pof7HQ=="}, checksum_type="FULL_OBJECT")
    asked = {"x-amz-checksum-mode": "ENABLED"}
    whole = (await bench.ask(method, TARGET, asked)).headers
    assert (whole["x-amz-checksum-crc32"], whole["x-amz-checksum-type"]) == ("pof7HQ==", "FULL_OBJECT")
    for headers, target in (({}, TARGET), (asked | {"range": "bytes=0-3"}, TARGET), (asked, f"{TARGET}?partNumber=1")):
        answer = await bench.ask(method, target, headers)
        assert not [name for name in answer.headers if name.startswith("x-amz-checksum")]


@both
async def test_overrides(bench, method):
    """response-* replace the object's own headers, for whoever has signed for them."""
    await bench.ask("PUT", TARGET, {"content-type": "text/plain", "cache-control": "no-store"}, DATA)
    target = f"{TARGET}?response-content-type=text/html&response-content-disposition=attachment%3B%20filename%3Da"
    answer = await bench.ask(method, target)
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.headers["Content-Disposition"] == "attachment; filename=a"
    assert answer.headers["Cache-Control"] == "no-store"
    assert (await bench.refusal(method, target, how="anonymous")).code == "InvalidRequest"
    assert (await bench.refusal(method, f"{TARGET}?response-expires=a%0D%0Ab")).code == "InvalidArgument"


@both
async def test_version(bench, method):
    """The one version of an object is ``null``; no other is there."""
    await bench.ask("PUT", TARGET, {}, DATA)
    assert (await bench.ask(method, f"{TARGET}?versionId=null")).status == 200
    assert (await bench.refusal(method, f"{TARGET}?versionId=1")).code == "InvalidArgument"


@pytest_twisted.ensureDeferred
async def test_readers_are_closed(bench):
    """A read that is refused once its object is open closes it."""
    await bench.ask("PUT", TARGET, {}, DATA)
    await bench.ask("GET", TARGET)
    for target, headers in (
        (TARGET, {"range": "bytes=99-"}),
        (TARGET, {"if-none-match": ETAG}),
        (f"{TARGET}?partNumber=2", {}),
        (f"{TARGET}?response-expires=%0A", {}),
    ):
        await bench.refusal("GET", target, headers)
        assert not bench.store.in_use

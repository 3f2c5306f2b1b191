"""Conditional reads, writes, copies and deletes."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from tests.conformance.conftest import refused, status_of

LONG_AGO = datetime(1994, 10, 29, 19, 43, 31, tzinfo=UTC)
FAR_OFF = datetime(2100, 10, 29, 19, 43, 31, tzinfo=UTC)


@pytest.fixture
def etag(s3: Any, bucket: str) -> str:
    """The ETag of the object `foo`, whose bytes are `bar`."""
    return str(s3.put_object(Bucket=bucket, Key="foo", Body=b"bar")["ETag"])


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"IfMatch": "ETAG"}, 200),
        ({"IfMatch": '"ABCORZ"'}, 412),
        ({"IfMatch": "*"}, 200),
        ({"IfMatch": '"x", ETAG'}, 200),
        ({"IfMatch": "W/ETAG"}, 412),
        ({"IfNoneMatch": "ETAG"}, 304),
        ({"IfNoneMatch": "W/ETAG"}, 304),
        ({"IfNoneMatch": "*"}, 304),
        ({"IfNoneMatch": '"ABCORZ"'}, 200),
        ({"IfModifiedSince": LONG_AGO}, 200),
        ({"IfModifiedSince": FAR_OFF}, 304),
        ({"IfModifiedSince": "SAME"}, 304),
        ({"IfUnmodifiedSince": LONG_AGO}, 412),
        ({"IfUnmodifiedSince": FAR_OFF}, 200),
        ({"IfUnmodifiedSince": "SAME"}, 200),
        ({"IfMatch": "ETAG", "IfUnmodifiedSince": LONG_AGO}, 200),
        ({"IfNoneMatch": '"ABCORZ"', "IfModifiedSince": FAR_OFF}, 200),
        ({"IfNoneMatch": "ETAG", "IfModifiedSince": LONG_AGO}, 304),
        ({"IfMatch": "ETAG", "IfNoneMatch": "ETAG"}, 304),
        ({"IfMatch": '"x"', "IfNoneMatch": "ETAG"}, 412),
    ],
)
@pytest.mark.parametrize("call", ["get_object", "head_object"])
def test_reads(s3: Any, bucket: str, etag: str, call: str, condition: dict[str, Any], status: int) -> None:
    """A read goes by the precedence of RFC 9110, and HEAD answers what GET does."""
    same = s3.head_object(Bucket=bucket, Key="foo")["LastModified"]
    asked = {name: value.replace("ETAG", etag) if isinstance(value, str) else value for name, value in condition.items()}
    asked = {name: same if value == "SAME" else value for name, value in asked.items()}
    assert status_of(getattr(s3, call), Bucket=bucket, Key="foo", **asked) == status


@pytest.mark.parametrize(
    "date",
    [
        "nonsense",
        "",
        "Sat, 29 Oct 2100",
        "2100-10-29T19:43:31Z",
        "4102444800",
        "Sat, 31 Feb 2100 00:00:00 GMT",
        "Fri, 29 Oct 99999 19:43:31 GMT",
        "Fri, 29 Oct 2100 25:61:61 GMT",
    ],
)
def test_dates_that_are_none(wire: Any, bucket: str, etag: str, date: str) -> None:
    """A date that is none of HTTP's is ignored (RFC 9110, 13.1.3 and 13.1.4)."""
    for header in ("If-Modified-Since", "If-Unmodified-Since"):
        assert wire("GET", bucket, "foo", headers={header: date}).status == 200


@pytest.mark.parametrize(
    "date",
    ["Fri, 29 Oct 2100 19:43:31 GMT", "Friday, 29-Oct-60 19:43:31 GMT", "Fri Oct 29 19:43:31 2100", "Fri, 29 Oct 2100 19:43:31 +0000"],
)
def test_old_forms_of_dates(wire: Any, bucket: str, etag: str, date: str) -> None:
    """The three forms of dates that HTTP knows are understood, and the one that mail has."""
    assert wire("GET", bucket, "foo", headers={"If-Modified-Since": date}).status == 304


def test_not_modified_has_no_body(wire: Any, bucket: str, etag: str) -> None:
    """A 304 tells ETag and Last-Modified and has no body; the connection goes on."""
    answer = wire("GET", bucket, "foo", headers={"If-None-Match": etag})
    assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
    assert "last-modified" in answer.headers
    assert answer.headers.get("content-length", "0") in ("0", "3")
    assert wire("GET", bucket, "foo").body == b"bar"


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"IfMatch": "ETAG"}, 200),
        ({"IfMatch": '"ABCORZ"'}, 412),
        ({"IfMatch": "*"}, 200),
        ({"IfNoneMatch": "*"}, 412),
        ({"IfNoneMatch": "ETAG"}, 412),
        ({"IfNoneMatch": '"ABCORZ"'}, 200),
    ],
)
def test_writes_over_an_object(s3: Any, bucket: str, etag: str, condition: dict[str, str], status: int) -> None:
    """A conditional PUT replaces what it expects, and otherwise nothing."""
    asked = {name: value.replace("ETAG", etag) for name, value in condition.items()}
    assert status_of(s3.put_object, Bucket=bucket, Key="foo", Body=b"zar", **asked) == status
    assert s3.get_object(Bucket=bucket, Key="foo")["Body"].read() == (b"zar" if status == 200 else b"bar")


@pytest.mark.parametrize(
    ("condition", "status"),
    [({"IfMatch": '"x"'}, 404), ({"IfMatch": "*"}, 404), ({"IfNoneMatch": "*"}, 200), ({"IfNoneMatch": '"x"'}, 200)],
)
def test_writes_of_a_new_object(s3: Any, bucket: str, condition: dict[str, str], status: int) -> None:
    """A PUT that expects an object where there is none is NoSuchKey, and makes none."""
    assert status_of(s3.put_object, Bucket=bucket, Key="foo", Body=b"zar", **condition) == status
    assert status_of(s3.head_object, Bucket=bucket, Key="foo") == status


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"IfMatch": "ETAG"}, 204),
        ({"IfMatch": '"ABCORZ"'}, 412),
        ({"IfMatch": "*"}, 204),
        ({"IfMatchSize": 3}, 204),
        ({"IfMatchSize": 4}, 412),
        ({"IfMatchLastModifiedTime": LONG_AGO}, 412),
        ({"IfMatchLastModifiedTime": "SAME"}, 204),
        ({"IfMatch": "ETAG", "IfMatchSize": 4}, 412),
    ],
)
def test_deletes(s3: Any, bucket: str, etag: str, condition: dict[str, Any], status: int) -> None:
    """A conditional DELETE removes what it expects, and otherwise nothing; DeleteObjects has the same conditions."""
    same = s3.head_object(Bucket=bucket, Key="foo")["LastModified"]
    asked = {name: value.replace("ETAG", etag) if isinstance(value, str) else value for name, value in condition.items()}
    asked = {name: same if value == "SAME" else value for name, value in asked.items()}
    assert status_of(s3.delete_object, Bucket=bucket, Key="foo", **asked) == status
    assert status_of(s3.head_object, Bucket=bucket, Key="foo") == (404 if status == 204 else 200)
    s3.put_object(Bucket=bucket, Key="two", Body=b"bar")
    same = s3.head_object(Bucket=bucket, Key="two")["LastModified"]
    names = {"IfMatch": "ETag", "IfMatchSize": "Size", "IfMatchLastModifiedTime": "LastModifiedTime"}
    one = {names[name]: same if condition[name] == "SAME" else value for name, value in asked.items()}
    result = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "two", **one}]})
    assert [error["Code"] for error in result.get("Errors", [])] == ([] if status == 204 else ["PreconditionFailed"])


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"CopySourceIfMatch": "ETAG"}, 200),
        ({"CopySourceIfMatch": '"ABCORZ"'}, 412),
        ({"CopySourceIfNoneMatch": "ETAG"}, 412),
        ({"CopySourceIfNoneMatch": '"ABCORZ"'}, 200),
        ({"CopySourceIfModifiedSince": LONG_AGO}, 200),
        ({"CopySourceIfModifiedSince": FAR_OFF}, 412),
        ({"CopySourceIfUnmodifiedSince": LONG_AGO}, 412),
        ({"CopySourceIfUnmodifiedSince": FAR_OFF}, 200),
        ({"CopySourceIfMatch": "ETAG", "CopySourceIfUnmodifiedSince": LONG_AGO}, 200),
        ({"CopySourceIfNoneMatch": "ETAG", "CopySourceIfModifiedSince": LONG_AGO}, 412),
    ],
)
def test_copies(s3: Any, bucket: str, etag: str, condition: dict[str, Any], status: int) -> None:
    """A copy whose source is not as expected is 412 and makes nothing."""
    asked = {name: value.replace("ETAG", etag) if isinstance(value, str) else value for name, value in condition.items()}
    assert status_of(s3.copy_object, Bucket=bucket, Key="copy", CopySource=f"{bucket}/foo", **asked) == status
    assert status_of(s3.head_object, Bucket=bucket, Key="copy") == (200 if status == 200 else 404)


def test_one_of_many_creates(s3: Any, bucket: str) -> None:
    """Of many PUTs with If-None-Match: * at the same time one succeeds, and its bytes are the object's."""
    outcomes: dict[int, int] = {}

    def create(number: int) -> None:
        outcomes[number] = status_of(s3.put_object, Bucket=bucket, Key="one", Body=b"%d" % number * 1000, IfNoneMatch="*")

    threads = [threading.Thread(target=create, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [number for number, status in outcomes.items() if status == 200]
    assert sorted(outcomes.values()) == [200] + [412] * 11
    assert s3.get_object(Bucket=bucket, Key="one")["Body"].read() == b"%d" % winner * 1000


def test_counting_with_if_match(s3: Any, bucket: str) -> None:
    """Read, add one, write if unchanged, from four sides: no count is lost."""
    s3.put_object(Bucket=bucket, Key="counter", Body=b"0")

    def count() -> None:
        for _ in range(5):
            while True:
                current = s3.get_object(Bucket=bucket, Key="counter")
                value = int(current["Body"].read()) + 1
                if status_of(s3.put_object, Bucket=bucket, Key="counter", Body=b"%d" % value, IfMatch=current["ETag"]) == 200:
                    break

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert s3.get_object(Bucket=bucket, Key="counter")["Body"].read() == b"20"


@pytest.mark.parametrize("condition", ["If-Match", "If-None-Match"])
def test_conditions_that_are_none(wire: Any, bucket: str, etag: str, condition: str) -> None:
    """A write whose condition cannot be read is refused: to write without it would be a guess."""
    answer = wire("PUT", bucket, "foo", headers={condition: '"'}, body=b"zar")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert wire("GET", bucket, "foo").body == b"bar"


def test_complete_with_a_condition(s3: Any, bucket: str, etag: str) -> None:
    """A conditional CompleteMultipartUpload that fails keeps the object and the upload."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key="foo")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="foo", UploadId=upload, PartNumber=1, Body=b"new")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    with refused(412, "PreconditionFailed"):
        s3.complete_multipart_upload(Bucket=bucket, Key="foo", UploadId=upload, MultipartUpload=parts, IfNoneMatch="*")
    assert s3.get_object(Bucket=bucket, Key="foo")["Body"].read() == b"bar"
    s3.complete_multipart_upload(Bucket=bucket, Key="foo", UploadId=upload, MultipartUpload=parts, IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="foo")["Body"].read() == b"new"


def test_if_range(wire: Any, bucket: str, etag: str) -> None:
    """If-Range with the ETag or the exact date gives the range, with any other the whole object."""
    modified = wire("HEAD", bucket, "foo").headers["last-modified"]
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    for value, expected in ((etag, b"a"), (modified, b"a"), ('"x"', b"bar"), (later, b"bar"), ("W/" + etag, b"bar"), ("nonsense", b"bar")):
        assert wire("GET", bucket, "foo", headers={"Range": "bytes=1-1", "If-Range": value}).body == expected

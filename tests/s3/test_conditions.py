"""Conditions: who may read, write and delete what, by ETag and date."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime, formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alluxio_s3.s3.conditions import (
    ALWAYS,
    WriteCondition,
    check_read,
    condition_on,
    delete_condition,
    http_date,
    iso_date,
    parse_etags,
    parse_http_date,
    write_condition,
)
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import Headers

ETAG = "5d41402abc4b2a76b9719d911017c592"
MODIFIED = 1767323045  # Fri, 02 Jan 2026 03:04:05 GMT
MODIFIED_NS = MODIFIED * 10**9 + 678_000_000
BEFORE, SAME, AFTER = (formatdate(MODIFIED + delta, usegmt=True) for delta in (-1, 0, 1))


def outcome(condition: WriteCondition, etag: str | None, size: int = 5) -> str:
    try:
        condition.check(etag, size, MODIFIED_NS)
    except S3Error as error:
        return error.code
    return "ok"


@pytest.mark.parametrize(
    ("headers", "there", "missing"),
    [
        ({}, "ok", "ok"),
        ({"If-None-Match": "*"}, "PreconditionFailed", "ok"),
        ({"If-None-Match": f'"{ETAG}"'}, "PreconditionFailed", "ok"),
        ({"If-None-Match": f'W/"{ETAG}"'}, "PreconditionFailed", "ok"),
        ({"If-None-Match": '"other"'}, "ok", "ok"),
        ({"If-None-Match": '"*"'}, "ok", "ok"),
        ({"If-Match": f'"{ETAG}"'}, "ok", "NoSuchKey"),
        ({"If-Match": ETAG}, "ok", "NoSuchKey"),
        ({"If-Match": f'"other", "{ETAG}"'}, "ok", "NoSuchKey"),
        ({"If-Match": "*"}, "ok", "NoSuchKey"),
        ({"If-Match": '"other"'}, "PreconditionFailed", "NoSuchKey"),
        ({"If-Match": "badetag"}, "PreconditionFailed", "NoSuchKey"),
        ({"If-Match": f'W/"{ETAG}"'}, "PreconditionFailed", "NoSuchKey"),
        ({"If-Match": '"*"'}, "PreconditionFailed", "NoSuchKey"),
        ({"If-Match": f'"{ETAG}"', "If-None-Match": "*"}, "PreconditionFailed", "NoSuchKey"),
    ],
)
def test_conditional_writes(headers: dict[str, str], there: str, missing: str) -> None:
    """A write with a condition happens when it holds and only then; If-Match of a missing key is 404, as S3 answers."""
    condition = write_condition(Headers(headers))
    assert outcome(condition, ETAG) == there
    assert outcome(condition, None) == missing
    assert (condition is ALWAYS) == (not headers)


@pytest.mark.parametrize("value", ["", " ", ",", '"a', '"a" "b"', "a b", '*, "x"', 'w/"x"', '"a"b'])
@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
def test_malformed_write_conditions(name: str, value: str) -> None:
    """A condition that can't be read is refused: to write without it would be to drop it."""
    with pytest.raises(S3Error) as raised:
        write_condition(Headers({name: value}))
    assert raised.value.code == "InvalidArgument"


@pytest.mark.parametrize(
    ("headers", "there"),
    [
        ({}, "ok"),
        ({"If-Match": f'"{ETAG}"'}, "ok"),
        ({"If-Match": "*"}, "ok"),
        ({"If-Match": "other"}, "PreconditionFailed"),
        ({"x-amz-if-match-size": "5"}, "ok"),
        ({"x-amz-if-match-size": " 5 "}, "ok"),
        ({"x-amz-if-match-size": "6"}, "PreconditionFailed"),
        ({"x-amz-if-match-last-modified-time": SAME}, "ok"),
        ({"x-amz-if-match-last-modified-time": BEFORE}, "PreconditionFailed"),
        ({"x-amz-if-match-last-modified-time": AFTER}, "PreconditionFailed"),
        ({"If-Match": f'"{ETAG}"', "x-amz-if-match-size": "6"}, "PreconditionFailed"),
    ],
)
def test_conditional_deletes(headers: dict[str, str], there: str) -> None:
    """A delete with conditions happens when all of them hold."""
    assert outcome(delete_condition(Headers(headers)), ETAG) == there


@pytest.mark.parametrize(
    "parts",
    [(None, "-1", None), (None, "", None), (None, "5x", None), (None, "9" * 20, None), ("", None, None), (None, None, "yesterday")],
)
def test_malformed_delete_conditions(parts: tuple[str | None, str | None, str | None]) -> None:
    """A condition that can't be read keeps the object."""
    with pytest.raises(S3Error) as raised:
        condition_on(*parts)
    assert raised.value.code == "InvalidArgument"


READS = [
    ({}, "ok"),
    ({"if-match": f'"{ETAG}"'}, "ok"),
    ({"if-match": ETAG}, "ok"),
    ({"if-match": "*"}, "ok"),
    ({"if-match": '"other"'}, "PreconditionFailed"),
    ({"if-match": f'W/"{ETAG}"'}, "PreconditionFailed"),
    ({"if-match": '"unclosed'}, "PreconditionFailed"),
    ({"if-none-match": f'"{ETAG}"'}, "NotModified"),
    ({"if-none-match": f'"x", W/"{ETAG}"'}, "NotModified"),
    ({"if-none-match": "*"}, "NotModified"),
    ({"if-none-match": '"other"'}, "ok"),
    ({"if-unmodified-since": BEFORE}, "PreconditionFailed"),
    ({"if-unmodified-since": SAME}, "ok"),
    ({"if-unmodified-since": AFTER}, "ok"),
    ({"if-unmodified-since": "nonsense"}, "ok"),
    ({"if-modified-since": BEFORE}, "ok"),
    ({"if-modified-since": SAME}, "NotModified"),
    ({"if-modified-since": AFTER}, "NotModified"),
    ({"if-modified-since": "nonsense"}, "ok"),
    # RFC 9110, 13.2.2, and GetObject in S3's reference: ETags decide over dates.
    ({"if-match": f'"{ETAG}"', "if-unmodified-since": BEFORE}, "ok"),
    ({"if-match": '"other"', "if-unmodified-since": AFTER}, "PreconditionFailed"),
    ({"if-none-match": f'"{ETAG}"', "if-modified-since": BEFORE}, "NotModified"),
    ({"if-none-match": '"other"', "if-modified-since": AFTER}, "ok"),
    ({"if-match": f'"{ETAG}"', "if-none-match": f'"{ETAG}"'}, "NotModified"),
    ({"if-match": '"other"', "if-none-match": f'"{ETAG}"'}, "PreconditionFailed"),
    ({"if-unmodified-since": BEFORE, "if-none-match": f'"{ETAG}"'}, "PreconditionFailed"),
    ({"if-unmodified-since": AFTER, "if-modified-since": AFTER}, "NotModified"),
]


@pytest.mark.parametrize(("headers", "expected"), READS)
def test_conditional_reads(headers: dict[str, str], expected: str) -> None:
    """Reads follow the precedence of RFC 9110, 13.2.2."""
    try:
        check_read(Headers(headers), ETAG, MODIFIED_NS)
        found = "ok"
    except S3Error as error:
        found = error.code
        if found == "NotModified":
            assert error.headers == {"ETag": f'"{ETAG}"', "Last-Modified": SAME}
    assert found == expected


@pytest.mark.parametrize(("headers", "expected"), READS)
def test_conditional_copies(headers: dict[str, str], expected: str) -> None:
    """Of a copy's source the same holds, but what fails is always 412; and plain conditions are not about the source."""
    prefix = "x-amz-copy-source-"
    prefixed = Headers({prefix + name: value for name, value in headers.items()})
    if expected == "ok":
        check_read(prefixed, ETAG, MODIFIED_NS, prefix=prefix)
    else:
        with pytest.raises(S3Error) as raised:
            check_read(prefixed, ETAG, MODIFIED_NS, prefix=prefix)
        assert raised.value.code == "PreconditionFailed"
        assert raised.value.details["Condition"].startswith("x-amz-copy-source-If-")
    check_read(Headers(headers), ETAG, MODIFIED_NS, prefix=prefix)


HEADERS = [
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "x-amz-if-match-size",
    "x-amz-if-match-last-modified-time",
]
VALUES = st.one_of(st.text(max_size=40), st.sampled_from(["*", f'"{ETAG}"', SAME, "5"]))


@given(st.dictionaries(st.sampled_from(HEADERS), VALUES), st.integers(-(10**20), 10**20))
def test_total(pairs: dict[str, str], modified_ns: int) -> None:
    """Whatever the headers say, the answer is a value or an S3Error."""
    headers = Headers(pairs)
    for check in (lambda: write_condition(headers).check(ETAG, 5, modified_ns), lambda: delete_condition(headers).check(None),
                  lambda: check_read(headers, ETAG, modified_ns)):  # fmt: skip
        try:
            check()
        except S3Error as error:
            assert error.code in ("InvalidArgument", "PreconditionFailed", "NotModified", "NoSuchKey")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"a"', ("a",)), ("a", ("a",)), ('"a","b" , c', ("a", "b", "c")), ('"a, b"', ("a, b",)), ("*", ("*",)), (" * ", ("*",)),
        ('"a",,', ("a",)), ('""', ("",)), ('"*"', ('"*"',)), ('W/"a"', ('W/"a"',)),
    ],
)  # fmt: skip
def test_etags(value: str, expected: tuple[str, ...]) -> None:
    """Lists of ETags, quoted or, as S3 takes them too, not."""
    assert parse_etags(value) == expected


@given(st.lists(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1), min_size=1, max_size=5))
def test_etags_read_back(tags: list[str]) -> None:
    """A list of ETags is the ETags that were put into it."""
    assert parse_etags(", ".join(f'"{tag}"' for tag in tags)) == tuple(tags)
    assert parse_etags(", ".join(f'W/"{tag}"' for tag in tags), weak=True) == tuple(tags)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),  # the three of RFC 9110, 5.6.7
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
        ("Sun Nov  6 08:49:37 1994", 784111777),
        ("Sun, 6 Nov 1994 08:49:37 +0000", 784111777),
        ("Sun, 06 Nov 1994 08:49:60 GMT", 784111799),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Mon, 29 Feb 2016 00:00:00 GMT", 1456704000),
        (" Sun, 06 Nov 1994 08:49:37 GMT ", 784111777),
        ("Sun, 29 Feb 2015 00:00:00 GMT", None),
        ("Sun, 06 Nov 1994 24:00:00 GMT", None),
        ("Sun, 06 Nov 1994 08:49:61 GMT", None),
        ("Sun, 06 Nov 0000 08:49:37 GMT", None),
        ("Sun, 06 Foo 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 CET", None),
        ("Sun, 06 Nov 1994 08:49:37", None),
        ("1994-11-06T08:49:37Z", None),
        ("784111777", None),
        ("", None),
    ],
)
def test_http_dates(value: str, expected: int | None) -> None:
    """The three forms of RFC 9110 are read, and nothing else."""
    assert parse_http_date(value) == expected


@given(st.integers(-62_135_596_800, 253_402_300_799), st.integers(0, 10**9 - 1))
def test_dates_read_back(seconds: int, rest: int) -> None:
    """Every moment of the years 1 to 9999 is written as the standard library would, and reads back to the second."""
    ns = seconds * 10**9 + rest
    moment = datetime.fromisoformat(iso_date(ns))
    assert format_datetime(moment.astimezone(UTC), usegmt=True) == http_date(ns)
    assert parse_http_date(http_date(ns)) == seconds
    assert iso_date(ns).endswith(f".{rest // 10**6:03}Z")


@given(st.integers())
def test_any_time_can_be_written(ns: int) -> None:
    """A file's time that no date can show is written as the nearest that can."""
    assert len(http_date(ns)) == 29
    assert len(iso_date(ns)) == 24


@given(st.text(max_size=40))
def test_dates_are_total(value: str) -> None:
    """Any text is a time or None."""
    parse_http_date(value)


def test_s3s_own_example() -> None:
    """The forms of the two dates, to the letter."""
    assert http_date(MODIFIED_NS) == "Fri, 02 Jan 2026 03:04:05 GMT"
    assert iso_date(MODIFIED_NS) == "2026-01-02T03:04:05.678Z"

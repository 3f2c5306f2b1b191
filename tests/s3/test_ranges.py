"""Byte ranges: what part of an object a header means, or that it means nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.ranges import Range, parse_copy_range, parse_range, parse_stretch


@pytest.mark.parametrize(
    ("value", "size", "expected"),
    [
        ("bytes=0-0", 10, (0, 1)),
        ("bytes=0-9", 10, (0, 10)),
        ("bytes=0-10", 10, (0, 10)),
        ("bytes=2-5", 10, (2, 4)),
        ("bytes=9-", 10, (9, 1)),
        ("bytes=0-", 10, (0, 10)),
        ("bytes=-1", 10, (9, 1)),
        ("bytes=-10", 10, (0, 10)),
        ("bytes=-11", 10, (0, 10)),
        ("bytes=5-99999999999999999999999999", 10, (5, 5)),
        ("Bytes=0-0", 10, (0, 1)),
        (" bytes = 2 - 5 ", 10, (2, 4)),
        ("bytes=007-8", 10, (7, 2)),
        (f"bytes={2**40}-{2**40 + 1}", 5 << 40, (2**40, 2)),
    ],
)
def test_a_range(value: str, size: int, expected: tuple[int, int]) -> None:
    """First and last byte, open end, suffix: cut to the object (RFC 9110, 14.1.2)."""
    assert parse_range(value, size) == Range(*expected)


@pytest.mark.parametrize(
    "value",
    [
        None, "", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-2", "bytes=0-1,3-4", "bytes=0-1,", "items=0-1", "0-1",
        "bytes=+1-2", "bytes=1-+2", "bytes=--1", "bytes=0x1-2", "bytes=1.0-2", "bytes=0-1 2", "bytes=\u0661-2", "bytes=1_0-20",
        "bytes=" + "9" * 41 + "-", "bytes=0-1\n5", "bytes 0-1/10",
    ],
)  # fmt: skip
def test_the_whole(value: str | None) -> None:
    """No header, a malformed one, another unit, several ranges: the whole object."""
    assert parse_range(value, 10) is None


@pytest.mark.parametrize(
    ("value", "size"), [("bytes=10-", 10), ("bytes=10-20", 10), ("bytes=99999999999999999999-", 10), ("bytes=-0", 10),
                        ("bytes=0-", 0), ("bytes=0-0", 0), ("bytes=-0", 0)],
)  # fmt: skip
def test_nothing_in_it(value: str, size: int) -> None:
    """A range outside the object is 416 InvalidRange, which says how large the object is."""
    with pytest.raises(S3Error) as raised:
        parse_range(value, size)
    error = raised.value
    assert (error.code, error.status) == ("InvalidRange", 416)
    assert error.headers == {"Content-Range": f"bytes */{size}"}
    assert error.details == {"ActualObjectSize": str(size), "RangeRequested": value}


def test_the_tail_of_nothing() -> None:
    """A suffix of an empty object is the whole of it (S3 answers 200): readers of file footers depend on it."""
    assert parse_range("bytes=-8", 0) is None


@given(st.integers(1, 10**15), st.data())
def test_a_range_is_what_it_says(size: int, data: st.DataObject) -> None:
    """Any range within the object comes back as it was asked for, in Content-Range too."""
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(first, size - 1))
    found = parse_range(f"bytes={first}-{last}", size)
    assert found == Range(first, last - first + 1) == parse_copy_range(f"bytes={first}-{last}", size)
    assert found.content_range(size) == f"bytes {first}-{last}/{size}"


@given(st.one_of(st.text(max_size=30), st.from_regex(r"bytes=[0-9]{0,25}-[0-9]{0,25}", fullmatch=True)), st.integers(0, 10**15))
def test_total(value: str, size: int) -> None:
    """Any text and size give a range within the object, the whole, or InvalidRange."""
    try:
        found = parse_range(value, size)
    except S3Error as error:
        assert error.code == "InvalidRange"
    else:
        assert found is None or (found.count > 0 and found.offset >= 0 and found.offset + found.count <= size)


@pytest.mark.parametrize(
    "value",
    [
        "", "0-2", "bytes=0", "bytes=0-", "bytes=-2", "bytes=hello-world", "bytes=0-bar", "bytes=hello-", "bytes=0-2,3-5", "bytes=2-1",
        "Bytes=0-1", "bytes = 0-1",
    ],
)  # fmt: skip
def test_copy_range_is_strict(value: str) -> None:
    """The range of a part copy has one form; another one is InvalidArgument, never the whole."""
    with pytest.raises(S3Error) as raised:
        parse_copy_range(value, 10)
    assert raised.value.code == "InvalidArgument"


@pytest.mark.parametrize(("value", "size"), [("bytes=0-10", 10), ("bytes=10-10", 10), ("bytes=0-0", 0), (f"bytes=0-{10**39}", 10)])
def test_copy_range_within_the_source(value: str, size: int) -> None:
    """A part copy of more than the source has is InvalidRange: a short part would be a wrong object."""
    with pytest.raises(S3Error) as raised:
        parse_copy_range(value, size)
    assert raised.value.code == "InvalidRange"


@given(st.text(max_size=30), st.integers(0, 10**15))
def test_copy_range_is_total(value: str, size: int) -> None:
    """Any text gives a range within the source or an S3Error."""
    try:
        found = parse_copy_range(value, size)
    except S3Error as error:
        assert error.code in ("InvalidArgument", "InvalidRange")
    else:
        assert found.offset + found.count <= size


NUMBERS = st.integers(0, 12).map(str) | st.just("")


@given(st.builds("bytes={}-{}".format, NUMBERS, NUMBERS) | st.sampled_from([None, "", "items=0-1", "bytes=0-1,3-4"]), st.integers(0, 10))
def test_a_stretch_is_the_range_but_for_the_size(value: str | None, size: int) -> None:
    """What is asked for before the size is known, cut to the object, is what is asked for when it is; a suffix can't be known."""
    stretch = parse_stretch(value)
    if stretch is None:
        assert value is not None
        assert value.startswith("bytes=-")
        return
    offset, count = stretch
    try:
        found = parse_range(value, size) or Range(0, size)
    except S3Error:
        assert offset >= size
        return
    assert found == Range(offset, (size if count is None else min(offset + count, size)) - offset)

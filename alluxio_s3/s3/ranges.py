"""Byte ranges: RFC 9110 section 14, for reads, and the stricter range of a part copy."""

from __future__ import annotations

import re

from attrs import frozen

from alluxio_s3.s3.errors import S3Error

# A number of more digits than this is past every object; the bound keeps its conversion cheap.
_DIGITS = "[0-9]{1,40}"
_RANGE = re.compile(rf"bytes[ \t]*=[ \t]*(?P<first>{_DIGITS})?[ \t]*-[ \t]*(?P<last>{_DIGITS})?[ \t]*", re.IGNORECASE)
_COPY_RANGE = re.compile(rf"bytes=(?P<first>{_DIGITS})-(?P<last>{_DIGITS})")


@frozen
class Range:
    """``count`` bytes from ``offset``; at least one, unless it is an empty part of an object."""

    offset: int
    count: int

    def content_range(self, size: int) -> str:
        """The value of ``Content-Range`` for this range of an object of ``size`` bytes."""
        return f"bytes {self.offset}-{self.offset + self.count - 1}/{size}"


def parse_range(value: str | None, size: int) -> Range | None:
    """The range of an object of ``size`` bytes that a ``Range`` header asks for; None is the whole.

    A malformed one, another unit and more than one range are ignored (RFC 9110, 14.2; S3 sends the whole too).
    A suffix of an empty object is the whole of it, as S3 has it.
    Raises ``S3Error`` InvalidRange when nothing of the object is in it.
    """
    if value is None:
        return None
    match = _RANGE.fullmatch(value.strip())
    if match is None:
        return None
    first, last = match["first"], match["last"]
    if first is None:
        if last is None:
            return None
        count = min(int(last), size)
        if int(last) == 0:
            raise _unsatisfiable(value, size)
        return Range(size - count, count) if count else None
    offset = int(first)
    end = size - 1 if last is None else min(int(last), size - 1)
    if last is not None and int(last) < offset:
        return None
    if offset >= size:
        raise _unsatisfiable(value, size)
    return Range(offset, end - offset + 1)


def parse_stretch(value: str | None) -> tuple[int, int | None] | None:
    """What a ``Range`` header asks for of an object whose size is not known: from where, and how many bytes at most (None: to the end).

    None if that depends on the size, as with a suffix. What ``parse_range`` ignores is ignored here: it is the whole.
    """
    match = None if value is None else _RANGE.fullmatch(value.strip())
    if match is None:
        return 0, None
    first, last = match["first"], match["last"]
    if first is None:
        return (0, None) if last is None else None
    if last is None:
        return int(first), None
    return (0, None) if int(last) < int(first) else (int(first), int(last) - int(first) + 1)


def parse_copy_range(value: str, size: int) -> Range:
    """The range in ``x-amz-copy-source-range``: ``bytes=first-last``, both given and within the source.

    Raises ``S3Error`` InvalidArgument for another form, InvalidRange when it is not within ``size`` bytes.
    """
    match = _COPY_RANGE.fullmatch(value.strip())
    if match is None or int(match["last"]) < int(match["first"]):
        raise S3Error(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last"
            " where first and last are the zero-based offsets of the first and last bytes to copy",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=value,
        )
    if int(match["last"]) >= size:
        raise _unsatisfiable(value, size)
    return Range(int(match["first"]), int(match["last"]) - int(match["first"]) + 1)


def _unsatisfiable(value: str, size: int) -> S3Error:
    return S3Error(
        "InvalidRange",
        headers={"Content-Range": f"bytes */{size}"},
        ActualObjectSize=str(size),
        RangeRequested=value,
    )

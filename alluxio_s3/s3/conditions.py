"""Conditional requests: RFC 9110 section 13, and S3's conditional writes and deletes.

ETags are compared strongly and without their quotes; ``*`` means any. The dates of HTTP and of S3's XML are here
too: conditions are what reads them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from attrs import frozen

from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import Headers

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# The years 1 to 9999, which both forms of a date can show; a file's time may lie outside.
_EARLIEST, _LATEST = -62_135_596_800, 253_402_300_799
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_ETAG = re.compile(r'[ \t]*(?:(W/)?"([^"]*)"|([^ \t",]+))?[ \t]*(?:,|\Z)')
_SIZE = re.compile(r"[0-9]{1,19}")
_CLOCK = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
# RFC 9110, 5.6.7: IMF-fixdate, and the two forms that must be read still.
_HTTP_DATES = (
    re.compile(rf"[A-Za-z]{{3}}, (?P<day>[0-9]{{1,2}}) (?P<month>[A-Za-z]{{3}}) (?P<year>[0-9]{{4}}) {_CLOCK} (?:GMT|UTC|[+-]0000)"),
    re.compile(rf"[A-Za-z]{{6,9}}, (?P<day>[0-9]{{2}})-(?P<month>[A-Za-z]{{3}})-(?P<year>[0-9]{{2}}) {_CLOCK} GMT"),
    re.compile(rf"[A-Za-z]{{3}} (?P<month>[A-Za-z]{{3}}) (?P<day>[ 0-9][0-9]) {_CLOCK} (?P<year>[0-9]{{4}})"),
)


@frozen
class WriteCondition:
    """What must hold of the object that a write replaces or a delete removes.

    ``if_match`` and ``if_none_match`` are tuples of ETags (without quotes), or ``("*",)``; empty when the header was
    absent. ``if_size`` and ``if_modified_ns`` (whole seconds) are DeleteObject's own.
    """

    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()
    if_size: int | None = None
    if_modified_ns: int | None = None

    def check(self, etag: str | None, size: int = 0, modified_ns: int = 0) -> None:
        """Raise ``S3Error`` if the object in place does not satisfy this; ``etag`` is None when there is none.

        PreconditionFailed; NoSuchKey for If-Match on a key that is not there (as AWS does).
        """
        if self.if_match:
            if etag is None:
                raise S3Error("NoSuchKey")
            if "*" not in self.if_match and etag not in self.if_match:
                raise _failed("If-Match")
        if self.if_none_match and etag is not None and ("*" in self.if_none_match or etag in self.if_none_match):
            raise _failed("If-None-Match")
        if self.if_size is not None and etag is not None and size != self.if_size:
            raise _failed("x-amz-if-match-size")
        if self.if_modified_ns is not None and etag is not None and modified_ns // 10**9 != self.if_modified_ns // 10**9:
            raise _failed("x-amz-if-match-last-modified-time")


ALWAYS = WriteCondition()


def write_condition(headers: Headers) -> WriteCondition:
    """What ``If-Match`` and ``If-None-Match`` ask of a write. Raises ``S3Error`` InvalidArgument.

    S3 itself takes only ``*`` in the If-None-Match of a write; ETags are taken here as well.
    """
    if "if-match" not in headers and "if-none-match" not in headers:
        return ALWAYS
    return WriteCondition(_required(headers, "if-match"), _required(headers, "if-none-match", weak=True))


def delete_condition(headers: Headers) -> WriteCondition:
    """What ``If-Match``, ``x-amz-if-match-size`` and ``x-amz-if-match-last-modified-time`` ask of a delete.

    Raises ``S3Error`` InvalidArgument.
    """
    return condition_on(headers.get("if-match"), headers.get("x-amz-if-match-size"), headers.get("x-amz-if-match-last-modified-time"))


def condition_on(etag: str | None, size: str | None, modified: str | None) -> WriteCondition:
    """The condition of a delete from its parts as they came: header values, or elements of a DeleteObjects document.

    Raises ``S3Error`` InvalidArgument.
    """
    if etag is None and size is None and modified is None:
        return ALWAYS
    if_match = () if etag is None else parse_etags(etag)
    if if_match is None:
        raise _malformed("If-Match", etag or "")
    if size is not None and not _SIZE.fullmatch(size.strip()):
        raise _malformed("x-amz-if-match-size", size)
    seconds = None if modified is None else parse_http_date(modified)
    if modified is not None and seconds is None:
        raise _malformed("x-amz-if-match-last-modified-time", modified)
    return WriteCondition(
        if_match=if_match,
        if_size=None if size is None else int(size.strip()),
        if_modified_ns=None if seconds is None else seconds * 10**9,
    )


def check_read(headers: Mapping[str, str], etag: str, modified_ns: int, *, prefix: str = "") -> None:
    """Whether a read of the object may go on, by the precedence of RFC 9110, 13.2.2.

    ``prefix`` is ``x-amz-copy-source-`` for the source of a copy. Raises ``S3Error`` PreconditionFailed, or NotModified (with
    the headers that a 304 must have), which for a copy is PreconditionFailed too. A date that is none is
    ignored, as the RFC asks; an ETag list that is none names no ETag.
    """
    seconds = modified_ns // 10**9
    if_match = headers.get(f"{prefix}if-match")
    if if_match is not None:
        if not _names(if_match, etag, weak=False):
            raise _failed(f"{prefix}If-Match")
    else:
        since = _date(headers, f"{prefix}if-unmodified-since")
        if since is not None and seconds > since:
            raise _failed(f"{prefix}If-Unmodified-Since")
    if_none_match = headers.get(f"{prefix}if-none-match")
    if if_none_match is not None:
        unchanged, condition = _names(if_none_match, etag, weak=True), f"{prefix}If-None-Match"
    else:
        since = _date(headers, f"{prefix}if-modified-since")
        unchanged, condition = since is not None and seconds <= since, f"{prefix}If-Modified-Since"
    if unchanged:
        if prefix:
            raise _failed(condition)
        raise S3Error("NotModified", headers={"ETag": f'"{etag}"', "Last-Modified": http_date(modified_ns)})


def parse_etags(value: str, *, weak: bool = False) -> tuple[str, ...] | None:
    """The ETags in a list of them, without quotes, or ``("*",)``; None if it is no such list.

    ETags without quotes are taken, as S3 takes them. A weak one (``W/"x"``) is ``x`` under weak comparison, and
    what no object's ETag equals under strong comparison.
    """
    tags: list[str] = []
    position = 0
    while position < len(value):
        match = _ETAG.match(value, position)
        if match is None:
            return None
        position = match.end()
        weakness, quoted, bare = match.groups()
        if quoted is not None:
            # "*" in quotes is an ETag, not the word for any.
            tags.append(f'W/"{quoted}"' if weakness and not weak else '"*"' if quoted == "*" else quoted)
        elif bare is not None:
            tags.append(bare)
    if not tags or ("*" in tags and len(tags) > 1):
        return None
    return tuple(tags)


def parse_http_date(value: str) -> int | None:
    """Seconds since the epoch of a date in one of HTTP's three forms; None if it is in none of them."""
    value = value.strip()
    for form in _HTTP_DATES:
        match = form.fullmatch(value)
        if match is not None:
            break
    else:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        year += 1900 if year >= 70 else 2000
    try:
        month = _MONTHS.index(match["month"].capitalize()) + 1
        # A leap second is the second before it.
        second = min(int(match["second"]), 59) if match["second"] == "60" else int(match["second"])
        moment = datetime(year, month, int(match["day"]), int(match["hour"]), int(match["minute"]), second, tzinfo=UTC)
    except ValueError:
        return None
    since = moment - _EPOCH
    return since.days * 86400 + since.seconds


def http_date(ns: int) -> str:
    """Nanoseconds since the epoch as HTTP writes them: ``Fri, 02 Jan 2026 03:04:05 GMT``."""
    moment = time.gmtime(_clamped(ns // 10**9))
    return (
        f"{_DAYS[moment.tm_wday]}, {moment.tm_mday:02} {_MONTHS[moment.tm_mon - 1]} {moment.tm_year:04}"
        f" {moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02} GMT"
    )


def iso_date(ns: int) -> str:
    """Nanoseconds since the epoch as S3's XML writes them: ``2026-01-02T03:04:05.678Z``."""
    seconds, rest = divmod(ns, 10**9)
    moment = time.gmtime(_clamped(seconds))
    return (
        f"{moment.tm_year:04}-{moment.tm_mon:02}-{moment.tm_mday:02}"
        f"T{moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02}.{rest // 10**6:03}Z"
    )


def _clamped(seconds: int) -> int:
    return min(max(seconds, _EARLIEST), _LATEST)


def _date(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name)
    return None if value is None else parse_http_date(value)


def _names(value: str, etag: str, *, weak: bool) -> bool:
    tags = parse_etags(value, weak=weak)
    return tags is not None and ("*" in tags or etag in tags)


def _required(headers: Headers, name: str, *, weak: bool = False) -> tuple[str, ...]:
    value = headers.get(name)
    if value is None:
        return ()
    tags = parse_etags(value, weak=weak)
    if tags is None:
        raise _malformed(name, value)
    return tags


def _failed(condition: str) -> S3Error:
    return S3Error("PreconditionFailed", Condition=condition)


def _malformed(name: str, value: str) -> S3Error:
    return S3Error("InvalidArgument", f"The value of {name} is not valid.", ArgumentName=name, ArgumentValue=value)

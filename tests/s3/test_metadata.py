"""Metadata: what a request gives an object, and what the object gives an answer."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.metadata import attributes_of, object_headers, response_overrides
from alluxio_s3.s3.request import Headers
from alluxio_s3.s3.target import Query, parse_query
from alluxio_s3.storage import Attributes, Status

SIX = {
    "Content-Type": "text/plain",
    "Cache-Control": "no-cache, private",
    "Content-Disposition": 'attachment; filename="é.txt"',
    "Content-Encoding": "gzip",
    "Content-Language": "de, en",
    "Expires": "some day",
}
WRITABLE = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")


def status_of(attributes: Attributes) -> Status:
    return Status("b/k", 3, 1767323045_678_000_000, "0123", "v", attributes)


def test_what_came_goes_back() -> None:
    """Content type, the five echoed headers and user metadata come back on GET as they were put."""
    sent = {**SIX, "x-amz-meta-Name": "Käse", "x-amz-meta-a.b_c": "", "Content-Length": "3", "x-amz-acl": "private", "Host": "h"}
    attributes = attributes_of(Headers(sent), limit_bytes=2048)
    assert attributes.content_type == "text/plain"
    assert set(attributes.headers) == {"cache-control", "content-disposition", "content-encoding", "content-language", "expires"}
    assert attributes.user_metadata == {"name": "Käse", "a.b_c": ""}
    answer = object_headers(status_of(attributes), checksums=False)
    assert answer == {
        **SIX,
        "x-amz-meta-name": "Käse",
        "x-amz-meta-a.b_c": "",
        "ETag": '"0123"',
        "Last-Modified": "Fri, 02 Jan 2026 03:04:05 GMT",
        "Accept-Ranges": "bytes",
    }


def test_defaults() -> None:
    """An object that was given nothing has S3's default content type; an empty header is none."""
    assert attributes_of(Headers({"Content-Type": "", "Cache-Control": ""}), limit_bytes=1) == Attributes()
    assert object_headers(status_of(Attributes()), checksums=True) == {
        "ETag": '"0123"',
        "Last-Modified": "Fri, 02 Jan 2026 03:04:05 GMT",
        "Content-Type": "binary/octet-stream",
        "Accept-Ranges": "bytes",
    }


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("aws-chunked", None), ("aws-chunked,gzip", "gzip"), ("gzip, AWS-Chunked", "gzip"), ("gzip,br", "gzip,br"), ("aws-chunked,", None)],
)
def test_aws_chunked_is_not_kept(sent: str, kept: str | None) -> None:
    """``aws-chunked`` is how a body travels, not what the object is."""
    assert attributes_of(Headers({"Content-Encoding": sent}), limit_bytes=0).headers.get("content-encoding") == kept


@pytest.mark.parametrize(("name", "value"), [("a" * 8, "b" * 12), ("a" * 18, "é"), ("a" * 20, "")])
def test_metadata_limit(name: str, value: str) -> None:
    """The limit is on the UTF-8 of names and values together: at it is taken, one over is refused."""
    headers = Headers({f"x-amz-meta-{name}": value, "x-amz-tagging": "t=" + "x" * 100})
    assert attributes_of(headers, limit_bytes=20).user_metadata == {name: value}
    with pytest.raises(S3Error) as caught:
        attributes_of(headers, limit_bytes=19)
    assert (caught.value.code, caught.value.status) == ("MetadataTooLarge", 400)
    assert caught.value.details == {"MaxSizeAllowed": "19", "MetadataSize": "20"}


def test_metadata_limit_is_on_the_sum() -> None:
    """Many small ones count as one large one, and a limit of 0 is none."""
    headers = Headers({f"x-amz-meta-{n:04}": "x" * 16 for n in range(103)})
    assert len(attributes_of(headers, limit_bytes=0).user_metadata) == 103
    with pytest.raises(S3Error, match="MetadataTooLarge"):
        attributes_of(headers, limit_bytes=2048)


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "\0", "\x1b[1m", "\x7f", "\ud800"])
@pytest.mark.parametrize("name", ["Content-Type", "Cache-Control", "Content-Encoding", "x-amz-meta-a"])
def test_unwritable_values(name: str, value: str) -> None:
    """A value that no header could give back is not stored."""
    with pytest.raises(S3Error) as caught:
        attributes_of(Headers({name: value}), limit_bytes=0)
    assert caught.value.code == "InvalidArgument"
    assert caught.value.details == {"ArgumentName": name.lower()}


@pytest.mark.parametrize("name", ["", "a b", "é", "a:b", "a\r\n", "a(b)"])
def test_unwritable_names(name: str) -> None:
    """A metadata name that is no header name is refused."""
    with pytest.raises(S3Error, match="InvalidArgument"):
        attributes_of(Headers({f"x-amz-meta-{name}": "v"}), limit_bytes=0)


def test_tab_and_unicode_are_kept() -> None:
    """Tabs and text beyond ASCII are fine in values."""
    value = "a\tb é 漢 \u2028 \x85"
    assert attributes_of(Headers({"x-amz-meta-a": value}), limit_bytes=0).user_metadata == {"a": value}


HEADER_NAMES = st.sampled_from([*SIX, "x-amz-meta-", "x-amz-meta-a", "X-Amz-Meta-B", "x-amz-metadata"]) | st.text(max_size=3).map(
    "x-amz-meta-".__add__
)


@given(st.dictionaries(HEADER_NAMES, st.text(st.characters())), st.integers(0, 20))
def test_total_and_writable(sent: dict[str, str], limit: int) -> None:
    """Any headers are attributes or a 400; all that is taken can be given back, unchanged."""
    try:
        attributes = attributes_of(Headers(sent), limit_bytes=limit)
    except S3Error as error:
        assert error.code in {"InvalidArgument", "MetadataTooLarge"}
        assert all(detail.isascii() for detail in error.details.values())
    else:
        answer = object_headers(status_of(attributes), checksums=True)
        assert "x-amz-missing-meta" not in answer
        assert {name: answer[f"x-amz-meta-{name}"] for name in attributes.user_metadata} == attributes.user_metadata


TEXTS = st.text(st.characters())


@given(TEXTS, st.dictionaries(TEXTS | st.sampled_from([name.lower() for name in SIX]), TEXTS), st.dictionaries(TEXTS, TEXTS))
@example("a\n", {"cache-control": "\r"}, {"good": "x", "bad name": "x", "bad": "\n"})
def test_answers_are_writable(content_type: str, headers: dict[str, str], user: dict[str, str]) -> None:
    """Whatever another program stored, an answer has only names and values that a header can hold, and counts the rest."""
    answer = object_headers(status_of(Attributes(content_type, headers, user)), checksums=False)
    for name, value in answer.items():
        assert re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name)
        assert WRITABLE.fullmatch(value)
        value.encode()
    given_back = sum(name.startswith("x-amz-meta-") for name in answer)
    assert given_back + int(answer.get("x-amz-missing-meta", "0")) == len(user)


def test_user_metadata_cannot_pass_for_a_header() -> None:
    """Stored headers are only the five that are echoed; others can't be smuggled in by what is stored."""
    attributes = Attributes(headers={"location": "http://x", "etag": "x", "set-cookie": "x"}, user_metadata={"x": "y"})
    answer = object_headers(status_of(attributes), checksums=False)
    assert set(answer) == {"ETag", "Last-Modified", "Content-Type", "Accept-Ranges", "x-amz-meta-x"}


def test_checksums() -> None:
    """Checksums are told when asked for, with their type."""
    attributes = Attributes(checksums={"CRC32": "AAAAAA==", "CRC64NVME": "AAAAAAAAAAA="}, checksum_type="FULL_OBJECT")
    assert not any(name.startswith("x-amz-checksum") for name in object_headers(status_of(attributes), checksums=False))
    answer = object_headers(status_of(attributes), checksums=True)
    assert answer["x-amz-checksum-crc32"] == "AAAAAA=="
    assert answer["x-amz-checksum-crc64nvme"] == "AAAAAAAAAAA="
    assert answer["x-amz-checksum-type"] == "FULL_OBJECT"


def test_tagging_count() -> None:
    """The number of tags is told, if there are any."""
    assert object_headers(status_of(Attributes(tags={"a": "b", "c": ""})), checksums=False)["x-amz-tagging-count"] == "2"


def test_response_overrides() -> None:
    """The six parameters replace the object's own headers; others do not."""
    raw = (
        b"response-content-type=text%2Fcsv&response-cache-control=no-store&response-content-disposition=attachment%3B+filename%3D%22%C3%A9%22"
        b"&response-content-encoding=br&response-content-language=fr&response-expires=0&response-etag=x&response-location=y"
    )
    assert response_overrides(parse_query(raw)) == {
        "Content-Type": "text/csv",
        "Cache-Control": "no-store",
        "Content-Disposition": 'attachment; filename="é"',
        "Content-Encoding": "br",
        "Content-Language": "fr",
        "Expires": "0",
    }
    assert response_overrides(Query()) == {}
    assert response_overrides(parse_query(b"response-content-type=&response-expires")) == {}


@given(st.text(st.characters()))
@example("a\r\nb")
def test_response_overrides_are_writable(value: str) -> None:
    """No override splits a header: it is written as it is, or InvalidArgument."""
    try:
        overrides = response_overrides(Query((("response-content-type", value),)))
    except S3Error as error:
        assert error.code == "InvalidArgument"
        assert error.details == {"ArgumentName": "response-content-type"}
        assert not WRITABLE.fullmatch(value) or any("\ud800" <= character <= "\udfff" for character in value)
    else:
        assert overrides.get("Content-Type", "") == value
        assert WRITABLE.fullmatch(value)

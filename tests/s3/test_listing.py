"""Listings: the order of keys, tokens, page sizes and entries."""

from __future__ import annotations

from urllib.parse import unquote, unquote_plus

import pytest
from botocore.handlers import decode_list_object_v2
from hypothesis import assume, example, given
from hypothesis import strategies as st

from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.listing import (
    ContinuationToken,
    common_prefix_xml,
    contents_xml,
    encode_key,
    owner_xml,
    parse_encoding_type,
    parse_max_keys,
    successor,
)
from alluxio_s3.s3.xml import document, parse
from alluxio_s3.storage import Attributes, Status

LAST = "\U0010ffff"
# Mostly the characters at the edges: the ends of the planes, of UTF-8's lengths, of the surrogate gap.
EDGES = st.sampled_from("\0\x01/0az\x7f\x80\u07ff\u0800\ud7ff\ue000\ufffe\uffff\U00010000\U0010fffe" + LAST)
TEXT = st.text(EDGES | st.characters(exclude_categories=["Cs"]), max_size=6)


@given(TEXT)
@example("")
@example(LAST)
@example("a" + LAST * 2)
@example("\ud7ff")
@example("\ud7ff" + LAST)
def test_successor_is_a_key(prefix: str) -> None:
    """The successor is text that a key may be; only prefixes of nothing but the last character have none."""
    found = successor(prefix)
    if found is None:
        assert not prefix.strip(LAST)
    else:
        found.encode()
        assert found > prefix
        assert not found.startswith(prefix)


@given(TEXT, TEXT)
@example("\ud7ff", LAST)
@example("a" + LAST, LAST)
def test_successor_is_past_the_prefix(prefix: str, rest: str) -> None:
    """Every string that begins with the prefix is less than its successor, in the order of UTF-8."""
    found = successor(prefix)
    assume(found is not None)
    assert found is not None
    assert prefix + rest < found
    assert (prefix + rest).encode() < found.encode()


@given(TEXT, TEXT)
@example("\ud7ff", "\ud7ff" + LAST * 3)
@example("a/", "a/" + LAST)
def test_successor_is_the_least(prefix: str, other: str) -> None:
    """Whatever is less than the successor is not past the prefix: some string that begins with it is as great."""
    found = successor(prefix)
    if found is None or other < found:
        assert other <= prefix + LAST * (len(other) + 1)


@given(TEXT, TEXT)
def test_string_order_is_byte_order(one: str, two: str) -> None:
    """Comparing strings is comparing their UTF-8."""
    assert (one < two) == (one.encode() < two.encode())


@given(TEXT | st.text(st.characters(exclude_categories=["Cs"])))
def test_token_round_trip(start: str) -> None:
    """A token gives back where the page begins, and needs no escaping wherever it is put."""
    token = ContinuationToken.encode(start)
    assert ContinuationToken.decode(token) == start
    assert unquote_plus(token) == token
    assert not set(token) & set("+/=&<>")


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")) | st.text("ABab01-_=", max_size=30))
@example("")
@example("é")
@example("\ud800")
@example("AAAA")
def test_foreign_tokens(token: str) -> None:
    """A token that we did not make is InvalidArgument, never another error."""
    try:
        start = ContinuationToken.decode(token)
    except S3Error as error:
        assert (error.code, error.status) == ("InvalidArgument", 400)
    else:
        assert ContinuationToken.encode(start) == token


@given(TEXT, st.data())
def test_damaged_tokens(start: str, data: st.DataObject) -> None:
    """A token that lost or changed a character is refused."""
    token = ContinuationToken.encode(start)
    at = data.draw(st.integers(0, len(token) - 1))
    replacement = data.draw(st.sampled_from(["", "A", "-", "=", " ", "\n"]))
    damaged = token[:at] + replacement + token[at + 1 :]
    assume(damaged != token)
    with pytest.raises(S3Error, match="InvalidArgument"):
        ContinuationToken.decode(damaged)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, 1000), ("", 1000), ("0", 0), ("1", 1), ("007", 7), ("1000", 1000), ("1001", 1000), ("2147483647", 1000), ("0" * 5000 + "5", 5)],
)
def test_max_keys(value: str | None, expected: int) -> None:
    """A page has at most 1,000 entries, however many are asked for."""
    assert parse_max_keys(value) == expected


def test_max_keys_default() -> None:
    """The default is the caller's."""
    assert parse_max_keys(None, 10) == 10


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("-1", "must be an integer between 0 and 2147483647"),
        ("2147483648", "must be an integer between 0 and 2147483647"),
        ("9" * 8000, "must be an integer between 0 and 2147483647"),
        ("a", "not an integer"),
        ("1.0", "not an integer"),
        ("+1", "not an integer"),
        (" 1", "not an integer"),
        ("--1", "not an integer"),
        ("1_0", "not an integer"),
        ("٣", "not an integer"),
        ("²", "not an integer"),
    ],
)
def test_bad_max_keys(value: str, message: str) -> None:
    """What is no number from 0 to 2^31-1 is InvalidArgument that names the parameter."""
    with pytest.raises(S3Error, match=message) as caught:
        parse_max_keys(value, name="max-parts")
    assert caught.value.code == "InvalidArgument"
    assert caught.value.details == {"ArgumentName": "max-parts", "ArgumentValue": value}


@given(st.text())
def test_max_keys_is_total(value: str) -> None:
    """Any text is a number in range or InvalidArgument."""
    try:
        assert 0 <= parse_max_keys(value) <= 1000
    except S3Error as error:
        assert error.code == "InvalidArgument"


def test_encoding_type() -> None:
    """``url`` is the only encoding that there is."""
    assert parse_encoding_type(None) is None
    assert parse_encoding_type("") is None
    assert parse_encoding_type("url") == "url"
    for value in ("URL", "base64"):
        with pytest.raises(S3Error, match="Invalid Encoding Method"):
            parse_encoding_type(value)


@given(TEXT | st.text(st.characters(exclude_categories=["Cs"])))
@example("a+b c%20d/e")
def test_encoded_keys_decode(key: str) -> None:
    """An encoded key is plain ASCII, and decodes to the key whether ``+`` is taken for a space or not."""
    encoded = encode_key(key, "url")
    assert encoded.isascii()
    assert encoded.isprintable()
    assert "+" not in encoded
    assert unquote(encoded) == unquote_plus(encoded) == key
    assert encode_key(key, None) == key


def test_encoded_keys_decode_in_botocore() -> None:
    """botocore gives its caller the key that was stored."""
    key = "a+b c%20&é/\x01.txt"
    parsed: dict[str, object] = {
        "EncodingType": "url",
        "Contents": [{"Key": encode_key(key, "url")}],
        "CommonPrefixes": [{"Prefix": encode_key(key, "url")}],
    }
    decode_list_object_v2(parsed, context={"encoding_type_auto_set": True})
    assert parsed["Contents"] == [{"Key": key}]
    assert parsed["CommonPrefixes"] == [{"Prefix": key}]


def test_encoding_leaves_slashes() -> None:
    """Letters, digits, ``-._~`` and ``/`` stay; a space is ``%20``."""
    assert encode_key("Az09-._~/ *'()", "url") == "Az09-._~/%20%2A%27%28%29"
    assert encode_key("\ud800", "url") == "%ED%A0%80"


STATUS = Status("b/a&b", 5, 1767323045_678_000_000, "0123-2", "v", Attributes(checksums={"CRC32": "AAAAAA=="}, checksum_type="FULL_OBJECT"))


def test_contents() -> None:
    """An entry has what S3 tells of an object, and its owner when asked."""
    assert contents_xml(STATUS, "a&b c", owner="ann<") == (
        "<Contents><Key>a&amp;b c</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified><ETag>&quot;0123-2&quot;</ETag>"
        "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>5</Size>"
        "<Owner><ID>ann&lt;</ID><DisplayName>ann&lt;</DisplayName></Owner><StorageClass>STANDARD</StorageClass></Contents>"
    )
    plain = contents_xml(Status("b/k", 0, 0, "e", "v"), "k c", encoding_type="url")
    assert plain == (
        "<Contents><Key>k%20c</Key><LastModified>1970-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag>"
        "<Size>0</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def test_common_prefix() -> None:
    """A common prefix is encoded as keys are."""
    assert common_prefix_xml("a b/") == "<CommonPrefixes><Prefix>a b/</Prefix></CommonPrefixes>"
    assert common_prefix_xml("a b/", encoding_type="url") == "<CommonPrefixes><Prefix>a%20b/</Prefix></CommonPrefixes>"
    assert owner_xml("ann") == "<Owner><ID>ann</ID><DisplayName>ann</DisplayName></Owner>"


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff") | st.sampled_from("\r\n\t")), st.booleans()
)
def test_entries_read_back(key: str, encoded: bool) -> None:
    """The entry of any key reads back as that key."""
    encoding_type = "url" if encoded else None
    body = document("L", contents_xml(STATUS, key, encoding_type=encoding_type) + common_prefix_xml(key, encoding_type=encoding_type))
    root = parse(body, "L")
    for name, inner in (("Contents", "Key"), ("CommonPrefixes", "Prefix")):
        entry = root.find(name)
        assert entry is not None
        text = entry.value(inner, "")
        assert (unquote(text) if encoded else text) == key

"""Tags: header, document and rules."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.tagging import MAX_BUCKET_TAGS, check_tags, parse_tagging_document, parse_tagging_header, tagging_document

TAG_TEXT = st.text(st.characters(categories=["L", "N", "Zs"]) | st.sampled_from("+-=._:/@"), max_size=128)
TAGS = st.dictionaries(TAG_TEXT.filter(lambda key: key and not key.lower().startswith("aws:")), TAG_TEXT, max_size=10)


@given(TAGS)
def test_header_round_trip(tags: dict[str, str]) -> None:
    """The header means the same however it was URL-encoded: spaces as ``+`` or ``%20``, safe characters escaped or not."""
    assert parse_tagging_header(urlencode(tags)) == tags
    assert parse_tagging_header(urlencode(tags, quote_via=quote, safe="")) == tags
    assert parse_tagging_header(urlencode(tags, safe="/:@")) == tags


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        ("", {}),
        ("a=b", {"a": "b"}),
        ("a=b&c=d", {"a": "b", "c": "d"}),
        ("a", {"a": ""}),
        ("a=", {"a": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("a=b&", {"a": "b"}),
        ("=b", {"": "b"}),
        ("a+b=c%20d", {"a b": "c d"}),
        ("k%C3%A9=%2B", {"ké": "+"}),
        ("ké=v", {"ké": "v"}),
    ],
)
def test_header(value: str, tags: dict[str, str]) -> None:
    """The forms that clients send."""
    assert parse_tagging_header(value) == tags


@pytest.mark.parametrize("value", ["a=b&a=c", "a=1&%61=2", "a=%", "a=%zz", "a=%F", "a=%FF", "%C3=b", "a=\ud800"])
def test_bad_header(value: str) -> None:
    """A tag named twice, however spelled, and what is not URL-encoded UTF-8 is InvalidArgument that names the header."""
    with pytest.raises(S3Error, match="without tag name duplicates") as caught:
        parse_tagging_header(value)
    assert (caught.value.code, caught.value.details) == ("InvalidArgument", {"ArgumentName": "x-amz-tagging"})


@given(st.text(st.characters()) | st.text("a=&%+0F"))
def test_header_is_total(value: str) -> None:
    """Any text is tags or InvalidArgument."""
    try:
        tags = parse_tagging_header(value)
    except S3Error as error:
        assert error.code == "InvalidArgument"
    else:
        for key, text in tags.items():
            (key + text).encode()


@given(TAGS | st.dictionaries(st.text(st.sampled_from(" \r\n\t<&>\"'a")), st.text(st.sampled_from(" \r\n\t<&>\"'a"))))
def test_document_round_trip(tags: dict[str, str]) -> None:
    """What GetTagging writes, PutTagging reads, in the same order."""
    assert list(parse_tagging_document(tagging_document(tags)).items()) == list(tags.items())


def test_document() -> None:
    """The document is S3's."""
    assert tagging_document({"a": "1 < 2", "b": ""}) == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        b"<TagSet><Tag><Key>a</Key><Value>1 &lt; 2</Value></Tag><Tag><Key>b</Key><Value></Value></Tag></TagSet></Tagging>"
    )
    assert parse_tagging_document(b"<Tagging>\n <TagSet>\n <Tag>\n<Value>v</Value><Key>k</Key></Tag></TagSet></Tagging>") == {"k": "v"}
    assert parse_tagging_document(b"<Tagging><TagSet/></Tagging>") == {}


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "<TagSet/><TagSet/>",
        "<TagSet><Tag/></TagSet>",
        "<TagSet><Tag><Key>k</Key></Tag></TagSet>",
        "<TagSet><Tag><Value>v</Value></Tag></TagSet>",
        "<TagSet><Tag><Key>k</Key><Key>l</Key><Value>v</Value></Tag></TagSet>",
        "<TagSet><Tag><Key>k<x/></Key><Value>v</Value></Tag></TagSet>",
        "<TagSet><Other><Key>k</Key><Value>v</Value></Other></TagSet>",
    ],
)
def test_bad_document(inside: str) -> None:
    """A document that does not follow S3's schema is MalformedXML."""
    with pytest.raises(S3Error, match="MalformedXML"):
        parse_tagging_document(f"<Tagging>{inside}</Tagging>".encode())


def test_document_with_a_tag_twice() -> None:
    """A key that comes twice is InvalidTag, not the last one's value."""
    tag = "<Tag><Key>k</Key><Value>v</Value></Tag>"
    with pytest.raises(S3Error, match="Cannot provide multiple Tags with the same key") as caught:
        parse_tagging_document(f"<Tagging><TagSet>{tag}{tag}</TagSet></Tagging>".encode())
    assert (caught.value.code, caught.value.details) == ("InvalidTag", {"TagKey": "k"})


@given(TAGS)
def test_good_tags(tags: dict[str, str]) -> None:
    """Tags of letters, numbers, spaces and S3's signs are taken."""
    check_tags(tags, restricted=True)
    check_tags(tags, restricted=False)


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ({"k" * 128: ""}, {"k" * 129: ""}, "TagKey"),
        ({"k": "v" * 256}, {"k": "v" * 257}, "TagValue"),
        ({"é" * 128: "é" * 256}, {"é" * 129: ""}, "TagKey"),
        ({"\U00020000" * 64: ""}, {"\U00020000" * 65: ""}, "TagKey"),
        ({"k": "\U00020000" * 128}, {"k": "\U00020000" * 128 + "a"}, "TagValue"),
        ({"k": ""}, {"": ""}, "TagKey"),
        ({"a b+c-d=e.f_g:h/i@j": "漢字 Ñ ٣"}, {"a&b": ""}, "TagKey"),
        ({"k": "\u00a0"}, {"k": "a\tb"}, "TagValue"),
        ({"k": "v"}, {"k": "#"}, "TagValue"),
        ({"k": "v"}, {"k": "v\0"}, "TagValue"),
        ({"xaws:k": "v"}, {"aws:k": "v"}, "System tags"),
        ({"aws": "v"}, {"AWS:k": "v"}, "System tags"),
    ],
)
def test_rules(good: dict[str, str], bad: dict[str, str], message: str) -> None:
    """Each rule of S3 at its edge: lengths in UTF-16 units, characters, names that are S3's own."""
    check_tags(good, restricted=True)
    with pytest.raises(S3Error, match=message) as caught:
        check_tags(bad, restricted=True)
    assert (caught.value.code, caught.value.status) == ("InvalidTag", 400)


@pytest.mark.parametrize(
    ("limit", "message"), [(10, "Object tags cannot be greater than 10"), (50, "Bucket tags cannot be greater than 50")]
)
def test_number(limit: int, message: str) -> None:
    """An object has at most 10 tags, a bucket 50."""
    assert MAX_BUCKET_TAGS == 50
    tags = {f"k{n}": "" for n in range(limit + 1)}
    with pytest.raises(S3Error, match=message) as caught:
        check_tags(tags, restricted=True, limit=limit)
    assert (caught.value.code, caught.value.status) == ("BadRequest", 400)
    tags.popitem()
    check_tags(tags, restricted=True, limit=limit)


def test_without_restrictions() -> None:
    """With the restrictions off all goes but what no answer could give back: an empty key, characters that XML has not."""
    check_tags({f"aws:#{n}" * 100: "\t&\r\n" * 1000 for n in range(100)}, restricted=False)
    for bad in ({"": "v"}, {"k\0": "v"}, {"k": "\x1b"}, {"k": "\ufffe"}, {"k": "\ud800"}):
        with pytest.raises(S3Error, match="InvalidTag"):
            check_tags(bad, restricted=False)


@given(st.dictionaries(st.text(st.characters()), st.text(st.characters())), st.booleans())
@example({"\ud800": ""}, True)
def test_rules_are_total(tags: dict[str, str], restricted: bool) -> None:
    """Any tags are taken or a 400; what is taken can be given back."""
    try:
        check_tags(tags, restricted=restricted)
    except S3Error as error:
        assert error.code in {"InvalidTag", "BadRequest"}
    else:
        assert parse_tagging_document(tagging_document(tags)) == tags

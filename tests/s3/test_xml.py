"""XML: what we write reads back the same, and what we read cannot hurt."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.xml import MAX_DEPTH, MAX_ELEMENTS, NAMESPACE, Element, document, element, error_document, escape, parse, tag

# The characters of XML 1.0, section 2.2.
CHARACTERS = st.characters(
    exclude_categories=["Cs"],
    exclude_characters=[*(chr(n) for n in range(0x20) if n not in (9, 10, 13)), "\ufffe", "\uffff"],
)


def refused(body: bytes, root: str = "D") -> bool:
    with pytest.raises(S3Error) as caught:
        parse(body, root)
    return caught.value.code == "MalformedXML" and caught.value.status == 400


@given(st.text(CHARACTERS))
@example("a\r\nb\rc\n\td")
@example("]]>")
@example("  ")
@example("\x85\u2028\u2029")
@example("&amp;<Key>\"'")
def test_text_reads_back(text: str) -> None:
    """Any text that XML can hold reads back as it was, white space and line ends included, here and with other parsers."""
    body = document("D", tag("Key", text))
    assert parse(body, "D").value("Key") == text
    assert (ET.fromstring(body).findtext(f"{{{NAMESPACE}}}Key") or "") == text


@given(st.text(CHARACTERS))
def test_attribute_reads_back(text: str) -> None:
    """Escaped text is safe as the value of an attribute too."""
    for quote in "\"'":
        assert ET.fromstring(f"<D a={quote}{escape(text)}{quote}/>".encode()).get("a") == text


@given(st.text(st.characters()))
@example("\x00\x01\x1f\ufffe\ud800")
def test_rendering_is_total(text: str) -> None:
    """Text of any code points renders; what XML has no characters for becomes a reference, as S3 writes it."""
    body = document("D", tag("Key", text)).decode()
    assert not set(body.partition("\n")[2]) & {*map(chr, range(0x20)), "\ufffe", "\uffff"}
    assert escape("\x01\x7f\ufffe\ud800") == "&#x1;\x7f&#xFFFE;&#xD800;"


def test_values() -> None:
    """Numbers, truth and absence are written as S3 writes them."""
    assert tag("Size", 3) == "<Size>3</Size>"
    assert tag("IsTruncated", True) == "<IsTruncated>true</IsTruncated>"
    assert tag("IsTruncated", False) == "<IsTruncated>false</IsTruncated>"
    assert tag("Marker", "") == "<Marker></Marker>"
    assert tag("Marker", None) == ""
    assert element("A", tag("B", 1), tag("C", None), element("D")) == "<A><B>1</B><D></D></A>"


def test_document() -> None:
    """A document has the declaration and S3's namespace."""
    body = document("LocationConstraint", escape("eu-west-1"))
    assert body == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">eu-west-1</LocationConstraint>'
    )


def test_error_document() -> None:
    """An error has S3's elements and details, no namespace, and nothing that is empty."""
    error = S3Error("NoSuchKey", Key="a<b\r")
    assert error_document(error, "0123", "/b/a%3Cb") == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>a&lt;b&#13;</Key>"
        b"<Resource>/b/a%3Cb</Resource><RequestId>0123</RequestId></Error>"
    )
    assert b"Resource" not in error_document(error, "", "") and b"RequestId" not in error_document(error, "", "")


@given(st.text(), st.text(), st.text())
@example("\0", "a\x01\ud800", "/b/\ufffe")
def test_error_document_is_total(message: str, detail: str, resource: str) -> None:
    """Whatever a client put into an error, its document renders, and every parser reads it."""
    rendered = error_document(S3Error("InvalidArgument", message, ArgumentValue=detail), "id", resource)
    assert ET.fromstring(rendered).findtext("Code") == "InvalidArgument"


@pytest.mark.parametrize(
    "body",
    [
        b"<Delete><Object><Key>a</Key></Object><Object><Key> b\n</Key></Object><Quiet>true</Quiet></Delete>",
        (
            b'<?xml version="1.0"?>\n<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            b"<Object ><Key>a</Key></Object>\n  <Object>\n<Key> b\n</Key></Object><!-- c --><Quiet>true</Quiet></Delete>\n"
        ),
        (
            b'<s3:Delete xmlns:s3="urn:x"><s3:Object><s3:Key><![CDATA[a]]></s3:Key></s3:Object>'
            b"<o:Object><Key>&#32;b&#xA;</Key></o:Object><Quiet>tr<?pi?>ue</Quiet></s3:Delete>"
        ),
        "\ufeff<Delete><Object><Key>a</Key></Object><Object><Key> b\r\n</Key></Object><Quiet>true</Quiet></Delete>".encode(),
        (
            b'<?xml version="1.0" encoding="utf-16"?><Delete><Object><Key>a</Key></Object>'
            b"<Object><Key> b\r</Key></Object><Quiet>true</Quiet></Delete>"
        ),
    ],
)
def test_parse(body: bytes) -> None:
    """Namespaces, prefixes, comments, CDATA and the declared encoding make no difference; white space in text is kept."""
    delete = parse(body, "Delete")
    assert [child.value("Key") for child in delete.findall("Object")] == ["a", " b\n"]
    assert delete.value("Quiet") == "true"
    assert delete.value("Verbose") is None
    assert delete.value("Verbose", "no") == "no"
    assert delete.find("Verbose") is None
    assert delete.findall("Verbose") == []


def test_ambiguous_children() -> None:
    """An element that should be there once and comes twice, or should be text and is not, is refused where it is read."""
    twice = parse(b"<Object><Key>a</Key><Key>b</Key></Object>", "Object")
    with pytest.raises(S3Error, match="MalformedXML"):
        twice.value("Key")
    with pytest.raises(S3Error, match="MalformedXML"):
        twice.find("Key")
    nested = parse(b"<Object><Key>a<b/></Key></Object>", "Object")
    with pytest.raises(S3Error, match="MalformedXML"):
        nested.value("Key")


@pytest.mark.parametrize(
    "body", [b"", b" ", b"x", b"<D>", b"<D></E>", b"<E/>", b"<D/><D/>", b"<D>\xff</D>", b"<D>&x;</D>", b"<D>&#1;</D>", b"<D a=1/>", b"{}"]
)
def test_malformed(body: bytes) -> None:
    """What is not a well-formed document of the right root is MalformedXML."""
    assert refused(body)


BOMB = (
    '<!DOCTYPE D [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]><D>&j;</D>"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize(
    "declaration", ["", '<?xml version="1.0" encoding="UTF-16"?>', '<?xml version="1.0" standalone="yes"?>\n<!-- x -->']
)
@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        '<!DOCTYPE D [<!ENTITY a SYSTEM "file:///etc/passwd">]><D>&a;</D>',
        '<!DOCTYPE D SYSTEM "http://127.0.0.1/x.dtd"><D/>',
        '<!DOCTYPE D [<!ENTITY % p SYSTEM "http://127.0.0.1/x"> %p;]><D/>',
        "<!DOCTYPE D><D/>",
    ],
)
def test_document_types_are_refused(text: str, declaration: str, encoding: str) -> None:
    """No document type is read, in whatever encoding it hides."""
    assert refused((declaration + text).encode(encoding))


def test_depth_is_bounded() -> None:
    """Sixteen levels are read, seventeen are not, and a million cost nothing."""
    assert parse(b"<D>" * MAX_DEPTH + b"</D>" * MAX_DEPTH, "D").name == "D"
    assert refused(b"<D>" * (MAX_DEPTH + 1) + b"</D>" * (MAX_DEPTH + 1))
    assert refused(b"<D>" * 350_000)


def test_elements_are_bounded() -> None:
    """The elements of a 10,000 part upload are read, and not many more."""
    assert len(parse(b"<D>" + b"<a/>" * (MAX_ELEMENTS - 1) + b"</D>", "D").children) == MAX_ELEMENTS - 1
    assert refused(b"<D>" + b"<a/>" * MAX_ELEMENTS + b"</D>")
    assert MAX_ELEMENTS > 4 * 10_000 + 1


@pytest.mark.parametrize(
    "body",
    [
        b"<D " + b"x" * (1 << 20),
        b"<D><!--" + b"x" * (1 << 20),
        b"<D><![CDATA[" + b"x" * (1 << 20),
        b"<D a='" + b"x" * (1 << 20),
        b"<" + b"x" * (1 << 20),
        b"<D>" + b"<" * (1 << 20),
        b"<D>" + b"&" * (1 << 20),
        b"<?x " + b"x" * (1 << 20),
    ],
)
def test_large_tokens(body: bytes) -> None:
    """A megabyte that never ends its token is malformed (expat before 2.6 would scan it again with every piece it got)."""
    assert refused(body)


def test_large_text() -> None:
    """Text longer than expat's buffer comes whole."""
    assert parse(b"<D>" + b"&amp;x\n" * 100_000 + b"</D>", "D").text == "&x\n" * 100_000


FRAGMENTS = st.sampled_from(
    [b"<D>", b"</D>", b"<Key>", b"</Key>", b"<a:b c='d'>", b"</a:b>", b"<!DOCTYPE D>", b"<!ENTITY", b"<![CDATA[", b"]]>", b"<!--", b"-->",
     b"<?xml version='1.0' encoding='x'?>", b"&lt;", b"&#0;", b"&#xD800;", b"&#x110000;", b"&e;",
     b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\0", b" ", b"x"]
)  # fmt: skip


@example(b"<D>\xed\xa0\x80</D>")
@given(st.binary() | st.lists(FRAGMENTS | st.binary(max_size=3)).map(b"".join))
def test_parse_is_total(body: bytes) -> None:
    """Any bytes are an Element or MalformedXML."""
    try:
        found = parse(body, "D")
    except S3Error as error:
        assert error.code == "MalformedXML"
    else:
        assert isinstance(found, Element)
        assert found.name == "D"
        found.text.encode()

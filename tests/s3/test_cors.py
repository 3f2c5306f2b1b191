"""CORS rules: read, checked, written, and matched with what browsers ask."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from alluxio_s3.s3.cors import VARY, CorsRule, answer_headers, cors_document, parse_cors, preflight_headers
from alluxio_s3.s3.errors import S3Error

LEAST = "<AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin>"


def configuration(*rules: str) -> bytes:
    return f"<CORSConfiguration>{''.join(f'<CORSRule>{rule}</CORSRule>' for rule in rules)}</CORSConfiguration>".encode()


def refusal(body: bytes) -> S3Error:
    with pytest.raises(S3Error) as caught:
        parse_cors(body)
    return caught.value


def test_a_whole_rule() -> None:
    """Everything that a rule can say is read, in order, with S3's namespace or none."""
    body = configuration(
        "<ID>one</ID><AllowedOrigin>http://a</AllowedOrigin><AllowedOrigin>https://*.b</AllowedOrigin><AllowedMethod>PUT</AllowedMethod>"
        "<AllowedMethod>GET</AllowedMethod><AllowedHeader>x-*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>30</MaxAgeSeconds>"
    )
    expected = CorsRule(("PUT", "GET"), ("http://a", "https://*.b"), ("x-*",), ("ETag",), 30, "one")
    assert parse_cors(body) == (expected,)
    spaced = body.replace(b"<CORSConfiguration>", b'<CORSConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">\n  ')
    assert parse_cors(spaced) == (expected,)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"", "MalformedXML", None),
        (b"<CORSConfiguration/>", "MalformedXML", None),
        (b"<Tagging/>", "MalformedXML", None),
        (b"<CORSConfiguration><CORSRule></CORSConfiguration>", "MalformedXML", None),
        (b"<CORSConfiguration><Rule/></CORSConfiguration>", "MalformedXML", None),
        (configuration(""), "MalformedXML", None),
        (configuration("<AllowedMethod>GET</AllowedMethod>"), "MalformedXML", None),
        (configuration("<AllowedOrigin>*</AllowedOrigin>"), "MalformedXML", None),
        (configuration(LEAST + "<Unknown/>"), "MalformedXML", None),
        (configuration(LEAST + "<ID>a</ID><ID>b</ID>"), "MalformedXML", None),
        (configuration(LEAST + "<MaxAgeSeconds>1</MaxAgeSeconds><MaxAgeSeconds>2</MaxAgeSeconds>"), "MalformedXML", None),
        (configuration(LEAST + "<MaxAgeSeconds>-1</MaxAgeSeconds>"), "MalformedXML", None),
        (configuration(LEAST + "<MaxAgeSeconds>soon</MaxAgeSeconds>"), "MalformedXML", None),
        (configuration(LEAST + "<MaxAgeSeconds>12345678901</MaxAgeSeconds>"), "MalformedXML", None),
        (configuration(LEAST + "<AllowedHeader><b/></AllowedHeader>"), "MalformedXML", None),
        (b"<!DOCTYPE a>" + configuration(LEAST), "MalformedXML", None),
        (
            configuration(*[LEAST] * 101),
            "InvalidRequest",
            "The number of CORS rules should not exceed allowed limit of 100 rules.",
        ),
        (
            configuration("<AllowedMethod>PATCH</AllowedMethod><AllowedOrigin>*</AllowedOrigin>"),
            "InvalidRequest",
            "Found unsupported HTTP method in CORS config. Unsupported method is PATCH",
        ),
        (configuration("<AllowedMethod>get</AllowedMethod><AllowedOrigin>*</AllowedOrigin>"), "InvalidRequest", None),
        (configuration("<AllowedMethod>OPTIONS</AllowedMethod><AllowedOrigin>*</AllowedOrigin>"), "InvalidRequest", None),
        (
            configuration("<AllowedMethod>GET</AllowedMethod><AllowedOrigin>http://*.*</AllowedOrigin>"),
            "InvalidRequest",
            'AllowedOrigin "http://*.*" can not have more than one wildcard.',
        ),
        (
            configuration(LEAST + "<AllowedHeader>x-*-*</AllowedHeader>"),
            "InvalidRequest",
            'AllowedHeader "x-*-*" can not have more than one wildcard.',
        ),
        (
            configuration(LEAST + "<ExposeHeader>x-*</ExposeHeader>"),
            "InvalidRequest",
            'ExposeHeader "x-*" contains wildcard. We currently do not support wildcard for ExposeHeader.',
        ),
        (configuration(LEAST + "<ExposeHeader>a: b&#13;&#10;c</ExposeHeader>"), "InvalidRequest", None),
        (configuration(LEAST + "<ExposeHeader></ExposeHeader>"), "InvalidRequest", None),
        (configuration("<AllowedMethod>GET</AllowedMethod><AllowedOrigin></AllowedOrigin>"), "InvalidRequest", None),
        (configuration(LEAST + f"<ID>{'a' * 256}</ID>"), "InvalidRequest", None),
    ],
)
def test_what_is_no_configuration(body: bytes, code: str, message: str | None) -> None:
    """What S3 refuses is refused, in its words where these are known."""
    error = refusal(body)
    assert error.code == code
    assert message is None or error.message == message


def test_the_limits() -> None:
    """100 rules are taken, and an ID of 255 characters."""
    assert len(parse_cors(configuration(*[LEAST] * 100))) == 100
    assert parse_cors(configuration(LEAST + f"<ID>{'a' * 255}</ID>"))[0].name == "a" * 255


words = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="*"), min_size=1, max_size=12)
patterns = st.one_of(words, st.just("*"), st.tuples(words, words).map("*".join))
rules = st.builds(
    CorsRule,
    st.lists(st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD"]), min_size=1, max_size=5).map(tuple),
    st.lists(patterns, min_size=1, max_size=3).map(tuple),
    st.lists(patterns, max_size=3).map(tuple),
    st.lists(st.sampled_from(["ETag", "x-amz-meta-a", "Date"]), max_size=3).map(tuple),
    st.none() | st.integers(0, 10**9),
    st.none() | words,
)


@given(st.lists(rules, min_size=1, max_size=5))
def test_what_is_written_is_read(made: list[CorsRule]) -> None:
    """A document that is made of rules says those rules."""
    assert parse_cors(cors_document(made)) == tuple(made)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes(body: bytes) -> None:
    """Whatever comes is rules, or an S3Error."""
    try:
        assert parse_cors(body)
    except S3Error as error:
        assert error.code in ("MalformedXML", "InvalidRequest")


RULE = CorsRule(("GET", "PUT"), ("http://one.example", "https://*.example.com"), ("x-amz-*", "Content-Type"), ("ETag", "Date"), 3000)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://one.example", True),
        ("https://www.example.com", True),
        ("https://a.b.example.com", True),
        ("https://.example.com", True),
        ("https://example.com", False),
        ("https://www.example.com:8443", False),
        ("http://www.example.com", False),
        ("http://one.example.evil", False),
        ("HTTP://ONE.EXAMPLE", False),
        ("https://evil/.example.com", True),  # no browser sends a path in an Origin
        ("null", False),
        ("*", False),
    ],
)
def test_origins(origin: str, *, allowed: bool) -> None:
    """An origin fits a pattern as a whole, by case; ``*`` stands for any characters."""
    found = preflight_headers([RULE], origin, "GET", None)
    assert (found is not None) is allowed
    if found is not None:
        assert found["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize(
    ("requested", "allowed"),
    [
        (None, True),
        ("", True),
        ("x-amz-date", True),
        ("X-AMZ-DATE, content-type", True),
        ("x-amz-date,authorization", False),
        ("x-amz", False),
        ("x-amz-", True),
    ],
)
def test_headers_that_are_asked_for(requested: str | None, *, allowed: bool) -> None:
    """Each header that a page wants to send must fit a pattern, whatever its case; they are all named in the answer."""
    found = preflight_headers([RULE], "http://one.example", "PUT", requested)
    assert (found is not None) is allowed
    if found is not None and requested:
        assert found["Access-Control-Allow-Headers"] == ", ".join(name.strip().lower() for name in requested.split(","))


def test_too_many_headers() -> None:
    """A hundred headers may be asked for, and no more."""
    rule = evolve(RULE, headers=("*",))
    assert preflight_headers([rule], "http://one.example", "PUT", ",".join(["a"] * 100))
    with pytest.raises(S3Error) as caught:
        preflight_headers([rule], "http://one.example", "PUT", ",".join(["a"] * 101))
    assert caught.value.code == "BadRequest"


def test_everything_that_an_answer_says() -> None:
    """The headers are S3's; credentials are spoken of where one origin is meant, and not where all are."""
    assert answer_headers([RULE], "http://one.example", "GET") == {
        "Access-Control-Allow-Origin": "http://one.example",
        "Access-Control-Allow-Methods": "GET, PUT",
        "Access-Control-Expose-Headers": "ETag, Date",
        "Access-Control-Max-Age": "3000",
        "Access-Control-Allow-Credentials": "true",
        "Vary": VARY,
    }
    everybody = CorsRule(("GET",), ("*",))
    assert answer_headers([everybody], "http://x", "GET") == {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "GET",
        "Vary": VARY,
    }
    assert answer_headers([everybody], "http://x", "DELETE") == {"Vary": VARY}


def test_the_first_rule_that_fits_counts() -> None:
    """Rules are gone through in order; one that lacks the method or a header is passed over."""
    first = CorsRule(("GET",), ("*",), max_age_seconds=1)
    second = CorsRule(("GET", "PUT"), ("http://a",), ("x-a",), max_age_seconds=2)
    assert answer_headers([first, second], "http://a", "GET")["Access-Control-Max-Age"] == "1"
    assert answer_headers([first, second], "http://a", "PUT")["Access-Control-Max-Age"] == "2"
    found = preflight_headers([first, second], "http://a", "GET", "x-a")
    assert found is not None and found["Access-Control-Max-Age"] == "2"

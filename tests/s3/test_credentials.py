"""Credentials: every form that clients send is found, every other is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from botocore.auth import HmacV1Auth, HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys
from hypothesis import example, given
from hypothesis import strategies as st

from alluxio_s3.s3.credentials import Credentials, Scope, bearer_token, check_not_expired, check_verifiable, find_credentials
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import Headers, RequestHead
from alluxio_s3.s3.target import Query, Target, parse_target

# The examples of "Authenticating Requests (AWS Signature Version 4)" and "... Version 2" in the S3 API reference.
SIGNATURE = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
V4 = (
    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
    f"SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature={SIGNATURE}"
)
SIGNED_HEADERS = ("host", "range", "x-amz-content-sha256", "x-amz-date")
SCOPE = Scope("20130524", "us-east-1", "s3")
MAY_24 = int(datetime(2013, 5, 24, tzinfo=UTC).timestamp())
PRESIGNED_SIGNATURE = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
PRESIGNED = {
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request",
    "X-Amz-Date": "20130524T000000Z",
    "X-Amz-Expires": "86400",
    "X-Amz-SignedHeaders": "host",
    "X-Amz-Signature": PRESIGNED_SIGNATURE,
}
PRESIGNED_V2 = {"AWSAccessKeyId": "AKIAIOSFODNN7EXAMPLE", "Signature": "NpgCjnDzrM+WFzoENXmpNDUsSn8=", "Expires": "1175139620"}


def head(query: dict[str, str] | None = None, **headers: str) -> RequestHead:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return RequestHead("GET", Target("b", "k", Query(tuple((query or {}).items()))), Headers(named))


def found(one: RequestHead) -> Credentials:
    credentials = find_credentials(one)
    assert credentials is not None
    return credentials


def error_of(one: RequestHead) -> S3Error:
    with pytest.raises(S3Error) as caught:
        find_credentials(one)
    return caught.value


def test_none() -> None:
    """A request without credentials has none; other x-amz parameters are not credentials."""
    assert find_credentials(head({"X-Amz-Date": "x", "Expires": "1", "x-id": "GetObject"}, x_amz_date="x", date="y")) is None


@pytest.mark.parametrize("comma", [",", ", ", " ,  ", ",\t"])
def test_v4_header(comma: str) -> None:
    """The header of AWS's example, with and without space at the commas."""
    assert found(head(authorization=V4.replace(",", comma), x_amz_date="20130524T000000Z")) == Credentials(
        form="v4-header",
        access_key="AKIAIOSFODNN7EXAMPLE",
        signature=SIGNATURE,
        scope=SCOPE,
        signed_headers=SIGNED_HEADERS,
        signed_at=MAY_24,
    )


def test_v4_header_in_another_order() -> None:
    """The three pieces may come in any order, and an access key may hold slashes, colons and spaces."""
    credential = "Credential=team/an n:x=1/20130524/us-east-1/s3/aws4_request"
    credentials = found(head(authorization=f"AWS4-HMAC-SHA256 Signature={SIGNATURE}, {credential}, SignedHeaders=Host"))
    assert (credentials.access_key, credentials.scope, credentials.signed_headers) == ("team/an n:x=1", SCOPE, ("host",))


@pytest.mark.parametrize(
    ("headers", "signed_at"),
    [
        ({}, None),
        ({"date": "Fri, 24 May 2013 00:00:00 GMT"}, MAY_24),
        ({"x_amz_date": "Fri, 24 May 2013 00:00:00 GMT"}, MAY_24),
        ({"date": "20130524T000000Z"}, MAY_24),
        ({"date": "rubbish", "x_amz_date": "20130524T000000Z"}, MAY_24),
    ],
)
def test_date_of_signing(headers: dict[str, str], signed_at: int | None) -> None:
    """It is x-amz-date, else Date, in either form."""
    assert found(head(authorization=V4, **headers)).signed_at == signed_at


@pytest.mark.parametrize("date", ["rubbish", "20130524", "20131324T000000Z", "00000524T000000Z", "20130524T250000Z", "20130524T000000"])
def test_bad_date_of_signing(date: str) -> None:
    """A date that is none is refused with S3's words."""
    for authorization in (V4, "AWS a:b"):
        error = error_of(head(authorization=authorization, x_amz_date=date))
        assert (error.code, error.message) == ("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS4-HMAC-SHA256 Credential=ann/..., SignedHeaders=..., Signature=...",
        "AWS4-HMAC-SHA256 Credential=ann",
        "AWS4-HMAC-SHA256 Credential=ann/",
        "AWS4-HMAC-SHA256   Credential=ann/20130524/us-east-1/s3,Signature=x",
        "AWS4-HMAC-SHA256 Credential=ann/2013/us-east-1/s3/aws4_request",
        "AWS4-HMAC-SHA256 Credential=ann/20130524/us-east-1/s3/aws3_request, SignedHeaders=host, Signature=x",
    ],
)
def test_header_written_by_hand(authorization: str) -> None:
    """Alluxio's documented header names the user and may leave the rest open; it can't be verified then."""
    credentials = found(head(authorization=authorization))
    assert (credentials.form, credentials.access_key, credentials.scope) == ("v4-header", "ann", None)
    with pytest.raises(S3Error, match="AuthorizationHeaderMalformed"):
        check_verifiable(credentials)


def test_verifiable() -> None:
    """What clients send can be verified: it has signature, scope, signed headers and a date."""
    for one in (
        head(authorization=V4, x_amz_date="20130524T000000Z"),
        head(authorization="AWS a:b", date="Fri, 24 May 2013 00:00:00 GMT"),
        head(PRESIGNED),
        head(PRESIGNED_V2),
    ):
        check_verifiable(found(one))
    with pytest.raises(S3Error, match="valid Date"):
        check_verifiable(found(head(authorization=V4)))
    for piece in ("SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,", f",Signature={SIGNATURE}"):
        with pytest.raises(S3Error, match="AuthorizationHeaderMalformed: The authorization header is malformed; missing"):
            check_verifiable(found(head(authorization=V4.replace(piece, ""), x_amz_date="20130524T000000Z")))


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 ann",
        "AWS4-HMAC-SHA256 Credential=",
        "AWS4-HMAC-SHA256 Credential=/20130524/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x",
        "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=x",
        "AWS4-HMAC-SHA256 Credential=ann/, Credential=bob/, SignedHeaders=host, Signature=x",
        "AWS4-HMAC-SHA256 Credential=ann/, SignedHeaders=host, Signature=x, Other=y",
        "AWS4-HMAC-SHA256 Credential=ann/, SignedHeaders=host, Signature=x,",
        "AWS4-HMAC-SHA256 credential=ann/",
        "AWS4-HMAC-SHA256 Credential=a\0nn/",
        f"AWS4-HMAC-SHA256 Credential={'a' * 257}/",
    ],
)
def test_malformed_v4_header(authorization: str) -> None:
    """A header without a user, with two, or with pieces that it should not have is malformed."""
    error = error_of(head(authorization=authorization))
    assert (error.code, error.status) == ("AuthorizationHeaderMalformed", 400)


@pytest.mark.parametrize(
    "authorization", ["", "Bearer x", "Basic YTpi", "aws4-hmac-sha256 Credential=ann/", "AWS4-HMAC-SHA1 Credential=a/", "é"]
)
def test_unknown_schemes(authorization: str) -> None:
    """A scheme that S3 has not is refused, not taken for no credentials."""
    error = error_of(head(authorization=authorization))
    assert (error.code, error.message) == ("InvalidArgument", "Unsupported Authorization Type")


def test_v4a_header() -> None:
    """Signature version 4A names its regions in a header and not in the scope."""
    authorization = "AWS4-ECDSA-P256-SHA256 Credential=AK/IA/20130524/s3/aws4_request, SignedHeaders=host;x-amz-region-set, Signature=30"
    credentials = found(head(authorization=authorization, x_amz_region_set="us-*,eu-west-1"))
    assert (credentials.form, credentials.access_key) == ("v4a-header", "AK/IA")
    assert credentials.scope == Scope("20130524", "us-*,eu-west-1", "s3")
    assert found(head(authorization=authorization)).scope is None


def test_v2_header() -> None:
    """Version 2's header; the access key may hold a colon, the signature cannot."""
    credentials = found(head(authorization="AWS AKIAIOSFODNN7EXAMPLE:qgk2+6Sv9/oM7G3qLEjTH1a1l1g=", date="Tue, 27 Mar 2007 19:36:42 +0000"))
    assert (credentials.form, credentials.access_key) == ("v2-header", "AKIAIOSFODNN7EXAMPLE")
    assert credentials.signature == "qgk2+6Sv9/oM7G3qLEjTH1a1l1g="
    assert found(head(authorization="AWS ann:bob:c2ln")).access_key == "ann:bob"


@pytest.mark.parametrize("authorization", ["AWS", "AWS ", "AWS HAHAHA", "AWS :sig", "AWS ann:", "AWS :", "AWS a\nb:sig"])
def test_malformed_v2_header(authorization: str) -> None:
    """Version 2's header without user or signature is refused with S3's words."""
    error = error_of(head(authorization=authorization))
    assert (error.code, error.message) == ("InvalidArgument", "AWS authorization header is invalid. Expected AwsAccessKeyId:signature")


def test_v4_query() -> None:
    """The presigned URL of AWS's example."""
    assert found(head(PRESIGNED)) == Credentials(
        form="v4-query",
        access_key="AKIAIOSFODNN7EXAMPLE",
        signature=PRESIGNED_SIGNATURE,
        scope=SCOPE,
        signed_headers=("host",),
        signed_at=MAY_24,
        expires_at=MAY_24 + 86400,
    )
    assert found(head({**PRESIGNED, "X-Amz-Security-Token": "tok"})).session_token == "tok"


def test_v4a_query() -> None:
    """A presigned URL of version 4A."""
    query = {**PRESIGNED, "X-Amz-Algorithm": "AWS4-ECDSA-P256-SHA256", "X-Amz-Credential": "AKIA/20130524/s3/aws4_request"}
    assert error_of(head(query)).code == "AuthorizationQueryParametersError"
    credentials = found(head({**query, "X-Amz-Region-Set": "*"}))
    assert (credentials.form, credentials.access_key, credentials.scope) == ("v4a-query", "AKIA", Scope("20130524", "*", "s3"))


@pytest.mark.parametrize("name", PRESIGNED)
def test_incomplete_v4_query(name: str) -> None:
    """A presigned URL that lacks a parameter, or has it twice, is refused."""
    lacking = {other: value for other, value in PRESIGNED.items() if other != name}
    for query in (lacking, {**lacking, name: ""}):
        assert error_of(head(query)).code == "AuthorizationQueryParametersError"
    pairs = (*PRESIGNED.items(), (name, PRESIGNED[name]))
    assert error_of(RequestHead("GET", Target("b", "k", Query(pairs)))).code == "AuthorizationQueryParametersError"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA1", "X-Amz-Algorithm only supports"),
        ("X-Amz-Credential", "ann", "Credential is mal-formed"),
        ("X-Amz-Credential", "/20130524/us-east-1/s3/aws4_request", "Credential is mal-formed"),
        ("X-Amz-Credential", "a/2013052/us-east-1/s3/aws4_request", "Credential is mal-formed"),
        ("X-Amz-Credential", "a/20130524/us-east-1/s3/aws3_request", "Credential is mal-formed"),
        ("X-Amz-Credential", "a/20130524//s3/aws4_request", "Credential is mal-formed"),
        ("X-Amz-Date", "Fri, 24 May 2013 00:00:00 GMT", "ISO8601 Long Format"),
        ("X-Amz-Date", "20130532T000000Z", "ISO8601 Long Format"),
        ("X-Amz-Expires", "a", "should be a number"),
        ("X-Amz-Expires", "1.5", "should be a number"),
        ("X-Amz-Expires", "9" * 5000, "should be a number"),
        ("X-Amz-Expires", "-", "should be a number"),
        ("X-Amz-Expires", "-1", "at least 1"),
        ("X-Amz-Expires", "0", "at least 1"),
        ("X-Amz-Expires", "604801", "less than a week"),
    ],
)
def test_malformed_v4_query(name: str, value: str, message: str) -> None:
    """A presigned URL with a parameter that is not as it should be is refused, with S3's words."""
    error = error_of(head({**PRESIGNED, name: value}))
    assert (error.code, error.status) == ("AuthorizationQueryParametersError", 400)
    assert message in error.message


@pytest.mark.parametrize("expires", ["1", "604800", "0000000001"])
def test_expires_in_range(expires: str) -> None:
    """A presigned URL may live from a second to a week."""
    assert found(head({**PRESIGNED, "X-Amz-Expires": expires})).expires_at == MAY_24 + int(expires)


def test_v2_query() -> None:
    """The presigned URL of version 2, which boto3 still makes for an endpoint of its own."""
    assert found(head(PRESIGNED_V2)) == Credentials(
        form="v2-query", access_key="AKIAIOSFODNN7EXAMPLE", signature="NpgCjnDzrM+WFzoENXmpNDUsSn8=", expires_at=1175139620
    )
    assert found(head({**PRESIGNED_V2, "x-amz-security-token": "tok"})).session_token == "tok"


@pytest.mark.parametrize(
    "query", [{"AWSAccessKeyId": "a"}, {"Signature": "x"}, {"AWSAccessKeyId": "a", "Signature": "x"}, {**PRESIGNED_V2, "Expires": ""}]
)
def test_incomplete_v2_query(query: dict[str, str]) -> None:
    """Version 2's presigned URL needs all three parameters."""
    error = error_of(head(query))
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert error.message == "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"


@pytest.mark.parametrize("expires", ["a", "-1", "1.5", "9" * 16, "Fri, 24 May 2013 00:00:00 GMT"])
def test_bad_v2_expires(expires: str) -> None:
    """Version 2's Expires is a number of seconds."""
    error = error_of(head({**PRESIGNED_V2, "Expires": expires}))
    assert (error.code, error.message) == ("AccessDenied", "Invalid date (should be seconds since epoch)")


def test_only_one_form() -> None:
    """Two forms in one request are refused, whatever they say, a token's header included."""
    for one in (
        head(PRESIGNED, authorization=V4),
        head(PRESIGNED_V2, authorization=V4),
        head({**PRESIGNED, **PRESIGNED_V2}),
        head({"X-Amz-Signature": "x"}, authorization="Bearer x"),
        head({"Signature": "x"}, authorization=""),
    ):
        error = error_of(one)
        assert error.code == "InvalidArgument"
        assert error.message.startswith("Only one auth mechanism allowed;")


def test_expiry() -> None:
    """A presigned URL is good up to its last second and refused after it; a header has no expiry of its own."""
    presigned = found(head(PRESIGNED))
    check_not_expired(presigned, MAY_24)
    check_not_expired(presigned, MAY_24 + 86400)
    with pytest.raises(S3Error) as caught:
        check_not_expired(presigned, MAY_24 + 86400.5)
    assert (caught.value.code, caught.value.status, caught.value.message) == ("AccessDenied", 403, "Request has expired")
    assert caught.value.details == {
        "X-Amz-Expires": "86400",
        "Expires": "2013-05-25T00:00:00.000Z",
        "ServerTime": "2013-05-25T00:00:00.000Z",
    }
    check_not_expired(found(head(PRESIGNED_V2)), 1175139620)
    with pytest.raises(S3Error, match="Request has expired"):
        check_not_expired(found(head(PRESIGNED_V2)), 1175139621)
    check_not_expired(found(head({**PRESIGNED_V2, "Expires": "9" * 15})), 1e12)
    check_not_expired(found(head(authorization=V4, x_amz_date="20130524T000000Z")), 1e12)
    assert presigned.presigned
    assert not found(head(authorization=V4)).presigned


def test_nothing_secret_is_printed() -> None:
    """Signatures and tokens do not show where a value is printed."""
    printed = repr(found(head({**PRESIGNED, "X-Amz-Security-Token": "canary"}))) + repr(
        found(head(authorization=V4, x_amz_security_token="canary"))
    )
    assert "canary" not in printed
    assert SIGNATURE not in printed
    assert PRESIGNED_SIGNATURE not in printed


def test_bearer_token() -> None:
    """The token of a Bearer header, which is not S3's."""
    assert bearer_token(Headers({"Authorization": "Bearer abc.def "})) == "abc.def"
    assert bearer_token(Headers({"Authorization": "bearer  abc"})) == "abc"
    for other in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"Authorization": V4}, {"Authorization": ""}):
        assert bearer_token(Headers(other)) is None


KEYS = Keys("ann", "secret", "session")
NOW = datetime.now(UTC).timestamp()


def signed(signer: object, url: str = "http://h:29998/b/a%20k?x-id=GetObject") -> RequestHead:
    request = AWSRequest("GET", url, headers={"Host": "h:29998"})
    signer.add_auth(request)  # type: ignore[attr-defined]
    parts = urlsplit(request.url)
    raw = f"{parts.path}?{parts.query}".encode()
    return RequestHead("GET", parse_target(raw), Headers({name: str(value) for name, value in request.headers.items()}), raw)


@pytest.mark.parametrize(
    ("signer", "form"),
    [
        (S3SigV4Auth(KEYS, "s3", "eu-west-1"), "v4-header"),
        (S3SigV4QueryAuth(KEYS, "s3", "eu-west-1", expires=60), "v4-query"),
        (HmacV1Auth(KEYS), "v2-header"),
        (HmacV1QueryAuth(KEYS, expires=60), "v2-query"),
    ],
)
def test_botocore(signer: object, form: str) -> None:
    """What botocore signs is found, in each of its forms, with the session token, and has not expired."""
    credentials = found(signed(signer))
    assert (credentials.form, credentials.access_key, credentials.session_token) == (form, "ann", "session")
    assert credentials.signature
    assert credentials.presigned == form.endswith("query")
    if form.startswith("v4"):
        assert credentials.scope is not None
        assert (credentials.scope.region, credentials.scope.service) == ("eu-west-1", "s3")
        assert "host" in credentials.signed_headers
    check_verifiable(credentials)
    check_not_expired(credentials, NOW)


NAMES = st.sampled_from([*PRESIGNED, *PRESIGNED_V2, "X-Amz-Region-Set", "X-Amz-Security-Token", "versionId"])
VALUES = st.sampled_from([*PRESIGNED.values(), *PRESIGNED_V2.values(), "AWS4-ECDSA-P256-SHA256", "0", "99999999T999999Z"]) | st.text()
AUTHORIZATIONS = (
    st.lists(
        st.sampled_from(["AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256", "AWS", " ", ",", "=", "/", ":", ";", "Credential", "SignedHeaders",
                         "Signature", "ann", "20130524", "aws4_request", "\0"]) | st.text(max_size=2)
    ).map("".join)
    | st.text()
)  # fmt: skip


@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=8),
    st.dictionaries(st.sampled_from(["authorization"]), AUTHORIZATIONS),
    st.dictionaries(st.sampled_from(["x-amz-date", "date", "x-amz-security-token", "x-amz-region-set"]), VALUES),
    st.floats(0, 1e12),
)
@example(
    [], {"authorization": "AWS4-HMAC-SHA256 Credential=ann/20130524/us-east-1/s3/aws4_request"}, {"x-amz-date": "99999999T999999Z"}, 0.0
)
@example([*PRESIGNED.items()], {}, {}, 0.0)
def test_total(pairs: list[tuple[str, str]], authorization: dict[str, str], headers: dict[str, str], now: float) -> None:
    """Any request has credentials with an access key, has none, or is refused with a 400 or 403."""
    one = RequestHead("GET", Target("b", "k", Query(tuple(pairs))), Headers({**authorization, **headers}))
    try:
        credentials = find_credentials(one)
        if credentials is None:
            assert not authorization
            return
        assert credentials.access_key.isprintable()
        assert credentials.access_key
        check_not_expired(credentials, now)
        check_verifiable(credentials)
    except S3Error as error:
        assert error.status in (400, 403)
        assert error.code in {"InvalidArgument", "AuthorizationHeaderMalformed", "AuthorizationQueryParametersError", "AccessDenied"}

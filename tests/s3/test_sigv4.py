"""Signature version 4: right signatures of real signers pass, whatever is changed afterwards is found."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys
from hypothesis import given
from hypothesis import strategies as st

from alluxio_s3.s3.credentials import find_credentials
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.payload import Payload
from alluxio_s3.s3.request import Headers, RequestHead
from alluxio_s3.s3.sigv4 import Signature, verify
from alluxio_s3.s3.target import Target, parse_query, parse_target

# The examples of the S3 API reference.
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
MAY_24 = int(datetime(2013, 5, 24, tzinfo=UTC).timestamp())
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
ENDPOINT = "http://127.0.0.1:29998"


def documented(method: str, target: str, signature: str, headers: dict[str, str], **unsigned: str) -> RequestHead:
    """A request of the reference. Most are in virtual-host style, so what is signed is no path of ours, and only its query is parsed."""
    names = ";".join(sorted(name.lower() for name in headers))
    authorization = f"AWS4-HMAC-SHA256 Credential={KEY}/20130524/us-east-1/s3/aws4_request,SignedHeaders={names},Signature={signature}"
    raw = target.encode()
    named = {**headers, **{name.replace("_", "-"): value for name, value in unsigned.items()}, "Authorization": authorization}
    return RequestHead(method, Target("bucket", "key", parse_query(raw.partition(b"?")[2])), Headers(named), raw)


def check(head: RequestHead, secret: str = SECRET, *, now: float = MAY_24 + 60, region: str = "us-east-1") -> Signature:
    credentials = find_credentials(head)
    assert credentials is not None
    return verify(head, credentials, secret, region=region, service="s3", now_seconds=now)


def refusal(head: RequestHead, secret: str = SECRET, *, now: float = MAY_24 + 60, region: str = "us-east-1") -> str:
    with pytest.raises(S3Error) as caught:
        check(head, secret, now=now, region=region)
    return caught.value.code


DOCUMENTED = [
    documented(
        "GET",
        "/test.txt",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        {
            "host": "examplebucket.s3.amazonaws.com",
            "range": "bytes=0-9",
            "x-amz-content-sha256": EMPTY_SHA256,
            "x-amz-date": "20130524T000000Z",
        },
    ),
    documented(
        "PUT",
        "/test$file.text",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        {
            "date": "Fri, 24 May 2013 00:00:00 GMT",
            "host": "examplebucket.s3.amazonaws.com",
            "x-amz-content-sha256": "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            "x-amz-date": "20130524T000000Z",
            "x-amz-storage-class": "REDUCED_REDUNDANCY",
        },
    ),
    documented(
        "GET",
        "/?lifecycle",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        {"host": "examplebucket.s3.amazonaws.com", "x-amz-content-sha256": EMPTY_SHA256, "x-amz-date": "20130524T000000Z"},
    ),
    documented(
        "GET",
        "/?max-keys=2&prefix=J",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        {"host": "examplebucket.s3.amazonaws.com", "x-amz-content-sha256": EMPTY_SHA256, "x-amz-date": "20130524T000000Z"},
    ),
]


@pytest.mark.parametrize("head", DOCUMENTED, ids=lambda head: head.raw_target.decode())
def test_documented(head: RequestHead) -> None:
    """The examples of the reference are right; with another secret, at another time, for another region they are not."""
    check(head)
    assert refusal(head, "another") == "SignatureDoesNotMatch"
    assert refusal(head, now=MAY_24 + 901) == refusal(head, now=MAY_24 - 901) == "RequestTimeTooSkewed"
    assert refusal(head, region="eu-west-1") == "AuthorizationHeaderMalformed"


def test_documented_presigned() -> None:
    """The presigned URL of the reference is right until it expires."""
    raw = (
        b"/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        b"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        b"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    target = parse_target(raw)
    headers = Headers({"Host": "examplebucket.s3.amazonaws.com"}).with_presigned(target.query)
    head = RequestHead("GET", target, headers, raw)
    check(head, now=MAY_24 + 86400)
    assert refusal(head, now=MAY_24 + 86401) == "AccessDenied"
    assert refusal(head, now=MAY_24 - 901) == "AccessDenied"
    added = RequestHead("GET", target, Headers({**headers, "x-amz-acl": "public-read"}).with_presigned(target.query), raw)
    assert refusal(added) == "AccessDenied"


def by_botocore(method: str, url: str, headers: dict[str, str], *, presigned: bool) -> tuple[RequestHead, float]:
    """A request as botocore signs it, and when."""
    request = AWSRequest(method, url, headers=headers)
    signer = S3SigV4QueryAuth if presigned else S3SigV4Auth
    signer(Keys(KEY, SECRET), "s3", "us-east-1").add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    raw = (parts.path + (f"?{parts.query}" if parts.query else "")).encode()
    target = parse_target(raw)
    named = Headers({**dict(prepared.headers.items()), "host": parts.netloc}).with_presigned(target.query)
    head = RequestHead(method, target, named, raw)
    credentials = find_credentials(head)
    assert credentials is not None
    assert credentials.signed_at is not None
    return head, credentials.signed_at


KEYS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="?\\/"), min_size=1, max_size=20).filter(
    lambda key: key not in (".", "..")
)


@given(key=KEYS, value=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20), presigned=st.booleans())
def test_botocore(key: str, value: str, presigned: bool) -> None:
    """What botocore signs is right, whatever is in key, query and headers; no other method, key, query or header is."""
    url = f"{ENDPOINT}/bucket/{quote(key, safe='~')}?prefix={quote(value, safe='')}&uploads="
    head, now = by_botocore("GET", url, {"x-amz-meta-a": "  two  words "}, presigned=presigned)
    check(head, now=now)
    assert refusal(RequestHead("PUT", head.target, head.headers, head.raw_target), now=now) == "SignatureDoesNotMatch"
    other = head.raw_target.replace(b"/bucket/", b"/bucket/x", 1)
    assert refusal(RequestHead("GET", parse_target(other), head.headers, other), now=now) == "SignatureDoesNotMatch"
    longer = head.raw_target + b"&more=1"
    assert refusal(RequestHead("GET", parse_target(longer), head.headers, longer), now=now) == "SignatureDoesNotMatch"
    added = Headers({**head.headers.arrived, "x-amz-copy-source": "/secret/key"}).with_presigned(head.target.query)
    assert refusal(RequestHead("GET", head.target, added, head.raw_target), now=now) == "AccessDenied"
    if not presigned:
        changed = Headers({**head.headers.arrived, "x-amz-meta-a": "other"})
        assert refusal(RequestHead("GET", head.target, changed, head.raw_target), now=now) == "SignatureDoesNotMatch"


CHUNKED_HEADERS = {
    "content-encoding": "aws-chunked",
    "content-length": "66824",
    "host": "s3.amazonaws.com",
    "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "x-amz-date": "20130524T000000Z",
    "x-amz-decoded-content-length": "66560",
    "x-amz-storage-class": "REDUCED_REDUNDANCY",
}
CHUNKS = (
    (b"a" * 65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
    (b"a" * 1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
    (b"", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
)
TRAILER_HEADERS = {
    **{name: value for name, value in CHUNKED_HEADERS.items() if name != "content-length"},
    "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    "x-amz-trailer": "x-amz-checksum-crc32c",
}
TRAILER_CHUNKS = (
    (b"a" * 65536, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"),
    (b"a" * 1024, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"),
    (b"", "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"),
)
TRAILERS = (
    b"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
)


def chunked(chunks: tuple[tuple[bytes, str], ...], trailers: bytes = b"\r\n") -> bytes:
    framed = [
        b"%x;chunk-signature=%s\r\n%s" % (len(data), signature.encode(), data + b"\r\n" if data else b"") for data, signature in chunks
    ]
    return b"".join(framed) + trailers


def received(headers: dict[str, str], seed: str, body: bytes, step: int) -> int:
    """The size of the body of a PUT of the reference, taken in pieces of ``step`` bytes."""
    head = documented("PUT", "/examplebucket/chunkObject.txt", seed, headers, transfer_encoding="chunked")
    payload = Payload.of(head, signature=check(head))
    for start in range(0, len(body), step):
        payload.hash(payload.decode(body[start : start + step]))
    return payload.finish().size


SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
TRAILER_SEED = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"


@given(st.integers(1000, 70_000))
def test_documented_chunks(step: int) -> None:
    """The chunks of the reference are right in whatever pieces they come; a flipped bit, a swapped or missing signature is found."""
    assert received(CHUNKED_HEADERS, SEED, chunked(CHUNKS), step) == 66560
    flipped = ((b"a" * 65535 + b"b", CHUNKS[0][1]), *CHUNKS[1:])
    swapped = ((CHUNKS[0][0], CHUNKS[1][1]), (CHUNKS[1][0], CHUNKS[0][1]), CHUNKS[2])
    missing = (*CHUNKS[:2], (b"", "0" * 64))
    bare = chunked(CHUNKS).replace(b";chunk-signature=" + CHUNKS[1][1].encode(), b"")
    for body in (chunked(flipped), chunked(swapped), chunked(missing), bare):
        with pytest.raises(S3Error) as caught:
            received(CHUNKED_HEADERS, SEED, body, step)
        assert caught.value.code == "SignatureDoesNotMatch"


def test_documented_trailers() -> None:
    """The trailer of the reference is right; another value, signature, or none at all is not."""
    assert received(TRAILER_HEADERS, TRAILER_SEED, chunked(TRAILER_CHUNKS, TRAILERS), 5000) == 66560
    for trailers in (
        TRAILERS.replace(b"sOO8/Q", b"sOO8/A"),
        TRAILERS.replace(b":d81f", b":d81e"),
        TRAILERS.partition(b"\r\n")[0] + b"\r\n",
    ):
        with pytest.raises(S3Error) as caught:
            received(TRAILER_HEADERS, TRAILER_SEED, chunked(TRAILER_CHUNKS, trailers), 5000)
        assert caught.value.code == "SignatureDoesNotMatch"

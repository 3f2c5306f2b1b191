"""What is fuzzed: each target takes bytes, and raises nothing but what `Target.expected` says, whatever they are.

`SEEDS` of a target are where mutation begins; what it finds that is worth keeping is in `corpus/<target>/`.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from typing import Any

from attrs import field, frozen

from alluxio_s3.actions.object_delete import _Order
from alluxio_s3.actions.part_list import parse_part_list
from alluxio_s3.cache.page import sealed, verified_size
from alluxio_s3.http.recognition import recognise
from alluxio_s3.s3.chunked import MAX_PIECES, ChunkedDecoder
from alluxio_s3.s3.conditions import check_read, delete_condition, write_condition
from alluxio_s3.s3.cors import parse_cors
from alluxio_s3.s3.credentials import check_not_expired, check_verifiable, find_credentials
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.form_credentials import find_form_credentials, verify_form
from alluxio_s3.s3.payload import Payload, stored_content_encoding
from alluxio_s3.s3.plain_signatures import is_right, parse_authorization
from alluxio_s3.s3.post_policy import parse_policy
from alluxio_s3.s3.ranges import parse_copy_range, parse_range
from alluxio_s3.s3.request import Headers, RequestHead
from alluxio_s3.s3.sigv2 import verify_presigned
from alluxio_s3.s3.sigv4 import verify
from alluxio_s3.s3.tagging import parse_tagging_document, parse_tagging_header
from alluxio_s3.s3.target import key_problem, parse_copy_source, parse_target
from alluxio_s3.s3.xml import parse
from alluxio_s3.settings.loading import load
from alluxio_s3.settings.source import SettingsError
from tests.fuzz.connection import converse
from tests.fuzz.tokens import judge_claims, judge_token, token

NOW = 1_767_268_800.0
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
DATED = b"x-amz-date: 20260101T120000Z\n"
AUTHORIZATION = (
    b"Authorization: AWS4-HMAC-SHA256 Credential=alice/20260101/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature="
    + b"a" * 64
    + b"\n"
)
PRESIGNED = (
    b"/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20260101T120000Z"
    b"&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature=" + b"0" * 64
)


@frozen
class Target:
    """*run* takes any bytes, and may raise *expected*; *seeds* are some for which it does something."""

    name: str
    run: Callable[[bytes], Any]
    seeds: Sequence[bytes]
    expected: tuple[type[Exception], ...] = field(default=(S3Error,))


def tried(*calls: Callable[[], object]) -> None:
    """Each of *calls*, whatever S3Error the others raise."""
    for call in calls:
        try:
            call()
        except S3Error:
            continue


def head_of(data: bytes) -> RequestHead:
    """A request's head: the target, then a header on each line."""
    target, _, rest = data.partition(b"\n")
    raw: dict[bytes, list[bytes]] = {}
    for line in rest.split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon:
            raw.setdefault(name, []).append(value.strip())
    parsed = parse_target(target)
    return RequestHead("GET", parsed, Headers.from_raw(iter(raw.items())).with_presigned(parsed.query), target)


def addresses(data: bytes) -> None:
    """The target of a request, the source of a copy, a key; and the plainest requests."""
    text = data.decode("latin-1")
    recognise(b"GET " + data + b" HTTP/1.1\r\nHost: h\r\n\r\n")
    recognise(data + b"\r\n\r\n")
    tried(lambda: parse_target(data), lambda: parse_copy_source(text), lambda: key_problem(text))


def chunked(data: bytes) -> None:
    """An aws-chunked body: however it is cut, it gives the same bytes, or is refused."""
    found = []
    for step in (len(data) or 1, 1 + data[0] % 17 if data else 1):
        decoder, pieces, outcome = ChunkedDecoder(), b"", ""
        try:
            for at in range(0, len(data), step):
                given = decoder.feed(data[at : at + step])
                assert len(given) <= MAX_PIECES
                pieces += b"".join(given)
            decoder.close()
        except S3Error as error:
            outcome = error.code
        found.append(pieces if not outcome else b"")
    assert found[0] == found[1]


def documents(data: bytes) -> None:
    """XML of every action that takes some."""
    tried(
        lambda: parse_part_list(data),
        lambda: parse_tagging_document(data),
        lambda: parse_cors(data),
        lambda: [_Order.of(child) for child in parse(data, "Delete").findall("Object")],
        lambda: parse_tagging_header(data.decode("latin-1")),
    )


def signatures(data: bytes) -> None:
    """Credentials of every kind, and their verification."""
    head = head_of(data)
    authorization = head.headers.get("authorization", "").encode("latin-1", "replace")
    plain = parse_authorization(authorization)
    if plain is not None:
        raw = {name.encode("latin-1"): value.encode() for name, value in head.headers.items()}
        is_right(plain, "GET", head.raw_target, raw, SECRET, region="us-east-1", now_seconds=NOW)
    credentials = find_credentials(head)
    if credentials is not None:
        tried(
            lambda: check_not_expired(credentials, NOW),
            lambda: check_verifiable(credentials),
            lambda: verify(head, credentials, SECRET, region="us-east-1", service="s3", now_seconds=NOW),
            lambda: verify_presigned(head, credentials, SECRET),
        )


def forms(data: bytes) -> None:
    """Policies of form uploads and their signatures; lines of `name:value`."""
    tried(lambda: parse_policy(base64.b64encode(data).decode()), lambda: parse_policy(data.decode("latin-1")))
    fields = dict(line.partition(":")[::2] for line in data.decode("latin-1").split("\n"))
    form = find_form_credentials(fields)
    if form is not None:
        verify_form(form, SECRET, region="us-east-1", now_seconds=NOW)


def ranges(data: bytes) -> None:
    """Ranges, conditions, and headers that tell how a body comes."""
    value, size = data[1:].decode("latin-1"), (data[0] if data else 0) ** 3
    found: list[Any] = []
    tried(lambda: found.append(parse_range(value, size)), lambda: found.append(parse_copy_range(value, size)))
    for one in found:
        assert one is None or (one.count > 0 and one.offset >= 0 and one.offset + one.count <= size)
    named = dict.fromkeys(("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"), value)
    for name in named:
        headers = Headers({name: value})
        tried(
            lambda headers=headers: check_read(headers, '"abc"', 10**18),
            lambda headers=headers: write_condition(headers),
            lambda headers=headers: delete_condition(headers),
        )


def payloads(data: bytes) -> None:
    """The headers of a body and the body, behind the first blank line."""
    top, _, body = data.partition(b"\n\n")
    head = head_of(top)
    stored_content_encoding(head.headers)
    payload = Payload.of(head)
    for at in range(0, len(body), 7):
        pieces = payload.decode(body[at : at + 7])
        if payload.hashes:
            payload.hash(pieces)
    payload.finish()


_FILE = os.memfd_create("fuzz")


def properties(data: bytes) -> None:
    """A properties file, from its bytes to the settings."""
    os.ftruncate(_FILE, 0)
    os.pwrite(_FILE, data, 0)
    load(f"/proc/self/fd/{_FILE}", [], {}, "/")


VERSION = bytes(range(16))
PAGE = b"".join(sealed(VERSION, 7, [b"bytes of a page " * 8]))


def pages(data: bytes) -> None:
    """The file of a page of the cache: only the one that was written is taken for it."""
    os.ftruncate(_FILE, 0)
    os.pwrite(_FILE, data, 0)
    size = verified_size(_FILE, VERSION, 7, len(data))
    assert size is None or b"".join(sealed(VERSION, 7, [data[:size]])) == data


FRAMED = (
    b"/b/k\nContent-Length: 50\nContent-Encoding: aws-chunked\nx-amz-decoded-content-length: 3\n"
    b"x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\nx-amz-trailer: x-amz-checksum-crc32\n\n"
    b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n"
)
XML = b'<?xml version="1.0"?><%b xmlns="http://s3.amazonaws.com/doc/2006-03-01/">%b</%b>'
TARGETS: dict[str, Target] = {
    one.name: one
    for one in (
        Target(
            "addresses",
            addresses,
            [b"/b/k%2Fa%C3%A9?list-type=2&prefix=a%20b", b"/b/a/../b", b"GET /b/k HTTP/1.1\r\nHost: h\r\n\r\n", b"b/k"],
        ),
        Target(
            "framing",
            converse,
            [
                b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n",
                b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: h\r\n\r\n",
                b"PUT /b/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                b"PUT /b/k HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
                b"GET / HTTP/1.0\r\n\r\n",
            ],
        ),
        Target("chunked", chunked, [b"5;chunk-signature=ab\r\nhello\r\n0\r\nx-amz-checksum-crc32: AAAA\r\n\r\n", b"0\r\n\r\n", b"a\r\n"]),
        Target(
            "documents",
            documents,
            [
                XML
                % (
                    b"CompleteMultipartUpload",
                    b"<Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag></Part>",
                    b"CompleteMultipartUpload",
                ),
                XML % (b"Tagging", b"<TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet>", b"Tagging"),
                XML % (b"Delete", b"<Quiet>true</Quiet><Object><Key>k</Key><ETag>e</ETag></Object>", b"Delete"),
                XML
                % (
                    b"CORSConfiguration",
                    b"<CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule>",
                    b"CORSConfiguration",
                ),
                b"a=b&c=%20d",
            ],
        ),
        Target(
            "signatures",
            signatures,
            [
                b"/b/k\nHost: h\n" + DATED + AUTHORIZATION,
                PRESIGNED + b"\nHost: h\n",
                b"/b/k?AWSAccessKeyId=a&Expires=1767269800&Signature=abc%3D\nHost: h\n",
                b"/b/k\nDate: Thu, 01 Jan 2026 12:00:00 GMT\nAuthorization: AWS alice:c2lnbmF0dXJl\n",
            ],
        ),
        Target(
            "forms",
            forms,
            [
                b'{"expiration":"2026-01-02T00:00:00Z","conditions":[{"bucket":"b"},["starts-with","$key","a"],["content-length-range",1,9]]}',
                b"policy:e30=\nx-amz-algorithm:AWS4-HMAC-SHA256\nx-amz-credential:a/20260101/us-east-1/s3/aws4_request\n"
                b"x-amz-date:20260101T120000Z\nx-amz-signature:" + b"0" * 64,
                b"policy:e30=\nAWSAccessKeyId:a\nsignature:abc=",
            ],
        ),
        Target("ranges", ranges, [b"\x10bytes=0-99", b"\x10bytes=-5", b'\x01"a", W/"b"', b"\x01Thu, 01 Jan 2026 12:00:00 GMT", b"\x05*"]),
        Target(
            "payloads",
            payloads,
            [
                b"/b/k\nContent-Length: 3\nx-amz-content-sha256: UNSIGNED-PAYLOAD\n\nabc",
                FRAMED,
                b"/b/k\nContent-Length: 3\nContent-MD5: kAFQmDzST7DWlj99KOF/cg==\nx-amz-checksum-crc32c: NksVWA==\n\nabc",
            ],
        ),
        Target("tokens", judge_token, [token({"iss": "https://issuer", "aud": "s3", "exp": NOW + 60, "sub": "alice"}), b"a.b.c"]),
        Target("claims", judge_claims, [b'{"iss":"https://issuer","aud":"s3","exp":1767269800,"sub":"alice","groups":["a"]}', b"[]"]),
        Target(
            "properties",
            properties,
            [b"alluxio.worker.s3.api.enabled=true\nalluxio.worker.rest.port=80\n", b"a=${b}\nb=${a}\n", b"a\\u00e9:b\\\n c\n# x\n"],
            (SettingsError,),
        ),
        Target("pages", pages, [PAGE, PAGE[:-1], b""]),
    )
}

"""Payloads: nothing becomes an object that is not what its sender said it is."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum
from hypothesis import given
from hypothesis import strategies as st

from alluxio_s3.s3.checksums import ALGORITHMS, encode
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.payload import Payload, Received, stored_content_encoding
from alluxio_s3.s3.request import Headers, RequestHead
from alluxio_s3.s3.target import Target

HELLO = b"hello"
MD5 = hashlib.md5(HELLO)
MD5_BASE64 = base64.b64encode(MD5.digest()).decode()
SHA256 = hashlib.sha256(HELLO)
CRC32 = encode(zlib.crc32(HELLO).to_bytes(4, "big"))
WRONG_CRC32 = "AAAAAA=="


def head(headers: dict[str, str]) -> RequestHead:
    return RequestHead("PUT", Target("b", "k"), Headers(headers))


def receive(headers: dict[str, str], body: bytes, step: int = 0, **options: object) -> tuple[bytes, Received]:
    """Take ``body`` in as an action would."""
    payload = Payload.of(head({"Content-Length": str(len(body)), **headers}), **options)
    out = []
    for start in range(0, len(body), step or len(body) or 1):
        pieces = payload.decode(body[start : start + (step or len(body))])
        payload.hash(pieces)
        out += pieces
    return b"".join(out), payload.finish()


def refusal(headers: dict[str, str], body: bytes = HELLO, **options: object) -> S3Error:
    with pytest.raises(S3Error) as raised:
        receive(headers, body, **options)
    assert raised.value.status == 400
    return raised.value


def framed(trailers: bytes = b"", body: bytes = HELLO) -> bytes:
    chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
    return chunk + b"0\r\n" + trailers + b"\r\n"


UNSIGNED_TRAILER = {
    "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "Content-Encoding": "aws-chunked",
    "x-amz-decoded-content-length": "5",
    "x-amz-trailer": "x-amz-checksum-crc32",
    "x-amz-sdk-checksum-algorithm": "CRC32",
}
SIGNED = {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "x-amz-decoded-content-length": "5"}
TRAILER = b"x-amz-checksum-crc32:" + CRC32.encode() + b"\r\n"


@pytest.mark.parametrize(
    ("headers", "body", "checksums"),
    [
        ({}, HELLO, {}),
        ({"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, HELLO, {}),
        ({"x-amz-content-sha256": SHA256.hexdigest()}, HELLO, {}),
        ({"x-amz-content-sha256": SHA256.hexdigest().upper()}, HELLO, {}),
        ({"Content-MD5": MD5_BASE64}, HELLO, {}),
        ({"x-amz-checksum-crc32": CRC32}, HELLO, {"CRC32": CRC32}),
        ({"x-amz-checksum-sha256": encode(SHA256.digest()), "x-amz-content-sha256": SHA256.hexdigest()}, HELLO,
         {"SHA256": encode(SHA256.digest())}),
        ({"x-amz-checksum-md5": MD5_BASE64, "Content-MD5": MD5_BASE64}, HELLO, {"MD5": MD5_BASE64}),
        (UNSIGNED_TRAILER, framed(TRAILER), {"CRC32": CRC32}),
        ({**UNSIGNED_TRAILER, "Content-Encoding": "gzip,aws-chunked", "Content-MD5": MD5_BASE64}, framed(TRAILER), {"CRC32": CRC32}),
        ({**UNSIGNED_TRAILER, "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"},
         framed(TRAILER + b"x-amz-trailer-signature:" + b"a" * 64 + b"\r\n"), {"CRC32": CRC32}),
        (SIGNED, framed(), {}),
        ({**SIGNED, "x-amz-checksum-crc32": CRC32}, framed(), {"CRC32": CRC32}),
        ({**SIGNED, "x-amz-content-sha256": "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"}, framed(), {}),
        # Without SigV4 there is no x-amz-content-sha256; botocore without credentials frames its bodies all the same.
        ({name: value for name, value in UNSIGNED_TRAILER.items() if name != "x-amz-content-sha256"}, framed(TRAILER), {"CRC32": CRC32}),
        # Content-Encoding alone does not make a framing.
        ({"Content-Encoding": "aws-chunked"}, HELLO, {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("step", [0, 1, 4])
def test_what_is_right_is_received(headers: dict[str, str], body: bytes, checksums: dict[str, str], step: int) -> None:
    """Each way to send a body gives its bytes, their MD5 and the checksum that was asked for."""
    assert receive(headers, body, step) == (HELLO, Received(5, MD5.hexdigest(), checksums))


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({"Content-Length": "6"}, HELLO, "IncompleteBody"),
        ({"Content-Length": "4"}, HELLO, "IncompleteBody"),
        ({"Content-MD5": base64.b64encode(hashlib.md5(b"other").digest()).decode()}, HELLO, "BadDigest"),
        ({"x-amz-checksum-crc32": WRONG_CRC32}, HELLO, "BadDigest"),
        ({"x-amz-content-sha256": "0" * 64}, HELLO, "XAmzContentSHA256Mismatch"),
        ({**UNSIGNED_TRAILER, "x-amz-decoded-content-length": "4"}, framed(TRAILER), "IncompleteBody"),
        ({**UNSIGNED_TRAILER, "x-amz-decoded-content-length": "6"}, framed(TRAILER), "IncompleteBody"),
        (UNSIGNED_TRAILER, framed(TRAILER)[:-6], "InvalidRequest"),
        (UNSIGNED_TRAILER, framed(TRAILER)[:-30], "MalformedTrailerError"),
        (UNSIGNED_TRAILER, b"5\r\nhello\r\n", "IncompleteBody"),
        (UNSIGNED_TRAILER, b"", "IncompleteBody"),
        (UNSIGNED_TRAILER, HELLO, "IncompleteBody"),
        (UNSIGNED_TRAILER, b"hello\r\n", "InvalidRequest"),
        (UNSIGNED_TRAILER, framed(), "MalformedTrailerError"),
        (UNSIGNED_TRAILER, framed(b"x-amz-checksum-crc32c:" + CRC32.encode() + b"\r\n"), "MalformedTrailerError"),
        (UNSIGNED_TRAILER, framed(TRAILER + b"x-amz-meta-a:b\r\n"), "MalformedTrailerError"),
        (UNSIGNED_TRAILER, framed(b"x-amz-checksum-crc32:" + WRONG_CRC32.encode() + b"\r\n"), "BadDigest"),
        (UNSIGNED_TRAILER, framed(b"x-amz-checksum-crc32:short\r\n"), "InvalidRequest"),
        (UNSIGNED_TRAILER, framed(b"x-amz-checksum-crc32:\r\n"), "InvalidRequest"),
        ({**UNSIGNED_TRAILER, "Content-MD5": encode(bytes(16))}, framed(TRAILER), "BadDigest"),
        (SIGNED, framed(TRAILER), "MalformedTrailerError"),
        ({**SIGNED, "x-amz-checksum-crc32": WRONG_CRC32}, framed(), "BadDigest"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(headers: dict[str, str], body: bytes, code: str) -> None:
    """Short, long, torn or altered bodies, and trailers missing or unannounced, never finish."""
    assert refusal(headers, body).code == code


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content-MD5": ""}, "InvalidDigest"),
        ({"Content-MD5": "rubbish"}, "InvalidDigest"),
        ({"Content-MD5": encode(bytes(15))}, "InvalidDigest"),
        ({"x-amz-content-sha256": ""}, "InvalidArgument"),
        ({"x-amz-content-sha256": "0" * 63}, "InvalidArgument"),
        ({"x-amz-content-sha256": "STREAMING-SOMETHING-ELSE"}, "InvalidArgument"),
        ({"x-amz-content-sha256": "0" * 63 + "\u0660"}, "InvalidArgument"),
        ({"Content-Length": "-1"}, "InvalidArgument"),
        ({"Content-Length": "5x"}, "InvalidArgument"),
        ({**SIGNED, "x-amz-decoded-content-length": "undefined"}, "InvalidArgument"),
        ({**SIGNED, "x-amz-decoded-content-length": "+5"}, "InvalidArgument"),
        ({"x-amz-trailer": "x-amz-checksum-crc32"}, "MalformedTrailerError"),
        ({**UNSIGNED_TRAILER, "x-amz-content-sha256": SHA256.hexdigest()}, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "rubbish"}, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "InvalidRequest"),
    ],
)
def test_heads_that_promise_nonsense(headers: dict[str, str], code: str) -> None:
    """What can't be right whatever the body is refused before the body."""
    with pytest.raises(S3Error) as raised:
        Payload.of(head({"Content-Length": "5", **headers}))
    assert raised.value.code == code


def test_a_length_is_asked_for() -> None:
    """A request that says nothing about its body's length is 411 MissingContentLength."""
    with pytest.raises(S3Error) as raised:
        Payload.of(head({}))
    assert (raised.value.code, raised.value.status) == ("MissingContentLength", 411)


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ({"Content-Length": "5"}, 5),
        ({"Content-Length": "0"}, 0),
        ({"Transfer-Encoding": "chunked"}, None),
        ({"Content-Length": "100", **SIGNED}, 5),
        ({"Transfer-Encoding": "chunked", **SIGNED}, 5),
        ({"Content-Length": "100", "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, None),
    ],
)
def test_the_length_is_the_objects(headers: dict[str, str], length: int | None) -> None:
    """``length`` is of the bytes in the framing, and None when only the end will tell."""
    assert Payload.of(head(headers)).length == length


def test_a_body_without_a_length_is_as_long_as_it_is() -> None:
    """A chunked body (``curl -T -``, or framed without a decoded length) is taken to its end."""
    payload = Payload.of(head({"Transfer-Encoding": "chunked"}))
    payload.hash(payload.decode(b"hel") + payload.decode(b"lo") + payload.decode(b""))
    assert payload.finish() == Received(5, MD5.hexdigest(), {})


def test_too_long_is_noticed_at_once() -> None:
    """A body longer than announced is refused when the first byte too many comes, not at the end."""
    payload = Payload.of(head({**SIGNED, "Content-Length": "1000"}))
    payload.decode(b"6\r\nhello")
    with pytest.raises(S3Error) as raised:
        payload.decode(b"!")
    assert raised.value.code == "IncompleteBody"


def test_only_what_is_asked_for_is_computed() -> None:
    """Without MD5 and checksums there is nothing to hash; Content-MD5 is verified all the same."""
    payload = Payload.of(head({"Content-Length": "5"}), md5=False)
    assert not payload.hashes
    payload.hash(payload.decode(HELLO))
    assert payload.finish() == Received(5, None, {})
    assert Payload.of(head({"Content-Length": "5"})).hashes
    assert refusal({"Content-MD5": encode(bytes(16))}, md5=False).code == "BadDigest"
    assert receive({"Content-MD5": MD5_BASE64}, HELLO, md5=False)[1].md5_hex == MD5.hexdigest()


def test_checksums_of_something_else() -> None:
    """CompleteMultipartUpload names the object's checksum, which its document can't have; Content-MD5 is of the document."""
    headers = {"x-amz-checksum-crc32": f"{WRONG_CRC32}-3", "x-amz-sdk-checksum-algorithm": "SHA1"}
    assert receive(headers, HELLO, md5=False, checksums=False)[1] == Received(5, None, {})
    assert refusal({**headers, "Content-MD5": encode(bytes(16))}, checksums=False).code == "BadDigest"


def test_an_extra_checksum() -> None:
    """The checksum that an upload or the daemon wants is computed besides, once if it is the one asked for."""
    _, received = receive({"x-amz-checksum-crc32": CRC32}, HELLO, extra_algorithm="CRC64NVME", md5=False)
    running = ALGORITHMS["CRC64NVME"].new()
    running.update(HELLO)
    assert received == Received(5, None, {"CRC32": CRC32, "CRC64NVME": encode(running.digest())})
    assert receive({"x-amz-checksum-crc32": CRC32}, HELLO, extra_algorithm="crc32")[1].checksums == {"CRC32": CRC32}


def test_mismatches_say_what_was_found() -> None:
    """The error names both digests, so that a sender can tell which side is wrong."""
    error = refusal({"Content-MD5": encode(bytes(16))})
    assert error.details == {"ExpectedDigest": encode(bytes(16)), "CalculatedDigest": MD5_BASE64}
    error = refusal({"x-amz-content-sha256": "00" * 32})
    assert error.details == {"ClientComputedContentSHA256": "00" * 32, "S3ComputedContentSHA256": SHA256.hexdigest()}
    assert refusal({"x-amz-checksum-crc32": WRONG_CRC32}).message == "The CRC32 you specified did not match the calculated checksum."
    with pytest.raises(S3Error) as raised:
        Payload.of(head({"Content-Length": "5", "Content-MD5": "rubbish"}))
    assert raised.value.details == {"Content-MD5": "rubbish"}


@given(st.sampled_from([*ALGORITHMS]), st.binary(max_size=200), st.integers(1, 300), st.booleans())
def test_every_algorithm_is_verified(name: str, body: bytes, step: int, trailer: bool) -> None:
    """For each algorithm, by header and by trailer: the right value passes, and one flipped bit of the body does not."""
    algorithm = ALGORITHMS[name]
    running = algorithm.new()
    running.update(body)
    value = encode(running.digest())
    if trailer:
        headers = {**UNSIGNED_TRAILER, "x-amz-trailer": algorithm.header, "x-amz-sdk-checksum-algorithm": name,
                   "x-amz-decoded-content-length": str(len(body))}  # fmt: skip
        wire = framed(f"{algorithm.header}:{value}\r\n".encode(), body)
    else:
        headers, wire = {algorithm.header: value}, body
    assert receive(headers, wire, step) == (body, Received(len(body), hashlib.md5(body).hexdigest(), {name: value}))
    if body:
        flipped = wire.replace(body, bytes([body[0] ^ 1]) + body[1:], 1) if not trailer else framed(
            f"{algorithm.header}:{value}\r\n".encode(), bytes([body[0] ^ 1]) + body[1:])  # fmt: skip
        assert refusal(headers, flipped).code == "BadDigest"


def test_botocores_own_request() -> None:
    """A body as botocore frames it over HTTPS is received."""
    body = bytes(range(256)) * 8192
    checksum = Crc32Checksum()
    checksum.update(body)
    wire = AwsChunkedWrapper(io.BytesIO(body), checksum_cls=Crc32Checksum, checksum_name="x-amz-checksum-crc32").read()
    headers = {**UNSIGNED_TRAILER, "x-amz-decoded-content-length": str(len(body)), "Transfer-Encoding": "chunked"}
    out, received = receive(headers, wire, 65536)
    assert out == body
    assert received == Received(len(body), hashlib.md5(body).hexdigest(), {"CRC32": checksum.b64digest()})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None), ("gzip", "gzip"), ("aws-chunked", None), ("AWS-Chunked", None), ("gzip,aws-chunked", "gzip"),
        ("aws-chunked, gzip , br", "gzip, br"), ("gzip ,br", "gzip ,br"), (",aws-chunked,", None), ("", ""),
        ("xaws-chunked", "xaws-chunked"),
    ],
)  # fmt: skip
def test_content_encoding_is_kept_without_the_framing(value: str | None, expected: str | None) -> None:
    """``aws-chunked`` is about the request; what else Content-Encoding says is the object's, as it came."""
    assert stored_content_encoding(Headers({} if value is None else {"Content-Encoding": value})) == expected


values = st.one_of(
    st.text(max_size=30),
    st.sampled_from([*UNSIGNED_TRAILER.values(), "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", SHA256.hexdigest(), MD5_BASE64, "chunked"]),
)
names = st.sampled_from(
    [*UNSIGNED_TRAILER, "Content-Length", "Transfer-Encoding", "Content-MD5", "x-amz-checksum-crc32", "x-amz-checksum-foo"]
)


@given(st.dictionaries(names, values), st.lists(st.one_of(st.binary(max_size=20), st.sampled_from([HELLO, framed(TRAILER)])), max_size=4))
def test_total(headers: dict[str, str], pieces: list[bytes]) -> None:
    """Any head with any body is received or refused with an S3Error that is the sender's."""
    try:
        payload = Payload.of(head({"Content-Length": "5", **headers}))
        for piece in pieces:
            payload.hash(payload.decode(piece))
        payload.finish()
    except S3Error as error:
        assert 400 <= error.status < 500


def test_a_fast_etag_is_of_the_bytes_and_no_md5() -> None:
    """Where MD5 is not wanted the ETag is made of a checksum and the size: the same for the same bytes, and of another form than an MD5."""

    def etag(body: bytes, **headers: str) -> str:
        head = RequestHead("PUT", Target("b", "k"), Headers({"content-length": str(len(body)), **headers}))
        payload = Payload.of(head, md5=False, fast_etag=True)
        payload.hash(payload.decode(body))
        received = payload.finish()
        assert received.checksums == {}
        assert received.etag is not None
        return received.etag

    assert etag(b"123456789") == "ae8b14860a799888" + f"{9:016x}" + "-0"
    assert etag(b"") != etag(b"\0") != etag(b"\0\0")
    md5 = hashlib.md5(b"x", usedforsecurity=False)
    assert etag(b"x", **{"content-md5": base64.b64encode(md5.digest()).decode()}) == md5.hexdigest()

"""aws-chunked framing: what SDKs send is taken, however it is cut up; what nobody sends is refused."""

from __future__ import annotations

import io

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum
from hypothesis import given
from hypothesis import strategies as st

from alluxio_s3.s3.chunked import MAX_CHUNK_BYTES, MAX_LINE_BYTES, MAX_PIECES, MAX_TRAILER_BYTES, ChunkedDecoder
from alluxio_s3.s3.errors import S3Error

SIGNATURE = b";chunk-signature=" + b"a" * 64


def decode(body: bytes, step: int = 0) -> tuple[bytes, dict[str, str]]:
    """Feed ``body`` in pieces of ``step`` bytes (0: at once), and end it."""
    decoder = ChunkedDecoder()
    pieces: list[bytes] = []
    for start in range(0, len(body), step or len(body) or 1):
        pieces += decoder.feed(body[start : start + (step or len(body))])
        assert not decoder.finished
    decoder.close()
    assert decoder.finished
    return b"".join(pieces), dict(decoder.trailers)


def refusal(body: bytes, step: int = 0) -> str:
    with pytest.raises(S3Error) as raised:
        decode(body, step)
    assert raised.value.status == 400
    return raised.value.code


CRC = {"x-amz-checksum-crc32": "NhCmhg=="}
TRAILER = b"x-amz-checksum-crc32:NhCmhg==\r\n"
SENT = {
    "botocore, Rust, C++, Go: unsigned with a trailer": (b"5\r\nhello\r\n0\r\n" + TRAILER + b"\r\n", CRC),
    "Java: upper-case sizes, several chunks": (b"3\r\nhel\r\n2\r\nlo\r\n0\r\n" + TRAILER + b"\r\n", CRC),
    "signed, no trailer": (b"5" + SIGNATURE + b"\r\nhello\r\n0" + SIGNATURE + b"\r\n\r\n", {}),
    "signed, a padded ECDSA signature": (
        b"5;chunk-signature=" + b"3" * 140 + b"****\r\nhello\r\n0;chunk-signature=" + b"3" * 144 + b"\r\n\r\n",
        {},
    ),
    "signed with a trailer": (
        b"5" + SIGNATURE + b"\r\nhello\r\n0" + SIGNATURE + b"\r\n" + TRAILER + b"x-amz-trailer-signature:" + b"b" * 64 + b"\r\n\r\n",
        {**CRC, "x-amz-trailer-signature": "b" * 64},
    ),
    "S3's reference and minio-go: LF, then an empty line before the trailers' signature": (
        b"5" + SIGNATURE + b"\r\nhello\r\n0" + SIGNATURE + b"\r\nx-amz-checksum-crc32:NhCmhg==\n\r\nx-amz-trailer-signature:"
        + b"b" * 64 + b"\r\n\r\n",
        {**CRC, "x-amz-trailer-signature": "b" * 64},
    ),
    "no last line end": (b"5\r\nhello\r\n0\r\n" + TRAILER, CRC),
    "no line end after the trailer": (b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==", CRC),
    "half a line end after the trailer": (b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r", CRC),
    "one more line end": (b"5\r\nhello\r\n0\r\n" + TRAILER + b"\r\n\r\n", CRC),
    "nothing after the last chunk": (b"5\r\nhello\r\n0\r\n", {}),
    "nothing after the last signed chunk": (b"5" + SIGNATURE + b"\r\nhello\r\n0" + SIGNATURE + b"\r\n", {}),
    "leading zeros": (b"00000005\r\nhello\r\n000\r\n\r\n", {}),
    "another extension, spaces": (b'5 ; a=b;c="d"\r\nhello\r\n0;x\r\n\r\n', {}),
    "spaces and capitals in a trailer": (b"5\r\nhello\r\n0\r\nX-Amz-Checksum-CRC32 :  NhCmhg== \r\n\r\n", CRC),
}  # fmt: skip


@pytest.mark.parametrize("body", SENT.values(), ids=SENT)
@pytest.mark.parametrize("step", [0, 1, 2, 3, 7])
def test_what_clients_send(body: tuple[bytes, dict[str, str]], step: int) -> None:
    """Each form that a client was seen to send, or that S3's reference shows, gives its bytes and trailers."""
    assert decode(body[0], step) == (b"hello", body[1])


@pytest.mark.parametrize("size", [0, 1, 5, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_botocores_own_bytes(size: int) -> None:
    """What botocore itself makes of a body decodes to that body and its checksum."""
    body = bytes(index % 251 for index in range(size))
    wrapper = AwsChunkedWrapper(io.BytesIO(body), checksum_cls=Crc32Checksum, checksum_name="x-amz-checksum-crc32")
    decoded, trailers = decode(wrapper.read(), 65536)
    assert decoded == body
    checksum = Crc32Checksum()
    checksum.update(body)
    assert trailers == {"x-amz-checksum-crc32": checksum.b64digest()}


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """An aws-chunked body, and what is in it."""
    chunks = draw(st.lists(st.binary(min_size=1, max_size=50), max_size=40))
    extension = draw(st.sampled_from([b"", SIGNATURE]))
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    return body + b"0%s\r\n" % extension + draw(st.sampled_from([b"\r\n", TRAILER + b"\r\n", b""])), b"".join(chunks)


@given(bodies(), st.lists(st.integers(1, 60), min_size=1))
def test_splits_do_not_matter(framed: tuple[bytes, bytes], steps: list[int]) -> None:
    """However the network cuts the body up, the same bytes come out, in pieces that are few and not empty."""
    body, expected = framed
    decoder, out, position, turn = ChunkedDecoder(), b"", 0, 0
    while position < len(body):
        step = steps[turn % len(steps)]
        pieces = decoder.feed(body[position : position + step])
        assert all(pieces)
        assert len(pieces) <= MAX_PIECES
        out += b"".join(pieces)
        position, turn = position + step, turn + 1
    decoder.close()
    assert out == expected == decode(body)[0]


@given(bodies(), st.data())
def test_a_cut_body_is_never_whole(framed: tuple[bytes, bytes], data: st.DataObject) -> None:
    """A body that ends before its last chunk is IncompleteBody, wherever it was cut."""
    last = framed[0].rindex(b"\n0") + 1 if b"\n0" in framed[0] else 0
    end = data.draw(st.integers(0, framed[0].index(b"\r\n", last) + 1))
    assert refusal(framed[0][:end], data.draw(st.integers(0, 9))) == "IncompleteBody"


@pytest.mark.parametrize(
    "body",
    [
        b"-5\r\nhello\r\n0\r\n\r\n", b"+5\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b" 5\r\nhello\r\n0\r\n\r\n",
        b"5_0\r\nhello\r\n0\r\n\r\n", b"\r\n5\r\nhello\r\n", b"\r\n", b"g\r\n", b";x\r\n", b"5 5\r\nhello\r\n", b"5\nhello\r\n0\r\n\r\n",
        b"5\r\r\nhello\r\n", b"5;a\x00b\r\nhello\r\n", b"5;\xff\r\nhello\r\n", b"\xd9\xa5\r\nhello\r\n", b"0" * 17 + b"\r\n\r\n",
        b"f" * 16 + b"\r\nhello", b"f" * 17 + b"\r\nhello", b"%x\r\nhello" % (MAX_CHUNK_BYTES + 1), b"5" + b";" * MAX_LINE_BYTES + b"\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello0\r\n\r\n", b"5\r\nhello\r0\r\n\r\n", b"5\r\nhell\r\n0\r\n\r\n",
        b"5\r\nhello\r\n\r\n0\r\n\r\n", b"A" * 5000, b"5" * MAX_LINE_BYTES,
    ],
)  # fmt: skip
@pytest.mark.parametrize("step", [0, 1])
def test_malformed_chunks(body: bytes, step: int) -> None:
    """Sizes with signs, prefixes or spaces, sizes out of bounds, line ends that are none, chunks that don't fit their size."""
    code = refusal(body, step)
    assert code == "InvalidRequest" or (body == b"5" * MAX_LINE_BYTES and code == "IncompleteBody")


@pytest.mark.parametrize(
    "trailers",
    [
        b"no colon\r\n\r\n", b":value\r\n\r\n", b"na me:value\r\n\r\n", b"a:b\x00\r\n\r\n", b"a:\xff\r\n\r\n", b" a:b\r\n\r\n",
        b"a:b\r\na:c\r\n\r\n", b"a:b\r\nA:b\r\n\r\n", b"5\r\nhello\r\n", b"a:b\r\rc:d\r\n", b"a:" + b"b" * MAX_LINE_BYTES,
        b"a:b\r\n\r\nrubbish",
        b"\r\n" * (MAX_TRAILER_BYTES // 2 + 1), b"".join(b"a%d:b\r\n" % index for index in range(2000)), b"\xff",
    ],
)  # fmt: skip
@pytest.mark.parametrize("step", [0, 1])
def test_malformed_trailers(trailers: bytes, step: int) -> None:
    """What stands after the last chunk is trailers, well-formed, each once, not too many: or MalformedTrailerError."""
    assert refusal(b"5\r\nhello\r\n0\r\n" + trailers, step) == "MalformedTrailerError"


def test_nothing_after_the_end() -> None:
    """Once closed, a decoder takes nothing more; closing it again is no error."""
    decoder = ChunkedDecoder()
    assert decoder.feed(b"0\r\n\r\n") == []
    decoder.close()
    decoder.close()
    with pytest.raises(S3Error):
        decoder.feed(b"x")


def test_the_limits() -> None:
    """The longest line and the largest chunk are taken."""
    line = b"5;" + b"a" * (MAX_LINE_BYTES - 4) + b"\r\n"
    assert len(line) == MAX_LINE_BYTES
    assert decode(line + b"hello\r\n0\r\n\r\n")[0] == b"hello"
    assert decode(line + b"hello\r\n0\r\n\r\n", 1)[0] == b"hello"
    assert ChunkedDecoder().feed(b"%x\r\nhello" % MAX_CHUNK_BYTES) == [b"hello"]


def test_many_small_chunks_become_few_pieces() -> None:
    """A body of tiny chunks does not become a write for each."""
    body = b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n"
    assert ChunkedDecoder().feed(body) == [b"x" * 10_000]


def test_what_is_kept_is_bounded() -> None:
    """Between calls a decoder holds one line at most, however much has gone through it."""
    decoder = ChunkedDecoder()
    for _ in range(1000):
        decoder.feed(b"4000;" + b"a" * 500)
        decoder.feed(b"a" * 300 + b"\r\n")
        decoder.feed(bytes(0x4000))
        decoder.feed(b"\r\n")
        assert len(decoder._line) <= MAX_LINE_BYTES


class Counted(bytes):
    """Bytes that count how much of them was looked at."""

    seen = 0

    def find(self, *args: object) -> int:
        start, stop = args[1], args[2]
        position = bytes.find(self, *args)
        type(self).seen += (position if position >= 0 else min(stop, len(self))) - start
        return position


def test_linear() -> None:
    """A body fed byte by byte is looked at once, not once for each byte so far."""
    Counted.seen = 0
    body = b"5;" + b"a" * 1000 + b"\r\nhello\r\n"
    decoder = ChunkedDecoder()
    for _ in range(20):
        for index in range(len(body)):
            decoder.feed(Counted(body[index : index + 1]))
    assert Counted.seen <= 20 * len(body)


pieces_of_bodies = st.lists(
    st.one_of(
        st.binary(max_size=20), st.sampled_from([b"5\r\nhello\r\n", b"0\r\n", b"\r\n", TRAILER, b"5", b"\r", b"\n", SIGNATURE, b"a:b\n"])
    ),
    max_size=30,
)


@given(pieces_of_bodies)
def test_total(pieces: list[bytes]) -> None:
    """Any bytes give bytes or an S3Error, and the same whether they come in pieces or at once."""
    results = []
    for feeding in (pieces, [b"".join(pieces)]):
        decoder, out = ChunkedDecoder(), b""
        try:
            for piece in feeding:
                out += b"".join(decoder.feed(piece))
            decoder.close()
            results.append(("whole", out, dict(decoder.trailers)))
        except S3Error as error:
            results.append(("refused", error.code))
    assert results[0] == results[1]

"""Checksums: published vectors, parts that make a whole, and what a request may ask for."""

from __future__ import annotations

import base64

import botocore.session
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from alluxio_s3.s3.checksums import (
    ALGORITHMS,
    Algorithm,
    Requested,
    algorithm_named,
    combine,
    composite,
    decode,
    encode,
    from_base64,
    requested,
    supplied,
)
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import Headers

CHECK = b"123456789"


def digest(name: str, data: bytes) -> bytes:
    running = ALGORITHMS[name].new()
    running.update(data)
    return running.digest()


# The CRCs' "check" values are from the catalogue of parametrised CRC algorithms; SHA and MD5 from FIPS 180-4's and RFC 1321's
# appendices; XXHash from its specification's sanity tables (empty input, seed 0).
VECTORS = [
    ("CRC32", CHECK, "cbf43926"),
    ("CRC32", b"", "00000000"),
    ("CRC32C", CHECK, "e3069283"),
    ("CRC32C", bytes(32), "8a9136aa"),  # RFC 3720, B.4
    ("CRC32C", b"\xff" * 32, "62a8ab43"),
    ("CRC32C", bytes(range(32)), "46dd794e"),
    ("CRC64NVME", CHECK, "ae8b14860a799888"),
    ("CRC64NVME", bytes(4096), "6482d367eb22b64e"),  # NVM command set specification, 5.2.1.3.4
    ("CRC64NVME", b"\xff" * 4096, "c0ddba7302eca3ac"),
    ("SHA1", b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
    ("SHA256", b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
        "SHA512",
        b"abc",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    ),
    ("MD5", b"message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
    ("XXHASH64", b"", "ef46db3751d8e999"),
    ("XXHASH3", b"", "2d06800538d394c2"),
    ("XXHASH128", b"", "99aa06d3014798d86001c324468d497f"),
]


@pytest.mark.parametrize(("name", "data", "expected"), VECTORS)
def test_published_vectors(name: str, data: bytes, expected: str) -> None:
    """Each algorithm is the published one, its digest big-endian."""
    assert digest(name, data).hex() == expected


@given(st.binary(max_size=2000))
def test_xxhash_is_canonical(data: bytes) -> None:
    """XXHash digests are those of the reference library."""
    assert digest("XXHASH64", data) == xxhash.xxh64(data).digest()
    assert digest("XXHASH3", data) == xxhash.xxh3_64(data).digest()
    assert digest("XXHASH128", data) == xxhash.xxh3_128(data).digest()


def test_there_are_ten_and_they_are_named_as_in_s3() -> None:
    """Names, headers, elements and sizes agree with S3's model of ChecksumAlgorithm."""
    assert set(ALGORITHMS) == {
        "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256", "SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128",
    }  # fmt: skip
    for name, algorithm in ALGORITHMS.items():
        assert algorithm.name == name
        assert algorithm.header == f"x-amz-checksum-{name.lower()}"
        assert algorithm.element == f"Checksum{name}"
        assert len(algorithm.new().digest()) == algorithm.size
        assert algorithm.combines == name.startswith("CRC")


def test_botocore_agrees() -> None:
    """The SDK that most clients use has the same algorithms, under the same headers."""
    shape = botocore.session.get_session().get_service_model("s3").shape_for("PutObjectRequest")
    theirs = {
        name: member.serialization["name"]
        for name, member in shape.members.items()
        if name.startswith("Checksum") and name != "ChecksumAlgorithm"
    }
    assert theirs == {one.element: one.header for one in ALGORITHMS.values()}


@given(name=st.sampled_from([*ALGORITHMS]), pieces=st.lists(st.binary(max_size=300), max_size=6))
def test_updates_add_up(name: str, pieces: list[bytes]) -> None:
    """However the bytes come, the digest is that of all of them; and asking for it changes nothing."""
    running = ALGORITHMS[name].new()
    for piece in pieces:
        running.update(piece)
        running.digest()
    assert running.digest() == digest(name, b"".join(pieces))


@given(name=st.sampled_from(["CRC32", "CRC32C", "CRC64NVME"]), pieces=st.lists(st.binary(max_size=300), max_size=6))
def test_combine_is_the_digest_of_the_whole(name: str, pieces: list[bytes]) -> None:
    """The checksums of parts, empty ones and none included, combine to the checksum of the object."""
    algorithm = ALGORITHMS[name]
    parts = [(digest(name, piece), len(piece)) for piece in pieces]
    assert combine(algorithm, parts) == digest(name, b"".join(pieces))


@pytest.mark.parametrize("name", ["CRC32", "CRC32C", "CRC64NVME"])
def test_combine_takes_the_largest_parts(name: str) -> None:
    """10,000 parts of 5 GiB combine without error, and adding them up in another grouping gives the same."""
    algorithm = ALGORITHMS[name]
    part = digest(name, b"part"), 5 << 30
    pair = combine(algorithm, [part, part]), 10 << 30
    assert combine(algorithm, [part] * 10_000) == combine(algorithm, [pair] * 5_000)


def test_combine_refuses_what_does_not_combine() -> None:
    """No made-up full-object checksum out of hashes of parts."""
    with pytest.raises(ValueError, match="SHA256"):
        combine(ALGORITHMS["SHA256"], [])


@pytest.mark.parametrize("name", ALGORITHMS)
def test_composite_is_the_checksum_of_checksums(name: str) -> None:
    """A composite is the digest of the parts' digests, with how many there were."""
    digests = [digest(name, b"one"), digest(name, b"two"), digest(name, b"")]
    expected = base64.b64encode(digest(name, b"".join(digests))).decode() + "-3"
    assert composite(ALGORITHMS[name], digests) == expected


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_header_with_a_value(name: str) -> None:
    """Each algorithm's header is understood, with or without the announcement, whose case is free."""
    algorithm, value = ALGORITHMS[name], encode(digest(name, b"x"))
    expected = Requested(algorithm, value)
    assert requested(Headers({algorithm.header: value})) == expected
    assert requested(Headers({algorithm.header: value, "x-amz-sdk-checksum-algorithm": name.lower()})) == expected
    assert decode(algorithm, value) == digest(name, b"x")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_trailer(name: str) -> None:
    """x-amz-trailer names the algorithm whose value will come after the body; in any case, with spaces."""
    expected = Requested(ALGORITHMS[name], trailer=True)
    assert requested(Headers({"x-amz-trailer": f" X-Amz-Checksum-{name} ", "x-amz-sdk-checksum-algorithm": name})) == expected


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-amz-checksum-mode": "ENABLED"},
        {"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "FULL_OBJECT"},
        {"x-amz-trailer": ""},
        {"content-md5": "XUFAKrxLKna5cZ2REBfFkg=="},
    ],
)
def test_nothing_asked_for(headers: dict[str, str]) -> None:
    """Headers of the family that carry no digest ask for no verification."""
    assert requested(Headers(headers)) is None


CRC = "NhCmhg=="


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"x-amz-checksum-crc32": CRC, "x-amz-checksum-crc32c": CRC}, "Expecting a single x-amz-checksum- header"),
        ({"x-amz-checksum-crc32": CRC, "x-amz-trailer": "x-amz-checksum-crc32"}, "Expecting a single"),
        ({"x-amz-trailer": "x-amz-checksum-crc32,x-amz-checksum-sha1"}, "Expecting a single"),
        ({"x-amz-checksum-crc16": CRC}, "algorithm type you specified"),
        ({"x-amz-checksum-": CRC}, "algorithm type you specified"),
        ({"x-amz-trailer": "x-amz-meta-a"}, "x-amz-trailer header is not supported"),
        ({"x-amz-checksum-crc32": ""}, "Value for x-amz-checksum-crc32 header is invalid"),
        ({"x-amz-checksum-crc32": "NhCmhg"}, "Value for x-amz-checksum-crc32"),
        ({"x-amz-checksum-crc32": "NhCmhg=="[:-1] + "é"}, "Value for x-amz-checksum-crc32"),
        ({"x-amz-checksum-crc32": "NhCmhgA="}, "Value for x-amz-checksum-crc32"),
        ({"x-amz-checksum-crc32": f"{CRC},{CRC}"}, "Value for x-amz-checksum-crc32"),
        ({"x-amz-checksum-crc32": "3610a686"}, "Value for x-amz-checksum-crc32"),
        ({"x-amz-checksum-crc32": CRC, "x-amz-sdk-checksum-algorithm": "CRC32C"}, "x-amz-sdk-checksum-algorithm header is invalid"),
        ({"x-amz-checksum-crc32": CRC, "x-amz-sdk-checksum-algorithm": "nonsense"}, "x-amz-sdk-checksum-algorithm"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "no corresponding x-amz-checksum-\\* or x-amz-trailer"),
    ],
)
def test_refused_requests(headers: dict[str, str], words: str) -> None:
    """More than one checksum, an unknown one, a value that is none, an empty promise: InvalidRequest, in S3's words."""
    with pytest.raises(S3Error, match=words) as raised:
        requested(Headers(headers))
    assert raised.value.code == "InvalidRequest"


def test_supplied_leaves_the_value_alone() -> None:
    """The checksum of a CompleteMultipartUpload may be a composite: it is given as it came, announcement or not."""
    headers = Headers({"x-amz-checksum-crc32": f"{CRC}-3", "x-amz-sdk-checksum-algorithm": "SHA1"})
    assert supplied(headers) == (ALGORITHMS["CRC32"], f"{CRC}-3")


def test_algorithm_named() -> None:
    """Names are taken in any case, unknown ones refused."""
    assert algorithm_named(" crc64nvme ") is ALGORITHMS["CRC64NVME"]
    with pytest.raises(S3Error):
        algorithm_named("CRC16")


@given(st.text())
def test_base64_is_total_and_strict(text: str) -> None:
    """Any text is bytes or None; what is taken is Base64's alphabet and nothing else."""
    decoded = from_base64(text)
    if decoded is not None:
        assert len(encode(decoded)) == len(text)


names = st.sampled_from(
    [one.header for one in ALGORITHMS.values()]
    + ["x-amz-trailer", "x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm", "x-amz-checksum-foo", "x-amz-checksum-"]
)
values = st.one_of(st.text(max_size=40), st.sampled_from([*ALGORITHMS, CRC, *(one.header for one in ALGORITHMS.values())]))


@given(st.dictionaries(names, values, max_size=4))
def test_requested_is_total(pairs: dict[str, str]) -> None:
    """Whatever the headers say, the answer is a value or an S3Error."""
    try:
        answer = requested(Headers(pairs))
    except S3Error as error:
        assert error.code == "InvalidRequest"
    else:
        assert answer is None or isinstance(answer.algorithm, Algorithm)

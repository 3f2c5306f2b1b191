"""The checksums of S3: which there are, how a request names one, and how parts make a whole.

Names, headers and elements are those of the S3 API reference (``ChecksumAlgorithm``); values are
Base64 of the digest, CRCs and XXHashes as big-endian integers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from attrs import frozen
from awscrt import checksums as crt

from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import Headers

_PREFIX = "x-amz-checksum-"
# Headers of the family that carry no digest.
_NOT_DIGESTS = frozenset({"x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"})

_FAST = frozenset({"CRC32C", "CRC64NVME", "XXHASH64", "XXHASH3", "XXHASH128"})

_Combine = Callable[[int, int, int], int]


class Digest(Protocol):
    """A checksum on its way: as in ``hashlib``."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""

    def digest(self) -> bytes:
        """The checksum of all bytes so far."""


class _Crc:
    """A running CRC. ``function`` is given the bytes and the CRC before them."""

    __slots__ = ("_function", "_size", "_value")

    def __init__(self, function: Callable[[bytes, int], int], size: int) -> None:
        self._function = function
        self._size = size
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


class _XxHash:
    """An XXHash in its canonical, big-endian form."""

    __slots__ = ("_state",)

    def __init__(self, state: crt.XXHash) -> None:
        self._state = state

    def update(self, data: bytes, /) -> None:
        self._state.update(data)

    def digest(self) -> bytes:
        return bytes(self._state.finalize())


@frozen
class Algorithm:
    """One checksum algorithm.

    ``name`` is S3's (``CRC32``), ``header`` the request and response header, ``element`` the name in XML, ``size``
    the bytes of a digest, ``new`` begins one. ``combines`` says that the whole's checksum follows from those of
    its parts, so that a multipart object can have a full-object checksum.
    """

    name: str
    header: str
    element: str
    size: int
    new: Callable[[], Digest]
    _combine: _Combine | None = None

    @property
    def fast(self) -> bool:
        """Whether a GiB takes some hundredths of a second."""
        return self.name in _FAST

    @property
    def combines(self) -> bool:
        """Whether ``combine`` can make the whole's checksum out of the parts'."""
        return self._combine is not None


@frozen
class Requested:
    """The checksum that a request asks to have verified.

    ``value`` is the Base64 digest from the header; it is None when it will come in a trailer (``trailer``).
    """

    algorithm: Algorithm
    value: str | None = None
    trailer: bool = False


def _algorithm(name: str, size: int, new: Callable[[], Digest], combine: _Combine | None = None) -> Algorithm:
    return Algorithm(name, _PREFIX + name.lower(), f"Checksum{name}", size, new, combine)


def _md5() -> Digest:
    return hashlib.md5(usedforsecurity=False)


def _sha1() -> Digest:
    return hashlib.sha1(usedforsecurity=False)


ALGORITHMS: Mapping[str, Algorithm] = MappingProxyType(
    {
        one.name: one
        for one in (
            _algorithm("CRC32", 4, lambda: _Crc(crt.crc32, 4), crt.combine_crc32),
            _algorithm("CRC32C", 4, lambda: _Crc(crt.crc32c, 4), crt.combine_crc32c),
            _algorithm("CRC64NVME", 8, lambda: _Crc(crt.crc64nvme, 8), crt.combine_crc64nvme),
            _algorithm("SHA1", 20, _sha1),
            _algorithm("SHA256", 32, hashlib.sha256),
            _algorithm("SHA512", 64, hashlib.sha512),
            _algorithm("MD5", 16, _md5),
            _algorithm("XXHASH64", 8, lambda: _XxHash(crt.XXHash.new_xxhash64())),
            _algorithm("XXHASH3", 8, lambda: _XxHash(crt.XXHash.new_xxhash3_64())),
            _algorithm("XXHASH128", 16, lambda: _XxHash(crt.XXHash.new_xxhash3_128())),
        )
    }
)
_BY_HEADER: Mapping[str, Algorithm] = MappingProxyType({one.header: one for one in ALGORITHMS.values()})


def requested(headers: Headers) -> Requested | None:
    """The checksum that a request with a body asks for, or None.

    At most one may be named, by a header with its value or by ``x-amz-trailer``. A request that announces an algorithm
    (``x-amz-sdk-checksum-algorithm``) and brings neither, or another one, is refused: "there must be a corresponding
    x-amz-checksum-algorithm or x-amz-trailer header sent. Otherwise, Amazon S3 fails the request with the HTTP status
    code 400" (PutObject in the API reference; the messages are those that S3 was seen to give).
    Raises ``S3Error`` InvalidRequest.
    """
    given = supplied(headers)
    trailed = _trailed(headers.get("x-amz-trailer", ""))
    if given is not None and trailed is not None:
        raise _more_than_one()
    announced = headers.get("x-amz-sdk-checksum-algorithm")
    found = given[0] if given is not None else trailed
    if found is None:
        if announced is not None:
            raise S3Error(
                "InvalidRequest",
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.",
            )
        return None
    if announced is not None and announced.strip().upper() != found.name:
        raise _invalid("x-amz-sdk-checksum-algorithm header")
    if given is None:
        return Requested(found, trailer=True)
    decode(found, given[1])
    return Requested(found, given[1])


def supplied(headers: Headers) -> tuple[Algorithm, str] | None:
    """The one ``x-amz-checksum-*`` header that carries a digest, and its value as it came, or None.

    CompleteMultipartUpload sends the checksum of the object so, which may be a composite.
    Raises ``S3Error`` InvalidRequest for more than one, or an unknown algorithm.
    """
    found: tuple[Algorithm, str] | None = None
    for name in headers:
        if name.startswith(_PREFIX) and name not in _NOT_DIGESTS:
            algorithm = _BY_HEADER.get(name)
            if algorithm is None:
                raise S3Error("InvalidRequest", "The algorithm type you specified in x-amz-checksum- header is invalid.")
            if found is not None:
                raise _more_than_one()
            found = algorithm, headers[name].strip()
    return found


def algorithm_named(name: str) -> Algorithm:
    """The algorithm of that name, in any case. Raises ``S3Error`` InvalidRequest."""
    found = ALGORITHMS.get(name.strip().upper())
    if found is None:
        raise S3Error("InvalidRequest", f"Checksum algorithm provided is unsupported. Please try again with any of {[*ALGORITHMS]}.")
    return found


def encode(digest: bytes) -> str:
    """A digest as S3 writes it."""
    return base64.b64encode(digest).decode("ascii")


def decode(algorithm: Algorithm, value: str, *, where: str = "header") -> bytes:
    """The digest in ``value``; ``where`` it stood is for the message. Raises ``S3Error`` InvalidRequest."""
    digest = from_base64(value)
    if digest is None or len(digest) != algorithm.size:
        raise _invalid(f"{algorithm.header} {where}")
    return digest


def from_base64(value: str) -> bytes | None:
    """The bytes of strict Base64, or None."""
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None


def composite(algorithm: Algorithm, digests: Sequence[bytes]) -> str:
    """The composite checksum of a multipart object from those of its parts: that of their digests, and how many."""
    whole = algorithm.new()
    for digest in digests:
        whole.update(digest)
    return f"{encode(whole.digest())}-{len(digests)}"


def combine(algorithm: Algorithm, parts: Iterable[tuple[bytes, int]]) -> bytes:
    """The checksum of the whole from those of its parts, each with its length in bytes.

    Only for an algorithm that ``combines``: ValueError for another one.
    """
    if algorithm._combine is None:  # noqa: SLF001  (a value's own module)
        raise ValueError(f"{algorithm.name} of a whole does not follow from its parts")
    value = 0
    for digest, length in parts:
        value = algorithm._combine(value, int.from_bytes(digest, "big"), length)  # noqa: SLF001
    return value.to_bytes(algorithm.size, "big")


def _trailed(value: str) -> Algorithm | None:
    found: Algorithm | None = None
    for name in value.lower().split(","):
        if name.strip():
            algorithm = _BY_HEADER.get(name.strip())
            if algorithm is None:
                raise S3Error("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
            if found is not None:
                raise _more_than_one()
            found = algorithm
    return found


def _more_than_one() -> S3Error:
    return S3Error("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")


def _invalid(what: str) -> S3Error:
    return S3Error("InvalidRequest", f"Value for {what} is invalid.")


FAST_ETAG_ALGORITHM = "CRC64NVME"
"""What the ETag is made of where MD5 costs too much: hardware computes it."""
_MD5_ETAG = re.compile(r"[0-9a-f]{32}")


def fast_etag(digest: bytes, size: int) -> str:
    """An ETag from the ``FAST_ETAG_ALGORITHM`` of ``size`` bytes. The ``-0`` keeps clients from taking it for an MD5."""
    return f"{digest.hex()}{size:016x}-0"


def is_md5_etag(etag: str) -> bool:
    """Whether ``etag`` is the MD5 of an object's bytes."""
    return _MD5_ETAG.fullmatch(etag) is not None

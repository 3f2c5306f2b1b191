"""What a request says about its body: how its bytes become an object's, and what must be true of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

from attrs import define, field, frozen

from alluxio_s3.s3.checksums import (
    ALGORITHMS,
    FAST_ETAG_ALGORITHM,
    Algorithm,
    Digest,
    Requested,
    algorithm_named,
    decode,
    encode,
    fast_etag,
    from_base64,
    requested,
)
from alluxio_s3.s3.chunk_signatures import ChunkSignatures
from alluxio_s3.s3.chunked import ChunkedDecoder
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import Headers, RequestHead
from alluxio_s3.s3.sigv4 import Signature

# The values of x-amz-content-sha256 that announce aws-chunked framing (S3 API reference, "Authenticating requests").
_STREAMING = frozenset(
    {
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    }
)
_UNSIGNED = "UNSIGNED-PAYLOAD"
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
_LENGTH = re.compile(r"[0-9]{1,19}")
_TRAILER_SIGNATURE = "x-amz-trailer-signature"


@frozen
class Received:
    """A body that arrived whole and is what its sender said it is.

    ``size`` is in bytes, without the framing. ``md5_hex`` is None if nobody asked for it. ``checksums`` maps names of algorithms to
    Base64 values, as ``storage.Attributes`` does: the one that the request asked for, and the extra one. ``etag`` is the ETag
    that the bytes give: their MD5, or a fast one, if either was asked for.
    """

    size: int
    md5_hex: str | None
    checksums: Mapping[str, str]
    etag: str | None = field(default=None, eq=False)


@define
class Payload:
    """A body on its way in.

    Every piece off the wire goes through ``decode``, what that gives through ``hash``, in order; then ``finish`` says
    whether all of it is right. ``length`` is that of the object's bytes, None if it is not known before the end.
    """

    length: int | None
    _decoder: ChunkedDecoder | None
    _content_md5: bytes | None
    _content_sha256: bytes | None
    _requested: Requested | None
    _reported: tuple[Algorithm, ...]
    _digests: dict[str, Digest]
    _fast_etag: bool
    _signatures: ChunkSignatures | None = None
    _size: int = field(default=0, init=False)

    @classmethod
    def of(
        cls,
        head: RequestHead,
        *,
        md5: bool = True,
        fast_etag: bool = False,
        extra_algorithm: str | None = None,
        checksums: bool = True,
        signature: Signature | None = None,
    ) -> Payload:
        """The payload that ``head`` announces.

        ``md5`` asks for the MD5 (it is computed for ``Content-MD5`` anyway), ``fast_etag`` for an ETag that costs less where
        there is no MD5, ``extra_algorithm`` for one more checksum.
        ``checksums`` is false where ``x-amz-checksum-*`` is about something else than this body: the document of a
        CompleteMultipartUpload comes with the checksum of the object. ``signature`` is the head's if that was verified: then the body is,
        chunk by chunk, where it is signed so.
        Raises ``S3Error``: MissingContentLength, InvalidArgument, InvalidDigest, InvalidRequest, MalformedTrailerError,
        NotImplemented for signatures that can't be verified.
        """
        headers = head.headers
        if "content-length" not in headers and "transfer-encoding" not in headers:
            raise S3Error("MissingContentLength")
        sha256 = _content_sha256(headers)
        framed = _is_framed(headers)
        wanted = requested(headers) if checksums else None
        if wanted is not None and wanted.trailer and not framed:
            raise S3Error("MalformedTrailerError", "A trailer was announced for a body that cannot have one.")
        if framed and sha256 is not None:
            raise S3Error("InvalidRequest", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a STREAMING value for an aws-chunked body.")
        content_md5 = _content_md5(headers)
        reported = [] if wanted is None else [wanted.algorithm]
        if extra_algorithm is not None and algorithm_named(extra_algorithm) not in reported:
            reported.append(algorithm_named(extra_algorithm))
        # Several may ask for the same digest; it is computed once.
        names = {one.name for one in reported}
        if md5 or content_md5 is not None:
            names.add("MD5")
        elif fast_etag:
            names.add(FAST_ETAG_ALGORITHM)
        if sha256 is not None:
            names.add("SHA256")
        signatures = _signatures(headers, signature)
        return cls(
            length=_length(headers, "x-amz-decoded-content-length" if framed else "content-length"),
            decoder=ChunkedDecoder(None if signatures is None else signatures.expect) if framed else None,
            content_md5=content_md5,
            content_sha256=sha256,
            requested=wanted,
            reported=tuple(reported),
            digests={name: ALGORITHMS[name].new() for name in sorted(names)},
            fast_etag=fast_etag,
            signatures=signatures,
        )

    @property
    def hashes(self) -> bool:
        """Whether ``hash`` has anything to do."""
        return bool(self._digests) or self._signatures is not None

    @property
    def fast(self) -> bool:
        """Whether ``hash`` takes no longer than a change of threads would."""
        return self._signatures is None and all(ALGORITHMS[name].fast for name in self._digests)

    def decode(self, data: bytes) -> list[bytes]:
        """The object's bytes in the next ``data`` off the wire. Cheap, for the reactor thread.

        Raises ``S3Error`` IncompleteBody as soon as there are more than announced, and what ``ChunkedDecoder.feed`` raises.
        """
        pieces = self._decoder.feed(data) if self._decoder is not None else [data] if data else []
        for piece in pieces:
            self._size += len(piece)
        if self.length is not None and self._size > self.length:
            raise S3Error("IncompleteBody", "The request body is longer than announced.")
        return pieces

    def hash(self, pieces: Iterable[bytes]) -> None:
        """Take what ``decode`` gave into the digests. May run in a thread, one call at a time.

        Raises ``S3Error`` SignatureDoesNotMatch.
        """
        if self._signatures is not None:
            pieces = list(pieces)
            self._signatures.update(pieces)
        digests = self._digests.values()
        for piece in pieces:
            for digest in digests:
                digest.update(piece)

    def finish(self) -> Received:
        """The body has ended: check everything that was said about it.

        Raises ``S3Error``: IncompleteBody, MalformedTrailerError, InvalidRequest (a trailer's value is no checksum),
        XAmzContentSHA256Mismatch, BadDigest,
        SignatureDoesNotMatch.
        """
        trailer = self._check_framing()
        if self.length is not None and self._size != self.length:
            raise S3Error("IncompleteBody")
        digests = {name: digest.digest() for name, digest in self._digests.items()}
        self._check_digests(digests, trailer)
        md5_hex = digests["MD5"].hex() if "MD5" in digests else None
        etag = md5_hex
        if etag is None and self._fast_etag:
            etag = fast_etag(digests[FAST_ETAG_ALGORITHM], self._size)
        return Received(self._size, md5_hex, {one.name: encode(digests[one.name]) for one in self._reported}, etag)

    def _check_digests(self, digests: Mapping[str, bytes], trailer: str | None) -> None:
        if self._content_sha256 is not None and digests["SHA256"] != self._content_sha256:
            raise S3Error(
                "XAmzContentSHA256Mismatch",
                ClientComputedContentSHA256=self._content_sha256.hex(),
                S3ComputedContentSHA256=digests["SHA256"].hex(),
            )
        if self._content_md5 is not None and digests["MD5"] != self._content_md5:
            raise S3Error(
                "BadDigest",
                "The Content-MD5 you specified did not match what we received.",
                ExpectedDigest=encode(self._content_md5),
                CalculatedDigest=encode(digests["MD5"]),
            )
        if self._requested is not None:
            algorithm = self._requested.algorithm
            if trailer is not None:
                expected = decode(algorithm, trailer, where="trailing header")
            else:
                expected = decode(algorithm, self._requested.value or "")
            if digests[algorithm.name] != expected:
                raise S3Error("BadDigest", f"The {algorithm.name} you specified did not match the calculated checksum.")

    def _check_framing(self) -> str | None:
        """End the framing; the value of the announced trailer, if one was. No other may have come."""
        if self._decoder is None:
            return None
        self._decoder.close()
        trailers = dict(self._decoder.trailers)
        trailer_signature = trailers.pop(_TRAILER_SIGNATURE, None)
        if self._signatures is not None:
            self._signatures.finish(trailers, trailer_signature)
        value = None
        if self._requested is not None and self._requested.trailer:
            value = trailers.pop(self._requested.algorithm.header, None)
            if value is None:
                raise S3Error("MalformedTrailerError", "The trailer that x-amz-trailer announced has not come.")
        if trailers:
            raise S3Error("MalformedTrailerError", "A trailer has come that x-amz-trailer did not announce.")
        return value


def check_absent(headers: Headers) -> None:
    """That a request without a body was meant to have none: who takes the body away must not be able to change what is asked.

    Raises ``S3Error``: XAmzContentSHA256Mismatch, IncompleteBody, InvalidArgument.
    """
    sha256 = _content_sha256(headers)
    nothing = hashlib.sha256(b"").digest()
    if sha256 is not None and sha256 != nothing:
        raise S3Error("XAmzContentSHA256Mismatch", ClientComputedContentSHA256=sha256.hex(), S3ComputedContentSHA256=nothing.hex())
    if _is_framed(headers):
        raise S3Error("IncompleteBody")


def stored_content_encoding(headers: Headers) -> str | None:
    """The ``Content-Encoding`` to keep with the object: without ``aws-chunked``, which is about the request."""
    value = headers.get("content-encoding")
    if value is None or "aws-chunked" not in value.lower():
        return value
    return ", ".join(one for one in _codings(value) if one.lower() != "aws-chunked") or None


def _codings(value: str) -> list[str]:
    return [one.strip() for one in value.split(",") if one.strip()]


def _is_framed(headers: Headers) -> bool:
    """Whether the body is aws-chunked.

    A STREAMING value says so by itself (minio-go sends no Content-Encoding). Requests with another signature, or none, have no such
    value: there Content-Encoding says it, if a header that only such a body has comes with it.
    """
    if headers.get("x-amz-content-sha256", "").strip() in _STREAMING:
        return True
    if not any(one.lower() == "aws-chunked" for one in _codings(headers.get("content-encoding", ""))):
        return False
    return "x-amz-decoded-content-length" in headers or "x-amz-trailer" in headers


def _signatures(headers: Headers, signature: Signature | None) -> ChunkSignatures | None:
    """What verifies the chunks of the body of a request with a verified ``signature``, if it says that they are signed."""
    value = headers.get("x-amz-content-sha256", "").strip()
    if signature is None or not signs_chunks(headers):
        return None
    if "ECDSA" in value:
        problem = S3Error("NotImplemented", "Chunks that are signed with ECDSA can't be verified here.")
        if signature.told is None:
            raise problem
        signature.told(problem)
        return None
    return ChunkSignatures(signature, trailer=value.endswith("-TRAILER"))


def signs_chunks(headers: Headers) -> bool:
    """Whether a request says that each chunk of its body is signed."""
    value = headers.get("x-amz-content-sha256", "").strip()
    return value in _STREAMING and value != "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def _content_sha256(headers: Headers) -> bytes | None:
    value = headers.get("x-amz-content-sha256")
    if value is None or value.strip() in _STREAMING or value.strip() == _UNSIGNED:
        return None
    if not _SHA256.fullmatch(value.strip()):
        raise S3Error(
            "InvalidArgument",
            f"x-amz-content-sha256 must be {_UNSIGNED}, {', '.join(sorted(_STREAMING))} or a valid sha256 value.",
            ArgumentName="x-amz-content-sha256",
            ArgumentValue=value,
        )
    return bytes.fromhex(value.strip())


def _content_md5(headers: Headers) -> bytes | None:
    value = headers.get("content-md5")
    if value is None:
        return None
    digest = from_base64(value.strip())
    if digest is None or len(digest) != ALGORITHMS["MD5"].size:
        error = S3Error("InvalidDigest", "The Content-MD5 you specified was invalid.")
        error.details["Content-MD5"] = value
        raise error
    return digest


def _length(headers: Headers, name: str) -> int | None:
    value = headers.get(name)
    if value is None:
        return None
    value = value.strip(" \t")
    if not _LENGTH.fullmatch(value):
        raise S3Error("InvalidArgument", f"The value of {name} is not a length.", ArgumentName=name, ArgumentValue=value)
    return int(value)

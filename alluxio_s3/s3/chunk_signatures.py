"""The signatures of the chunks and trailers of an aws-chunked body, each over the one before it.

"Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks" and "... Including trailing
headers" in the S3 API reference.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Iterable, Mapping

from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.sigv4 import Signature

_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


class ChunkSignatures:
    """Verifies the chunks of one body. ``seed`` is the signature of the request's head, ``trailer`` whether trailers are signed, too.

    ``expect`` is told of each chunk when its first line has come; ``update`` gets the bytes, in order, in a thread perhaps;
    ``finish`` ends it.
    """

    def __init__(self, seed: Signature, *, trailer: bool) -> None:
        self._seed = seed
        self._trailer = trailer
        self._previous = seed.value
        self._expected: deque[tuple[int, str | None]] = deque()
        self._digest = hashlib.sha256()
        self._position = 0
        self._problem: S3Error | None = None

    def expect(self, end: int, signature: str | None) -> None:
        """The chunk that ends at the offset ``end`` of the object has ``signature``, or none (which is refused in its turn)."""
        self._expected.append((end, signature))

    def update(self, pieces: Iterable[bytes]) -> None:
        """The next bytes. Raises ``S3Error`` SignatureDoesNotMatch for a chunk that is not as it was signed."""
        for piece in pieces:
            view = memoryview(piece)
            while view:
                end, _ = self._expected[0]
                taken = view[: end - self._position]
                self._digest.update(taken)
                self._position += len(taken)
                view = view[len(taken) :]
                if self._position == end:
                    self._end_chunk()

    def finish(self, trailers: Mapping[str, str], signature: str | None) -> None:
        """The body has ended with ``trailers`` and their ``signature``. Raises ``S3Error`` SignatureDoesNotMatch."""
        while self._expected:
            self._end_chunk()
        if self._trailer or trailers:
            lines = "".join(f"{name}:{value}\n" for name, value in sorted(trailers.items()))
            self._check("AWS4-HMAC-SHA256-TRAILER", hashlib.sha256(lines.encode()).hexdigest(), signature)
        if self._seed.told is not None:
            self._seed.told(self._problem)

    def _end_chunk(self) -> None:
        _, signature = self._expected.popleft()
        self._check("AWS4-HMAC-SHA256-PAYLOAD", f"{_EMPTY_SHA256}\n{self._digest.hexdigest()}", signature)
        self._digest = hashlib.sha256()

    def _check(self, algorithm: str, what: str, signature: str | None) -> None:
        to_sign = f"{algorithm}\n{self._seed.timestamp}\n{self._seed.scope}\n{self._previous}\n{what}"
        expected = hmac.digest(self._seed.key, to_sign.encode(), "sha256").hex()
        if not hmac.compare_digest(expected.encode(), (signature or "").encode()):
            problem = S3Error("SignatureDoesNotMatch", "A chunk or trailer of the body does not have the signature that it came with.")
            if self._seed.told is None:
                raise problem
            self._problem = problem
        self._previous = expected

"""Requests as a client of S3 signs them, in every mode that a payload can have, and as they look after somebody has been at them.

After the S3 API reference ("Authenticating Requests (AWS Signature Version 4)" and the pages below it), and independent of the daemon's
code and of botocore, which does not sign chunks.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
import zlib
from collections.abc import Mapping
from urllib.parse import quote

from attrs import evolve, field, frozen

REGION = "us-east-1"
HEADER_MODES = ("sha256", "unsigned", "chunks", "chunks-trailer", "unsigned-trailer")
MODES = (*HEADER_MODES, "presigned")
_STREAMING = {
    "chunks": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "chunks-trailer": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    "unsigned-trailer": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
}
_EMPTY = hashlib.sha256(b"").hexdigest()


@frozen
class Ask:
    """What is asked, before anybody signs it. ``path`` is encoded already; ``changes``: it changes what is stored."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = b""
    changes: bool = False


@frozen
class Sent:
    """A request as it goes out. ``frames`` are the pieces of its body: the chunks and the trailer, where it has such."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    frames: tuple[bytes, ...] = ()

    @property
    def target(self) -> str:
        """The target of the request line."""
        query = encode(self.query)
        return f"{self.path}?{query}" if query else self.path

    def with_header(self, name: str, value: str) -> Sent:
        """With one more header, or another value of it."""
        return evolve(self, headers={**self.headers, name: value})

    def without(self, name: str) -> Sent:
        """Without a header."""
        return evolve(self, headers={one: value for one, value in self.headers.items() if one != name})


@frozen
class Signer:
    """Signs with ``secret``, as of ``age`` seconds ago; ``token`` is the session's."""

    access_key: str
    secret: str
    token: str | None = None
    age: int = 0

    def sign(self, ask: Ask, mode: str, host: str) -> Sent:
        """``ask``, signed in ``mode``."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - self.age))
        scope = f"{stamp[:8]}/{REGION}/s3/aws4_request"
        headers = {"host": host, "x-amz-meta-note": "1", **{name.lower(): value for name, value in ask.headers.items()}}
        if mode == "presigned":
            return self._presigned(ask, headers, stamp, scope)
        headers |= announced(ask.body, mode)
        headers["x-amz-date"] = stamp
        if self.token is not None:
            headers["x-amz-security-token"] = self.token
        signature = self._signature(ask.method, ask.path, ask.query, headers, headers["x-amz-content-sha256"], scope)
        frames = self._frames(ask.body, mode, signature, stamp, scope)
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope},SignedHeaders={';'.join(sorted(headers))},Signature={signature}"
        )
        return Sent(ask.method, ask.path, ask.query, headers, frames)

    def _presigned(self, ask: Ask, headers: Mapping[str, str], stamp: str, scope: str) -> Sent:
        query = (
            *ask.query,
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", f"{self.access_key}/{scope}"),
            ("X-Amz-Date", stamp),
            ("X-Amz-Expires", "300"),
            ("X-Amz-SignedHeaders", ";".join(sorted(headers))),
            *([("X-Amz-Security-Token", self.token)] if self.token is not None else []),
        )
        signature = self._signature(ask.method, ask.path, query, headers, "UNSIGNED-PAYLOAD", scope)
        return Sent(ask.method, ask.path, (*query, ("X-Amz-Signature", signature)), headers, (ask.body,))

    def _signature(
        self, method: str, path: str, query: tuple[tuple[str, str], ...], headers: Mapping[str, str], content: str, scope: str
    ) -> str:
        stamp = headers.get("x-amz-date") or dict(query)["X-Amz-Date"]
        fields = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        canonical = "\n".join((method, path, encode(tuple(sorted(query))), fields, ";".join(sorted(headers)), content))
        return self._hmac("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest())

    def _hmac(self, *lines: str) -> str:
        key = f"AWS4{self.secret}".encode()
        for word in lines[2].split("/"):
            key = hmac.digest(key, word.encode(), "sha256")
        return hmac.digest(key, "\n".join(lines).encode(), "sha256").hex()

    def _frames(self, body: bytes, mode: str, previous: str, stamp: str, scope: str) -> tuple[bytes, ...]:
        if mode not in _STREAMING:
            return (body,)
        middle = (len(body) + 1) // 2
        frames = []
        for piece in (*filter(None, (body[:middle], body[middle:])), b""):
            extension = ""
            if mode != "unsigned-trailer":
                digest = hashlib.sha256(piece).hexdigest()
                previous = self._hmac("AWS4-HMAC-SHA256-PAYLOAD", stamp, scope, previous, _EMPTY, digest)
                extension = f";chunk-signature={previous}"
            # The last chunk ends the body, or what follows are trailers.
            end = b"\r\n" if piece or mode == "chunks" else b""
            frames.append(f"{len(piece):x}{extension}\r\n".encode() + piece + end)
        if mode != "chunks":
            line = f"x-amz-checksum-crc32:{crc32(body)}"
            frames.append(f"{line}\r\n".encode())
            if mode == "chunks-trailer":
                digest = hashlib.sha256(f"{line}\n".encode()).hexdigest()
                signature = self._hmac("AWS4-HMAC-SHA256-TRAILER", stamp, scope, previous, digest)
                frames.append(f"x-amz-trailer-signature:{signature}\r\n".encode())
            frames.append(b"\r\n")
        return tuple(frames)


@frozen
class Bearer:
    """Sends ``token`` as it is, and signs nothing."""

    token: str

    def sign(self, ask: Ask, mode: str, host: str) -> Sent:
        """``ask`` with the token; ``mode`` is one without signed chunks, of a header."""
        sent = Signer("none", "none").sign(ask, mode, host)
        return sent.with_header("authorization", f"Bearer {self.token}")


def announced(body: bytes, mode: str) -> dict[str, str]:
    """The headers that say how ``body`` comes."""
    if mode == "sha256":
        return {"x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
    if mode == "unsigned":
        return {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    headers = {
        "x-amz-content-sha256": _STREAMING[mode],
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(len(body)),
    }
    return headers if mode == "chunks" else {**headers, "x-amz-trailer": "x-amz-checksum-crc32"}


def crc32(body: bytes) -> str:
    """The checksum as a trailer has it."""
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def encode(query: tuple[tuple[str, str], ...]) -> str:
    """A query as S3 encodes it."""
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in query)

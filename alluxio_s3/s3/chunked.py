"""The aws-chunked framing of a request body.

Grammar (S3 API reference, "Signature calculations: transferring payload in multiple chunks", and "including
trailing headers")::

    body    = *( size [";chunk-signature=" ...] CRLF bytes CRLF ) "0" [";chunk-signature=" ...] CRLF trailers
    trailers = *( name ":" value (CRLF | LF) | CRLF )

Signatures are not verified here: that needs the sender's secret (``chunk_signatures``). Other extensions of a chunk are read over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from alluxio_s3.s3.errors import S3Error

# Chunks are passed on as they come, so this bounds nothing but nonsense: no object of S3 is larger.
MAX_CHUNK_BYTES = 5 << 40
# A size with an ECDSA signature is 180 bytes.
MAX_LINE_BYTES = 1024
MAX_TRAILER_BYTES = 8192
# A chunked body of tiny chunks must not become as many pieces.
MAX_PIECES = 16

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\x20-\x7e\t]*)?\r\n")
_SIGNATURE = re.compile(rb";[ \t]*chunk-signature=([0-9A-Za-z*]+)[ \t]*(?:;|\r)")
_TRAILER_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*:([\x20-\x7e\t]*)\r?\n?")

_SIZE, _BYTES, _END_OF_BYTES, _TRAILERS, _CLOSED = range(5)


class ChunkedDecoder:
    """Takes an aws-chunked body in pieces of any size, gives the bytes in it.

    ``feed`` every piece, then ``close``. Time is linear in the body; what is kept between
    calls is at most one line and the trailers. ``on_chunk`` is called when a chunk begins, the last one too, with the offset in the
    decoded body at which it ends, and its signature if it has one.
    """

    def __init__(self, on_chunk: Callable[[int, str | None], None] | None = None) -> None:
        self._on_chunk = on_chunk
        self._end = 0
        self._state = _SIZE
        self._line = bytearray()
        self._left = 0
        self._trailer_bytes = 0
        self._trailers: dict[str, str] = {}

    @property
    def finished(self) -> bool:
        """Whether the body ended as it should: ``close`` was called and did not raise."""
        return self._state == _CLOSED

    @property
    def trailers(self) -> Mapping[str, str]:
        """The trailers by lower-case name, once ``finished``."""
        return MappingProxyType(self._trailers)

    def feed(self, data: bytes) -> list[bytes]:
        """The decoded bytes in ``data``, at most ``MAX_PIECES`` pieces, none empty.

        Raises ``S3Error`` InvalidRequest for malformed framing, MalformedTrailerError for malformed trailers.
        """
        pieces: list[bytes] = []
        position = 0
        while position < len(data):
            if self._state == _BYTES:
                end = min(position + self._left, len(data))
                pieces.append(data[position:end])
                self._left -= end - position
                position = end
                if not self._left:
                    self._state = _END_OF_BYTES
            elif self._state == _SIZE and not self._line and (match := _SIZE_LINE.match(data, position, position + MAX_LINE_BYTES)):
                self._begin_chunk(match)
                position = match.end()
            elif self._state == _END_OF_BYTES and not self._line and data[position : position + 2] == b"\r\n":
                self._state = _SIZE
                position += 2
            else:
                position = self._take_line(data, position)
        return pieces if len(pieces) <= MAX_PIECES else [b"".join(pieces)]

    def close(self) -> None:
        """The body has ended. A last line without its line end is taken: some clients leave it out.

        Raises ``S3Error`` IncompleteBody if the last chunk has not come, MalformedTrailerError.
        """
        if self._state == _TRAILERS:
            if self._line:
                self._trailer(bytes(self._line))
            self._state = _CLOSED
        if self._state != _CLOSED:
            raise S3Error("IncompleteBody", "The request body terminated unexpectedly")

    def _take_line(self, data: bytes, position: int) -> int:
        """Take what is in ``data`` of the line in progress; where it ends. The way for lines that come in two pieces,
        trailers, and whatever is malformed.
        """
        if self._state == _CLOSED:
            raise _malformed("there are bytes after its end")
        newline = data.find(b"\n", position, position + MAX_LINE_BYTES)
        end = newline + 1 if newline >= 0 else min(position + MAX_LINE_BYTES, len(data))
        if len(self._line) + end - position > MAX_LINE_BYTES:
            raise _malformed("it has a line that is too long") if self._state != _TRAILERS else S3Error("MalformedTrailerError")
        self._line += data[position:end]
        if newline >= 0:
            line = bytes(self._line)
            self._line.clear()
            self._end_line(line)
        elif self._state == _END_OF_BYTES and self._line != b"\r":
            raise _malformed("a chunk is longer than its size")
        return end

    def _end_line(self, line: bytes) -> None:
        if self._state == _SIZE:
            match = _SIZE_LINE.fullmatch(line)
            if match is None:
                raise _malformed("it has a chunk without a size")
            self._begin_chunk(match)
        elif self._state == _END_OF_BYTES:
            if line != b"\r\n":
                raise _malformed("a chunk is longer than its size")
            self._state = _SIZE
        else:
            self._trailer(line)

    def _begin_chunk(self, match: re.Match[bytes]) -> None:
        self._left = int(match[1], 16)
        if self._left > MAX_CHUNK_BYTES:
            raise _malformed("it has a chunk that is too large")
        self._state = _BYTES if self._left else _TRAILERS
        if self._on_chunk is not None:
            self._end += self._left
            signature = _SIGNATURE.search(match[0])
            self._on_chunk(self._end, None if signature is None else signature[1].decode())

    def _trailer(self, line: bytes) -> None:
        # An empty line is no end here: minio-go, as the example in S3's reference, puts one before the trailers' signature.
        # The end of the body is the end.
        self._trailer_bytes += len(line)
        if self._trailer_bytes > MAX_TRAILER_BYTES:
            raise S3Error("MalformedTrailerError")
        if not line.strip(b"\r\n"):
            return
        match = _TRAILER_LINE.fullmatch(line)
        if match is None:
            raise S3Error("MalformedTrailerError")
        name = match[1].decode("ascii").lower()
        if name in self._trailers:
            raise S3Error("MalformedTrailerError")
        self._trailers[name] = match[2].decode("ascii").strip()


def _malformed(problem: str) -> S3Error:
    return S3Error("InvalidRequest", f"The aws-chunked body is malformed: {problem}.")

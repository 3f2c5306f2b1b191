"""What may be wrong with a request that was signed well once: each is refused by whoever verifies signatures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from attrs import evolve

from tests.daemon.signer import HEADER_MODES, Sent

# From a request and the mode that it was signed in to what became of it; None where that can't be done to it.
Attack = Callable[[Sent, str], Sent | None]
_METHODS = {"GET": "DELETE", "HEAD": "GET", "PUT": "DELETE", "DELETE": "GET", "POST": "PUT"}
_CHUNKED = ("chunks", "chunks-trailer", "unsigned-trailer")
_SIGNED_CHUNKS = ("chunks", "chunks-trailer")


def _other_key(sent: Sent, _mode: str) -> Sent | None:
    return evolve(sent, path=sent.path + "-other") if sent.path.count("/") > 1 else None


def _other_bucket(sent: Sent, _mode: str) -> Sent | None:
    bucket, slash, key = sent.path[1:].partition("/")
    return evolve(sent, path=f"/other{slash}{key}") if bucket else None


def _frame(sent: Sent, number: int, change: Callable[[bytes], bytes]) -> Sent:
    frames = list(sent.frames)
    frames[number] = change(frames[number])
    return evolve(sent, frames=tuple(frames))


def _last_byte(data: bytes) -> bytes:
    end = 2 if data.endswith(b"\r\n") else 0
    at = len(data) - end - 1
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _has_body(sent: Sent, mode: str) -> bool:
    return len(sent.frames) > 1 + (mode != "chunks") * 2 if mode in _CHUNKED else bool(sent.frames[0])


def _tampered_body(sent: Sent, mode: str) -> Sent | None:
    # An unsigned body is nobody's word.
    return _frame(sent, 0, _last_byte) if _has_body(sent, mode) and mode not in ("unsigned", "presigned") else None


def _without_body(sent: Sent, mode: str) -> Sent | None:
    return evolve(sent, frames=()) if _has_body(sent, mode) and mode not in ("unsigned", "presigned") else None


def _swapped_chunks(sent: Sent, mode: str) -> Sent | None:
    first, second, *rest = sent.frames if len(sent.frames) > 1 else (b"", b"")
    return evolve(sent, frames=(second, first, *rest)) if mode in _CHUNKED and _has_body(sent, mode) and first != second else None


def _chunk_left_out(sent: Sent, mode: str) -> Sent | None:
    return evolve(sent, frames=sent.frames[1:]) if mode in _CHUNKED and _has_body(sent, mode) else None


def _cut_before_the_end(sent: Sent, mode: str) -> Sent | None:
    if mode not in _CHUNKED:
        return None
    return evolve(sent, frames=tuple(one for one in sent.frames if one[:2] not in (b"0;", b"0\r")))


def _chunk_signature(sent: Sent, mode: str) -> Sent | None:
    def change(frame: bytes) -> bytes:
        head, end, rest = frame.partition(b"\r\n")
        return head[:-1] + (b"0" if head[-1:] != b"0" else b"1") + end + rest

    return _frame(sent, 0, change) if mode in _SIGNED_CHUNKS else None


def _no_chunk_signatures(sent: Sent, mode: str) -> Sent | None:
    def change(frame: bytes) -> bytes:
        head, end, rest = frame.partition(b"\r\n")
        return head.partition(b";")[0] + end + rest

    return evolve(sent, frames=tuple(map(change, sent.frames))) if mode in _SIGNED_CHUNKS else None


def _trailer(sent: Sent, mode: str) -> Sent | None:
    if mode not in ("chunks-trailer", "unsigned-trailer"):
        return None
    number = next(at for at, one in enumerate(sent.frames) if one.startswith(b"x-amz-checksum"))
    return _frame(sent, number, lambda _: b"x-amz-checksum-crc32:AAAAAQ==\r\n")


def _no_trailer(sent: Sent, mode: str) -> Sent | None:
    if mode not in ("chunks-trailer", "unsigned-trailer"):
        return None
    return evolve(sent, frames=tuple(one for one in sent.frames if not one.startswith(b"x-amz-checksum")))


def _no_trailer_signature(sent: Sent, mode: str) -> Sent | None:
    if mode != "chunks-trailer":
        return None
    return evolve(sent, frames=tuple(one for one in sent.frames if not one.startswith(b"x-amz-trailer-signature")))


def _downgraded(sent: Sent, mode: str) -> Sent | None:
    values = {"sha256": "UNSIGNED-PAYLOAD", "chunks": "UNSIGNED-PAYLOAD", "chunks-trailer": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}
    return sent.with_header("x-amz-content-sha256", values[mode]) if mode in values else None


def _stripped_date(sent: Sent, mode: str) -> Sent | None:
    return sent.without("x-amz-date") if mode in HEADER_MODES else None


def _stripped_hash(sent: Sent, mode: str) -> Sent | None:
    return sent.without("x-amz-content-sha256") if mode in HEADER_MODES else None


def _longer_life(sent: Sent, mode: str) -> Sent | None:
    query = tuple((name, "301" if name == "X-Amz-Expires" else value) for name, value in sent.query)
    return evolve(sent, query=query) if mode == "presigned" else None


# What the body's own checks find, whether signatures are verified or not.
OF_BODIES: Mapping[str, Attack] = MappingProxyType(
    {
        "tampered body": lambda sent, mode: None if mode in _SIGNED_CHUNKS[:1] else _tampered_body(sent, mode),
        "chunk left out": _chunk_left_out,
        "cut before the end": _cut_before_the_end,
        "another trailer": _trailer,
        "no trailer": _no_trailer,
    }
)
OF_SIGNATURES: Mapping[str, Attack] = MappingProxyType(
    {
        **OF_BODIES,
        "tampered body": _tampered_body,
        "body taken away": _without_body,
        "another key": _other_key,
        "another bucket": _other_bucket,
        "another method": lambda sent, _: evolve(sent, method=_METHODS[sent.method]),
        "another host": lambda sent, _: sent.with_header("host", "other:80"),
        "more query": lambda sent, _: evolve(sent, query=(*sent.query, ("x-other", "1"))),
        "header stripped": lambda sent, _: sent.without("x-amz-meta-note"),
        "header changed": lambda sent, _: sent.with_header("x-amz-meta-note", "2"),
        "date stripped": _stripped_date,
        "hash stripped": _stripped_hash,
        "header added": lambda sent, _: sent.with_header("x-amz-meta-other", "1"),
        "copy source added": lambda sent, _: sent.with_header("x-amz-copy-source", "/other/evil"),
        "tagging added": lambda sent, _: sent.with_header("x-amz-tagging", "a=b"),
        "downgraded": _downgraded,
        "longer life": _longer_life,
        "swapped chunks": _swapped_chunks,
        "another chunk signature": _chunk_signature,
        "no chunk signatures": _no_chunk_signatures,
        "no trailer signature": _no_trailer_signature,
    }
)

"""PUTs that are wrong in one way each: what arrives is not what was announced."""

from __future__ import annotations

import base64
import hashlib
import random
import zlib
from collections.abc import Callable

from attrs import frozen

from tests.faults.bodies import body


@frozen
class Put:
    """A request: headers, and the bytes that follow them. *whole*: it has an end, so an answer will come."""

    headers: dict[str, str]
    sent: bytes
    whole: bool = True


Mutation = Callable[[random.Random, str], Put]

_DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "crc32c": lambda data: (zlib.crc32(data) ^ 1).to_bytes(4, "big"),
    "crc64nvme": lambda data: zlib.crc32(data).to_bytes(8, "big"),
}


def _data(chance: random.Random, version: str) -> bytes:
    return body("mutated", version, chance.choice((1, 100, 4096, 70_000, 200_000)) + chance.randrange(1, 100))


def _other(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def short(chance: random.Random, version: str) -> Put:
    """The client goes away before the end."""
    data = _data(chance, version)
    return Put({"Content-Length": str(len(data))}, data[: chance.randrange(len(data))], whole=False)


def md5(chance: random.Random, version: str) -> Put:
    """A flipped bit, by Content-MD5."""
    data = _data(chance, version)
    told = _base64(hashlib.md5(data, usedforsecurity=False).digest())
    return Put({"Content-Length": str(len(data)), "Content-MD5": told}, _other(data, chance))


def checksum(chance: random.Random, version: str) -> Put:
    """A flipped bit, by a checksum in a header."""
    data, name = _data(chance, version), chance.choice(list(_DIGESTS))
    return Put({"Content-Length": str(len(data)), f"x-amz-checksum-{name}": _base64(_DIGESTS[name](data))}, _other(data, chance))


def sha256(chance: random.Random, version: str) -> Put:
    """A flipped bit, by the digest that is signed."""
    data = _data(chance, version)
    return Put({"Content-Length": str(len(data)), "x-amz-content-sha256": hashlib.sha256(data).hexdigest()}, _other(data, chance))


def _chunks(data: bytes, chance: random.Random) -> list[bytes]:
    size = chance.choice((8192, 16_384, 65_536))
    return [data[at : at + size] for at in range(0, len(data), size)]


def _framed(chunks: list[bytes], name: str, told: bytes, decoded: int) -> tuple[dict[str, str], list[bytes]]:
    frames = [b"%x\r\n%b\r\n" % (len(one), one) for one in chunks]
    frames += [b"0\r\n", f"x-amz-checksum-{name}:{_base64(told)}\r\n".encode(), b"\r\n"]
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": str(decoded),
        "x-amz-trailer": f"x-amz-checksum-{name}",
        "Content-Encoding": "aws-chunked",
    }
    return headers, frames


def trailer(chance: random.Random, version: str) -> Put:
    """A flipped bit, by a checksum that comes last."""
    data, name = _data(chance, version), chance.choice(list(_DIGESTS))
    headers, frames = _framed(_chunks(_other(data, chance), chance), name, _DIGESTS[name](data), len(data))
    sent = b"".join(frames)
    return Put(headers | {"Content-Length": str(len(sent))}, sent)


def framing(chance: random.Random, version: str) -> Put:
    """Chunks with a size that is none, without their ends, without the last one, or of more or fewer bytes than were announced."""
    data = _data(chance, version)
    chunks = _chunks(data, chance)
    headers, frames = _framed(chunks, "crc32", _DIGESTS["crc32"](data), len(data))
    kind = chance.choice(("size", "end", "last", "fewer", "more", "negative", "huge"))
    if kind == "size":
        frames[0] = b"g" + frames[0]
    elif kind == "end":
        frames[0] = frames[0][:-2] + b"xx"
    elif kind == "last":
        frames = frames[: len(chunks)]
    elif kind == "negative":
        frames[0] = b"-" + frames[0]
    elif kind == "huge":
        frames[0] = b"f" * 40 + frames[0]
    else:
        headers["x-amz-decoded-content-length"] = str(len(data) + (1 if kind == "more" else -1))
    sent = b"".join(frames)
    return Put(headers | {"Content-Length": str(len(sent))}, sent)


def ill_told(chance: random.Random, version: str) -> Put:
    """A digest that can be none."""
    data = _data(chance, version)
    name = chance.choice(("Content-MD5", "x-amz-checksum-crc32", "x-amz-checksum-sha256", "x-amz-content-sha256"))
    return Put({"Content-Length": str(len(data)), name: chance.choice(("!", "AAAA", "0" * 63, "=" * 24))}, data)


MUTATIONS: tuple[Mutation, ...] = (short, md5, checksum, sha256, trailer, framing, ill_told)

"""Pictures of pages made smaller: a byte a pixel, of 256 colours (PNG with a palette)."""

from __future__ import annotations

import struct
import zlib
from collections import Counter

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def with_palette(png: bytes) -> bytes:
    """``png``, 8 bits without interlacing as browsers make it, in its 256 most frequent colours, the nearest for the others."""
    width, height, rows = _decoded(png)
    pixels = b"".join(rows)
    colours = [pixels[at : at + 3] for at in range(0, len(pixels), 3)]
    kept = [colour for colour, _ in Counter(colours).most_common(256)]
    places = {colour: place for place, colour in enumerate(kept)}
    for colour in set(colours) - set(kept):
        places[colour] = min(range(len(kept)), key=lambda place: sum((a - b) ** 2 for a, b in zip(kept[place], colour, strict=True)))
    indexed = bytes(map(places.__getitem__, colours))
    lines = b"".join(b"\0" + indexed[row * width : (row + 1) * width] for row in range(height))
    head = struct.pack("!2I5B", width, height, 8, 3, 0, 0, 0)
    return (
        _SIGNATURE + chunk(b"IHDR", head) + chunk(b"PLTE", b"".join(kept)) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))


def _decoded(png: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height, and the rows as RGB."""
    at, packed, head = len(_SIGNATURE), b"", b""
    while at < len(png):
        (length,) = struct.unpack_from("!I", png, at)
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        head, packed = (data if kind == b"IHDR" else head), packed + (data if kind == b"IDAT" else b"")
        at += 12 + length
    width, height, depth, colour, _, _, interlaced = struct.unpack("!2I5B", head)
    assert (depth, interlaced) == (8, 0)
    step = {2: 3, 6: 4}[colour]
    data, size = zlib.decompress(packed), width * step
    rows: list[bytes] = []
    before = bytes(size)
    for row in range(height):
        start = row * (size + 1)
        before = _unfiltered(data[start], bytearray(data[start + 1 : start + 1 + size]), before, step)
        rows.append(before)
    if step == 4:
        rows = [bytes(value for place, value in enumerate(row) if place % 4 != 3) for row in rows]
    return width, height, rows


def _unfiltered(kind: int, line: bytearray, above: bytes, step: int) -> bytes:
    """A row before it was filtered (PNG specification, 9.2)."""
    for place in range(len(line)) if kind else ():
        left = line[place - step] if place >= step else 0
        up = above[place]
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = up
        elif kind == 3:
            guess = (left + up) // 2
        else:
            corner = above[place - step] if place >= step else 0
            near = left + up - corner
            guess = min((left, up, corner), key=lambda one: abs(near - one))
        line[place] = (line[place] + guess) & 255
    return bytes(line)

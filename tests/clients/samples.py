"""What the client tests send: random bytes of telling sizes, and trees of them, compared by hash."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

MIB = 1024 * 1024

EMPTY = 0
ONE = 1
PAGE = 4096
OVER_A_PART = 5 * MIB + 1
LARGE = 20 * MIB

SIZES = (EMPTY, ONE, PAGE, OVER_A_PART, LARGE)

# One key for every way in which clients have got the encoding of a key wrong.
AWKWARD_KEYS = (
    "with space.txt",
    "plus+plus.txt",
    "per%cent%20.txt",
    "amp&equals=semi;.txt",
    "quote'\"quote.txt",
    "colon:at@comma,.txt",
    "tilde~star*paren().txt",
    "hash#brackets[].txt",
    "Grüße/été/naïve.txt",
    "日本語/ファイル.txt",
    "emoji/🐘🚀.txt",
    "<xml>&amp;.txt",
)


def random_bytes(size: int) -> bytes:
    """*size* bytes that no two calls share."""
    return os.urandom(size)


def digest(data: bytes) -> str:
    """The SHA-256 of *data*, in hex: what is compared, so that a failure doesn't print megabytes."""
    return hashlib.sha256(data).hexdigest()


def digest_of(path: Path) -> str:
    """The SHA-256 of the file at *path*, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def random_file(path: Path, size: int) -> str:
    """Write a file of *size* random bytes, with its directories, and return its digest.

    It looks an hour old: S3's dates have whole seconds, and a file younger than its copy by less would be synced for ever.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random_bytes(size))
    hour_ago = time.time() - 3600
    os.utime(path, (hour_ago, hour_ago))
    return digest_of(path)


def random_tree(top: Path) -> dict[str, str]:
    """Write a small tree under *top*, and return `tree_digests(top)`."""
    sizes = {
        "empty.bin": EMPTY,
        "one.bin": ONE,
        "page.bin": PAGE,
        "with space/plus+.bin": PAGE,
        "deep/er/and/deeper.bin": PAGE,
        "deep/Grüße.bin": PAGE,
        "part.bin": OVER_A_PART,
    }
    for name, size in sizes.items():
        random_file(top / name, size)
    return tree_digests(top)


def tree_digests(top: Path) -> dict[str, str]:
    """The digest of every file under *top*, by its path relative to *top*."""
    return {str(path.relative_to(top)): digest_of(path) for path in sorted(top.rglob("*")) if path.is_file()}

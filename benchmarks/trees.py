"""Trees of empty files to list, made as fast as the kernel makes them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alluxio_s3.storage import Attributes
from alluxio_s3.ufs.local.attributes import XATTR
from alluxio_s3.ufs.local.record import Record, encode

_PER_DIRECTORY = 100
_AGE_NS = 3600 * 10**9
# What an object has that was stored by boto3 with a checksum.
_STORED = Attributes(
    content_type="binary/octet-stream",
    etag="d41d8cd98f00b204e9800998ecf8427e",
    checksums={"CRC32": "AAAAAA=="},
    checksum_type="FULL_OBJECT",
    owner="benchmark",
)


@contextmanager
def tree(directory: Path, shape: str, keys: int, *, stored: bool) -> Iterator[Path]:
    """A ``flat`` or ``nested`` tree of so many empty files in ``directory``, removed at the end.

    A nested one has 100 entries in each directory and three levels. With ``stored`` the files have attributes, as if they had been
    put through S3. The directories look an hour old.
    """
    directory.mkdir()
    try:
        leaves = [directory] if shape == "flat" else _leaves(directory, keys)
        per_leaf = keys if shape == "flat" else _PER_DIRECTORY
        for place, leaf in enumerate(leaves):
            _fill(leaf, min(per_leaf, keys - place * per_leaf), stored=stored)
        then = time.time_ns() - _AGE_NS
        for one in {directory, *leaves, *(leaf.parent for leaf in leaves if shape != "flat")}:
            os.utime(one, ns=(then, then))
        yield directory
    finally:
        shutil.rmtree(directory)


def _leaves(directory: Path, keys: int) -> list[Path]:
    count = -(-keys // _PER_DIRECTORY)
    leaves = [directory / f"{number // _PER_DIRECTORY:02}" / f"{number % _PER_DIRECTORY:02}" for number in range(count)]
    for leaf in leaves:
        leaf.mkdir(parents=True)
    return leaves


def _fill(directory: Path, files: int, *, stored: bool) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number in range(files):
            file = os.open(f"object-{number:08}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=descriptor)
            if stored:
                os.setxattr(file, XATTR, encode(Record.of(_STORED, os.fstat(file))))
            os.close(file)
    finally:
        os.close(descriptor)

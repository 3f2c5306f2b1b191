"""Bytes that wait on the daemon's machine to be put into a store of fsspec."""

from __future__ import annotations

from pathlib import Path

from pytest import fail, raises

from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes, NoSpace
from alluxio_s3.ufs.fsspec_store.writer import Spool


def test_the_last_bytes_too_are_refused_where_there_is_no_room() -> None:
    """Python holds back a few bytes until the commit: a full disk is said to be full then too, nothing is put, and the file is closed."""
    for count in (100, 300_000):
        spool = Spool()
        spool._file = Path("/dev/full").open("w+b")  # noqa: SIM115  # the spool closes it
        with raises(NoSpace):
            spool.write(bytes(count))
            spool.publish(lambda *_: fail("it was put"), Attributes(), ALWAYS)
        spool.close()
        assert spool._file.closed

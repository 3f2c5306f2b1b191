"""What is on its way to an S3 store and too large for memory, when the disk of temporary files is full."""

import hashlib
import tempfile

import pytest
import pytest_twisted

from alluxio_s3.storage import NoSpace
from alluxio_s3.ufs.s3.spool import Spool
from tests.faults.disks import MemoryDisk, lack

MIB = 1 << 20


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """Where temporary files go; it has room for a few pages more than are kept in memory."""
    disk = MemoryDisk(tmp_path / "tmp", "1032k")
    reason = lack() or disk.mount()
    if reason:
        pytest.skip(reason)
    monkeypatch.setattr(tempfile, "tempdir", str(disk.place))
    yield disk
    disk.close()


async def written(spool: Spool, piece: int, most: int) -> int:
    """How many pieces were taken, of ``most``."""
    await spool.write(bytes(MIB))
    for taken in range(most):
        try:
            await spool.write(bytes(piece))
        except NoSpace:
            return taken
    return most


@pytest.mark.parametrize("piece", [500, 3000, 1 << 16])
@pytest_twisted.ensureDeferred
async def test_full_disk(small_disk, threads, piece):
    """What does not fit is refused when it is written, not when it is read; what is taken can be read."""
    spool = Spool(threads)
    taken = await written(spool, piece, MIB // piece)
    assert taken < MIB // piece
    await spool.close()
    again = Spool(threads)
    assert await written(again, piece, taken) == taken
    assert await again.md5() == hashlib.md5(bytes(MIB + taken * piece)).hexdigest()
    assert again.body().read(MIB, 2 * MIB) == bytes(taken * piece)
    await again.close()


@pytest_twisted.ensureDeferred
async def test_full_before(small_disk, threads):
    """Where there is no room at all, what fits into memory is taken."""
    (small_disk.place / "filler").write_bytes(bytes(1032 << 10))
    spool = Spool(threads)
    assert await written(spool, 8192, 1) == 0
    await spool.close()

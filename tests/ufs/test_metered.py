"""What is counted of the calls of an under-store."""

from __future__ import annotations

import pytest_twisted
from pytest import raises
from twisted.internet.task import Clock

from alluxio_s3.interfaces import IFileBacked, IIdentified
from alluxio_s3.ops.metrics import Metrics
from alluxio_s3.s3.conditions import ALWAYS, WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes, NoSuchPath
from alluxio_s3.testing.ufs_contract import UfsContract
from alluxio_s3.testing.workbench import NO_ATTRIBUTES
from alluxio_s3.ufs.memory import MemoryUnderFileSystem
from alluxio_s3.ufs.metered import metered


class TestMetered(UfsContract):
    """A store whose calls are counted is as good as it is without."""

    async def make_ufs(self):
        return metered(MemoryUnderFileSystem(Clock()), Metrics(), "/", Clock())


def counted(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """The counters of a snapshot: name and labels, but for the mount."""
    return {
        (one.name.removeprefix("alluxio_s3_ufs_"), *sample.labels[1:]): sample.values[0]
        for one in metrics.snapshot()
        for sample in one.samples
        if one.kind == "counter"
    }


@pytest_twisted.ensureDeferred
async def test_calls_are_counted_with_how_they_ended() -> None:
    """Each call counts once, by its name and its end, and with its bytes; a read that its client leaves has ended well."""
    metrics = Metrics()
    inner = MemoryUnderFileSystem(Clock(), buckets=False)
    ufs = metered(inner, metrics, "/data", Clock())
    assert metered(inner, None, "/data", Clock()) is inner
    assert IIdentified(ufs).identity == inner.identity
    writer = await ufs.create("a", NO_ATTRIBUTES, 6)
    await writer.write(b"abcdef")
    await writer.commit(Attributes(), ALWAYS)
    reader = await ufs.open("a")
    assert not IFileBacked.providedBy(reader)
    assert b"".join([piece async for piece in reader.read(1, 4)]) == b"bcde"
    pieces = reader.read(0, 6)
    assert await pieces.__anext__() == b"abcdef"
    await pieces.aclose()
    with raises(NoSuchPath):
        await ufs.status("nothing")
    with raises(S3Error):
        await ufs.delete("a", WriteCondition(if_match='"other"'))
    found = counted(metrics)
    assert found == {
        ("calls_total", "create", "ok"): 1,
        ("calls_total", "commit", "ok"): 1,
        ("calls_total", "open", "ok"): 1,
        ("calls_total", "read", "ok"): 2,
        ("calls_total", "status", "NoSuchPath"): 1,
        ("calls_total", "delete", "PreconditionFailed"): 1,
        ("read_bytes_total",): 10,
        ("written_bytes_total",): 6,
    }
    seconds = {sample.labels: sum(sample.values[:-1]) for one in metrics.snapshot() if one.kind == "histogram" for sample in one.samples}
    assert seconds["/data", "read"] == 2
    assert seconds["/data", "delete"] == 1

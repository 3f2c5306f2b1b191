"""Abandoned uploads end by themselves, and none does because somebody set the clock."""

import pytest
from twisted.internet.task import Clock

from alluxio_s3.namespace.upload_expiry import EVERY_SECONDS, UploadExpiry

DAY = 86_400.0


class Scene:
    """A namespace with one store; ``before`` are the times, in days of the wall, before which it was told to expire uploads."""

    def __init__(self) -> None:
        self.clock, self.wall = Clock(), Clock()
        self.before: list[float] = []
        self.pass_days(100, nothing=True)
        self.expiry = UploadExpiry(self, 7 * DAY, self.clock, self.wall)
        self.expiry.startService()

    def all_uploads(self):
        return [self]

    async def expire(self, before_ns: int) -> int:
        self.before.append(before_ns / 1e9 / DAY)
        return 0

    def pass_days(self, days: float, *, nothing: bool = False) -> None:
        steps = 1 if nothing else int(days * DAY / EVERY_SECONDS)
        for _ in range(steps):
            self.wall.advance(days * DAY / steps)
            self.clock.advance(days * DAY / steps)


@pytest.fixture
def scene():
    made = Scene()
    yield made
    made.expiry.stopService()


def test_each_hour(scene):
    """At its start and each hour it has every store end what is older than it is told."""
    assert scene.before == [93.0]
    scene.pass_days(1 / 24)
    assert scene.before == [93.0, pytest.approx(93 + 1 / 24)]


def test_set_forward(scene):
    """After the clock was set forward nothing expires that has not been there for as long as it may be."""
    scene.wall.advance(DAY)
    scene.pass_days(6.9)
    assert scene.before == [93.0]
    scene.pass_days(0.2)
    assert scene.before[1] == pytest.approx(101, abs=0.1)


def test_set_back(scene):
    """After it was set back uploads expire later, and none sooner."""
    scene.wall.rightNow -= DAY
    scene.pass_days(1)
    assert scene.before[1] == pytest.approx(92 + 1 / 24)
    assert scene.before[-1] == pytest.approx(93)

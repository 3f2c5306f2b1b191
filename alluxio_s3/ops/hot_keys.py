"""Which keys are asked for most, nearly: a bounded count that fades, cheap enough to be kept for every request."""

from __future__ import annotations

from collections.abc import Callable
from heapq import nlargest

from alluxio_s3.ops.metrics import RANKING, Figures, Sample

HALF_LIFE_SECONDS = 30.0
# How many targets are counted; when there are more, those that are asked for least are forgotten.
CAPACITY = 1024
KEPT = 256
SHOWN = 20
# Keys of 1024 bytes, in which every byte is escaped, and a bucket's name.
MAX_TARGET = 3200
# What is asked for less often than that is not worth a line.
LEAST = 0.5
NAME = "hot_keys"


class HotKeys:
    """Counts requests and their bytes by target. ``monotonic`` tells seconds.

    Counts fade by half in each ``HALF_LIFE_SECONDS``, so a key that is asked for ``r`` times a second comes to stand at ``r`` times
    ``HALF_LIFE_SECONDS / ln 2``. A key that is asked for often enough to be among the first is never forgotten for others.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._faded = monotonic()
        self._counts: dict[str, list[float]] = {}

    def see(self, raw_target: str, moved: int) -> None:
        """A request for ``raw_target`` that ended well, of whose bodies ``moved`` bytes were sent either way."""
        if "?" in raw_target:
            raw_target = raw_target.partition("?")[0]
        row = self._counts.get(raw_target)
        if row is None:
            self._begin(raw_target, moved)
        else:
            row[0] += 1
            row[1] += moved

    def figures(self) -> Figures:
        """Those that are asked for most, with their counts and bytes, faded. Not for Prometheus: keys are many, and not for everybody."""
        self._fade()
        first = nlargest(SHOWN, self._counts.items(), key=lambda one: one[1][0])
        samples = tuple(Sample((target,), (count, moved)) for target, (count, moved) in first if count >= LEAST)
        return Figures(NAME, RANKING, "Keys that are asked for most.", ("target",), samples)

    def _begin(self, raw_target: str, moved: int) -> None:
        bucket, _, key = raw_target.removeprefix("/").partition("/")
        if not bucket or not key or len(raw_target) > MAX_TARGET:
            return
        if len(self._counts) >= CAPACITY:
            self._counts = dict(nlargest(KEPT, self._counts.items(), key=lambda one: one[1][0]))
        self._counts[raw_target] = [1.0, float(moved)]

    def _fade(self) -> None:
        now = self._monotonic()
        factor = 0.5 ** ((now - self._faded) / HALF_LIFE_SECONDS)
        self._faded = now
        self._counts = {
            target: [count * factor, moved * factor] for target, (count, moved) in self._counts.items() if count * factor > 0.01
        }

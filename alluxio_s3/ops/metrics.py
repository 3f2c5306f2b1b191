"""The figures of one process, in plain numbers: to count costs an addition, and nothing is rendered before somebody asks.

``Metrics.snapshot`` gives them as values that can go to another process; snapshots of several add up (``totals``), and
``exposition`` renders them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from attrs import define, field, frozen
from zope.interface import implementer

from alluxio_s3.interfaces import IMetrics, ISpread, ITally

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
# A gauge of what several processes share: the greatest of theirs counts.
LEVEL = "level"
# What has a name only for a moment: for the dashboard, not for Prometheus. A sample's values add up one by one.
RANKING = "ranking"

Labels = tuple[str, ...]
T = TypeVar("T")


@frozen
class Sample:
    """The figure of some values of the labels: one number, or of a histogram those in each bucket (the last has no bound) and their sum."""

    labels: Labels
    values: tuple[float, ...]


@frozen
class Figures:
    """A metric as it stands. ``bounds`` are a histogram's."""

    name: str
    kind: str
    meaning: str
    labels: Labels
    samples: tuple[Sample, ...]
    bounds: tuple[float, ...] = ()


Snapshot = tuple[Figures, ...]


@implementer(ITally)
@define(eq=False)
class Tally:
    """See ``ITally``. Whoever is in a hurry adds to ``value``."""

    value: float = 0

    def add(self, amount: float = 1) -> None:
        """See ``ITally``."""
        self.value += amount

    def read(self) -> tuple[float, ...]:
        """As in ``Sample.values``."""
        return (self.value,)


@implementer(ISpread)
@define(eq=False)
class Spread:
    """See ``ISpread``. Whoever is in a hurry adds to ``counts`` and ``total``."""

    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """See ``ISpread``. A value that is a bound is below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def read(self) -> tuple[float, ...]:
        """As in ``Sample.values``."""
        return (*self.counts, self.total)


@define
class _Family(Generic[T]):
    """A metric by its labels."""

    name: str
    kind: str
    meaning: str
    labels: Labels
    make: Callable[[], T]
    read: Callable[[T], tuple[float, ...]]
    bounds: tuple[float, ...] = ()
    found: dict[Labels, T] = field(factory=dict)

    def of(self, *labels: str) -> T:
        """The figure of these values of the labels."""
        known = self.found.get(labels)
        if known is None:
            if len(labels) != len(self.labels):
                raise ValueError(f"{self.name} has the labels {', '.join(self.labels)}")
            known = self.found[labels] = self.make()
        return known

    def figures(self) -> Figures:
        """As it stands."""
        samples = tuple(Sample(labels, self.read(one)) for labels, one in self.found.items())
        return Figures(self.name, self.kind, self.meaning, self.labels, samples, self.bounds)


@implementer(IMetrics)
class Metrics:
    """See ``IMetrics``."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Family[Tally]] = {}
        self._spreads: dict[str, _Family[Spread]] = {}
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._levels: dict[str, tuple[str, Labels, Callable[[], Mapping[Labels, float]]]] = {}
        self._rankings: list[Callable[[], Figures]] = []

    def counter(self, name: str, meaning: str) -> Tally:
        """See ``IMetrics``."""
        return self.counters(name, meaning, ())()

    def counters(self, name: str, meaning: str, labels: Sequence[str]) -> Callable[..., Tally]:
        """See ``IMetrics``."""
        found = self._tallies.get(name)
        if found is None:
            self._check_new(name)
            found = self._tallies[name] = _Family(name, COUNTER, meaning, tuple(labels), Tally, Tally.read)
        if found.labels != tuple(labels):
            raise ValueError(f"there is a metric {name} already, with other labels")
        return found.of

    def histogram(self, name: str, meaning: str, bounds: Sequence[float]) -> Spread:
        """See ``IMetrics``."""
        return self.histograms(name, meaning, bounds, ())()

    def histograms(self, name: str, meaning: str, bounds: Sequence[float], labels: Sequence[str]) -> Callable[..., Spread]:
        """See ``IMetrics``."""
        limits = tuple(bounds)
        found = self._spreads.get(name)
        if found is None:
            self._check_new(name)
            if list(limits) != sorted(set(limits)):
                raise ValueError(f"the bounds of {name} do not ascend")
            found = _Family(name, HISTOGRAM, meaning, tuple(labels), lambda: Spread(limits), Spread.read, limits)
            self._spreads[name] = found
        if (found.labels, found.bounds) != (tuple(labels), limits):
            raise ValueError(f"there is a metric {name} already, with other labels or bounds")
        return found.of

    def gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """See ``IMetrics``."""
        self._check_new(name)
        self._gauges[name] = (meaning, read)

    def levels(self, name: str, meaning: str, read: Callable[[], Mapping[Labels, float]], labels: Sequence[str]) -> None:
        """See ``IMetrics``."""
        self._check_new(name)
        self._levels[name] = (meaning, tuple(labels), read)

    def ranking(self, read: Callable[[], Figures]) -> None:
        """Have ``read``, whose figures are of the kind ``RANKING``, in every snapshot."""
        self._rankings.append(read)

    def snapshot(self) -> Snapshot:
        """Everything as it stands."""
        families: Iterable[_Family[Any]] = (*self._tallies.values(), *self._spreads.values())
        gauges = (Figures(name, GAUGE, meaning, (), (Sample((), (float(read()),)),)) for name, (meaning, read) in self._gauges.items())
        levels = (
            Figures(name, LEVEL, meaning, labels, tuple(Sample(of, (float(value),)) for of, value in read().items()))
            for name, (meaning, labels, read) in self._levels.items()
        )
        return (*(family.figures() for family in families), *gauges, *levels, *(read() for read in self._rankings))

    def _check_new(self, name: str) -> None:
        if any(name in kind for kind in (self._tallies, self._spreads, self._gauges, self._levels)):
            raise ValueError(f"there is a metric {name} already")

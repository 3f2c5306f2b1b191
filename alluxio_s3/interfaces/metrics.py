"""What is counted. See the package for the rules that hold for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from zope.interface import Interface


class ITally(Interface):
    """A figure that only grows."""

    def add(amount: float = 1) -> None:
        """Add ``amount``, which is not negative."""


class ISpread(Interface):
    """A figure of which it matters how it is spread: durations, sizes."""

    def observe(value: float) -> None:
        """One more."""


class IMetrics(Interface):
    """The figures of this process that operators see. For the reactor's thread.

    Names, meanings and labels are literals where these are called: ``docs/metrics.md`` is printed from the calls. A name begins with
    ``alluxio_s3_`` and is as https://prometheus.io/docs/practices/naming/ has it (base units; counters end with ``_total``). Asking for a
    name again gives the same figure; with another kind or other labels, ValueError. What gives the figure for some values of the labels
    makes it at the first call: keep the figure, which is faster. There must be few different values.
    """

    def counter(name: str, meaning: str) -> ITally:
        """A figure that only grows."""

    def counters(name: str, meaning: str, labels: Sequence[str]) -> Callable[..., ITally]:
        """The same for each of several values of the labels, which what is returned takes (``str``, in that order)."""

    def histogram(name: str, meaning: str, bounds: Sequence[float]) -> ISpread:
        """A distribution over buckets with these upper bounds, ascending."""

    def histograms(name: str, meaning: str, bounds: Sequence[float], labels: Sequence[str]) -> Callable[..., ISpread]:
        """The same for each of several values of the labels."""

    def gauge(name: str, meaning: str, read: Callable[[], float]) -> None:
        """A figure that goes up and down: ``read`` tells it when it is asked for, without waiting. Those of several processes add up."""

    def levels(name: str, meaning: str, read: Callable[[], Mapping[tuple[str, ...], float]], labels: Sequence[str]) -> None:
        """A figure that goes up and down, of what all processes of a worker share: for each values of the labels the greatest counts."""


class IMeasured(Interface):
    """What has figures of its own."""

    def measure(metrics: IMetrics) -> None:
        """Keep them in ``metrics`` from now on. Called once, before the first request."""

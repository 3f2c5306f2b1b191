"""Figures in the text formats that Prometheus and its kin read."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from itertools import accumulate

from attrs import frozen
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

import twisted
from alluxio_s3 import __version__
from alluxio_s3.ops.metrics import COUNTER, GAUGE, LEVEL, RANKING, Figures, Snapshot

BUILD_MEANING = "What runs, by its versions."


@frozen(eq=False)
class _Shown(Collector):
    snapshot: Snapshot

    def collect(self) -> Iterator[Metric]:
        """See ``Collector``."""
        versions = {"version": __version__, "python": platform.python_version(), "twisted": twisted.__version__}
        yield InfoMetricFamily("alluxio_s3_build", BUILD_MEANING, versions)
        yield from (_family(one) for one in self.snapshot if one.kind != RANKING)


def render(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    """``snapshot`` in the format that the Accept header ``accept`` asks for, and that format's content type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Shown(snapshot))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _family(one: Figures) -> Metric:
    if one.kind == COUNTER:
        counter = CounterMetricFamily(one.name.removesuffix("_total"), one.meaning, labels=one.labels)
        for sample in one.samples:
            counter.add_metric(sample.labels, sample.values[0])
        return counter
    if one.kind in (GAUGE, LEVEL):
        gauge = GaugeMetricFamily(one.name, one.meaning, labels=one.labels)
        for sample in one.samples:
            gauge.add_metric(sample.labels, sample.values[0])
        return gauge
    histogram = HistogramMetricFamily(one.name, one.meaning, labels=one.labels)
    names = [*map(floatToGoString, one.bounds), "+Inf"]
    for sample in one.samples:
        histogram.add_metric(sample.labels, list(zip(names, accumulate(sample.values[:-1]), strict=True)), sample.values[-1])
    return histogram

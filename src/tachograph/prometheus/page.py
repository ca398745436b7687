"""What was counted -> the page that Prometheus scrapes.

In: the state of the traffic's families, a snapshot of our own health, the `Accept` of a request. Out: bytes and their
content type. Exemplars are only in OpenMetrics, as the older text format has no place for them.
What it must never know: how anything was counted, HTTP.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar as Shown
from prometheus_client.utils import floatToGoString

from tachograph.health import COUNTERS, GAUGES
from tachograph.prometheus.families import Family
from tachograph.prometheus.series import Cell
from tachograph.prometheus.traffic import Reading
from tachograph.version import VERSION

PREFIX = "tachograph_"
# About the page itself: (name, kind, label, meaning).
OWN: tuple[tuple[str, str, str, str], ...] = (
    ("tachograph_metric_series", "gauge", "metric", "series of a metric of the traffic"),
    (
        "tachograph_metric_series_folded_total",
        "counter",
        "metric",
        "observations that were counted under `other`, as the metric has all the series that it may have",
    ),
    ("tachograph_build_info", "gauge", "version", "always 1"),
)


def render(traffic: Sequence[Reading], health: Mapping[str, Any], accept: str | None) -> tuple[bytes, str]:
    """(the page, its content type): OpenMetrics for who accepts it, else the text format."""
    encode, content_type = choose_encoder(accept or "")
    return encode(_Told([*_traffic(traffic), *_health(health), *_own(traffic), *_process()])), content_type


class _Told(Collector):
    """The metrics of one scrape, in the shape that the encoders take."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _traffic(readings: Iterable[Reading]) -> Iterator[Metric]:
    for reading in readings:
        family = reading.family
        make = _histogram if family.bounds else _counter
        yield make(family, reading.cells)


def _counter(family: Family, cells: Iterable[tuple[Sequence[str], Cell]]) -> Metric:
    metric = CounterMetricFamily(family.name, family.meaning, labels=family.label_names, unit=family.unit)
    for key, cell in cells:
        metric.add_metric(key, cell.total / family.steps)
    return metric


def _histogram(family: Family, cells: Iterable[tuple[Sequence[str], Cell]]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.meaning, labels=family.label_names, unit=family.unit)
    ends: list[str] = [floatToGoString(end / family.steps) for end in (*family.bounds, math.inf)]  # type: ignore[no-untyped-call]
    for key, cell in cells:
        exemplars = [_exemplar(family, cell, bucket) for bucket in range(len(ends))]
        buckets: list[Any] = list(zip(ends, accumulate(cell.buckets), exemplars, strict=True))
        metric.add_metric(key, buckets, cell.total / family.steps)
    return metric


def _exemplar(family: Family, cell: Cell, bucket: int) -> Shown | None:
    found = cell.exemplars.get(bucket)
    if found is None:
        return None
    return Shown({"trace_id": found.trace_id}, found.value / family.steps, found.at_us / 1_000_000)


def _health(snapshot: Mapping[str, Any]) -> Iterator[Metric]:
    """What we count about ourselves. A counter without a label is there from the start, at 0."""
    for counter in COUNTERS:
        yield _labelled(CounterMetricFamily, PREFIX + counter.name, counter.meaning, counter.label, snapshot)
    for gauge in GAUGES:
        yield _labelled(GaugeMetricFamily, PREFIX + gauge.name, gauge.meaning, gauge.label, snapshot)


def _labelled(make: Any, name: str, meaning: str, label: str, snapshot: Mapping[str, Any]) -> Metric:
    metric: Metric = make(name, meaning, labels=[label] if label else [])
    value = snapshot[name.removeprefix(PREFIX)]
    for word, amount in value.items() if label else [("", value)]:
        metric.add_metric([word] if label else [], amount)  # type: ignore[attr-defined]
    return metric


def _own(readings: Sequence[Reading]) -> Iterator[Metric]:
    values = {
        "tachograph_metric_series": {reading.family.name: len(reading.cells) for reading in readings},
        "tachograph_metric_series_folded_total": {reading.family.name: reading.folded for reading in readings},
        "tachograph_build_info": {VERSION: 1},
    }
    for name, kind, label, meaning in OWN:
        make: Any = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
        metric = make(name, meaning, labels=[label])
        for word, value in values[name].items():
            metric.add_metric([word], value)
        yield metric


def _process() -> Iterable[Metric]:
    """Memory, processor time and open files of this process, where the system tells."""
    return ProcessCollector(registry=None).collect()

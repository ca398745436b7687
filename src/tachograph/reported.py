"""The GenAI metrics that services report about themselves: kept apart, never added to calls.

In: an OTLP metrics request. Out: one row for each data point with a number of a metric that tells of model traffic;
how many points there were.
What it must never know: SQL, the store.
Why apart: a service that sends spans and metrics says everything twice. Spans are the source of truth; what services
count themselves stands beside it, to be compared.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import DataPointFlags

from tachograph.flow import Refused

# Beginnings of the names of metrics that tell of model traffic.
NAMES = ("gen_ai.", "llm.", "claude_code.", "vllm:", "vllm.", "sglang:", "sglang.", "tgi_", "llamacpp:", "litellm")
# Labels that have a column of their own; the first that is there wins.
LABELS: Mapping[str, tuple[str, ...]] = {
    "provider": ("gen_ai.provider.name", "gen_ai.system"),
    "operation": ("gen_ai.operation.name",),
    "model": ("gen_ai.response.model", "gen_ai.request.model", "model_name", "model"),
    "token_type": ("gen_ai.token.type", "gen_ai.usage.token_type", "type"),
}
_TEMPORALITY = ("unspecified", "delta", "cumulative")
LABELS_MAX = 32
LABEL_CHARS_MAX = 256
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Points:
    """items: data points in the request. rows: those of them that are kept."""

    items: int
    rows: list[Row]


def read_points(body: bytes, received_at: datetime) -> Points:
    """What is in a request. Refused where it cannot be read."""
    try:
        request = ExportMetricsServiceRequest.FromString(body)
    except DecodeError as error:
        raise Refused("malformed", "the body is no metrics request of OTLP: it breaks off or is damaged") from error
    items, rows = 0, []
    for resource in request.resource_metrics:
        said = _labels(resource.resource.attributes)
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                points = list(_points(metric))
                items += len(points)
                if metric.name.startswith(NAMES):
                    rows += [_row(metric, found, said, received_at) for found in points if _says_something(found[2])]
    return Points(items, rows)


def _points(metric: Any) -> Iterator[tuple[str, int, Any]]:
    """(kind, temporality, data point)."""
    kind = metric.WhichOneof("data")
    if kind is None:
        return
    data = getattr(metric, kind)
    for point in data.data_points:
        yield kind, getattr(data, "aggregation_temporality", 0), point


def _says_something(point: Any) -> bool:
    """Whether the point has a number: a series that ended says so by a point without one, which is not a zero."""
    return not point.flags & _NO_VALUE and math.isfinite(_total(point))


_NO_VALUE = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK


def _row(metric: Any, found: tuple[str, int, Any], said: Mapping[str, str], received_at: datetime) -> Row:
    kind, temporality, point = found
    labels = _labels(point.attributes)
    columns = {column: _first(labels, names) for column, names in LABELS.items()}
    service, environment = said.get("service.name", ""), _first(said, _ENVIRONMENT)
    identity = json.dumps([metric.name, service, environment, sorted(labels.items()), said], sort_keys=True)
    seed = f"{identity} {point.time_unix_nano} {point.start_time_unix_nano}".encode()
    return {
        "time": point.time_unix_nano // 1000,
        "received_at": received_at,
        "metric": metric.name[:LABEL_CHARS_MAX],
        "unit": metric.unit[:LABEL_CHARS_MAX],
        "kind": kind,
        "temporality": _TEMPORALITY[temporality] if 0 <= temporality < len(_TEMPORALITY) else "unspecified",
        "service": service,
        "environment": environment,
        **columns,
        "labels": labels,
        "value": _total(point),
        "count": int(getattr(point, "count", 1)),
        "point_id": hashlib.sha256(seed).digest()[:16],
    }


_ENVIRONMENT = ("deployment.environment.name", "deployment.environment")


def _total(point: Any) -> float:
    """The number, or the sum of what was observed; nan where there is none."""
    if hasattr(point, "sum"):
        return float(point.sum)
    kind = point.WhichOneof("value")
    return float(getattr(point, kind)) if kind else math.nan


def _labels(attributes: Iterable[Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for attribute in attributes:
        kind = attribute.value.WhichOneof("value")
        if kind in ("string_value", "int_value", "double_value", "bool_value") and len(found) < LABELS_MAX:
            found[attribute.key[:LABEL_CHARS_MAX]] = str(getattr(attribute.value, kind))[:LABEL_CHARS_MAX]
    return found


def _first(labels: Mapping[str, str], names: Iterable[str]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")

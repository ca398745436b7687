"""Metrics of services are kept as they came, apart from calls: every kind of point, every label, and nothing else."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tachograph.capture.otlp.transcode import Transcoder
from tachograph.flow import Refused
from tachograph.reported import LABEL_CHARS_MAX, LABELS_MAX, Points, read_points

NOW = datetime(2026, 11, 20, tzinfo=UTC)
AT = 1_795_600_000_000_000_000
CORPUS = Path(__file__).parent / "corpus" / "otlp"
METRICS = sorted(path for path in CORPUS.rglob("*.metrics.json"))


def request(*metrics: dict[str, Any], resource: dict[str, str] | None = None) -> bytes:
    """A request, from metrics in OTLP's JSON."""
    said = [{"key": key, "value": {"stringValue": value}} for key, value in (resource or {}).items()]
    body = {"resourceMetrics": [{"resource": {"attributes": said}, "scopeMetrics": [{"metrics": list(metrics)}]}]}
    return Transcoder()("metrics", json.dumps(body).encode())


def point(value: dict[str, Any], labels: dict[str, Any] | None = None, at: int = AT) -> dict[str, Any]:
    kinds = {str: "stringValue", int: "intValue", float: "doubleValue", bool: "boolValue", list: "arrayValue"}
    attributes = [{"key": key, "value": {kinds[type(label)]: label}} for key, label in (labels or {}).items()]
    return {"timeUnixNano": str(at), "startTimeUnixNano": str(AT - 60), "attributes": attributes, **value}


def histogram(name: str, *points: dict[str, Any], temporality: int = 2) -> dict[str, Any]:
    return {
        "name": name,
        "unit": "{token}",
        "histogram": {"aggregationTemporality": temporality, "dataPoints": list(points)},
    }


def read(*metrics: dict[str, Any], **more: Any) -> Points:
    return read_points(request(*metrics, **more), NOW)


def test_each_kind_of_metric_is_one_row_a_point() -> None:
    counted = {"count": "7", "sum": 700.5, "bucketCounts": ["3", "4"], "explicitBounds": [10.0]}
    spread = {"count": "5", "sum": 50.0, "scale": 2, "zeroCount": "1", "positive": {"offset": 1, "bucketCounts": ["4"]}}
    quantiles = {"count": "9", "sum": 90.0, "quantileValues": [{"quantile": 0.5, "value": 8.0}]}
    found = read(
        histogram("gen_ai.client.token.usage", point(counted), temporality=1),
        {
            "name": "gen_ai.client.operation.duration",
            "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [point(spread)]},
        },
        {
            "name": "claude_code.token.usage",
            "sum": {"aggregationTemporality": 1, "isMonotonic": True, "dataPoints": [point({"asInt": "12"})]},
        },
        {"name": "vllm:num_requests_running", "gauge": {"dataPoints": [point({"asDouble": 3.5})]}},
        {"name": "llm.latency", "summary": {"dataPoints": [point(quantiles)]}},
    )
    rows = [(row["kind"], row["temporality"], row["value"], row["count"]) for row in found.rows]
    assert rows == [
        ("histogram", "delta", 700.5, 7),
        ("exponential_histogram", "cumulative", 50.0, 5),
        ("sum", "delta", 12.0, 1),
        ("gauge", "unspecified", 3.5, 1),
        ("summary", "unspecified", 90.0, 9),
    ]
    assert found.items == 5


def test_a_point_says_when_where_and_of_what_it_is() -> None:
    labels = {
        "gen_ai.provider.name": "openai",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.response.model": "gpt-5-2025-08-07",
        "gen_ai.token.type": "input",
        "server.port": 443,
        "beta": True,
        "rate": 0.5,
    }
    found = read(
        histogram("gen_ai.client.token.usage", point({"count": "1", "sum": 9.0}, labels)),
        resource={"service.name": "shop", "deployment.environment.name": "prod"},
    )
    (row,) = found.rows
    assert (row["time"], row["received_at"]) == (AT // 1000, NOW)
    assert (row["metric"], row["unit"]) == ("gen_ai.client.token.usage", "{token}")
    assert (row["service"], row["environment"]) == ("shop", "prod")
    assert (row["provider"], row["operation"], row["model"]) == ("openai", "chat", "gpt-5-2025-08-07")
    assert row["token_type"] == "input"
    assert row["labels"] == {key: str(value) for key, value in labels.items()}


TYPES = {
    # Envoy AI Gateway: subsets of the input and the output.
    "envoy": ("gen_ai.token.type", ["input", "output", "cached_input", "cache_creation_input", "reasoning"]),
    "openlit": ("gen_ai.token.type", ["input", "output", "reasoning"]),
    "spring_ai": ("gen_ai.token.type", ["input", "output", "total"]),
    "older_conventions": ("gen_ai.token.type", ["input", "completion"]),
    "openllmetry_litellm": ("gen_ai.usage.token_type", ["input", "output"]),
    "claude_code": ("type", ["input", "output", "cacheRead", "cacheCreation"]),
}


@pytest.mark.parametrize("emitter", sorted(TYPES))
def test_token_types_that_are_subsets_stay_apart(emitter: str) -> None:
    label, words = TYPES[emitter]
    points = [point({"count": "1", "sum": float(n)}, {label: word}) for n, word in enumerate(words, 1)]
    found = read(histogram("gen_ai.client.token.usage", *points))
    assert [(row["token_type"], row["value"]) for row in found.rows] == [(w, float(n)) for n, w in enumerate(words, 1)]
    assert len({row["point_id"] for row in found.rows}) == len(words)


def test_spring_counts_tokens_with_a_counter() -> None:
    points = [
        point({"asDouble": value}, {"gen_ai.token.type": word, "gen_ai.system": "anthropic"})
        for word, value in (("input", 1000.0), ("output", 50.0), ("total", 1050.0))
    ]
    found = read({"name": "gen_ai.client.token.usage", "sum": {"aggregationTemporality": 2, "dataPoints": points}})
    assert [(row["kind"], row["token_type"], row["value"]) for row in found.rows] == [
        ("sum", "input", 1000.0),
        ("sum", "output", 50.0),
        ("sum", "total", 1050.0),
    ]
    assert {row["provider"] for row in found.rows} == {"anthropic"}


def test_metrics_of_others_are_counted_and_not_kept() -> None:
    found = read(
        {
            "name": "http.server.duration",
            "sum": {"dataPoints": [point({"asInt": "1"}), point({"asInt": "2"}, at=AT + 1)]},
        },
        {"name": "gen_ai.server.time_to_first_token", "gauge": {"dataPoints": [point({"asDouble": 0.2})]}},
        {"name": "genaissance", "gauge": {"dataPoints": [point({"asDouble": 1.0})]}},
        {"name": "gen_ai.nothing"},
    )
    assert (found.items, [row["metric"] for row in found.rows]) == (4, ["gen_ai.server.time_to_first_token"])


def test_the_same_point_has_the_same_id_and_another_one_has_not() -> None:
    def ids(**more: Any) -> list[bytes]:
        labels = more.pop("labels", {"gen_ai.token.type": "input"})
        metric = histogram("gen_ai.client.token.usage", point({"count": "1", "sum": 9.0}, labels, **more))
        return [row["point_id"] for row in read(metric).rows]

    assert ids() == ids()
    assert ids() != ids(at=AT + 1)
    assert ids() != ids(labels={"gen_ai.token.type": "output"})
    elsewhere = read(
        histogram("gen_ai.client.token.usage", point({"count": "1", "sum": 9.0}, {"gen_ai.token.type": "input"})),
        resource={"service.instance.id": "2"},
    )
    assert ids() != [row["point_id"] for row in elsewhere.rows]


def test_labels_are_bounded() -> None:
    labels = {f"label{n}": "x" * 1000 for n in range(100)}
    (row,) = read(histogram("gen_ai.x", point({"count": "1", "sum": 1.0}, labels))).rows
    assert len(row["labels"]) == LABELS_MAX
    assert {len(value) for value in row["labels"].values()} == {LABEL_CHARS_MAX}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_not_kept_as_one(value: float) -> None:
    metric = {
        "name": "gen_ai.x",
        "gauge": {"dataPoints": [point({"asDouble": str(value).replace("inf", "Infinity").replace("nan", "NaN")})]},
    }
    found = read(metric)
    assert (found.items, found.rows) == (1, [])


def test_a_point_without_a_value_is_not_a_zero() -> None:
    missing = point({"flags": 1})  # FLAG_NO_RECORDED_VALUE: the series ended
    found = read({"name": "gen_ai.x", "gauge": {"dataPoints": [missing]}}, histogram("gen_ai.y", missing))
    assert (found.items, found.rows) == (2, [])


@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"\x0a\x05ab", b"not otlp"])
def test_an_unreadable_body_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read_points(body, NOW)
    assert refused.value.reason == "malformed"
    assert "\n" not in str(refused.value)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        found = read_points(body, NOW)
    except Refused:
        return
    assert found.items >= len(found.rows)


def test_nothing_is_in_nothing() -> None:
    assert read_points(ExportMetricsServiceRequest().SerializeToString(), NOW) == Points(0, [])


@pytest.mark.parametrize("path", METRICS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_metrics_of_real_packages_are_kept_and_are_no_calls(path: Path) -> None:
    content = json.loads(path.read_text("utf-8"))
    assert json.loads(path.with_name(path.stem + ".expected.json").read_text("utf-8"))["calls"] == []
    transcode = Transcoder()
    found = [read_points(transcode("metrics", json.dumps(one).encode()), NOW) for one in content["requests"]]
    rows = [row for points in found for row in points.rows]
    assert rows
    names = {row["metric"] for row in rows}
    assert all(row["token_type"] for row in rows if row["metric"] == "gen_ai.client.token.usage"), names
    assert all(math.isfinite(row["value"]) and row["count"] >= 0 for row in rows)

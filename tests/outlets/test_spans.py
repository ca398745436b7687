"""Calls in the user's own OpenTelemetry SDK: the same Call comes out of it, in the trace in which it was made."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.dialects.reading import Desk

from tachograph.call import Call, to_dict
from tachograph.dialects.reading import SpanReader
from tachograph.dialects.rules import SpanLimits
from tachograph.normalise import price
from tachograph.outlets.sending import Sender
from tachograph.outlets.spans import Spans
from tachograph.pricing import price_book

BEGAN = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)


def streamed(**fields: Any) -> Call:
    said: dict[str, Any] = {
        **{"call_id": "0" * 31 + "7", "started_at": BEGAN, "provider": "openai", "operation": "chat"},
        **{"request_model": "gpt-4o", "response_model": "gpt-4o-2024-08-06", "model": "gpt-4o-2024-08-06"},
        **{"duration_ms": 1500.25, "ttft_ms": 250.125, "streamed": True, "chunks": 5, "itl_max_ms": 16.0},
        **{"itl_buckets": [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3], "finish_reason": "stop"},
        **{"input_uncached": 80, "cache_read": 20, "input_tokens": 100, "output_visible": 10, "output_tokens": 10},
        **{"total_tokens": 110, "usage_source": "reported", "usage_basis": "inclusive", "tags": {"a": "b"}},
        **{"service": "shop", "team": "search", "api": "openai.chat", "status": 200, "source": "sdk 0.1 httpx"},
    }
    return Call(**{**said, **fields})


class Theirs:
    """Providers as a user sets them up."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.traces = TracerProvider(resource=Resource({"service.name": "shop"}))
        self.traces.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])

    def outlet(self, **options: Any) -> Spans:
        return Spans(tracer_provider=self.traces, meter_provider=self.meters, **options)

    def points(self) -> dict[str, list[Any]]:
        data = self.reader.get_metrics_data()
        found = data.resource_metrics[0].scope_metrics[0].metrics if data else []
        return {metric.name: list(metric.data.data_points) for metric in found}


@pytest.fixture
def theirs() -> Iterator[Theirs]:
    found = Theirs()
    yield found
    found.traces.shutdown()
    found.meters.shutdown()


def test_the_span_lies_in_the_trace_in_which_the_call_was_made(theirs: Theirs) -> None:
    sender = Sender(theirs.outlet(), name="spans", flush_seconds=0.01)
    with theirs.traces.get_tracer("app").start_as_current_span("request") as current:
        inside = current.get_span_context()
    call = streamed(trace_id=f"{inside.trace_id:032x}", parent_span_id=f"{inside.span_id:016x}")
    with theirs.traces.get_tracer("app").start_as_current_span("something else"):
        sender.offer(call)
        sender.offer(streamed())
        assert sender.flush(5)
    sender.close()
    by_name: dict[str, list[Any]] = {}
    for span in theirs.exporter.get_finished_spans():
        by_name.setdefault(span.name, []).append(span)
    below, alone = by_name["chat gpt-4o"]
    assert (below.context.trace_id, below.parent.span_id) == (inside.trace_id, inside.span_id)
    assert alone.parent is None
    assert below.kind is trace.SpanKind.CLIENT
    assert below.status.status_code is trace.StatusCode.UNSET
    assert below.instrumentation_scope.name == "tachograph"
    began = BEGAN - datetime(1970, 1, 1, tzinfo=UTC)
    assert below.start_time == began // timedelta(microseconds=1) * 1000
    assert below.end_time - below.start_time == 1_500_250_000


def test_a_failure_is_one(theirs: Theirs) -> None:
    failed = streamed(outcome="error", error_type="rate_limited", error_code="rate_limit_exceeded", status=429)
    theirs.outlet().write([failed, streamed(outcome="aborted", error_type="cancelled")], "")
    error, aborted = theirs.exporter.get_finished_spans()
    assert error.status.status_code is trace.StatusCode.ERROR
    assert error.attributes is not None
    assert error.attributes["error.type"] == "rate_limited"
    assert aborted.status.status_code is trace.StatusCode.UNSET


def test_the_older_attributes_are_there_when_they_are_asked_for(theirs: Theirs) -> None:
    theirs.outlet().write([streamed()], "")
    theirs.outlet(legacy=True).write([streamed()], "")
    new, old = (dict(span.attributes or {}) for span in theirs.exporter.get_finished_spans())
    assert {name: value for name, value in old.items() if name not in new} == {
        "llm.vendor": "openai",
        "llm.model": "gpt-4o-2024-08-06",
        "llm.request_tokens": 100,
        "llm.response_tokens": 10,
        "llm.latency": 1500.25,
    }


def test_the_metrics_of_the_conventions(theirs: Theirs) -> None:
    outlet = theirs.outlet()
    outlet.write([streamed(), streamed(outcome="error", error_type="timeout", usage_source="missing")], "")
    points = theirs.points()
    tokens = {point.attributes["gen_ai.token.type"]: point for point in points["gen_ai.client.token.usage"]}
    assert (tokens["input"].sum, tokens["output"].sum, tokens["input"].count) == (100, 10, 1)
    assert list(tokens["input"].explicit_bounds)[:4] == [1, 4, 16, 64]
    assert list(tokens["input"].explicit_bounds)[-1] == 67108864
    durations = {point.attributes.get("error.type"): point for point in points["gen_ai.client.operation.duration"]}
    assert durations[None].sum == durations["timeout"].sum == 1.50025
    assert list(durations[None].explicit_bounds)[-1] == 81.92
    (first,) = points["gen_ai.client.operation.time_to_first_chunk"]
    assert (first.sum, first.count) == (0.50025, 2)
    assert first.explicit_bounds == durations[None].explicit_bounds
    (each,) = points["gen_ai.client.operation.time_per_output_chunk"]
    assert each.count == 8
    assert each.max == pytest.approx(0.0147, rel=0.01)
    assert each.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
    }


def test_without_metrics_there_are_none(theirs: Theirs) -> None:
    theirs.outlet(metrics=False).write([streamed()], "")
    assert theirs.points() == {}


def test_a_collector_of_ours_behind_it_gets_the_same_call(theirs: Theirs) -> None:
    book = price_book()
    sent = [streamed(call_id=f"{place:032x}", tags={"n": str(place)}) for place in range(1, 4)]
    for call in sent:
        price(call, book)
    theirs.outlet(legacy=True).write(sent, "")
    body = encode_spans(theirs.exporter.get_finished_spans()).SerializeToString()
    found = Desk(SpanReader(SpanLimits()), book).calls("traces", [body])
    aside = ("trace_id", "span_id", "parent_span_id", "received_at")
    for mine, theirs_ in zip(sent, found, strict=True):
        told, kept = to_dict(mine), to_dict(theirs_)
        assert {name: (told[name], kept[name]) for name in told if told[name] != kept[name] and name not in aside} == {}


def test_where_nobody_set_up_an_sdk_it_says_so() -> None:
    script = """if True:
        from tachograph.call import Call
        from tachograph.flow import Refused
        from tachograph.outlets.spans import Spans
        outlet = Spans()
        try:
            outlet.write([Call()], "")
        except Refused as refused:
            print(refused.reason)
        from opentelemetry.metrics import set_meter_provider
        from opentelemetry.sdk.metrics import MeterProvider
        set_meter_provider(MeterProvider())
        print(outlet.write([Call()], ""))
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["no_sdk", "1"]


def test_without_opentelemetry_it_says_so_in_one_line() -> None:
    script = """
        import sys
        sys.modules["opentelemetry"] = None
        from tachograph.outlets.spans import Spans
        try:
            Spans()
        except ImportError as error:
            print(error)
    """
    words = [sys.executable, "-c", "\n".join(line.strip("\n")[8:] for line in script.splitlines())]
    ran = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
    assert ran.stdout.splitlines() == [
        "spans cannot be written: OpenTelemetry is not installed here: pip install opentelemetry-sdk"
    ]


def test_threads_are_left_as_they_were(theirs: Theirs) -> None:
    outlet = theirs.outlet()
    before = threading.active_count()
    outlet.write([streamed()], "")
    outlet.close()
    assert threading.active_count() == before

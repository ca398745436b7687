"""What holds for all spans, whatever is in them."""

from __future__ import annotations

import dataclasses
import json
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from tests.dialects.reading import NOW, Desk

from tachograph.call import INPUT_PARTS, MODALITY_PARTS, OUTPUT_PARTS, Call, derive_id
from tachograph.dialects import DIALECTS
from tachograph.dialects.numbering import numbering
from tachograph.flow.batch import from_batch, to_batch
from tachograph.normalise import Circumstances
from tachograph.normalise.spans import from_spans

DESK = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NS = 1_000_000_000
START = 1_795_600_000 * NS
BROKEN = "@broken@"  # stands for bytes that are no UTF-8
KEYS = sorted(numbering(DIALECTS).keys)
SCOPES = [*sorted({scope for dialect in DIALECTS for scope in dialect.scopes}), "", "acme", "aiml", "gen_ai_tools"]
MARKS = sorted({mark for dialect in DIALECTS for mark in dialect.markers})
PREFIXES = sorted({prefix for dialect in DIALECTS for prefix in dialect.tags})
OPERATIONS = sorted({word for dialect in DIALECTS for word in (*dialect.operations, *dialect.rollups)})

words = st.sampled_from(["", "none", "true", "False", "gpt-5", "openai", "RateLimitError", "429", BROKEN, "ü" * 300])
texts = words | st.text(max_size=20) | st.sampled_from(['{"input": 3}', '"\\"7\\""', "[1, 2]", '{"intValue": 5}', "{"])
numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 5000) | st.integers(0, 10**13)


def any_value(value: Any) -> AnyValue:
    """A Python value as OTLP writes it; None: a value that says nothing."""
    found = AnyValue()
    if isinstance(value, list):
        found.array_value.values.extend(any_value(item) for item in value)
        found.array_value.SetInParent()
    elif isinstance(value, dict):
        found.kvlist_value.values.extend(KeyValue(key=key, value=any_value(item)) for key, item in value.items())
        found.kvlist_value.SetInParent()
    elif value is not None:
        kinds = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value", bytes: "bytes_value"}
        setattr(found, kinds[type(value)], value)
    return found


simple = st.none() | st.booleans() | numbers | st.floats() | texts | st.binary(max_size=12)
values = st.recursive(
    simple, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
names = st.one_of(
    st.sampled_from(KEYS),
    st.sampled_from(MARKS),
    st.sampled_from(PREFIXES).flatmap(lambda prefix: texts.map(lambda rest: prefix + rest)),
    texts,
)
ids = st.sampled_from([b"", b"\0" * 8, b"\1" * 7, b"\1" * 16]) | st.binary(min_size=8, max_size=8)
traces = st.sampled_from([b"", b"\0" * 16, b"\2" * 8]) | st.binary(min_size=16, max_size=16)
times = st.sampled_from([0, 1, NS - 1, 2**63, 2**64 - 1, START]) | st.integers(START, START + 100 * NS)


@dataclasses.dataclass(frozen=True)
class Span:
    trace: bytes
    id: bytes
    parent: bytes
    scope: str
    resource: dict[str, str]
    kind: int
    start: int
    end: int
    status: int
    attributes: list[tuple[str, Any]]
    events: list[tuple[str, int, dict[str, Any]]]


# Half of them pass for calls, so that what is odd about them is looked at.
attribute_lists = st.builds(
    lambda operation, rest: operation + rest,
    st.sampled_from([[], [("gen_ai.operation.name", "chat"), ("langfuse.observation.type", "generation")]]),
    st.lists(st.tuples(names, values), max_size=14),
)
odd_spans = st.builds(
    Span,
    trace=traces | st.just(b"\2" * 16),
    id=ids | st.binary(min_size=8, max_size=8),
    parent=ids,
    scope=st.sampled_from(SCOPES) | texts,
    resource=st.dictionaries(st.sampled_from(["service.name", "team", "telemetry.sdk.name", ""]), texts, max_size=2),
    kind=st.integers(0, 9),
    start=times | st.just(START),
    end=times,
    status=st.integers(0, 3),
    attributes=attribute_lists,
    events=st.lists(
        st.tuples(
            st.sampled_from(["exception", "ai.stream.firstChunk", ""]),
            times,
            st.dictionaries(st.sampled_from(["exception.type", "x"]), values, max_size=2),
        ),
        max_size=2,
    ),
)

counts = st.none() | st.integers(0, 5000) | st.sampled_from([0, 200_001, 10**9, 10**12])
SAID: dict[str, st.SearchStrategy[Any]] = {
    "gen_ai.operation.name": st.sampled_from([*OPERATIONS, "chat", "chat", "chat"]),
    "gen_ai.provider.name": st.sampled_from(["openai", "anthropic", "aws.bedrock", "gcp.gemini", "deepseek", "vllm"]),
    "gen_ai.request.model": st.sampled_from(
        ["gpt-5", "gpt-5-mini", "gpt-realtime", "claude-sonnet-4-5", "gemini-2.5-pro", "deepseek-v4-flash", "nobody's"]
    ),
    "gen_ai.response.id": st.uuids().map(str),
    "gen_ai.usage.input_tokens": counts,
    "gen_ai.usage.output_tokens": counts,
    "gen_ai.usage.cache_read.input_tokens": counts,
    "gen_ai.usage.cache_write.input_tokens": counts,
    "gen_ai.usage.total_tokens": counts,
    "gen_ai.usage.reasoning.output_tokens": counts,
    "tachograph.usage.cache_write_5m": counts,
    "tachograph.usage.cache_write_1h": counts,
    "gen_ai.usage.audio.input_tokens": counts,
    "gen_ai.usage.image.output_tokens": counts,
    "openai.response.service_tier": st.sampled_from([None, None, "flex", "priority", "batch"]),
    "tachograph.speed": st.sampled_from([None, None, "fast"]),
    "error.type": st.sampled_from([None, None, "429"]),
}
plain_spans = st.builds(
    Span,
    trace=st.binary(min_size=16, max_size=16).filter(any),
    id=st.binary(min_size=8, max_size=8).filter(any),
    parent=st.sampled_from([b"", b"\1" * 8]),
    scope=st.sampled_from(SCOPES),
    resource=st.sampled_from([{}, {"service.name": "shop", "team": "search"}, {"service.name": "ai-gateway"}]),
    kind=st.sampled_from([1, 3]),
    start=st.integers(START, START + 40 * 86_400 * NS),
    end=st.just(START + 50 * 86_400 * NS),
    status=st.sampled_from([0, 2]),
    attributes=st.fixed_dictionaries(SAID).map(lambda said: [(k, v) for k, v in said.items() if v is not None]),
    events=st.just([]),
)
batches = st.lists(plain_spans, min_size=1, max_size=25, unique_by=lambda span: span.id)


def body(spans: Sequence[Span], signal: str = "traces") -> bytes:
    """One request. In a log record stands what a span has, as far as it has a place."""
    traced = ExportTraceServiceRequest() if signal == "traces" else ExportLogsServiceRequest()
    for span in spans:
        resource = traced.resource_spans.add() if signal == "traces" else traced.resource_logs.add()
        for name, value in span.resource.items():
            resource.resource.attributes.add(key=name, value=any_value(value))
        scope = resource.scope_spans.add() if signal == "traces" else resource.scope_logs.add()
        scope.scope.name = span.scope
        found = scope.spans.add() if signal == "traces" else scope.log_records.add()
        found.trace_id, found.span_id = span.trace, span.id
        for name, value in span.attributes:
            found.attributes.add(key=name, value=any_value(value))
        if signal == "traces":
            _time(found, span)
        else:
            found.time_unix_nano, found.observed_time_unix_nano = span.start, span.end
            found.event_name = span.events[0][0] if span.events else ""
    return traced.SerializeToString().replace(BROKEN.encode(), b"\xff\xfe\xc3(\xed\xa0\x80x")


def _time(found: Any, span: Span) -> None:
    found.parent_span_id, found.kind, found.status.code = span.parent, span.kind, span.status
    found.start_time_unix_nano, found.end_time_unix_nano = span.start, span.end
    for name, at, attributes in span.events:
        event = found.events.add(name=name, time_unix_nano=at)
        for key, value in attributes.items():
            event.attributes.add(key=key, value=any_value(value))


def by_id(calls: Sequence[Call]) -> dict[str, Call]:
    return {call.call_id: call for call in calls}


@DESK
@given(batches, st.data())
def test_any_split_over_requests_and_batches_gives_the_same_calls(
    desk: Desk, spans: list[Span], data: st.DataObject
) -> None:
    whole = by_id(desk.calls("traces", [body(spans)]))
    order = data.draw(st.permutations(spans))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(spans)), max_size=4)))
    pieces = [
        order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)
    ]  # some of them are empty
    as_requests = by_id(desk.calls("traces", [body(piece) for piece in pieces]))
    as_batches = {}
    for piece in pieces:
        as_batches |= by_id(desk.calls("traces", [body(piece)]))
    assert as_requests == whole
    assert as_batches == whole


@DESK
@given(batches, st.data())
def test_the_order_of_attributes_does_not_matter(desk: Desk, spans: list[Span], data: st.DataObject) -> None:
    shuffled = [dataclasses.replace(span, attributes=data.draw(st.permutations(span.attributes))) for span in spans]
    one, other = (by_id(desk.calls("traces", [body(each)])) for each in (spans, shuffled))
    assert {key: _ordered(call) for key, call in one.items()} == {key: _ordered(call) for key, call in other.items()}


def _ordered(call: Call) -> Call:
    return dataclasses.replace(call, usage_raw=json.dumps(json.loads(call.usage_raw or "{}"), sort_keys=True))


@DESK
@given(batches, st.dictionaries(st.text(min_size=1, max_size=12).map("acme.".__add__), values, max_size=5))
def test_attributes_of_others_change_nothing(desk: Desk, spans: list[Span], others: dict[str, Any]) -> None:
    more = [dataclasses.replace(span, attributes=[*others.items(), *span.attributes]) for span in spans]
    assert by_id(desk.calls("traces", [body(more)])) == by_id(desk.calls("traces", [body(spans)]))


@DESK
@given(batches)
def test_of_a_name_that_is_there_twice_the_first_counts(desk: Desk, spans: list[Span]) -> None:
    twice = [
        dataclasses.replace(span, attributes=[*span.attributes, ("gen_ai.response.id", "later")]) for span in spans
    ]
    assert by_id(desk.calls("traces", [body(twice)])) == by_id(desk.calls("traces", [body(spans)]))


@settings(parent=DESK, max_examples=40)
@given(st.lists(odd_spans, max_size=12), st.sampled_from(["traces", "logs"]))
@example([], "traces")
@example([], "logs")
def test_whatever_comes_is_read(desk: Desk, spans: list[Span], signal: str) -> None:
    _is_read(desk, spans, signal)


def test_tags_take_the_memory_of_tags(desk: Desk) -> None:
    """Tags share one number, the largest of all: facts are kept of the numbers that are there, not of all below it."""
    traced = ExportTraceServiceRequest()
    spans = traced.resource_spans.add().scope_spans.add().spans
    for number in range(2000):
        span = spans.add(trace_id=b"\1" * 16, span_id=number.to_bytes(8), start_time_unix_nano=START)
        span.attributes.add(key="traceloop.association.properties.run", value=any_value("night"))
        if number % 2:
            span.attributes.add(key="gen_ai.operation.name", value=any_value("chat"))
    tracemalloc.start()
    try:
        calls = desk.calls("traces", [traced.SerializeToString()])
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert {call.tags["run"] for call in calls} == {"night"} and len(calls) == 1000
    assert peak_bytes < 64 * 2**20


@pytest.mark.long
@settings(parent=DESK, max_examples=600)
@given(st.lists(odd_spans, max_size=20), st.sampled_from(["traces", "logs"]))
def test_whatever_comes_is_read_for_a_minute(desk: Desk, spans: list[Span], signal: str) -> None:
    _is_read(desk, spans, signal)


def _is_read(desk: Desk, spans: list[Span], signal: str) -> None:
    found = desk.spans(signal, [body(spans, signal)])
    assert len(found.verdict) == len(spans)
    calls = desk.completed(found)
    assert len(calls) == len(found.calls)
    for call in calls:
        _holds(call)


@DESK
@given(batches)
def test_parts_are_disjoint_and_their_sum_is_the_whole(desk: Desk, spans: list[Span]) -> None:
    for call in desk.calls("traces", [body(spans)]):
        _holds(call)


def _holds(call: Call) -> None:
    for whole, parts in (("input_tokens", INPUT_PARTS), ("output_tokens", OUTPUT_PARTS)):
        known = [count for part in parts if (count := getattr(call, part)) is not None]
        assert all(count >= 0 for count in known)
        assert getattr(call, whole) == (sum(known) if known else None)
    for part in MODALITY_PARTS:
        assert getattr(call, part) is None or getattr(call, part) >= 0
    assert call.duration_ms is None or call.duration_ms >= 0
    assert call.ttft_ms is None or call.ttft_ms >= 0
    assert call.cost_usd is None or call.cost_usd >= 0
    assert (call.outcome == "ok") == (call.error_type is None)
    json.loads(call.usage_raw or "{}")
    assert call.started_at > datetime(1970, 1, 1, tzinfo=UTC)


@DESK
@given(batches)
def test_ids_are_those_of_calls_built_singly(desk: Desk, spans: list[Span]) -> None:
    for call in desk.calls("traces", [body(spans)]):
        assert call.call_id == derive_id(call.started_at, bytes.fromhex(f"{call.trace_id}{call.span_id}"))


@settings(parent=DESK, max_examples=20)
@given(st.lists(odd_spans | plain_spans, max_size=12))
def test_columns_are_what_calls_built_singly_give(desk: Desk, spans: list[Span]) -> None:
    batch = from_spans(desk.spans("traces", [body(spans)]), desk.book, Circumstances(NOW, "otlp"))
    batch.validate(full=True)
    assert pa.Table.from_batches([to_batch(from_batch(batch))]).equals(pa.Table.from_batches([batch]))


UNPRICED: dict[str, Any] = {"cost_usd": None, "cost_source": None, "price_id": None, "price_status": "unknown_usage"}


@settings(parent=DESK, max_examples=20)
@given(batches)
def test_charges_are_those_of_the_price_book(desk: Desk, spans: list[Span]) -> None:
    for call in desk.calls("traces", [body(spans)]):
        charge = desk.book.charge(dataclasses.replace(call, flags=(), **UNPRICED))
        said = (call.cost_usd, call.cost_source, call.price_id, call.price_status)
        assert said == (charge.cost_usd, charge.cost_source, charge.price_id, charge.price_status)
        assert call.model == (charge.model or call.response_model or call.request_model)
        assert set(charge.flags) <= set(call.flags)
        assert not (set(call.flags) - set(charge.flags)) & PRICE_FLAGS


PRICE_FLAGS = {"modality_unpriced", "cost_out_of_range", "iteration_unpriced", "tier_unpriced", "price_derived"}

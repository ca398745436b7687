"""The load of the collector's benchmark is what it claims to be, or its figures mean nothing."""

from __future__ import annotations

import re
import time

from benchmarks.collector_load import ATTRIBUTES, SPANS, Bodies
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def spans(body: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    return [span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans]


def value(span: Span, key: str) -> str:
    return next((each.value.string_value for each in span.attributes if each.key == key), "")


def test_each_request_holds_what_is_said() -> None:
    found = spans(bytes(Bodies(1).next()))
    assert len(found) == SPANS
    assert {len(span.attributes) for span in found} == {ATTRIBUTES}
    assert all(0 < span.end_time_unix_nano - span.start_time_unix_nano < 600 * 10**9 for span in found)
    assert all(abs(span.end_time_unix_nano - time.time_ns()) < 60 * 10**9 for span in found)
    assert sum(span.status.code == 2 for span in found) == sum(bool(value(span, "error.type")) for span in found) > 0


def test_no_two_requests_share_an_id() -> None:
    bodies = Bodies(2)
    built = [bytes(bodies.next()) for _ in range(3)]
    assert not any(re.search(rb"@[TSPBERC]\d{6}", body) for body in built)
    found = [span for body in built for span in spans(body)]
    answered = [value(span, "gen_ai.response.id") for span in found if value(span, "gen_ai.response.id")]
    assert len({span.span_id for span in found}) == len(found)
    assert len(set(answered)) == len(answered) > 0.9 * len(found)
    traces = [{span.trace_id for span in spans(body)} for body in built]
    assert len(set.union(*traces)) == sum(map(len, traces)) < len(found)


def test_spans_of_one_trace_are_below_one_span_that_is_not_sent() -> None:
    found = spans(bytes(Bodies(3).next()))
    below = {}
    for span in found:
        if span.parent_span_id:
            below.setdefault(span.trace_id, set()).add(span.parent_span_id)
    assert below
    assert {len(parents) for parents in below.values()} == {1}
    assert not set.union(*below.values()) & {span.span_id for span in found}

"""JSON of every spelling equals the protobuf that it says; what is not OTLP is refused with its path."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tachograph.capture.otlp.transcode import Transcoder
from tachograph.flow import Refused

TRANSCODE = Transcoder()
REQUESTS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
STAMP = st.integers(0, 2**64 - 1)
COUNT = st.integers(0, 2**32 - 1)


def any_values(depth: int = 2) -> st.SearchStrategy[AnyValue]:
    plain = (
        st.builds(AnyValue, string_value=TEXT)
        | st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1))
        | st.builds(AnyValue, double_value=st.floats(allow_nan=False))
        | st.builds(AnyValue, bool_value=st.booleans())
        | st.builds(AnyValue, bytes_value=st.binary(max_size=9))
        | st.builds(AnyValue)
    )
    if not depth:
        return plain
    values = st.lists(any_values(depth - 1), max_size=3)
    pairs = st.lists(st.builds(KeyValue, key=TEXT, value=any_values(depth - 1)), max_size=3)
    return (
        plain
        | st.builds(AnyValue, array_value=st.builds(ArrayValue, values=values))
        | st.builds(AnyValue, kvlist_value=st.builds(KeyValueList, values=pairs))
    )


ATTRIBUTES = st.lists(st.builds(KeyValue, key=TEXT, value=any_values()), max_size=4)
TRACE_ID, SPAN_ID = st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8)
SPANS = st.builds(
    Span,
    trace_id=TRACE_ID,
    span_id=SPAN_ID,
    parent_span_id=SPAN_ID | st.just(b""),
    trace_state=TEXT,
    name=TEXT,
    kind=st.integers(0, 5),
    start_time_unix_nano=STAMP,
    end_time_unix_nano=STAMP,
    attributes=ATTRIBUTES,
    dropped_attributes_count=COUNT,
    events=st.lists(st.builds(Span.Event, time_unix_nano=STAMP, name=TEXT, attributes=ATTRIBUTES), max_size=2),
    links=st.lists(st.builds(Span.Link, trace_id=TRACE_ID, span_id=SPAN_ID, flags=COUNT), max_size=2),
    status=st.builds(Status, code=st.integers(0, 2), message=TEXT),
    flags=COUNT,
)


@st.composite
def requests(draw: st.DrawFn) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        resource = request.resource_spans.add(schema_url=draw(TEXT))
        resource.resource.attributes.extend(draw(ATTRIBUTES))
        scope = resource.scope_spans.add()
        scope.scope.name = draw(TEXT)
        scope.spans.extend(draw(st.lists(SPANS, max_size=3)))
    return request


IDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")


def as_otlp(value: Any, chance: random.Random) -> Any:
    """What protobuf's JSON writer wrote, as OTLP writes it: ids in hex, and numbers now and then as numbers."""
    if isinstance(value, list):
        return [as_otlp(member, chance) for member in value]
    if not isinstance(value, dict):
        return value
    written: dict[str, Any] = {}
    for name, member in value.items():
        if name in IDS and isinstance(member, str):
            member = base64.b64decode(member).hex()
            written[name] = member.upper() if chance.random() < 0.3 else member
        elif name in ("startTimeUnixNano", "intValue", "start_time_unix_nano", "int_value") and chance.random() < 0.5:
            written[name] = int(member)
        else:
            written[name] = as_otlp(member, chance)
    if chance.random() < 0.3:
        written["aFieldOfTomorrow"] = {"with": ["anything", None, 5]}
    return written


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(requests(), st.booleans(), st.booleans(), st.integers())
def test_json_says_what_the_protobuf_says(
    request: ExportTraceServiceRequest, snake: bool, numbers: bool, seed: int
) -> None:
    told = json_format.MessageToDict(
        request,
        preserving_proto_field_name=snake,
        use_integers_for_enums=numbers,
        always_print_fields_with_no_presence=numbers,
    )
    body = json.dumps(as_otlp(told, random.Random(seed))).encode()
    assert ExportTraceServiceRequest.FromString(TRANSCODE("traces", body)) == request


INTEGERS = {
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_ENUM: (0, 2),
}


def fill(message: Message, chance: random.Random, depth: int) -> None:
    """Any field with any value."""
    for field in message.DESCRIPTOR.fields:
        for _ in range(chance.choice((0, 1, 1, 2 if field.is_repeated else 1))):
            if field.message_type is not None:
                if depth:
                    part = getattr(message, field.name)
                    part = part.add() if field.is_repeated else part
                    part.SetInParent()
                    fill(part, chance, depth - 1)
            elif field.is_repeated:
                getattr(message, field.name).append(plain(field, chance))
            else:
                setattr(message, field.name, plain(field, chance))


def plain(field: FieldDescriptor, chance: random.Random) -> Any:
    if field.type in INTEGERS:
        low, high = INTEGERS[field.type]
        return chance.choice((low, high, 0 if low else 1, chance.randint(low, high)))
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return chance.choice((0.0, -0.0, 1.5, 1e300, float("inf"), float("-inf"), chance.random()))
    if field.type == FieldDescriptor.TYPE_BOOL:
        return chance.random() < 0.5
    if field.type == FieldDescriptor.TYPE_BYTES:
        return chance.randbytes(chance.choice((0, 1, 2, 3, 16)))
    return chance.choice(("", "a", "\N{SNOWMAN}", '\0\n"', "x" * 200))


@pytest.mark.parametrize("signal", list(REQUESTS))
def test_every_field_of_every_message_is_written_as_it_is(signal: str) -> None:
    chance = random.Random(11)
    for round_number in range(60):
        request = REQUESTS[signal]()
        fill(request, chance, depth=2 + round_number % 6)
        told = json_format.MessageToDict(request, preserving_proto_field_name=chance.random() < 0.3)
        body = json.dumps(as_otlp(told, chance)).encode()
        assert REQUESTS[signal].FromString(TRANSCODE(signal, body)) == request


def test_ids_of_logs_and_exemplars_are_hex_too() -> None:
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"traceId": trace, "spanId": span}]}]}]}
    record = (
        ExportLogsServiceRequest.FromString(TRANSCODE("logs", json.dumps(logs).encode()))
        .resource_logs[0]
        .scope_logs[0]
        .log_records[0]
    )
    assert (record.trace_id.hex(), record.span_id.hex()) == (trace, span)
    point = {"asInt": "5", "exemplars": [{"traceId": trace, "spanId": span, "asDouble": 1.5}]}
    metrics = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "a", "sum": {"dataPoints": [point]}}]}]}]}
    request = ExportMetricsServiceRequest.FromString(TRANSCODE("metrics", json.dumps(metrics).encode()))
    exemplar = request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0].exemplars[0]
    assert (exemplar.trace_id.hex(), exemplar.span_id.hex()) == (trace, span)


SPAN = "resourceSpans[0].scopeSpans[0].spans[0]"


def in_span(member: str) -> str:
    return '{"resourceSpans":[{"scopeSpans":[{"spans":[{' + member + "}]}]}]}"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "Expecting value"),
        ("[]", "JSON: list is not an object"),
        ("null", "NoneType is not an object"),
        ('{"resourceSpans": 5}', "resourceSpans: 5 is not a list"),
        ('{"resourceSpans": {}}', "resourceSpans: dict is not a list"),
        ('{"resourceSpans": ["text"]}', 'resourceSpans[0]: "text" is not an object'),
        ('{"resourceSpans": [{}, null]}', "resourceSpans[1]: NoneType is not an object"),
        (in_span('"traceId": "xyz"'), f'{SPAN}.traceId: "xyz" is not hex digits'),
        (in_span('"spanId": 5'), f"{SPAN}.spanId: 5 is not hex digits"),
        (in_span('"name": 5'), f"{SPAN}.name: 5 is not text"),
        (in_span('"name": "\\ud800"'), f'{SPAN}.name: "\\ud800" is not Unicode text'),
        (in_span('"kind": 1.5'), f"{SPAN}.kind: 1.5 is not a whole number"),
        (in_span('"kind": 99999999999'), f"{SPAN}.kind: 99999999999 is not within"),
        (in_span('"startTimeUnixNano": -1'), f"{SPAN}.startTimeUnixNano: -1 is not within 0 and 18446744073709551615"),
        (in_span('"startTimeUnixNano": "soon"'), f'{SPAN}.startTimeUnixNano: "soon" is not a whole number'),
        (in_span('"startTimeUnixNano": "1_0"'), "is not a whole number"),
        (in_span('"startTimeUnixNano": true'), "is not a whole number"),
        (in_span(f'"startTimeUnixNano": "{"9" * 5000}"'), "startTimeUnixNano"),
        (in_span(f'"startTimeUnixNano": {"9" * 5000}'), "digits"),
        (in_span('"attributes": [{"value": {"boolValue": 1}}]'), "attributes[0].value.boolValue: 1 is not true or"),
        (in_span('"attributes": [{"value": {"doubleValue": "x"}}]'), 'value.doubleValue: "x" is not a number'),
        (in_span('"attributes": [{"value": {"doubleValue": false}}]'), "value.doubleValue: false is not a number"),
        (in_span('"attributes": [{"value": {"bytesValue": "a*"}}]'), 'value.bytesValue: "a*" is not base64'),
        (
            in_span('"attributes": [{"value": {"stringValue": "a", "intValue": 5}}]'),
            "value: intValue and stringValue ex",
        ),
        ("[" * 100_000, "nested too deep"),
        (in_span('"attributes": [{"value":' + '{"arrayValue":{"values":[' * 300 + "]}}" * 300 + "}]"), "too deep"),
        ('{"a": "\xff"}'.encode("latin-1"), "codec"),
    ],
)
def test_bad_json_is_refused_in_one_line_that_says_where(body: str | bytes, said: str) -> None:
    with pytest.raises(Refused) as caught:
        TRANSCODE("traces", body if isinstance(body, bytes) else body.encode())
    assert caught.value.reason == "not_otlp"
    assert said in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


NAMES = ["resourceSpans", "scopeSpans", "spans", "links", "attributes", "key", "value", "intValue", "doubleValue"]
NAMES += ["bytesValue", "arrayValue", "values", "kind", "status", "code", "traceId", "resource", "flags", "other"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(JSON, st.sampled_from(["", "resourceSpans", "resourceSpans.scopeSpans.spans"]))
def test_no_json_whatever_raises_anything_but_refused(value: Any, below: str) -> None:
    for name in filter(None, reversed(below.split("."))):
        value = {name: [value]}
    try:
        ExportTraceServiceRequest.FromString(TRANSCODE("traces", json.dumps(value).encode()))
    except Refused:
        return

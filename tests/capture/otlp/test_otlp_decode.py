"""Bodies become protobuf: JSON of every spelling equals the protobuf it says; bombs and cut bodies are refused."""

from __future__ import annotations

import gzip
import json
import random
import tracemalloc
import zlib
from typing import Any

import pytest
import zstandard
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tachograph.capture.otlp.decode import check_encoding, transcoded, unfolded
from tachograph.capture.otlp.limits import MIB, check_size
from tachograph.flow import Refused

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
            member = json_format.base64.b64decode(member).hex()
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
    assert ExportTraceServiceRequest.FromString(transcoded("traces", body)) == request


def test_ids_of_logs_and_exemplars_are_hex_too() -> None:
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"traceId": trace, "spanId": span}]}]}]}
    record = (
        ExportLogsServiceRequest.FromString(transcoded("logs", json.dumps(logs).encode()))
        .resource_logs[0]
        .scope_logs[0]
        .log_records[0]
    )
    assert (record.trace_id.hex(), record.span_id.hex()) == (trace, span)
    point = {"asInt": "5", "exemplars": [{"traceId": trace, "spanId": span, "asDouble": 1.5}]}
    metrics = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "a", "sum": {"dataPoints": [point]}}]}]}]}
    request = ExportMetricsServiceRequest.FromString(transcoded("metrics", json.dumps(metrics).encode()))
    exemplar = request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0].exemplars[0]
    assert (exemplar.trace_id.hex(), exemplar.span_id.hex()) == (trace, span)


def in_span(member: str) -> str:
    return '{"resourceSpans":[{"scopeSpans":[{"spans":[{' + member + "}]}]}]}"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "Expecting value"),
        ("[]", "not an object"),
        ("null", "not an object"),
        ('{"resourceSpans": 5}', "resourceSpans"),
        ('{"resourceSpans": [5]}', "resourceSpans"),
        ('{"resourceSpans": [null]}', "resourceSpans"),
        (in_span('"traceId": "xyz"'), "resourceSpans[0].scopeSpans[0].spans[0].traceId: 'xyz' is not hex digits"),
        (in_span('"spanId": 5'), "spans[0].spanId: '5' is not hex"),
        (in_span('"name": 5'), "name"),
        (in_span('"name": "\\ud800"'), "name"),
        (in_span('"startTimeUnixNano": -1'), "startTimeUnixNano"),
        (in_span('"startTimeUnixNano": "%s"' % ("9" * 5000)), "startTimeUnixNano"),
        (in_span('"startTimeUnixNano": %s' % ("9" * 5000)), "digits"),
        (in_span('"attributes": [{"key": "a", "value": {"stringValue": "a", "intValue": 5}}]'), "attributes"),
        ("[" * 100_000, "nested too deep"),
        (in_span('"attributes": [{"value":' + '{"arrayValue":{"values":[' * 300 + "]}}" * 300 + "}]"), "too deep"),
        ('{"a": "\xff"}'.encode("latin-1"), "codec"),
    ],
)
def test_bad_json_is_refused_in_one_line_that_says_where(body: str | bytes, said: str) -> None:
    with pytest.raises(Refused) as caught:
        transcoded("traces", body if isinstance(body, bytes) else body.encode())
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
    for name in reversed(below.split(".")):
        value = {name: [value]} if name else value
    try:
        ExportTraceServiceRequest.FromString(transcoded("traces", json.dumps(value).encode()))
    except Refused:
        return


def grow_to(size_max: int) -> Any:
    return lambda size: check_size(size, size_max)


@pytest.mark.parametrize(
    ("encoding", "bomb"),
    [
        ("gzip", gzip.compress(bytes(256 * MIB), 1)),
        ("deflate", zlib.compress(bytes(256 * MIB), 1)),
        ("zstd", zstandard.compress(bytes(256 * MIB))),
        ("gzip, gzip", gzip.compress(gzip.compress(bytes(256 * MIB), 1))),
    ],
)
def test_a_bomb_allocates_no_more_than_its_limit(encoding: str, bomb: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Refused) as caught:
            unfolded(bomb, encoding, grow_to(4 * MIB))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.reason == "too_large"
    assert peak < 6 * MIB


def frames() -> dict[str, bytes]:
    body = random.Random(1).randbytes(300_000) + b"a" * 500_000
    streamed = zstandard.ZstdCompressor(write_checksum=True, write_content_size=False).compressobj()
    return {
        "sized": zstandard.compress(body),
        "streamed": streamed.compress(body) + streamed.flush(),
        "small": zstandard.compress(b"a"),
        "two": zstandard.compress(body) + zstandard.compress(body),
        "skippable": b"\x52\x2a\x4d\x18\x03\0\0\0abc" + zstandard.compress(body),
        "gzip": gzip.compress(body),
        "gzips": gzip.compress(body) + gzip.compress(body),
        "deflate": zlib.compress(body),
    }


@pytest.mark.parametrize("name", frames())
def test_a_body_that_was_cut_anywhere_is_refused(name: str) -> None:
    whole = frames()[name]
    encoding = "gzip" if name.startswith("gz") else "deflate" if name == "deflate" else "zstd"
    plain = unfolded(whole, encoding, grow_to(64 * MIB))
    assert len(plain) in (1, 800_000, 1_600_000)
    parts = (len(zstandard.compress(plain[:800_000])), len(gzip.compress(plain[:800_000])), 11)  # whole by themselves
    cuts = {*range(1, 40), *range(len(whole) - 40, len(whole)), *random.Random(2).sample(range(len(whole)), 10)}
    for cut in cuts & set(range(1, len(whole))) - set(parts if name in ("two", "gzips", "skippable") else ()):
        with pytest.raises(Refused) as caught:
            unfolded(whole[:cut], encoding, grow_to(64 * MIB))
        assert caught.value.reason == "damaged"


def test_unknown_encodings_are_named() -> None:
    for known in ("", "gzip", " GZIP , zstd", "identity", "br"):
        check_encoding(known)
    with pytest.raises(Refused, match="'snappy' is not read: use one of gzip"):
        check_encoding("gzip, snappy")

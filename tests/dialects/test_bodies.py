"""What is read off the bytes of many requests at a time is what protobuf's own library reads of each."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from tachograph.dialects import DIALECTS
from tachograph.dialects.names import Names
from tachograph.dialects.numbering import RESOURCE, numbering
from tachograph.dialects.protobuf import Octets, Slices, walk
from tachograph.dialects.reading import SpanReader, Unreadable
from tachograph.dialects.requests import Odd, Read, RequestReader, TooMany, mistaken
from tachograph.dialects.rules import SpanLimits

NUMBERS = numbering(DIALECTS)
NAMES = [*NUMBERS.names, *(f"{tag}x" for tag in NUMBERS.tags)]
READER = RequestReader(NUMBERS, 30, 500)
MANY = 60  # messages, so that they are walked together

keys = st.sampled_from(NAMES) | st.sampled_from(["", "a", "http.request.method", "gen_ai.usage.input_token", "é" * 40])
values = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(lambda value: AnyValue(int_value=value)),
    st.text(max_size=12).map(lambda value: AnyValue(string_value=value)),
    st.integers(100, 300).map(lambda size: AnyValue(string_value="x" * size)),
    st.just(AnyValue()),
)
attributes = st.builds(KeyValue, key=keys, value=values)
events = st.builds(
    Span.Event,
    time_unix_nano=st.integers(0, 2**63),
    name=st.sampled_from([*NUMBERS.first_token_events, "exception", "other", ""]),
    attributes=st.lists(
        st.builds(KeyValue, key=st.sampled_from(["exception.type", "x"]), value=values),
        max_size=2,
    ),
)
spans = st.builds(
    Span,
    trace_id=st.binary(max_size=16),
    span_id=st.binary(max_size=8),
    parent_span_id=st.binary(max_size=8),
    name=st.text(max_size=200),
    kind=st.integers(0, 5),
    start_time_unix_nano=st.integers(0, 2**64 - 1),
    end_time_unix_nano=st.integers(0, 2**64 - 1),
    attributes=st.lists(attributes, max_size=8),
    events=st.lists(events, max_size=3),
    flags=st.integers(0, 2**32 - 1),
    dropped_attributes_count=st.integers(0, 2**32 - 1),
    status=st.none() | st.builds(Status, code=st.integers(0, 2), message=st.text(max_size=3)),
)
said = st.builds(
    KeyValue,
    key=st.sampled_from([name for names in RESOURCE.values() for name in names] + ["host.name"]),
    value=values,
)
resources = st.builds(Resource, attributes=st.lists(said, max_size=4))
scopes = st.builds(InstrumentationScope, name=st.text(max_size=5), version=st.text(max_size=5))
requests = st.builds(
    ExportTraceServiceRequest,
    resource_spans=st.lists(
        st.builds(
            ResourceSpans,
            resource=resources,
            scope_spans=st.lists(st.builds(ScopeSpans, scope=scopes, spans=st.lists(spans, max_size=3)), max_size=2),
        ),
        max_size=2,
    ),
)


def assert_read(read: Read, sent: list[ExportTraceServiceRequest]) -> None:
    rows = [
        (number, of_resource.resource, of_scope.scope, span)
        for number, request in enumerate(sent)
        for of_resource in request.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]
    columns, shared = read.columns, read.shared
    assert columns["request"].tolist() == [number for number, *_ in rows]
    for name in ("trace_id", "span_id", "parent_span_id"):
        assert columns[name].to_pylist() == [getattr(span, name) for *_, span in rows]
    assert columns["name"].to_pylist() == [span.name.encode() for *_, span in rows]
    assert columns["kind"].tolist() == [span.kind for *_, span in rows]
    assert columns["start_ns"].tolist() == [span.start_time_unix_nano for *_, span in rows]
    assert columns["end_ns"].tolist() == [span.end_time_unix_nano for *_, span in rows]
    assert columns["status_code"].tolist() == [span.status.code for *_, span in rows]
    assert columns["first_event_ns"].tolist() == [first_token(span) for *_, span in rows]
    assert columns["exception"].to_pylist() == [thrown(span).encode() for *_, span in rows]
    assert taken(shared["scope"]) == [scope.name.encode() for _, _, scope, _ in rows]
    assert taken(shared["scope_version"]) == [scope.version.encode() for _, _, scope, _ in rows]
    for name, names in RESOURCE.items():
        assert taken(shared[f"resource_{name}"]) == [of(resource, names) for _, resource, _, _ in rows]
    assert_attributes(read, [span for *_, span in rows])


def assert_attributes(read: Read, rows: list[Span]) -> None:
    found = read.attributes
    counts = [min(len(span.attributes), 31) for span in rows]
    assert found.counts.tolist() == counts
    index = {name: place for place, name in enumerate(NUMBERS.names, 1)}
    expected = [
        (row, index.get(one.key, len(index) + 1), one.value.SerializeToString())
        for row, span in enumerate(rows)
        for one in span.attributes[: counts[row]]
        if one.key in index or one.key.startswith(NUMBERS.tags)
    ]
    told = zip(
        found.owners.tolist(),
        found.indices.tolist(),
        found.values.all().to_pylist(),
        strict=True,
    )
    assert list(told) == expected
    tags = [
        (row, one.key.encode())
        for row, span in enumerate(rows)
        for one in span.attributes[: counts[row]]
        if one.key not in index and one.key.startswith(NUMBERS.tags)
    ]
    owners = found.owners[found.tags].tolist()
    assert list(zip(owners, found.tag_names.all().to_pylist(), strict=True)) == tags
    details = [any(one.key.startswith("ai.usage.inputTokenDetails.") for one in span.attributes) for span in rows]
    assert read.columns["details"].tolist() == details


def taken(column: Any) -> list[bytes]:
    texts, places = column
    return [texts[place].as_py() for place in places.tolist()]


def of(resource: Resource, names: tuple[str, ...]) -> bytes:
    for name in names:
        value = next((one.value.string_value for one in resource.attributes if one.key == name), "")
        if value:
            return value.encode()
    return b""


def first_token(span: Span) -> int:
    return min((one.time_unix_nano for one in span.events if one.name in NUMBERS.first_token_events), default=0)


def thrown(span: Span) -> str:
    types = [
        one.value.string_value
        for event in span.events
        if event.name == "exception"
        for one in event.attributes
        if one.key == "exception.type"
    ]
    return next(filter(None, types), "")


@given(st.lists(requests, max_size=4))
def test_a_few_requests(sent: list[ExportTraceServiceRequest]) -> None:
    assert_read(READER.read("traces", [one.SerializeToString() for one in sent]), sent)


@given(st.lists(spans, min_size=1, max_size=5), st.lists(attributes, max_size=40))
@settings(max_examples=40)
def test_many_spans_some_with_more_attributes_than_may_be(some: list[Span], more: list[KeyValue]) -> None:
    every = (some * MANY)[:MANY]
    every += [Span(name="long", attributes=more), *some]
    request = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=every)])])
    assert_read(READER.read("traces", [request.SerializeToString()]), [request])


def test_a_record_is_read_by_its_own_tags() -> None:
    records = [
        LogRecord(
            time_unix_nano=place,
            observed_time_unix_nano=place + 5,
            severity_number=9,
            body=AnyValue(string_value="secret"),
            attributes=[KeyValue(key="gen_ai.request.model", value=AnyValue(string_value="m"))] * (place % 3),
            flags=1,
            trace_id=b"t" * 16,
            span_id=b"s" * 8,
            event_name=f"event {place}",
        )
        for place in range(MANY)
    ]
    request = ExportLogsServiceRequest(resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=records)])])
    read = READER.read("logs", [request.SerializeToString()])
    assert read.columns["start_ns"].tolist() == list(range(MANY))
    assert read.columns["end_ns"].tolist() == list(range(5, MANY + 5))
    assert read.columns["name"].to_pylist() == [f"event {place}".encode() for place in range(MANY)]
    assert read.columns["trace_id"].to_pylist() == [b"t" * 16] * MANY
    assert read.columns["parent_span_id"].to_pylist() == [b""] * MANY
    assert not read.columns["status_code"].any()
    assert read.attributes.counts.tolist() == [place % 3 for place in range(MANY)]


# What is right but not what an encoder writes: fields behind one another that are to be merged, a group.
STATUS = b"\x7a\x02\x18\x01"
ODD = {
    "a status in two parts": STATUS + b"\x7a\x02\x18\x02",
    "a group": b"\xa3\x06\x08\x01\xa4\x06" + STATUS,
    "a value in two parts": b"\x4a\x08\x0a\x00\x12\x02\x18\x01\x12\x00",
}


@pytest.mark.parametrize("rest", ODD.values(), ids=list(ODD))
@pytest.mark.parametrize("copies", [1, MANY])
def test_what_is_right_but_written_otherwise_is_read_as_well(rest: bytes, copies: int) -> None:
    start = Span(
        trace_id=b"t" * 16,
        span_id=b"s" * 8,
        start_time_unix_nano=10**18,
        attributes=[KeyValue(key="gen_ai.operation.name", value=AnyValue(string_value="chat"))],
    )
    span = start.SerializeToString() + rest
    expected = Span.FromString(span)
    body = framed(0x0A, framed(0x12, b"".join(framed(0x12, span) for _ in range(copies))))
    with pytest.raises(Odd) as raised:
        READER.read("traces", [body])
    assert raised.value.requests == {0}
    spans_read = SpanReader(SpanLimits()).read("traces", [body])
    assert len(spans_read.calls) == copies
    assert spans_read.columns["failed"].tolist() == [expected.status.code == 2] * copies


IDS = b"\x0a\x10" + b"t" * 16 + b"\x12\x08" + b"s" * 8 + b"\x39" + (10**18).to_bytes(8, "little")
MISTAKEN = {
    "the spans of a scope": (b"\x10\x05", b"", b""),
    "the key of an attribute": (b"", b"", b"\x4a\x04\x08\x05\x12\x00"),
    "the start of a span": (b"", b"", b"\x38\x05"),
    "the code of a status": (b"", b"", b"\x7a\x02\x1a\x00"),
    "the name of a scope": (b"", b"\x0a\x02\x08\x05", b""),
}


@pytest.mark.parametrize("beside", MISTAKEN.values(), ids=list(MISTAKEN))
@pytest.mark.parametrize("copies", [1, MANY])
def test_a_field_of_another_kind_than_it_has_is_refused(beside: tuple[bytes, bytes, bytes], copies: int) -> None:
    """To protobuf's own library it is a field that it does not know: what was meant would be lost without a word."""
    scope, name, span = beside
    body = framed(0x0A, framed(0x12, name + scope + framed(0x12, IDS + span) * copies))
    assert ExportTraceServiceRequest.FromString(body).resource_spans
    with pytest.raises(Unreadable) as raised:
        SpanReader(SpanLimits()).read("traces", [framed(0x0A, framed(0x12, framed(0x12, IDS))), body])
    assert raised.value.reasons == {1: "malformed"}


def framed(tag: int, content: bytes) -> bytes:
    size, length = len(content), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([tag]) + length + bytes([size]) + content


@given(requests, requests, st.data())
@settings(max_examples=200)
def test_a_damaged_request_is_named_and_no_other(
    good: ExportTraceServiceRequest, other: ExportTraceServiceRequest, data: st.DataObject
) -> None:
    """Whatever happens to its bytes. What is damaged where nobody looks, such as in a link, is not looked at."""
    body = bytearray(other.SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    broken = bytes(body[: data.draw(st.integers(0, len(body)))])
    reader = SpanReader(SpanLimits())
    try:
        reader.read("traces", [good.SerializeToString(), broken])
    except Unreadable as unreadable:
        assert unreadable.reasons == {1: "malformed"}
        with contextlib.suppress(DecodeError):
            assert mistaken(ExportTraceServiceRequest.FromString(broken))


@given(
    st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=40, unique=True),
    st.lists(st.binary(min_size=8, max_size=30), max_size=4, unique=True),
    st.data(),
)
def test_names_are_told_by_all_of_their_bytes(names: list[bytes], beginnings: list[bytes], data: st.DataObject) -> None:
    near = st.sampled_from(names).flatmap(
        lambda name: st.builds(
            lambda place, byte: name[:place] + bytes([byte]) + name[place + 1 :],
            st.integers(0, len(name) - 1),
            st.integers(0, 255),
        )
    )
    begun = st.builds(bytes.__add__, st.sampled_from(beginnings), st.binary(max_size=9)) if beginnings else near
    texts = data.draw(st.lists(st.sampled_from(names) | near | begun | st.binary(max_size=80), max_size=30))
    octets = Octets(texts)
    found = Names(names, beginnings).indices(octets, octets.starts, octets.lengths)
    assert found.tolist() == [
        names.index(text) + 1 if text in names else (len(names) + 1) * text.startswith(tuple(beginnings))
        for text in texts
    ]


@given(st.lists(st.lists(st.tuples(st.sampled_from([0x0A, 0x12]), st.binary(max_size=140)), max_size=6), max_size=70))
def test_lists_are_walked_to_their_limit(messages: list[list[tuple[int, bytes]]]) -> None:
    octets = Octets([b"".join(framed(tag, content) for tag, content in fields) for fields in messages])
    found = walk(octets, octets.starts, octets.lengths, [0x0A], {0x12: 2})
    assert not found.odd.any()
    counts, starts, lengths = found.many[0x12]
    listed = [[content for tag, content in fields if tag == 0x12][:2] for fields in messages]
    assert counts.tolist() == [len(contents) for contents in listed]
    assert Slices(octets, starts, lengths).all().to_pylist() == [one for contents in listed for one in contents]
    last = [next((content for tag, content in reversed(fields) if tag == 0x0A), b"") for fields in messages]
    assert Slices(octets, *found.one[0x0A]).all().to_pylist() == last


def test_long_messages_are_walked_one_by_one() -> None:
    """More fields than are walked together, in many messages at once; every fourth is short."""
    messages = [[b"a"] * (400 if place % 4 else 3) for place in range(MANY)]
    octets = Octets([b"".join(framed(0x12, content) for content in contents) for contents in messages])
    counts, starts, lengths = walk(octets, octets.starts, octets.lengths, [], {0x12: 1000}).many[0x12]
    assert counts.tolist() == [len(contents) for contents in messages]
    assert (np.diff(starts) > 0).all() and (lengths == 1).all()


BROKEN = framed(0x0A, b"service.name") + framed(0x12, b"\x0a\x09x")  # a value that breaks off
THROWN = framed(0x12, b"exception") + framed(0x1A, framed(0x0A, b"exception.type") + framed(0x12, b"\x0a\x09x"))


@pytest.mark.parametrize(
    "damaged",
    [
        framed(0x0A, framed(0x0A, BROKEN)) + framed(0x12, framed(0x12, IDS)),
        framed(0x12, framed(0x12, IDS + framed(0x5A, THROWN))),
    ],
    ids=["of a resource", "of an event"],
)
def test_a_damaged_value_leaves_neighbours_as_they_are(damaged: bytes) -> None:
    """Also one with bytes that are no text, which protobuf's own library would refuse."""
    said = framed(0x0A, framed(0x0A, b"service.name") + framed(0x12, framed(0x0A, b"\xff")))
    event = framed(0x12, b"exception") + framed(
        0x1A, framed(0x0A, b"exception.type") + framed(0x12, framed(0x0A, b"\xff"))
    )
    neighbour = framed(0x0A, framed(0x0A, said) + framed(0x12, framed(0x12, IDS + framed(0x5A, event))))
    with pytest.raises(Unreadable) as raised:
        SpanReader(SpanLimits()).read("traces", [neighbour, framed(0x0A, damaged), neighbour])
    assert raised.value.reasons == {1: "malformed"}


@pytest.mark.parametrize("copies", [1, MANY])
def test_lengths_may_take_more_bytes_than_they_need(copies: int) -> None:
    """Exporters that write a message before they know its length leave four bytes for it."""
    model = padded(0x4A, framed(0x0A, b"gen_ai.request.model") + padded(0x12, framed(0x0A, b"gpt-5")))
    chat = padded(0x4A, padded(0x0A, b"gen_ai.operation.name") + padded(0x12, padded(0x0A, b"chat")))
    ids = framed(0x0A, b"t" * 16) + framed(0x12, b"s" * 8) + b"\x39" + (10**18).to_bytes(8, "little")
    span = ids + model + chat + padded(0x7A, b"\x18\x02")
    service = padded(0x0A, framed(0x0A, b"service.name") + padded(0x12, framed(0x0A, b"shop")))
    body = padded(0x0A, padded(0x0A, service) + padded(0x12, padded(0x12, span) * copies))
    READER.read("traces", [body])
    found = SpanReader(SpanLimits()).read("traces", [body])
    assert found.columns["request_model"].to_pylist() == ["gpt-5"] * copies
    assert found.columns["service"].to_pylist() == ["shop"] * copies
    assert found.columns["failed"].all()


def padded(tag: int, content: bytes) -> bytes:
    size = len(content)
    return bytes([tag, size & 127 | 128, size >> 7 & 127 | 128, size >> 14 & 127 | 128, 0]) + content


def test_what_is_too_much_for_one_go_is_not_read() -> None:
    """One request alone, and several together that are each small enough; each kind of entry counts."""
    small = framed(0x0A, framed(0x12, b"\x12\x00" * 300))
    assert len(READER.read("traces", [small]).columns["request"]) == 300
    with pytest.raises(TooMany) as raised:
        READER.read("traces", [small, small])
    assert raised.value.requests == frozenset()
    for large in (
        framed(0x0A, framed(0x12, b"\x12\x00" * 501)),
        framed(0x0A, b"\x12\x00" * 501),
        framed(0x0A, framed(0x0A, b"\x0a\x00" * 501)),
        b"\x0a\x00" * 501,
    ):
        with pytest.raises(TooMany) as raised:
            READER.read("traces", [small, large])
        assert raised.value.requests == {1}

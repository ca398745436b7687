"""The OTLP messages as the engine reads them: a schema text and the columns that come out.

In: nothing. Out: for a signal, a protobuf schema (format_schema) and a column structure.
What it must never know: what an attribute means.

What is said of a span in attributes has values of any kind; they are typed `bytes`, which is the same on the wire, and
stay messages (see `values`). Of resources and events texts alone are asked for. A log record is read into the columns
of a span, by its own field numbers, so that one query serves both. Source: opentelemetry-proto v1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_COMMON = """syntax = "proto3";
message Attribute { string key = 1; bytes value = 2; }
message Text { string string_value = 1; }
message Said { string key = 1; Text value = 2; }
message Scope { string name = 1; string version = 2; }
message Resource { repeated Said attributes = 1; }
message Event { fixed64 time_unix_nano = 1; string name = 2; repeated Said attributes = 3; }
message Status { int32 code = 3; }
message ScopeSpans { Scope scope = 1; repeated Span spans = 2; }
message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
message Request { repeated ResourceSpans resource_spans = 1; }
"""
_SPAN = """message Span { bytes trace_id = 1; bytes span_id = 2; bytes parent_span_id = 4; string name = 5; int32 kind
= 6;
  fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8; repeated Attribute attributes = 9;
  repeated Event events = 11; Status status = 15; }
"""
# parent, kind, events and status take numbers that no log record uses: they are never there.
_LOG_RECORD = """message Span { bytes trace_id = 9; bytes span_id = 10; bytes parent_span_id = 900; string name = 12;
  int32 kind = 901; fixed64 start_time_unix_nano = 1; fixed64 end_time_unix_nano = 11;
  repeated Attribute attributes = 6; repeated Event events = 902; Status status = 903; }
"""
SCHEMAS = {"traces": _COMMON + _SPAN, "logs": _COMMON + _LOG_RECORD}

_ATTRIBUTES = "Array(Tuple(key String, value String))"
_SAID = "Array(Tuple(key String, value Tuple(string_value String)))"
_EVENTS = f"Array(Tuple(time_unix_nano UInt64, name String, attributes {_SAID}))"
STRUCTURE = (
    f"resource_spans Array(Tuple(resource Tuple(attributes {_SAID}), scope_spans Array(Tuple("
    "scope Tuple(name String, version String), spans Array(Tuple(trace_id String, span_id String,"
    " parent_span_id String, name String, kind Int32, start_time_unix_nano UInt64, end_time_unix_nano UInt64,"
    f" attributes {_ATTRIBUTES}, events {_EVENTS}, status Tuple(code Int32)))))))"
)


def delimited(bodies: Sequence[bytes]) -> Iterator[bytes]:
    """Messages in pieces, one after the other, each after its length: the engine then makes one row of each."""
    for body in bodies:
        yield _varint(len(body))
        yield body


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)

"""Bodies of OTLP requests -> columns of the spans in them, and where their attributes stand.

In: bodies, and the names that mean something. Out: `Read`: what every span (or log record) says itself, and of its
attributes those whose name is known: the index of the name, whose it is, where its value stands. `Odd` names the
requests that are not written as encoders write them, or are damaged: which of the two, protobuf's own reader decides.
What it must never know: what an attribute means, what follows from a value.

Of resources and events texts alone are asked for. A log record is read into the columns of a span, by its own tags, so
that one reader serves both. Source: opentelemetry-proto v1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from tachograph.dialects.names import Names
from tachograph.dialects.numbering import DETAILS, RESOURCE, Numbering
from tachograph.dialects.protobuf import LONG, Octets, Slices, walk
from tachograph.dialects.values import STRING, Damaged, Values

# Tags: the number of a field and the way it is written, see `protobuf`.
_TRACES = {
    "trace_id": 0x0A,
    "span_id": 0x12,
    "parent_span_id": 0x22,
    "name": 0x2A,
    "kind": 0x30,
    "start": 0x39,
    "end": 0x41,
    "attributes": 0x4A,
    "events": 0x5A,
    "status": 0x7A,
}
# The time of a record is its start; the time at which it was observed is its end.
_LOGS = {"trace_id": 0x4A, "span_id": 0x52, "name": 0x62, "start": 0x09, "end": 0x59, "attributes": 0x32}
_TAGS: Mapping[str, Mapping[str, int]] = {"traces": _TRACES, "logs": _LOGS}
_CODE = 0x18  # of a status
_KEY, _VALUE = 0x0A, 0x12  # of an attribute
_EVENT_TIME, _EVENT_NAME, _EVENT_ATTRIBUTES = 0x09, 0x12, 0x1A
_EVENTS_MAX = 4096  # of a span; a stream may leave one for every piece
_PIECE = 1 << 14  # attributes that are looked at in one go: what they need stays in the processor's cache
_EXCEPTION, _EXCEPTION_TYPE = b"exception", b"exception.type"


class TooMany(Exception):
    """More is in the bodies than is read in one go. `requests`: the numbers of those of which one alone is too much."""

    def __init__(self, requests: Sequence[int]) -> None:
        super().__init__(f"{len(requests)} requests hold too much")
        self.requests = frozenset(requests)


class Odd(Exception):
    """`requests`: the numbers of those that cannot be read as they are written."""

    def __init__(self, requests: Sequence[int]) -> None:
        super().__init__(f"{len(requests)} requests cannot be read as they are written")
        self.requests = frozenset(requests)


@dataclass(slots=True)
class Attributes:
    """counts: how many each span has, known or not. Of the known ones, in their order: owners: the rows they belong to,
    indices: of their names, values: where the messages of their values stand. tags: the places among them of those
    that are tags; tag_names: where their names stand.
    """

    counts: Any
    owners: Any
    indices: Any
    values: Slices
    tags: Any
    tag_names: Slices


@dataclass(slots=True)
class Read:
    """columns: numpy columns and Arrow bytes, a row a span. shared: what many spans have in common, as Arrow bytes, and
    the row of it that each span has.
    """

    columns: dict[str, Any]
    shared: dict[str, tuple[pa.BinaryArray, Any]]
    attributes: Attributes


class RequestReader:
    """Reads bodies of either signal. Any thread may use it."""

    def __init__(self, numbers: Numbering, attributes_max: int, entries_max: int) -> None:
        names = [name.encode() for name in numbers.names]
        self._names = Names(names, [tag.encode() for tag in numbers.tags], [DETAILS.encode()])
        # By index: whether it is of the details of the input; behind the names come tags, and then those of which only
        # that is known.
        self._tag = len(names) + 1
        self._details = np.array([False, *(name.startswith(DETAILS) for name in numbers.names), False, True])
        resource = [name for names in RESOURCE.values() for name in names]
        self._resource_names = Names([name.encode() for name in resource])
        self._first_tokens = len(numbers.first_token_events)
        self._event_names = Names([*(name.encode() for name in numbers.first_token_events), _EXCEPTION])
        self._event_attributes = Names([_EXCEPTION_TYPE])
        self._attributes_max, self._entries_max = attributes_max, entries_max

    def read(self, signal: str, bodies: Sequence[bytes]) -> Read:
        """What is in the bodies. Odd where some of them must be written anew before, TooMany where it is too much."""
        top = _Top(bodies, self._entries_max)
        octets = Octets(top.spans)
        top.spans.clear()  # copied
        tags = _TAGS[signal]
        lists = {tags[name]: most for name, most in self._lists.items() if name in tags}
        one = [tag for tag in tags.values() if tag not in lists]
        fields = walk(octets, octets.starts, octets.lengths, one, lists, [_TRACES["status"]])
        odd = fields.odd
        columns = {"request": top.request}
        for name in ("trace_id", "span_id", "parent_span_id", "name"):
            columns[name] = _bytes(octets, fields.one.get(tags.get(name, -1)), len(odd))
        for name in ("start", "end"):
            places = fields.one[tags[name]][0]
            columns[f"{name}_ns"] = np.where(places > 0, octets.words(places), np.uint64(0))
        columns["kind"] = _number(fields.one.get(tags.get("kind", -1)), len(odd))
        columns["status_code"] = self._status(octets, fields.one.get(tags.get("status", -1)), odd)
        columns |= self._events(octets, fields.many.get(tags.get("events", -1)), odd)
        attributes, details = self._attributes(octets, *fields.many[tags["attributes"]], odd)
        columns["details"] = details
        if odd.any():
            raise Odd(np.unique(top.request[odd]).tolist())
        return Read(columns, self._shared(top), attributes)

    @property
    def _lists(self) -> dict[str, int]:
        # One more than may be: whoever has that many has too many.
        return {"attributes": self._attributes_max + 1, "events": _EVENTS_MAX}

    def _attributes(self, octets: Octets, counts: Any, starts: Any, lengths: Any, odd: Any) -> tuple[Attributes, Any]:
        """The known ones, and which spans tell of the details of their input."""
        found: list[tuple[Any, ...]] = []
        named: list[tuple[Any, Any]] = []
        owners = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        details = np.zeros(len(counts), bool)
        for first in range(0, len(starts), _PIECE):
            own = slice(first, first + _PIECE)
            keys, key_lengths, values, value_lengths, strange = _pairs(octets, starts[own], lengths[own])
            odd[owners[own][strange]] = True
            indices = self._names.indices(octets, keys, key_lengths)
            details[owners[own][self._details[indices]]] = True
            known = np.flatnonzero((indices > 0) & (indices <= self._tag))
            found.append(tuple(column.take(known) for column in (owners[own], indices, values, value_lengths)))
            tags = np.flatnonzero(indices == self._tag)
            named.append((keys.take(tags), key_lengths.take(tags)))
        whose, indices, values, value_lengths = _columns(found, 4)
        tag_names = Slices(octets, *_columns(named, 2))
        tags = np.flatnonzero(indices == self._tag)
        return Attributes(counts, whose, indices, Slices(octets, values, value_lengths), tags, tag_names), details

    def _status(self, octets: Octets, field: Any, odd: Any) -> Any:
        codes = np.zeros(len(odd), np.int64)
        if field is not None:
            rows = np.flatnonzero(field[1])
            found = walk(octets, field[0][rows], field[1][rows], [_CODE], {})
            codes[rows] = _number(found.one[_CODE], len(rows))
            odd[rows[found.odd]] = True
        return codes

    def _events(self, octets: Octets, events: Any, odd: Any) -> dict[str, Any]:
        """When the first token came, and what was thrown."""
        first = np.zeros(len(odd), np.uint64)
        thrown: list[bytes] = [b""] * len(odd)
        if events is not None and len(events[1]):
            owners = np.repeat(np.arange(len(odd)), events[0])
            found = walk(octets, events[1], events[2], [_EVENT_TIME, _EVENT_NAME], {_EVENT_ATTRIBUTES: _EVENTS_MAX})
            odd[owners[found.odd]] = True
            kinds = self._event_names.indices(octets, *found.one[_EVENT_NAME])
            tokens = np.flatnonzero((kinds > 0) & (kinds <= self._first_tokens))
            places = found.one[_EVENT_TIME][0][tokens]
            moments = np.where(places > 0, octets.words(places), np.uint64(0))
            first[owners[tokens]] = np.iinfo(np.uint64).max
            np.minimum.at(first, owners[tokens], moments)
            self._thrown(octets, found.many[_EVENT_ATTRIBUTES], kinds, owners, odd, thrown)
        return {"first_event_ns": first, "exception": pa.array(thrown, pa.binary())}

    def _thrown(self, octets: Octets, said: Any, kinds: Any, owners: Any, odd: Any, thrown: list[bytes]) -> None:
        """The type of the first exception that tells one."""
        of_event = np.repeat(np.arange(len(kinds)), said[0])
        own = np.flatnonzero(kinds[of_event] == self._first_tokens + 1)
        keys, key_lengths, values, value_lengths, strange = _pairs(octets, said[1][own], said[2][own])
        odd[owners[of_event[own[strange]]]] = True
        named = np.flatnonzero(self._event_attributes.indices(octets, keys, key_lengths))
        rows = owners[of_event[own[named]]]
        texts, damaged = _texts(Slices(octets, values[named], value_lengths[named]))
        odd[rows[damaged]] = True
        for row, text in zip(rows.tolist(), texts, strict=True):
            thrown[row] = thrown[row] or text

    def _shared(self, top: _Top) -> dict[str, tuple[pa.BinaryArray, Any]]:
        scopes = top.scope_of_span
        found = {
            "scope": (pa.array(top.scopes, pa.binary()), scopes),
            "scope_version": (pa.array(top.versions, pa.binary()), scopes),
        }
        resources = np.array(top.resource_of_scope, np.int64)[scopes]
        for name, texts in self._resources(top).items():
            found[f"resource_{name}"] = (pa.array(texts, pa.binary()), resources)
        return found

    def _resources(self, top: _Top) -> dict[str, list[bytes]]:
        """Of each resource what its attributes say, by what it is to us; the first name that is there wins."""
        octets = Octets([message for messages in top.resources for message in messages])
        owners = np.repeat(np.arange(len(top.resources)), [len(messages) for messages in top.resources])
        keys, key_lengths, values, value_lengths, strange = _pairs(octets, octets.starts, octets.lengths)
        indices = self._resource_names.indices(octets, keys, key_lengths)
        known = np.flatnonzero(indices)
        texts, damaged = _texts(Slices(octets, values[known], value_lengths[known]))
        if odd := [*owners[strange].tolist(), *owners[known[damaged]].tolist()]:
            raise Odd([top.request_of_resource[owner] for owner in odd])
        said: list[dict[int, bytes]] = [{} for _ in top.resources]
        for owner, index, text in zip(owners[known].tolist(), indices[known].tolist(), texts, strict=True):
            said[owner].setdefault(index, text)
        found, first = {}, 1
        for name, names in RESOURCE.items():
            places = range(first, first + len(names))
            found[name] = [next((one[place] for place in places if one.get(place)), b"") for one in said]
            first += len(names)
        return found


class _Top:
    """What is above the spans, read by protobuf's own library: it hands on spans as they stand."""

    def __init__(self, bodies: Sequence[bytes], entries_max: int) -> None:
        self.spans: list[bytes] = []
        self.scopes: list[bytes] = []
        self.versions: list[bytes] = []
        self.resources: list[list[bytes]] = []
        self.resource_of_scope: list[int] = []
        self.request_of_resource: list[int] = []
        self._counts: list[int] = []
        self._requests: list[int] = []
        odd, large, entries = [], [], 0
        for number, body in enumerate(bodies):
            try:
                request = _Request.FromString(body)
            except DecodeError:
                odd.append(number)
                continue
            own = _entries(request, entries_max)
            entries += own
            if own > entries_max:
                large.append(number)
            elif mistaken(request, 3):
                odd.append(number)
            elif entries <= entries_max:
                self._take(request, number)
        if large or entries > entries_max:
            raise TooMany(large)
        if odd:
            raise Odd(odd)
        self.scope_of_span = np.repeat(np.arange(len(self._counts)), self._counts)
        self.request = np.array(self._requests, np.int64)[self.scope_of_span]

    def _take(self, request: Any, number: int) -> None:
        for of_resource in request.resource_spans:
            self.resources.append(list(of_resource.resource.attributes))
            self.request_of_resource.append(number)
            for of_scope in of_resource.scope_spans:
                self.resource_of_scope.append(len(self.resources) - 1)
                self.scopes.append(of_scope.scope.name)
                self.versions.append(of_scope.scope.version)
                self.spans += of_scope.spans
                self._counts.append(len(of_scope.spans))
                self._requests.append(number)


def mistaken(message: Any, depth: int = 100) -> bool:
    """Whether a field that the message knows is there as another kind: to the library it is one that nobody knows."""
    known = message.DESCRIPTOR.fields_by_number
    if any(field.field_number in known for field in UnknownFieldSet(message)):
        return True
    below = [(field, value) for field, value in message.ListFields() if depth and field.message_type is not None]
    return any(mistaken(one, depth - 1) for field, value in below for one in (value if field.is_repeated else [value]))


def _entries(request: Any, most: int) -> int:
    """How much is in a request; any number above `most` where that is too much."""
    found = len(request.resource_spans)
    for of_resource in request.resource_spans:
        found += len(of_resource.resource.attributes) + len(of_resource.scope_spans)
        if found > most:
            break
        found += sum(len(of_scope.spans) for of_scope in of_resource.scope_spans)
    return found


def _pairs(octets: Octets, starts: Any, lengths: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Attributes: places and lengths of their keys, places and lengths of their values, which of them are odd."""
    data, ends = octets.data, starts + lengths
    keys = starts + 2
    key_lengths = data.take(starts + 1).astype(np.int64)
    values = keys + key_lengths
    right = (data.take(starts) == _KEY) & (key_lengths < LONG) & (data.take(values, mode="clip") == _VALUE)
    value_lengths = data.take(values + 1, mode="clip").astype(np.int64)
    values += 2
    right &= (value_lengths < LONG) & (values + value_lengths == ends)
    odd = np.zeros(len(starts), bool)
    if not right.all():  # long ones, above all
        rows = np.flatnonzero(~right)
        found = walk(octets, starts[rows], lengths[rows], [_KEY, _VALUE], {}, [_VALUE])
        keys[rows], key_lengths[rows] = found.one[_KEY]
        values[rows], value_lengths[rows] = found.one[_VALUE]
        odd[rows] = found.odd
    return keys, key_lengths, values, value_lengths, odd


def _columns(pieces: Sequence[tuple[Any, ...]], width: int) -> list[Any]:
    return [np.concatenate(column) for column in zip(*pieces, strict=True)] or [np.zeros(0, np.int64)] * width


def _texts(values: Slices) -> tuple[list[bytes], list[int]]:
    """(values as texts, empty where they are none; the places of those that are damaged)."""
    try:
        read = Values(values)
    except Damaged as damaged:
        return [b""] * len(values), list(damaged.places)
    rows = np.arange(len(values))
    return [text.encode() if text else b"" for text in read.texts(rows, read.kinds == STRING).to_pylist()], []


def _bytes(octets: Octets, field: Any, rows: int) -> pa.BinaryArray:
    return pa.array([b""] * rows, pa.binary()) if field is None else Slices(octets, *field).all()


def _number(field: Any, rows: int) -> Any:
    return np.zeros(rows, np.int64) if field is None else np.where(field[0] > 0, field[1], 0)


def _request_class() -> Any:
    """The part of a request that is above its spans; these, and attributes, stay bytes."""
    file = descriptor_pb2.FileDescriptorProto(name="tachograph/requests.proto", package="tachograph", syntax="proto3")
    one, many = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL, descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
    octets, message = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES, descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
    for name, fields in {
        "Scope": [("name", one, ""), ("version", one, "")],
        "Resource": [("attributes", many, "")],
        "ScopeSpans": [("scope", one, "Scope"), ("spans", many, "")],
        "ResourceSpans": [("resource", one, "Resource"), ("scope_spans", many, "ScopeSpans")],
        "Request": [("resource_spans", many, "ResourceSpans")],
    }.items():
        declared = file.message_type.add(name=name)
        for number, (field, label, of) in enumerate(fields, 1):
            kind, full = (message, f".tachograph.{of}") if of else (octets, None)
            declared.field.add(name=field, number=number, label=label, type=kind, type_name=full)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tachograph.Request"))


_Request = _request_class()

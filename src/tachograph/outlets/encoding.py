"""Calls -> the body of one OTLP request, in protobuf, written by hand: this runs in the user's process, for every call.

In: Calls. Out: the bytes of an ExportTraceServiceRequest, one CLIENT span a call, by resource.
What it must never know: HTTP, what an attribute means.

Why by hand: a span through the generated classes costs 100 to 200 us. Here a field is a piece of bytes that is put
together once for each value that few-valued fields and counts have, and remembered.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from tachograph.call import EPOCH, Call
from tachograph.outlets.attributes import (
    ATTRIBUTES,
    CALL_ID,
    VALUES,
    Attribute,
    Form,
    failed,
    more,
    name_of,
    resource,
    values_of,
)
from tachograph.version import VERSION

_REMEMBERED_MAX = 4096  # values of one field
_CLIENT, _ERROR = 3, 2
_SPAN_ATTRIBUTE, _RESOURCE_ATTRIBUTE = b"\x4a", b"\x0a"
_KIND = bytes((0x30, _CLIENT))
_STATUS = bytes((0x7A, 2, 0x18, _ERROR))
_start, _start_end = struct.Struct("<cQ").pack, struct.Struct("<cQcQ").pack
_DIRECT = (Form.TEXT, Form.NUMBER, Form.SECONDS, Form.WORDS, Form.JSON, Form.MONEY)


class Encoder:
    """Holds what it remembers; one thread at a time."""

    def __init__(self) -> None:
        self._encoders = [_encoder(attribute) for attribute in ATTRIBUTES]
        self._names = _Remembered(lambda name: _field(b"\x2a", name.encode("utf-8", "replace")) + _KIND)
        self._resources: dict[tuple[str, str, str], bytes] = {}
        scope = _field(b"\x0a", b"tachograph") + _field(b"\x12", VERSION.encode())
        self._scope = _field(b"\x0a", scope)

    def request(self, calls: Sequence[Call]) -> bytes:
        """The body of one request."""
        by_resource: dict[tuple[str, str, str], list[bytes]] = {}
        for call in calls:
            key = call.service, call.environment, call.region
            if key not in by_resource:
                by_resource[key] = [self._scope]
                self._resources.setdefault(key, _resource(call))
            by_resource[key].append(self._span(call))
        if len(self._resources) > _REMEMBERED_MAX:
            self._resources.clear()
        found = []
        for key, parts in by_resource.items():
            said = self._resources.get(key, b"")
            found.append(_field(b"\x0a", said + _field(b"\x12", b"".join(parts))))
        return b"".join(found)

    def _span(self, call: Call) -> bytes:
        """`ScopeSpans.spans` of one call."""
        parts = [_ids(call), self._names[name_of(call)], _start_and_end(call)]
        parts += [
            encode(value)
            for encode, value in zip(self._encoders, values_of(call), strict=True)
            if value is not None and value != ""
        ]
        parts += [_attribute(name, value) for name, value in more(call).items()]
        if not (call.trace_id and call.span_id):
            parts.append(_attribute(CALL_ID, call.call_id))
        if failed(call):
            parts.append(_STATUS)
        return _field(b"\x12", b"".join(parts))


class _Remembered(dict[Any, bytes]):
    """value -> its bytes, made once; forgotten when there are too many."""

    def __init__(self, make: Callable[[Any], bytes]) -> None:
        self._make = make

    def __missing__(self, value: Any) -> bytes:
        if len(self) >= _REMEMBERED_MAX:
            self.clear()
        found = self[value] = self._make(value)
        return found


def _encoder(attribute: Attribute) -> Callable[[Any], bytes]:
    value_of, default = VALUES[attribute.form], attribute.default
    if attribute.form is Form.TEXT:
        return _text_encoder(attribute.name)
    if attribute.form in (Form.NUMBER, Form.SECONDS, Form.MONEY):
        return _double_encoder(attribute.name, value_of)

    def encode(value: Any) -> bytes:
        return b"" if value == default else _attribute(attribute.name, value_of(value))

    return encode if attribute.form in _DIRECT else _Remembered(encode).__getitem__


def _text_encoder(name: str) -> Callable[[str], bytes]:
    key = _field(b"\x0a", name.encode())
    # Short texts have lengths of one byte each: what stands before them depends on their length alone.
    short = [
        _SPAN_ATTRIBUTE + bytes((len(key) + length + 4,)) + key + bytes((0x12, length + 2, 0x0A, length))
        for length in range(max(0, 124 - len(key)))
    ]

    def encode(text: str) -> bytes:
        octets = text.encode("utf-8", "replace")
        length = len(octets)
        if length < len(short):
            return short[length] + octets
        return _field(_SPAN_ATTRIBUTE, key + _field(b"\x12", _field(b"\x0a", octets)))

    return encode


def _double_encoder(name: str, value_of: Callable[[Any], float]) -> Callable[[Any], bytes]:
    key = _field(b"\x0a", name.encode()) + b"\x12\x09\x21"
    before = _SPAN_ATTRIBUTE + _varint(len(key) + 8) + key
    pack = struct.Struct("<d").pack
    return lambda value: before + pack(value_of(value))


def _ids(call: Call) -> bytes:
    """The ids of trace, span and parent. A call without any is given some by its own id, always the same."""
    trace = call.trace_id or call.call_id
    span = call.span_id or hashlib.sha256(call.call_id.encode()).hexdigest()[:16]
    found = b"\x0a\x10" + bytes.fromhex(trace) + b"\x12\x08" + bytes.fromhex(span)
    return found + b"\x22\x08" + bytes.fromhex(call.parent_span_id) if call.parent_span_id else found


def _start_and_end(call: Call) -> bytes:
    start = _nanoseconds(call.started_at)
    if call.duration_ms is None:  # nobody knows when it ended: nothing is stated
        return _start(b"\x39", start)
    return _start_end(b"\x39", start, b"\x41", start + round(call.duration_ms * 1000) * 1000)


def _nanoseconds(moment: datetime) -> int:
    since = moment - EPOCH
    return max(0, (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


def _resource(call: Call) -> bytes:
    sdk = {"telemetry.sdk.name": "tachograph", "telemetry.sdk.language": "python", "telemetry.sdk.version": VERSION}
    said = {**resource(call), **sdk}
    return _field(b"\x0a", b"".join([_attribute(name, value, _RESOURCE_ATTRIBUTE) for name, value in said.items()]))


def _attribute(name: str, value: Any, tag: bytes = _SPAN_ATTRIBUTE) -> bytes:
    return _field(tag, _field(b"\x0a", name.encode("utf-8", "replace")) + _field(b"\x12", _any(value)))


def _any(value: Any) -> bytes:
    if isinstance(value, str):
        return _field(b"\x0a", value.encode("utf-8", "replace"))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + _varint(value)
    if isinstance(value, float):
        return b"\x21" + struct.pack("<d", value if math.isfinite(value) else 0.0)
    return _field(b"\x2a", b"".join([_field(b"\x0a", _any(item)) for item in value]))


def _field(tag: bytes, octets: bytes) -> bytes:
    length = len(octets)
    return tag + (_ONE_BYTE[length] if length < 128 else _varint(length)) + octets


_ONE_BYTE = [bytes((length,)) for length in range(128)]


def _varint(number: int) -> bytes:
    found = bytearray()
    number &= (1 << 64) - 1
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)

"""OTLP in JSON becomes the same OTLP in protobuf.

In: bytes of JSON. Out: bytes of protobuf; Refused, in one line with the path, for what is not OTLP. Names of either
case, numbers as text, enums by name or number, ids in hex; members that we do not know are left out.
What it must never know: what a member means, HTTP.
Why not protobuf's own reader of JSON: it takes three times the time, takes text or a list for an empty message (so that
spans would vanish without a word), and reads ids as base64. The fields, their numbers and types are those of the
generated classes, none is written down here.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tachograph.flow import Refused

Write = Callable[[Any], bytes]  # a member's value as bytes of protobuf

IDS = frozenset({"trace_id", "span_id", "parent_span_id"})
SHOWN_CHARACTERS_MAX = 40
_VARINT, _FIXED64, _SIZED, _FIXED32 = 0, 1, 2, 5  # protobuf's wire types


class _WrongError(ValueError):
    """A member that cannot be what it should; the path is put together on the way out."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.path: list[str] = []

    def __str__(self) -> str:
        return f"{''.join(reversed(self.path)).lstrip('.')}: {self.args[0]}" if self.path else str(self.args[0])


class Transcoder:
    """Knows the messages of the three signals."""

    def __init__(self) -> None:
        self._written: dict[str, dict[str, Write]] = {}
        self._requests = {
            "traces": self._message(ExportTraceServiceRequest.DESCRIPTOR),
            "logs": self._message(ExportLogsServiceRequest.DESCRIPTOR),
            "metrics": self._message(ExportMetricsServiceRequest.DESCRIPTOR),
        }

    def __call__(self, signal: str, body: bytes) -> bytes:
        """`body` in protobuf."""
        try:
            return self._requests[signal](json.loads(body))
        except RecursionError as error:
            raise Refused("not_otlp", "not OTLP in JSON: nested too deep") from error
        except ValueError as error:
            raise Refused("not_otlp", f"not OTLP in JSON: {' '.join(str(error).split())}") from error

    def _message(self, descriptor: Descriptor) -> Write:
        """What writes a message of this kind, without a tag. A message may hold its own kind."""
        known = descriptor.full_name in self._written
        fields = self._written.setdefault(descriptor.full_name, {})
        if not known:
            for field in descriptor.fields:
                fields[field.name] = fields[field.json_name] = self._field(field)
        choices = [oneof.fields for oneof in descriptor.oneofs if len(oneof.fields) > 1]

        def write(value: Any) -> bytes:
            if type(value) is not dict:
                raise _wrong(value, "an object")
            parts = []
            for name, member in value.items():
                field = fields.get(name)
                if field is not None and member is not None:
                    try:
                        parts.append(field(member))
                    except _WrongError as wrong:
                        wrong.path.append("." + name)
                        raise
            if choices and len(parts) > 1:
                _check_choices(choices, value)
            return b"".join(parts)

        return write

    def _field(self, field: FieldDescriptor) -> Write:
        if field.message_type is not None:
            write, wire = _sized(self._message(field.message_type)), _SIZED
        else:
            write, wire = _scalar(field)
        tag = _varint(field.number << 3 | wire)
        if not field.is_repeated:
            return lambda value: tag + write(value)
        if wire == _SIZED:
            return _repeated(lambda value: tag + write(value))
        tag = _varint(field.number << 3 | _SIZED)
        packed = _sized(_repeated(write))
        return lambda values: tag + packed(values)


def _check_choices(choices: Sequence[Sequence[FieldDescriptor]], value: dict[str, Any]) -> None:
    for fields in choices:
        given = [name for field in fields for name in {field.name, field.json_name} if value.get(name) is not None]
        if len(given) > 1:
            raise _WrongError(f"{' and '.join(sorted(given))} exclude one another")


def _repeated(write: Write) -> Write:
    def write_all(values: Any) -> bytes:
        if type(values) is not list:
            raise _wrong(values, "a list")
        parts = []
        for value in values:
            try:
                parts.append(write(value))
            except _WrongError as wrong:
                wrong.path.append(f"[{len(parts)}]")
                raise
        return b"".join(parts)

    return write_all


def _sized(write: Write) -> Write:
    def write_sized(value: Any) -> bytes:
        written = write(value)
        return _varint(len(written)) + written

    return write_sized


def _varint(number: int) -> bytes:
    if number < 0x80:
        return _SHORT[number]
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


_SHORT = [bytes([number]) for number in range(0x80)]


def _scalar(field: FieldDescriptor) -> tuple[Write, int]:
    """What writes a plain value of the field, without a tag, and its wire type."""
    kind = field.type
    if kind == FieldDescriptor.TYPE_STRING:
        return _sized(_text), _SIZED
    if kind == FieldDescriptor.TYPE_BYTES:
        return _sized(_hex if field.name in IDS else _base64), _SIZED
    if kind == FieldDescriptor.TYPE_BOOL:
        return _truth, _VARINT
    if kind == FieldDescriptor.TYPE_DOUBLE:
        return _double, _FIXED64
    if kind == FieldDescriptor.TYPE_ENUM:
        return _enum({value.name: value.number for value in field.enum_type.values}), _VARINT
    return _INTEGERS[kind]


def _wrong(value: Any, wanted: str) -> _WrongError:
    shown = json.dumps(value) if isinstance(value, str | int | float) else type(value).__name__
    return _WrongError(f"{shown[:SHOWN_CHARACTERS_MAX]} is not {wanted}")


def _text(value: Any) -> bytes:
    if type(value) is not str:
        raise _wrong(value, "text")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise _wrong(value, "Unicode text") from error


def _hex(value: Any) -> bytes:
    try:
        return binascii.unhexlify(value)
    except (ValueError, TypeError) as error:
        raise _wrong(value, "hex digits") from error


def _base64(value: Any) -> bytes:
    try:
        padded = value.translate(_URL_SAFE) + "=" * (-len(value) % 4)
        return base64.b64decode(padded, validate=True)
    except (ValueError, AttributeError) as error:
        raise _wrong(value, "base64") from error


_URL_SAFE = str.maketrans("-_", "+/")


def _truth(value: Any) -> bytes:
    if type(value) is not bool:
        raise _wrong(value, "true or false")
    return _SHORT[value]


def _double(value: Any) -> bytes:
    try:
        if type(value) is bool:
            raise TypeError
        return struct.pack("<d", float(value))
    except (ValueError, TypeError, OverflowError) as error:
        raise _wrong(value, "a number") from error


def _enum(numbers: dict[str, int]) -> Write:
    known = {name: _varint(number) for name, number in numbers.items()}
    by_number = _integer(-(2**31), 2**31 - 1, _signed_varint)

    def write(value: Any) -> bytes:
        if type(value) is str and not value.lstrip("-").isdigit():
            return known.get(value, _SHORT[0])  # a name of tomorrow: unspecified
        return by_number(value)

    return write


def _signed_varint(number: int) -> bytes:
    return _varint(number & 0xFFFF_FFFF_FFFF_FFFF)


def _zigzag(number: int) -> bytes:
    return _varint(number << 1 if number >= 0 else ~(number << 1))


def _integer(low: int, high: int, write: Callable[[int], bytes]) -> Write:
    def write_integer(value: Any) -> bytes:
        number = value if type(value) is int else _whole(value)
        if not low <= number <= high:
            raise _WrongError(f"{str(value)[:SHOWN_CHARACTERS_MAX]} is not within {low} and {high}")
        return write(number)

    return write_integer


def _whole(value: Any) -> int:
    if type(value) is str and value.isascii() and value.removeprefix("-").isdigit():
        try:
            return int(value)
        except ValueError as error:  # thousands of digits
            raise _wrong(value, "a whole number") from error
    if type(value) is float and value.is_integer():
        return int(value)
    raise _wrong(value, "a whole number")


_UNSIGNED_32, _UNSIGNED_64 = (0, 2**32 - 1), (0, 2**64 - 1)
_SIGNED_32, _SIGNED_64 = (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1)
_INTEGERS: dict[int, tuple[Write, int]] = {
    FieldDescriptor.TYPE_INT64: (_integer(*_SIGNED_64, _signed_varint), _VARINT),
    FieldDescriptor.TYPE_INT32: (_integer(*_SIGNED_32, _signed_varint), _VARINT),
    FieldDescriptor.TYPE_UINT64: (_integer(*_UNSIGNED_64, _varint), _VARINT),
    FieldDescriptor.TYPE_UINT32: (_integer(*_UNSIGNED_32, _varint), _VARINT),
    FieldDescriptor.TYPE_SINT32: (_integer(*_SIGNED_32, _zigzag), _VARINT),
    FieldDescriptor.TYPE_FIXED64: (_integer(*_UNSIGNED_64, struct.Struct("<Q").pack), _FIXED64),
    FieldDescriptor.TYPE_SFIXED64: (_integer(*_SIGNED_64, struct.Struct("<q").pack), _FIXED64),
    FieldDescriptor.TYPE_FIXED32: (_integer(*_UNSIGNED_32, struct.Struct("<I").pack), _FIXED32),
}

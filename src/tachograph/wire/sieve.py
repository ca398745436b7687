"""JSON in pieces, in bounded memory: what is too long to matter is dropped while it passes.

In: bytes of one or more JSON values, in chunks of any size. Out: Python values of bounded size, each as soon as it
is complete. Long strings are cut, long arrays, large objects and deep nesting lose their tail; telemetry members are
kept wherever they stand. Used where a value is too large to hold (base64 images, embeddings, repeated citations) and
where values arrive piecewise (a JSON array that is a stream). Never raises: bytes that are no JSON are skipped and
counted in `damaged`. Linear in the bytes, however they are cut.
What it must never know: which API the bytes belong to, beyond the member names that count tokens.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tachograph.wire.telemetry import KEPT, WHOLE

STRING_BYTES_MAX = 4096
NAME_BYTES_MAX = 256
NUMBER_BYTES_MAX = 64
ITEMS_MAX = 256
SCALARS_MAX = 8  # of the numbers, strings and words of one array: vectors are content, and long
DEPTH_MAX = 64
KEPT_DEPTH_MAX = 3
# What one value may weigh; the reserve is for telemetry that comes after the rest was already too much.
NODES_MAX, NODES_RESERVED = 6000, 1000
BYTES_MAX, BYTES_RESERVED = 256 * 1024, 64 * 1024

_STRING_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_SCALAR_STOP = re.compile(rb'[\s,\]}\["{:]')
_NEXT_TOKEN = re.compile(rb"[^\s]")
_STRUCTURE = re.compile(rb'["{}\[\]]')
# Fast paths: they match only what lies whole in the piece, and mean what the slow path would mean.
_MEMBER = re.compile(rb'[\s,]*+"([^"\\]*+)"\s*+:\s*+')
_STRING = re.compile(rb'"([^"\\]*+)"')
_SCALAR = re.compile(rb"[^\s,\]}\[\"{:]++(?=[\s,\]}])")
_UNSTRUCTURED = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)

_NUMBER = re.compile(rb"(-?(?:0|[1-9]\d*))(\.\d+)?([eE][+-]?\d+)?")
_WORDS: dict[bytes, Any] = {
    b"true": True,
    b"false": False,
    b"null": None,
    b"NaN": None,
    b"Infinity": None,
    b"-Infinity": None,
}


class Sieve:
    """Feeds on bytes, returns the top-level values completed by each piece.

    elements: an outermost array is a stream, so its elements are returned one by one instead of the array.
    damaged: tokens that were no JSON. trimmed: something was dropped. cut: the input ended inside a value.
    """

    def __init__(self, *, elements: bool = False) -> None:
        self.damaged = 0
        self.trimmed = False
        self.cut = False
        self._elements = elements
        self._in_stream = False  # inside the outermost array of a stream
        self._stack: list[_Open] = []
        self._skipped = 0  # containers open inside (and with) one that is dropped
        self._nodes = 0
        self._bytes = 0
        self._text: bytearray | None = None  # inside a string: the part that is kept
        self._escape = False
        self._scalar = bytearray()
        self._out: list[Any] = []

    @property
    def open(self) -> bool:
        """Whether something has begun and not ended: a value, or the outer array of a stream."""
        return bool(self._stack or self._in_stream or self._skipped or self._scalar or self._text is not None)

    def feed(self, data: bytes) -> list[Any]:
        """The values that this piece completed, in order."""
        at, end = 0, len(data)
        while at < end:
            if self._text is not None:
                at = self._string(data, at)
            elif self._skipped:
                at = self._skip(data, at)
            elif self._scalar:
                at = self._rest_of_scalar(data, at)
            else:
                at = self._token(data, at)
        out, self._out = self._out, []
        return out

    def finish(self) -> list[Any]:
        """The values completed by the end of the input; an open container is returned as far as it came."""
        if self._scalar:
            self._end_scalar()
        self.cut = self.open
        if self._text is not None:
            self._end_string()
        self._skipped, self._in_stream = 0, False
        while self._stack:
            self._close()
        self.damaged += self.cut
        out, self._out = self._out, []
        return out

    def _token(self, data: bytes, at: int) -> int:
        level = self._stack[-1] if self._stack else None
        if level is not None and level.full:
            found = _STRUCTURE.search(data, at)
        elif level is not None and level.is_object and not level.name_seen:
            member = _MEMBER.match(data, at)
            if member is not None:
                level.name, level.name_seen = self._name(member.group(1)), True
                return member.end()
            found = _NEXT_TOKEN.search(data, at)
        else:
            found = _NEXT_TOKEN.search(data, at)
        if found is None:
            return len(data)
        at = found.start()
        byte = data[at]
        if byte == 0x22:  # "
            return self._begin_string(data, at)
        if byte in b"{[":
            self._begin(byte == 0x7B)
        elif byte in b"}]":
            self._end(byte == 0x7D)
        elif byte == 0x3A:  # :
            self._name_done()
        elif byte == 0x2C:  # ,
            if level is not None:
                level.name, level.name_seen = None, False
        else:
            return self._begin_scalar(data, at)
        return at + 1

    # strings

    def _begin_string(self, data: bytes, at: int) -> int:
        whole = _STRING.match(data, at)
        if whole is None:
            self._text, self._escape = bytearray(), False
            return at + 1
        self._string_done(whole.group(1)[: STRING_BYTES_MAX + 1])
        return whole.end()

    def _string(self, data: bytes, at: int) -> int:
        """The rest of a string that has begun, or as much of it as this piece holds."""
        if self._escape:
            self._escape = False
            self._keep(data[at : at + 1])
            at += 1
        end = _STRING_REST.match(data, at).end()  # type: ignore[union-attr]  # it matches the empty string
        self._keep(data[at:end])
        if end == len(data):
            return end
        if data[end] == 0x22:
            self._end_string()
        else:
            self._keep(b"\\")
            self._escape = True
        return end + 1

    def _keep(self, piece: bytes) -> None:
        assert self._text is not None
        room = STRING_BYTES_MAX + 1 - len(self._text)  # one byte more tells what was cut from what just fits
        if room > 0:
            self._text += piece[:room]

    def _end_string(self) -> None:
        raw, self._text, self._escape = bytes(self._text or b""), None, False
        if not self._skipped:
            self._string_done(raw)

    def _string_done(self, raw: bytes) -> None:
        level = self._stack[-1] if self._stack else None
        if level is not None and level.is_object and not level.name_seen:
            level.name = self._name(raw)
            return
        if level is None or self._wanted(level, scalar=True):
            self._bytes += len(raw)
            self._value(self._decoded(raw, STRING_BYTES_MAX))
        else:
            self._dropped(level)

    def _name(self, raw: bytes) -> str:
        return self._decoded(raw, NAME_BYTES_MAX)

    def _decoded(self, raw: bytes, bytes_max: int) -> str:
        if len(raw) > bytes_max:
            self.trimmed = True
            raw = raw[:bytes_max]
        return _unescaped(raw) if b"\\" in raw else raw.decode("utf-8", "replace")

    # numbers and words

    def _begin_scalar(self, data: bytes, at: int) -> int:
        whole = _SCALAR.match(data, at)
        if whole is None:
            return self._rest_of_scalar(data, at)
        self._scalar_done(whole.group()[: NUMBER_BYTES_MAX + 1])
        return whole.end()

    def _rest_of_scalar(self, data: bytes, at: int) -> int:
        stop = _SCALAR_STOP.search(data, at)
        end = stop.start() if stop else len(data)
        room = NUMBER_BYTES_MAX + 1 - len(self._scalar)
        if room > 0:
            self._scalar += data[at : min(end, at + room)]
        if stop is not None:
            self._end_scalar()
        return end

    def _end_scalar(self) -> None:
        raw, self._scalar = bytes(self._scalar), bytearray()
        self._scalar_done(raw)

    def _scalar_done(self, raw: bytes) -> None:
        level = self._stack[-1] if self._stack else None
        if level is not None and not self._wanted(level, scalar=True):
            self._dropped(level)
            return
        number = _NUMBER.fullmatch(raw)
        if len(raw) > NUMBER_BYTES_MAX:  # half a number would be a wrong number
            self.trimmed = True
            self._value(None)
        elif number is not None:
            self._value(int(raw) if number.lastindex == 1 else float(raw))
        elif raw in _WORDS:
            self._value(_WORDS[raw])
        else:
            self.damaged += 1
            if level is not None:
                level.name, level.name_seen = None, False

    # containers

    def _name_done(self) -> None:
        if self._stack and self._stack[-1].is_object:
            self._stack[-1].name_seen = True

    def _begin(self, is_object: bool) -> None:
        level = self._stack[-1] if self._stack else None
        if level is None and self._elements and not is_object and not self._in_stream:
            self._in_stream = True
            return
        if level is not None and (len(self._stack) >= DEPTH_MAX or not self._wanted(level, scalar=False)):
            self._skipped = 1
            return
        self._nodes += 1
        self._stack.append(_Open(level, is_object, len(self._stack)))

    def _skip(self, data: bytes, at: int) -> int:
        """Through a container that is dropped, counting brackets."""
        while at < len(data):
            at = _UNSTRUCTURED.match(data, at).end()  # type: ignore[union-attr]  # it matches the empty string
            byte = data[at : at + 1]
            at += 1
            if byte == b'"':
                self._text, self._escape = bytearray(), False
                return at
            if byte in (b"{", b"["):
                self._skipped += 1
            elif byte:
                self._skipped -= 1
                if not self._skipped:
                    self._dropped(self._stack[-1])
                    return at
        return at

    def _end(self, is_object: bool) -> None:
        if self._stack:
            self.damaged += self._stack[-1].is_object != is_object
            self._close()
        elif self._in_stream and not is_object:
            self._in_stream = False
        else:
            self.damaged += 1

    def _close(self) -> None:
        done = self._stack.pop().container
        if self._stack:
            self._put(self._stack[-1], done)
        else:
            self._emit(done)

    def _wanted(self, level: _Open, *, scalar: bool) -> bool:
        """Whether there is room for one more value in this container."""
        if level.is_object:
            kept = level.name in KEPT and len(self._stack) <= KEPT_DEPTH_MAX
            room = kept or len(level.container) < ITEMS_MAX
        else:
            kept = level.kept
            room = len(level.container) < (SCALARS_MAX if scalar else ITEMS_MAX)
        if kept or level.whole:
            nodes, weight = NODES_MAX + NODES_RESERVED, BYTES_MAX + BYTES_RESERVED
        else:
            nodes, weight = NODES_MAX, BYTES_MAX
        return room and self._nodes < nodes and self._bytes < weight

    def _dropped(self, level: _Open) -> None:
        self.trimmed = True
        level.name, level.name_seen = None, False
        level.full = not level.is_object

    def _value(self, value: Any) -> None:
        if self._stack:
            self._nodes += 1
            self._put(self._stack[-1], value)
        else:
            self._emit(value)

    def _put(self, level: _Open, value: Any) -> None:
        if not level.is_object:
            level.container.append(value)
            return
        if level.name is not None and level.name_seen:
            level.container[level.name] = value
            self._bytes += len(level.name)
        level.name, level.name_seen = None, False

    def _emit(self, value: Any) -> None:
        self._nodes = self._bytes = 0
        self._out.append(value)


class _Open:
    """A container that has begun.

    kept: it is a telemetry member. whole: so is everything inside it. full: an array that has dropped an item.
    """

    __slots__ = ("container", "full", "is_object", "kept", "name", "name_seen", "whole")

    def __init__(self, outer: _Open | None, is_object: bool, depth: int) -> None:
        self.container: Any = {} if is_object else []
        self.is_object: bool = is_object
        name = outer.name if outer is not None and depth <= KEPT_DEPTH_MAX else None
        self.kept = name in KEPT
        self.whole: bool = name in WHOLE or (outer is not None and outer.whole)
        self.name: str | None = None
        self.name_seen = False
        self.full = False


def _unescaped(raw: bytes) -> str:
    """The text of a JSON string, whose end may have been cut inside an escape or a UTF-8 sequence."""
    text = raw.decode("utf-8", "replace")
    for cut in range(7):
        try:
            return str(json.loads('"' + text[: max(0, len(text) - cut)] + '"', strict=False))
        except ValueError:
            continue
    return text

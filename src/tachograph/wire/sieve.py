"""JSON in pieces, in bounded memory: what is too long to matter is dropped while it passes.

In: bytes of one or more JSON values, in chunks of any size. Out: Python values of bounded size.
Long strings are cut, long arrays and large objects lose their tail (telemetry members are always kept), deep
nesting is flattened to None. Used where a value is too large to hold (base64 images, embeddings, repeated
citations) and where values arrive piecewise (a JSON array that is a stream). Never raises: bytes that are no
JSON are skipped and counted in `damaged`.
What it must never know: which API the bytes belong to, beyond the member names that count tokens.
"""

from __future__ import annotations

import json
import re
from typing import Any

STRING_BYTES_MAX = 4096
ITEMS_MAX = 256
DEPTH_MAX = 64
NODES_MAX = 20_000
NUMBER_BYTES_MAX = 64

# Members that are kept however full the value already is: they carry counts, names, verdicts and no content.
KEPT = frozenset(
    (
        "cost",
        "data",
        "delta",
        "details",
        "done",
        "error",
        "errors",
        "eval_count",
        "finishReason",
        "finish_reason",
        "id",
        "incomplete_details",
        "interaction",
        "message",
        "meta",
        "meta_info",
        "metadata",
        "metrics",
        "model",
        "modelVersion",
        "predictions",
        "promptFeedback",
        "prompt_eval_count",
        "provider",
        "response",
        "responseId",
        "serviceTier",
        "service_tier",
        "statistics",
        "status",
        "stopReason",
        "stop_reason",
        "svg_usage",
        "time_info",
        "timings",
        "total_tokens",
        "type",
        "usage",
        "usageMetadata",
        "usage_info",
        "x_groq",
    )
)

_SPACE = b" \t\r\n"
_STRING_STOP = re.compile(rb'["\\]')
_SCALAR_STOP = re.compile(rb'[\s,\]}\["{:]')
_NEXT_TOKEN = re.compile(rb"[^\s]")


class Sieve:
    """Feeds on bytes, returns the top-level values completed by each piece.

    elements: an outermost array is a stream, so its elements are returned one by one instead of the array.
    """

    def __init__(self, *, elements: bool = False) -> None:
        self.damaged = 0
        self.trimmed = 0
        self._elements = elements
        self._stack: list[_Open] = []
        self._out: list[Any] = []
        self._nodes = 0
        self._text: bytearray | None = None  # inside a string: the part that is kept
        self._escape = False
        self._scalar = bytearray()

    @property
    def open(self) -> bool:
        """Whether a value has begun and not ended (the outer array of a stream does not count)."""
        if self._text is not None or self._scalar:
            return True
        return any(not (level.stream) for level in self._stack)

    def feed(self, data: bytes) -> list[Any]:
        """The values that this piece completed, in order."""
        at, end = 0, len(data)
        while at < end:
            if self._text is not None:
                at = self._string(data, at)
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
        if self._text is not None:
            self._end_string()
            self.damaged += 1
        while self._stack:
            if not self._stack[-1].stream:
                self.damaged += 1
            self._close()
        out, self._out = self._out, []
        return out

    def _token(self, data: bytes, at: int) -> int:
        found = _NEXT_TOKEN.search(data, at)
        if found is None:
            return len(data)
        at = found.start()
        byte = data[at]
        if byte == 0x22:  # "
            self._text, self._escape = bytearray(), False
        elif byte in b"{[":
            self._begin(byte == 0x7B)
        elif byte in b"}]":
            if self._stack:
                self._close()
            else:
                self.damaged += 1
        elif byte == 0x3A:  # :
            self._name_done()
        elif byte == 0x2C:  # ,
            if self._stack:
                self._stack[-1].name_seen = False
        else:
            return self._rest_of_scalar(data, at)
        return at + 1

    def _string(self, data: bytes, at: int) -> int:
        assert self._text is not None
        while True:
            if self._escape:
                self._keep(data[at : at + 1])
                self._escape = False
                at += 1
            stop = _STRING_STOP.search(data, at)
            self._keep(data[at : stop.start() if stop else len(data)])
            if stop is None:
                return len(data)
            at = stop.end()
            if stop.group() == b'"':
                self._end_string()
                return at
            self._keep(b"\\")
            self._escape = True
            if at >= len(data):
                return at

    def _keep(self, piece: bytes) -> None:
        assert self._text is not None
        room = STRING_BYTES_MAX - len(self._text)
        if room > 0:
            self._text += piece[:room]
        if len(piece) > room:
            self.trimmed += 1

    def _end_string(self) -> None:
        raw, self._text = bytes(self._text or b""), None
        level = self._stack[-1] if self._stack else None
        text = _decoded(raw)
        if level is not None and level.is_object and not level.name_seen:
            level.name = text
            return
        self._value(text)

    def _rest_of_scalar(self, data: bytes, at: int) -> int:
        stop = _SCALAR_STOP.search(data, at)
        piece = data[at : stop.start() if stop else len(data)]
        if len(self._scalar) < NUMBER_BYTES_MAX:
            self._scalar += piece[:NUMBER_BYTES_MAX]
        if stop is None:
            return len(data)
        self._end_scalar()
        return stop.start() if stop.start() > at or piece == b"" else at

    def _end_scalar(self) -> None:
        raw, self._scalar = bytes(self._scalar), bytearray()
        try:
            value = json.loads(raw, parse_constant=lambda _word: None)
        except ValueError:
            self.damaged += 1
            return
        self._value(value)

    def _name_done(self) -> None:
        if self._stack and self._stack[-1].is_object:
            self._stack[-1].name_seen = True

    def _begin(self, is_object: bool) -> None:
        stream = self._elements and not is_object and not self._stack
        kept = self._wanted() and len(self._stack) < DEPTH_MAX
        container: Any = {} if is_object else []
        if kept and not stream:
            self._nodes += 1
        if len(self._stack) >= DEPTH_MAX * 16:  # hostile nesting: count it, keep no level for it
            self.damaged += 1
            return
        self._stack.append(_Open(container if kept else None, is_object, stream))

    def _wanted(self) -> bool:
        if not self._stack:
            return True
        level = self._stack[-1]
        if level.container is None:
            return False
        if level.stream:
            return True
        if level.is_object and level.name in KEPT and len(self._stack) <= 3:
            return True
        return self._nodes < NODES_MAX and len(level.container) < ITEMS_MAX

    def _value(self, value: Any) -> None:
        if not self._stack:
            self._emit(value)
            return
        level = self._stack[-1]
        if level.stream:
            self._emit(value)
        elif not self._wanted():
            self.trimmed += 1
        else:
            self._nodes += 1
            self._put(level, value)

    def _put(self, level: _Open, value: Any) -> None:
        if level.is_object:
            if level.name is not None and level.name_seen:
                level.container[level.name] = value
            level.name, level.name_seen = None, False
        else:
            level.container.append(value)

    def _close(self) -> None:
        done = self._stack.pop()
        if done.stream:
            return
        if not self._stack or self._stack[-1].stream:
            self._emit(done.container)
            return
        level = self._stack[-1]
        if level.container is not None and done.container is not None:
            self._put(level, done.container)
        else:
            self.trimmed += 1
            level.name, level.name_seen = None, False

    def _emit(self, value: Any) -> None:
        self._nodes = 0
        self._out.append(value)


class _Open:
    """A container that has begun. container: None where it is dropped. stream: the outer array of a stream."""

    __slots__ = ("container", "is_object", "name", "name_seen", "stream")

    def __init__(self, container: Any, is_object: bool, stream: bool) -> None:
        self.container = container
        self.is_object = is_object
        self.stream = stream
        self.name: str | None = None
        self.name_seen = False


def _decoded(raw: bytes) -> str:
    """The text of a JSON string, whose end may have been cut inside an escape or a UTF-8 sequence."""
    text = raw.decode("utf-8", "replace")
    if "\\" not in text:
        return text
    for cut in range(min(7, len(text) + 1)):
        try:
            decoded = json.loads('"' + text[: len(text) - cut] + '"', strict=False)
        except ValueError:
            continue
        return decoded if isinstance(decoded, str) else text
    return text

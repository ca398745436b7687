"""JSON bodies: one document, JSON lines, or an array that is a stream -> values.

In: bytes in pieces of any size. Out: the values completed so far. What fits into `BODY_BYTES_MAX` is held and read
whole; past that, and where values do not keep to lines, a `Sieve` keeps the memory bounded. Which of the two reads
a byte depends on the bytes alone, never on how they were cut.
What it must never know: what a value means.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json.scanner import make_scanner
from typing import Any, Final, cast

from tachograph.wire.sieve import Sieve

BODY_BYTES_MAX = 128 * 1024


class _NotJson:
    def __repr__(self) -> str:
        return "NOT_JSON"


NOT_JSON: Final = _NotJson()

# NaN and Infinity are read as None: no count is ever one of them.
_decoder = json.JSONDecoder(parse_constant=lambda _word: None)
_scan = make_scanner(cast(Any, _decoder))  # `decode` without the search for blanks around the value


def decoded(text: bytes | bytearray) -> Any:
    """The JSON value of `text`, or NOT_JSON. Nesting or digits beyond Python's limits are sieved."""
    words = text.decode("utf-8", "replace")
    try:
        value, end = _scan(words, 0)
        if end == len(words):
            return value
    except (StopIteration, ValueError, RecursionError):
        pass  # what is wrong with it is told below
    try:
        return _decoder.decode(words)
    except json.JSONDecodeError:
        return NOT_JSON
    except (ValueError, RecursionError):
        sieve = Sieve()
        values = sieve.feed(bytes(text)) + sieve.finish()
        return values[0] if len(values) == 1 and not sieve.damaged else NOT_JSON


def _writer() -> Callable[[Any], str]:
    """`json.dumps` without blanks; where the library has its encoder in C, that is made once and not for each value."""
    make = getattr(json.encoder, "c_make_encoder", None)
    plain = json.JSONEncoder(separators=(",", ":"))
    if make is None:
        return plain.encode
    escaped = json.encoder.encode_basestring_ascii
    encode = make(None, plain.default, escaped, None, ":", ",", False, False, True)
    return lambda value: "".join(encode(value, 0))


written: Final = _writer()


class Document:
    """A body that is one JSON document: the value comes with `finish`, or as soon as the body is too long to hold."""

    def __init__(self) -> None:
        self.damaged = 0
        self.cut = False
        self._held = bytearray()
        self._sieve: Sieve | None = None

    def feed(self, data: bytes) -> list[tuple[str, Any]]:
        """Nothing for a body that fits."""
        if self._sieve is not None:
            return [("", value) for value in self._sieve.feed(data)]
        self._held += data
        if len(self._held) <= BODY_BYTES_MAX:
            return []
        return [("", value) for value in self._sift()]

    def finish(self) -> list[tuple[str, Any]]:
        """The document's value; of a damaged document, what could be read of it."""
        if self._sieve is not None:
            return [("", value) for value in self._end([])]
        value = decoded(self._held)
        if value is not NOT_JSON:
            return [("", value)]
        if self._held.startswith((b"{", b"[")):
            return [("", value) for value in self._end(self._sift())]
        return []

    def _sift(self) -> list[Any]:
        self._sieve = Sieve()
        values = self._sieve.feed(bytes(self._held))
        self._held.clear()
        return values

    def _end(self, values: list[Any]) -> list[Any]:
        assert self._sieve is not None
        values = values + self._sieve.finish()
        self.damaged, self.cut = self._sieve.damaged, self._sieve.cut
        return values


class Values:
    """A stream of JSON values: one a line (`application/x-ndjson`), or the elements of one array.

    A line that is a document is read at once; a line that is none (an array over many lines) goes to the sieve, and
    so do the lines after it until the sieve has closed what it opened.
    """

    def __init__(self) -> None:
        self.cut = False
        self._sieve = Sieve(elements=True)
        self._line = bytearray()
        self._sifting = False

    @property
    def damaged(self) -> int:
        """Tokens that were no JSON."""
        return self._sieve.damaged

    def feed(self, data: bytes) -> list[tuple[str, Any]]:
        """The values that this piece completed."""
        out: list[Any] = []
        at = 0
        while (end := data.find(b"\n", at)) >= 0:
            self._add(data[at:end], out)
            self._end_line(out)
            at = end + 1
        self._add(data[at:], out)
        return [("", value) for value in out]

    def finish(self) -> list[tuple[str, Any]]:
        """The values that the end of the input completed."""
        out: list[Any] = []
        self._read_line(out)
        out += self._sieve.finish()
        self.cut = self._sieve.cut
        return [("", value) for value in out]

    def _add(self, piece: bytes, out: list[Any]) -> None:
        if self._sifting:
            out += self._sieve.feed(piece)
            return
        self._line += piece
        if len(self._line) > BODY_BYTES_MAX:
            self._sift(out)

    def _end_line(self, out: list[Any]) -> None:
        self._read_line(out)
        if self._sifting:
            out += self._sieve.feed(b"\n")
            self._sifting = self._sieve.open

    def _read_line(self, out: list[Any]) -> None:
        line = self._line
        if not self._sifting and line and not line.isspace():
            value = decoded(line)
            if value is NOT_JSON:
                self._sift(out)
            else:
                out += value if isinstance(value, list) else [value]
        line.clear()

    def _sift(self, out: list[Any]) -> None:
        self._sifting = True
        out += self._sieve.feed(bytes(self._line))
        self._line.clear()

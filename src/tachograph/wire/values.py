"""JSON bodies: one document, JSON lines, or an array that is a stream -> values.

In: bytes in pieces of any size. Out: the values completed so far. A body is held whole up to
`BODY_BYTES_MAX`; past that, and for arrays that are streams, a `Sieve` keeps the memory bounded.
What it must never know: what a value means.
"""

from __future__ import annotations

import json
from typing import Any, Final

from tachograph.wire.sieve import Sieve

BODY_BYTES_MAX = 256 * 1024


class _NotJson:
    def __repr__(self) -> str:
        return "NOT_JSON"


NOT_JSON: Final = _NotJson()


def decoded(text: bytes) -> Any:
    """The JSON value of `text`, or NOT_JSON. NaN and Infinity are read as None: no count is ever one of them."""
    try:
        return json.loads(text, parse_constant=lambda _word: None)
    except (ValueError, RecursionError):
        return NOT_JSON


class Document:
    """A body that is one JSON document; the value comes with `finish`."""

    def __init__(self) -> None:
        self.damaged = 0
        self.head = bytearray()
        self._sieve: Sieve | None = None
        self._values: list[Any] = []

    def feed(self, data: bytes) -> list[tuple[str, Any]]:
        """Nothing, until the end: a document has one value."""
        if self._sieve is not None:
            self._values = (self._values + self._sieve.feed(data))[:16]
        else:
            self.head += data
            if len(self.head) > BODY_BYTES_MAX:
                self._sieve = Sieve()
                self._values = self._sieve.feed(bytes(self.head))
                del self.head[2048:]
        return []

    def finish(self) -> list[tuple[str, Any]]:
        """The document's value; of a damaged document, what could be read of it."""
        if self._sieve is None:
            text = bytes(self.head).strip()
            if not text:
                return []
            value = decoded(text)
            if value is not NOT_JSON:
                return [("", value)]
            self._sieve = Sieve()
            if text[:1] in (b"{", b"["):
                self._values = self._sieve.feed(text)
            else:
                self.damaged += 1
                return []
        values = self._values + self._sieve.finish()
        self.damaged += self._sieve.damaged
        return [("", value) for value in values]


class Values:
    """A stream of JSON values: one a line (`application/x-ndjson`), or the elements of one array."""

    def __init__(self) -> None:
        self._sieve = Sieve(elements=True)

    @property
    def damaged(self) -> int:
        """Tokens that were no JSON."""
        return self._sieve.damaged

    def feed(self, data: bytes) -> list[tuple[str, Any]]:
        """The values that this piece completed."""
        return [("", value) for value in self._sieve.feed(data)]

    def finish(self) -> list[tuple[str, Any]]:
        """A value that the end of the input completed."""
        return [("", value) for value in self._sieve.finish()]

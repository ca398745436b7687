"""Server-sent events: bytes in pieces of any size -> events.

Line ends are CRLF, LF or CR, also mixed and also cut in two. Comments are skipped, several `data:` lines are
joined, one blank after the colon is dropped. A line longer than `LINE_BYTES_MAX` is passed through a `Sieve`
while it comes, so that memory stays bounded whatever an event weighs.
What it must never know: what an event means.
"""

from __future__ import annotations

import re
from typing import Any

from tachograph.wire.sieve import Sieve
from tachograph.wire.values import NOT_JSON, decoded

LINE_BYTES_MAX = 256 * 1024

_LINE_END = re.compile(rb"\r\n|\n|\r")


class EventStream:
    """Feeds on bytes; returns (event name, value) pairs. The value of `[DONE]` is the string "[DONE]"."""

    def __init__(self) -> None:
        self.damaged = 0
        self.comments = 0
        self._line = bytearray()
        self._searched = 0
        self._sieve: Sieve | None = None
        self._sieved: list[Any] = []
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._name = ""
        self._after_cr = False

    def feed(self, data: bytes) -> list[tuple[str, Any]]:
        """The events that this piece completed."""
        out: list[tuple[str, Any]] = []
        if self._after_cr and data:
            self._after_cr = False
            if data[:1] == b"\n":
                data = data[1:]
        at = 0
        for found in _LINE_END.finditer(data):
            self._add(data[at : found.start()])
            at = found.end()
            self._end_line(out)
        self._add(data[at:])
        if data.endswith(b"\r"):
            self._after_cr = True
        return out

    def finish(self) -> list[tuple[str, Any]]:
        """An event that was not closed by a blank line is still an event: servers forget the last one."""
        out: list[tuple[str, Any]] = []
        if self._line or self._sieve is not None:
            self._end_line(out)
        self._dispatch(out)
        return out

    def _add(self, piece: bytes) -> None:
        if self._sieve is not None:
            self._sieved += self._sieve.feed(piece)
            return
        self._line += piece
        if len(self._line) > LINE_BYTES_MAX:
            field, _, value = bytes(self._line).partition(b":")
            self._line.clear()
            self._sieve = Sieve()
            if field == b"data":
                self._sieved = self._sieve.feed(value)
            else:
                self.damaged += 1

    def _end_line(self, out: list[tuple[str, Any]]) -> None:
        if self._sieve is not None:
            values = self._sieved + self._sieve.finish()
            self.damaged += self._sieve.damaged
            self._sieve, self._sieved = None, []
            out += [(self._name, value) for value in values]
            return
        line = bytes(self._line)
        self._line.clear()
        if not line:
            self._dispatch(out)
            return
        field, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if field == b"data":
            self._data.append(value)
            self._data_bytes += len(value)
            if self._data_bytes > LINE_BYTES_MAX * 4:
                self._data.clear()
                self.damaged += 1
        elif field == b"event":
            self._name = value[:256].decode("utf-8", "replace")
        elif field == b"":
            self.comments += 1
        elif field not in (b"id", b"retry") and line.lstrip()[:1] in (b"{", b"["):
            out.append((self._name, self._parsed(line)))  # a bare JSON line: error bodies inside streams

    def _dispatch(self, out: list[tuple[str, Any]]) -> None:
        if self._data:
            joined = b"\n".join(self._data)
            if joined.strip() == b"[DONE]":
                out.append((self._name, "[DONE]"))
            elif joined.strip():
                value = self._parsed(joined)
                if value is NOT_JSON and len(self._data) > 1:  # several documents without blank lines between
                    out += [(self._name, self._parsed(line)) for line in self._data if line.strip()]
                else:
                    out.append((self._name, value))
        self._data, self._data_bytes, self._name = [], 0, ""

    def _parsed(self, text: bytes) -> Any:
        value = "[DONE]" if text.strip() == b"[DONE]" else decoded(text)
        if value is NOT_JSON:
            self.damaged += 1
        return value

"""Server-sent events: bytes in pieces of any size -> events.

Line ends are CRLF, LF or CR, also mixed and also cut in two. Comments are skipped, several `data:` lines are
joined, one blank after the colon is dropped. The value of an event is its text (bytes), not read yet: whoever knows
the text need not decode it. An event over `EVENT_BYTES_MAX` is passed through a `Sieve` while it comes, any other
line of that length is dropped, so that memory stays bounded whatever comes.
What it must never know: what an event means.
"""

from __future__ import annotations

from typing import Any

from tachograph.wire.sieve import Sieve

EVENT_BYTES_MAX = 128 * 1024
NAME_BYTES_MAX = 256
LINE_BYTES = 64  # what holding one more line weighs, beside its bytes
DOCUMENTS_MAX = 256  # of one event that is too long to hold
PLAIN_BYTES_MAX = 16 * 1024  # of a piece that is read by whole events
DONE = "[DONE]"


def around(name: str) -> tuple[bytes, bytes]:
    """What stands before and after the text of an event of that name, in the form that nearly all servers write."""
    return (f"event: {name}\n".encode() if name else b"") + b"data: ", b"\n\n"


class EventStream:
    """Feeds on bytes; returns (event name, value) pairs. A value is JSON text as bytes, or what a sieve left of it.

    The value of `[DONE]` is the string "[DONE]".
    """

    def __init__(self) -> None:
        self.damaged = 0
        self.cut = False  # an event stream may end anywhere; whether it was whole its last event says
        self.idle = True  # the next byte begins an event
        self._line = bytearray()
        self._long = False  # inside a line that is not held
        self._after_cr = False
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._sieve: Sieve | None = None  # where the event is too long to hold
        self._documents_left = 0
        self._name = ""

    def feed(self, data: bytes) -> list[tuple[str, Any]]:
        """The events that this piece completed."""
        out: list[tuple[str, Any]] = []
        if not (self.idle and data.endswith(b"\n\n") and len(data) <= PLAIN_BYTES_MAX) or b"\r" in data:
            self._lines(data, out)
            return out
        if data.startswith(b"data: {") and data.find(b"\n") == len(data) - 2:
            return [("", data[6:-2])]  # what nearly all pieces are
        if data == b"data: [DONE]\n\n":
            return [("", DONE)]
        for event in data[:-2].split(b"\n\n"):
            if event.startswith(b"data: {") and b"\n" not in event:
                out.append(("", event[6:]))
            elif not self._named(event, out):
                self._lines(event + b"\n\n", out)
        return out

    def _named(self, event: bytes, out: list[tuple[str, Any]]) -> bool:
        """The same with its name in a line before; whether it was one."""
        head, _, rest = event.partition(b"\n")
        if not (head.startswith(b"event: ") and rest.startswith(b"data: {")) or b"\n" in rest:
            return False
        out.append((head[7 : 7 + NAME_BYTES_MAX].decode("utf-8", "replace"), rest[6:]))
        return True

    def _lines(self, data: bytes, out: list[tuple[str, Any]]) -> None:
        """Any piece, line by line."""
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        lines = data.splitlines()
        rest = b"" if data.endswith((b"\n", b"\r")) or not lines else lines.pop()
        self._after_cr = data.endswith(b"\r")
        for line in lines:
            if self._line or self._long:
                self._add(line, out)
                line = bytes(self._line)
                self._line.clear()
            if self._long:
                self._end_long(out)
            elif len(line) > EVENT_BYTES_MAX:
                self._add(line, out)
                self._end_long(out)
            elif line:
                self._whole(line, out)
            else:
                self._dispatch(out)
        if rest:
            self._add(rest, out)
        self.idle = not (self._line or self._long or self._data or self._name or self._after_cr or self._sieve)

    def finish(self) -> list[tuple[str, Any]]:
        """An event that was not closed by a blank line is still an event: servers forget the last one."""
        out: list[tuple[str, Any]] = []
        if self._long:
            self._end_long(out)
        elif self._line:
            self._whole(bytes(self._line), out)
        self._dispatch(out)
        return out

    def _add(self, piece: bytes, out: list[tuple[str, Any]]) -> None:
        """More of a line that has not ended."""
        if self._long:
            if self._sieve is not None:
                self._sift(piece, out)
            return
        self._line += piece
        if len(self._line) > EVENT_BYTES_MAX:
            self._begin_long(out)

    def _begin_long(self, out: list[tuple[str, Any]]) -> None:
        line = bytes(self._line)
        self._line.clear()
        self._long = True
        field, _, value = line.partition(b":")
        if field == b"data":
            self._hold_no_more(out)
            self._sift(value, out)
            return
        self._dispatch(out)  # there was an end of an event, or nobody will ever know
        self.damaged += field != b""

    def _end_long(self, out: list[tuple[str, Any]]) -> None:
        self._long = False
        if self._sieve is not None:
            self._sift(b"\n", out)

    def _hold_no_more(self, out: list[tuple[str, Any]]) -> None:
        if self._sieve is None:
            self._sieve, self._documents_left = Sieve(), DOCUMENTS_MAX
            self._sift(b"".join(line + b"\n" for line in self._data), out)
            self._data, self._data_bytes = [], 0

    def _sift(self, piece: bytes, out: list[tuple[str, Any]]) -> None:
        assert self._sieve is not None
        values = self._sieve.feed(piece)[: self._documents_left]
        self._documents_left -= len(values)
        out += [(self._name, value) for value in values]

    def _whole(self, line: bytes, out: list[tuple[str, Any]]) -> None:
        field, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if field == b"data":
            self._add_data(value, out)
        elif field == b"event":
            self._name = value[:NAME_BYTES_MAX].decode("utf-8", "replace")
        elif field == b"error" and value[:1] == b"{":
            self._say(value, out)  # llama.cpp before 2025, and who packs it
        elif field not in (b"", b"id", b"retry") and line.lstrip()[:1] in (b"{", b"["):
            self._say(line, out)  # a bare line of JSON: an error body inside a stream

    def _add_data(self, value: bytes, out: list[tuple[str, Any]]) -> None:
        if self._data and value[:1] in (b"{", b"[") and self._data[-1].endswith(b"}"):
            self._dispatch(out)  # a second document: the blank line between two events was forgotten
        self._data_bytes += len(value) + LINE_BYTES
        if self._data_bytes > EVENT_BYTES_MAX:
            self._hold_no_more(out)
        if self._sieve is None:
            self._data.append(value)
        else:
            self._sift(value + b"\n", out)

    def _dispatch(self, out: list[tuple[str, Any]]) -> None:
        if self._data:
            self._say(self._data[0] if len(self._data) == 1 else b"\n".join(self._data), out)
            self._data = []
        elif self._sieve is not None:
            out += [(self._name, value) for value in self._sieve.finish()]
            self.damaged += self._sieve.damaged
            self._sieve = None
        self._data_bytes, self._name = 0, ""

    def _say(self, text: bytes, out: list[tuple[str, Any]]) -> None:
        bare = text.strip()
        if bare:
            out.append((self._name, DONE if bare == b"[DONE]" else text))

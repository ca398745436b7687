"""The body of an answer: bytes as they travelled, in pieces of any size -> events.

Undoes the content encoding, looks at the first bytes that are no blank, chooses a framing (server-sent events, AWS
frames, JSON lines, an array that is a stream, one document) and tells each event with the stamp of the piece that
completed it. An event that repeats an earlier one is not decoded (`repeats`).
How the bytes were cut changes nothing: the choice hangs on a fixed prefix, and waits for no more of it
than it needs. Memory is bounded: large pieces are read by the window.
What it must never know: what an event means, a clock.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Protocol

from tachograph.wire.encoding import Decoder, encoded
from tachograph.wire.eventstream import Frames
from tachograph.wire.repeats import Repeats
from tachograph.wire.sse import EventStream, around
from tachograph.wire.values import NOT_JSON, Document, Values, decoded

WINDOW_BYTES = 64 * 1024
JOINED_BYTES_MAX = 512 * 1024  # pieces that come at once are laid side by side, up to so much

Tell = Callable[[str, Any, int | None], object]


class Framing(Protocol):
    """Bytes -> (event name, JSON value, or its text as bytes)."""

    @property
    def damaged(self) -> int:
        """Events, tokens or frames that were none."""
        ...

    @property
    def cut(self) -> bool:
        """Whether the input ended inside a value; known after `finish`."""
        ...

    def feed(self, data: bytes) -> list[tuple[str, Any]]:
        """The events that this piece completed."""
        ...

    def finish(self) -> list[tuple[str, Any]]:
        """The events that the end of the input completed."""
        ...


class Body:
    """Feeds on the pieces of one body; tells (event name, value, stamp).

    status, kind: HTTP status and content type. encoding: the `content-encoding`.
    lines: an object at the start may be the first of many (a stream was asked for). array: an array is a stream.
    repeats: makes what is asked first whether an event of a stream is a repetition, and told of it in place of `tell`.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        status: int | None,
        tell: Tell,
        *,
        lines: bool = False,
        array: bool = False,
        repeats: Callable[[], Repeats] | None = None,
    ) -> None:
        self.flags: set[str] = set()
        self.values = 0
        self._kind = headers.get("content-type", "").lower()
        self._failed = status is not None and status >= 400
        self._lines, self._array, self._tell, self._repeating = lines, array, tell, repeats
        self._repeats: Repeats | None = None  # of a stream of events
        self._damaged = False  # a text was no JSON
        encoding = headers.get("content-encoding")
        self._decoder = Decoder(encoding, self._plain) if encoding and encoded(encoding) else None
        self._take: Callable[[bytes], None] = self._plain if self._decoder is None else self._decoder.feed
        self._framing: Framing | None = None
        self._stream: EventStream | None = None  # the same, where it is that one
        self._head = b""
        self._guessed = False  # the framing was chosen for a stream that may not have come
        self._at_us: int | None = None

    def feed(self, data: bytes, at_us: int | None) -> None:
        """A piece, as it travelled."""
        self._at_us = at_us
        if len(data) <= WINDOW_BYTES:
            self._take(data)
            return
        for at in range(0, len(data), WINDOW_BYTES):
            self._take(data[at : at + WINDOW_BYTES])

    def feed_all(self, pieces: Sequence[bytes], moments: Sequence[int | None]) -> None:
        """Pieces that all have come, each with its moment: events that repeat each other are read in one go."""
        apart = len(pieces) < 2 or self._repeating is None or self._decoder is not None
        ends = [] if apart else list(accumulate(map(len, pieces)))
        if apart or ends[-1] > JOINED_BYTES_MAX:
            for data, at_us in zip(pieces, moments, strict=True):
                if data:
                    self.feed(data, at_us)
            return
        data, at, piece = b"".join(pieces), 0, 0
        while piece < len(pieces):
            if self._repeats is not None and self._repeats.awaits and self._stream is not None and self._stream.idle:
                run = self._repeats.run(data, at, ends, moments)
                if run > at:
                    at, piece = run, bisect_right(ends, run)
                    continue
            end = self._end(data, at, ends[piece])
            if end > at:
                self.feed(data[at:end], moments[piece])
            at, piece = end, piece + (end == ends[piece])

    def _end(self, data: bytes, at: int, end: int) -> int:
        """How much of a piece to read: where what is awaited cannot begin with the piece, up to where it can."""
        if self._repeats is None or not self._repeats.awaits or self._stream is None or self._stream.idle:
            return end
        found = data.find(b"\n\n", max(0, at - 1), end)
        return end if found < 0 else found + 2

    def finish(self) -> None:
        """Nothing more comes. What the end completes had come with the last piece, and bears its stamp."""
        if self._decoder is not None:
            self._decoder.finish()
            self.flags |= self._decoder.flags
        if self._framing is None and self._head:
            self._choose(self._head, whole=True)
        if self._framing is not None:
            self._say(self._framing.finish())
            if self._framing.damaged or self._damaged:
                self.flags.add("body_damaged")
            if not self.values:
                self.flags.add("body_not_json")
        # What refers back to us goes, so that all of this is free at once and not when the garbage is collected.
        self._take = self._tell = _nothing
        self._repeating = self._repeats = self._decoder = None

    @property
    def streamed(self) -> bool:
        """Whether the body was a stream of events, and not one document."""
        if self._framing is None:
            return _STREAMS.search(self._kind) is not None
        if self._guessed:
            return self.values > 1 or not self._kind
        return not isinstance(self._framing, Document)

    @property
    def begun(self) -> bool:
        """Whether anything came but blanks."""
        return self._framing is not None or self.unread

    @property
    def cut(self) -> bool:
        """Whether the input ended inside a value."""
        return self._framing is not None and self._framing.cut

    @property
    def unread(self) -> bool:
        """Whether the encoding hid the body from us."""
        return not self.flags.isdisjoint(("encoding_unsupported", "encoding_unknown"))

    def _plain(self, data: bytes) -> None:
        if self._framing is None:
            data = self._head + data
            head = data.lstrip(b" \t\r\n") if self._head[:1] != b"\xef" else data
            if head[:1] == b"\xef":
                if len(head) < 3:
                    self._head = head
                    return
                head = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
            self._head = head
            if not head or not self._choose(head):
                return
            data, self._head = head, b""
            if self._decoder is None:
                self._take = self._framed
        self._framed(data)

    def _framed(self, data: bytes) -> None:
        """A piece of what is framed."""
        repeats = self._repeats if self._stream is not None and self._stream.idle else None
        if repeats is not None and repeats.known(None, data, self._at_us):  # the piece is one event
            self.values += 1
            return
        assert self._framing is not None
        self._say(self._framing.feed(data))

    def _choose(self, head: bytes, *, whole: bool = False) -> bool:
        """Choose the framing by a prefix of the body without blanks before it; whether it was long enough to tell."""
        kind, first = self._kind, head[:1]
        if first in (b"{", b"["):
            listed = _listed(kind) or (first == b"{" and "event-stream" in kind)
            if listed and not self._failed:
                self._framing, self._guessed = Values(), "event-stream" in kind
            elif not self._failed and first == b"[" and self._array:
                self._framing = Values()
            elif not self._failed and first == b"{" and self._lines:
                self._framing, self._guessed = Values(), True
            else:
                self._framing = Document()
        elif first == b"\0" or "vnd.amazon.eventstream" in kind:
            self._framing, self._repeats = Frames(), self._repeating and self._repeating()
        elif "event-stream" in kind or _SSE_HEAD.match(head):
            self._framing = self._stream = EventStream()
            self._repeats = self._repeating and self._repeating()
            if self._repeats is not None:
                self._repeats.around = around
        elif not whole and _SSE_BEGUN.fullmatch(head):
            return False
        else:
            self._framing = Values() if _listed(kind) else Document()
        return True

    def _say(self, events: list[tuple[str, Any]]) -> None:
        for name, value in events:
            text = None
            if type(value) is bytes:
                if self._repeats is not None and self._repeats.known(name, value, self._at_us):
                    self.values += 1
                    continue
                text, value = value, decoded(value)
                if value is NOT_JSON:
                    self._damaged = True
                    continue
            self.values += 1
            if self._repeats is None:
                self._tell(name, value, self._at_us)
            else:
                self._repeats.read(name, text, value, self._at_us)


def _nothing(*_: object) -> None:
    """Nothing is fed after the end."""


def _listed(kind: str) -> bool:
    """Whether the content type says that the body is a list of documents."""
    return any(map(kind.__contains__, _LINES))


_LINES = ("ndjson", "jsonl", "stream+json", "json-seq")
_STREAMS = re.compile(r"event-?stream|ndjson|jsonl|stream\+json")
_SSE_HEAD = re.compile(rb"(data|event|id|retry)?:")
_SSE_BEGUN = re.compile(rb"d(at?)?|data|e(v(en?)?)?|event|i|id|r(e(tr?)?)?|retry")

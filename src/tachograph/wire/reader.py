"""The one reader: bytes of an answer, as they come -> Call.

In: a request, then status and headers, then pieces of the body with time stamps, then how it ended. Out: the Call (a
list, since a file of batch results holds many). The pipeline is decode -> frame -> format -> Found -> Call; memory is
bounded whatever the body's size. Never raises on any input: what is not understood becomes a flag of the Call.
What it must never know: prices, spans, SQL, a clock, a socket.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from tachograph.call import Call
from tachograph.wire import errors
from tachograph.wire.assemble import assemble
from tachograph.wire.encoding import Decoder, Undecodable, supported
from tachograph.wire.eventstream import Frames
from tachograph.wire.exchange import End, Request
from tachograph.wire.format import Asked, Format, asked
from tachograph.wire.found import Found, mapping
from tachograph.wire.headers import read_headers
from tachograph.wire.providers import provider as provider_of
from tachograph.wire.sieve import Sieve
from tachograph.wire.sse import EventStream
from tachograph.wire.timing import Timing
from tachograph.wire.values import NOT_JSON, Document, Values, decoded

SNIFF_BYTES = 64
REQUEST_BYTES_WHOLE = 256 * 1024
ERROR_TEXT_BYTES = 2048


class Framing(Protocol):
    """Bytes -> (event name, JSON value)."""

    @property
    def damaged(self) -> int:
        """Events, tokens or frames that were none."""
        ...

    def feed(self, data: bytes) -> list[tuple[str, Any]]:
        """The events that this piece completed."""
        ...

    def finish(self) -> list[tuple[str, Any]]:
        """The events that the end of the input completed."""
        ...


class Reader:
    """Reads one exchange. Call `feed` as the bytes come, `close` once.

    at_us: microseconds since the request was sent; None where nobody looked at a clock.
    """

    def __init__(
        self,
        request: Request,
        formats: Sequence[Format],
        *,
        status: int | None,
        headers: Mapping[str, str],
        provider: str | None = None,
        api: str | None = None,
        started_at: datetime | None = None,
    ) -> None:
        self._asked: Asked = asked(request, request_members(request))
        self._status, self._headers = status, {key.lower(): value for key, value in headers.items()}
        self.found = Found(provider=provider_of(self._asked.host, request.url, provider))
        self.format = _format(formats, self._asked, api)
        self.format.request(self.found, self._asked)
        stream = self._asked.members.get("stream")
        self.found.stream_asked = stream if isinstance(stream, bool) else None
        self._started_at = started_at
        self._timing = Timing()
        self._framing: Framing | None = None
        self._decoder = self._new_decoder()
        self._head = bytearray()
        self._text = bytearray()
        self._streamed = False
        self._values = 0

    def feed(self, data: bytes, at_us: int | None = None) -> None:
        """A piece of the body, as it travelled."""
        if not data:
            return
        for piece in self._decode(data):
            self._plain(piece, at_us)

    def message(self, sent: bool, value: Any, at_us: int | None = None) -> None:
        """A WebSocket message in place of a piece of a body."""
        self._streamed = True
        self._event("sent" if sent else "", value, at_us)

    def close(self, at_us: int | None = None, end: End = End.COMPLETE) -> list[Call]:
        """How it ended, and when. The Call; several for a file of batch results."""
        if self._framing is None and self._head:
            self._choose()
            self._frame(bytes(self._head), None)
        if self._framing is not None:
            for name, value in self._framing.finish():
                self._event(name, value, at_us)
            if self._framing.damaged:
                self.found.flags.add("body_damaged")
        self._failures()
        read_headers(self.found, self._headers, self._asked)
        return assemble(
            self.found,
            self.format,
            self._asked,
            status=self._status,
            headers=self._headers,
            started_at=self._started_at or self._stamped(),
            streamed=self._streamed,
            timing=self._timing,
            at_us=at_us,
            end=end,
        )

    # from bytes to events

    def _new_decoder(self) -> Decoder | None:
        encoding = self._headers.get("content-encoding", "")
        if encoding.strip().lower() in ("", "identity"):
            return None
        if not supported(encoding):
            self.found.flags.add("encoding_unknown")
            return None
        try:
            return Decoder(encoding)
        except Undecodable:
            self.found.flags.add("encoding_unsupported")
            return None

    def _decode(self, data: bytes) -> list[bytes]:
        if self._decoder is None:
            return [data]
        try:
            return self._decoder.feed(data)
        except Undecodable:
            self.found.flags.add("body_damaged")
            self._decoder = None
            return []

    def _plain(self, data: bytes, at_us: int | None) -> None:
        if self._framing is None:
            self._head += data
            if len(self._head.lstrip()) < SNIFF_BYTES and not self._certain():
                self._timing.piece(at_us)
                return
            self._choose()
            data = bytes(self._head)
        self._frame(data, at_us)

    def _certain(self) -> bool:
        """Whether the content type alone tells the framing."""
        kind = self._headers.get("content-type", "").lower()
        return any(word in kind for word in ("event-stream", "eventstream", "ndjson", "jsonl"))

    def _choose(self) -> None:
        kind = self._headers.get("content-type", "").lower()
        head: bytes = bytes(self._head).lstrip()
        if "vnd.amazon.eventstream" in kind:
            self._framing, self._streamed = Frames(), True
        elif head[:1] not in (b"{", b"[") and ("event-stream" in kind or _SSE_HEAD.match(head)):
            self._framing, self._streamed = EventStream(), True
        elif any(word in kind for word in ("ndjson", "jsonl", "stream+json")):
            self._framing, self._streamed = Values(), True
        elif self._status is not None and self._status >= 400:
            self._framing = Document()
        elif head[:1] == b"[" and self.format.name.startswith("gemini."):
            self._framing, self._streamed = Values(), True
        elif _JSON_LINES.match(head) and (self.found.stream_asked or self.format.name.startswith("ollama.")):
            self._framing, self._streamed = Values(), self.found.stream_asked is not False
        else:
            self._framing = Document()

    def _frame(self, data: bytes, at_us: int | None) -> None:
        assert self._framing is not None
        self._timing.piece(at_us)
        if len(self._text) < ERROR_TEXT_BYTES:
            self._text += data[:ERROR_TEXT_BYTES]
        for name, value in self._framing.feed(data):
            self._event(name, value, at_us)

    # from events to facts

    def _event(self, name: str, value: Any, at_us: int | None) -> None:
        if value is NOT_JSON:
            return
        self._values += 1
        failed = self._status is not None and self._status >= 400
        if name != "sent" and value != "[DONE]" and (failed or _may_fail(value)):
            self._error(value)
        if self.format.event(self.found, name, value):
            self.found.contents = True
            self._timing.content(at_us)

    def _error(self, value: Any) -> None:
        if self.found.error_type is None:
            errors.note(self.found, value, self._status, self._headers)

    def _failures(self) -> None:
        if self._status is not None and self._status >= 400 and self.found.error_type is None:
            value = decoded(bytes(self._text).strip()) if bytes(self._text).strip()[:1] in (b"{", b"[") else None
            errors.note(self.found, None if value is NOT_JSON else value, self._status, self._headers)
        elif self._text.strip() and not self._values and self._status is not None and self._status < 400:
            self.found.flags.add("body_not_json")

    def _stamped(self) -> datetime | None:
        """When the exchange took place, as its own headers and body say; the door saw no clock."""
        date = self._headers.get("date")
        if date:
            try:
                return parsedate_to_datetime(date)
            except (ValueError, TypeError, IndexError):
                pass
        return self.found.created_at


def request_members(request: Request) -> Mapping[str, Any]:
    """The JSON members of a request: as a tap kept them, or from the body; of a form, its plain fields."""
    if request.members is not None:
        return request.members
    body = request.body
    if not body:
        return {}
    kind = request.headers.get("content-type", "").lower()
    if "multipart/form-data" in kind or body[:2] == b"--":
        return _form_fields(body[: 1024 * 1024])
    if len(body) <= REQUEST_BYTES_WHOLE:
        value = decoded(body)
        return mapping(value)
    sieve = Sieve()
    values = sieve.feed(body) + sieve.finish()
    return mapping(values[0]) if values else {}


_SSE_HEAD = re.compile(rb"(data|event|id|retry)?:")
_JSON_LINES = re.compile(rb"\{")
_FORM_FIELD = re.compile(rb'name="([^"]{1,64})"\r?\n(?:[^\r\n]+\r?\n)*\r?\n([^\r\n]{0,256})\r?\n')


def _form_fields(body: bytes) -> dict[str, Any]:
    """The short text fields of a multipart form; files have a `filename` and do not match."""
    fields: dict[str, Any] = {}
    for key, value in _FORM_FIELD.findall(body):
        text = value.decode("utf-8", "replace")
        fields[key.decode("utf-8", "replace")] = {"true": True, "false": False}.get(text, text)
    return fields


def _may_fail(value: Any) -> bool:
    if isinstance(value, list):
        value = value[0] if value else None
    return isinstance(value, dict) and bool(value.get("error") or value.get("object") == "error")


def _format(formats: Sequence[Format], request: Asked, api: str | None) -> Format:
    """The format by the door's word, else the first that matches. The last of the list matches everything."""
    if api:
        for candidate in formats:
            if candidate.name == api:
                return candidate
    return next(candidate for candidate in formats if candidate.matches(request))

"""The one reader: bytes of an answer, as they come -> Call.

In: a request, then status and headers, then pieces of the body with time stamps, then how it ended. Out: the Call (a
list, since a file of batch results holds many). The pipeline is decode -> frame -> format -> Found -> Call; memory is
bounded whatever the body's size. Never raises on any input: what is not understood becomes a flag of the Call.
What it must never know: prices, spans, SQL, a clock, a socket.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any, cast

from tachograph.call import Call
from tachograph.wire import errors
from tachograph.wire.assemble import assemble
from tachograph.wire.body import Body
from tachograph.wire.exchange import End, Request
from tachograph.wire.format import Asked, Format, asked
from tachograph.wire.found import Found, mapping
from tachograph.wire.headers import read_headers
from tachograph.wire.providers import provider as provider_of
from tachograph.wire.repeats import Repeats, Varying
from tachograph.wire.sieve import Sieve
from tachograph.wire.timing import Timing
from tachograph.wire.values import decoded

REQUEST_BYTES_WHOLE = 256 * 1024
TOOLS_MAX = 4096  # a stream may invent ever new ones


class Reader:
    """Reads one exchange. Call `feed` as the bytes come, `close` once.

    headers: names in lower case. headers_us: when they had come; at_us: when a piece came. Both in microseconds since
    the request was sent; None where nobody looked at a clock.
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
        headers_us: int | None = None,
    ) -> None:
        self._asked: Asked = asked(request, request_members(request))
        self._status, self._headers = status, headers
        self._failed = status is not None and status >= 400
        self.found = Found(provider=provider_of(self._asked.host, request.url, provider))
        self.format = _format(formats, self._asked, api)
        self.format.request(self.found, self._asked)
        stream = self._asked.members.get("stream")
        self.found.stream_asked = stream if isinstance(stream, bool) else None
        self._started_at, self._headers_us = started_at, headers_us
        self._timing = Timing()
        self._messages = False
        self._opaque = not self._failed and headers.get("content-type", "").lower().startswith(_OPAQUE)
        varying = None if self._failed else self.format.varying  # of a failure every event is looked at
        self._body = Body(
            self._headers,
            status,
            self._event,
            lines=self.found.stream_asked is True or self.format.lines,
            array=self.format.name.startswith("gemini."),
            repeats=None if varying is None else functools.partial(self._repeats, varying),
        )

    def feed(self, data: bytes, at_us: int | None = None) -> None:
        """A piece of the body, as it travelled."""
        if data and not self._opaque:
            self._body.feed(data, at_us)

    def feed_all(self, pieces: Sequence[bytes], moments: Sequence[int | None]) -> None:
        """Pieces that all have come, each with its moment: the same as `feed` of each, and faster."""
        if pieces and not self._opaque:
            self._body.feed_all(pieces, moments)

    def message(self, sent: bool, value: Any, at_us: int | None = None) -> None:
        """A WebSocket message in place of a piece of a body."""
        self._messages = True
        self._event("sent" if sent else "", value, at_us)

    def close(self, at_us: int | None = None, end: End = End.COMPLETE) -> list[Call]:
        """How it ended, and when. The Call; several for a file of batch results."""
        self._body.finish()
        self.found.flags |= self._body.flags
        streamed, empty = self._streamed, self._empty and self._status not in (204, 205)
        if empty and end is End.COMPLETE:
            self.found.flags.add("body_empty")
        if self._failed and self.found.error_type is None:
            errors.note(self.found, None, self._status, self._headers)
        read_headers(self.found, self._headers, self._asked)
        return assemble(
            self.found,
            self.format,
            self._asked,
            status=self._status,
            headers=self._headers,
            started_at=self._started_at or self._stamped(),
            streamed=streamed,
            cut=self._cut(streamed, empty),
            timing=self._timing,
            headers_us=self._headers_us,
            at_us=at_us,
            end=end,
        )

    @property
    def _streamed(self) -> bool:
        if self._status is None:  # nothing came: what was asked for is all that is known
            return self.found.stream_asked is True
        return not self._failed and (self._messages or self._body.streamed)

    def _cut(self, streamed: bool, empty: bool) -> bool:
        """Whether the answer ended early. Of a body that could not be read nobody can say so."""
        if self._body.unread:
            return False
        return empty or self._body.cut or (streamed and not self.found.terminal)

    @property
    def _empty(self) -> bool:
        """Whether nothing came where an answer was due: blanks are nothing."""
        if self._messages or self._opaque or self._body.begun:
            return False
        due = self._asked.method == "POST" and self._status is not None and 200 <= self._status < 300
        return due and self._status != 202 and self.format.name != "unknown"  # what is due there nobody knows

    def _repeats(self, varying: Varying) -> Repeats:
        return Repeats(varying, self.found, self._timing, self._event)

    # from events to facts

    def _event(self, name: str, value: Any, at_us: int | None) -> bool:
        """One event; whether it was content."""
        if name != "sent" and (self._failed or _may_fail(value)) and self.found.error_type is None:
            errors.note(self.found, value, self._status, self._headers)
        content = self.format.event(self.found, name, value)
        if content:
            self.found.contents = True
            self._timing.content(at_us)
        if len(self.found.tool_ids) > TOOLS_MAX:
            self.found.tool_ids = set(islice(self.found.tool_ids, TOOLS_MAX))
            self.found.flags.add("tool_calls_capped")
        return content

    def _stamped(self) -> datetime | None:
        """When the exchange took place, as its own headers and body say; the door saw no clock."""
        date = self._headers.get("date")
        if date:
            try:
                moment = parsedate_to_datetime(date)
            except (ValueError, TypeError, IndexError, OverflowError):
                return self.found.created_at
            if 2001 <= moment.year < 2100:
                return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return self.found.created_at


def request_members(request: Request) -> Mapping[str, Any]:
    """The JSON members of a request: as a tap kept them, or from the body; of a form, its plain fields."""
    if request.members is not None:
        return request.members
    body = request.body
    if not body:
        return {}
    if body[:1] != b"{" and (
        body[:2] == b"--" or "multipart/form-data" in request.headers.get("content-type", "").lower()
    ):
        return _form_fields(body[: 1024 * 1024])
    if len(body) <= REQUEST_BYTES_WHOLE:
        value = decoded(body)
        return mapping(value)
    sieve = Sieve()
    values = sieve.feed(body) + sieve.finish()
    return mapping(values[0]) if values else {}


_OPAQUE = ("audio/", "image/", "video/")  # spoken or drawn answers: there is nothing to read in them
_FORM_FIELD = re.compile(rb'name="([^"]{1,64})"\r?\n(?:[^\r\n]{1,512}\r?\n){0,8}\r?\n([^\r\n]{0,256})\r?\n')


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
    known = _by_address(tuple(formats), request.host, request.path)
    return (
        next((candidate for candidate in formats if candidate.matches(request)), formats[-1])
        if known is None
        else known
    )


@functools.lru_cache(maxsize=1024)  # a process asks few addresses, and often
def _by_address(formats: tuple[Format, ...], host: str, path: str) -> Format | None:
    """The first format that matches; None where one of them has to look at more than the address."""
    address = cast(Asked, _Address(host, path))
    try:
        return next((candidate for candidate in formats if candidate.matches(address)), formats[-1])
    except _Further:
        return None


class _Further(Exception):
    """More was asked for than an address."""


@dataclass(frozen=True)
class _Address:
    """A request of which only the address is known."""

    host: str
    path: str

    def __getattr__(self, name: str) -> Any:
        raise _Further(name)

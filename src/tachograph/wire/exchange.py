"""One HTTP attempt against a model API, as it was seen on the wire.

In: what a door saw (SDK transport, gateway log, recorded file). Out: the same facts under plain names.
What it must never know: prices, spans, SQL, clocks, sockets. Time stamps are told, in microseconds since the
request was sent; ``None`` means that nobody looked at a clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class End(StrEnum):
    """How an exchange ended, as the door saw it."""

    COMPLETE = "complete"  # the transport delivered the whole answer
    CLIENT_GONE = "client_gone"  # the caller left before the end
    TIMEOUT = "timeout"  # the caller's patience ended
    NETWORK = "network"  # refused, reset, cut off, no name, no TLS
    PROTOCOL = "protocol"  # what came was not HTTP, or broke its framing


@dataclass(slots=True)
class Request:
    """What was asked. Header names are lower case.

    body: the bytes, as sent. members: instead of the body, the JSON members that a tap kept of it.
    """

    url: str = ""
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    members: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Exchange:
    """One attempt from end to end. Header names are lower case; the body is as it travelled (maybe compressed).

    provider, api: what the door was told about this route (`gen_ai.provider.name`; name of a wire format);
    None: recognised from host, path and shape.
    chunks: (microseconds since the request was sent or None, bytes).
    messages: for WebSocket instead of chunks: (microseconds or None, sent by the client?, JSON value).
    headers_us, end_us: when the headers of the answer had come, and the end; microseconds since the request was sent.
    """

    request: Request
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: Sequence[tuple[int | None, bytes]] = ()
    messages: Sequence[tuple[int | None, bool, Any]] | None = None
    started_at: datetime | None = None
    headers_us: int | None = None
    end_us: int | None = None
    end: End = End.COMPLETE
    provider: str | None = None
    api: str | None = None

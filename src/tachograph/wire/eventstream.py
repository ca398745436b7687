"""AWS event-stream framing (`application/vnd.amazon.eventstream`): bytes in pieces of any size -> events.

Frame: u32 total | u32 headers length | u32 CRC of those 8 bytes | headers | payload | u32 CRC of all before.
Source: providers.md A5. A frame whose length or checksum does not hold ends the reading where it stands in the way of
finding the next one; else the frame alone is lost. Both are counted in `damaged`. A payload over `PAYLOAD_BYTES_MAX`
is passed through a `Sieve` while it comes, so that memory stays bounded up to the 16 MiB that AWS allows and above.
What it must never know: what an event means.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from typing import Any

from tachograph.wire.sieve import Sieve
from tachograph.wire.values import NOT_JSON, decoded

PAYLOAD_BYTES_MAX = 128 * 1024
HEADERS_BYTES_MAX = 128 * 1024  # AWS's own limit, as is 16 MiB for the payload
FRAME_BYTES_MAX = 24 * 1024 * 1024

NAMES_MAX = 32  # kinds of events whose headers are remembered
NAME_BYTES_MAX = 1024

_PRELUDE = struct.Struct(">III")
# The envelope as Bedrock writes it; any other spelling of it is decoded.
_ENVELOPE = re.compile(rb'\{"bytes":\s*"([A-Za-z0-9+/=]*+)"(?:,\s*"p":\s*"[A-Za-z0-9]*+")?\}')
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # bytes of a header value by its type


class Frames:
    """Feeds on bytes; returns (event name, value).

    The name is `:event-type`, or `exception:<:exception-type>` for exceptions, `error:<:error-code>` for errors.
    A `chunk` event (`{"bytes": base64}`) is unwrapped to the JSON inside. A value is JSON text as bytes, not read yet,
    or what a sieve left of it.
    """

    def __init__(self) -> None:
        self.damaged = 0
        self.cut = False
        self._buffer = bytearray()
        self._names: dict[bytes, tuple[str, str | None]] = {}
        self._long: _LongFrame | None = None
        self._lost = False

    def feed(self, data: bytes) -> list[tuple[str, Any]]:
        """The events that this piece completed."""
        out: list[tuple[str, Any]] = []
        if self._lost:
            return out
        self._buffer += data
        while self._frame(out):
            pass
        return out

    def finish(self) -> list[tuple[str, Any]]:
        """Nothing more comes; half a frame is damage."""
        if self._buffer or self._long is not None:
            self._give_up()
            self.cut = True
        return []

    def _frame(self, out: list[tuple[str, Any]]) -> bool:
        """Read one frame off the buffer; False where more bytes are needed."""
        if self._long is not None:
            return self._more(out)
        if len(self._buffer) < 12:
            return False
        total, headers_length, checksum = _PRELUDE.unpack_from(self._buffer)
        whole = 16 <= total <= FRAME_BYTES_MAX and headers_length <= min(total - 16, HEADERS_BYTES_MAX)
        if not whole or binascii.crc32(self._buffer[:8]) != checksum:
            self._give_up()
            return False
        if total > PAYLOAD_BYTES_MAX:
            return self._begin_long(total, headers_length)
        if len(self._buffer) < total:
            return False
        frame = bytes(self._buffer[:total])
        del self._buffer[:total]
        if binascii.crc32(frame[:-4]) != int.from_bytes(frame[-4:], "big"):
            self.damaged += 1
            return True
        self._say(self._name(frame[12 : 12 + headers_length]), frame[12 + headers_length : -4] or {}, out)
        return True

    def _begin_long(self, total: int, headers_length: int) -> bool:
        if len(self._buffer) < 12 + headers_length:
            return False
        self._long = _LongFrame(bytes(self._buffer[: 12 + headers_length]), total)
        del self._buffer[: 12 + headers_length]
        return True

    def _more(self, out: list[tuple[str, Any]]) -> bool:
        frame = self._long
        assert frame is not None
        piece = bytes(self._buffer[: frame.missing])
        del self._buffer[: len(piece)]
        frame.payload(piece)
        if frame.missing or len(self._buffer) < 4:
            return False
        whole = frame.checksum == int.from_bytes(self._buffer[:4], "big")
        del self._buffer[:4]
        self._long = None
        values = frame.values()
        if whole and len(values) == 1:
            self._say(self._name(frame.headers), values[0], out)
        else:
            self.damaged += 1
        return True

    def _give_up(self) -> None:
        self.damaged += 1
        self._lost = True
        self._buffer.clear()
        self._long = None

    def _name(self, headers: bytes) -> tuple[str, str | None]:
        """(name of the event, message where it is an error) by the headers, of which a stream has few kinds."""
        known = self._names.get(headers)
        if known is None:
            known = _named(_headers(headers))
            if len(self._names) < NAMES_MAX and len(headers) <= NAME_BYTES_MAX:
                self._names[headers] = known
        return known

    def _say(self, name: tuple[str, str | None], value: Any, out: list[tuple[str, Any]]) -> None:
        kind, message = name
        if kind == "chunk":
            value = self._unwrapped(value)
        elif message is not None:
            value = decoded(value) if isinstance(value, bytes) else value
            self.damaged += value is NOT_JSON
            value = value if isinstance(value, dict) and value else {"message": message}
        if value is NOT_JSON:
            self.damaged += 1
        else:
            out.append((kind, value))

    def _unwrapped(self, value: Any) -> Any:
        """What is in the envelope `{"bytes": base64}`; of another value, itself."""
        plain = _ENVELOPE.fullmatch(value) if isinstance(value, bytes) else None
        if plain is None:
            value = decoded(value) if isinstance(value, bytes) else value
        if plain is None and not (isinstance(value, dict) and isinstance(value.get("bytes"), str)):
            return value
        try:
            return base64.b64decode(plain.group(1) if plain is not None else value["bytes"]) or {}
        except ValueError:
            return NOT_JSON


class _LongFrame:
    """A frame whose payload is not held: its checksum and its sieve run along."""

    def __init__(self, start: bytes, total: int) -> None:
        self.headers = start[12:]
        self.missing = total - len(start) - 4
        self.checksum = binascii.crc32(start)
        self._sieve = Sieve()
        self._values: list[Any] = []

    def payload(self, piece: bytes) -> None:
        """More of the payload."""
        self.missing -= len(piece)
        self.checksum = binascii.crc32(piece, self.checksum)
        self._values = (self._values + self._sieve.feed(piece))[:2]  # two are as wrong as many

    def values(self) -> list[Any]:
        """The payload's value, in a list; none or two where it is no document."""
        return self._values + self._sieve.finish()


def _named(headers: dict[str, str]) -> tuple[str, str | None]:
    kind = headers.get(":message-type", "event")
    if kind == "exception":
        return "exception:" + headers.get(":exception-type", ""), None
    if kind == "error":
        return "error:" + headers.get(":error-code", ""), headers.get(":error-message", "")
    return headers.get(":event-type", ""), None


def _headers(data: bytes) -> dict[str, str]:
    """The string headers; values of other types are skipped."""
    found: dict[str, str] = {}
    at = 0
    while at + 2 <= len(data):
        name_length = data[at]
        name = data[at + 1 : at + 1 + name_length].decode("utf-8", "replace")
        at += 1 + name_length
        if at >= len(data):
            break
        kind = data[at]
        at += 1
        if kind in (6, 7):
            length = int.from_bytes(data[at : at + 2], "big")
            value = data[at + 2 : at + 2 + length]
            at += 2 + length
            if kind == 7:
                found[name] = value.decode("utf-8", "replace")
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            break
    return found

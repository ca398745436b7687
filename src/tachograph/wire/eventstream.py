"""AWS event-stream framing (`application/vnd.amazon.eventstream`): bytes in pieces of any size -> events.

Frame: u32 total | u32 headers length | u32 CRC of those 8 bytes | headers | payload | u32 CRC of all before.
Source: providers.md A5. A frame whose length or checksum does not hold ends the reading (there is no way to find
the next one): it is counted in `damaged`. A payload over `PAYLOAD_BYTES_MAX` is passed through a `Sieve`.
What it must never know: what an event means.
"""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Any

from tachograph.wire.sieve import Sieve
from tachograph.wire.values import NOT_JSON, decoded

PAYLOAD_BYTES_MAX = 1024 * 1024
FRAME_BYTES_MAX = 24 * 1024 * 1024  # AWS's own limit is 16 MiB of payload

_PRELUDE = struct.Struct(">III")
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # bytes of a header value by its type


class Frames:
    """Feeds on bytes; returns (event name, value).

    The name is `:event-type`, or `exception:<:exception-type>` for exceptions, `error:<:error-code>` for errors.
    A `chunk` event (`{"bytes": base64}`) is unwrapped to the JSON inside.
    """

    def __init__(self) -> None:
        self.damaged = 0
        self._buffer = bytearray()
        self._lost = False

    def feed(self, data: bytes) -> list[tuple[str, Any]]:
        """The events that this piece completed."""
        if self._lost:
            return []
        self._buffer += data
        out: list[tuple[str, Any]] = []
        while len(self._buffer) >= 12:
            total, headers_length, checksum = _PRELUDE.unpack_from(self._buffer)
            whole = 16 <= total <= FRAME_BYTES_MAX and headers_length <= total - 16
            if not whole or binascii.crc32(self._buffer[:8]) != checksum:
                self._give_up()
                break
            if len(self._buffer) < total:
                break
            frame = bytes(self._buffer[:total])
            del self._buffer[:total]
            if binascii.crc32(frame[:-4]) != int.from_bytes(frame[-4:], "big"):
                self.damaged += 1
                continue
            out.append(self._event(_headers(frame[12 : 12 + headers_length]), frame[12 + headers_length : -4]))
        return out

    def finish(self) -> list[tuple[str, Any]]:
        """Nothing more comes; half a frame is damage."""
        if self._buffer:
            self._give_up()
        return []

    def _give_up(self) -> None:
        self.damaged += 1
        self._lost = True
        self._buffer.clear()

    def _event(self, headers: dict[str, str], payload: bytes) -> tuple[str, Any]:
        kind = headers.get(":message-type", "event")
        if kind == "exception":
            name = "exception:" + headers.get(":exception-type", "")
        elif kind == "error":
            name = "error:" + headers.get(":error-code", "")
        else:
            name = headers.get(":event-type", "")
        value = self._value(payload)
        if name == "chunk" and isinstance(value, dict) and isinstance(value.get("bytes"), str):
            try:
                value = self._value(base64.b64decode(value["bytes"]))
            except (ValueError, binascii.Error):
                self.damaged += 1
                value = NOT_JSON
        if kind == "error" and not isinstance(value, dict):
            value = {"message": headers.get(":error-message", "")}
        return name, value

    def _value(self, payload: bytes) -> Any:
        if not payload:
            return {}
        if len(payload) > PAYLOAD_BYTES_MAX:
            sieve = Sieve()
            values = sieve.feed(payload) + sieve.finish()
            return values[0] if values else NOT_JSON
        value = decoded(payload)
        if value is NOT_JSON:
            self.damaged += 1
        return value


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

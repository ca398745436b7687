"""Events that the tap kept -> the bytes that a provider would have sent, so that one reader reads both.

In: the text of an event in the tap's notation. Out: the same in its framing: server-sent events, JSON values, AWS
frames. What has begun and not ended stays so.
What it must never know: what an event means, when it came.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable, Mapping
from urllib.parse import unquote

Plain = Callable[[str], bytes]
Frame = Callable[[str, Plain], bytes]

_TEXT_TYPE = 7  # of the value of a frame's header


def _event(text: str, plain: Plain) -> bytes:
    """`d<name>|<JSON>`: data; e: the field `error`; j: a bare line of JSON."""
    head, _, value = text.partition("|")
    kind, name = head[:1], unquote(head[1:])
    data = plain(value)
    if kind == "d":
        return (f"event: {name}\n".encode() if name else b"") + b"data: " + data + b"\n\n"
    if kind == "e":
        return b"error: " + data + b"\n"
    return data + b"\n"


def _begun_event(text: str, plain: Plain) -> bytes:
    """Without the end of the last of them; of none that has come, what shows the framing."""
    if text == ".":
        return b"data:"
    events = [_event(part, plain) for part in text.split("~")]
    return b"".join(events[:-1]) + events[-1].rstrip(b"\n")


def _value(text: str, plain: Plain) -> bytes:
    return plain(text) + b"\n"


def _begun_value(text: str, plain: Plain) -> bytes:
    return plain(text)


def _frame(text: str, plain: Plain) -> bytes:
    """`v<name>|<JSON>`: an event; c: in its envelope; x: an exception; r: an error, with phrases of its message."""
    if text in ("!", "!!"):
        return _damaged(whole_prelude=text == "!")
    head, _, value = text.partition("|")
    kind, name = head[:1], unquote(head[1:])
    headers = {":message-type": "event", ":event-type": name}
    if kind == "x":
        headers = {":message-type": "exception", ":exception-type": name}
    elif kind == "r":
        message, _, value = value.partition("|")
        headers = {":message-type": "error", ":error-code": name, ":error-message": message}
    payload = plain(value)
    if kind == "c":
        payload = b'{"bytes":"' + base64.b64encode(payload) + b'"}'
    return packed(headers, payload)


def packed(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One frame."""
    head = b"".join(
        bytes((len(name.encode()),))
        + name.encode()
        + struct.pack(">BH", _TEXT_TYPE, len(value.encode()))
        + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    start = prelude + struct.pack(">I", binascii.crc32(prelude)) + head + payload
    return start + struct.pack(">I", binascii.crc32(start))


def _damaged(*, whole_prelude: bool) -> bytes:
    frame = packed({":event-type": "-"}, b"{}")
    return frame[:-4] + b"\0\0\0\0" if whole_prelude else b"\0" * 12


def _begun_frame(text: str, plain: Plain) -> bytes:
    """Half a frame: nobody can read it."""
    return b"\0\0\0\x10"


def framing(text: str) -> tuple[Frame, Frame]:
    """(bytes of a whole event, of one that has begun) in the framing that the text of an event is of."""
    if text[0] in "dej.":
        return _event, _begun_event
    if text[0] in "vcxr!":
        return _frame, _begun_frame
    return _value, _begun_value

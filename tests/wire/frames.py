"""AWS event-stream frames, written: for cases whose body is one, and for the tests of the reading.

In: (kind, name, value) of messages. Out: bytes. Run with a file of JSON lines `[kind, name, value]` it writes the
base64 that a recorded case holds as `response.body_b64`.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_NAMES = {"event": ":event-type", "exception": ":exception-type", "error": ":error-code"}


def frame(kind: str, name: str, value: Any) -> bytes:
    """One message. kind: `event`, `exception`, `error`, or `chunk`: an event that wraps a model's own bytes."""
    if kind == "chunk":
        packed = base64.b64encode(json.dumps(value).encode()).decode()
        kind, name, value = "event", "chunk", {"bytes": packed, "p": "abcd"}
    head = b"".join(
        _header(key, text)
        for key, text in (
            (_NAMES[kind], name),
            (":content-type", "application/json"),
            (":message-type", kind),
        )
    )
    payload = json.dumps(value).encode()
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    whole = prelude + struct.pack(">I", binascii.crc32(prelude)) + head + payload
    return whole + struct.pack(">I", binascii.crc32(whole))


def frames(messages: Iterable[tuple[str, str, Any]]) -> bytes:
    """Messages one after another."""
    return b"".join(frame(*message) for message in messages)


def _header(key: str, text: str) -> bytes:
    return bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(text)) + text.encode()


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text("utf-8").splitlines()
    sys.stdout.write(base64.b64encode(frames(json.loads(line) for line in lines if line.strip())).decode() + "\n")

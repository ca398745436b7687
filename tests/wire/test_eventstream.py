"""AWS frames: whole, cut, damaged, hostile."""

from __future__ import annotations

import base64
import binascii
import json
import struct
import tracemalloc
from typing import Any

import pytest
from exchanges import texts_read
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.wire.eventstream import FRAME_BYTES_MAX, PAYLOAD_BYTES_MAX, Frames

MEBIBYTE = 1024 * 1024


def header(name: str, kind: int, value: bytes) -> bytes:
    return bytes([len(name)]) + name.encode() + bytes([kind]) + value


def text(name: str, value: str) -> bytes:
    return header(name, 7, struct.pack(">H", len(value)) + value.encode())


def frame(headers: bytes, payload: bytes) -> bytes:
    start = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    start += struct.pack(">I", binascii.crc32(start)) + headers + payload
    return start + struct.pack(">I", binascii.crc32(start))


def event(name: str, value: Any) -> bytes:
    return frame(text(":message-type", "event") + text(":event-type", name), json.dumps(value).encode())


def events(data: bytes, size: int) -> tuple[list[tuple[str, Any]], int, bool]:
    frames = Frames()
    found: list[tuple[str, Any]] = []
    for at in range(0, len(data), size):
        found += frames.feed(data[at : at + size])
    read, damaged = texts_read(found + frames.finish())
    return read, frames.damaged + damaged, frames.cut


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


ONE, TWO = event("messageStart", {"role": "assistant"}), event("metadata", {"usage": {"inputTokens": 3}})
READ_ONE, READ_TWO = ("messageStart", {"role": "assistant"}), ("metadata", {"usage": {"inputTokens": 3}})
EXCEPTION = frame(
    text(":message-type", "exception") + text(":exception-type", "throttlingException"), b'{"message": "slow"}'
)
ERROR = frame(text(":message-type", "error") + text(":error-code", "500") + text(":error-message", "gone"), b"")
PAGE = frame(text(":message-type", "error") + text(":error-code", "502") + text(":error-message", "gone"), b"<html>")
CHUNK = event("chunk", {"bytes": base64.b64encode(b'{"type": "ping"}').decode(), "p": "abc"})
TYPES = (
    header("a", 0, b"") + header("b", 1, b"") + header("c", 2, b"x") + header("d", 3, b"xx") + header("e", 4, b"xxxx")
    + header("f", 5, b"x" * 8) + header("g", 6, b"\x00\x02xx") + header("h", 8, b"x" * 8) + header("i", 9, b"x" * 16)
    + text(":event-type", "last")
)  # fmt: skip
LONG = {"bytes": "QUJD" * PAYLOAD_BYTES_MAX, "usage": {"inputTokens": 9}}

CASES: dict[str, tuple[bytes, list[tuple[str, Any]], int, bool]] = {
    "two": (ONE + TWO, [READ_ONE, READ_TWO], 0, False),
    "exception": (EXCEPTION, [("exception:throttlingException", {"message": "slow"})], 0, False),
    "error": (ERROR, [("error:500", {"message": "gone"})], 0, False),
    "error that is no JSON": (PAGE, [("error:502", {"message": "gone"})], 1, False),
    "chunk": (CHUNK, [("chunk", {"type": "ping"})], 0, False),
    "chunk that is no base64": (event("chunk", {"bytes": "a"}) + ONE, [READ_ONE], 1, False),
    "chunk that is no JSON": (event("chunk", {"bytes": "YWJj"}) + ONE, [READ_ONE], 1, False),
    "headers of all types": (frame(TYPES, b"1"), [("last", 1)], 0, False),
    "a header of no type": (frame(header("a", 77, b"") + text(":event-type", "x"), b"1"), [("", 1)], 0, False),
    "headers cut short": (frame(text(":event-type", "x")[:-3] + b"\xff", b"1"), [("", 1)], 0, False),
    "no headers, no payload": (frame(b"", b""), [("", {})], 0, False),
    "no JSON": (frame(text(":event-type", "x"), b"hello") + ONE, [READ_ONE], 1, False),
    "payload checksum": (flipped(ONE, len(ONE) - 6) + TWO, [READ_TWO], 1, False),
    "prelude checksum": (ONE + flipped(TWO, 9) + ONE, [READ_ONE], 1, False),
    "length": (ONE + flipped(TWO, 3) + ONE, [READ_ONE], 1, False),
    "half a frame": (ONE + TWO[:-1], [READ_ONE], 1, True),
    "half a prelude": (ONE + TWO[:5], [READ_ONE], 1, True),
    "plain text": (b'{"message": "no frames at all"}', [], 1, False),
    "nothing": (b"", [], 0, False),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_frames(case: tuple[bytes, list[tuple[str, Any]], int, bool]) -> None:
    data, *expected = case
    for size in (1, 2, 7, 13, 10_000):
        found, damaged, cut = events(data, size)
        assert [found, damaged, cut] == expected


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(ONE + TWO) - 1), st.integers(0, 255), st.integers(1, 30))
def test_a_changed_byte_never_raises_nor_passes(at: int, byte: int, size: int) -> None:
    data = ONE + TWO
    changed = data[:at] + bytes([byte]) + data[at + 1 :]
    found, damaged, _ = events(changed, size)
    assert (found, damaged) == events(changed, len(changed))[:2]
    assert damaged or changed == data
    assert all(one in (READ_ONE, READ_TWO) for one in found)


@pytest.mark.parametrize("size", [1000, 65_536, 10**9])
def test_a_frame_too_long_to_hold_keeps_its_telemetry(size: int) -> None:
    found, damaged, cut = events(event("blob", LONG) + ONE, size)
    assert (found[0][0], found[0][1]["usage"], found[1:]) == ("blob", {"inputTokens": 9}, [READ_ONE])
    assert (damaged, cut) == (0, False)
    broken = event("blob", LONG)
    assert events(flipped(broken, len(broken) // 2) + ONE, size) == ([READ_ONE], 1, False)
    assert events(broken[:-1], size) == ([], 1, True)


def test_memory_is_bounded_for_the_largest_frame() -> None:
    start = struct.pack(">II", FRAME_BYTES_MAX, 0)
    frames = Frames()
    tracemalloc.start()
    try:
        frames.feed(start + struct.pack(">I", binascii.crc32(start)) + b'{"a": "')
        for _ in range(FRAME_BYTES_MAX // MEBIBYTE - 1):
            frames.feed(b"x" * MEBIBYTE)
        assert tracemalloc.get_traced_memory()[1] < 8 * MEBIBYTE
    finally:
        tracemalloc.stop()
    assert (frames.finish(), frames.damaged, frames.cut) == ([], 1, True)


def test_a_frame_longer_than_any_ends_the_reading() -> None:
    start = struct.pack(">II", FRAME_BYTES_MAX + 1, 0)
    assert events(start + struct.pack(">I", binascii.crc32(start)) + ONE, 5) == ([], 1, False)

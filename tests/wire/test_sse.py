"""Server-sent events: the standard, and what servers make of it."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from exchanges import texts_read
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.wire.sse import EVENT_BYTES_MAX, EventStream

MEBIBYTE = 1024 * 1024


def events(data: bytes, size: int) -> tuple[list[tuple[str, Any]], int]:
    stream = EventStream()
    found: list[tuple[str, Any]] = []
    for at in range(0, len(data), size):
        found += stream.feed(data[at : at + size])
    read, damaged = texts_read(found + stream.finish())
    return read, stream.damaged + damaged


CASES: dict[str, tuple[bytes, list[tuple[str, Any]], int]] = {
    "one": (b'data: {"a": 1}\n\n', [("", {"a": 1})], 0),
    "no blank after the colon": (b'data:{"a":1}\n\ndata:2\n\n', [("", {"a": 1}), ("", 2)], 0),
    "more blanks": (b"data:   3  \n\n", [("", 3)], 0),
    "named": (b"event: ping\ndata: 1\n\ndata: 2\n\n", [("ping", 1), ("", 2)], 0),
    "name after data": (b"data: 1\nevent: x\n\n", [("x", 1)], 0),
    "carriage returns": (b"event: a\rdata: 1\r\rdata: 2\r\r", [("a", 1), ("", 2)], 0),
    "all line ends": (b"event: a\r\ndata: 1\n\r\ndata: 2\r\n\rdata: 3\r\r\n", [("a", 1), ("", 2), ("", 3)], 0),
    "CRLF is one end": (b'data: {"a":\r\ndata: 1}\r\n\r\n', [("", {"a": 1})], 0),
    "lines of one document": (b'data: {\ndata: "a": [\ndata: 1]}\n\n', [("", {"a": [1]})], 0),
    "no blank line between": (
        b'data: {"a":1}\ndata: {"b":2}\ndata: [DONE]\n\n',
        [("", {"a": 1}), ("", {"b": 2}), ("", "[DONE]")],
        0,
    ),
    "comments": (b': keep-alive\n\n:\ndata: 1\n: {"x": 1}\n\n', [("", 1)], 0),
    "ids and retries": (b"id: 7\nretry: 100\ndata: 1\nid\n\n", [("", 1)], 0),
    "fields nobody knows": (b"foo: 1\nbar\ndata: 1\n\n", [("", 1)], 0),
    "no end": (b'data: {"a": 1}', [("", {"a": 1})], 0),
    "half an end": (b'data: {"a": 1}\n', [("", {"a": 1})], 0),
    "half an event": (b'data: 1\n\ndata: {"a": ', [("", 1)], 1),
    "done": (b"data: [DONE]\n\n", [("", "[DONE]")], 0),
    "done with blanks": (b"data:  [DONE] \n\n", [("", "[DONE]")], 0),
    "empty data": (b"data:\n\ndata\n\ndata: \n\n", [], 0),
    "no JSON": (b"data: hello\n\ndata: 1\n\n", [("", 1)], 1),
    "a bare error": (b'data: 1\n\n{"error": {"code": 500}}\n\n', [("", 1), ("", {"error": {"code": 500}})], 0),
    "NUL": (b"data: \x00\n\n\x00data: 1\n\ndata: 2\n\n", [("", 2)], 1),
    "invalid UTF-8": (b'data: {"a": "\xff\xe2\x82"}\n\n', [("", {"a": "\ufffd\ufffd"})], 0),
    "split UTF-8": ('event: é\ndata: {"a": "€😀"}\n\n'.encode(), [("é", {"a": "€😀"})], 0),
    "digits without end": (b'data: {"n": ' + b"9" * 5000 + b', "m": 1}\n\n', [("", {"n": None, "m": 1})], 0),
    "nothing": (b"", [], 0),
    "blank lines": (b"\n\r\n\r\n\n", [], 0),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_events(case: tuple[bytes, list[tuple[str, Any]], int]) -> None:
    data, expected, damaged = case
    for size in (1, 2, 3, 5, 8, 1000, 10_000):
        assert events(data, size) == (expected, damaged)


lines = st.sampled_from(
    [
        *(b"\x00", b"\xff", "é".encode(), b"[", b"}", b'"', b"data"),
        b"data: ",
        b"data:",
        b"event: ",
        b": ",
        b"id: ",
        b'{"a"',
        b": 1}",
        b"1",
        b"[DONE]",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(lines, max_size=25).map(b"".join) | st.binary(max_size=60), st.integers(1, 9))
def test_any_cut_gives_the_same(data: bytes, size: int) -> None:
    assert events(data, size) == events(data, max(1, len(data)))


def test_an_event_too_long_to_hold_keeps_its_telemetry_for_any_cut() -> None:
    image = b"QUJD" * (EVENT_BYTES_MAX // 2)
    long = b'event: done\ndata: {"b64": "' + image + b'", "usage": {"n": 1}}\n\ndata: 2\n\n'
    for size in (1000, 65_536, len(long)):
        found, damaged = events(long, size)
        assert [(name, value["usage"]) for name, value in found[:1]] == [("done", {"n": 1})]
        assert (found[1:], damaged) == ([("", 2)], 0)


def test_an_event_of_many_lines_too_long_to_hold() -> None:
    data = (
        b'data: {"x": [\n'
        + b'data: "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",\n' * 10_000
        + b'data: 0], "usage": 3}\n\n'
    )
    for size in (1000, len(data)):
        found, damaged = events(data, size)
        assert (len(found), found[0][1]["usage"], damaged) == (1, 3, 0)


@pytest.mark.parametrize(
    ("field", "damaged"), [(b":", 0), (b"event: ", 1), (b"id: ", 1), (b"nonsense", 1), (b'{"error": "', 1)]
)
def test_any_other_line_too_long_to_hold_is_dropped(field: bytes, damaged: int) -> None:
    data = field + b"x" * (EVENT_BYTES_MAX + 1) + b"\ndata: 1\n\n"
    for size in (999, len(data)):
        assert events(data, size) == ([("", 1)], damaged)


def repeated(head: bytes, unit: bytes, size: int) -> Iterator[bytes]:
    block = unit * max(1, 65_536 // len(unit))
    yield head
    for _ in range(size // len(block)):
        yield block


SHAPES: dict[str, tuple[bytes, bytes]] = {
    "one line": (b'data: {"b64": "', b"QUJD"),
    "a comment": (b":", b"x"),
    "a field": (b"", b"header: value "),
    "an event name": (b"event: ", b"n"),
    "data lines": (b"", b'data: {"a":\n'),
    "documents on one line": (b"data: ", b"1" + b" " * 15),
    "comments": (b"", b": keep-alive\n"),
    "names": (b"", b"event: x\n"),
}


def peak_mebibytes(shape: tuple[bytes, bytes], size: int) -> float:
    stream = EventStream()
    tracemalloc.start()
    try:
        for piece in repeated(*shape, size):
            stream.feed(piece)
        stream.finish()
        return tracemalloc.get_traced_memory()[1] / MEBIBYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_memory_is_bounded(shape: tuple[bytes, bytes]) -> None:
    assert peak_mebibytes(shape, MEBIBYTE // 2) < 8


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_memory_is_bounded_for_any_size(shape: tuple[bytes, bytes]) -> None:
    assert peak_mebibytes(shape, 30 * MEBIBYTE) < 8


def test_a_stream_byte_by_byte_is_read_in_linear_time() -> None:
    data = b"data: " + json.dumps({"a": "x" * 100_000}).encode() + b"\n\n"
    found, damaged = events(data, 1)
    assert (found, damaged) == ([("", {"a": "x" * 100_000})], 0)

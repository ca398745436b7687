"""The sieve: what json.loads would say of any value that fits, bounded memory and kept telemetry for any that does
not, whatever the cuts."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.wire.sieve import (
    BYTES_MAX,
    BYTES_RESERVED,
    DEPTH_MAX,
    ITEMS_MAX,
    NAME_BYTES_MAX,
    NODES_MAX,
    NODES_RESERVED,
    NUMBER_BYTES_MAX,
    SCALARS_MAX,
    STRING_BYTES_MAX,
    Sieve,
)

MEBIBYTE = 1024 * 1024

text = st.text(max_size=12) | st.sampled_from(["usage", "data", '"', "\\", "\\u", "\ud83d\ude00", "é", "\x00", ""])
numbers = st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5),
    max_leaves=25,
)


def sieved(data: bytes, size: int, **how: bool) -> tuple[list[Any], Sieve]:
    sieve = Sieve(**how)
    found: list[Any] = []
    for at in range(0, len(data), size):
        found += sieve.feed(data[at : at + size])
    return found + sieve.finish(), sieve


def written(value: Any, ascii_only: bool, indent: int | None) -> bytes:
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    return data.encode("utf-8", "replace")


@settings(max_examples=300, deadline=None)
@given(values, st.booleans(), st.sampled_from([None, 1, 3]), st.integers(1, 40))
def test_a_value_that_fits_is_what_json_says(value: Any, ascii_only: bool, indent: int | None, size: int) -> None:
    data = written(value, ascii_only, indent)
    for pieces in (size, 1, len(data)):
        found, sieve = sieved(data, pieces)
        assert found == [json.loads(data)]
        assert (sieve.damaged, sieve.trimmed, sieve.cut, sieve.open) == (0, False, False, False)


@settings(max_examples=200, deadline=None)
@given(st.lists(values, max_size=6), st.sampled_from([b"\n", b" ", b"\r\n"]), st.integers(1, 40))
def test_values_one_after_another(each: list[Any], between: bytes, size: int) -> None:
    data = between.join(written(value, True, None) for value in each)
    assert sieved(data, size)[0] == [json.loads(written(value, True, None)) for value in each]


@settings(max_examples=200, deadline=None)
@given(st.lists(values, max_size=6), st.integers(1, 40))
def test_the_elements_of_an_array_that_is_a_stream(each: list[Any], size: int) -> None:
    data = written(each, True, 1)
    found, sieve = sieved(data, size, elements=True)
    assert found == json.loads(data)
    assert not sieve.damaged


@settings(max_examples=600, deadline=None)
@given(st.binary(max_size=60) | st.text('{}[],:"\\ aé0-.eutrfalsn1', max_size=60).map(str.encode), st.integers(1, 9))
def test_any_bytes_give_the_same_for_any_cut(data: bytes, size: int) -> None:
    for elements in (False, True):
        whole, one = sieved(data, max(1, len(data)), elements=elements)
        pieces, other = sieved(data, size, elements=elements)
        assert whole == pieces
        assert (one.damaged, one.cut, one.trimmed) == (other.damaged, other.cut, other.trimmed)


@pytest.mark.parametrize(
    ("data", "found", "damaged", "cut"),
    [
        (b'{"a": 1', [{"a": 1}], 1, True),
        (b'{"a": {"b": [1, 2', [{"a": {"b": [1, 2]}}], 1, True),
        (b'{"a": "tex', [{"a": "tex"}], 1, True),
        (b'{"a": "\\u00e', [{"a": ""}], 1, True),
        (b'{"a":', [{}], 1, True),
        (b'{"a"', [{}], 1, True),
        (b'{"a": 1} trailing', [{"a": 1}], 1, False),
        (b'{"a": 1}}', [{"a": 1}], 1, False),
        (b'{"a": [1}', [{"a": [1]}], 2, True),
        (b"hello", [], 1, False),
        (b"", [], 0, False),
        (b"NaN -Infinity", [None, None], 0, False),
        (b'{"a": 01, "b": 1}', [{"b": 1}], 1, False),
        (b'{"a": nul, "b": 1}', [{"b": 1}], 1, False),
        (b'{"a": 1, "a": 2}', [{"a": 2}], 0, False),
    ],
)
def test_what_is_left_of_a_broken_document(data: bytes, found: list[Any], damaged: int, cut: bool) -> None:
    for size in (1, 3, 100):
        values, sieve = sieved(data, size)
        assert (values, sieve.damaged, sieve.cut) == (found, damaged, cut)


def test_a_number_too_long_is_unknown_and_never_a_shorter_number() -> None:
    longest, longer = "9" * NUMBER_BYTES_MAX, "9" * (NUMBER_BYTES_MAX + 1)
    for size in (1, 1000):
        assert sieved(f"[{longest},{longer}]".encode(), size)[0] == [[int(longest), None]]


def test_a_string_too_long_is_cut() -> None:
    fits, too_long = "é" * (STRING_BYTES_MAX // 2), "x" * (STRING_BYTES_MAX + 1)
    for size in (1, 7, 10_000):
        found, sieve = sieved(json.dumps([fits, too_long], ensure_ascii=False).encode(), size)
        assert found == [[fits, too_long[:-1]]]
        assert sieve.trimmed


def test_a_cut_inside_an_escape_leaves_the_text_before_it() -> None:
    head = "x" * (STRING_BYTES_MAX - 3)
    assert sieved(b'["' + head.encode() + b'\\u00e9 and more"]', 5)[0] == [[head]]


def test_nesting_too_deep_is_dropped_and_the_rest_is_kept() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    found, sieve = sieved(b'{"x": ' + deep + b', "usage": {"total_tokens": 7}}', 11)
    assert found[0]["usage"] == {"total_tokens": 7}
    level, depth = found[0]["x"], 1
    while level:
        level, depth = level[0], depth + 1
    assert depth == DEPTH_MAX - 1
    assert (sieve.damaged, sieve.trimmed) == (0, True)


HUGE: dict[str, bytes] = {
    "array of numbers": b"[" + b"0.123," * 50_000 + b"1]",
    "array of arrays": b"[" + b"[1,2]," * 50_000 + b"1]",
    "array of objects": b"[" + b'{"a": {"b": "c"}, "d": [1, 2]},' * 10_000 + b"{}]",
    "string": b'"' + b"QUJD" * 100_000 + b'"',
    "object": b"{" + b",".join(b'"k%d": "%d"' % (at, at) for at in range(20_000)) + b"}",
    "strings": b"[" + b",".join(b'["' + b"x" * 4000 + b'"]' for _ in range(300)) + b"]",
    "brackets in strings": b"[" + b'{"a": "]}\\"]}"},' * 10_000 + b"{}]",
}


@pytest.mark.parametrize("huge", HUGE.values(), ids=HUGE.keys())
@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        (b'{"content": ', b', "usage": %s, "model": "m"}', ("usage",)),
        (b'{"choices": [{"message": {"content": ', b'}, "finish_reason": "stop"}], "usage": %s}', ("usage",)),
        (b'{"response": {"output": ', b', "usage": %s}}', ("response", "usage")),
        (b'{"result": {"message": {"content": ', b', "usage": %s}}}', ("result", "message", "usage")),
        (b'{"x": 1, "more": ', b', "x_groq": {"usage": %s}}', ("x_groq", "usage")),
    ],
)
def test_telemetry_survives_whatever_comes_before_it(
    huge: bytes, before: bytes, after: bytes, path: tuple[str, ...]
) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 3}, "cost": 0.5, "tier": "flex"}
    found, sieve = sieved(before + huge + after % json.dumps(usage).encode(), 60_000)
    value = found[0]
    for member in path:
        value = value[member]
    assert value == usage
    assert sieve.trimmed
    assert not sieve.damaged


def repeated(head: bytes, unit: bytes, tail: bytes, size: int) -> Iterator[bytes]:
    """A body of `size` bytes that is never held whole."""
    block = unit * max(1, 65_536 // len(unit))
    yield head
    for _ in range(size // len(block)):
        yield block
    yield tail


SHAPES: dict[str, tuple[bytes, bytes, bytes]] = {
    "base64 image": (b'{"data": [{"b64_json": "', b"QUJD", b'"}], "usage": {"n": 1}}'),
    "embeddings": (b'{"data": [', b'{"embedding": [' + b"-0.0123," * 1535 + b"1.5]},", b'{}], "usage": {"n": 1}}'),
    "one vector": (b'{"data": [', b"-0.0123,", b'1], "usage": {"n": 1}}'),
    "millions of keys": (b"{", b'"key": {"a": "b"}, "other": 3,', b'"usage": {"n": 1}}'),
    "telemetry without end": (b'{"data": {', b'"usage": {"a": {"b": ["ccccccccccccccccc"]}}, "id": "x",', b'"a": 0}}'),
    "telemetry inside telemetry": (b'{"usage": [', b'{"' + b"n" * 250 + b'": "' + b"v" * 4000 + b'"},', b"1]}"),
    "nesting": (b'{"x": ', b'[{"texts in between": "xxxxxxxxxxxxxxxxxxxxxxxx", "a":', b""),
    "objects in objects": (b"[", b'{"a":{"b":{"c":{"d":"xxxxxxxxxxxxxxxxxxxxxxxx"}}}},', b"1]"),
    "long names": (b"{", b'"' + b"n" * 100_000 + b'": 1,', b'"usage": {"n": 1}}'),
    "one long number": (b"[", b"1234567890", b"]"),
    "blanks": (b'{"a":', b"     \n", b"1}"),
    "no JSON": (b"", b"<html>\x00\xff", b""),
    "closing brackets": (b"", b"]}" + b" " * 40, b""),
    "quotes": (b'["', b'\\"', b'"]'),
}


def peak_mebibytes(pieces: Iterator[bytes]) -> tuple[float, list[Any]]:
    sieve = Sieve()
    found: list[Any] = []
    tracemalloc.start()
    try:
        for piece in pieces:
            found = (found + sieve.feed(piece))[:3]
        found += sieve.finish()
        return tracemalloc.get_traced_memory()[1] / MEBIBYTE, found
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_memory_is_bounded(shape: tuple[bytes, bytes, bytes]) -> None:
    peak, found = peak_mebibytes(repeated(*shape, MEBIBYTE // 2))
    assert peak < 8
    if b'"usage": {"n": 1}' in shape[2]:
        assert found[0]["usage"] == {"n": 1}


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_memory_is_bounded_for_any_size(shape: tuple[bytes, bytes, bytes]) -> None:
    assert peak_mebibytes(repeated(*shape, 50 * MEBIBYTE))[0] < 8


def test_time_is_linear_byte_by_byte() -> None:
    """Half a megabyte in pieces of one byte: seconds if every byte is looked at once, hours if the value is."""
    body = b'{"a": "' + b"x" * 200_000 + b'", "b": [' + b"1.5," * 50_000 + b'1], "usage": {"n": 1}}'
    began = time.process_time()
    found, _ = sieved(body, 1)
    assert found[0]["usage"] == {"n": 1}
    assert time.process_time() - began < 20


def test_limits_fit_together() -> None:
    """What one value may weigh stays well under the bound of the tests above."""
    assert SCALARS_MAX <= ITEMS_MAX <= NODES_MAX
    assert BYTES_MAX + BYTES_RESERVED + STRING_BYTES_MAX + (NODES_MAX + NODES_RESERVED) * NAME_BYTES_MAX < 4 * MEBIBYTE

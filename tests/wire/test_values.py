"""JSON bodies: documents, JSON lines, arrays that are streams."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.wire.values import BODY_BYTES_MAX, NOT_JSON, Document, Values, decoded


def found(framing: Document | Values, data: bytes, size: int) -> tuple[list[Any], int, bool]:
    out: list[tuple[str, Any]] = []
    for at in range(0, len(data), size):
        out += framing.feed(data[at : at + size])
    out += framing.finish()
    return [value for _, value in out], framing.damaged, framing.cut


DOCUMENTS: dict[str, tuple[bytes, list[Any], int, bool]] = {
    "one": (b'{"a": [1]}', [{"a": [1]}], 0, False),
    "blanks around": (b' \r\n{"a": 1}\n\n', [{"a": 1}], 0, False),
    "ends early": (b'{"usage": {"n": 1}, "x": "y', [{"usage": {"n": 1}, "x": "y"}], 1, True),
    "garbage behind it": (b'{"a": 1}\n<!-- served by -->', [{"a": 1}], 4, False),
    "two": (b'{"a": 1}{"a": 2}', [{"a": 1}, {"a": 2}], 0, False),
    "a page": (b"<html><body>502</body></html>", [], 0, False),
    "NaN": (b'{"a": NaN}', [{"a": None}], 0, False),
    "invalid UTF-8": (b'{"a": "\xff"}', [{"a": "\ufffd"}], 0, False),
    "nesting": (b'{"u": 1, "a": ' + b"[" * 100_000, [{"u": 1}], 1, True),
    "digits": (b'{"a": ' + b"7" * 5000 + b', "b": 2}', [{"a": None, "b": 2}], 0, False),
}  # fmt: skip


@pytest.mark.parametrize("case", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_a_document(case: tuple[bytes, list[Any], int, bool]) -> None:
    data, expected, damaged, cut = case
    for size in (1, 7, 10**9) if len(data) < 9999 else (1000, 10**9):
        values, *state = found(Document(), data, size)
        for value in values:
            if isinstance(value, dict) and isinstance(value.get("a"), list) and "u" in value:
                del value["a"]
        assert (values, state) == (expected, [damaged, cut])


LINES: dict[str, tuple[bytes, list[Any], int, bool]] = {
    "lines": (b'{"a": 1}\n{"a": 2}\r\n\n{"a": 3}', [{"a": 1}, {"a": 2}, {"a": 3}], 0, False),
    "an array over lines": (b'[{\n"a": 1\n}\n,\r\n{"a": 2}\n]\n', [{"a": 1}, {"a": 2}], 0, False),
    "an array on one line": (b'[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}], 0, False),
    "an array that ends early": (b'[{"a": 1},\n{"a": 2}', [{"a": 1}, {"a": 2}], 1, True),
    "a broken line": (b'{"a": 1}\n{"a": }\n{"a": 3}\n', [{"a": 1}, {}, {"a": 3}], 0, False),
    "an open line swallows the next": (b'{"a": 1\n{"b": 2}\n', [{"a": 1}], 1, True),
    "the last line ends early": (b'{"a": 1}\n{"b": "x', [{"a": 1}, {"b": "x"}], 1, True),
    "nothing": (b"\n\n", [], 0, False),
}  # fmt: skip


@pytest.mark.parametrize("case", LINES.values(), ids=LINES.keys())
def test_lines(case: tuple[bytes, list[Any], int, bool]) -> None:
    data, *expected = case
    for size in (1, 2, 5, 1000):
        assert [*found(Values(), data, size)] == expected


parts = st.sampled_from([b'{"a": 1}', b"\n", b"[", b"]", b",", b'{"a": ', b"}", b'"x', b'"', b" ", b"1", b"nul", b"\\"])


@settings(max_examples=500, deadline=None)
@given(st.lists(parts, max_size=20).map(b"".join), st.integers(1, 9))
def test_any_cut_gives_the_same(data: bytes, size: int) -> None:
    for framing in (Document, Values):
        assert found(framing(), data, size) == found(framing(), data, max(1, len(data)))


@pytest.mark.parametrize("framing", [Document, Values])
def test_a_value_too_long_to_hold_keeps_its_telemetry_for_any_cut(framing: type[Document | Values]) -> None:
    data = json.dumps({"data": [{"embedding": [0.5] * 2000}] * 100, "usage": {"prompt_tokens": 8}}).encode()
    assert len(data) > BODY_BYTES_MAX
    whole = found(framing(), data, len(data))
    assert (len(whole[0]), whole[0][0]["usage"], whole[1:]) == (1, {"prompt_tokens": 8}, (0, False))
    for size in (1000, 65_536, BODY_BYTES_MAX, BODY_BYTES_MAX + 1):
        assert found(framing(), data, size) == whole


@settings(max_examples=300)
@given(st.binary(max_size=40))
def test_bytes_are_decoded_or_are_none(data: bytes) -> None:
    value = decoded(data)
    if value is NOT_JSON:
        with pytest.raises(ValueError):
            json.loads(data.decode("utf-8", "replace"))

"""Recorded exchanges and what must hold of every Call: shared by the properties and the fuzzer.

The recordings are our own corpus (`tests/corpus/wire`) and, where it lies beside the repository, the larger set of
`../shared/data/wire`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

from tachograph import call as nouns
from tachograph import wire
from tachograph.call import Call
from tachograph.capture import recordings
from tachograph.wire import Exchange
from tachograph.wire.values import NOT_JSON, decoded

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (ROOT / "tests" / "corpus" / "wire", ROOT.parent / "shared" / "data" / "wire")


@functools.cache
def paths() -> tuple[Path, ...]:
    """Every recording, in a fixed order."""
    found = [path for folder in FOLDERS for path in sorted(folder.rglob("*.json"))]
    return tuple(path for path in found if not path.name.endswith(".expected.json"))


@functools.cache
def recorded(path: Path) -> Exchange:
    """The exchange of a recording."""
    return recordings.load(path)


def body(exchange: Exchange) -> bytes:
    """The bytes of the answer."""
    return b"".join(chunk for _, chunk in exchange.chunks)


def with_body(exchange: Exchange, pieces: list[bytes], **changed: object) -> Exchange:
    """The same exchange with another body, in those pieces, without stamps."""
    return dataclasses.replace(exchange, chunks=[(None, piece) for piece in pieces], **changed)


def cut(data: bytes, size: int) -> list[bytes]:
    """`data` in pieces of `size`."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def read(exchange: Exchange) -> list[Call]:
    """The Calls of an exchange, each held against the rules."""
    calls = wire.read(exchange)
    holds(calls)
    return calls


def texts_read(events: list[tuple[str, Any]]) -> tuple[list[tuple[str, Any]], int]:
    """Events as a framing tells them, their texts decoded; and how many texts were no JSON."""
    read = [(name, decoded(value) if isinstance(value, bytes) else value) for name, value in events]
    whole = [(name, value) for name, value in read if value is not NOT_JSON]
    return whole, len(read) - len(whole)


def holds(calls: list[Call]) -> None:
    """At least one Call; words of the closed lists; parts within the whole; numbers that fit their kind; text that
    can be stored."""
    assert calls
    for call in calls:
        assert call.vantage in nouns.VANTAGES
        assert call.operation in nouns.OPERATIONS
        assert call.outcome in nouns.OUTCOMES
        assert call.error_type in (None, *nouns.ERROR_TYPES)
        assert call.finish_reason in (None, *nouns.FINISH_REASONS)
        assert call.usage_source in nouns.USAGE_SOURCES
        assert call.usage_basis in (None, *nouns.USAGE_BASES)
        assert call.cost_source in (None, *nouns.COST_SOURCES)
        assert call.price_status in nouns.PRICE_STATUSES
        assert (call.outcome in ("error", "aborted")) == (call.error_type is not None)
        assert call.input_tokens == nouns.whole(getattr(call, part) for part in nouns.INPUT_PARTS)
        assert call.output_tokens == nouns.whole(getattr(call, part) for part in nouns.OUTPUT_PARTS)
        for part in (*nouns.INPUT_PARTS, *nouns.OUTPUT_PARTS):
            whole = call.input_tokens if part in nouns.INPUT_PARTS else call.output_tokens
            assert (getattr(call, part) or 0) <= (whole or 0)
        text = nouns.to_json(call)
        text.encode()
        again = json.loads(text, parse_constant=_no_number)
        assert nouns.from_dict(again) == call
        if call.usage_raw is not None:
            assert isinstance(json.loads(call.usage_raw, parse_constant=_no_number), dict)


def _no_number(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")

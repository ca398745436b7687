"""What a span of our own states about its call: whole, field by field, so that nothing has to be derived.

In: the facts of a batch. Out: `Stated`, the columns of the rows whose span carries the mark of a whole Call; what is
absent there is unknown. Every value is looked at: anybody may write such a span.
What it must never know: an attribute's name, what follows from a field.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tachograph.call import (
    COST_SOURCES,
    ERROR_TYPES,
    FINISH_REASONS,
    INPUT_PARTS,
    ITL_BUCKETS,
    MODALITY_PARTS,
    OUTCOMES,
    OUTPUT_PARTS,
    PRICE_STATUSES,
    USAGE_BASES,
    USAGE_SOURCES,
    VANTAGES,
)
from tachograph.dialects.columns import Facts
from tachograph.dialects.counting import COUNT_MAX, USAGE_BYTES_MAX, count
from tachograph.dialects.distinct import cut
from tachograph.dialects.facts import Dialect

_MS_MAX, _SMALL_MAX, _COST_MAX = 1e12, 65535, 90_000.0
_WORDS_MAX = 64  # of flags, and of members of a price context

_COUNTS = (
    *INPUT_PARTS,
    *OUTPUT_PARTS,
    *MODALITY_PARTS,
    "total_tokens",
    "chunks",
    "ratelimit_limit_requests",
    "ratelimit_remaining_requests",
    "ratelimit_limit_tokens",
    "ratelimit_remaining_tokens",
    "max_output_tokens",
)
_MILLISECONDS = (
    "headers_ms",
    "ttft_ms",
    "itl_mean_ms",
    "itl_p99_ms",
    "itl_max_ms",
    "tpot_ms",
    "server_ms",
    "queue_ms",
    "retry_after_ms",
    "ratelimit_reset_requests_ms",
    "ratelimit_reset_tokens_ms",
)
_SMALL = ("attempt", "status", "tool_calls")
_WORDS = (
    "operation_id",
    "response_id",
    "request_id",
    "provider",
    "vendor",
    "api",
    "request_model",
    "response_model",
    "model",
    "service_tier",
    "error_code",
    "feature",
    "user_id",
    "conversation_id",
    "api_key_id",
    "prompt_name",
    "prompt_version",
    "prompt_hash",
    "experiment",
    "arm",
    "source",
    "price_id",
)
_CLOSED: Mapping[str, Sequence[str]] = {
    "vantage": VANTAGES,
    "outcome": OUTCOMES,
    "error_type": ERROR_TYPES,
    "finish_reason": FINISH_REASONS,
    "usage_source": USAGE_SOURCES,
    "usage_basis": USAGE_BASES,
    "cost_source": COST_SOURCES,
    "price_status": PRICE_STATUSES,
}
# Fields that other vocabularies tell of under another word, or in another unit.
_FACTS = {"output_reasoning": "reasoning", "ttft_ms": "ttft_s", "finish_reason": "finish", "error_type": "error"}


@dataclass(frozen=True, slots=True)
class Stated:
    """rows: which rows state a call whole. columns: by field, null where unknown; of the other rows they say nothing.
    price_contexts, flags, call_ids: by row, where there are any.
    """

    rows: Any
    columns: Mapping[str, Any]
    price_contexts: Mapping[int, dict[str, str]]
    flags: Mapping[int, Sequence[str]]
    call_ids: Mapping[int, bytes]


def stated_of(facts: Facts, dialects: Sequence[Dialect], chars: int) -> Stated | None:
    """What is stated whole; None where nothing is. chars: words are cut behind so many."""
    rows = np.array([dialect.states for dialect in dialects], bool)[facts.dialect]
    if not rows.any():
        return None
    marked = np.zeros(facts.rows, bool)
    marked[facts.there("schema")] = True
    rows &= marked
    if not rows.any():
        return None
    columns: dict[str, Any] = {name: count(_number(facts, name)) for name in _COUNTS}
    columns |= {name: _below(_number(facts, name), _MS_MAX) for name in _MILLISECONDS}
    columns |= {name: _below(count(_number(facts, name)), _SMALL_MAX + 1) for name in _SMALL}
    columns |= {name: cut(facts.text(name), chars) for name in _WORDS}
    columns |= {name: _one_of(facts, name, words) for name, words in _CLOSED.items()}
    columns["temperature"] = _finite(facts.number("temperature"))
    columns["cost_usd"] = _below(facts.number("cost_usd"), _COST_MAX)
    columns["streamed"] = np.asarray(pc.fill_null(pc.is_in(facts.text("stream"), pa.array(["true", "1"])), False))
    columns["usage_raw"] = _usage(facts)
    columns["itl_buckets"] = _buckets(facts)
    return Stated(rows, columns, _contexts(facts, chars), _flags(facts, chars), _call_ids(facts))


def _number(facts: Facts, field: str) -> Any:
    fact = _FACTS.get(field, field)
    return facts.number(fact) * (1000 if fact.endswith("_s") else 1)


def _below(value: Any, limit: float) -> Any:
    with np.errstate(invalid="ignore"):
        return np.where((value >= 0) & (value < limit), value, np.nan)


def _finite(value: Any) -> Any:
    return np.where(np.isfinite(value), value, np.nan)


def _one_of(facts: Facts, field: str, words: Sequence[str]) -> Any:
    said = facts.text(_FACTS.get(field, field))
    return pc.if_else(pc.is_in(said, pa.array(words)), said, pa.scalar(None, pa.string()))


def _usage(facts: Facts) -> Any:
    texts: list[str | None] = [None] * facts.rows
    for row, text, value in _documents(facts, "usage_raw"):
        if isinstance(value, dict) and len(text) <= USAGE_BYTES_MAX:
            texts[row] = text
    return pa.array(texts, pa.string())


def _buckets(facts: Facts) -> Any:
    found: list[Any] = [None] * facts.rows
    for row, _, value in _documents(facts, "itl_buckets"):
        if isinstance(value, list) and 0 < len(value) <= ITL_BUCKETS:
            found[row] = value
    try:
        column = pa.array(found, pa.list_(pa.int64()))
        if (pc.min(column.flatten()).as_py() or 0) >= 0:
            return column
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        pass  # one of them at least holds what is no count
    known = [value if value and all(map(_is_count, value)) else None for value in found]
    return pa.array(known, pa.list_(pa.int64()))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= COUNT_MAX


def _contexts(facts: Facts, chars: int) -> dict[int, dict[str, str]]:
    """What moves the price. Values that are JSON themselves, such as iterations, are not words and not cut."""
    found = {}
    for row, _, value in _documents(facts, "price_context"):
        if isinstance(value, dict):
            texts = {name[:chars]: text for name, text in value.items() if isinstance(text, str)}
            if 0 < len(texts) <= _WORDS_MAX and sum(map(len, texts.values())) <= USAGE_BYTES_MAX:
                found[row] = texts
    return found


def _flags(facts: Facts, chars: int) -> dict[int, Sequence[str]]:
    return _by_row(facts, "flags", lambda text: [word[:chars] for word in text.split(",")[:_WORDS_MAX] if word])


def _call_ids(facts: Facts) -> dict[int, bytes]:
    def read(text: str) -> bytes | None:
        try:
            octets = bytes.fromhex(text)
        except ValueError:
            return None
        return octets if len(octets) == 16 else None

    return _by_row(facts, "call_id", read)


def _by_row(facts: Facts, fact: str, read: Callable[[str], Any]) -> dict[int, Any]:
    rows = facts.there(fact).tolist()
    if not rows:
        return {}
    texts = facts.text(fact).take(pa.array(rows)).to_pylist()
    found = {row: read(text) for row, text in zip(rows, texts, strict=True)}
    return {row: value for row, value in found.items() if value}


def _documents(facts: Facts, fact: str) -> list[tuple[int, str, Any]]:
    """The rows whose fact is JSON: row, text, value."""

    decode = json.JSONDecoder(parse_constant=_no_constant).raw_decode

    def read(text: str) -> tuple[str, Any] | None:
        try:
            value, end = decode(text)
        except (ValueError, RecursionError):
            return None
        return (text, value) if end == len(text) else None

    return [(row, *found) for row, found in _by_row(facts, fact, read).items()]


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")

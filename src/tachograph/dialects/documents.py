"""What stands in JSON texts and lists among the attributes: counts, parameters, tags.

In: the facts of a batch. Out: columns, or counts written into those that are there. Only rows that carry such a text
are looked at, one by one: they are few, and their shapes are the emitters' own.
What it must never know: what follows from a count, a price.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from tachograph.dialects.columns import Facts
from tachograph.dialects.facts import Dialect

Path = tuple[str, ...]
_MEMBERS_MAX, _NAME_CHARS_MAX = 64, 64
_ENUMERATION = re.compile(r"[\w.:-]{1,64}")
_NUMBER = re.compile(r"\d{1,15}(\.\d{1,6})?")

# Langfuse's buckets, which are disjoint.
_BUCKETS: Mapping[str, tuple[Path, ...]] = {
    "input_tokens": (("input",),),
    "output_tokens": (("output",),),
    "total_tokens": (("total",),),
    "cache_read": (("input_cached_tokens",), ("cache_read_input_tokens",), ("input_cache_read",)),
    "cache_write": (("input_cache_creation",), ("cache_creation_input_tokens",)),
    "cache_write_5m": (("input_cache_creation_5m",),),
    "cache_write_1h": (("input_cache_creation_1h",),),
    "reasoning": (("output_reasoning_tokens",), ("output_reasoning",)),
    "audio_input": (("input_audio_tokens",),),
    "audio_output": (("output_audio_tokens",),),
}
_PARTS = {path for fact, paths in _BUCKETS.items() for path in paths if fact.startswith("cache") or fact == "reasoning"}
# OpenAI's numbers, in which the details are included.
_OPENAI: Mapping[str, tuple[Path, ...]] = {
    "input_tokens": (("prompt_tokens",), ("input_tokens",)),
    "output_tokens": (("completion_tokens",), ("output_tokens",)),
    "total_tokens": (("total_tokens",),),
    "cache_read": (("prompt_tokens_details", "cached_tokens"), ("input_tokens_details", "cached_tokens")),
    "cache_write": (("prompt_tokens_details", "cache_write_tokens"), ("input_tokens_details", "cache_write_tokens")),
    "reasoning": (
        ("completion_tokens_details", "reasoning_tokens"),
        ("output_tokens_details", "reasoning_tokens"),
    ),
    "audio_input": (("prompt_tokens_details", "audio_tokens"),),
    "audio_output": (("completion_tokens_details", "audio_tokens"),),
}
# Where the provider's own usage rides along, it has the details that the emitter left out, such as how long a cache
# entry lives. Its whole counts are not taken: what they include is the provider's way, not the emitter's.
_5M, _1H = "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"
_RAW: Mapping[str, tuple[Path, ...]] = {
    **{fact: _OPENAI[fact] for fact in ("audio_input", "audio_output")},
    "cache_read": (*_OPENAI["cache_read"], ("cache_read_input_tokens",)),
    "cache_write": (*_OPENAI["cache_write"], ("cache_creation_input_tokens",)),
    "reasoning": (*_OPENAI["reasoning"], ("output_tokens_details", "thinking_tokens")),
    "cache_write_5m": (("cache_creation", _5M),),
    "cache_write_1h": (("cache_creation", _1H),),
}
_PROVIDER: Mapping[str, tuple[Path, ...]] = {
    "cache_write_5m": (("anthropic", "usage", "cache_creation", _5M), ("bedrock", "usage", "cache_creation", _5M)),
    "cache_write_1h": (("anthropic", "usage", "cache_creation", _1H), ("bedrock", "usage", "cache_creation", _1H)),
    "cache_read": (
        ("anthropic", "usage", "cache_read_input_tokens"),
        ("anthropic", "cacheReadInputTokens"),
        ("bedrock", "usage", "cacheReadInputTokens"),
        ("openai", "cachedPromptTokens"),
    ),
    "reasoning": (("openai", "reasoningTokens"),),
    "cache_write": (
        ("anthropic", "usage", "cache_creation_input_tokens"),
        ("anthropic", "cacheCreationInputTokens"),
        ("bedrock", "usage", "cacheWriteInputTokens"),
        ("openai", "usage", "cacheWriteTokens"),
    ),
}


def counts_of(facts: Facts, stated: dict[str, Any]) -> tuple[Any, dict[int, str]]:
    """Write the counts of `usage_json` into `stated` where nothing stands; (which rows hold disjoint buckets, by row
    the object as text).
    """
    buckets, raw = np.zeros(facts.rows, bool), {}
    for row, document in _documents(facts, "usage_json"):
        raw[row] = json.dumps(_countable(document), separators=(",", ":"))
        buckets[row] = "input" in document or "output" in document
        _fill(stated, row, document, _BUCKETS if buckets[row] else _OPENAI)
        if buckets[row]:
            for kind in ("input", "output"):
                stated[f"{kind}_tokens"][row] += _others(document, kind)
    return buckets, raw


def _countable(document: Mapping[str, Any], depth: int = 4) -> dict[str, Any]:
    """The numbers and enumerations of an object, no content."""
    found: dict[str, Any] = {}
    for name, value in list(document.items())[:_MEMBERS_MAX]:
        if isinstance(value, dict) and depth:
            found[name[:_NAME_CHARS_MAX]] = _countable(value, depth - 1)
        elif _is_countable(value):
            found[name[:_NAME_CHARS_MAX]] = value
    return found


def _is_countable(value: Any) -> bool:
    if isinstance(value, str):
        return _ENUMERATION.fullmatch(value) is not None
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _others(document: Mapping[str, Any], kind: str) -> float:
    """Tokens in buckets without a part of their own: audio, text, predictions. Buckets are disjoint: all are added."""
    others = [name for name in document if name.startswith(f"{kind}_") and (name,) not in _PARTS]
    return sum(number for name in others if not math.isnan(number := _number(document, ((name,),))))


def split_of(facts: Facts, stated: dict[str, Any]) -> None:
    """Write what the provider's own usage says about caches into `stated` where nothing stands."""
    for fact, paths in (("raw_usage_json", _RAW), ("provider_json", _PROVIDER)):
        for row, document in _documents(facts, fact):
            _fill(stated, row, document, paths)


def invocation_of(facts: Facts) -> dict[str, Any]:
    """Parameters of the request: `model` (words), `stream` (bools), `max_tokens` and `temperature` (floats)."""
    models: dict[int, str] = {}
    streams = np.zeros(facts.rows, bool)
    limits, temperatures = np.full(facts.rows, np.nan), np.full(facts.rows, np.nan)
    for row, document in _documents(facts, "invocation_json"):
        model = document.get("model")
        if isinstance(model, str) and model:
            models[row] = model
        streams[row] = document.get("stream") is True
        limits[row] = _number(document, (("max_tokens",), ("max_completion_tokens",), ("max_output_tokens",)))
        temperatures[row] = _number(document, (("temperature",),))
    named = [models.get(row) for row in range(facts.rows)] if models else None
    return {
        "model": pa.array(named, pa.string()) if named else pa.nulls(facts.rows, pa.string()),
        "stream": streams,
        "max_tokens": limits,
        "temperature": temperatures,
    }


def first_token_ms(facts: Facts, start_ns: Any) -> Any:
    """From the start to the moment that `first_token_at` names, which may be quoted once more."""
    found = np.full(facts.rows, np.nan)
    rows = facts.there("first_token_at").tolist()
    words = facts.word("first_token_at") if rows else []
    for row in rows:
        try:
            moment = datetime.fromisoformat((words[row].as_py() or "").strip('"\\ '))
        except ValueError:
            continue
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        found[row] = zoned.timestamp() * 1000 - start_ns[row] / 1e6
    return found


def tags_of(
    facts: Facts, rows: Any, dialects: Sequence[Dialect], tags_max: int, chars: int
) -> dict[int, dict[str, str]]:
    """What the user attached: attributes behind a prefix, lists of tags, metadata; no texts of objects. By place among
    `rows`, those that have any.
    """
    found: dict[int, dict[str, str]] = {}
    wanted = np.full(facts.rows, -1)
    wanted[rows] = np.arange(len(rows))

    def tag(row: int, name: str, value: str) -> None:
        if wanted[row] >= 0:
            verbatim = dialects[facts.dialect[row]].states
            _tag(found.setdefault(int(wanted[row]), {}), name, value, tags_max, chars, verbatim)

    prefixes = tuple(sorted({prefix for dialect in dialects for prefix in dialect.tags}, key=len, reverse=True))
    for row, attached in facts.tagged().items():
        for name, value in attached:
            tag(row, _rest(name, prefixes), value)
    listed = facts.there("tag_list").tolist()
    words = facts.word("tag_list") if listed else []
    for row in listed:
        if words[row].is_valid:
            tag(row, "tags", words[row].as_py().strip("[]").replace('"', ""))
    for row, document in _documents(facts, "metadata_json"):
        for name, value in document.items():
            if isinstance(value, str | int | float):
                tag(row, name, str(value))
    return found


def _rest(name: str, prefixes: Sequence[str]) -> str:
    return next((name[len(prefix) :] for prefix in prefixes if name.startswith(prefix)), name)


def _tag(tags: dict[str, str], name: str, value: str, tags_max: int, chars: int, verbatim: bool) -> None:
    if name and (verbatim or (value and value[0] not in "{[")) and len(tags) < tags_max:
        tags[name[:chars]] = value[:chars]


def _documents(facts: Facts, fact: str) -> list[tuple[int, dict[str, Any]]]:
    """The rows whose fact is a JSON object, with it; an object that was made a text once too often counts as one."""
    rows = facts.there(fact).tolist()
    found: list[tuple[int, dict[str, Any]]] = []
    if not rows:
        return found
    words = facts.word(fact)
    for row in rows:
        document = _object(words[row].as_py())
        if document is not None:
            found.append((row, document))
    return found


def _object(text: str | None) -> dict[str, Any] | None:
    for _ in range(2):
        if not isinstance(text, str):
            break
        try:
            text = json.loads(text)
        except (ValueError, RecursionError):
            return None
    return text if isinstance(text, dict) else None


def _fill(stated: dict[str, Any], row: int, document: Mapping[str, Any], table: Mapping[str, tuple[Path, ...]]) -> None:
    for fact, paths in table.items():
        if math.isnan(stated[fact][row]):
            stated[fact][row] = _number(document, paths)


def _number(document: Mapping[str, Any], paths: Sequence[Path]) -> float:
    """The first number at any of the paths; nan where none is."""
    for path in paths:
        value: Any = document
        for member in path:
            value = value.get(member) if isinstance(value, dict) else None
        if isinstance(value, dict) and set(value) == {"intValue"}:  # an OTLP value that was made a text
            value = value["intValue"]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            return float(value)
    return math.nan

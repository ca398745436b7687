"""Stated counts -> disjoint token parts.

In: the facts of a batch. Out: parts whose sum is the whole, how the source counted, its own numbers; what had to be
repaired leaves a flag.
What it must never know: an attribute's name, a price, SQL.

A source counts cached tokens within its input or beside it. They stand beside it (exclusive) where they exceed it,
where the stated total says so, and where the table of the vocabulary says so; else they are within. The same for
reasoning and output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tachograph.dialects.columns import Facts
from tachograph.dialects.distinct import Coded, by_distinct
from tachograph.dialects.documents import counts_of, split_of
from tachograph.dialects.facts import EVERY, TOKEN_COUNTS, Dialect
from tachograph.dialects.providers import LIFETIMES

COUNT_MAX = 10**12
USAGE_BYTES_MAX = 16 * 1024
_COUNTS = tuple(fact for fact in TOKEN_COUNTS if fact != "embedding_tokens")


def tokens(
    facts: Facts,
    dialects: Sequence[Dialect],
    told_by: tuple[Coded, Coded, Coded],
    silent: tuple[Any, Any],
    flags: dict[str, Any],
) -> dict[str, Any]:
    """Disjoint parts, how the source counted, and its own numbers. told_by: vocabulary, provider and scope. silent: the
    rows that failed, and those that embed: where emitters write zero for what was never counted.
    """
    n, buckets, raw = _stated(facts, silent, flags)
    written = _written(n)
    cached = known(n["cache_read"]) + (known(written[0]) + known(written[1]) + known(written[2]))
    said = known(n["input_tokens"]) + known(n["output_tokens"])
    told, thinking = _beside(facts, dialects, told_by)
    exceeds = cached > n["input_tokens"]
    beside = buckets | exceeds | ((cached > 0) & (n["total_tokens"] == said + cached)) | told
    provider = told_by[1]
    lasting = Coded(provider.codes, [word in LIFETIMES for word in provider.values])
    flags["cache_lifetime_unknown"] = (written[2] > 0) & lasting.holds()
    flags["cached_exceeds_input"] = exceeds & ~told & ~buckets
    unknown = np.isnan(n["input_tokens"]) & np.isnan(n["output_tokens"])
    basis = np.where(unknown, 0, np.where(buckets, 3, 1 + beside))
    return {
        "input_uncached": np.where(beside, n["input_tokens"], n["input_tokens"] - cached),
        "cache_read": n["cache_read"],
        **dict(zip(("cache_write_5m", "cache_write_1h", "cache_write_other"), written, strict=True)),
        **_outputs(n, buckets, said + np.where(beside, cached, 0), thinking, flags),
        **{name: n[name] for name in ("audio_input", "audio_output", "image_input", "image_output")},
        "usage_basis": Coded(basis, [None, "inclusive", "exclusive", "disjoint"]).text(),
        "usage_raw": _usage_raw(facts, raw, flags),
    }


def _stated(facts: Facts, silent: tuple[Any, Any], flags: dict[str, Any]) -> tuple[dict[str, Any], Any, dict[int, str]]:
    """(the counts as they were stated, which rows hold disjoint buckets, by row the object that they came in)."""
    stated = {name: facts.number(name) for name in _COUNTS}
    if len(facts.there("embedding_tokens")):
        stated["input_tokens"] = either(stated["input_tokens"], facts.number("embedding_tokens"))
    buckets, raw = counts_of(facts, stated)
    split_of(facts, stated)
    n, unreadable = {}, np.zeros(facts.rows, bool)
    for name, values in stated.items():
        right = _is_count(values)
        n[name] = np.where(right, values, np.nan)
        unreadable |= ~(right | np.isnan(values))
    flags["count_unreadable"] = unreadable
    failed, embeds = silent
    rows = np.flatnonzero(failed)
    rows = rows[sum(known(values[rows]) for values in n.values()) == 0]
    for values in n.values():
        values[rows] = np.nan
    n["output_tokens"][embeds & (n["output_tokens"] == 0)] = np.nan
    return n, buckets, raw


def _written(n: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Tokens written to a cache: kept for 5 minutes, for an hour, for a time that nobody states."""
    short, long, all_written = n["cache_write_5m"], n["cache_write_1h"], n["cache_write"]
    split = ~(np.isnan(short) & np.isnan(long))
    if not split.any():
        return short, long, all_written
    rest = all_written - known(short) - known(long)
    return short, long, np.where(split, np.where(rest > 0, rest, np.nan), all_written)


def _outputs(n: Mapping[str, Any], buckets: Any, said: Any, told: Any, flags: dict[str, Any]) -> dict[str, Any]:
    """The parts of the output. said: all that is counted but the reasoning, if it stands beside the output. It does
    where the stated total says so, and where the table does and no total objects.
    """
    total, output, reasoning = n["total_tokens"], n["output_tokens"], n["reasoning"]
    apart = buckets | ((reasoning > 0) & ((told & (total != said)) | (total == said + reasoning)))
    flags["reasoning_exceeds_output"] = (reasoning > output) & ~apart
    within = np.where(reasoning > output, output, reasoning)
    # Reasoning that the total alone tells of is output, but nobody itemised it.
    untold = told & ~(reasoning > 0) & (total > said) & ~np.isnan(output)
    visible = np.where(apart | np.isnan(reasoning), output, output - within)
    return {
        "output_visible": np.where(untold, output + total - said, visible),
        "output_reasoning": np.where(apart, reasoning, within),
    }


def _beside(facts: Facts, dialects: Sequence[Dialect], told_by: tuple[Coded, Coded, Coded]) -> tuple[Any, Any]:
    """What the tables say: (cached tokens stand beside the input, reasoning stands beside the output)."""

    def answer(dialect: int, host: str, scope: str | None, details: int) -> tuple[bool, bool]:
        table = dialects[dialect]
        beside = table.beside == EVERY or host in table.beside
        beside = beside or scoped(scope, table.beside_scopes)
        beside = beside or (host in table.beside_without_details and not details)
        beside = beside and not scoped(scope, table.within_scopes)
        return beside, scoped(scope, table.reasoning_beside_scopes)

    found = by_distinct([*told_by, facts.columns["details"]], answer)
    return found.part(0).holds(), found.part(1).holds()


def scoped(scope: str | None, stems: Sequence[str]) -> bool:
    """Whether the name of a scope is one of these, or below one of them."""
    bare = [stem.rstrip(".") for stem in stems]
    return any(scope == stem or (scope or "").startswith(stem + ".") for stem in bare)


def _usage_raw(facts: Facts, objects: dict[int, str], flags: dict[str, Any]) -> Any:
    """The source's own numbers, as a JSON object."""
    raw = pc.binary_join_element_wise("{", facts.said("usage_raw"), "}", "")
    if objects:
        texts = raw.to_pylist()
        for row, text in objects.items():
            texts[row] = text
        raw = pa.array(texts, pa.string())
    large = np.asarray(pc.fill_null(pc.greater(pc.binary_length(raw), USAGE_BYTES_MAX), False))
    flags["usage_raw_too_large"] = large
    return pc.if_else(pa.array(large), pa.scalar(None, pa.string()), raw) if large.any() else raw


def either(first: Any, second: Any) -> Any:
    """The first number; the second where there is none."""
    return np.where(np.isnan(first), second, first)


def known(value: Any) -> Any:
    """What is not negative as it stands; 0 where it is not known."""
    return np.fmax(value, 0)


def count(value: Any) -> Any:
    """What is a count; nan where it is none."""
    return np.where(_is_count(value), value, np.nan)


def _is_count(value: Any) -> Any:
    with np.errstate(invalid="ignore"):
        return (value >= 0) & (value <= COUNT_MAX) & (np.floor(value) == value)

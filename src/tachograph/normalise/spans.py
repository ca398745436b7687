"""Spans -> complete Calls, a batch at a time: what `from_exchange` is for one exchange.

In: the columns that `dialects` read off the spans, the price book, who is asking by default, when they were accepted.
Out: a record batch of complete calls: id, folded words, totals, canonical model, cost.
What it must never know: an attribute's name, SQL.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tachograph.call import EPOCH, INPUT_PARTS, MODALITY_PARTS, OUTPUT_PARTS, Call
from tachograph.dialects.distinct import Coded, by_distinct
from tachograph.dialects.rules import Spans
from tachograph.dialects.stated import Stated
from tachograph.flow.columns import from_columns, words_of
from tachograph.normalise import Circumstances, stated
from tachograph.pricing import PriceBook
from tachograph.pricing.bulk import PARTS, Bills, bill, by_hours
from tachograph.wire.errors import classify
from tachograph.wire.finish import reason_of

_DAY_US = 86_400 * 10**6
_ATTRIBUTION = ("service", "environment", "region", "team", "project")


def from_spans(spans: Spans, book: PriceBook, circumstances: Circumstances) -> pa.RecordBatch:
    """The calls of a batch of spans, in their order."""
    columns = dict(spans.columns)
    rows = len(spans.calls)
    flags: dict[str, Any] = dict(columns.pop("flags"))
    whole = columns.pop("stated")
    columns["received_at"] = np.full(rows, _microseconds(circumstances.received_at))
    columns["call_id"] = (ids(columns, rows), np.ones(rows, bool))
    _outcome(columns, flags)
    if whole is not None:
        stated.before_totals(columns, whole)
    _totals(columns, flags)
    if whole is not None:
        stated.after_totals(columns, flags, whole)
    columns["price_context"], speeds = _contexts(columns.pop("speed"), whole, rows)
    for name in _ATTRIBUTION:
        if circumstances.attribution.get(name):
            columns[name] = pc.fill_null(columns[name], circumstances.attribution[name])
    _from_tags(columns, whole)
    _price(columns, rows, speeds, book, flags, whole)
    if whole is not None:
        stated.after_prices(columns, whole)
    columns["flags"] = words_of(flags, rows)
    return from_columns(columns, rows)


def _contexts(speeds: Any, whole: Stated | None, rows: int) -> tuple[dict[int, dict[str, str]], Any]:
    """(what moves the price by row, the speed as a column)."""
    words = speeds.to_pylist() if whole is not None or speeds.null_count < rows else []
    found = {row: {"speed": speed} for row, speed in enumerate(words) if speed}
    if whole is None:
        return found, speeds
    for row in np.flatnonzero(whole.rows).tolist():
        context = found[row] = dict(whole.price_contexts.get(row, {}))
        words[row] = context.get("speed")
    return found, pa.array(words, pa.string())


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def ids(columns: Mapping[str, Any], rows: int) -> Any:
    """The ids, see `call.derive_id`, from the ids of trace and span; of what has none, from what it says."""
    traces, traced = columns["trace_id"]
    spans, spanned = columns["span_id"]
    seeds = np.hstack([traces, spans]).tobytes()
    digest = hashlib.sha256
    own = traced & spanned
    known: list[bytes] = np.frombuffer(seeds, "V24").tolist()
    if not own.all():
        said = _said(columns, rows)
        known = [seed if right else text.encode() for seed, right, text in zip(known, own.tolist(), said, strict=True)]
    digests = [digest(seed).digest() for seed in known]
    free = np.frombuffer(b"".join(digests), np.uint8).reshape(rows, 32)
    found = np.empty((rows, 16), np.uint8)
    ms = (columns["started_at"] // 1000).astype(">i8")
    found[:, :6] = np.frombuffer(ms.tobytes(), np.uint8).reshape(rows, 8)[:, 2:]
    found[:, 6:] = free[:, :10]
    found[:, 6] = found[:, 6] & 0x0F | 0x70
    found[:, 8] = found[:, 8] & 0x3F | 0x80
    return found


def _said(columns: Mapping[str, Any], rows: int) -> list[str]:
    """What tells records without ids apart: the provider's id of the request, else all that they say."""
    requests = columns["request_id"].to_pylist()
    names = ("api", "conversation_id", "request_model", "usage_raw")
    told = [*(columns[name] for name in names), columns["error_word"].text()]
    rest = zip(*(column.to_pylist() for column in told), columns["started_at"].tolist(), strict=True)
    return [f"request {request}" if request else repr(said) for request, said in zip(requests, rest, strict=True)]


def _outcome(columns: dict[str, Any], flags: dict[str, Any]) -> None:
    """Words of failure and of the end -> ours. A filtered answer is an error, as everywhere."""
    failed, status = columns.pop("failed"), columns["status"]
    words, finish = columns.pop("error_word"), columns.pop("finish_word")

    def told(failure: bool, word: str | None, code: float, end: str | None) -> tuple[Any, ...]:
        reason = reason_of(end) if end else None
        number = int(code) if code == code else int(word) if word and word.isdigit() and len(word) == 3 else None
        if failure:
            kind = classify([word] if word else [], "", number)
            code_word = word or (str(number) if number else None)
            return "aborted" if kind == "cancelled" else "error", kind, code_word, _plain(reason), number
        if reason in ("content_filter", "error"):
            kind = "content_filter" if reason == "content_filter" else "provider_error"
            return "error", kind, end, reason, number
        return "ok", None, None, _plain(reason), number

    found = by_distinct([failed, words, status, finish], told)
    for place, name in enumerate(("outcome", "error_type", "error_code", "finish_reason")):
        columns[name] = found.part(place).text()
    numbers = [np.nan if answer[4] is None else answer[4] for answer in found.values]
    columns["status"] = np.array(numbers, float)[found.codes]
    unknown = Coded(finish.codes, [reason_of(word or "") == "unknown" for word in finish.values])
    if any(unknown.values):
        flags["finish_reason_unknown"] = unknown.holds()


def _plain(reason: str | None) -> str | None:
    return "other" if reason == "unknown" else reason


def _totals(columns: dict[str, Any], flags: dict[str, Any]) -> None:
    inputs = [columns[name] for name in INPUT_PARTS]
    outputs = [columns[name] for name in OUTPUT_PARTS]
    columns["input_tokens"], columns["output_tokens"] = _sum(inputs), _sum(outputs)
    output = columns["output_tokens"]
    spoken = ~(np.isnan(columns["input_tokens"]) & np.isnan(output))
    columns["total_tokens"] = columns["input_tokens"] + np.where(np.isnan(output), 0, output)
    columns["usage_source"] = Coded(spoken.astype(np.int64), ["missing", "reported"]).text()
    nobody = pc.and_(pc.is_null(columns["request_model"]), pc.is_null(columns["response_model"]))
    flags["model_missing"] = np.asarray(nobody)
    after = columns["duration_ms"] - columns["ttft_ms"]
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.round(after / (output - 1), 3)
        columns["tpot_ms"] = np.where((output > 1) & (after >= 0) & columns["streamed"], each, np.nan)
    columns["model"] = pc.coalesce(columns["response_model"], columns["request_model"])


def _sum(parts: Sequence[Any]) -> Any:
    total, unknown = np.zeros(len(parts[0])), np.ones(len(parts[0]), bool)
    for part in parts:
        silent = np.isnan(part)
        unknown &= silent
        total += np.where(silent, 0, part)
    total[unknown] = np.nan
    return total


def _from_tags(columns: dict[str, Any], whole: Stated | None) -> None:
    """Who is asking, where it was only attached as a tag of that name."""
    rows = [row for row in sorted(columns["tags"]) if whole is None or not whole.rows[row]]
    if not rows:
        return
    for name, spellings in _TAGGED.items():
        values = columns[name].to_pylist()
        changed = False
        for row in rows:
            if values[row] is None:
                tags = columns["tags"][row]
                values[row] = next((tags[spelling] for spelling in spellings if tags.get(spelling)), None)
                changed = changed or values[row] is not None
        if changed:
            columns[name] = pa.array(values, pa.string())


_TAGGED: dict[str, tuple[str, ...]] = {
    "team": ("team", "team_id"),
    "project": ("project", "project_id"),
    "feature": ("feature",),
    "customer": ("customer", "customer_id", "tenant", "tenant_id"),
    "user_id": ("user_id", "userId", "user"),
    "conversation_id": ("session_id", "sessionId", "conversation_id"),
    "experiment": ("experiment",),
    "arm": ("arm",),
    "environment": ("environment",),
}


def _price(
    columns: dict[str, Any],
    rows: int,
    speeds: Any,
    book: PriceBook,
    flags: dict[str, Any],
    whole: Stated | None,
) -> None:
    """Cost, price row, canonical model: by the column where it is plain, else call by call."""
    groups: list[Call] = []

    def group(*key: Any) -> int:
        groups.append(_asked(*key))
        return len(groups) - 1

    days = columns["started_at"] // _DAY_US
    names = ("provider", "request_model", "response_model", "service_tier", "operation")
    found = by_distinct([*(columns[name] for name in names), speeds, days], group)
    group_of = np.array(found.values, np.int64)[found.codes]
    counts = np.array([columns[name] for name in PARTS])
    group_of = by_hours(book, groups, group_of, columns["started_at"] % _DAY_US)
    bills = bill(book, groups, group_of, counts)
    media = np.any([columns[name] > 0 for name in MODALITY_PARTS], axis=0)
    counted = Coded(group_of, [call.operation == "count_tokens" for call in groups]).holds()
    singly = ~bills.plain | media | counted
    costs = {} if whole is None else stated.stated_costs(whole)
    singly[[row for row, context in columns["price_context"].items() if context.keys() - {"speed"}]] = True
    singly[list(costs)] = True
    singly |= flags.get(_PARTIAL, False)
    _write(columns, bills, group_of, flags, singly, np.isnan(counts).all(axis=0))
    rest = np.flatnonzero(singly)
    if len(rest):
        likes = [groups[index] for index in group_of[rest]]
        _price_singly(columns, rest.tolist(), likes, book, flags, costs)


def _asked(
    provider: str,
    requested: str | None,
    responded: str | None,
    tier: str | None,
    operation: str,
    speed: str | None,
    day: int,
) -> Call:
    return Call(
        provider=provider,
        request_model=requested,
        response_model=responded,
        service_tier=tier,
        operation=operation,
        price_context={"speed": speed} if speed else {},
        started_at=EPOCH + timedelta(days=day),
    )


def _write(
    columns: dict[str, Any], bills: Bills, group_of: Any, flags: dict[str, Any], singly: Any, silent: Any
) -> None:
    """singly: rows that are priced once more, one by one, and get their flags then. silent: rows without any count."""
    flagged = bills.known & ~singly
    columns["cost_usd"] = (bills.steps, bills.known)
    columns["cost_source"] = Coded(group_of, bills.sources).where(bills.known).text()
    columns["price_id"] = Coded(group_of, bills.price_ids).where(bills.known).text()
    model = Coded(group_of, bills.models).text()
    columns["model"] = pc.coalesce(model, columns["model"]) if model.null_count else model
    unpriced = np.array(bills.unpriced, np.int64)[group_of]
    status = np.where(bills.known, 0, np.where(silent, 1, 1 + unpriced))
    columns["price_status"] = Coded(status, ["priced", "unknown_usage", "unpriced_model"]).text()
    for word in {word for words in bills.flags for word in words}:
        holds = Coded(group_of, [word in words for words in bills.flags]).holds()
        flags[word] = flags.get(word, False) | (holds & flagged)
    for word, holds in bills.odd.items():
        flags[word] = flags.get(word, False) | (holds & flagged)


_PARTIAL = "usage_partial"  # the one flag that a price depends on
_CHARGED = ("cost_source", "price_id", "price_status", "model")


def _price_singly(
    columns: dict[str, Any],
    rows: Sequence[int],
    likes: Sequence[Call],
    book: PriceBook,
    flags: dict[str, Any],
    costs: Mapping[int, Decimal],
) -> None:
    steps, priced = columns["cost_usd"]
    changed = {name: columns[name].to_pylist() for name in _CHARGED}
    for row, like in zip(rows, likes, strict=True):
        counts = {name: columns[name][row] for name in (*PARTS, *MODALITY_PARTS)}
        known: dict[str, Any] = {name: int(count) for name, count in counts.items() if count == count}
        known["started_at"] = EPOCH + timedelta(microseconds=int(columns["started_at"][row]))
        known["price_context"] = columns["price_context"].get(row, {})
        known["flags"] = (_PARTIAL,) if _PARTIAL in flags and flags[_PARTIAL][row] else ()
        if row in costs:
            known["cost_usd"], known["cost_source"] = costs[row], "provider"
        charge = book.charge(dataclasses.replace(like, **known))
        priced[row] = charge.cost_usd is not None
        steps[row] = int(charge.cost_usd.scaleb(10)) if charge.cost_usd is not None else 0
        for name in _CHARGED[:3]:
            changed[name][row] = getattr(charge, name)
        changed["model"][row] = charge.model or changed["model"][row]
        for word in charge.flags:
            flags.setdefault(word, np.zeros(len(steps), bool))[row] = True
    columns.update({name: pa.array(values, pa.string()) for name, values in changed.items()})

"""Calls that a span states whole -> the columns of the batch: what is stated takes the place of what was derived.

In: the columns that hold for spans of anybody, and what the spans of our own state. Out: the same columns, in which
the rows of a whole Call say what that Call said, so that a call is the same whichever way it was recorded.
What it must never know: an attribute's name, SQL.

A price is taken from the span only where somebody was told it who may know better than our list: the provider stated
it, or a contract price or capacity cost of the process itself. List prices are the price book's.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tachograph.call import OUTCOMES
from tachograph.dialects.stated import Stated

_AFTER_TOTALS = ("total_tokens", "tpot_ms", "usage_source", "model")
_PRICE = ("cost_usd", "cost_source", "price_id", "price_status")
_TOLD = ("contract", "amortised")


def before_totals(columns: dict[str, Any], stated: Stated) -> None:
    """Everything but what `_totals` and the prices decide."""
    rows = stated.rows
    for name, column in stated.columns.items():
        if name not in (*_AFTER_TOTALS, *_PRICE):
            columns[name] = _chosen(rows, column, columns.get(name))
    outcome = pc.fill_null(columns["outcome"], OUTCOMES[0])
    kind = columns["error_type"]
    untold = pa.scalar("other"), pa.scalar("cancelled"), pa.scalar(None, pa.string())
    kind = pc.if_else(pc.equal(outcome, "error"), pc.coalesce(kind, untold[0]), kind)
    kind = pc.if_else(pc.equal(outcome, "aborted"), pc.coalesce(kind, untold[1]), kind)
    kind = pc.if_else(pc.equal(outcome, "ok"), untold[2], kind)
    columns["outcome"], columns["error_type"] = outcome, kind
    columns["attempt"] = np.nan_to_num(columns["attempt"])
    ids = columns["call_id"][0]
    for row, octets in stated.call_ids.items():
        if rows[row]:
            ids[row] = np.frombuffer(octets, np.uint8)


def after_totals(columns: dict[str, Any], flags: dict[str, Any], stated: Stated) -> None:
    """What was derived from the parts. A total that nobody stated stays unknown."""
    rows, said = stated.rows, stated.columns
    there = ~np.isnan(columns["input_tokens"]) | ~np.isnan(columns["output_tokens"])
    total = np.nan_to_num(columns["input_tokens"]) + np.nan_to_num(columns["output_tokens"])
    total = np.where(there & ~np.isnan(said["total_tokens"]), total, np.nan)
    columns["total_tokens"] = np.where(rows, total, columns["total_tokens"])
    for name in _AFTER_TOTALS[1:]:
        columns[name] = _chosen(rows, said[name], columns[name])
    for word, holds in flags.items():
        flags[word] = holds & ~rows
    for row, words in stated.flags.items():
        for word in words if rows[row] else ():
            flags.setdefault(word, np.zeros(len(rows), bool))[row] = True


def stated_costs(stated: Stated) -> dict[int, Decimal]:
    """By row, what the provider said the call cost."""
    rows = stated.rows & ~np.isnan(stated.columns["cost_usd"]) & _is(stated.columns["cost_source"], ("provider",))
    steps = steps_of(np.nan_to_num(stated.columns["cost_usd"]))
    return {row: Decimal(int(steps[row])).scaleb(-10) for row in np.flatnonzero(rows).tolist()}


def after_prices(columns: dict[str, Any], stated: Stated) -> None:
    """Prices that the process was told, as it states them; the model of what has no price is that of the call."""
    said = stated.columns
    counted = stated.rows & np.asarray(pc.equal(columns["operation"], "count_tokens"))
    columns["model"] = _chosen(counted, said["model"], columns["model"])
    rows = stated.rows & ~np.isnan(said["cost_usd"]) & _is(said["cost_source"], _TOLD)
    if not rows.any():
        return
    steps, known = columns["cost_usd"]
    columns["cost_usd"] = np.where(rows, steps_of(np.nan_to_num(said["cost_usd"])), steps), known | rows
    for name in _PRICE[1:]:
        columns[name] = _chosen(rows, said[name], columns[name])


def steps_of(cost_usd: Any) -> Any:
    """Whole steps of the money column."""
    return np.rint(cost_usd * 1e10).astype(np.int64)


def _is(words: Any, among: tuple[str, ...]) -> Any:
    return np.asarray(pc.fill_null(pc.is_in(words, pa.array(among)), False))


def _chosen(rows: Any, stated: Any, derived: Any) -> Any:
    """The stated value in the rows that state one, else what was derived, if anything was."""
    if isinstance(stated, np.ndarray):
        return np.where(rows, stated, np.nan if derived is None else derived)
    other = pa.nulls(len(rows), stated.type) if derived is None else derived
    return pc.if_else(pa.array(rows), stated, other)

"""Many charges at once: token counts by the column x the plan of each group of calls -> amounts.

In: for every row its group (calls that one plan prices), the counts of the seven token parts, and one Call a group.
Out: amounts in steps of 10^-10 US dollars, and what stands beside an amount, by group.
What it must never know: where columns come from, a provider's JSON, the time of now.

The same sums as `PriceBook.charge`, to the last digit: whole numbers only, rounded once, half to even. What is not
plain (media, units beside tokens, amounts beyond 64 bits) is left to `charge`, by
`plain`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

import numpy as np

from tachograph.call import INPUT_PARTS, OUTPUT_PARTS, Call
from tachograph.pricing.book import PriceBook
from tachograph.pricing.plan import DIGITS, MONEY_DIGITS, Plan

PARTS = (*INPUT_PARTS, *OUTPUT_PARTS)  # the order of `counts`
_SCALE_MAX = DIGITS - MONEY_DIGITS
_SAFE = 2**62


@dataclass(slots=True)
class Bills:
    """By row: plain (what else stands here of the row holds), steps, known (there is an amount); odd: flag -> the rows
    that have it. By group: model, source, price_id, whether there is no price, flags of every priced row.
    """

    plain: Any
    steps: Any
    known: Any
    odd: dict[str, Any]
    models: list[str | None]
    sources: list[str | None]
    price_ids: list[str | None]
    unpriced: list[bool]
    flags: list[tuple[str, ...]]


def by_hours(book: PriceBook, groups: list[Call], group_of: Any, clock_us: Any) -> Any:
    """The groups once more, those apart whose price depends on the hour: appended to `groups`, at an hour of theirs.

    clock_us: microseconds of the day of each row.
    """
    for index, call in enumerate(list(groups)):
        hours = book.hours(call)
        if not hours:
            continue
        members = np.flatnonzero(group_of == index)
        for row in hours:
            begin, end = (_us(moment) for moment in row)
            clock = clock_us[members]
            inside = (begin <= clock) & (clock < end) if begin <= end else (clock >= begin) | (clock < end)
            if inside.any():
                groups.append(dataclasses.replace(call, started_at=_at(call, row[0])))
                group_of[members[inside]] = len(groups) - 1
                members = members[~inside]
    return group_of


def _us(moment: time) -> int:
    return ((moment.hour * 60 + moment.minute) * 60 + moment.second) * 10**6 + moment.microsecond


def _at(call: Call, moment: time) -> datetime:
    return datetime.combine(call.started_at.date(), moment, UTC)


def bill(book: PriceBook, groups: Sequence[Call], group_of: Any, counts: Any) -> Bills:
    """Charge all rows. counts: floats, seven rows of PARTS by calls, nan for unknown."""
    rows = len(group_of)
    bills = Bills(np.zeros(rows, bool), np.zeros(rows, np.int64), np.zeros(rows, bool), {}, [], [], [], [], [])
    known = ~np.isnan(counts)
    whole = np.nan_to_num(counts).astype(np.int64)
    # Output without any input: half a bill is no bill.
    half = known[5] & ~known[0] & ~known[1:5].any(axis=0)
    stated = known[0] | known[5]
    order = np.argsort(group_of, kind="stable")
    bounds = np.searchsorted(group_of[order], np.arange(len(groups) + 1))
    for index, call in enumerate(groups):
        members = order[bounds[index] : bounds[index + 1]]
        model, plan = book.planned(call)
        bills.models.append(model)
        bills.sources.append(plan.source if plan else None)
        bills.price_ids.append(plan.price_id if plan else None)
        bills.unpriced.append(plan is None)
        bills.flags.append(plan.flags if plan else ())
        if plan is None:
            bills.plain[members] = True
        elif not plan.free and plan.tokened:
            bills.plain[members] = True
            _amounts(plan, members, whole, known, stated & ~half, bills)
    # Nothing of tokens is known: no amount, whatever the plan; only what is half said needs no second look.
    bills.plain &= stated | half | ~known.any(axis=0)
    bills.known &= bills.plain
    return bills


def _amounts(plan: Plan, members: Any, whole: Any, known: Any, billable: Any, bills: Bills) -> None:
    columns = whole[:, members]
    top = [int(column.max(initial=0)) for column in columns]
    steps = np.zeros(len(members), np.int64)
    taken = np.zeros(len(members), bool)
    size = columns[:5].sum(axis=0)
    for above, below, rates in plan.levels():
        scale = _scale((*rates, plan.fee))
        unit = 10**scale
        if sum(most * (rate // unit) for most, rate in zip(top, rates, strict=True)) + plan.fee // unit >= _SAFE:
            continue
        inside = (size > above) & (size <= below)
        amount = np.full(len(members), plan.fee // unit, np.int64)
        for column, rate in zip(columns, rates, strict=True):
            amount += column * (rate // unit)
        steps = np.where(inside, _rounded(amount, 10 ** (_SCALE_MAX - scale)), steps)
        taken |= inside
    odd = np.zeros(len(members), bool)
    for place in plan.odd_at:
        used = columns[place] > 0
        odd |= used
        held = bills.odd.setdefault(plan.odd[PARTS[place]], np.zeros(len(bills.plain), bool))
        held[members] |= used
    # An odd row that costs nothing perhaps has no price at all.
    bills.plain[members] = taken & ~((odd | bool(plan.flags)) & (steps == 0)) & (steps < 10**18)
    bills.steps[members] = steps
    bills.known[members] = billable[members]


def _scale(rates: Sequence[int]) -> int:
    """How many zeros all rates end with, at most those that rounding drops."""
    scale = _SCALE_MAX
    while any(rate % 10**scale for rate in rates):
        scale -= 1
    return scale


def _rounded(amount: Any, step: int) -> Any:
    """`amount` / `step` to the nearest whole, half to even."""
    whole, rest = np.divmod(amount, step)
    return whole + ((rest * 2 > step) | ((rest * 2 == step) & (whole % 2 == 1)))

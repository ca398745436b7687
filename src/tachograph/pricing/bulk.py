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
from collections.abc import Iterable, Sequence
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
    planned = [book.planned(call) for call in groups]
    plans = [plan for _, plan in planned]
    tokened = [plan if plan is not None and not plan.free and plan.tokened else None for plan in plans]
    known = ~np.isnan(counts)
    whole = np.where(known, counts, 0).astype(np.int64)
    # Output without any input: half a bill is no bill.
    half = known[5] & ~known[0] & ~known[1:5].any(axis=0)
    stated = known[0] | known[5]
    steps, taken = _amounts(tokened, group_of, whole)
    odd = _odd(tokened, group_of, whole)
    doubtful = _each((bool(plan and plan.flags) for plan in tokened), group_of, bool)
    for used in odd.values():
        doubtful |= used
    by_tokens = _each((plan is not None for plan in tokened), group_of, bool)
    # An odd row that costs nothing perhaps has no price at all.
    right = taken & ~(doubtful & (steps == 0)) & (steps < 10**18)
    plain = np.where(by_tokens, right, _each((plan is None for plan in plans), group_of, bool))
    # Nothing of tokens is known: no amount, whatever the plan; only what is half said needs no second look.
    plain &= stated | half | ~known.any(axis=0)
    return Bills(
        plain,
        steps,
        by_tokens & stated & ~half & plain,
        odd,
        [model for model, _ in planned],
        [plan.source if plan else None for plan in plans],
        [plan.price_id if plan else None for plan in plans],
        [plan is None for plan in plans],
        [plan.flags if plan else () for plan in plans],
    )


def _each(of_groups: Iterable[Any], group_of: Any, kind: Any) -> Any:
    """What holds for each group, by row."""
    return np.array(list(of_groups), kind)[group_of]


def _amounts(plans: Sequence[Plan | None], group_of: Any, whole: Any) -> tuple[Any, Any]:
    """(steps, whether they are right) by row. plans: by group, None where tokens are not what is charged."""
    steps = np.zeros(len(group_of), np.int64)
    taken = np.zeros(len(group_of), bool)
    levels = [plan.levels() if plan is not None else [] for plan in plans]
    top = [int(column.max(initial=0)) for column in whole]
    size = whole[:5].sum(axis=0)
    for depth in range(max(map(len, levels), default=0)):
        bounds, step = np.zeros((2, len(plans))), np.zeros(len(plans), np.int64)
        units = np.zeros((1 + len(PARTS), len(plans)), np.int64)
        for group, (plan, found) in enumerate(zip(plans, levels, strict=True)):
            if plan is None or depth >= len(found):
                continue
            above, below, rates = found[depth]
            scale = _scale((*rates, plan.fee))
            charged = [one // 10**scale for one in (plan.fee, *rates)]
            if _fits(charged, top) or _fits(charged, whole[:, group_of == group].max(axis=1, initial=0).tolist()):
                bounds[:, group], step[group], units[:, group] = (above, below), 10 ** (_SCALE_MAX - scale), charged
        inside = (size > bounds[0][group_of]) & (size <= bounds[1][group_of]) & (step > 0)[group_of]
        amount = units[0][group_of]
        for rate, column in zip(units[1:], whole, strict=True):
            if rate.any():
                amount += column * rate[group_of]
        steps = np.where(inside, _rounded(amount, np.maximum(step, 1)[group_of]), steps)
        taken |= inside
    return steps, taken


def _fits(charged: Sequence[int], top: Sequence[int]) -> bool:
    """Whether the amount of the most that was counted is a 64-bit number. charged: a fee and rates."""
    return sum(most * rate for most, rate in zip(top, charged[1:], strict=True)) + charged[0] < _SAFE


def _odd(plans: Sequence[Plan | None], group_of: Any, whole: Any) -> dict[str, Any]:
    """By flag the rows in which a part was counted that is charged oddly."""
    odd: dict[str, Any] = {}
    for place, part in enumerate(PARTS):
        words = [plan.odd[part] if plan is not None and place in plan.odd_at else "" for plan in plans]
        for word in set(words) - {""}:
            used = _each((one == word for one in words), group_of, bool) & (whole[place] > 0)
            odd[word] = odd.get(word, False) | used
    return odd


def _scale(rates: Sequence[int]) -> int:
    """How many zeros all rates end with, at most those that rounding drops."""
    scale = _SCALE_MAX
    while any(rate % 10**scale for rate in rates):
        scale -= 1
    return scale


def _rounded(amount: Any, step: Any) -> Any:
    """`amount` / `step` to the nearest whole, half to even."""
    whole, rest = np.divmod(amount, step)
    return whole + ((rest * 2 > step) | ((rest * 2 == step) & (whole % 2 == 1)))

"""Every version of a model that was seen: how much it answered, when first and last, and when one took over.

In: conditions, a range. Out: `Version`s and `Change`s. What it must never know: which version is the newer, a price.

Sums come from the roll-ups, step by step; that says in which step a version was first and last seen, and only these
few steps are looked at in the raw rows, for the exact moments. Of steps whose calls are no longer kept the step's ends
are told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from tachograph.store.conditions import Parameters, Where, check_where, conditions, microseconds, moment
from tachograph.store.engine import Engine
from tachograph.store.errors import StoreError
from tachograph.store.measures import MEASURES, Measure
from tachograph.store.planning import Question, Retention, check_range, clock, figures, planned, rows

ROWS_MAX = 300_000
_ANSWERED = ("provider", "request_model", "response_model")
_KEYS = (*_ANSWERED, "model")
_FINE, _COARSE = timedelta(hours=1), timedelta(days=1)
_FINE_UNTIL = timedelta(days=45)
_SHORT = ((timedelta(minutes=20), timedelta(minutes=1)), (timedelta(hours=2), timedelta(minutes=5)))  # up to, step
_ENOUGH_CALLS = 10  # in the last step there is, which no next one can confirm, and in each of the short ones
_TAKEN_OVER = 2 / 3  # of the answers of a step, from which on a version is the one that answers
_PRICED = Measure("priced_calls", "calls", "", "count(cost_usd)", "sum(rolled.priced_calls)", ("priced_calls",))

Answered = tuple[str, str, str]
Key = tuple[str, str | None, str | None, str | None]


@dataclass(frozen=True, slots=True)
class Version:
    """One requested name, the name that answered, the canonical one. price_id: the last that was used."""

    provider: str
    request_model: str | None
    response_model: str | None
    model: str | None
    calls: int
    cost_usd: float | None
    priced_calls: int
    first_seen: datetime
    last_seen: datetime
    price_id: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """From `at` on the requested model is answered by `after`, by `before` until then. at: when `after` first answered;
    where it did so long before it took over, the beginning of that step.
    """

    at: datetime
    provider: str
    request_model: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class _Steps:
    """A version in steps, whose starts are told in seconds since 1970. priced_last: of the last that has a price."""

    calls: int
    cost: Decimal | None
    priced: int
    first: int
    last: int
    priced_last: int | None


def versions(
    engine: Engine,
    where: Where | None = None,
    *,
    since: datetime,
    until: datetime,
    kept_days: Retention = MappingProxyType({}),
) -> list[Version]:
    """The versions of the calls with since <= started_at < until, those that answered most first. Raises as `ask`."""
    question = _question((MEASURES["calls"], MEASURES["cost_usd"], _PRICED), _KEYS, where, since, until)
    of_all = "sum(f0), sum(f1), sum(f2), min(step_at), max(step_at), maxOrNullIf(step_at, f2 > 0)"
    listed = _stepwise(engine, question, kept_days, of_all)
    steps: dict[Key, _Steps] = {(row[0], row[1], row[2], row[3]): _Steps(*row[4:]) for row in listed}
    seen = _seen(engine, question, steps)
    found = [_version(key, steps[key], seen.get(key), question) for key in steps]
    found.sort(key=lambda version: (-version.calls, version.provider, version.request_model or ""))
    return found


def changes(
    engine: Engine,
    where: Where | None = None,
    *,
    since: datetime,
    until: datetime,
    kept_days: Retention = MappingProxyType({}),
) -> list[Change]:
    """When another version took over what is requested by the same name, oldest first. Raises as `ask` does.

    Told within minutes where up to two hours are asked for, else once it answered most calls of an hour or a day.
    """
    question = _question((MEASURES["calls"],), _ANSWERED, where, since, until)
    found = _changes(engine, question, kept_days)
    # Of minutes there is no roll-up by version, and of two hours the raw rows are soon read.
    short = next((step for longest, step in _SHORT if until - since <= longest), None)
    if short is not None:
        early = _changes(engine, replace(question, step=short), kept_days)
        told = {(change.provider, change.request_model) for change in early}
        found = early + [change for change in found if (change.provider, change.request_model) not in told]
    return sorted(found, key=lambda change: (change.at, change.provider, change.request_model))


def _changes(engine: Engine, question: Question, kept_days: Retention) -> list[Change]:
    answered: dict[tuple[str, str], dict[str, dict[int, int]]] = {}
    listed = _stepwise(engine, question, kept_days, "groupArray(step_at), groupArray(f0)")
    for provider, requested, version, at, calls in sorted(listed, key=lambda row: min(row[3])):
        if requested is not None and version is not None:
            answered.setdefault((provider, requested), {})[version] = dict(zip(at, calls, strict=True))
    width = question.step_seconds or 1
    hasty = width < _FINE.total_seconds()
    taken = [(*asked, *one) for asked, of in answered.items() for one in _taken_over(of, hasty)]
    firsts = {(*asked, name): min(steps) for asked, of in answered.items() for name, steps in of.items()}
    near = {
        (provider, requested, after): firsts[provider, requested, after]
        for provider, requested, at, _, after in taken
        if at - firsts[provider, requested, after] <= 2 * width
    }
    begun = _begun(engine, question, near)
    found = []
    for provider, requested, at, before, after in taken:
        first = begun.get((provider, requested, after))
        when = first if first is not None and at - first.timestamp() < 2 * width else moment(at * 10**6)
        found.append(Change(when, provider, requested, before, after))
    return found


def _question(
    measures: tuple[Measure, ...], by: tuple[str, ...], where: Where | None, since: datetime, until: datetime
) -> Question:
    check_where(where)
    check_range(since, until)
    step = _FINE if until - since <= _FINE_UNTIL else _COARSE
    return Question(measures, by, where or {}, since.astimezone(UTC), until.astimezone(UTC), step)


def _stepwise(engine: Engine, question: Question, kept_days: Retention, wanted: str) -> list[Sequence[Any]]:
    """The labels, and `wanted` over their steps: aggregates of `step_at`, the start of a step in seconds since 1970,
    and of the measures `f0`, `f1` and so on.
    """
    plan, told = planned(engine, question, kept_days), Parameters()
    seconds, labels = question.step_seconds or 1, ", ".join(question.by)
    there = "" if plan is None else " HAVING sum(rolled.calls) != 0"
    found = engine.query(
        f"SELECT {labels}, {wanted}, count() FROM ("
        f"SELECT {labels}, intDiv({clock(plan)}, {seconds * 10**6}) * {seconds} AS step_at,"
        f" {', '.join(f'{figure} AS f{place}' for place, figure in enumerate(figures(question, plan)))}"
        f" FROM {rows(question, plan, told)} GROUP BY {labels}, step_at{there} LIMIT {ROWS_MAX + 1}"
        f") GROUP BY {labels}",
        told.values,
    )
    if sum(row[-1] for row in found) > ROWS_MAX:
        raise StoreError("there are too many versions in this time: ask a shorter time or one provider")
    return [row[:-1] for row in found]


def _begun(engine: Engine, question: Question, steps: Mapping[Answered, int]) -> dict[Answered, datetime]:
    """When each of these first answered, by the raw rows of its step, whose start is told; where they are no longer
    kept, the step's start.
    """
    if not steps:
        return {}
    first = {key: moment(max(at * 10**6, microseconds(question.since))) for key, at in steps.items()}
    width, told = question.step_seconds or 1, Parameters()
    found = engine.query(
        f"SELECT {', '.join(_ANSWERED)}, toUnixTimestamp64Micro(min(started_at)) FROM calls WHERE same_as IS NULL"
        f"{_within(question, sorted(set(steps.values())), told)} AND response_model IN"
        f" ({', '.join(told.bind(name, 'String') for name in sorted({key[2] for key in steps}))})"
        f"{conditions(question.where, told)} GROUP BY {', '.join(_ANSWERED)}",
        told.values,
    )
    for provider, requested, version, at in found:
        key = (provider, requested, version)
        if key in steps and steps[key] * 10**6 <= at < (steps[key] + width) * 10**6:
            first[key] = moment(at)
    return first


def _within(question: Question, starts: Sequence[int], told: Parameters) -> str:
    """SQL of the part of the range that lies in these steps."""
    spans = " OR ".join(
        f"started_at >= {told.moment(moment(low * 10**6))} AND started_at < {told.moment(moment(high * 10**6))}"
        for low, high in _joined(starts, question.step_seconds or 1)
    )
    since, until = told.moment(question.since), told.moment(question.until)
    return f" AND ({spans}) AND started_at >= {since} AND started_at < {until}"


def _seen(engine: Engine, question: Question, steps: Mapping[Key, _Steps]) -> dict[Key, tuple[int, int, str | None]]:
    """First and last moment in microseconds, last price, from the raw rows of the steps in which these must be."""
    wanted: set[int] = set()
    for one in steps.values():
        wanted |= {one.first, one.last, *([] if one.priced_last is None else [one.priced_last])}
    if not wanted:
        return {}
    told = Parameters()
    found = engine.query(
        f"SELECT {', '.join(_KEYS)}, toUnixTimestamp64Micro(min(started_at)), toUnixTimestamp64Micro(max(started_at)),"
        f" argMax(price_id, started_at) FROM calls WHERE same_as IS NULL{_within(question, sorted(wanted), told)}"
        f"{conditions(question.where, told)} GROUP BY {', '.join(_KEYS)}",
        told.values,
    )
    return {(row[0], row[1], row[2], row[3]): (row[4], row[5], row[6]) for row in found}


def _joined(starts: Sequence[int], width: int) -> list[tuple[int, int]]:
    """Steps side by side as one span."""
    spans: list[tuple[int, int]] = []
    for start in starts:
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], start + width)
        else:
            spans.append((start, start + width))
    return spans


def _version(key: Key, one: _Steps, seen: tuple[int, int, str | None] | None, question: Question) -> Version:
    width = (question.step_seconds or 1) * 10**6
    first, last = one.first * 10**6, one.last * 10**6
    low, high, price_id = seen or (None, None, None)
    since, until = microseconds(question.since), microseconds(question.until)
    exact_first = low if low is not None and first <= low < first + width else max(first, since)
    exact_last = high if high is not None and last <= high < last + width else min(last + width, until) - 1
    cost = None if one.cost is None or not one.priced else float(one.cost)
    return Version(*key, one.calls, cost, one.priced, moment(exact_first), moment(exact_last), price_id)


def _taken_over(by_version: Mapping[str, Mapping[int, int]], hasty: bool) -> list[tuple[int, str, str]]:
    """(step, version before, version after). A few calls that another version answers meanwhile are no change: one
    takes over in a step in which it gives most of the answers, if it does so in the next step with answers as well.
    hasty: the steps are short, so that those with few answers say nothing and the last one is not enough by itself.
    """
    least = _ENOUGH_CALLS if hasty else 1
    leading: list[tuple[int, str | None]] = []
    for at in sorted({at for calls in by_version.values() for at in calls}):
        total = sum(calls.get(at, 0) for calls in by_version.values())
        most = max(by_version, key=lambda name: by_version[name].get(at, 0))
        leads = by_version[most].get(at, 0) >= max(_TAKEN_OVER * total, least)
        leading.append((at, most if leads else None))
    changes: list[tuple[int, str, str]] = []
    current: str | None = None
    for place, (at, leader) in enumerate(leading):
        if leader is None or leader == current:
            continue
        following = next((name for _, name in leading[place + 1 :] if name is not None), None)
        enough = following is None and not hasty and by_version[leader].get(at, 0) >= _ENOUGH_CALLS
        if current is None:
            current = leader
        elif following == leader or enough:
            changes.append((at, current, leader))
            current = leader
    return changes

"""The one question of reading: measures by dimensions over time.

In: names of measures and dimensions, conditions, a time range and a step. Out: a `Series`.
What it must never know: a clock (`since` and `until` are told), a threshold, who asks.

Which table answers is decided here: the roll-up that reads least, if it has the dimensions and its grain divides the
step; the raw rows otherwise. Where the range begins or ends inside a cell, the roll-up gives the whole cells and the
raw rows give the two ends, summed in the same way, so that an answer is for exactly the range asked for.
Sums and counts agree with the raw rows exactly, quantiles within `rollups.QUANTILE_ERROR`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from tachograph.series import Row, Series, Value
from tachograph.store.conditions import (
    Parameters,
    Where,
    check_dimension,
    conditions,
    label,
    listed,
    microseconds,
    nearest,
)
from tachograph.store.engine import Engine
from tachograph.store.errors import StoreError, Unknown
from tachograph.store.measures import MEASURES, Measure
from tachograph.store.rollups import ROLLUPS, SAME_EVERYWHERE, Rollup, filling, grouping

ROWS_MAX = 500_000  # of one answer
# Reading one time step of a roll-up takes as long as reading the raw rows of so many seconds; each dimension beyond
# the usual ones multiplies its cells.
_CELL_COST, _CELL_COST_MORE = 60, 1440
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FOR_EVER = math.inf

Retention = Mapping[str, int | None]  # table -> days; None or absent: for ever


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, checked: every name is known, the range is not empty, the step is whole seconds."""

    measures: tuple[Measure, ...]
    by: tuple[str, ...]
    where: Where
    since: datetime
    until: datetime
    step: timedelta | None
    limit: int | None
    order: str | None

    @property
    def step_seconds(self) -> int | None:
        """The step in seconds."""
        return None if self.step is None else int(self.step.total_seconds())

    @property
    def width_seconds(self) -> float:
        """What a rate is taken over: the step, or without one the whole range."""
        return float(self.step_seconds or (self.until - self.since).total_seconds())

    @property
    def dimensions(self) -> set[str]:
        """All that is grouped or filtered by."""
        return {*self.by, *self.where}


@dataclass(frozen=True, slots=True)
class Plan:
    """Which roll-up answers, and for which whole cells; the raw rows give the rest of the range."""

    rollup: Rollup
    since: datetime
    until: datetime

    def cost(self, question: Question) -> float:
        """How much is read, in seconds' worth of raw rows."""
        ends = (self.since - question.since) + (question.until - self.until)
        cells = (self.until - self.since).total_seconds() / self.rollup.grain_seconds
        each = _CELL_COST if self.rollup.dimensions == SAME_EVERYWHERE else _CELL_COST_MORE
        return ends.total_seconds() + cells * each

    def name(self, question: Question) -> str:
        """The tables that answer, as `Series.table` says them."""
        whole = (self.since, self.until) == (question.since, question.until)
        return self.rollup.name if whole else f"{self.rollup.name}+calls"


def ask(
    engine: Engine,
    measures: str | Sequence[str],
    by: str | Sequence[str] = (),
    where: Where | None = None,
    *,
    since: datetime,
    until: datetime,
    step: timedelta | None = None,
    limit: int | None = None,
    order: str | None = None,
    kept_days: Retention = MappingProxyType({}),
) -> Series:
    """`measures` of the calls with since <= started_at < until, for each label set of `by` and each step.

    where: dimension -> value, None (not known) or a list of these. step: whole seconds, counted from 1970-01-01 UTC.
    order: a measure, a dimension or "time", with "-" in front for descending. Not given: by time and labels; with a
    limit and no step, the largest of the first measure first, for that is what a limit is asked for.
    limit: at most so many rows, the first in that order. kept_days: how long each table keeps its rows.
    Raises Unknown (a ValueError) for a name that there is not, ValueError for a range or value that cannot be, and
    StoreError or Busy where the store does not answer.
    """
    question = _checked(measures, by, where or {}, since, until, step, limit, order)
    plan = _planned(engine, question, kept_days)
    parameters = Parameters()
    sql = _sql(question, plan, parameters)
    rows = engine.query(sql, parameters.values)
    if len(rows) > ROWS_MAX:
        raise StoreError(f"the answer has more than {ROWS_MAX} rows: set a limit, a longer step or fewer dimensions")
    widest = (
        question
        if plan is None
        else replace(question, since=min(question.since, plan.since), until=max(question.until, plan.until))
    )
    return Series(
        measures=tuple(measure.name for measure in question.measures),
        units=tuple(measure.unit for measure in question.measures),
        by=question.by,
        since=widest.since,
        until=widest.until,
        step=step,
        table="calls" if plan is None else plan.name(widest),
        rows=tuple(_row(row, question) for row in rows),
    )


def _checked(
    measures: str | Sequence[str],
    by: str | Sequence[str],
    where: Where,
    since: datetime,
    until: datetime,
    step: timedelta | None,
    limit: int | None,
    order: str | None,
) -> Question:
    names, labels = listed(measures), listed(by)
    if not names:
        raise Unknown("no measure is asked: name one, such as calls")
    for name in (*labels, *where):
        check_dimension(name)
    if microseconds(since) >= microseconds(until):
        raise ValueError(f"since {since.isoformat()} is not before until {until.isoformat()}: swap them")
    if step is not None and (step < timedelta(seconds=1) or step % timedelta(seconds=1)):
        raise ValueError(f"step {step} is not a whole number of seconds: use 1 second or more")
    if limit is not None and not 0 < limit <= ROWS_MAX:
        raise ValueError(f"limit {limit} is not between 1 and {ROWS_MAX}")
    found = tuple(_measure(name) for name in names)
    if order is None and limit is not None and step is None:
        order = f"-{names[0]}"
    if order is not None:
        _check_order(order, (*names, *labels, *(("time",) if step else ())))
    return Question(found, labels, where, since.astimezone(UTC), until.astimezone(UTC), step, limit, order)


def _measure(name: str) -> Measure:
    if name not in MEASURES:
        raise Unknown(f"unknown measure {name!r}{nearest(name, MEASURES)}")
    return MEASURES[name]


def _check_order(order: str, known: Sequence[str]) -> None:
    if order.removeprefix("-") not in known:
        raise Unknown(f"cannot order by {order!r}{nearest(order.removeprefix('-'), known)}")


def _planned(engine: Engine, question: Question, kept_days: Retention) -> Plan | None:
    """The cheapest roll-up that can answer and still has the rows; None for the raw rows."""
    plans = [plan for rollup in ROLLUPS if (plan := _fitting(rollup, question)) is not None]
    plans = _reaching(engine, plans, question, kept_days)
    if not plans:
        return None
    best = min(plans, key=lambda plan: plan.cost(question))
    return _widened(engine, best, question)


def _reaching(engine: Engine, plans: list[Plan], question: Question, kept_days: Retention) -> list[Plan]:
    """Those whose table keeps rows from as long ago as is asked; where no table does, the one that keeps them longest.

    The engine's clock decides, as it decides what is dropped.
    """
    reach = {plan.rollup.table: kept_days.get(plan.rollup.table) or _FOR_EVER for plan in plans}
    raw = kept_days.get("calls") or _FOR_EVER
    if not plans or min(*reach.values(), raw) == _FOR_EVER:
        return plans
    ((now,),) = engine.query("SELECT toInt64(toUnixTimestamp(now()))")
    asked = (now - microseconds(question.since) / 10**6) / 86400
    covering = [plan for plan in plans if reach[plan.rollup.table] >= asked]
    if covering or raw >= asked:
        return covering
    longest = max(reach.values())
    return [plan for plan in plans if reach[plan.rollup.table] == longest] if longest > raw else []


def _fitting(rollup: Rollup, question: Question) -> Plan | None:
    step = question.step_seconds
    if not question.dimensions <= set(rollup.dimensions) or any(m.rolled is None for m in question.measures):
        return None
    if step is not None and step % rollup.grain_seconds:
        return None
    grain = rollup.grain_seconds * 10**6
    since = -(-microseconds(question.since) // grain) * grain
    until = microseconds(question.until) // grain * grain
    return Plan(rollup, _time(since), _time(until)) if since < until else None


def _widened(engine: Engine, plan: Plan, question: Question) -> Plan:
    """Whole cells also at an end whose raw rows are no longer kept: rather a little more than less, and said so."""
    if plan.since == question.since:
        return plan
    ((oldest_raw, oldest_cell),) = engine.query(
        "SELECT toUnixTimestamp64Micro(min(started_at)),"
        f" (SELECT toInt64(toUnixTimestamp(min(time))) FROM {plan.rollup.table}) FROM calls"
    )
    gone = oldest_cell * 10**6 <= microseconds(question.since) < oldest_raw - plan.rollup.grain_seconds * 10**6
    return replace(plan, since=plan.since - timedelta(seconds=plan.rollup.grain_seconds)) if gone else plan


def _time(since_epoch_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=since_epoch_us)


def _sql(question: Question, plan: Plan | None, parameters: Parameters) -> str:
    seconds = question.step_seconds
    labels = [f"{label(name, parameters)} AS l{i}" for i, name in enumerate(question.by)]
    clock = "toUnixTimestamp64Micro(started_at)" if plan is None else "toInt64(toUnixTimestamp(rolled.time)) * 1000000"
    times = [] if seconds is None else [f"intDiv({clock}, {seconds * 10**6}) * {seconds} AS step_at"]
    figures = [f"{_figure(measure, plan, question)} AS m{i}" for i, measure in enumerate(question.measures)]
    source = _raw(question, parameters) if plan is None else _rolled(question, plan, parameters)
    keys = [f"l{i}" for i in range(len(labels))] + ["step_at"] * len(times)
    group = f"GROUP BY {', '.join(keys)}" if keys else ""
    if plan is not None and keys:  # a cell whose calls were all taken back is none
        group += " HAVING sum(rolled.calls) != 0"
    most = min(question.limit or ROWS_MAX + 1, ROWS_MAX + 1)
    return f"SELECT {', '.join(labels + times + figures)}\nFROM {source}\n{group}\n{_order(question)}\nLIMIT {most}"


def _figure(measure: Measure, plan: Plan | None, question: Question) -> str:
    text = measure.raw if plan is None else str(measure.rolled)
    return text.replace("{seconds}", repr(question.width_seconds))


def _raw(question: Question, parameters: Parameters) -> str:
    return (
        f"calls WHERE same_as IS NULL AND started_at >= {parameters.moment(question.since)}"
        f" AND started_at < {parameters.moment(question.until)}{conditions(question.where, parameters)}"
    )


def _rolled(question: Question, plan: Plan, parameters: Parameters) -> str:
    """The whole cells of the roll-up, and the ends of the range made into such cells from the raw rows."""
    columns = sorted({"calls", *(column for measure in question.measures for column in measure.columns)})
    dimensions = tuple(name for name in plan.rollup.dimensions if name in {*question.dimensions, "outcome"})
    kept = conditions(question.where, parameters)
    since, until = parameters.moment(plan.since), parameters.moment(plan.until)
    cells = (
        f"SELECT {', '.join(('time', *dimensions, *columns))} FROM {plan.rollup.table}"
        f" WHERE time >= toDateTime({since}, 'UTC') AND time < toDateTime({until}, 'UTC'){kept}"
    )
    ends = _ends(question, plan, parameters)
    if not ends:
        return f"({cells}) AS rolled"
    narrow = replace(plan.rollup, dimensions=dimensions)
    raw = f"{filling(narrow, columns)} AND ({' OR '.join(ends)}){kept} {grouping(narrow)}"
    return f"({cells} UNION ALL {raw}) AS rolled"


def _ends(question: Question, plan: Plan, parameters: Parameters) -> list[str]:
    ranges = [(question.since, plan.since), (plan.until, question.until)]
    return [
        f"(calls.started_at >= {parameters.moment(low)} AND calls.started_at < {parameters.moment(high)})"
        for low, high in ranges
        if low < high
    ]


def _order(question: Question) -> str:
    named = {measure.name: f"m{i}" for i, measure in enumerate(question.measures)}
    named |= {name: f"l{i}" for i, name in enumerate(question.by)}
    default = [*(["step_at"] if question.step else []), *(f"l{i}" for i in range(len(question.by)))]
    keys = [f"{key} NULLS LAST" for key in default]
    if question.order is not None:
        wanted = named.get(question.order.removeprefix("-"), "step_at")
        keys.insert(0, f"{wanted} {'DESC' if question.order.startswith('-') else 'ASC'} NULLS LAST")
    return f"ORDER BY {', '.join(keys)}" if keys else ""


def _row(row: Sequence[Any], question: Question) -> Row:
    width = len(question.by)
    stepped = question.step is not None
    time = _time(int(row[width]) * 10**6) if stepped else None
    return Row(tuple(row[:width]), time, tuple(_value(value) for value in row[width + stepped :]))


def _value(value: Any) -> Value:
    """A number of the engine as a plain number; what divides nothing by nothing is not known."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, int) else float(value)

"""Which table answers a question, and the rows of it that do.

In: a checked question, and how long each table keeps its rows. Out: a plan, and the SQL of its rows.
What it must never know: what a measure is called, in which order rows are shown, a clock.

The roll-up that reads least answers, if it has the dimensions and its grain divides the step; the raw rows otherwise.
Where the range begins or ends inside a cell, the roll-up gives the whole cells and the raw rows give the two ends,
summed in the same way, so that an answer is for exactly the range asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tachograph.store.conditions import Parameters, Where, conditions, microseconds, moment
from tachograph.store.engine import Engine
from tachograph.store.measures import Measure, figure
from tachograph.store.rollups import CHARGEBACK, ROLLUPS, Rollup, filling, grouping

# Reading one time step of a roll-up takes as long as reading the raw rows of so many seconds; the dimensions of who
# pays multiply its cells.
_CELL_COST, _CELL_COST_OF_CHARGEBACK = 60, 1440
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
    step: timedelta | None = None
    limit: int | None = None
    order: str | None = None

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
        each = _CELL_COST_OF_CHARGEBACK if set(CHARGEBACK) <= set(self.rollup.dimensions) else _CELL_COST
        return ends.total_seconds() + cells * each

    def name(self, question: Question) -> str:
        """The tables that answer, as `Series.table` says them."""
        whole = (self.since, self.until) == (question.since, question.until)
        return self.rollup.name if whole else f"{self.rollup.name}+calls"


def check_range(since: datetime, until: datetime) -> None:
    """ValueError for a range that is empty or has no time zone."""
    if microseconds(since) >= microseconds(until):
        raise ValueError(f"since {since.isoformat()} is not before until {until.isoformat()}: swap them")


def check_step(step: timedelta) -> None:
    """ValueError for what is no whole number of seconds."""
    if step < timedelta(seconds=1) or step % timedelta(seconds=1):
        raise ValueError(f"step {step} is not a whole number of seconds: use 1 second or more")


def planned(engine: Engine, question: Question, kept_days: Retention) -> Plan | None:
    """The cheapest roll-up that can answer and still has the rows; None for the raw rows."""
    plans = [plan for rollup in ROLLUPS if (plan := _fitting(rollup, question)) is not None]
    plans = _reaching(engine, plans, question, kept_days)
    if not plans:
        return None
    best = min(plans, key=lambda plan: plan.cost(question))
    return _widened(engine, best, question)


def widened(question: Question, plan: Plan | None) -> Question:
    """The question with the range that the plan answers for."""
    if plan is None:
        return question
    return replace(question, since=min(question.since, plan.since), until=max(question.until, plan.until))


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
    return [plan for plan in plans if reach[plan.rollup.table] == longest] if longest >= raw else []


def _fitting(rollup: Rollup, question: Question) -> Plan | None:
    step = question.step_seconds
    if not question.dimensions <= set(rollup.dimensions) or any(m.rolled is None for m in question.measures):
        return None
    if step is not None and step % rollup.grain_seconds:
        return None
    grain = rollup.grain_seconds * 10**6
    since = -(-microseconds(question.since) // grain) * grain
    until = microseconds(question.until) // grain * grain
    return Plan(rollup, moment(since), moment(until)) if since < until else None


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


def clock(plan: Plan | None) -> str:
    """SQL of the moment of a row, in microseconds since 1970."""
    return "toUnixTimestamp64Micro(started_at)" if plan is None else "toInt64(toUnixTimestamp(rolled.time)) * 1000000"


def figures(question: Question, plan: Plan | None) -> list[str]:
    """SQL of the measures over the rows that answer."""
    width = repr(question.width_seconds)
    return [figure(measure, question.measures, plan is not None, width) for measure in question.measures]


def rows(question: Question, plan: Plan | None, parameters: Parameters) -> str:
    """SQL of the rows that answer, to stand behind FROM: raw ones, or cells under the name `rolled`."""
    return _raw(question, parameters) if plan is None else _rolled(question, plan, parameters)


def _raw(question: Question, parameters: Parameters) -> str:
    return (
        f"tachograph.calls WHERE same_as IS NULL AND started_at >= {parameters.moment(question.since)}"
        f" AND started_at < {parameters.moment(question.until)}{conditions(question.where, parameters)}"
    )


def _rolled(question: Question, plan: Plan, parameters: Parameters) -> str:
    """The whole cells of the roll-up, and the ends of the range made into such cells from the raw rows."""
    columns = sorted({"calls", *(column for measure in question.measures for column in measure.columns)})
    dimensions = tuple(name for name in plan.rollup.dimensions if name in {*question.dimensions, "outcome"})
    kept = conditions(question.where, parameters)
    since, until = parameters.moment(plan.since), parameters.moment(plan.until)
    cells = (
        f"SELECT {', '.join(('time', *dimensions, *columns))} FROM tachograph.{plan.rollup.table}"
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

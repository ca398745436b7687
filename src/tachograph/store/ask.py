"""The one question of reading: measures by dimensions over time.

In: names of measures and dimensions, conditions, a time range and a step. Out: a `Series`.
What it must never know: a clock (`since` and `until` are told), a threshold, who asks.

Which table answers is decided in `planning`, and an answer says it. Sums and counts of a roll-up agree with the raw
rows exactly, quantiles within `rollups.QUANTILE_ERROR`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from tachograph.series import Row, Series, Value
from tachograph.store.conditions import Parameters, Where, check_dimension, check_where, label, listed, moment, nearest
from tachograph.store.engine import Engine
from tachograph.store.errors import StoreError, Unknown
from tachograph.store.literals import Literals, named
from tachograph.store.measures import MEASURES, Measure
from tachograph.store.planning import (
    Plan,
    Question,
    Retention,
    check_range,
    check_step,
    clock,
    figures,
    planned,
    rows,
    widened,
)

ROWS_MAX = 500_000  # of one answer


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

    where: dimension -> value, None (not known) or a list of these; quantity -> `AtLeast`.
    step: whole seconds, counted from 1970-01-01 UTC.
    order: a measure, a dimension or "time", with "-" in front for descending. Not given: by time and labels; with a
    limit and no step, the largest of the first measure first, for that is what a limit is asked for.
    limit: at most so many rows, the first in that order. kept_days: how long each table keeps its rows.
    Raises Unknown (a ValueError) for a name that there is not, ValueError for a range or value that cannot be, and
    StoreError or Busy where the store does not answer.
    """
    question = checked(measures, by, where, since=since, until=until, step=step, limit=limit, order=order)
    plan = planned(engine, question, kept_days)
    parameters = Parameters()
    found = engine.query(f"{_sql(question, plan, parameters)}\nLIMIT {limit or ROWS_MAX + 1}", parameters.values)
    if len(found) > ROWS_MAX:
        raise StoreError(f"the answer has more than {ROWS_MAX} rows: set a limit, a longer step or fewer dimensions")
    widest = widened(question, plan)
    return Series(
        measures=tuple(measure.name for measure in question.measures),
        units=tuple(measure.unit for measure in question.measures),
        by=question.by,
        since=widest.since,
        until=widest.until,
        step=step,
        table="calls" if plan is None else plan.name(widest),
        rows=tuple(_row(row, question) for row in found),
    )


def statement(engine: Engine, question: Question, kept_days: Retention = MappingProxyType({})) -> str:
    """The SQL that answers, with its values written out: it runs as it stands in any client of the database."""
    plan, values = planned(engine, question, kept_days), Literals()
    inner = _sql(question, plan, values)
    limit = "" if question.limit is None else f"\nLIMIT {question.limit}"
    shown = ["toDateTime(step_at, 'UTC') AS `time`"] if question.step else []
    shown += [f"l{i} AS {named(name)}" for i, name in enumerate(question.by)]
    shown += [f"m{i} AS {named(measure.name)}" for i, measure in enumerate(question.measures)]
    return f"SELECT {', '.join(shown)}\nFROM (\n{inner}{limit})"


def checked(
    measures: str | Sequence[str],
    by: str | Sequence[str] = (),
    where: Where | None = None,
    *,
    since: datetime,
    until: datetime,
    step: timedelta | None = None,
    limit: int | None = None,
    order: str | None = None,
) -> Question:
    """The question, every name of it known; raises as `ask` does."""
    where = where or {}
    names, labels = listed(measures), listed(by)
    if not names:
        raise Unknown("no measure is asked: name one, such as calls")
    for name in labels:
        check_dimension(name)
    check_where(where)
    check_range(since, until)
    if step is not None:
        check_step(step)
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


def _sql(question: Question, plan: Plan | None, parameters: Parameters) -> str:
    seconds = question.step_seconds
    labels = [f"{label(name, parameters)} AS l{i}" for i, name in enumerate(question.by)]
    times = [] if seconds is None else [f"intDiv({clock(plan)}, {seconds * 10**6}) * {seconds} AS step_at"]
    measures = [f"{figure} AS m{i}" for i, figure in enumerate(figures(question, plan))]
    source = rows(question, plan, parameters)
    keys = [f"l{i}" for i in range(len(labels))] + ["step_at"] * len(times)
    group = f"GROUP BY {', '.join(keys)}" if keys else ""
    if plan is not None and keys:  # a cell whose calls were all taken back is none
        group += " HAVING sum(rolled.calls) != 0"
    clauses = [f"SELECT {', '.join(labels + times + measures)}", f"FROM {source}", group, _order(question)]
    return "\n".join(clause for clause in clauses if clause)


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
    time = moment(int(row[width]) * 10**6) if stepped else None
    return Row(tuple(row[:width]), time, tuple(_value(value) for value in row[width + stepped :]))


def _value(value: Any) -> Value:
    """A number of the engine as a plain number; what divides nothing by nothing is not known."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, int) else float(value)

"""Latency over time: how many calls lie in which bucket of a log scale, step by step.

In: which latency, conditions, a range, a step. Out: `Heat`: buckets of a quarter doubling, the counts that are not 0.
What it must never know: how it is drawn.

The roll-ups count in 16 buckets a doubling; four of them are one of a picture. Of the gaps inside streams the gaps are
counted, not the calls, in the buckets in which a call states them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from tachograph.store.conditions import Parameters, Where, check_where, nearest
from tachograph.store.engine import Engine
from tachograph.store.errors import StoreError, Unknown
from tachograph.store.measures import Measure
from tachograph.store.planning import (
    Plan,
    Question,
    Retention,
    check_range,
    check_step,
    clock,
    planned,
    rows,
    widened,
)
from tachograph.store.rollups import ITL_PER_DOUBLING, PER_DOUBLING, bucket

CELLS_MAX = 200_000
COARSE = 4  # buckets of a doubling, in a picture
_FINE = PER_DOUBLING // COARSE
_GAPS = "itl_ms"
# latency -> the histogram of a roll-up
LATENCIES: Mapping[str, str] = {
    "duration_ms": "duration_buckets",
    "ttft_ms": "ttft_buckets",
    "tpot_ms": "tpot_buckets",
    _GAPS: "itl_buckets",
}


@dataclass(frozen=True, slots=True)
class Heat:
    """buckets: lower and upper end in milliseconds, without a hole. cells: (start of the step in seconds since 1970,
    place in `buckets`, how many).
    """

    of: str
    since: datetime
    until: datetime
    step: timedelta
    table: str
    buckets: tuple[tuple[float, float], ...]
    cells: tuple[tuple[int, int, int], ...]


def heat(
    engine: Engine,
    of: str,
    where: Where | None = None,
    *,
    since: datetime,
    until: datetime,
    step: timedelta,
    kept_days: Retention = MappingProxyType({}),
) -> Heat:
    """How many of the calls with since <= started_at < until lie in which bucket. Raises as `ask` does."""
    if of not in LATENCIES:
        raise Unknown(f"unknown latency {of!r}{nearest(of, LATENCIES)}")
    check_where(where)
    check_range(since, until)
    check_step(step)
    column = LATENCIES[of]
    counted = Measure(of, "calls", "", "", column, (column,))
    question = Question((counted,), (), where or {}, since.astimezone(UTC), until.astimezone(UTC), step)
    plan, parameters = planned(engine, question, kept_days), Parameters()
    found = engine.query(_sql(of, question, plan, parameters), parameters.values)
    if len(found) > CELLS_MAX:
        raise StoreError(f"the picture has more than {CELLS_MAX} cells: set a longer step")
    low = min((place for _, place, _ in found), default=0)
    high = max((place for _, place, _ in found), default=-1)
    widest = widened(question, plan)
    return Heat(
        of,
        widest.since,
        widest.until,
        step,
        "calls" if plan is None else plan.name(widest),
        tuple(_ends(of, place) for place in range(low, high + 1)),
        tuple((at, place - low, count) for at, place, count in found),
    )


def _sql(of: str, question: Question, plan: Plan | None, parameters: Parameters) -> str:
    seconds = question.step_seconds or 1
    at = f"intDiv({clock(plan)}, {seconds * 10**6}) * {seconds} AS step_at"
    source = rows(question, plan, parameters)
    end = f"ORDER BY step_at, place LIMIT {CELLS_MAX + 1}"
    if plan is None and of != _GAPS:
        place = f"toInt64(floor({bucket(of)} / {_FINE})) AS place"
        return (
            f"SELECT {at}, {place}, count() AS counted FROM {source} AND {of} IS NOT NULL GROUP BY step_at, place {end}"
        )
    column = LATENCIES[of]
    made = (
        f"sumMap(rolled.{column})"
        if plan is not None
        else f"mapFromArrays(arrayMap(i -> toInt16(i - 1), arrayEnumerate(sumForEach({column}) AS sums)), sums)"
    )
    place = "toInt64(key)" if of == _GAPS else f"toInt64(floor(key / {_FINE}))"
    return (
        f"SELECT step_at, {place} AS place, sum(many) AS counted FROM"
        f" (SELECT {at}, {made} AS found FROM {source} GROUP BY step_at)"
        " ARRAY JOIN mapKeys(found) AS key, mapValues(found) AS many"
        f" GROUP BY step_at, place HAVING counted != 0 {end}"
    )


def _ends(of: str, place: int) -> tuple[float, float]:
    """Lower and upper end of a bucket, in milliseconds. The lowest of all holds whatever is below it."""
    if of == _GAPS:
        return (_rounded(2 ** ((place - 1) / ITL_PER_DOUBLING)) if place > 0 else 0.0), _rounded(
            2 ** (place / ITL_PER_DOUBLING)
        )
    low, high = (2 ** ((_FINE * step - 0.5) / PER_DOUBLING) for step in (place, place + 1))
    return (_rounded(low) if low > 0.001 else 0.0), _rounded(high)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")

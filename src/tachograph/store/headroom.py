"""What is left of what providers allow: the rate limits as the last answers stated them.

In: conditions, a range. Out: one row for each provider, model and credential. What it must never know: a threshold.

Each figure is the last that was stated, whichever answer stated it; sightings of a call that is counted elsewhere state
them as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from tachograph.store.conditions import Parameters, Where, check_where, conditions, moment
from tachograph.store.engine import Engine
from tachograph.store.planning import check_range

ROWS_MAX = 10_000
_STATED = tuple(
    f"ratelimit_{word}"
    for word in (
        "limit_requests",
        "remaining_requests",
        "reset_requests_ms",
        "limit_tokens",
        "remaining_tokens",
        "reset_tokens_ms",
    )
)


@dataclass(frozen=True, slots=True)
class Headroom:
    """at: when the last of these was stated. The windows are those of that moment."""

    provider: str
    model: str | None
    api_key_id: str | None
    at: datetime
    limit_requests: int | None
    remaining_requests: int | None
    reset_requests_ms: float | None
    limit_tokens: int | None
    remaining_tokens: int | None
    reset_tokens_ms: float | None


def headroom(engine: Engine, where: Where | None = None, *, since: datetime, until: datetime) -> list[Headroom]:
    """The last stated limits of the calls with since <= started_at < until. Raises as `ask` does."""
    check_where(where)
    check_range(since, until)
    told = Parameters()
    last = ", ".join(f"argMax({name}, started_at)" for name in _STATED)
    stated = " OR ".join(f"{name} IS NOT NULL" for name in _STATED if not name.endswith("_ms"))
    found = engine.query(
        f"SELECT provider, model, api_key_id, toUnixTimestamp64Micro(max(started_at)), {last} FROM calls"
        f" WHERE started_at >= {told.moment(since)} AND started_at < {told.moment(until)} AND ({stated})"
        f"{conditions(where or {}, told)}"
        f" GROUP BY provider, model, api_key_id ORDER BY provider, model, api_key_id LIMIT {ROWS_MAX}",
        told.values,
    )
    return [_row(*row) for row in found]


def _row(provider: str, model: str | None, api_key_id: str | None, at: int, *stated: Any) -> Headroom:
    requests, requests_left, requests_reset, tokens, tokens_left, tokens_reset = stated
    return Headroom(
        provider,
        model,
        api_key_id,
        moment(at),
        requests,
        requests_left,
        _number(requests_reset),
        tokens,
        tokens_left,
        _number(tokens_reset),
    )


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)

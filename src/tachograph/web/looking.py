"""What the screens look at: a question as text, the words there are, heat, models and their prices, rate limits.

In: names, conditions, a range. Out: JSON.
What it must never know: SQL, providers, price arithmetic.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tachograph.call import BY_NAME, ERROR_TYPES, OUTCOMES
from tachograph.store import MEASURES
from tachograph.store.conditions import DIMENSIONS, IDENTITIES, MAPS, QUANTITIES
from tachograph.web import parameters
from tachograph.web.answers import error
from tachograph.web.parts import Parts

HEAT_STEPS_MAX = 120  # of a picture whose step nobody told
_STEPS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 10, 30, 60, 180, 360, 720, 1440, 10080))


async def text(parts: Parts, request: Request) -> Response:
    """What `ask` would be asked, as SQL and PromQL."""
    if parts.views is None or parts.promql is None:
        return _nothing()
    measures, rest = parameters.question(request.query_params, parts.now())
    views, promql = parts.views, parts.promql
    sql = await run_in_threadpool(lambda: views.statement(measures, **rest))
    width = rest["step"] or rest["until"] - rest["since"]
    found, missing = promql(measures, rest["by"], rest["where"], width)
    return JSONResponse(
        {
            "sql": sql,
            "promql": [{"measure": name, "expression": expression} for name, expression in found.items()],
            "promql_missing": [{"measure": name, "why": why} for name, why in missing.items()],
        }
    )


async def vocabulary(_parts: Parts, _request: Request) -> Response:
    """Every word that a question may use."""
    return JSONResponse(_vocabulary())


@cache
def _vocabulary() -> dict[str, Any]:
    return {
        "measures": [{"name": each.name, "unit": each.unit, "meaning": each.meaning} for each in MEASURES.values()],
        "dimensions": _fields(DIMENSIONS),
        "identities": _fields(IDENTITIES),
        "quantities": _fields(QUANTITIES),
        "maps": list(MAPS),
        "outcomes": list(OUTCOMES),
        "error_types": list(ERROR_TYPES),
    }


def _fields(names: Sequence[str]) -> list[dict[str, str]]:
    return [{"name": name, "meaning": BY_NAME[name].meaning, "section": BY_NAME[name].section} for name in names]


async def heat(parts: Parts, request: Request) -> Response:
    """Latency over time by bucket; buckets and steps without calls are left out."""
    if parts.views is None:
        return _nothing()
    query, views = request.query_params, parts.views
    since, until = parameters.moments(query, "24h", parts.now())
    where, step = parameters.filters(query.getlist("where")), parameters.step(query.get("step"))
    wide = step or _step(until - since)
    of = query.get("of", "duration_ms")
    found = await run_in_threadpool(lambda: views.heat(of, where, since=since, until=until, step=wide))
    return JSONResponse(
        {
            "of": found.of,
            "unit": "ms",
            "since": _iso(found.since),
            "until": _iso(found.until),
            "step_seconds": int(found.step.total_seconds()),
            "table": found.table,
            "buckets": [{"low_ms": low, "high_ms": high} for low, high in found.buckets],
            "rows": [list(cell) for cell in found.cells],
        }
    )


def _step(width: timedelta) -> timedelta:
    return next((step for step in _STEPS if width <= step * HEAT_STEPS_MAX), _STEPS[-1])


async def models(parts: Parts, request: Request) -> Response:
    """Every version that was seen, and what has no price with its remedy."""
    if parts.views is None or parts.prices is None:
        return _nothing()
    views, prices = parts.views, parts.prices
    within = parameters.within(request.query_params, "30d", parts.now())

    def look() -> dict[str, Any]:
        listed = [_plain(version) for version in views.versions(**within)]
        for row in listed:
            unpriced = row["priced_calls"] < row["calls"]
            names = row["provider"], row["request_model"], row["response_model"]
            row["fix"] = prices.fix(*names, parts.now()) if unpriced else None
        return {"models": listed}

    return JSONResponse(await run_in_threadpool(look))


async def changes(parts: Parts, request: Request) -> Response:
    """When one version took over from another."""
    if parts.views is None:
        return _nothing()
    within = parameters.within(request.query_params, "30d", parts.now())
    found = await run_in_threadpool(parts.views.changes, **within)
    return JSONResponse({"changes": [_plain(change) for change in found]})


async def prices(parts: Parts, request: Request) -> Response:
    """The dated rows of the price book for one model of one provider."""
    if parts.prices is None:
        return _nothing()
    provider, model = request.query_params.get("provider", ""), request.query_params.get("model", "")
    if not provider or not model:
        raise ValueError("provider and model are needed: name both, as `models` lists them")
    rows = await run_in_threadpool(parts.prices.dated, provider, model, parts.now())
    return JSONResponse({"rows": rows, "fix": parts.prices.fix(provider, model, model, parts.now())})


async def headroom(parts: Parts, request: Request) -> Response:
    """The last stated rate limits of each provider, model and credential."""
    if parts.views is None:
        return _nothing()
    within = parameters.within(request.query_params, "24h", parts.now())
    found = await run_in_threadpool(parts.views.headroom, **within)
    return JSONResponse({"rows": [_plain(row) for row in found]})


def _plain(record: Any) -> dict[str, Any]:
    values = ((field.name, getattr(record, field.name)) for field in dataclasses.fields(record))
    return {name: _iso(value) if isinstance(value, datetime) else value for name, value in values}


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _nothing() -> Response:
    return error(404, "not_found", "this process shows no such thing: ask the one that `tachograph up` started")

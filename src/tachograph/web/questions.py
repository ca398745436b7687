"""Questions about all calls, and about ourselves: `ask`, the ledger, health, the page for Prometheus.

In: measures, dimensions, conditions, a range. Out: a Series, or counts.
What it must never know: SQL, providers, a threshold.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tachograph.store import Stats
from tachograph.version import VERSION
from tachograph.web import parameters
from tachograph.web.answers import error
from tachograph.web.parts import Parts


async def ask(parts: Parts, request: Request) -> Response:
    """Measures by dimensions over time."""
    measures, rest = parameters.question(request.query_params, parts.now())
    series = await run_in_threadpool(lambda: parts.data.ask(measures, **rest))
    return JSONResponse(series.to_dict())


async def health(parts: Parts, _request: Request) -> Response:
    """How this process is: its doors, how far storing is behind accepting, the store, every counter."""
    stats = await run_in_threadpool(parts.data.stats)
    counters = parts.health.snapshot()
    return JSONResponse(
        {
            "status": "ok",
            "version": VERSION,
            "doors": dict(parts.doors()),
            "lag_seconds": counters["store_lag_seconds"],
            "store": stats_to_dict(stats),
            "counters": counters,
            "retention_days": dict(parts.retention_days),
        }
    )


async def ledger(parts: Parts, _request: Request) -> Response:
    """What became of everything that was accepted."""
    if parts.ledger is None:
        return error(404, "not_found", "this process keeps no ledger: ask the one that `tachograph up` started")
    return JSONResponse(await run_in_threadpool(parts.ledger))


async def reported(parts: Parts, request: Request) -> Response:
    """What services counted about themselves: kept apart, to be compared with what was counted here."""
    if parts.reported is None:
        return error(404, "not_found", "this process keeps no metrics of others: ask the one of `tachograph up`")
    since, until = parameters.moments(request.query_params, "24h", parts.now())
    return JSONResponse({"metrics": await run_in_threadpool(parts.reported, since, until)})


async def metrics(parts: Parts, request: Request) -> Response:
    """The page that Prometheus scrapes."""
    if parts.metrics is None:
        return error(404, "not_found", "this process has no metrics: ask the one that `tachograph up` started")
    body, content_type = await run_in_threadpool(parts.metrics, request.headers.get("accept"))
    return Response(body, headers={"content-type": content_type})


def stats_to_dict(stats: Stats) -> dict[str, Any]:
    """JSON-ready."""
    value = dataclasses.asdict(stats)
    for name in ("oldest", "newest"):
        moment = value[name]
        value[name] = moment.isoformat().replace("+00:00", "Z") if moment else None
    value["bytes_per_call"] = round(stats.bytes_per_call, 1) if stats.bytes_per_call is not None else None
    return value

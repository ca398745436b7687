"""The JSON API: questions in, answers out.

In: HTTP on loopback. Out: JSON; errors as `{"error": {"type", "message"}}` with the message in one line. A call is
acknowledged only when the store has it. Requests that carry a foreign `Origin` or `Host` are refused, so that no web
page can read or write the store through a visitor's browser.
What it must never know: SQL, providers, price arithmetic.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tachograph import when
from tachograph.call import Call, from_dict, to_dict
from tachograph.flow import Busy, Refused, Sink
from tachograph.health import Health
from tachograph.series import Series
from tachograph.store import Stats
from tachograph.store.questions import Place
from tachograph.version import VERSION

BODY_BYTES_MAX = 64 * 1024 * 1024
PAGE_CALLS_MAX = 1000
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Data(Sink, Protocol):
    """What the API needs of a store; `remote` speaks the same to a running API."""

    def ask(
        self,
        measures: Sequence[str],
        by: Sequence[str] = (),
        where: Mapping[str, Any] | None = None,
        *,
        since: datetime,
        until: datetime,
        step: timedelta | None = None,
        limit: int | None = None,
        order: str | None = None,
    ) -> Series:
        """Answer a question."""
        ...

    def call(self, call_id: str) -> Call | None:
        """One call."""
        ...

    def calls(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        since: datetime,
        until: datetime,
        limit: int = 100,
        after: Place | None = None,
    ) -> list[Call]:
        """The newest calls first; `after`: where the previous page ended."""
        ...

    def stats(self) -> Stats:
        """How much is stored."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the API is told. explain: the multiplication of one call, JSON-ready. now: the clock."""

    data: Data
    explain: Callable[[Call], dict[str, Any]]
    health: Health
    now: Callable[[], datetime]


def application(parts: Parts) -> Starlette:
    """The ASGI application."""
    routes = [
        Route("/api/v1/health", _answer(parts, _health), methods=["GET"]),
        Route("/api/v1/ask", _answer(parts, _ask), methods=["GET"]),
        Route("/api/v1/calls", _answer(parts, _calls), methods=["GET"]),
        Route("/api/v1/calls", _answer(parts, _write), methods=["POST"]),
        Route("/api/v1/calls/{call_id}", _answer(parts, _call), methods=["GET"]),
    ]
    return Starlette(routes=routes, exception_handlers={404: _unknown_path, 405: _unknown_path})


Handler = Callable[[Parts, Request], Awaitable[Response]]


def _answer(parts: Parts, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Failures as answers: what the asker did wrong is 400, not here is 404, busy is 503 with Retry-After."""

    async def endpoint(request: Request) -> Response:
        if _foreign(request):
            return error(403, "foreign_origin", "only this machine may ask: open the API by its loopback address")
        try:
            return await handler(parts, request)
        except Busy as busy:
            answer = error(503, "busy", str(busy))
            answer.headers["retry-after"] = str(max(1, round(busy.after_seconds)))
            return answer
        except Refused as refused:
            parts.health.add("calls_refused_total", 1, refused.reason)
            return error(400, refused.reason, str(refused))
        except ValueError as wrong:
            return error(400, "bad_request", str(wrong))

    return endpoint


def error(status: int, kind: str, message: str) -> JSONResponse:
    """An error answer."""
    return JSONResponse({"error": {"type": kind, "message": message}}, status)


def _foreign(request: Request) -> bool:
    host = urlsplit("//" + request.headers.get("host", "")).hostname or ""
    origin = request.headers.get("origin")
    return host not in LOOPBACK or (origin is not None and (urlsplit(origin).hostname or "") not in LOOPBACK)


async def _unknown_path(request: Request, _failure: Exception) -> Response:
    return error(404, "not_found", f"{request.method} {request.url.path} is not part of the API")


async def _health(parts: Parts, _request: Request) -> Response:
    stats = await run_in_threadpool(parts.data.stats)
    return JSONResponse(
        {
            "status": "ok",
            "version": VERSION,
            "store": stats_to_dict(stats),
            "counters": parts.health.snapshot(),
        }
    )


async def _ask(parts: Parts, request: Request) -> Response:
    query = request.query_params
    _known(query, ("measure", "by", "where", "since", "until", "step", "limit", "order"))
    step = query.get("step")
    series = await run_in_threadpool(
        lambda: parts.data.ask(
            listed(query.getlist("measure")) or ["calls"],
            by=listed(query.getlist("by")),
            where=filters(query.getlist("where")),
            since=when.moment(query.get("since", "24h"), parts.now()),
            until=when.moment(query.get("until", "now"), parts.now()),
            step=when.width(step) if step else None,
            limit=_limit(query.get("limit"), 100_000, None),
            order=query.get("order"),
        )
    )
    return JSONResponse(series.to_dict())


async def _calls(parts: Parts, request: Request) -> Response:
    query = request.query_params
    _known(query, ("where", "since", "until", "limit", "after"))
    limit = _limit(query.get("limit"), PAGE_CALLS_MAX, 100) or 100
    found = await run_in_threadpool(
        lambda: parts.data.calls(
            where=filters(query.getlist("where")),
            since=when.moment(query.get("since", "30d"), parts.now()),
            until=when.moment(query.get("until", "now"), parts.now()),
            limit=limit,
            after=_place(query.get("after")),
        )
    )
    following = f"{to_dict(found[-1])['started_at']},{found[-1].call_id}" if len(found) == limit else None
    return JSONResponse({"calls": [to_dict(call) for call in found], "next_after": following})


async def _call(parts: Parts, request: Request) -> Response:
    call_id = request.path_params["call_id"]
    call = await run_in_threadpool(parts.data.call, call_id)
    if call is None:
        return error(404, "not_found", f"no call {call_id} in the store")
    return JSONResponse({"call": to_dict(call), "explanation": parts.explain(call)})


async def _write(parts: Parts, request: Request) -> Response:
    token = request.headers.get("idempotency-key", "")
    if not token:
        raise Refused("no_token", "header Idempotency-Key is missing: name the batch, so that it counts once")
    if int(request.headers.get("content-length") or 0) > BODY_BYTES_MAX:
        raise Refused("too_large", f"body over {BODY_BYTES_MAX} bytes: send smaller batches")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_BYTES_MAX:
            raise Refused("too_large", f"body over {BODY_BYTES_MAX} bytes: send smaller batches")
    calls = _parsed(bytes(body))
    stored = await run_in_threadpool(parts.data.write, calls, token)
    parts.health.took("api", calls, stored)
    return JSONResponse({"accepted": len(calls), "stored": stored, "deduplicated": len(calls) - stored})


def _parsed(body: bytes) -> list[Call]:
    """JSON lines -> Calls; one bad line refuses the batch, by its number, so that a batch is taken whole or not."""
    calls = []
    for number, line in enumerate(body.splitlines(), 1):
        if line.strip():
            try:
                calls.append(from_dict(json.loads(line)))
            except (ValueError, TypeError, AttributeError, RecursionError) as wrong:
                raise Refused("bad_call", f"line {number}: {wrong}") from wrong
    return calls


def _place(text: str | None) -> Place | None:
    """`next_after` of the page before."""
    if text is None:
        return None
    moment, comma, call_id = text.partition(",")
    if not comma:
        raise ValueError(f"after is {text!r}: give the `next_after` of the page before")
    return datetime.fromisoformat(moment), call_id


def stats_to_dict(stats: Stats) -> dict[str, Any]:
    """JSON-ready."""
    value = dataclasses.asdict(stats)
    for name in ("oldest", "newest"):
        moment = value[name]
        value[name] = moment.isoformat().replace("+00:00", "Z") if moment else None
    value["bytes_per_call"] = round(stats.bytes_per_call, 1) if stats.bytes_per_call is not None else None
    return value


def filters(texts: list[str]) -> dict[str, Any]:
    """`provider=openai`, `model=a,b` (one of), `team=` (empty), `user_id=null` -> what `ask` takes as `where`."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError(f"filter {text!r}: write NAME=VALUE, NAME=A,B for several, NAME=null for none")
        if value == "null":
            found[name] = None
        else:
            found[name] = value.split(",") if "," in value else value
    return found


def listed(values: list[str]) -> list[str]:
    """Names, also several in one word: `calls,cost_usd`."""
    return [word for value in values for word in value.split(",") if word]


def _limit(text: str | None, most: int, default: int | None) -> int | None:
    if text is None:
        return default
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise ValueError(f"limit is {text!r}: give a number from 1 to {most}")
    return int(text)


def _known(query: Mapping[str, str], names: tuple[str, ...]) -> None:
    for name in query:
        if name not in names:
            raise ValueError(f"unknown parameter {name!r}: known are {', '.join(names)}")

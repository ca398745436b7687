"""Calls by page, by id, and new ones.

In: conditions, an id, JSON lines of Calls. Out: Calls with what explains them; how many of a batch were new. A batch is
acknowledged only when the store has it, and taken whole or not at all.
What it must never know: SQL, providers, price arithmetic.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tachograph.call import EPOCH, Call, from_dict, to_dict
from tachograph.flow import Refused
from tachograph.web import parameters
from tachograph.web.answers import error
from tachograph.web.parts import Parts

BODY_BYTES_MAX = 64 * 1024 * 1024


async def page(parts: Parts, request: Request) -> Response:
    """The newest calls first."""
    query = request.query_params
    since, until = parameters.moments(query, "30d", parts.now())
    limit = parameters.limit(query.get("limit"), parameters.PAGE_CALLS_MAX) or 100
    where, after = parameters.filters(query.getlist("where")), parameters.place(query.get("after"))
    found = await run_in_threadpool(
        lambda: parts.data.calls(where=where, since=since, until=until, limit=limit, after=after)
    )
    calls = [to_dict(call) for call in found]
    following = f"{calls[-1]['started_at']},{calls[-1]['call_id']}" if len(calls) == limit else None
    return JSONResponse({"calls": calls, "next_after": following})


async def one(parts: Parts, request: Request) -> Response:
    """One call: how its cost came about, its usage as the provider told it, and who else saw it."""
    call_id = request.path_params["call_id"]
    call, sightings = await run_in_threadpool(_with_sightings, parts, call_id)
    if call is None:
        return error(404, "not_found", f"no call {call_id[:60]} in the store")
    return JSONResponse(
        {
            "call": to_dict(call),
            "explanation": parts.explain(call),
            "usage_raw": _parsed_usage(call.usage_raw),
            "sightings": [to_dict(other) for other in sightings],
        }
    )


def _with_sightings(parts: Parts, call_id: str) -> tuple[Call | None, list[Call]]:
    call = parts.data.call(call_id)
    return call, parts.data.sightings(call.call_id) if call else []


def _parsed_usage(text: str | None) -> Any:
    """JSON as it is; what JSON cannot say (NaN) is null; what is no JSON is told as text."""
    if text is None:
        return None
    try:
        return json.loads(text, parse_constant=lambda _word: None)
    except (ValueError, RecursionError):
        return text


async def write(parts: Parts, request: Request) -> Response:
    """Take a batch of Calls for good."""
    token = parameters.token(request.headers.get(parameters.TOKEN.name, ""))
    calls = await run_in_threadpool(_parsed, await _body(request), parts.now())
    if not calls:
        raise Refused("no_calls", "the body is empty: send one Call as JSON per line")
    stored = await run_in_threadpool(parts.data.write, calls, token)
    parts.health.took("api", calls, stored)
    if stored:
        parts.live.publish(calls)
    return JSONResponse({"accepted": len(calls), "stored": stored, "deduplicated": len(calls) - stored})


async def _body(request: Request) -> bytes:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() not in ("", "identity"):
        raise Refused("encoding", f"Content-Encoding {encoding[:60]!r} is not read here: send plain JSON lines")
    if int(request.headers.get("content-length") or 0) > BODY_BYTES_MAX:
        raise Refused("too_large", f"body over {BODY_BYTES_MAX} bytes: send smaller batches")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_BYTES_MAX:
            raise Refused("too_large", f"body over {BODY_BYTES_MAX} bytes: send smaller batches")
    return bytes(body)


def _parsed(body: bytes, now: datetime) -> list[Call]:
    """JSON lines -> Calls; one bad line refuses the batch, by its number, so that a batch is taken whole or not."""
    calls = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if line.strip():
            try:
                call = from_dict(json.loads(line))
            except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as wrong:
                raise Refused("bad_call", f"line {number}: {wrong}") from wrong
            if call.received_at == EPOCH:  # not told: it is received here
                call.received_at = now
            calls.append(call)
    return calls

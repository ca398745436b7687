"""How calls come here: the doors that are open, what the gateway offers, and whether anything has come yet.

In: nothing. Out: addresses, prefixes, a count. What it must never know: how a door works, a client library.
"""

from __future__ import annotations

from datetime import timedelta

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tachograph.access import is_loopback
from tachograph.call import EPOCH
from tachograph.web.parts import Parts

AHEAD = timedelta(days=1)  # clocks of others may run ahead of ours


async def connect(parts: Parts, _request: Request) -> Response:
    """The doors, and how many calls are stored that this visitor may see."""
    doors = dict(parts.doors())
    stored = await run_in_threadpool(_calls, parts)
    return JSONResponse(
        {
            "doors": doors,
            "tls": parts.tls,
            "key_needed": not all(map(is_loopback, map(_host, doors.values()))),
            "routes": [{"prefix": prefix, "provider": provider} for prefix, provider in parts.routes()],
            "calls": stored,
        }
    )


def _calls(parts: Parts) -> int:
    found = parts.data.ask(["calls"], since=EPOCH, until=parts.now() + AHEAD)
    return int(sum(row.values[0] or 0 for row in found.rows))


def _host(address: str) -> str:
    """Of `host:port` or `http://host:port`."""
    return address.rpartition("//")[2].rpartition(":")[0]

"""Small JSON bodies of requests.

In: a request. Out: an object of texts; Refused for what is none. What it must never know: what the texts mean.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from starlette.requests import Request

from tachograph.flow import Refused

BODY_BYTES_MAX = 16 * 1024


async def texts(request: Request, known: Collection[str]) -> dict[str, str]:
    """The members of the object that was sent, each a text and each known."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused("content_type", f"Content-Type {kind[:60]!r} is not read here: send application/json")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_BYTES_MAX:
            raise Refused("too_large", f"body over {BODY_BYTES_MAX} bytes: send less")
    try:
        told = json.loads(bytes(body))
    except (ValueError, RecursionError) as wrong:
        raise Refused("not_json", f"the body is no JSON: {wrong}") from wrong
    if not isinstance(told, dict):
        raise Refused("not_json", "the body is no JSON object: send one with " + ", ".join(known))
    for name, value in told.items():
        if name not in known:
            raise Refused("unknown", f"unknown member {name[:60]!r}: known are " + ", ".join(known))
        if not isinstance(value, str):
            raise Refused("not_text", f"{name} is {json.dumps(value)[:60]}: give text in quotes")
    return told

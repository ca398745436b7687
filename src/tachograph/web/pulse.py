"""The pulse as server-sent events: `stored` after calls were stored, `annotated` after somebody annotated.

In: nothing. Out: `event: stored` with the moment, within half a second of it and twice a second at most; comments as
heartbeats. It tells no more than that there is something new, so it is the same for every visitor.
What it must never know: a call, the store.
"""

from __future__ import annotations

import contextlib
import json
from datetime import datetime

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tachograph.flow import Busy
from tachograph.web import entry
from tachograph.web.answers import busy
from tachograph.web.beat import Ear
from tachograph.web.parts import Parts
from tachograph.web.stream import until_left


async def pulse(parts: Parts, _request: Request) -> Response:
    """That something was stored."""
    return PulseStream(parts)


class PulseStream(Response):
    """An answer that goes on until the reader leaves, may no longer read, or the server stops."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(headers={"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"})
        del self.headers["content-length"]
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until nobody reads any more."""
        with contextlib.ExitStack() as stack:
            try:
                ear = stack.enter_context(self._parts.live.beat.listening())
            except Busy as failure:
                await busy(failure)(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with anyio.create_task_group() as group:
                group.start_soon(until_left, receive, group.cancel_scope)
                await self._sent_to(send, ear)
                group.cancel_scope.cancel()

    async def _sent_to(self, send: Send, ear: Ear) -> None:
        await _sent(send, ": that something is new\nretry: 2000\n\n")
        while not ear.ended and entry.still(self._parts):
            news = await ear.wait(self._parts.live.heartbeat_seconds)
            await _sent(send, "".join(_event(word, self._parts.now()) for word in sorted(news)) or ": heartbeat\n\n")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _event(word: str, now: datetime) -> str:
    return f"event: {word}\ndata: {json.dumps({'at': now.isoformat().replace('+00:00', 'Z')})}\n\n"


async def _sent(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

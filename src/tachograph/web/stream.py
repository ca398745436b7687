"""Calls as server-sent events, from the moment of asking or from the last event that was seen.

In: conditions, `Last-Event-ID`. Out: `event: call` with the Call as data and `<received_at>,<call_id>` as its id;
`event: dropped` with the number of calls that a slow reader missed; comments as heartbeats.
What it must never know: SQL, which door a call came by.

A call may come twice around a resumption, never not at all while its events fit the limit: a reader goes by call_id.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import anyio
import pyarrow as pa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tachograph.call import EPOCH, Call, to_dict, to_json
from tachograph.flow import Busy
from tachograph.flow.batch import from_batch
from tachograph.store.questions import Place
from tachograph.web import entry, parameters
from tachograph.web.answers import busy
from tachograph.web.live import Listener, Live, Matching
from tachograph.web.matching import matching
from tachograph.web.parts import Parts

# A call is stored when it has ended: what came since a moment may have started so long before.
STARTED_BEFORE = timedelta(hours=1)
# Calls are stored a little out of the order in which they were received: so far back they are sent again.
OVERLAP = timedelta(seconds=5)
RESUME_PAGES_MAX = 20
EVENTS_AT_ONCE = 100


async def stream(parts: Parts, request: Request) -> Response:
    """Calls as they are stored."""
    where = parameters.filters(request.query_params.getlist("where"))
    wanted, seen = matching(where), parameters.place(request.headers.get("last-event-id"))
    return EventStream(parts, where, wanted, seen)


class EventStream(Response):
    """An answer that goes on until the reader leaves, may no longer read, or the server stops.

    Listening begins before the store is asked for what was missed, so that no call falls between the two.
    """

    def __init__(self, parts: Parts, where: Mapping[str, Any], wanted: Matching, seen: Place | None) -> None:
        super().__init__(headers={"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"})
        del self.headers["content-length"]
        self._parts, self._where, self._wanted, self._seen = parts, where, wanted, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until nobody reads any more."""
        with contextlib.ExitStack() as stack:
            try:
                listener = stack.enter_context(self._parts.live.listening(self._wanted))
            except Busy as failure:
                await busy(failure)(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with anyio.create_task_group() as group:
                group.start_soon(until_left, receive, group.cancel_scope)
                await self._sent_to(send, listener)
                group.cancel_scope.cancel()

    async def _sent_to(self, send: Send, listener: Listener) -> None:
        live = self._parts.live
        await _sent(send, [": calls as they are stored\nretry: 2000\n\n"])
        await _sent(send, await self._missed(live.stream_calls_max))
        while not listener.ended and entry.still(self._parts):
            events = await _next(listener, live)
            await _sent(send, events)
            await anyio.sleep(len(events) / live.stream_calls_per_second_max)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _missed(self, calls_max: int) -> list[str]:
        """What the store received since the last event that was seen."""
        if self._seen is None:
            return []
        calls, dropped = await run_in_threadpool(_received, self._parts, self._where, self._seen, calls_max)
        return [*map(event, calls), *_dropped(dropped)]


async def until_left(receive: Receive, scope: anyio.CancelScope) -> None:
    """Wait for the reader to leave, and end what is sent to it."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _sent(send: Send, events: list[str]) -> None:
    """In pieces, each of which waits until the reader has taken the ones before."""
    for start in range(0, len(events), EVENTS_AT_ONCE):
        body = "".join(events[start : start + EVENTS_AT_ONCE]).encode("utf-8", "replace")
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _next(listener: Listener, live: Live) -> list[str]:
    if not await listener.wait(live.heartbeat_seconds):
        return [": heartbeat\n\n"]
    batches, dropped = listener.take()
    return [*(await run_in_threadpool(_events, batches)), *_dropped(dropped)]


def _events(batches: Iterable[pa.RecordBatch]) -> list[str]:
    return [event(call) for batch in batches for call in from_batch(batch)]


def event(call: Call) -> str:
    """One call as one event."""
    received = to_dict(call)["received_at"]
    return f"event: call\nid: {received},{call.call_id}\ndata: {to_json(call)}\n\n"


def _dropped(calls: int) -> list[str]:
    return [f"event: dropped\ndata: {json.dumps({'calls': calls})}\n\n"] if calls else []


def _received(parts: Parts, where: Mapping[str, Any], seen: Place, calls_max: int) -> tuple[list[Call], int]:
    """The calls received since, oldest first, and how many more there were that are not sent."""
    since = max(seen[0], EPOCH + STARTED_BEFORE + OVERLAP) - OVERLAP
    found: list[Call] = []
    after: Place | None = None
    for _ in range(RESUME_PAGES_MAX):
        page = _page(parts, where, since - STARTED_BEFORE, after)
        found += [call for call in page if call.received_at >= since and call.call_id != seen[1]]
        if len(page) < parameters.PAGE_CALLS_MAX:
            break
        after = page[-1].started_at, page[-1].call_id
    found.sort(key=lambda call: (call.received_at, call.call_id))
    return found[-calls_max:], max(0, len(found) - calls_max)


def _page(parts: Parts, where: Mapping[str, Any], since: datetime, after: Place | None) -> list[Call]:
    until = parts.now() + STARTED_BEFORE  # clocks of others may run ahead of ours
    if since >= until:
        return []
    return parts.data.calls(where=where, since=since, until=until, limit=parameters.PAGE_CALLS_MAX, after=after)

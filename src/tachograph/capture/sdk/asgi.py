"""Middleware for any ASGI application: who is asking, for all calls made while a request is served, and what they cost.

    app.add_middleware(TachographMiddleware, feature="chat", customer=Header("x-customer"), header="x-tachograph-usage")

In: the application, and how to find out who is asking (`asking`). Out: the application's messages, untouched but for
the response header that was asked for; the request's `Totals` at `scope["state"]["tachograph"]`
(`request.state.tachograph` in Starlette and FastAPI). HTTP and WebSocket, streamed answers and background tasks; no
framework is needed.
What it must never know: a framework, what a call costs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from typing import Any

from tachograph.capture.sdk.asking import Asking, Header, Path, Plan, Query, Served, Word
from tachograph.capture.sdk.context import entered, left

__all__ = ["Header", "Path", "Query", "TachographMiddleware"]

HEADER = "x-tachograph-usage"
SERVED = "tachograph"  # in the ASGI scope: the request as `asking.Served`

AsgiScope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[AsgiScope, Receive, Send], Awaitable[None]]


class TachographMiddleware:
    """team, customer, user, ...: the words of `context`; each a text, a `Header`, `Path` or `Query`, or a function of
    `Asking`. tags: the same under names of your own.

    header: name of a response header that says what the calls came to by the time the response started; None: none.
    trust_headers: whether `x-tachograph-team`, `-customer`, ... of the request are believed, over the words given here;
    or only some of them, by word. trust_baggage: the same for `tachograph.*` in its `baggage`. Neither by default:
    strangers must not choose who pays. `traceparent` is read: the calls become part of that trace, where OpenTelemetry
    has no span of its own open.
    """

    def __init__(
        self,
        app: App,
        *,
        tags: Mapping[str, Word] | None = None,
        header: str | None = None,
        trust_headers: bool | Collection[str] = False,
        trust_baggage: bool = False,
        **words: Word,
    ) -> None:
        self.app = app
        self._plan = Plan(words, tags, trust_headers, trust_baggage, "TachographMiddleware")
        self._header = header.lower().encode("latin-1") if header else None
        self.guard = self._plan.guard

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """One request, one WebSocket connection, or the life of the application, which asks nobody."""
        served = self.guard(self._serve, scope) if scope["type"] in ("http", "websocket") else None
        inside = None if served is None else self.guard(served.scope)
        if served is None or inside is None:
            await self.app(scope, receive, send)
            return
        token = entered(inside)
        try:
            await self.app(scope, receive, self._telling(served, send) if self._header else send)
        finally:
            left(token)

    def _serve(self, scope: AsgiScope) -> Served:
        served = Served(self._plan, asked(scope))
        scope[SERVED] = served
        scope.setdefault("state", {})[SERVED] = served.totals
        return served

    def _telling(self, served: Served, send: Send) -> Send:
        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = self.guard.or_else(message, self._told, served, message)
            await send(message)

        return telling

    def _told(self, served: Served, message: Message) -> Message:
        said = (self._header, str(served.totals).encode("latin-1"))
        return {**message, "headers": [*message.get("headers", ()), said]}


def asked(scope: AsgiScope) -> Asking:
    """A request as `asking` sees it."""
    return Asking(
        scope,
        scope.get("method", "GET"),
        scope.get("path", ""),
        scope.get("query_string", b"").decode("latin-1"),
        lambda: {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope.get("headers", ())},
        lambda: scope.get("path_params") or {},
    )

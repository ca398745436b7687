"""For FastAPI (and Starlette): the middleware, and dependencies that say who is asking and what it came to.

    app.add_middleware(TachographMiddleware, feature="chat", header="x-tachograph-usage")
    router = APIRouter(dependencies=[Depends(Attribution(customer=Path("customer_id"), user=Depends(user_id)))])

    @router.get("/customers/{customer_id}/ask")
    def ask(used: Annotated[Totals, Depends(usage)]): ...

In: a request that `TachographMiddleware` serves. Out: words that hold for all its calls from then on, in async and in
sync endpoints. Only starlette is imported, which FastAPI stands on.
What it must never know: what a call costs.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from starlette.requests import HTTPConnection

from tachograph.capture.sdk.asgi import SERVED, TachographMiddleware, asked
from tachograph.capture.sdk.asking import Asking, Header, Path, Query, Served, found
from tachograph.capture.sdk.context import attribute, spoken
from tachograph.capture.sdk.totals import Totals

__all__ = ["Asking", "Attribution", "Header", "Path", "Query", "TachographMiddleware", "Totals", "attribute", "usage"]


async def usage(connection: HTTPConnection) -> Totals:
    """What the calls of this request came to so far; it goes on counting."""
    return _served(connection).totals


class Attribution:
    """A dependency that says who is asking: `Depends(Attribution(customer=Path("customer_id"), feature="search"))`.

    Words and tags as in `TachographMiddleware`, over what that was told; a word may also be `Depends(...)`: what that
    dependency returns, None for nothing. For one endpoint, a router or the application.
    """

    def __init__(self, *, tags: Mapping[str, Any] | None = None, **words: Any) -> None:
        spoken("Attribution", dict.fromkeys(words), tags)
        self._words, self._tags = words, tags or {}
        # What FastAPI reads to know what to hand over: the request, and each dependency as a parameter.
        self._dependencies = {
            f"{kind}_{number}": how
            for kind, said in (("word", self._words), ("tag", self._tags))
            for number, how in enumerate(said.values())
            if hasattr(how, "dependency")
        }
        named = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=how)
            for name, how in self._dependencies.items()
        ]
        first = inspect.Parameter("connection", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=HTTPConnection)
        self.__signature__ = inspect.Signature([first, *named])

    async def __call__(self, connection: HTTPConnection, **solved: Any) -> None:
        """Say it. Async, so that FastAPI does not send it to a thread."""
        words = self._told(connection, "word", self._words, solved)
        tags = self._told(connection, "tag", self._tags, solved)
        _served(connection).say(*spoken("Attribution", words, tags))

    def _told(
        self, connection: HTTPConnection, kind: str, said: Mapping[str, Any], solved: Mapping[str, Any]
    ) -> dict[str, Any]:
        asking = asked(connection.scope)
        return {
            name: solved[f"{kind}_{number}"] if f"{kind}_{number}" in solved else found(how, asking)
            for number, (name, how) in enumerate(said.items())
        }


def _served(connection: HTTPConnection) -> Served:
    served = connection.scope.get(SERVED)
    if not isinstance(served, Served):
        raise RuntimeError("no TachographMiddleware serves this request: app.add_middleware(TachographMiddleware)")
    return served

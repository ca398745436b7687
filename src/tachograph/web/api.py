"""The JSON API and the screens: questions in, answers out.

In: HTTP. Out: JSON, and the files of the screens; errors as `{"error": {"type", "message"}}` with the message in one
line. On loopback, requests that carry a foreign `Origin` or `Host` are refused, so that no web page can read or write
the store through a visitor's browser; beyond loopback every request needs a key with the scope of its path.
What it must never know: SQL, providers, price arithmetic.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tachograph.access import is_loopback
from tachograph.flow import Busy, Refused
from tachograph.store import StoreError
from tachograph.web import answers, entry, parameters
from tachograph.web.endpoint import Endpoint
from tachograph.web.endpoints import present
from tachograph.web.parameters import filters, listed
from tachograph.web.parts import Data, Parts
from tachograph.web.scoping import scoped
from tachograph.web.sharing import Sharing

__all__ = ["Data", "Parts", "application", "filters", "listed"]


def application(parts: Parts) -> Starlette:
    """The ASGI application."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in present(parts):
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    sharing = Sharing(parts.live.beat)
    routes = [Route(path, _served(parts, sharing, methods), methods=list(methods)) for path, methods in by_path.items()]
    routes += [Route(path, _shown(parts, answer)) for path, answer in parts.site.routes().items()]
    unknown = {404: _unknown_path, 405: _unknown_path, Exception: _internal}
    served = Starlette(routes=routes, exception_handlers=unknown)
    served.router.redirect_slashes = False  # a redirection would name a host that the request made up
    return served


def _served(
    parts: Parts, sharing: Sharing, methods: Mapping[str, Endpoint]
) -> Callable[[Request], Awaitable[Response]]:
    """One path: who may ask, which parameters there are, and every failure as an answer."""

    async def serve(request: Request) -> Response:
        endpoint = methods["GET" if request.method == "HEAD" else request.method]
        visitor = entry.visitor(parts, request)
        refused = _from_elsewhere(parts, request) or entry.kept_out(endpoint, request, visitor)
        if refused or visitor is None:
            return refused or answers.unauthenticated()
        answer = await _answer(scoped(parts, visitor), sharing, endpoint, request)
        answer.headers.setdefault("cache-control", "no-store")  # it is for this visitor, and of this moment
        answer.headers.setdefault("x-content-type-options", "nosniff")
        return answer

    return serve


def _shown(parts: Parts, answer: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
    """A file of the screens: nobody needs a key for it, but no page of somebody else may frame or read it."""

    async def serve(request: Request) -> Response:
        return _from_elsewhere(parts, request) or answer(request)

    return serve


async def _answer(parts: Parts, sharing: Sharing, endpoint: Endpoint, request: Request) -> Response:
    """Failures as answers: what the asker did wrong is 400, not here is 404, busy is 503 with Retry-After."""
    try:
        parameters.check(request.query_params, endpoint.parameters)
        if not endpoint.shared:
            return await endpoint.handler(parts, request)
        question = endpoint.path, request.url.query, parts.visitor.teams
        return await sharing.answer(question, lambda: endpoint.handler(parts, request))
    except Busy as failure:
        return answers.busy(failure)
    except Refused as failure:
        parts.health.add("api_requests_refused_total", 1, failure.reason)
        return answers.refused(failure)
    except StoreError as failure:
        return answers.broken(failure)
    except ValueError as wrong:
        return answers.error(400, "bad_request", str(wrong))


def _from_elsewhere(parts: Parts, request: Request) -> Response | None:
    if not _foreign(request, parts.listen_host):
        return None
    return answers.error(403, "foreign_origin", "only this machine may ask: open the API by its loopback address")


def _foreign(request: Request, listen_host: str) -> bool:
    """Does a page of somebody else ask through a visitor's browser, or another machine an API of this one?"""
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if not is_loopback(listen_host):
        return origin is not None and _netloc(origin) != host.lower()
    peer = request.client.host if request.client else listen_host
    asked = [peer, _hostname("//" + host), *([_hostname(origin)] if origin is not None else [])]
    return not all(map(is_loopback, asked))


def _netloc(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


async def _unknown_path(request: Request, failure: Exception) -> Response:
    headers = failure.headers if isinstance(failure, HTTPException) else None
    status = failure.status_code if isinstance(failure, HTTPException) else 404
    word = "not_found" if status == 404 else "method_not_allowed"
    return answers.error(status, word, f"{request.method} {request.url.path[:200]} is not part of the API", headers)


async def _internal(_request: Request, _failure: Exception) -> Response:
    return answers.error(500, "internal", "this is a fault of ours: the log of `tachograph up` says where")

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

from tachograph.access import Gatekeeper, gatekeeper, is_loopback
from tachograph.flow import Busy, Refused
from tachograph.store import StoreError
from tachograph.web import answers, parameters
from tachograph.web.endpoint import Endpoint
from tachograph.web.endpoints import present
from tachograph.web.parameters import filters, listed
from tachograph.web.parts import Data, Parts

__all__ = ["Data", "Parts", "application", "filters", "listed"]


def application(parts: Parts) -> Starlette:
    """The ASGI application."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in present(parts):
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    routes = [Route(path, _served(parts, methods), methods=list(methods)) for path, methods in by_path.items()]
    routes += [Route(path, _shown(parts, answer)) for path, answer in parts.site.routes().items()]
    unknown = {404: _unknown_path, 405: _unknown_path, Exception: _internal}
    served = Starlette(routes=routes, exception_handlers=unknown)
    served.router.redirect_slashes = False  # a redirection would name a host that the request made up
    return served


def _served(parts: Parts, methods: Mapping[str, Endpoint]) -> Callable[[Request], Awaitable[Response]]:
    """One path: who may ask, which parameters there are, and every failure as an answer."""
    keepers = {method: gatekeeper(parts.keys, parts.listen_host, each.scope) for method, each in methods.items()}

    async def serve(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        endpoint = methods[method]
        return _kept_out(parts, request, keepers[method], endpoint.scope) or await _answer(parts, endpoint, request)

    return serve


def _shown(parts: Parts, answer: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
    """A file of the screens: nobody needs a key for it, but no page of somebody else may frame or read it."""

    async def serve(request: Request) -> Response:
        return _from_elsewhere(parts, request) or answer(request)

    return serve


async def _answer(parts: Parts, endpoint: Endpoint, request: Request) -> Response:
    """Failures as answers: what the asker did wrong is 400, not here is 404, busy is 503 with Retry-After."""
    try:
        parameters.check(request.query_params, endpoint.parameters)
        return await endpoint.handler(parts, request)
    except Busy as failure:
        return answers.busy(failure)
    except Refused as failure:
        parts.health.add("api_requests_refused_total", 1, failure.reason)
        return answers.refused(failure)
    except StoreError as failure:
        return answers.broken(failure)
    except ValueError as wrong:
        return answers.error(400, "bad_request", str(wrong))


def _kept_out(parts: Parts, request: Request, keeper: Gatekeeper, scope: str) -> Response | None:
    """The answer to somebody who may not ask; None for those who may."""
    if elsewhere := _from_elsewhere(parts, request):
        return elsewhere
    verdict = keeper(request.headers.get("authorization"))
    if verdict == "unauthenticated":
        return answers.unauthenticated()
    return answers.forbidden(scope) if verdict == "forbidden" else None


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

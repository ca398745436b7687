"""Middleware for any WSGI application: who is asking, for all calls made while a request is served, and what they cost.

    app.wsgi_app = TachographWSGI(app.wsgi_app, feature="chat", customer=Header("x-customer"))

In: the application, and how to find out who is asking (`asking`). Out: its answer, untouched but for the response
header that was asked for; the request's `Totals` at `environ["tachograph.totals"]`. A body made while it is sent
is made inside the scope. Parameters of the path are known where the framework leaves its request in the environ
(werkzeug: Flask).
What it must never know: a framework, what a call costs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from tachograph.capture.sdk.asking import Asking, Header, Path, Plan, Query, Served, Word
from tachograph.capture.sdk.context import Inside

__all__ = ["Header", "Path", "Query", "TachographWSGI"]

TOTALS = "tachograph.totals"

Environ = dict[str, Any]
Start = Callable[..., Any]
App = Callable[[Environ, Start], Iterable[bytes]]


class TachographWSGI:
    """What it can be told: see `TachographMiddleware`."""

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
        self.app, self._header = app, header
        self._plan = Plan(words, tags, trust_headers, trust_baggage, "TachographWSGI")
        self.guard = self._plan.guard

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        """One request."""
        served = self.guard(self._serve, environ)
        scope = None if served is None else self.guard(served.scope)
        if served is None or scope is None:
            return self.app(environ, start_response)
        inside = Inside(scope)
        body: Iterable[bytes] = inside(self.app, environ, self._telling(served, start_response))
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(body, (list, tuple)) or (isinstance(wrapper, type) and isinstance(body, wrapper)):
            return body  # nothing more is asked in it, and servers look at its kind
        return _Body(body, inside)

    def _serve(self, environ: Environ) -> Served:
        served = Served(self._plan, asked(environ))
        environ[TOTALS] = served.totals
        return served

    def _telling(self, served: Served, start_response: Start) -> Start:
        name = self._header

        def telling(status: str, headers: list[tuple[str, str]], *failure: Any) -> Any:
            self.guard(served.said)  # what the path says: while the body is sent, the framework has forgotten it
            if name:
                headers = self.guard.or_else(headers, _with, headers, name, served)
            return start_response(status, headers, *failure)

        return telling


class _Body:
    """An answer that is made as it is sent."""

    def __init__(self, body: Iterable[bytes], inside: Inside) -> None:
        self._body, self._inside = body, inside
        self._pieces: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        self._pieces = self._inside(iter, self._body)
        return self

    def __next__(self) -> bytes:
        if self._pieces is None:
            iter(self)
        piece: bytes = self._inside(next, self._pieces)
        return piece

    def close(self) -> None:
        """What servers call at the end, whatever the end."""
        close = getattr(self._body, "close", None)
        if close is not None:
            self._inside(close)


def asked(environ: Environ) -> Asking:
    """A request as `asking` sees it."""
    return Asking(
        environ,
        environ.get("REQUEST_METHOD", "GET"),
        environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
        environ.get("QUERY_STRING", ""),
        lambda: _headers(environ),
        lambda: getattr(environ.get("werkzeug.request"), "view_args", None) or {},
    )


def _headers(environ: Environ) -> dict[str, str]:
    headers = {key[5:].replace("_", "-").lower(): str(value) for key, value in environ.items() if key[:5] == "HTTP_"}
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            headers[key.replace("_", "-").lower()] = str(environ[key])
    return headers


def _with(headers: list[tuple[str, str]], name: str, served: Served) -> list[tuple[str, str]]:
    return [*headers, (name, str(served.totals))]

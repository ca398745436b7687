"""Answers that every path gives in the same form: JSON, and errors as `{"error": {"type", "message"}}`.

In: what failed. Out: a response whose message is one line: what happened, to what, what to do.
What it must never know: a store, a parameter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.responses import JSONResponse

from tachograph.flow import Busy, Refused
from tachograph.store import StoreError

_STATUS = {"too_large": 413, "encoding": 415, "content_type": 415}


def error(status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error answer."""
    line = " ".join(message.split())
    return JSONResponse({"error": {"type": kind, "message": line}}, status, headers and dict(headers))


def busy(failure: Busy) -> JSONResponse:
    """Try again: 503 with Retry-After."""
    return error(503, "busy", str(failure), {"retry-after": str(max(1, round(failure.after_seconds)))})


def refused(failure: Refused) -> JSONResponse:
    """The same request will fail again."""
    return error(_STATUS.get(failure.reason, 400), failure.reason, str(failure))


def broken(failure: StoreError) -> JSONResponse:
    """The store cannot do this, and a person must act."""
    return error(500, "store_error", str(failure))


def unauthenticated() -> JSONResponse:
    """No key, or none of ours."""
    return _who("no valid key: send the header `Authorization: Bearer TOKEN`; `tachograph key add` makes a token")


def wrong_token() -> JSONResponse:
    """Somebody signs in with what is no token of ours, or of a key that was revoked or has expired."""
    return _who("this is no token of a valid key: `tachograph key add NAME --scope read` prints one")


def _who(message: str) -> JSONResponse:
    return error(401, "unauthenticated", message, {"www-authenticate": 'Bearer realm="tachograph"'})


def forbidden(scope: str) -> JSONResponse:
    """A key that does not open this."""
    return error(403, "forbidden", f"this key lacks the scope {scope!r}: `tachograph key add NAME --scope {scope}`")


def narrow(teams: Sequence[str]) -> JSONResponse:
    """A key of certain teams asks for what tells of all."""
    shown = ", ".join(teams[:3]) + (" and others" if len(teams) > 3 else "")
    return error(403, "forbidden", f"this tells of all teams, and the key shows {shown} alone: ask with one of all")

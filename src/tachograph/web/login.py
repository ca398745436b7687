"""Signing in: a token for a cookie, who one is, and signing out.

In: the token of a key, once; then the cookie. Out: role, name, teams, and the proof that changes need.
What it must never know: what a key opens elsewhere.

The token goes into no page and no storage of the browser: a script that should not be there could read it. Guessing is
hopeless at 256 bits; wrong tokens are limited all the same, for each address, so that nobody is kept busy by them.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tachograph.web import answers, bodies
from tachograph.web.entry import cookie_name
from tachograph.web.failures import FAILURES_MAX
from tachograph.web.parts import Parts
from tachograph.web.sessions import SESSION
from tachograph.web.visitor import Visitor


async def shown(parts: Parts, _request: Request) -> Response:
    """Who asks."""
    return JSONResponse(_told(parts.visitor))


async def begun(parts: Parts, request: Request) -> Response:
    """A session for the bearer of a token."""
    address = request.client.host if request.client else ""
    now = parts.now()
    if wait := parts.failures.wait_seconds(address, now.timestamp()):
        parts.health.add("logins_failed_total", 1, "limited")
        message = f"{FAILURES_MAX} logins failed within a minute: try again in {wait} s"
        return answers.error(429, "too_many_logins", message, {"retry-after": str(wait)})
    token = (await bodies.texts(request, ("token",))).get("token", "")
    key = parts.keys.shown(token.strip()) if parts.keys is not None else None
    if key is None:
        parts.failures.add(address, now.timestamp())
        parts.health.add("logins_failed_total", 1, "wrong")
        return answers.wrong_token()
    if key.role is None:
        return answers.forbidden("read")
    cookie, session = parts.sessions.begin(key.id, now)
    answer = JSONResponse(_told(Visitor(key, session=session)))
    answer.set_cookie(
        cookie_name(parts.tls),
        cookie,
        max_age=round(SESSION.total_seconds()),
        secure=parts.tls,
        httponly=True,
        samesite="strict",
    )
    return answer


async def ended(parts: Parts, _request: Request) -> Response:
    """Sign out; fine too where nobody is signed in."""
    if parts.visitor.session:
        parts.sessions.end(parts.visitor.session)
    answer = Response(status_code=204)
    answer.delete_cookie(cookie_name(parts.tls), secure=parts.tls, httponly=True, samesite="strict")
    return answer


def _told(visitor: Visitor) -> dict[str, Any]:
    """login: a key must be given before anything is shown."""
    return {
        "role": visitor.role,
        "name": visitor.name,
        "teams": list(visitor.teams),
        "csrf": visitor.session.csrf if visitor.session else None,
        "login": visitor.role is None,
    }

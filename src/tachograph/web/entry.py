"""Who is let in: the key or the session of a request, and what its path asks for.

In: requests. Out: a visitor, or the answer to somebody who may not ask.
What it must never know: what a path answers.

A browser sends its cookie with whatever any page makes it send. So what a session changes needs the proof that only
our page was told, beside what the cookie itself forbids (SameSite) and what `Origin` says.
"""

from __future__ import annotations

import hmac

from starlette.requests import Request
from starlette.responses import Response

from tachograph.access import is_loopback, token_of
from tachograph.web import answers
from tachograph.web.endpoint import Endpoint
from tachograph.web.parts import Parts
from tachograph.web.visitor import Visitor

PROOF = "X-Tachograph-CSRF"
SAFE = ("GET", "HEAD")


def cookie_name(tls: bool) -> str:
    """`__Host-`: browsers keep it for this host alone, and only where it came encrypted."""
    return "__Host-tachograph" if tls else "tachograph"


def visitor(parts: Parts, request: Request) -> Visitor | None:
    """Who asks. None where a key is shown that is none of ours; a session that has ended is as none."""
    authorization = request.headers.get("authorization")
    if authorization is not None:
        shown = parts.keys.shown(token_of(authorization)) if parts.keys is not None else None
        return Visitor(shown) if shown else None
    session = parts.sessions.find(request.cookies.get(cookie_name(parts.tls), ""), parts.now())
    if session and parts.keys is not None and (key := parts.keys.valid(session.key_id)):
        return Visitor(key, session=session)
    return Visitor(trusted=is_loopback(parts.listen_host))


def still(parts: Parts) -> bool:
    """May the visitor of an answer that goes on go on reading?"""
    visitor = parts.visitor
    if visitor.key is None:
        return True
    lasting = visitor.session is None or parts.sessions.lasts(visitor.session, parts.now())
    return lasting and parts.keys is not None and parts.keys.valid(visitor.key.id) is not None


def kept_out(endpoint: Endpoint, request: Request, visitor: Visitor | None) -> Response | None:
    """The answer to somebody who may not ask; None for those who may."""
    if visitor is None or (visitor.key is None and not visitor.allows(endpoint.scope)):
        return answers.unauthenticated()
    if not visitor.allows(endpoint.scope):
        return answers.forbidden(endpoint.scope)
    if endpoint.whole and visitor.teams:
        return answers.narrow(visitor.teams)
    if visitor.session and request.method not in SAFE and not _proved(request, visitor.session.csrf):
        return answers.error(403, "no_proof", f"the header {PROOF} is missing or old: load the page again")
    return None


def _proved(request: Request, csrf: str) -> bool:
    return hmac.compare_digest(request.headers.get(PROOF, "").encode(), csrf.encode())

"""Browsers that signed in with a key: a cookie in place of the token, which a page shall not keep.

In: the id of a key, cookies. Out: sessions, in this process alone: who restarts it asks everybody to sign in again.
What it must never know: HTTP, what a key opens: that is asked anew each time, so a key that was revoked ends them.

A cookie is 256 random bits and is kept hashed, for the reason that `access` states. `csrf` is told to the page, which
sends it with whatever it changes: a page of somebody else has the browser send the cookie, and cannot know this.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

SESSION = timedelta(hours=12)
SESSIONS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Session:
    """sha256: of the cookie. csrf: what proves that a request comes from our page."""

    sha256: str
    key_id: str
    csrf: str
    ends: datetime


class Sessions:
    """Safe to share between threads. Past `sessions_max` the oldest is ended."""

    def __init__(self, sessions_max: int = SESSIONS_MAX) -> None:
        self._sessions_max = sessions_max
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def begin(self, key_id: str, now: datetime) -> tuple[str, Session]:
        """The cookie of a new session, which is kept nowhere, and the session."""
        cookie = secrets.token_urlsafe(32)
        session = Session(_sha256(cookie), key_id, secrets.token_urlsafe(32), now + SESSION)
        with self._lock:
            while len(self._sessions) >= self._sessions_max:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[session.sha256] = session
        return cookie, session

    def find(self, cookie: str, now: datetime) -> Session | None:
        """The session of a cookie, while it lasts."""
        session = self._sessions.get(_sha256(cookie))
        return session if session and self.lasts(session, now) else None

    def lasts(self, session: Session, now: datetime) -> bool:
        """Is it still one? One that is not is forgotten."""
        if now < session.ends:
            return session.sha256 in self._sessions
        self.end(session)
        return False

    def end(self, session: Session) -> None:
        """Forget it. Safe to call twice."""
        with self._lock:
            self._sessions.pop(session.sha256, None)


def _sha256(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "replace")).hexdigest()

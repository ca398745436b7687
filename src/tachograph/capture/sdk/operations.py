"""Which attempts belong to one request: client libraries try again, and each attempt is a Call.

In: an attempt's headers, and what it asks; then whether it failed in a way that is tried again. Out: (operation_id,
attempt). A library that names the request in a header, or counts its attempts in one, is believed; else the next equal
request soon after a failure, from the same thread, is the next attempt of the same.
What it must never know: a provider, a clock: the time is told.

Locks are reentrant: an attempt may end in a finalizer, and that may run inside any of our lines.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Hashable, Mapping

from tachograph.forks import follow_forks

WAITING_MAX = 1024  # questions that failed and may be asked again
ANSWERS_MAX = 4096  # answers that are remembered
AGAIN_SECONDS_MAX = 120.0  # so long a library waits at most before it tries again
ENDS_BYTES = 4096  # of a body, at each end: what two requests are compared by
# Statuses that client libraries try again.
AGAIN = frozenset((408, 409, 425, 429, 498, 499))
_NAMES = ("amz-sdk-invocation-id", "idempotency-key", "x-idempotency-key")
_COUNTED = "x-stainless-retry-count"  # openai, anthropic, groq, together, ...: 0 for the first attempt

_Waiting = tuple[str, int, float]  # operation, its attempt that failed, when


class Operations:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Hashable, deque[_Waiting]] = OrderedDict()
        self.renew()
        follow_forks(self.renew)

    def begin(self, headers: Mapping[str, str], key: Hashable, at_seconds: float) -> tuple[str, int]:
        """The operation that an attempt belongs to, and which attempt of it this is; 0 is the first."""
        named, counted = _named(headers), headers.get(_COUNTED)
        if named:
            return named, self._again(named, None, at_seconds)[1]
        if self._waiting and counted != "0":
            known, attempt = self._again(key, counted, at_seconds)
            if known:
                return known, attempt
        return self.first(headers), 0

    @property
    def waits(self) -> bool:
        """Whether an attempt that begins now may be the next one of something."""
        return bool(self._waiting)

    def first(self, headers: Mapping[str, str]) -> str:
        """The operation of an attempt that is the first of it."""
        return _named(headers) or f"{self._prefix}{next(self._numbers):x}"

    def failed(self, key: Hashable, operation_id: str, attempt: int, at_seconds: float) -> None:
        """This attempt will perhaps be tried again."""
        where = key if operation_id.startswith(self._prefix) else operation_id
        with self._lock:
            waiting = self._waiting.setdefault(where, deque(maxlen=WAITING_MAX))
            waiting.append((operation_id, attempt, at_seconds))
            self._waiting.move_to_end(where)
            while len(self._waiting) > WAITING_MAX:
                self._waiting.popitem(last=False)

    def _again(self, key: Hashable, counted: str | None, at_seconds: float) -> tuple[str, int]:
        """The operation that goes on with this attempt: of equal ones that which counts the same, else the oldest."""
        with self._lock:
            waiting = self._waiting.get(key)
            while waiting and at_seconds - waiting[0][2] > AGAIN_SECONDS_MAX:
                waiting.popleft()
            if not waiting:
                self._waiting.pop(key, None)
                return "", 0
            chosen = next((each for each in waiting if str(each[1] + 1) == counted), waiting[0])
            waiting.remove(chosen)
            if not waiting:
                del self._waiting[key]
        return chosen[0], chosen[1] + 1

    def renew(self) -> None:
        """Ids that no other process gives, and a lock that nobody holds: also in a forked one."""
        self._prefix, self._numbers = os.urandom(6).hex() + "-", itertools.count(1)
        self._lock = threading.RLock()
        self._waiting.clear()


class Answers:
    """Answers that were told already, by name: an answer may be fetched as often as one likes, and counts once."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, None] = OrderedDict()
        self.renew()
        follow_forks(self.renew)

    def first(self, name: str | None) -> bool:
        """Whether this is the first time. What has no name cannot be known again."""
        if name is None:
            return True
        with self._lock:
            if name in self._names:
                return False
            self._names[name] = None
            if len(self._names) > ANSWERS_MAX:
                self._names.popitem(last=False)
        return True

    def renew(self) -> None:
        """A lock that nobody holds, in a forked child too."""
        self._lock = threading.RLock()


def _named(headers: Mapping[str, str]) -> str:
    """The name that a header gives a request, as an id: what a header says does not leave the process. Empty: none."""
    for name in _NAMES:
        if name in headers:
            return hashlib.sha256(headers[name].encode()).hexdigest()[:24]
    return ""


def key_of(url: str, body: bytes, length: str | None = None, thread: int | None = None) -> Hashable:
    """What makes two requests the same question. length: as stated, of a body that is not known. thread: that asks;
    None: this one.
    """
    where = (thread or threading.get_ident(), url)
    if not body:
        return hash((where, length))
    if len(body) <= 2 * ENDS_BYTES:
        return hash((where, body))
    return hash((where, len(body), body[:ENDS_BYTES], body[-ENDS_BYTES:]))


def tried_again(status: int | None) -> bool:
    """Whether libraries try again after such an answer; None: none came."""
    return status is None or status in AGAIN or status >= 500

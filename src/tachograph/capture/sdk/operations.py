"""Which attempts belong to one request: client libraries try again, and each attempt is a Call.

In: an attempt's headers, and what it asks; then whether it failed in a way that is tried again. Out: (operation_id,
attempt). A library that names the request in a header is believed; else the next equal request soon after a failure is
the next attempt of the same.
What it must never know: a provider, a clock: the time is told.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping

WAITING_MAX = 1024  # failed requests that may be tried again
AGAIN_SECONDS_MAX = 120.0  # so long a library waits at most before it tries again
ENDS_BYTES = 4096  # of a body, at each end: what two requests are compared by
# Statuses that client libraries try again.
AGAIN = frozenset((408, 409, 425, 429, 498, 499))
_NAMES = ("amz-sdk-invocation-id", "idempotency-key", "x-idempotency-key")


class Operations:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._failed: OrderedDict[Hashable, tuple[str, int, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def begin(self, headers: Mapping[str, str], key: Hashable, at_seconds: float) -> tuple[str, int]:
        """The operation that an attempt belongs to, and which attempt of it this is; 0 is the first."""
        for name in _NAMES:
            if name in headers:
                return headers[name][:128], self._again(headers[name], at_seconds)[1]
        if self._failed:
            known, attempt = self._again(key, at_seconds)
            if known:
                return known, attempt
        return f"{self._prefix}{next(self._numbers):x}", 0

    def failed(self, key: Hashable, operation_id: str, attempt: int, at_seconds: float) -> None:
        """This attempt will perhaps be tried again."""
        with self._lock:
            self._failed[key] = self._failed[operation_id] = (operation_id, attempt, at_seconds)
            while len(self._failed) > 2 * WAITING_MAX:
                self._failed.popitem(last=False)

    def _again(self, key: Hashable, at_seconds: float) -> tuple[str, int]:
        with self._lock:
            operation_id, attempt, failed_at = self._failed.pop(key, ("", -1, at_seconds))
            self._failed.pop(operation_id, None)
        if not operation_id or at_seconds - failed_at > AGAIN_SECONDS_MAX:
            return "", 0
        return operation_id, attempt + 1

    def _renew(self) -> None:
        """Ids that no other process gives: also a forked one."""
        self._prefix, self._numbers = os.urandom(6).hex() + "-", itertools.count(1)


def key_of(url: str, body: bytes) -> Hashable:
    """What makes two requests the same question."""
    if len(body) <= 2 * ENDS_BYTES:
        return hash((url, body))
    return hash((url, len(body), body[:ENDS_BYTES], body[-ENDS_BYTES:]))


def tried_again(status: int | None) -> bool:
    """Whether libraries try again after such an end; None: no answer came."""
    return status is None or status in AGAIN or status >= 500

"""How often an address gave a wrong token of late.

In: addresses, moments in seconds. Out: how long an address must wait. Bounded: past `addresses_max` the one that has
failed least lately is forgotten. What it must never know: a token, the clock.
"""

from __future__ import annotations

import math
import threading

FAILURES_MAX = 10
SECONDS = 60.0
ADDRESSES_MAX = 1000


class Failures:
    """Safe to share between threads."""

    def __init__(self, addresses_max: int = ADDRESSES_MAX) -> None:
        self._addresses_max = addresses_max
        self._lock = threading.Lock()
        self._moments: dict[str, list[float]] = {}

    def add(self, address: str, now: float) -> None:
        """One more."""
        with self._lock:
            moments = self._moments.pop(address, [])
            while len(self._moments) >= self._addresses_max:
                del self._moments[next(iter(self._moments))]
            self._moments[address] = [*moments[1 - FAILURES_MAX :], now]

    def wait_seconds(self, address: str, now: float) -> int:
        """0: it may try."""
        moments = self._moments.get(address, [])
        if len(moments) < FAILURES_MAX:
            return 0
        return max(0, math.ceil(moments[-FAILURES_MAX] + SECONDS - now))

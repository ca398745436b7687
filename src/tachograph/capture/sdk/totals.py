"""What the calls made inside one request came to, so far.

In: Calls, from any thread, as they end. Out: counts, tokens and cost. Unknown is not zero: the sums hold what is known,
`uncounted` and `unpriced` say of how many calls nothing is known, and the cost is None where no call has one. Costs are
known only where this process prices calls (`instrument(prices=True)`) or the provider states them.
What it must never know: a request, a price.

`add` may run in a finalizer, in the middle of anything: it waits for no lock.
"""

from __future__ import annotations

import threading
from collections import deque
from decimal import Decimal
from typing import Any

from tachograph.call import Call

WAITING_MAX = 64  # calls that are added up when somebody looks, or when there are more
LOCK_SECONDS_MAX = 1.0

_Facts = tuple[dict[str, int], Decimal | None]


class Totals:
    """calls: how many have ended; errors: of these, not `ok`. input_tokens, output_tokens, total_tokens, cache_read
    (part of the input), reasoning (part of the output): tokens. cost_usd: Decimal, or None. uncounted, unpriced: calls
    whose tokens, whose cost nobody knows.
    """

    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    total_tokens: int
    cache_read: int
    reasoning: int
    uncounted: int
    unpriced: int
    cost_usd: Decimal | None

    def __init__(self) -> None:
        self._waiting: deque[_Facts] = deque()
        self._lock = threading.Lock()
        self._sums = dict.fromkeys(_facts(Call())[0], 0)
        self._cost_usd: Decimal | None = None

    def add(self, call: Call) -> None:
        """One more call has ended."""
        self._waiting.append(_facts(call))
        if len(self._waiting) >= WAITING_MAX:
            self._add_up(0.0)

    def as_dict(self) -> dict[str, Any]:
        """Everything at one moment."""
        self._add_up(LOCK_SECONDS_MAX)
        return {**self._sums, "cost_usd": self._cost_usd}

    def __getattr__(self, name: str) -> Any:
        if name not in Totals.__annotations__:
            raise AttributeError(f"Totals has no {name!r}: it has {', '.join(Totals.__annotations__)}")
        return self.as_dict()[name]

    def __str__(self) -> str:
        """As the response header says it: `calls=2, input_tokens=120, output_tokens=40, cost_usd=0.00123`."""
        now = self.as_dict()
        said = {name: now[name] for name in ("calls", "input_tokens", "output_tokens")}
        if now["cost_usd"] is not None:
            said["cost_usd"] = _plain(now["cost_usd"])
        said.update({name: now[name] for name in ("uncounted", "unpriced") if now[name]})
        return ", ".join(f"{name}={value}" for name, value in said.items())

    def __repr__(self) -> str:
        return f"<Totals {self}>"

    def _add_up(self, seconds_max: float) -> None:
        """Only one at a time; whoever cannot wait leaves it to the next."""
        if not self._lock.acquire(timeout=seconds_max):
            return
        try:
            while self._waiting:
                counted, cost_usd = self._waiting.popleft()
                self._sums = {name: self._sums[name] + number for name, number in counted.items()}
                if cost_usd is not None:
                    self._cost_usd = (self._cost_usd or Decimal(0)) + cost_usd
        finally:
            self._lock.release()


def _facts(call: Call) -> _Facts:
    counted = {
        "calls": 1,
        "errors": int(call.outcome != "ok"),
        "input_tokens": call.input_tokens or 0,
        "output_tokens": call.output_tokens or 0,
        "total_tokens": call.total_tokens or 0,
        "cache_read": call.cache_read or 0,
        "reasoning": call.output_reasoning or 0,
        "uncounted": int(call.usage_source == "missing"),
        "unpriced": int(call.cost_usd is None),
    }
    return counted, call.cost_usd


def _plain(amount: Decimal) -> str:
    digits = format(amount, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits

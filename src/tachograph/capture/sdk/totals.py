"""What the calls made inside one request came to, so far.

In: Calls, from any thread, as they end. Out: counts, tokens and cost. Unknown is not zero: the sums hold what is known,
`uncounted` and `unpriced` say of how many calls nothing is known, and the cost is None where no call has one. Costs are
known only where this process prices calls (`instrument(prices=True)`) or the provider states them.
What it must never know: a request, a price.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tachograph.call import Call

# What is summed -> the field of Call.
_SUMS: Mapping[str, str] = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "total_tokens": "total_tokens",
    "cache_read": "cache_read",
    "reasoning": "output_reasoning",
}


class Totals:
    """calls: how many have ended; errors: of these, not `ok`. input_tokens, output_tokens, total_tokens, cache_read
    (part of the input), reasoning (part of the output): tokens. cost_usd: Decimal, or None. uncounted, unpriced: calls
    whose tokens, whose cost nobody knows.
    """

    __slots__ = (
        "_lock",
        "cache_read",
        "calls",
        "cost_usd",
        "errors",
        "input_tokens",
        "output_tokens",
        "reasoning",
        "total_tokens",
        "uncounted",
        "unpriced",
    )

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.calls = self.errors = 0
        self.input_tokens = self.output_tokens = self.total_tokens = self.cache_read = self.reasoning = 0
        self.cost_usd: Decimal | None = None
        self.uncounted = self.unpriced = 0

    def add(self, call: Call) -> None:
        """One more call has ended."""
        with self._lock:
            self.calls += 1
            self.errors += call.outcome != "ok"
            self.uncounted += call.usage_source == "missing"
            for name, field in _SUMS.items():
                setattr(self, name, getattr(self, name) + (getattr(call, field) or 0))
            if call.cost_usd is None:
                self.unpriced += 1
            else:
                self.cost_usd = (self.cost_usd or Decimal(0)) + call.cost_usd

    def as_dict(self) -> dict[str, Any]:
        """Everything at one moment."""
        with self._lock:
            return {name: getattr(self, name) for name in self.__slots__ if name != "_lock"}

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


def _plain(amount: Decimal) -> str:
    digits = format(amount, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits

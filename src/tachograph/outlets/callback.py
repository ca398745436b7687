"""An outlet that calls a function of the user with each Call.

In: Calls. Out: `function(call)`. What the function raises is counted and told once; it never leaves.
What it must never know: what the function does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from tachograph.call import Call


class Callback:
    """Calls `function` for each call, in the thread of the sender. failures: how often it raised."""

    def __init__(self, function: Callable[[Call], object]) -> None:
        self._function = function
        self.failures = 0

    def write(self, calls: Sequence[Call], token: str) -> int:
        """Every call is handed over once, whatever the function makes of it."""
        for call in calls:
            try:
                self._function(call)
            except Exception:
                self._failed()
        return len(calls)

    def close(self) -> None:
        """Nothing is held."""

    def _failed(self) -> None:
        self.failures += 1
        if self.failures == 1:
            logging.getLogger("tachograph").exception(
                "the callback %r raised: its call is not handed over again, and further failures are only counted",
                self._function,
            )

"""Every counter that we keep about ourselves, with its unit and its meaning, declared here only.

In: `add` from whoever counts. Out: a snapshot for `/api/v1/health`, `doctor` and, later, `/metrics`.
The ledger holds at every quiet moment: accepted = stored + deduplicated + refused.
What it must never know: what a call costs, where it goes.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from tachograph.call import Call


@dataclass(frozen=True, slots=True)
class Counter:
    """name: Prometheus style, unit last. label: the one label it is split by, '' for none."""

    name: str
    label: str
    meaning: str


COUNTERS: tuple[Counter, ...] = (
    Counter("calls_accepted_total", "door", "calls that a door took over"),
    Counter("calls_stored_total", "", "calls that are durable in the store"),
    Counter("calls_deduplicated_total", "", "calls that were already stored"),
    Counter("calls_refused_total", "reason", "calls or inputs that could not be taken, by reason"),
    Counter("calls_flagged_total", "flag", "calls with something odd about them, by flag"),
    Counter("calls_unpriced_total", "", "calls whose model has no price"),
)
_LABELS_MAX = 200  # values per counter; the rest is folded into `other`


class Health:
    """Counts. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, dict[str, int]] = {counter.name: {} for counter in COUNTERS}

    def add(self, name: str, amount: int = 1, label: str = "") -> None:
        """Count. KeyError for a counter that is not declared."""
        with self._lock:
            counts = self._counts[name]
            if label not in counts and len(counts) >= _LABELS_MAX:
                label = "other"
            counts[label] = counts.get(label, 0) + amount

    def took(self, door: str, calls: Sequence[Call], stored: int) -> None:
        """Count a batch that a door took over, of which `stored` were new: what is odd or unpriced about it too."""
        self.add("calls_accepted_total", len(calls), door)
        self.add("calls_stored_total", stored)
        self.add("calls_deduplicated_total", len(calls) - stored)
        for call in calls:
            for word in call.flags:
                self.add("calls_flagged_total", label=word)
            if call.price_status == "unpriced_model":
                self.add("calls_unpriced_total")

    def snapshot(self) -> dict[str, int | dict[str, int]]:
        """Name -> count, or name -> label value -> count."""
        with self._lock:
            return {
                counter.name: dict(self._counts[counter.name])
                if counter.label
                else self._counts[counter.name].get("", 0)
                for counter in COUNTERS
            }

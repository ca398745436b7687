"""Every counter and gauge that we keep about ourselves, with its unit and its meaning, declared here only.

In: `add`, `change` and `set` from whoever counts. Out: a snapshot for `/api/v1/health`, `doctor` and `/metrics`.
The ledger holds whenever somebody looks, as long as each step is counted by one `change`:
accepted = stored + deduplicated + refused + ignored + in flight.
What it must never know: what a call costs, where it goes.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tachograph.call import Call

Number = int | float


@dataclass(frozen=True, slots=True)
class Counter:
    """Only ever grows. name: Prometheus style, unit last. label: the one label it is split by, '' for none."""

    name: str
    label: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Gauge:
    """Goes up and down, and starts at 0 with the process. name: Prometheus style, unit last."""

    name: str
    label: str
    meaning: str


COUNTERS: tuple[Counter, ...] = (
    Counter("calls_flagged_total", "flag", "calls with something odd about them, by flag"),
    Counter("calls_unpriced_total", "", "calls whose model has no price"),
    Counter("items_accepted_total", "door", "spans, log records, data points and calls that a door took over"),
    Counter("items_stored_total", "", "items that are durable in the store"),
    Counter("items_deduplicated_total", "", "items that were already stored"),
    Counter("items_refused_total", "reason", "items that were refused for good, by reason"),
    Counter("items_ignored_total", "reason", "items that say nothing about a call, by reason"),
    Counter("api_requests_refused_total", "reason", "requests to the API that were refused, by reason"),
    Counter(
        "logins_failed_total", "reason", "logins that were refused: `wrong` tokens, and those `limited` after them"
    ),
    Counter("otlp_requests_total", "door", "export requests that a door received"),
    Counter("otlp_requests_refused_total", "reason", "export requests that were answered with an error, by reason"),
    Counter("otlp_bytes_total", "door", "bytes of export requests as they came over the wire"),
    Counter("batches_total", "", "batches that were handed to the store"),
    Counter("batch_seconds_total", "", "seconds spent on making batches durable"),
    Counter("gateway_lines_lost_total", "reason", "lines of the gateway's log that were given up unread, by reason"),
    Counter("gateway_restarts_total", "reason", "starts of another Envoy: `died` or `changed` settings"),
)
GAUGES: tuple[Gauge, ...] = (
    Gauge("items_in_flight", "", "items that were accepted and whose fate is not decided yet"),
    Gauge("store_lag_seconds", "", "age of the oldest item in flight: how far storing is behind accepting"),
    Gauge("gateway_up", "", "1 while the gateway's Envoy serves"),
    Gauge("gateway_requests_active", "", "requests that are under way through the gateway"),
    Gauge("gateway_unread_bytes", "", "bytes of the gateway's log that are not stored yet"),
    Gauge("gateway_log_writes_failed", "", "writes of its log that failed since Envoy was started, as on a full disk"),
)
_DECLARED: tuple[Counter | Gauge, ...] = (*COUNTERS, *GAUGES)
INTERRUPTED = "interrupted"  # reason of items that were in flight when a process ended: nobody was told they were taken
_LABELS_MAX = 200  # values per counter; the rest is folded into `other`


class Health:
    """Counts. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, dict[str, Number]] = {declared.name: {} for declared in _DECLARED}

    def add(self, name: str, amount: Number = 1, label: str = "") -> None:
        """Count. KeyError for what is not declared. A gauge may be given a negative amount."""
        self.change((name, amount, label))

    def change(self, *changes: tuple[str, Number, str]) -> None:
        """Several (name, amount, label) at once: whoever looks sees all of them or none."""
        with self._lock:
            for name, amount, label in changes:
                self._add(name, amount, label)

    def set(self, name: str, value: Number, label: str = "") -> None:
        """The present value of a gauge. KeyError for what is not declared."""
        with self._lock:
            values = self._counts[name]
            values[self._admitted(values, label)] = value

    def took(self, door: str, calls: Sequence[Call], stored: int) -> None:
        """Count a batch that a door took over, of which `stored` were new: what is odd or unpriced about it too."""
        self.change(
            ("items_accepted_total", len(calls), door),
            ("items_stored_total", stored, ""),
            ("items_deduplicated_total", len(calls) - stored, ""),
            *(("calls_flagged_total", 1, word) for call in calls for word in call.flags),
            *(("calls_unpriced_total", 1, "") for call in calls if call.price_status == "unpriced_model"),
        )

    def refused(self, door: str, reason: str) -> None:
        """Count one item that a door took up and refused for good."""
        self.change(("items_accepted_total", 1, door), ("items_refused_total", 1, reason))

    def ledger(self) -> dict[str, Any]:
        """What became of everything that was accepted; `balanced` where nothing is missing."""
        counts = self.snapshot()
        found = {name: counts[f"items_{name}_total"] for name in ("accepted", "stored", "deduplicated", "refused")}
        found |= {"ignored": counts["items_ignored_total"], "in_flight": counts["items_in_flight"]}
        decided = [found[name] for name in ("stored", "deduplicated", "refused", "ignored", "in_flight")]
        found["balanced"] = _total(found["accepted"]) == sum(map(_total, decided))
        return found

    def snapshot(self) -> dict[str, Number | dict[str, Number]]:
        """Name -> value, or name -> label value -> value."""
        with self._lock:
            return {
                declared.name: dict(self._counts[declared.name])
                if declared.label
                else self._counts[declared.name].get("", 0)
                for declared in _DECLARED
            }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Add what an earlier process had counted when it made `snapshot`; gauges are of the moment and stay.

        Items that were in flight then were never acknowledged: they count as refused, `interrupted`, so that the
        ledger still holds when their senders send them again. Names that are declared no more are forgotten.
        """
        changes = [
            (counter.name, amount, label)
            for counter in COUNTERS
            for label, amount in _by_label(snapshot.get(counter.name, 0)).items()
            if amount
        ]
        in_flight = sum(_by_label(snapshot.get("items_in_flight", 0)).values())
        self.change(*changes, *([("items_refused_total", in_flight, INTERRUPTED)] if in_flight else []))

    def _add(self, name: str, amount: Number, label: str) -> None:
        counts = self._counts[name]
        label = self._admitted(counts, label)
        counts[label] = counts.get(label, 0) + amount

    @staticmethod
    def _admitted(values: Mapping[str, Number], label: str) -> str:
        """The label itself, or `other` where there are enough of them."""
        return label if label in values or len(values) < _LABELS_MAX else "other"


def _total(value: Any) -> Number:
    return sum(_by_label(value).values())


def _by_label(value: Any) -> Mapping[str, Number]:
    return value if isinstance(value, Mapping) else {"": value}

"""Calls -> the figures that a person wants first: cost, tokens, latency, errors, what has no price.

In: Calls, one by one, any number. Out: a `Summary`, JSON-ready. Percentiles are exact (a duration is kept as 8 bytes).
Sightings of another call (`same_as`) are not counted. Unknown costs are not zero: they are counted apart.
What it must never know: files, SQL, prices.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from tachograph.call import Call

QUANTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass(slots=True)
class Figures:
    """Sums over some calls. cost_usd: of those whose cost is known; None where none is."""

    calls: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read: int = 0
    reported: int = 0
    cost_usd: Decimal | None = None
    unpriced: int = 0
    unknown_usage: int = 0
    durations: array[float] = field(default_factory=lambda: array("d"))
    ttfts: array[float] = field(default_factory=lambda: array("d"))
    timed_tokens: int = 0
    timed_ms: float = 0.0

    def add(self, call: Call) -> None:
        """Count one call."""
        self.calls += 1
        self.errors += call.outcome == "error"
        self.input_tokens += call.input_tokens or 0
        self.output_tokens += call.output_tokens or 0
        self.cache_read += call.cache_read or 0
        self.reported += call.usage_source != "missing"
        self.unpriced += call.price_status == "unpriced_model"
        self.unknown_usage += call.price_status == "unknown_usage" and call.outcome != "error"
        if call.cost_usd is not None:
            self.cost_usd = (self.cost_usd or Decimal(0)) + call.cost_usd
        if call.duration_ms is not None:
            self.durations.append(call.duration_ms)
            if call.total_tokens:
                self.timed_ms += call.duration_ms
                self.timed_tokens += call.total_tokens
        if call.ttft_ms is not None:
            self.ttfts.append(call.ttft_ms)

    def merge(self, other: Figures) -> None:
        """Count the calls of another Figures in."""
        for name in ("calls", "errors", "input_tokens", "output_tokens", "cache_read", "reported"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("unpriced", "unknown_usage", "timed_tokens", "timed_ms"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if other.cost_usd is not None:
            self.cost_usd = (self.cost_usd or Decimal(0)) + other.cost_usd
        self.durations.extend(other.durations)
        self.ttfts.extend(other.ttfts)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; null where nothing was known."""
        tokens = self.input_tokens + self.output_tokens
        known = self.cost_usd is not None and tokens > 0
        return {
            "calls": self.calls,
            "errors": self.errors,
            "error_rate": round(self.errors / self.calls, 6) if self.calls else None,
            "input_tokens": self.input_tokens if self.reported else None,
            "output_tokens": self.output_tokens if self.reported else None,
            "total_tokens": tokens if self.reported else None,
            "cache_read": self.cache_read if self.reported else None,
            "cost_usd": None if self.cost_usd is None else format(self.cost_usd, "f"),
            "cost_per_1k_tokens_usd": format((self.cost_usd or 0) * 1000 / tokens, ".8f") if known else None,
            "latency_per_1k_tokens_ms": round(self.timed_ms * 1000 / self.timed_tokens, 3)
            if self.timed_tokens
            else None,
            "duration_ms": quantiles(self.durations),
            "ttft_ms": quantiles(self.ttfts),
            "unpriced_calls": self.unpriced,
            "unknown_usage_calls": self.unknown_usage,
        }


@dataclass(slots=True)
class Summary:
    """All calls, by model, by day, by day and model; what has no price and why it cannot have one."""

    total: Figures = field(default_factory=Figures)
    by_model: dict[tuple[str, str], Figures] = field(default_factory=dict)
    by_day: dict[str, Figures] = field(default_factory=dict)
    by_day_and_model: dict[tuple[str, str, str], Figures] = field(default_factory=dict)
    unpriced: Counter[tuple[str, str]] = field(default_factory=Counter)
    sightings: int = 0
    first: datetime | None = None
    last: datetime | None = None

    def add(self, call: Call) -> None:
        """Count one call; a further sighting of a counted call only as a sighting."""
        if call.same_as is not None:
            self.sightings += 1
            return
        model = call.model or call.response_model or call.request_model or "(no model)"
        day = call.started_at.date().isoformat()
        self.total.add(call)
        self.by_model.setdefault((call.provider, model), Figures()).add(call)
        self.by_day.setdefault(day, Figures()).add(call)
        self.by_day_and_model.setdefault((day, call.provider, model), Figures()).add(call)
        if call.price_status == "unpriced_model":
            self.unpriced[call.provider, model] += 1
        self.first = call.started_at if self.first is None else min(self.first, call.started_at)
        self.last = call.started_at if self.last is None else max(self.last, call.started_at)

    def merge(self, other: Summary) -> None:
        """Count the calls of another Summary in: merging gives what counting all calls at once would give."""
        self.total.merge(other.total)
        for mine, theirs in (
            (self.by_model, other.by_model),
            (self.by_day, other.by_day),
            (self.by_day_and_model, other.by_day_and_model),
        ):
            _merge(mine, theirs)
        self.unpriced.update(other.unpriced)
        self.sightings += other.sightings
        self.first = min((moment for moment in (self.first, other.first) if moment), default=None)
        self.last = max((moment for moment in (self.last, other.last) if moment), default=None)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "first": self.first.isoformat().replace("+00:00", "Z") if self.first else None,
            "last": self.last.isoformat().replace("+00:00", "Z") if self.last else None,
            **self.total.to_dict(),
            "sightings": self.sightings,
            "by_model": [
                {"provider": provider, "model": model, **figures.to_dict()}
                for (provider, model), figures in sorted(self.by_model.items(), key=_dearest)
            ],
            "by_day": [{"day": day, **figures.to_dict()} for day, figures in sorted(self.by_day.items())],
            "by_day_and_model": [
                {"day": day, "provider": provider, "model": model, **figures.to_dict()}
                for (day, provider, model), figures in sorted(self.by_day_and_model.items(), key=lambda item: item[0])
            ],
            "unpriced_models": [
                {"provider": provider, "model": model, "calls": calls}
                for (provider, model), calls in self.unpriced.most_common()
            ],
        }


def summarise(calls: Iterable[Call]) -> Summary:
    """The summary of all `calls`."""
    summary = Summary()
    for call in calls:
        summary.add(call)
    return summary


def quantiles(values: array[float]) -> dict[str, float | None]:
    """p50, p90, p95, p99 by nearest rank (the value itself, never an average of two) and the mean."""
    ordered = sorted(values)
    found: dict[str, float | None] = {
        f"p{round(q * 100)}": ordered[math.ceil(q * len(ordered)) - 1] if ordered else None for q in QUANTILES
    }
    found["mean"] = round(math.fsum(ordered) / len(ordered), 3) if ordered else None
    return found


def _merge(mine: dict[Any, Figures], theirs: dict[Any, Figures]) -> None:
    for key, figures in theirs.items():
        mine.setdefault(key, Figures()).merge(figures)


def _dearest(item: tuple[tuple[str, str], Figures]) -> tuple[Decimal, int, tuple[str, str]]:
    name, figures = item
    return (-(figures.cost_usd or Decimal(0)), -figures.calls, name)

"""The page for Prometheus: the GenAI metrics of the traffic, its tokens and costs, and our own health.

In: batches of newly stored calls, the counters of `health`. Out: `/metrics` as bytes; a snapshot with which a later
process goes on where this one stopped.
What it must never know: the store, HTTP, a wire format, a price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tachograph.health import Health
from tachograph.prometheus.families import LABELS
from tachograph.prometheus.page import render
from tachograph.prometheus.traffic import SERIES_MAX, Traffic

__all__ = ["LABELS", "SERIES_MAX", "Metrics", "Traffic"]


class Metrics:
    """Everything that is on the page. Safe to share between threads."""

    def __init__(self, health: Health, labels: Sequence[str] = LABELS, series_max: int = SERIES_MAX) -> None:
        """labels: what our own metrics are split by: fields marked `group`, and `tags.KEY`. ValueError for others.

        series_max: how many series each metric of the traffic may have.
        """
        self._health = health
        self._traffic = Traffic(labels, series_max)

    def observe(self, batch: pa.RecordBatch) -> None:
        """Count newly stored calls, given as a batch of `flow.batch.SCHEMA`; further sightings are left out."""
        self._traffic.observe(batch)

    def exposition(self, accept: str | None = None) -> tuple[bytes, str]:
        """(the page, its content type) for the `Accept` of a request."""
        return render(self._traffic.read(), self._health.snapshot(), accept)

    def snapshot(self) -> dict[str, Any]:
        """Every counter, the ones of health included, JSON-ready."""
        return {"traffic": self._traffic.snapshot(), "health": self._health.snapshot()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from `snapshot`: once, before anything is counted."""
        self._traffic.restore(snapshot.get("traffic", {}))
        self._health.restore(snapshot.get("health", {}))

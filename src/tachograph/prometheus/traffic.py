"""Stored calls -> counters and histograms of the traffic.

In: record batches of newly stored calls. Out: the state of every series; a snapshot that a later process restores, so
that no counter starts anew. Counting two batches equals counting their union, exemplars and folding included.
What it must never know: the store, a text format, HTTP.
Why a column at a time: a row at a time would cost more than storing the row.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tachograph.call import itl_bucket
from tachograph.prometheus.families import LABELS, Family, Label, families
from tachograph.prometheus.grouping import Groups, firsts, grouped, lasts, sums
from tachograph.prometheus.readings import READINGS, Values, counted_once, gaps, words
from tachograph.prometheus.series import Cell, Exemplar, Key, Series

SERIES_MAX = 2000  # per metric
_GAPS = "gaps"  # the one reading that is many values a row


@dataclass(frozen=True, slots=True)
class _Amount:
    """What one group adds to a series. row and part: where it first appeared, which decides who is kept."""

    row: int
    part: int
    key: Key
    total: int
    buckets: Mapping[int, int]
    observations: int
    folded: int


@dataclass(frozen=True, slots=True)
class Reading:
    """The state of one family at a moment."""

    family: Family
    cells: Sequence[tuple[Key, Cell]]
    folded: int


class Traffic:
    """Counts. Safe to share between threads."""

    def __init__(self, labels: Sequence[str] = LABELS, series_max: int = SERIES_MAX) -> None:
        self._lock = threading.Lock()
        self._series = [Series(family, series_max) for family in families(labels)]

    def observe(self, batch: pa.RecordBatch) -> None:
        """Count newly stored calls, given as a batch of `flow.batch.SCHEMA`; further sightings are left out."""
        batch = counted_once(batch)
        if not len(batch):
            return
        columns = _Columns(batch)
        with self._lock:
            for series in self._series:
                _observe(series, columns)

    def read(self) -> list[Reading]:
        """Every family as it is now."""
        with self._lock:
            return [
                Reading(series.family, [(key, cell.copied()) for key, cell in series.cells()], series.folded)
                for series in self._series
            ]

    def snapshot(self) -> dict[str, Any]:
        """Everything that was counted, JSON-ready."""
        with self._lock:
            return {series.family.name: series.snapshot() for series in self._series}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Add what `snapshot` had counted. Families that are not known any more are forgotten."""
        with self._lock:
            for series in self._series:
                if series.family.name in snapshot:
                    series.restore(snapshot[series.family.name])


class _Columns:
    """A batch whose columns, readings and groups are each made once."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch
        self._words: dict[str, tuple[Any, list[str]]] = {}
        self._groups: dict[tuple[Label, ...], Groups] = {}
        self._traced: Any = None

    def groups(self, labels: tuple[Label, ...]) -> Groups:
        """The rows by these labels."""
        if labels not in self._groups:
            self._groups[labels] = grouped(len(self._batch), [self._of(label.source) for label in labels])
        return self._groups[labels]

    def _of(self, source: str) -> tuple[Any, list[str]]:
        if source not in self._words:
            self._words[source] = words(self._batch, source)
        return self._words[source]

    def values(self, reading: str) -> Values:
        """The rows that have this reading."""
        return READINGS[reading](self._batch)

    def gaps(self, bounds: Sequence[int]) -> tuple[Any, Any, list[int], Values]:
        """(rows, their counts by bucket of `bounds`, their sums, the longest gap of each row that states it)."""
        found = gaps(self._batch)
        starts, ends = found.offsets[:-1], found.offsets[1:]
        edges = [0, *(itl_bucket(bound / 1000) for bound in bounds)]
        marks = [np.minimum(starts + edge, ends) for edge in edges] + [ends]
        counts = np.diff(found.running[np.stack(marks, axis=1)], axis=1)
        return found.rows, counts, found.sum_us, found.longest

    def exemplars(self, rows: Any) -> list[tuple[bytes, int]]:
        """(trace id, received at) of these rows."""
        taken = pa.array(rows)
        times = self._batch.column("received_at").take(taken).cast(pa.int64()).to_pylist()
        return list(zip(self._batch.column("trace_id").take(taken).to_pylist(), times, strict=True))

    def traced(self) -> Any:
        """Which rows have a trace id."""
        if self._traced is None:
            self._traced = self._batch.column("trace_id").is_valid().to_numpy(zero_copy_only=False)
        return self._traced


def _observe(series: Series, columns: _Columns) -> None:
    family, amounts = series.family, []
    shown: list[tuple[int, Key, int, int]] = []
    for number, part in enumerate(family.parts):
        groups = columns.groups(family.labels)
        groups = series.settled(groups.worded(part.word) if family.part_label else groups)
        if part.reading == _GAPS:
            found, values = _gaps(family, columns, groups)
            cells = _cells(family, values, groups)
        else:
            values = columns.values(part.reading)
            cells = _cells(family, values, groups)
            found = _amounts(family, number, values, groups, cells)
        amounts += found
        if family.bounds:
            shown += _shown(family, columns, values, groups, cells)
    for amount in sorted(amounts, key=lambda amount: (amount.row, amount.part)):
        series.add(amount.key, amount.total, amount.buckets, amount.observations, amount.folded)
    _show(series, columns, shown)


def _cells(family: Family, values: Values, groups: Groups) -> Any:
    """The bucket of each value, counted over all groups; nothing where there are no buckets."""
    if not family.bounds:
        return None
    return groups.of_row[values.rows] * (len(family.bounds) + 1) + np.searchsorted(family.bounds, values.values)


def _amounts(family: Family, number: int, values: Values, groups: Groups, cells: Any) -> list[_Amount]:
    """What each group adds by one part."""
    places, many = groups.of_row[values.rows], len(groups.keys)
    observations = np.bincount(places, minlength=many)
    present = np.flatnonzero(observations)
    first = firsts(places, values.rows, many)
    totals = sums(places, values.values, many)
    folded = groups.folded(values.rows)
    width = len(family.bounds) + 1
    buckets = {} if cells is None else _by_group(np.bincount(cells, minlength=many * width), width)
    return [
        _Amount(row, number, groups.keys[group], totals[group], buckets.get(group, {}), count, folded[group])
        for group, row, count in zip(
            present.tolist(), first[present].tolist(), observations[present].tolist(), strict=True
        )
    ]


def _by_group(counts: Any, width: int) -> dict[int, dict[int, int]]:
    found: dict[int, dict[int, int]] = {}
    filled = np.flatnonzero(counts)
    for cell, count in zip(filled.tolist(), counts[filled].tolist(), strict=True):
        found.setdefault(cell // width, {})[cell % width] = count
    return found


def _gaps(family: Family, columns: _Columns, groups: Groups) -> tuple[list[_Amount], Values]:
    """What each group adds by the gaps inside its streams, and the longest gaps."""
    rows, counts, sum_us, longest = columns.gaps(family.bounds)
    places, many, width = groups.of_row[rows], len(groups.keys), counts.shape[1]
    cells = (places[:, None] * width + np.arange(width)).ravel()
    buckets = _by_group(np.array(sums(cells, counts.ravel(), many * width), object), width)
    totals = sums(places, np.array(sum_us, object), many)
    first = firsts(places, rows, many)
    folded = groups.folded(rows, counts.sum(axis=1))
    found = [
        _Amount(int(first[group]), 0, groups.keys[group], totals[group], counted, sum(counted.values()), folded[group])
        for group, counted in buckets.items()
    ]
    return found, longest


def _shown(
    family: Family, columns: _Columns, values: Values, groups: Groups, cells: Any
) -> Iterator[tuple[int, Key, int, int]]:
    """(row, key, bucket, value) of the last call with a trace id in every bucket of every group."""
    traced = np.flatnonzero(columns.traced()[values.rows])
    width = len(family.bounds) + 1
    last = lasts(cells[traced], traced, len(groups.keys) * width)
    filled = np.flatnonzero(last >= 0)
    rows, amounts = values.rows[last[filled]].tolist(), values.values[last[filled]].tolist()
    for cell, row, amount in zip(filled.tolist(), rows, amounts, strict=True):
        yield row, groups.keys[cell // width], cell % width, amount


def _show(series: Series, columns: _Columns, shown: Sequence[tuple[int, Key, int, int]]) -> None:
    """Remember them in the order of their rows: two groups may have been folded into one series."""
    newest = sorted(shown)
    calls = columns.exemplars([row for row, *_ in newest]) if newest else []
    for (_, key, bucket, value), (trace_id, at_us) in zip(newest, calls, strict=True):
        series.show(key, bucket, Exemplar(trace_id.hex(), value, at_us))

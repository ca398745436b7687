"""A record batch -> whole numbers and label codes, a column at a time.

In: a batch of `flow.batch.SCHEMA`. Out: for every reading which rows have a value and which; for every label one code a
row and the words that the codes stand for. Null is no value, never 0.
What it must never know: a metric, a series.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tachograph.call import INPUT_PARTS, OUTPUT_PARTS
from tachograph.prometheus.families import TAG

LABEL_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class Values:
    """rows: indices, ascending. values: one whole number >= 0 for each."""

    rows: Any
    values: Any


@dataclass(frozen=True, slots=True)
class Gaps:
    """The gaps inside streams: how many there are by bucket of `itl_buckets`, their sum, the longest."""

    rows: Any
    offsets: Any  # where a row's counts start among all counts; one more than rows
    running: Any  # the sum of all counts before each place
    sum_us: list[int]
    longest: Values


def counted_once(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows that are not further sightings of a call that is counted elsewhere."""
    same_as = batch.column("same_as")
    return batch if same_as.null_count == len(batch) else batch.filter(pc.is_null(same_as))


def words(batch: pa.RecordBatch, source: str) -> tuple[Any, list[str]]:
    """(code of each row, the word of each code). Null is the empty word, which to Prometheus is no label."""
    column = _label_column(batch, source)
    if not pa.types.is_string(column.type):
        column = column.cast(pa.string())
    if column.null_count == len(column):
        return np.zeros(len(column), np.int64), [""]
    encoded = pc.fill_null(column, "").dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False), [
        word[:LABEL_CHARACTERS_MAX] for word in encoded.dictionary.to_pylist()
    ]


def _label_column(batch: pa.RecordBatch, source: str) -> Any:
    if source.startswith(TAG):
        return pc.map_lookup(batch.column("tags"), pa.scalar(source[len(TAG) :]), "first")
    column = batch.column(source)
    if source == "error_type":  # an error of which nobody said the kind is still one
        nameless = pc.and_(pc.equal(batch.column("outcome"), "error"), pc.is_null(column))
        return pc.if_else(nameless, "other", column) if pc.any(nameless).as_py() else column
    return column


def _known(column: Any) -> Any:
    if not column.null_count:
        return np.arange(len(column))
    return np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))


def _steps(column: Any) -> Any:
    """Decimals as whole numbers of their smallest step, 64 bits; what stands at nulls means nothing."""
    wide = np.frombuffer(column.buffers()[1], np.int64).reshape(-1, 2)
    return wide[column.offset : column.offset + len(column), 0]


def _decimal(batch: pa.RecordBatch, name: str) -> Values:
    column = batch.column(name)
    rows = _known(column)
    return Values(rows, _steps(column)[rows] if len(rows) else np.empty(0, np.int64))


def _count(batch: pa.RecordBatch, name: str) -> Values:
    column = batch.column(name)
    rows = _known(column)
    if not len(rows):
        return Values(rows, np.empty(0, np.int64))
    whole = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column)]
    return Values(rows, whole[rows])


def _cost(batch: pa.RecordBatch) -> Values:
    found = _decimal(batch, "cost_usd")
    owed = found.values >= 0
    return Values(found.rows[owed], found.values[owed])


def _credit(batch: pa.RecordBatch) -> Values:
    found = _decimal(batch, "cost_usd")
    given = found.values < 0
    return Values(found.rows[given], -found.values[given])


def _calls(batch: pa.RecordBatch) -> Values:
    return Values(np.arange(len(batch)), np.ones(len(batch), np.int64))


def _where(batch: pa.RecordBatch, name: str, word: str) -> Values:
    rows = np.flatnonzero(pc.equal(batch.column(name), word).to_numpy(zero_copy_only=False))
    return Values(rows, np.ones(len(rows), np.int64))


READINGS: Mapping[str, Callable[[pa.RecordBatch], Values]] = {
    "duration": partial(_decimal, name="duration_ms"),
    "ttft": partial(_decimal, name="ttft_ms"),
    "cost": _cost,
    "credit": _credit,
    "calls": _calls,
    "errors": partial(_where, name="outcome", word="error"),
    "unpriced": partial(_where, name="price_status", word="unpriced_model"),
    **{name: partial(_count, name=name) for name in ("input_tokens", "output_tokens", *INPUT_PARTS, *OUTPUT_PARTS)},
}


def gaps(batch: pa.RecordBatch) -> Gaps:
    """The gaps of the streams of which both the buckets and the mean are known: without a mean there is no sum."""
    complete = pc.and_(batch.column("itl_buckets").is_valid(), batch.column("itl_mean_ms").is_valid())
    rows = np.flatnonzero(complete.to_numpy(zero_copy_only=False))
    lists = batch.column("itl_buckets").take(pa.array(rows))
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
    counts = pc.list_flatten(lists).to_numpy(zero_copy_only=False)
    if len(counts) and int(counts.max()) > 2**62 // len(counts):
        counts = counts.astype(object)  # sums beyond 64 bits stay exact
    means = _steps(batch.column("itl_mean_ms"))[rows] if len(rows) else np.empty(0, np.int64)
    running = np.concatenate((np.zeros(1, counts.dtype), np.cumsum(counts)))
    totals = running[offsets[1:]] - running[offsets[:-1]]
    longest = _decimal(batch, "itl_max_ms")
    kept = np.isin(longest.rows, rows[totals > 0])
    return Gaps(
        rows,
        offsets,
        running,
        [int(mean) * int(total) for mean, total in zip(means.tolist(), totals.tolist(), strict=True)],
        Values(longest.rows[kept], longest.values[kept]),
    )

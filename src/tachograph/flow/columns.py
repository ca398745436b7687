"""Calls by the column -> one Arrow record batch, where no Call was ever an object.

In: numpy and Arrow columns under the names of fields. Out: a record batch of `flow.batch.SCHEMA`.
What it must never know: where columns come from, what a field means.

A column is, by Kind: ids, bytes as a matrix with the rows that have one; counts, milliseconds and numbers, floats
with nan for unknown; times, whole microseconds since 1970; money, whole steps of 10^-10 with the rows that have one;
words, an Arrow array of text with nulls; flags, bools; sets of words, an Arrow array of lists (`words_of`); maps, the
rows that have one.
A field without a column takes its default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tachograph.call import COLUMNS, Call, Column, Kind
from tachograph.flow.batch import MS_MAX, SCHEMA, TYPES, decimals

_DEFAULTS = {field.name: getattr(Call(), field.name) for field in dataclasses.fields(Call)}
_WORDS = (Kind.WORD, Kind.TEXT, Kind.JSON)


def from_columns(columns: Mapping[str, Any], rows: int) -> pa.RecordBatch:
    """The record batch of `rows` calls."""
    arrays = [
        _default(column, rows)
        if column.name not in columns
        else _maps(columns[column.name], rows)
        if column.kind is Kind.MAP
        else _array(column, columns[column.name])
        for column in COLUMNS
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _default(column: Column, rows: int) -> pa.Array:
    value = _DEFAULTS[column.name]
    kind = TYPES[column.kind]
    if value is None:
        return pa.nulls(rows, kind)
    if column.kind in (Kind.MAP, Kind.WORDS):
        return _lists([], [], rows, kind)
    return pa.repeat(pa.scalar(value, kind), rows)


def _array(column: Column, value: Any) -> pa.Array:
    kind = column.kind
    if kind in _WORDS:
        return pc.coalesce(value, pa.scalar(_DEFAULTS[column.name], pa.string())) if column.required else value
    if kind in (Kind.ID16, Kind.ID8):
        return _ids(kind, *value)
    if kind in (Kind.COUNT, Kind.SMALL, Kind.MS):
        return _numbers(kind, value)
    if kind is Kind.MONEY:
        return decimals(TYPES[kind], *value)
    if kind is Kind.NUMBER:
        return pa.array(value, TYPES[kind], mask=np.isnan(value))
    if kind is Kind.TIME:
        return pa.array(value, pa.int64()).cast(TYPES[kind])
    return value if isinstance(value, pa.Array) else pa.array(value, TYPES[kind])


def _numbers(kind: Kind, value: Any) -> pa.Array:
    known = ~np.isnan(value)
    if kind is Kind.MS:
        known &= value < MS_MAX
    if not known.any():
        return pa.nulls(len(value), TYPES[kind])
    value = np.where(known, value, 0)
    if kind is Kind.MS:
        return decimals(TYPES[kind], np.rint(value * 1000).astype(np.int64), known)
    return pa.array(value.astype(np.int64), mask=~known).cast(TYPES[kind])


def _maps(value: Mapping[int, Mapping[str, str]], rows: int) -> pa.Array:
    """One map a row, most of them empty."""
    filled = {row: list(items.items()) for row, items in value.items() if items}
    return _lists(sorted(filled), [filled[row] for row in sorted(filled)], rows, TYPES[Kind.MAP])


def _lists(rows_filled: Sequence[int], lists: Sequence[Any], rows: int, kind: pa.DataType) -> pa.Array:
    """A column of lists (or maps) of which few are not empty: its offsets and its values, without the empty ones."""
    lengths = np.zeros(rows, np.int32)
    lengths[list(rows_filled)] = [len(items) for items in lists]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    packed = pa.array(lists, kind)
    if pa.types.is_map(kind):
        return pa.MapArray.from_arrays(offsets, packed.keys, packed.items).cast(kind)
    return pa.ListArray.from_arrays(offsets, packed.flatten()).cast(kind)


def words_of(flags: Mapping[str, Any], rows: int) -> pa.Array:
    """A column of sets of words, from one column of bools for each word."""
    words = sorted(flags)
    holding = [np.flatnonzero(np.broadcast_to(flags[word], rows)) for word in words]
    row_of = np.concatenate([np.zeros(0, np.int64), *holding])
    word_of = np.repeat(np.arange(len(words)), [len(held) for held in holding])[np.argsort(row_of, kind="stable")]
    ends = np.cumsum(np.bincount(row_of, minlength=rows))
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
    packed = pa.array(words, pa.string()).take(pa.array(word_of))
    return pa.ListArray.from_arrays(offsets, packed).cast(TYPES[Kind.WORDS])


def _ids(kind: Kind, matrix: Any, known: Any) -> pa.Array:
    buffers = [pa.py_buffer(np.packbits(known, bitorder="little")), pa.py_buffer(np.ascontiguousarray(matrix))]
    return pa.Array.from_buffers(TYPES[kind], len(matrix), buffers)

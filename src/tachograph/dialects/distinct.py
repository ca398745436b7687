"""Columns of which many rows are equal: what follows from a value is worked out once, and not for every row.

In: Arrow columns of text, numpy columns. Out: `Coded`: the values, and which of them stands in each row.
What it must never know: what a column means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_TABLE_MAX = 1 << 16  # combinations of codes up to which a table is quicker than hashing


@dataclass(frozen=True, slots=True)
class Coded:
    """codes: the place of each row's value in `values`, where None is a value like any other."""

    codes: Any
    values: list[Any]

    def part(self, place: int) -> Coded:
        """Of rows of values one column."""
        return Coded(self.codes, [row[place] for row in self.values])

    def once(self) -> Coded:
        """The same, with every value once: for columns that further questions are asked about."""
        numbers: dict[Any, int] = {}
        number = np.array([numbers.setdefault(value, len(numbers)) for value in self.values], np.int64)
        return Coded(number[self.codes], list(numbers))

    def where(self, rows: Any) -> Coded:
        """The same in the rows of a mask, None in the others."""
        return Coded(np.where(rows, self.codes, len(self.values)), [*self.values, None])

    def text(self) -> Any:
        """As a column of text."""
        if len(set(self.values)) == 1:
            return pa.repeat(pa.scalar(self.values[0], pa.string()), len(self.codes))
        return pa.array(self.values, pa.string()).take(pa.array(self.codes))

    def holds(self) -> Any:
        """As a column of bools: in which rows the value is one that holds."""
        return np.array([bool(value) for value in self.values], bool)[self.codes]


def cut(column: Any, chars: int) -> Any:
    """Words are words, not texts."""
    if isinstance(column, Coded):
        return Coded(column.codes, [value and value[:chars] for value in column.values])
    if isinstance(column, pa.StringArray) and (pc.max(pc.binary_length(column)).as_py() or 0) >= chars:
        return pc.utf8_slice_codeunits(column, 0, chars)
    return column


def coded(column: Any) -> Coded:
    """The column by its distinct values: to be made once where several questions are asked about it."""
    if isinstance(column, Coded):
        return column
    if isinstance(column, np.ndarray):
        return _coded_numbers(column)
    if column.null_count == len(column):
        return Coded(np.zeros(len(column), np.int64), [None])
    return _hashed(column)


def _coded_numbers(column: Any) -> Coded:
    if len(column) and column.dtype.kind in "biu":
        least = int(column.min())
        many = int(column.max()) - least + 1
        if many <= _TABLE_MAX:
            codes, there = _renumbered(column.astype(np.int64) - least, many)
            return Coded(codes, (there + least).astype(column.dtype).tolist())
    return _hashed(pa.array(column))


def _hashed(column: Any) -> Coded:
    encoded = column.dictionary_encode(null_encoding="encode")
    return Coded(np.asarray(encoded.indices), encoded.dictionary.to_pylist())


def by_distinct(columns: Sequence[Any], answer: Callable[..., Any]) -> Coded:
    """The answers: `answer` is asked once for each distinct row of values."""
    first, *others = map(coded, columns)
    codes, rows = first.codes, [(value,) for value in first.values]
    for column in others:
        size = len(column.values)
        if size == 1:
            rows = [(*row, *column.values) for row in rows]
            continue
        codes, there = _renumbered(codes.astype(np.int64) * size + column.codes, len(rows) * size)
        rows = [(*rows[place // size], column.values[place % size]) for place in there.tolist()]
    return Coded(codes, [answer(*row) for row in rows])


def _renumbered(codes: Any, many: int) -> tuple[Any, Any]:
    """(codes without holes, what they were)."""
    if many > _TABLE_MAX:
        encoded = pa.array(codes).dictionary_encode()
        return np.asarray(encoded.indices), np.asarray(encoded.dictionary)
    number = np.zeros(many, np.int64)
    number[codes] = 1
    there = np.flatnonzero(number)
    number[there] = np.arange(len(there))
    return number[codes], there

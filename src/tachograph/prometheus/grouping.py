"""Rows with equal labels are one group; sums, counts and buckets of every group at once.

In: label codes and values, a column at a time. Out: per group, whole numbers as Python integers, so that nothing
overflows and nothing is rounded.
What it must never know: a metric, a call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_TABLE_MAX = 1 << 16  # combinations of codes up to which a table is quicker than sorting
_CODES_MAX = 1 << 40  # beyond it, codes are renumbered before the next label multiplies them
_EXACT_MAX = float(2**52)  # sums of whole numbers below it are exact in a double


@dataclass(frozen=True, slots=True)
class Groups:
    """of_row: the group of each row. keys: the words of each group. strange: the rows that were folded, or None."""

    of_row: Any
    keys: list[tuple[str, ...]]
    strange: Any = None

    def worded(self, word: str) -> Groups:
        """The same groups with one more word in every key."""
        return Groups(self.of_row, [(*key, word) for key in self.keys])

    def placed(self, place: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Groups:
        """The groups that are left when `place` says under which key each is counted."""
        numbers: dict[tuple[str, ...], int] = {}
        places = [place(key) for key in self.keys]
        number = np.array([numbers.setdefault(key, len(numbers)) for key in places], np.int64)
        strange = np.array([key != old for key, old in zip(places, self.keys, strict=True)], bool)
        return Groups(number[self.of_row], list(numbers), strange[self.of_row])

    def folded(self, rows: Any, amounts: Any = None) -> list[int]:
        """How much of `amounts` at `rows` was folded into each group; how many rows, where none are told."""
        if self.strange is None:
            return [0] * len(self.keys)
        there = self.strange[rows]
        counted = np.ones(len(rows), np.int64) if amounts is None else amounts
        return sums(self.of_row[rows[there]], counted[there], len(self.keys))


def grouped(rows: int, columns: Sequence[tuple[Any, list[str]]]) -> Groups:
    """Rows by the words of `columns` (codes, words)."""
    codes, many = np.zeros(rows, np.int64), 1
    for column, words in columns:
        if many > _CODES_MAX:
            codes = np.unique(codes, return_inverse=True)[1]
            many = rows
        codes = codes * len(words) + column
        many *= len(words)
    of_row, examples = _renumbered(codes, many)
    picked = [[words[code] for code in column[examples].tolist()] for column, words in columns]
    return Groups(of_row, list(zip(*picked, strict=True)) if picked else [()] * len(examples))


def _renumbered(codes: Any, many: int) -> tuple[Any, Any]:
    """(codes without holes, one row of each)."""
    if many > _TABLE_MAX:
        _, examples, of_row = np.unique(codes, return_index=True, return_inverse=True)
        return of_row, examples
    example = np.full(many, -1, np.int64)
    example[codes] = np.arange(len(codes))
    present = np.flatnonzero(example >= 0)
    number = np.empty(many, np.int64)
    number[present] = np.arange(len(present))
    return number[codes], example[present]


def sums(places: Any, values: Any, many: int) -> list[int]:
    """The sum of the values (>= 0) at each of `many` places."""
    if values.dtype != object and float(values.sum(dtype=np.float64)) < _EXACT_MAX:
        whole: list[int] = np.bincount(places, values, many).astype(np.int64).tolist()
        return whole
    exact = [0] * many
    for place, value in zip(places.tolist(), values.tolist(), strict=True):
        exact[place] += value
    return exact


def firsts(places: Any, rows: Any, many: int) -> Any:
    """The first of the ascending `rows` at each place; what stands where there is none means nothing."""
    return lasts(places[::-1], rows[::-1], many)


def lasts(places: Any, rows: Any, many: int) -> Any:
    """The last of `rows` at each place; -1 where there is none."""
    found = np.full(many, -1, np.int64)
    found[places] = rows
    return found

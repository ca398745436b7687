"""The series of one metric: how many there may be, what was counted in each, how they are kept over a restart.

In: amounts by label values. Out: cells. The first `series_max` label sets are kept; whatever comes later is counted
under `other`, where only labels with a closed list of values keep theirs. So a metric has at most `series_max` series
and the few of `other`, whatever is sent.
What it must never know: a batch, a text format, a lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tachograph.prometheus.families import CLOSED, Family
from tachograph.prometheus.grouping import Groups

OTHER = "other"

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One call that fell in a bucket. value: in steps. at_us: when it was received, in microseconds since 1970."""

    trace_id: str
    value: int
    at_us: int


@dataclass(slots=True)
class Cell:
    """What was counted. total: in steps. buckets: how many fell in each, not cumulated; empty for a counter."""

    total: int
    buckets: list[int]
    exemplars: dict[int, Exemplar] = field(default_factory=dict)

    def copied(self) -> Cell:
        """A cell of its own."""
        return Cell(self.total, self.buckets.copy(), self.exemplars.copy())


class Series:
    """The series of one family."""

    def __init__(self, family: Family, series_max: int) -> None:
        self.family = family
        self.folded = 0  # observations that were counted under `other` for want of room
        self._max = series_max
        self._cells: dict[Key, Cell] = {}
        names = family.label_names
        self._closed = [(index, CLOSED[name]) for index, name in enumerate(names) if name in CLOSED]
        self._width = len(family.bounds) + 1 if family.bounds else 0

    def settled(self, groups: Groups) -> Groups:
        """The groups as they are counted once there is no room: junk is put together before it costs anything."""
        return groups if len(self._cells) < self._max else groups.placed(self.place)

    def add(self, key: Key, total: int, buckets: Mapping[int, int], observations: int, folded: int) -> None:
        """Count. observations: how many this is, of which `folded` had no room before."""
        place = self.place(key)
        self.folded += observations if place != key else folded
        self._count(place, total, buckets)

    def show(self, key: Key, bucket: int, exemplar: Exemplar) -> None:
        """Remember the newest exemplar of a bucket of a key that was counted."""
        self._cells[self.place(key)].exemplars[bucket] = exemplar

    def place(self, key: Key) -> Key:
        """Under which key to count `key`."""
        if key in self._cells or len(self._cells) < self._max:
            return key
        folded = [OTHER] * len(key)
        for index, known in self._closed:
            if not key[index] or key[index] in known:
                folded[index] = key[index]
        return tuple(folded)

    def cells(self) -> Iterator[tuple[Key, Cell]]:
        """Every series in the order in which it appeared."""
        return iter(self._cells.items())

    def __len__(self) -> int:
        return len(self._cells)

    def snapshot(self) -> dict[str, Any]:
        """JSON-ready and compact."""
        rows: list[list[Any]] = []
        for key, cell in self._cells.items():
            row: list[Any] = [list(key), cell.total]
            if self._width:
                exemplars = {str(b): [e.trace_id, e.value, e.at_us] for b, e in cell.exemplars.items()}
                row += [cell.buckets.copy(), exemplars]
            rows.append(row)
        return {
            "labels": list(self.family.label_names),
            "bounds": list(self.family.bounds),
            "folded": self.folded,
            "series": rows,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Add what `snapshot` had counted.

        Labels that are no longer wanted are summed away, new ones are empty for what was counted before them; counts in
        buckets of other bounds cannot be told apart and are forgotten.
        """
        if snapshot["bounds"] != list(self.family.bounds):
            return
        then = {name: place for place, name in enumerate(snapshot["labels"])}
        places = [then.get(name) for name in self.family.label_names]
        self.folded += snapshot["folded"]
        for words, total, *rest in snapshot["series"]:
            key = self.place(tuple("" if place is None else words[place] for place in places))
            self._restore(key, total, *rest)

    def _restore(
        self, key: Key, total: int, buckets: Sequence[int] = (), exemplars: Mapping[str, Sequence[Any]] | None = None
    ) -> None:
        self._count(key, total, dict(enumerate(buckets)))
        for bucket, (trace_id, value, at_us) in (exemplars or {}).items():
            self._cells[key].exemplars[int(bucket)] = Exemplar(trace_id, value, at_us)

    def _count(self, place: Key, total: int, buckets: Mapping[int, int]) -> None:
        cell = self._cells.get(place)
        if cell is None:
            cell = self._cells[place] = Cell(0, [0] * self._width)
        cell.total += total
        for bucket, count in buckets.items():
            cell.buckets[bucket] += count

"""Spans and their attributes -> facts, a column at a time.

In: what `requests` read. Out: `Facts`: for every fact a column over the rows, and what the span itself says. Picking a
fact is a scatter of the numbers of all attributes into one table of places; only what is picked is decoded.
What it must never know: what follows from a fact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tachograph.dialects.distinct import Coded
from tachograph.dialects.facts import Dialect
from tachograph.dialects.numbering import UNMARKED, Numbering
from tachograph.dialects.protobuf import Slices
from tachograph.dialects.requests import Read
from tachograph.dialects.values import DOUBLE, INT, STRING, Values, as_text, decoded

Floats = Any  # numpy float64, nan where unknown
Words = Any  # pyarrow string array, null where unknown


class Facts:
    """Rows of spans with their facts. `dialect` holds the index of each row's vocabulary, `marked` that of the first
    one of which a marker is there, `attributes` how many there are. Damaged where a value is no message.
    """

    def __init__(self, read: Read, numbers: Numbering, dialects: Sequence[Dialect]) -> None:
        attributes = read.attributes
        self.columns, self._shared = dict(read.columns), read.shared
        self.attributes = attributes.counts
        self.rows = len(attributes.counts)
        self._numbers, self._dialects = numbers, dialects
        self._picked: dict[str, Any] = {}
        self._known: dict[str, Any] = {}
        indices, self._owners = attributes.indices, attributes.owners
        self._tags, self._tag_names = attributes.tags, attributes.tag_names
        flat = numbers.by_index(numbers.keys, 0)[indices]
        wanted = flat > 0
        wanted[self._tags] = True
        messages = attributes.values
        self._values = Values(
            Slices(messages.octets, messages.starts, np.where(wanted, messages.lengths, 0)),
            np.flatnonzero(numbers.by_index(dict.fromkeys(numbers.answers, 1), 0)[indices]).tolist(),
        )
        self._floats = self._values.numbers((flat > 0) & (flat < numbers.words_from))
        self.marked = self._first_marked(indices, self._owners)
        self.columns["usage_raw"] = self._usage_raw(flat, indices, self._owners)
        # Only of the numbers that are there: a table of all of them would be large, and most of it empty.
        there = np.flatnonzero(np.bincount(flat, minlength=1))
        self._line = {int(number): line for line, number in enumerate(there)}
        first = np.zeros(int(there.max(initial=0)) + 1, np.int64)
        first[there] = np.arange(len(there)) * self.rows
        self._places = np.zeros((len(there), self.rows), np.int32)
        # Backwards, so that of a name that is there twice the first one stays.
        self._places.ravel()[(first[flat] + self._owners)[::-1]] = np.arange(len(flat), 0, -1, dtype=np.int32)
        self.dialect = np.zeros(self.rows, np.int64)

    def _first_marked(self, indices: Any, owner: Any) -> Any:
        """The first vocabulary of the list one of whose markers is there."""
        marks = self._numbers.by_index(self._numbers.markers, UNMARKED)[indices]
        there = np.flatnonzero(marks != UNMARKED)
        found = np.full(self.rows, UNMARKED)
        np.minimum.at(found, owner[there], marks[there])
        return found

    def _usage_raw(self, flat: Any, indices: Any, owner: Any) -> Any:
        """The members of a JSON object: every token count that was there, under its own name and as it came."""
        places = np.flatnonzero((flat > 0) & (flat <= self._numbers.token_counts))
        places = places[np.isin(self._values.kinds[places], (INT, DOUBLE, STRING))]
        names = pa.array(self._numbers.names).take(pa.array(indices[places] - 1))
        members = self._values.members(places, names)
        ends = np.cumsum(np.bincount(owner[places], minlength=self.rows))
        offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
        return pc.binary_join(pa.ListArray.from_arrays(offsets, members), ",")

    def only(self, mask: Any) -> None:
        """Keep the rows of the mask."""
        if mask.all():
            return
        rows = np.flatnonzero(mask)
        self.columns = {name: column.take(_as_rows(column, rows)) for name, column in self.columns.items()}
        self._shared = {name: (texts, codes[rows]) for name, (texts, codes) in self._shared.items()}
        self._places = self._places[:, mask]
        self.dialect = self.dialect[mask]
        self.rows = len(rows)
        self._picked, self._known = {}, {}

    def number(self, fact: str) -> Floats:
        """The fact as floats; nan where it is not there."""
        found = np.full(self.rows, np.nan)
        places = self._pick(fact)
        there = places > 0
        found[there] = self._floats[places[there] - 1]
        return found

    def word(self, fact: str) -> Words:
        """The fact as text; null where it is not there or empty."""
        text = self.text(fact)
        return text if text.null_count == len(text) else _said(text)

    def text(self, fact: str) -> Words:
        """The fact as text, as it stands; null where it is not there."""
        places = self._pick(fact)
        there = places > 0
        return self._values.texts(places - 1, there) if there.any() else pa.nulls(self.rows, pa.string())

    def there(self, fact: str) -> Any:
        """The rows that carry the fact, by index."""
        return np.flatnonzero(self._pick(fact))

    def said(self, column: str) -> Words:
        """A text that the span, its scope or its resource says itself; null where it is empty."""
        if column not in self._known:
            if column in self._shared:
                texts, codes = self._shared[column]
                self._known[column] = known(texts).take(pa.array(codes))
            else:
                self._known[column] = known(self.columns[column])
        return self._known[column]

    def shared(self, column: str) -> Coded:
        """The same of a scope or a resource, by its distinct values."""
        texts, codes = self._shared[column]
        return Coded(codes, known(texts).to_pylist()).once()

    def _pick(self, fact: str) -> Any:
        if fact not in self._picked:
            found = self._among(self._numbers.places[fact])
            for index, dialect in enumerate(self._dialects):
                own = self._numbers.own_places.get((dialect.name, fact))
                if own is not None and (rows := self.dialect == index).any():
                    found = np.where(rows, self._among(own), found)
            self._picked[fact] = found
        return self._picked[fact]

    def _among(self, numbers: Sequence[int]) -> Any:
        found: Any = None
        for number in numbers:
            if number in self._line:
                places = self._places[self._line[number]]
                found = places if found is None else np.where(found == 0, places, found)
        return np.zeros(self.rows, np.int32) if found is None else found

    def tagged(self) -> dict[int, list[tuple[str, str]]]:
        """By row attribute names and values of its tags, whole names. Only before `only`."""
        found: dict[int, list[tuple[str, str]]] = {}
        names = self._tag_names.all().to_pylist()
        texts = self._values.texts(self._tags, np.ones(len(self._tags), bool)).to_pylist()
        for row, name, text in zip(self._owners[self._tags].tolist(), names, texts, strict=True):
            found.setdefault(row, []).append((decoded(name), text))
        return found


_NOTHING = pa.array(["", "none"])  # Micrometer says `none` where there is nothing to say


def _as_rows(column: Any, rows: Any) -> Any:
    return rows if isinstance(column, np.ndarray) else pa.array(rows)


def known(array: Any) -> Words:
    """Bytes as text, null where empty or `none`; bytes that are no text are read as far as they are."""
    return _said(as_text(array))


def _said(words: Words) -> Words:
    return pc.if_else(pc.is_in(words, _NOTHING), pa.scalar(None, pa.string()), words)


def fixed(array: Any, width: int) -> tuple[Any, Any]:
    """(bytes as a matrix, which rows are of that width and not all zero)."""
    right = np.asarray(pc.binary_length(array)) == width
    every = bool(right.all())
    chosen = array if every else array.filter(pa.array(right))
    _, ends, octets = chosen.buffers()
    found = np.zeros((len(array), width), np.uint8)
    if len(chosen):
        start = int(np.frombuffer(ends, np.int32)[chosen.offset])
        flat = np.frombuffer(octets, np.uint8)[start : start + len(chosen) * width]
        found[slice(None) if every else right] = flat.reshape(-1, width)
    words = found.view(np.uint64)
    return found, np.any([words[:, place] != 0 for place in range(width // 8)], axis=0)

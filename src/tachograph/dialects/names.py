"""Which of a list of names stands at a place, for many places at a time.

In: names, and beginnings of names. Out: indices.
What it must never know: what a name means.

A name is a number, made of all of its bytes, eight at a time; a table without collisions says which one it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tachograph.dialects.protobuf import Octets

_WORD = 8
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(_WORD + 1)], np.uint64)  # so many bytes of a word
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd: words that differ stay different
_SLOTS_PER_NAME = 64
_TRIES = 10_000


class Names:
    """Indices count from 1. What is none of the names and begins as one of a group of beginnings, each of which takes
    eight bytes at least, has an index of that group, behind those of the names.
    """

    def __init__(self, names: Sequence[bytes], *groups: Sequence[bytes]) -> None:
        octets = Octets(names)
        self._hashes = _hashes(octets, octets.starts, octets.lengths, len(octets.raw))
        self._longest = max(map(len, names), default=0)
        bits = max(4, (len(names) * _SLOTS_PER_NAME).bit_length())
        self._shift = np.uint64(64 - bits)
        self._factor, slots = self._spread()
        self._index, self._hash = np.zeros(1 << bits, np.int64), np.zeros(1 << bits, np.uint64)
        self._index[slots], self._hash[slots] = np.arange(1, len(names) + 1), self._hashes
        self._beginnings = [
            (group, len(text), _words(text)) for group, texts in enumerate(groups, len(names) + 1) for text in texts
        ]

    def _spread(self) -> tuple[Any, Any]:
        """A factor that gives each name a slot of its own, and the slots."""
        for odd in range(1, 2 * _TRIES, 2):
            factor = np.uint64(int(_FACTOR) * odd % (1 << 64))
            slots = (self._hashes * factor >> self._shift).astype(np.int64)
            if len(np.unique(slots)) == len(slots):
                return factor, slots
        raise ValueError("two names are equal, or a table of names is too small")

    def indices(self, octets: Octets, starts: Any, lengths: Any) -> Any:
        """Of the name at each place; 0 where it is none of ours."""
        hashes = _hashes(octets, starts, lengths, self._longest)
        slots = (hashes * self._factor >> self._shift).astype(np.int64)
        ours = (self._hash.take(slots) == hashes) & (lengths <= self._longest)
        found = np.where(ours, self._index.take(slots), 0)
        if self._beginnings:
            unknown = np.flatnonzero(found == 0)
            found[unknown] = self._begin(octets, starts.take(unknown), lengths.take(unknown))
        return found

    def _begin(self, octets: Octets, starts: Any, lengths: Any) -> Any:
        """Of what is no name the group, 0 where it begins as none."""
        first = octets.words(starts)
        found = np.zeros(len(starts), np.int64)
        for group, length, words in self._beginnings:
            rows = np.flatnonzero(first == words[0][0])
            rows = rows[lengths[rows] >= length]
            for place, (word, mask) in enumerate(words[1:], 1):
                rows = rows[octets.words(starts[rows] + _WORD * place) & mask == word]
            found[rows] = group
        return found


def _words(text: bytes) -> list[tuple[Any, Any]]:
    """A text as words, each beside the mask of its bytes."""
    pieces = [text[place : place + _WORD] for place in range(0, len(text), _WORD)]
    return [(np.uint64(int.from_bytes(piece, "little")), _MASKS[len(piece)]) for piece in pieces]


def _hashes(octets: Octets, starts: Any, lengths: Any, longest: int) -> Any:
    """A number for each text; of one longer than `longest` any."""
    found = lengths.astype(np.uint64) * _FACTOR
    found = (found ^ (octets.words(starts) & _MASKS.take(lengths, mode="clip"))) * _FACTOR
    rows = np.flatnonzero(lengths > _WORD)
    for place in range(_WORD, longest, _WORD):
        if not len(rows):
            break
        left = lengths.take(rows) - place
        words = octets.words(starts.take(rows) + place) & _MASKS.take(left, mode="clip")
        found[rows] = (found.take(rows) ^ words) * _FACTOR
        rows = rows[left > _WORD]
    return found

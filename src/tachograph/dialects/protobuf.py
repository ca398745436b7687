"""Bytes of many protobuf messages -> where each of their fields stands.

In: the bytes, and where messages of one kind begin and end. Out: `Fields`: for every field that is wanted, places and
lengths; and which messages are not written as encoders write them.
What it must never know: what a message is about.

Messages of a kind are walked together, a field of each at a step, so that a step is a handful of operations on columns:
a tenth of what it costs Python to read a field. Where few are left (one long list, one large message), Python's own way
is the quicker one. Source: the encoding of protobuf, https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

_PAD = bytes(16)  # so that whoever reads behind a message that breaks off reads zeros
_FEW, _STEPS_MAX = 48, 256  # fewer messages, or longer ones, are walked one by one
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_WIDTHS = np.array([0, 8, 0, -1, -1, 4, -1, -1])  # behind the tag, by the way a field is written
LONG = 0x80  # a byte from there on is followed by another one of the same number
_SHORT = np.isin(np.arange(256), np.arange(8, LONG)) & (np.arange(256) & 7 == _DELIMITED)  # such tags of one byte
_VARINT_BYTES_MAX = 10
_LENGTH_BYTES_MAX = 5  # of what an encoder writes
_NUMBER_MAX = (1 << 63) - 1
_NEVER = 1 << 61  # a place behind every message


class Octets:
    """Bytes of many messages, one behind the other; `starts` and `lengths` say where each of the `pieces` is."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.raw = b"".join([*pieces, _PAD])
        self.data: Any = np.frombuffer(self.raw, np.uint8)
        self.lengths: Any = np.fromiter(map(len, pieces), np.int64, len(pieces))
        self.starts: Any = np.cumsum(self.lengths) - self.lengths
        self._words: Any = np.ndarray((len(self.raw) - 7,), "<u8", self.raw, 0, (1,))

    def words(self, at: Any) -> Any:
        """The eight bytes at each place, as a number."""
        return self._words[at]


class Slices:
    """Pieces of the bytes, in their order."""

    def __init__(self, octets: Octets, starts: Any, lengths: Any) -> None:
        self.octets, self.starts, self.lengths = octets, starts, lengths
        self._array: Any = None

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: Any) -> pa.BinaryArray:
        """The bytes of some of them; none of what is not there."""
        if self._array is None:
            # Nothing is copied: between two pieces stands, as a piece of its own, what lies between them.
            offsets = np.empty(2 * len(self.starts) + 1, np.int32)
            offsets[:-1:2] = self.starts
            offsets[1::2] = self.starts + self.lengths
            offsets[-1] = len(self.octets.raw)
            absent = self.lengths == 0
            if absent.any():
                offsets[:-1:2][absent] = offsets[1::2][absent] = 0
                np.maximum.accumulate(offsets, out=offsets)
            buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self.octets.raw)]
            self._array = pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers, null_count=0)
        return self._array.take(pa.array(2 * rows))

    def all(self) -> pa.BinaryArray:
        """The bytes of each."""
        return self.take(np.arange(len(self)))


@dataclass(slots=True)
class Fields:
    """one: tag -> (places, lengths) by message, a place of 0 where it is not there; of a number that is written with
    as many bytes as it needs, the number in place of the length. many: tag -> (how many of each message, places,
    lengths), in their order. odd: which messages are damaged, or written so that a field is not told by its place, or
    hold what is wanted in a way in which it is not written.
    """

    one: dict[int, tuple[Any, Any]]
    many: dict[int, tuple[Any, Any, Any]]
    odd: Any


def walk(
    octets: Octets, starts: Any, lengths: Any, one: Sequence[int], many: Mapping[int, int], messages: Sequence[int] = ()
) -> Fields:
    """The fields of all messages. one: tags of which the last counts. many: tags of lists -> how many of it are taken
    of one message. messages: those of `one` that are messages themselves: one that is there twice is to be merged.
    """
    walked = _Walk(octets, starts, lengths, one, many, messages)
    walked.together()
    walked.singly()
    return Fields(walked.one, {tag: walked.listed(tag) for tag in many}, walked.odd)


class _Walk:
    def __init__(
        self,
        octets: Octets,
        starts: Any,
        lengths: Any,
        one: Sequence[int],
        many: Mapping[int, int],
        messages: Sequence[int],
    ) -> None:
        self._size = len(starts)
        self._octets, self._limits, self._messages = octets, many, frozenset(messages)
        self.one = {tag: (np.zeros(self._size, np.int64), np.zeros(self._size, np.int64)) for tag in one}
        # Of lists, by step a column of places and one of lengths; beside them what was found message by message.
        self._columns: dict[int, list[tuple[Any, Any]]] = {tag: [] for tag in many}
        self._singly: dict[int, tuple[list[int], list[int], list[int]]] = {tag: ([], [], []) for tag in many}
        self._numbers = frozenset(tag >> 3 for tag in (*one, *many))
        # By tag, as far as it takes one byte: a field that is wanted, written as another kind.
        self._mistaken = np.array([tag >> 3 in self._numbers and tag not in (*one, *many) for tag in range(256)])
        self.odd = np.zeros(self._size, bool)
        self._rows = np.flatnonzero(lengths > 0)
        self._at, self._ends = starts[self._rows], (starts + lengths)[self._rows]

    def together(self) -> None:
        """A field of each message at a time, while they are many."""
        rows, at, ends = self._rows, self._at, self._ends
        for _ in range(_STEPS_MAX):
            if len(rows) < _FEW:
                break
            tags, starts, lengths, behind = self._step(at)
            right = behind <= ends
            if not right.all():
                self.odd[rows[~right]] = True
                kept = np.flatnonzero(right)
                rows, tags, starts, lengths, behind, ends = (
                    column.take(kept) for column in (rows, tags, starts, lengths, behind, ends)
                )
            self._note(rows, tags, starts, lengths)
            left = behind < ends
            at = behind
            if not left.all():
                kept = np.flatnonzero(left)
                rows, at, ends = rows.take(kept), at.take(kept), ends.take(kept)
        self._rows, self._at, self._ends = rows, at, ends

    def _step(self, at: Any) -> tuple[Any, Any, Any, Any]:
        """(tags, places of the contents, their lengths, places behind: behind every message where it is no field)."""
        data = self._octets.data
        tags = data.take(at)
        if _SHORT.take(tags).all():
            # Most often: nothing but texts and messages.
            at = at + 1
            lengths, sizes = varints(data, at)
            starts = at + sizes
            return tags, starts, lengths, _behind(starts, lengths, sizes)
        tags, sizes = varints(data, at)
        at = at + sizes
        kinds = tags & 7
        starts, lengths, behind = at.copy(), np.zeros(len(at), np.int64), at + _WIDTHS[kinds]
        for kind in (_DELIMITED, _VARINT):
            own = np.flatnonzero(kinds == kind)
            if len(own):
                lengths[own], sizes = varints(data, at[own])
                behind[own] = at[own] + sizes
                if kind == _DELIMITED:
                    starts[own] = behind[own]
                    behind[own] = _behind(starts[own], lengths[own], sizes)
        behind[(tags < 8) | (_WIDTHS[kinds] < 0)] = _NEVER
        return tags, starts, lengths, behind

    def _note(self, rows: Any, tags: Any, starts: Any, lengths: Any) -> None:
        left = len(rows)
        for tag in (*self._columns, *self.one):
            own = np.flatnonzero(tags == tag)
            if not len(own):
                continue
            every = len(own) == len(rows)
            of, places, sizes = (
                (rows, starts, lengths) if every else (rows.take(own), starts.take(own), lengths.take(own))
            )
            if tag in self.one:
                if tag in self._messages:
                    self.odd[of[self.one[tag][0][of] > 0]] = True
                self.one[tag][0][of], self.one[tag][1][of] = places, sizes
            else:
                self._columns[tag].append((self._column(of, places), self._column(of, sizes)))
            left -= len(own)
            if not left:
                return
        self.odd[rows[self._mistaken.take(tags, mode="clip")]] = True

    def _column(self, rows: Any, values: Any) -> Any:
        if len(rows) == self._size:
            return values
        column = np.zeros(self._size, np.int64)
        column[rows] = values
        return column

    def singly(self) -> None:
        """Message by message, those that are left, each from where it stands."""
        for row, at, end in zip(self._rows.tolist(), self._at.tolist(), self._ends.tolist(), strict=True):
            before = {tag: len(owners) for tag, (owners, _, _) in self._singly.items()}
            self.odd[row] |= not self._rest(row, at, end)
            for tag, (owners, starts, _) in self._singly.items():
                owners.extend([row] * (len(starts) - before[tag]))

    def _rest(self, row: int, at: int, end: int) -> bool:
        """Whether what is left of a message is written as encoders write."""
        raw, one, right = self._octets.raw, self.one, True
        while at < end:
            tag = raw[at]
            if tag in self._singly:
                at = self._run(tag, at, end)
                continue
            tag, at = varint(raw, at)
            kind, start, length = tag & 7, at, 0
            if kind == _DELIMITED:
                length, start = varint(raw, at)
                at = start + length
            elif kind == _VARINT:
                length, at = varint(raw, at)
            elif kind in (_FIXED64, _FIXED32):
                at += 8 if kind == _FIXED64 else 4
            else:
                return False
            if at > end or tag < 8:
                return False
            if tag not in one:
                right = right and tag >> 3 not in self._numbers
            else:
                right = right and not (tag in self._messages and one[tag][0][row])
                one[tag][0][row], one[tag][1][row] = start, length
        return right and at == end

    def _run(self, tag: int, at: int, end: int) -> int:
        """Entries of a list, one behind the other; the place behind them."""
        raw, room = self._octets.raw, self._limits[tag]
        _, starts, lengths = self._singly[tag]
        while at < end and raw[at] == tag:
            length, start = raw[at + 1], at + 2
            if length >= LONG:
                length, start = varint(raw, at + 1)
            at = start + length
            if room > 0:
                room -= 1
                starts.append(start)
                lengths.append(length)
        return at

    def listed(self, tag: int) -> tuple[Any, Any, Any]:
        """All entries of a list, message by message."""
        owners, starts, lengths = (np.array(column, np.int64) for column in self._singly[tag])
        if columns := self._columns[tag]:
            table = np.array(columns)  # by step, place or length, message
            there = table[:, 0].T.ravel() > 0
            own, places, sizes = (
                np.nonzero(table[:, 0].T)[0],
                table[:, 0].T.ravel()[there],
                table[:, 1].T.ravel()[there],
            )
            if not len(owners):
                owners, starts, lengths = own, places, sizes
            else:
                starts = np.concatenate([places, starts])
                order = np.argsort(starts)
                owners = np.concatenate([own, owners])[order]
                starts, lengths = starts[order], np.concatenate([sizes, lengths])[order]
        counts = np.bincount(owners, minlength=self._size)
        if (counts > self._limits[tag]).any():
            ranks = np.arange(len(owners)) - (np.cumsum(counts) - counts)[owners]
            kept = ranks < self._limits[tag]
            starts, lengths = starts[kept], lengths[kept]
            counts = np.minimum(counts, self._limits[tag])
        return counts, starts, lengths


def _behind(starts: Any, lengths: Any, sizes: Any) -> Any:
    """Places behind contents, told their lengths and how many bytes these take."""
    right = sizes <= _LENGTH_BYTES_MAX
    return starts + lengths if right.all() else np.where(right, starts + np.where(right, lengths, 0), _NEVER)


def varints(data: Any, at: Any) -> tuple[Any, Any]:
    """(the numbers that stand at these places, as far as 63 bits hold them; how many bytes they take: more than any
    message has, where there is no end).
    """
    octets = data.take(at, mode="clip")
    values = octets.astype(np.int64)
    sizes = np.ones(len(at), np.int64)
    going = np.flatnonzero(octets >= LONG)
    if len(going):
        values[going] &= LONG - 1
    for place in range(1, _VARINT_BYTES_MAX):
        if not len(going):
            return values, sizes
        octets = data.take(at[going] + place, mode="clip")
        sizes[going] += 1
        if place < _VARINT_BYTES_MAX - 1:
            values[going] |= (octets & np.uint8(LONG - 1)).astype(np.int64) << (7 * place)
        going = going[octets >= LONG]
    sizes[going] = _NEVER
    return values, sizes


def varint(raw: bytes, at: int) -> tuple[int, int]:
    """(the number at this place, the place behind it): the same as `varints`, of one."""
    value = 0
    for place, octet in enumerate(raw[at : at + _VARINT_BYTES_MAX]):
        value |= (octet & (LONG - 1)) << 7 * place
        if octet < LONG:
            return value & _NUMBER_MAX, at + place + 1
    return value & _NUMBER_MAX, _NEVER

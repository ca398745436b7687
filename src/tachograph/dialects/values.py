"""The values of attributes as they stand in OTLP (`AnyValue` messages) -> numbers and texts, all of a batch at a time.

In: where the messages stand, empty where nobody wants to know. Out: `Values`, asked by the place of a value.
What it must never know: what an attribute means.

What an encoder writes is decoded by the column, and nothing is copied that is not asked for; what is right but not
written so (members that follow each other, numbers in more bytes than they need) is first written anew by protobuf's
own library. Source: opentelemetry-proto v1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from tachograph.dialects.protobuf import LONG, Octets, Slices, varint

NOTHING, STRING, BOOL, INT, DOUBLE, ARRAY, KVLIST, BYTES, ODD = range(9)
_KINDS = np.full(256, ODD, np.uint8)
_KINDS[[0x0A, 0x10, 0x18, 0x21, 0x2A, 0x32, 0x3A]] = (STRING, BOOL, INT, DOUBLE, ARRAY, KVLIST, BYTES)
_DELIMITED = np.isin(np.arange(9), (STRING, ARRAY, KVLIST, BYTES))
_LENGTHS = np.array([0, -1, 2, -1, 9, -1, -1, -1, -1])  # of those whose length is always the same
_INT_BYTES_MAX = 10
_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
# Some quote a number once more, some write the value of OTLP's JSON as text.
_QUOTED = r'^\s*(?:\{\s*"intValue"\s*:\s*)?"?\s*(-?[0-9]+(?:\.[0-9]+)?)\s*"?\s*\}?\s*$'
_TEXT = b"\x0a"
_LISTED = re.compile(rb"\x0A[\x00-\x7F]\x0A[\x00-\x7F]")  # before each text of a list: two tags and two lengths
_RAW_CHARS_MAX = 64
# The id that an answer begins with, if it is one of the kinds that no model writes itself.
_ANSWER = re.compile(rb'\s*\{\s*"id"\s*:\s*"((?:chatcmpl|cmpl|resp|msg|gen)[-_][\w-]{8,128})"')


class Damaged(Exception):
    """`places`: the values that are no message."""

    def __init__(self, places: Sequence[int]) -> None:
        super().__init__(f"{len(places)} values of attributes are damaged")
        self.places = places


class Values:
    """Values by their place. Damaged where one of them is no message. answers: places of texts of whole answers, of
    which the id alone is kept.
    """

    def __init__(self, messages: Slices, answers: Sequence[int] = ()) -> None:
        self._octets, self._starts, self._lengths = messages.octets, messages.starts, messages.lengths
        self._written = messages
        self._anew: tuple[Any, Slices] | None = None
        self._take_up()
        anew: dict[int, bytes] = {}
        damaged: list[int] = []
        for place in np.flatnonzero(self._odd()).tolist():
            try:
                anew[place] = _anew(self._message(place))
            except DecodeError:
                damaged.append(place)
        if damaged:
            raise Damaged(damaged)
        anew.update((place, self._answered(anew.get(place), place)) for place in answers)
        if anew:
            self._replace(anew)

    def _message(self, place: int) -> bytes:
        start = int(self._starts[place])
        return self._octets.raw[start : start + int(self._lengths[place])]

    def _answered(self, anew: bytes | None, place: int) -> bytes:
        """Of the message of a whole answer one of its id; of another value itself."""
        message = self._message(place) if anew is None else anew
        if message[:1] != _TEXT:
            return message
        head = next((at for at, byte in enumerate(message[1:6], 2) if byte < LONG), 2)
        found = _ANSWER.match(message, head)
        return bytes(AnyValue(string_value=found[1].decode()).SerializeToString()) if found else _TEXT + b"\0"

    def _replace(self, anew: Mapping[int, bytes]) -> None:
        """Let these messages stand in place of those that were there: behind all others."""
        places = np.array(sorted(anew), np.int64)
        octets = Octets([self._octets.raw, *(anew[place] for place in places.tolist())])
        starts, lengths = self._starts.copy(), self._lengths.copy()
        starts[places], lengths[places] = octets.starts[1:], 0
        self._written = Slices(octets, starts, lengths)
        lengths = lengths.copy()
        lengths[places] = octets.lengths[1:]
        self._anew = np.full(len(starts), -1), Slices(octets, octets.starts[1:], octets.lengths[1:])
        self._anew[0][places] = np.arange(len(places))
        self._octets, self._starts, self._lengths = octets, starts, lengths
        self._take_up()

    def _take_up(self) -> None:
        self._data = self._octets.data
        self.kinds = np.where(self._lengths == 0, NOTHING, _KINDS[self._byte(0)])

    def _messages(self, rows: Any) -> Any:
        """As they stand."""
        found = self._written.take(rows)
        if self._anew is not None:
            own = self._anew[0][rows]
            if (replaced := own >= 0).any():
                found = pc.replace_with_mask(found, pa.array(replaced), self._anew[1].take(own[replaced]))
        return found

    def _byte(self, place: int, rows: Any = slice(None)) -> Any:
        """The byte at a place of each message; any byte where it is shorter."""
        return self._data.take(self._starts[rows] + place, mode="clip")

    def _odd(self) -> Any:
        """Which are not written as encoders write them."""
        second = self._byte(1).astype(np.int64)
        delimited = _DELIMITED[self.kinds]
        odd = self._lengths != np.where(delimited, second + 2, _LENGTHS[self.kinds])
        odd |= (self.kinds == BOOL) & (second > 1)
        for row in np.flatnonzero(delimited & (second >= LONG)).tolist():
            odd[row] = self._head(row) == 0
        ints = np.flatnonzero(self.kinds == INT)
        odd[ints] = ~self._is_varint(ints) if len(ints) else False
        return odd

    def _is_varint(self, rows: Any) -> Any:
        """Whether one number fills each of these messages: of all its bytes the last alone has no mark to go on."""
        lengths = self._lengths[rows] - 1
        right = (lengths > 0) & (lengths <= _INT_BYTES_MAX)
        for place in range(min(_INT_BYTES_MAX, int(lengths.max()))):
            goes_on = self._byte(place + 1, rows) >= LONG
            right &= (goes_on == (place < lengths - 1)) | (place >= lengths)
        return right

    def _head(self, row: int) -> int:
        """Bytes before the content of a message with a long one; 0 where the two do not fill it."""
        start, length = int(self._starts[row]), int(self._lengths[row])
        size, behind = varint(bytes(self._data[start + 1 : start + min(length, 6)]), 0)
        return behind + 1 if size + behind + 1 == length else 0

    def numbers(self, wanted: Any) -> Any:
        """Floats of all places; nan where none is wanted (a mask), and where what stands there is no number."""
        found = np.full(len(self.kinds), np.nan)
        places = np.flatnonzero(wanted)
        kinds = self.kinds[places]
        for kind, read in (
            (INT, self._ints),
            (DOUBLE, self._doubles),
            (BOOL, lambda rows: self._byte(1, rows)),
            (STRING, self._numbers_of_texts),
            (KVLIST, lambda rows: [_wrapped(message) for message in self._pieces(rows)]),
        ):
            rows = places[kinds == kind]
            if len(rows):
                found[rows] = read(rows)
        return found

    def _ints(self, rows: Any) -> Any:
        found = np.zeros(len(rows), np.uint64)
        lengths = self._lengths[rows] - 1
        for place in range(int(lengths.max())):
            there = lengths > place
            byte = self._byte(place + 1, rows) & np.uint8(LONG - 1)
            found |= np.where(there, byte.astype(np.uint64) << np.uint64(7 * place), np.uint64(0))
        return found.view(np.int64)

    def _digits_of(self, rows: Any) -> Any:
        """Of integers, as text."""
        return pa.array(self._ints(rows)).cast(pa.string())

    def _doubles(self, rows: Any) -> Any:
        octets = self._data[self._starts[rows][:, None] + np.arange(1, 9)]
        return np.ascontiguousarray(octets).view("<f8").ravel()

    def _numbers_of_texts(self, rows: Any) -> Any:
        texts = self._texts_of(rows)
        odd = np.asarray(pc.match_substring_regex(texts, r'^["{]'))
        bare = pc.utf8_trim(texts, " ")
        if odd.any():
            inside = [match.group(1) if (match := re.match(_QUOTED, text)) else "" for text in texts.to_pylist()]
            bare = pc.if_else(pa.array(odd), pa.array(inside), bare)
        right = pc.match_substring_regex(bare, _NUMBER)
        floats = pc.if_else(right, bare, pa.scalar(None, pa.string())).cast(pa.float64())
        return floats.to_numpy(zero_copy_only=False)

    def texts(self, places: Any, there: Any) -> Any:
        """The values at `places` as text, null where `there` (a mask) says no."""
        rows = places[there]
        kinds = self.kinds[rows]
        texts = self._texts_of(rows) if (kinds == STRING).all() else self._mixed(rows, kinds)
        if there.all():
            return texts
        order = np.cumsum(there) - 1
        return texts.take(pa.array(order, mask=~there))

    def _mixed(self, rows: Any, kinds: Any) -> Any:
        """Texts of values of any kind; lists as their texts by commas."""
        if (kinds == ARRAY).all():
            distinct = self._messages(rows).dictionary_encode()
            listed = pa.array([_listed(message) for message in distinct.dictionary.to_pylist()], pa.string())
            return listed.take(distinct.indices)
        found = pa.nulls(len(rows), pa.string()).fill_null("")
        for kind, read in (
            (STRING, self._texts_of),
            (INT, self._digits_of),
            (BOOL, lambda own: pa.array(self._byte(1, own) > 0).cast(pa.string())),
            (DOUBLE, lambda own: pa.array([_plain(value) for value in self._doubles(own).tolist()], pa.string())),
            (ARRAY, lambda own: pa.array([_listed(message) for message in self._pieces(own)], pa.string())),
        ):
            found = _filled(found, kinds == kind, rows, read)
        return found

    def _texts_of(self, rows: Any) -> Any:
        """Of texts: the messages without what stands before the text."""
        messages = self._messages(rows)
        long = self._byte(1, rows) >= LONG
        if not long.any():
            return as_text(pc.binary_slice(messages, 2, LONG + 2))
        heads = [self._head(row) if far else 2 for row, far in zip(rows.tolist(), long.tolist(), strict=True)]
        pieces = zip(messages.to_pylist(), heads, strict=True)
        return as_text(pa.array([message[head:] for message, head in pieces], pa.binary()))

    def _pieces(self, rows: Any) -> list[bytes]:
        return list(self._messages(rows).to_pylist())

    def members(self, places: Any, names: Any) -> Any:
        """Members of a JSON object, `"name":value`, of counts: numbers as they stand, texts quoted."""
        kinds = self.kinds[places]
        found = pa.nulls(len(places), pa.string()).fill_null("")
        for kind, read in (
            (INT, self._digits_of),
            (DOUBLE, lambda own: pa.array([_json_of(value) for value in self._doubles(own).tolist()], pa.string())),
            (STRING, lambda own: pa.array([_quoted(text) for text in self._texts_of(own).to_pylist()], pa.string())),
        ):
            found = _filled(found, kinds == kind, places, read)
        return pc.binary_join_element_wise('"', names, '":', found, "")


def _filled(column: Any, mask: Any, rows: Any, read: Callable[[Any], Any]) -> Any:
    """The column with what `read` answers for the rows of the mask."""
    if not mask.any():
        return column
    return read(rows) if mask.all() else pc.replace_with_mask(column, pa.array(mask), read(rows[mask]))


def _anew(message: bytes) -> bytes:
    value = AnyValue.FromString(message)
    value.DiscardUnknownFields()
    return bytes(value.SerializeToString())


def _wrapped(message: bytes) -> float:
    """The number behind the name, of a map whose one member is `intValue`."""
    _, found, rest = message.partition(b"intValue")
    digits = rest[3:]  # behind the tag and the length of a value, and the tag of its number
    if not found or not 0 < len(digits) < _INT_BYTES_MAX - 1:
        return float("nan")
    return float(sum((byte & (LONG - 1)) << 7 * place for place, byte in enumerate(digits)))


def _listed(message: bytes) -> str:
    head = next((place for place, byte in enumerate(message[1:], 2) if byte < LONG), len(message))
    return _LISTED.sub(b",", message[head:])[1:].decode("utf-8", "replace")


def _plain(value: float) -> str:
    return repr(value).removesuffix(".0").replace("e+", "e")


def _json_of(value: float) -> str:
    return _plain(value) if np.isfinite(value) else _quoted(_plain(value))


def _quoted(text: str) -> str:
    return json.dumps(text[:_RAW_CHARS_MAX], ensure_ascii=False)


def as_text(array: Any) -> Any:
    """Bytes as text; bytes that are no text are read as far as they are."""
    try:
        return array.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([None if value is None else decoded(value) for value in array.to_pylist()], pa.string())


def decoded(value: bytes) -> str:
    """As far as it is text."""
    return value.decode("utf-8", "replace")

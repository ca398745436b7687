"""Calls as one Arrow record batch, and back: the form in which many calls travel.

In: Calls. Out: a record batch of `SCHEMA`, whose fields are `call.COLUMNS` in their order, typed by `Kind` alone.
What it must never know: SQL, an engine, what a field means.
Why: a column at a time costs a few microseconds a call, a row at a time ten times that.

Exactness: milliseconds travel as decimals of three places and money as decimals of ten, so nothing is rounded on
the way. What no storage of ours can hold (a count of 2^63, a year 1200) is `Refused` by the name of its field.
An empty list of counts becomes null: both say that nothing was counted.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa

from tachograph.call import COLUMNS, Call, Column, Kind
from tachograph.flow import Refused

MS_MAX = 10**12  # milliseconds, 31 years: below it a float keeps three decimals exactly
COUNT_MAX = 2**63 - 1
SMALL_MAX = 2**16 - 1
_MONEY = Decimal(10) ** 10
_MONEY_MAX = 10**18  # in steps of 10^-10 US dollars
# Seconds of a 32-bit day counter: what every engine can cut into minutes, hours and days.
TIME_MIN = datetime(1970, 1, 1, tzinfo=UTC)
TIME_MAX = datetime(2106, 1, 1, tzinfo=UTC)

TYPES: dict[Kind, pa.DataType] = {
    Kind.ID16: pa.binary(16),
    Kind.ID8: pa.binary(8),
    Kind.WORD: pa.string(),
    Kind.TEXT: pa.string(),
    Kind.JSON: pa.string(),
    Kind.COUNT: pa.int64(),
    Kind.SMALL: pa.uint16(),
    Kind.TIME: pa.timestamp("us", "UTC"),
    Kind.MS: pa.decimal128(18, 3),
    Kind.NUMBER: pa.float64(),
    Kind.MONEY: pa.decimal128(18, 10),
    Kind.FLAG: pa.bool_(),
    Kind.COUNTS: pa.list_(pa.int64()),
    Kind.WORDS: pa.list_(pa.string()),
    Kind.MAP: pa.map_(pa.string(), pa.string()),
}

SCHEMA: pa.Schema = pa.schema([pa.field(c.name, TYPES[c.kind], nullable=not c.required) for c in COLUMNS])


def to_batch(calls: Sequence[Call]) -> pa.RecordBatch:
    """`calls` as one record batch of `SCHEMA`.

    A lone surrogate in a text becomes U+FFFD, as no UTF-8 can carry it.
    Raises Refused("out_of_range") or Refused("malformed") naming the field and the value.
    """
    return pa.RecordBatch.from_arrays([_array(column, calls) for column in COLUMNS], schema=SCHEMA)


def from_batch(batch: pa.RecordBatch) -> list[Call]:
    """The calls of a record batch of `SCHEMA`; fields that it lacks take their defaults."""
    known = [column for column in COLUMNS if column.name in batch.schema.names]
    names = [column.name for column in known]
    values = [_values(column, batch.column(column.name)) for column in known]
    return [Call(**dict(zip(names, row, strict=True))) for row in zip(*values, strict=True)]


def _array(column: Column, calls: Sequence[Call]) -> pa.Array:
    values = list(map(attrgetter(column.name), calls))
    try:
        if column.required and None in values:
            raise ValueError("null is not allowed")
        return _TO_ARROW[column.kind](values)
    except UnicodeEncodeError:
        return _TO_ARROW[column.kind](_encodable(values))
    except (ArithmeticError, pa.ArrowInvalid, ValueError, TypeError, AttributeError) as error:
        raise _refusal(column, values, error) from error


def _refusal(column: Column, values: Sequence[Any], error: Exception) -> Refused:
    reason = "out_of_range" if isinstance(error, ArithmeticError) else "malformed"
    culprit = next((value for value in values if not _fits(column, value)), None)
    return Refused(reason, f"{column.name}: {str(culprit)[:60]!r} cannot be stored as {column.kind}: {error}")


def _fits(column: Column, value: Any) -> bool:
    try:
        _TO_ARROW[column.kind]([value])
    except (ArithmeticError, pa.ArrowInvalid, ValueError, TypeError, AttributeError):
        return False
    return value is not None or not column.required


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    return value


def _within(values: Iterable[Any], low: Any, high: Any) -> None:
    """OverflowError unless every known value lies in [low, high]."""
    for value in values:
        if value is not None and not low <= value <= high:
            raise OverflowError(f"outside {low} to {high}")


def _known(values: Sequence[Any]) -> Any:
    """Which values are not null, or None where all are known (the usual case, and the quick one)."""
    return np.fromiter((value is not None for value in values), bool, len(values)) if None in values else None


def _validity(known: Any) -> pa.Buffer | None:
    return None if known is None else pa.py_buffer(np.packbits(known, bitorder="little"))


def _ids(digits: int) -> Callable[[Sequence[Any]], pa.Array]:
    nothing = "0" * digits

    def convert(values: Sequence[Any]) -> pa.Array:
        known = _known(values)
        texts = values if known is None else [nothing if value is None else value for value in values]
        if any(len(text) != digits for text in texts):
            raise ValueError(f"not {digits} hex digits")
        buffers = [_validity(known), pa.py_buffer(binascii.unhexlify("".join(texts)))]
        return pa.Array.from_buffers(pa.binary(digits // 2), len(values), buffers)

    return convert


def decimals(kind: pa.DataType, steps: Any, known: Any) -> pa.Array:
    """A decimal array from whole numbers of its smallest step: 128 bits each, the upper half being the sign."""
    wide = np.empty((len(steps), 2), np.int64)
    wide[:, 0] = steps
    wide[:, 1] = steps >> 63
    return pa.Array.from_buffers(kind, len(steps), [_validity(known), pa.py_buffer(wide)])


def _from_milliseconds(values: Sequence[Any]) -> pa.Array:
    known = _known(values)
    floats = np.array([0 if v is None else v for v in values] if known is not None else values, np.float64)
    if not ((floats >= 0) & (floats < MS_MAX)).all():
        raise OverflowError(f"outside 0 to {MS_MAX} ms")
    return decimals(TYPES[Kind.MS], np.rint(floats * 1000).astype(np.int64), known)


def _from_money(values: Sequence[Any]) -> pa.Array:
    known = _known(values)
    steps = [0 if value is None else int(value * _MONEY) for value in values]
    _within(steps, 1 - _MONEY_MAX, _MONEY_MAX - 1)
    return decimals(TYPES[Kind.MONEY], np.array(steps, np.int64), known)


def _from_counts(values: Sequence[Any]) -> pa.Array:
    array = pa.array(values, TYPES[Kind.COUNT])
    if any(value is not None and value < 0 for value in values):
        raise OverflowError("below 0")
    return array


def _from_count_lists(values: Sequence[Any]) -> pa.Array:
    for counts in values:
        _within(counts or (), 0, COUNT_MAX)
    return pa.array([counts or None for counts in values], TYPES[Kind.COUNTS])


def _from_times(values: Sequence[Any]) -> pa.Array:
    if any(value is not None and value.tzinfo is None for value in values):
        raise ValueError("no time zone")
    _within(values, TIME_MIN, TIME_MAX)
    return pa.array(values, TYPES[Kind.TIME])


def _from_maps(values: Sequence[Any]) -> pa.Array:
    return pa.array([list(value.items()) for value in values], TYPES[Kind.MAP])


def _plain(kind: Kind) -> Callable[[Sequence[Any]], pa.Array]:
    return lambda values: pa.array(values, TYPES[kind])


_TO_ARROW: dict[Kind, Callable[[Sequence[Any]], pa.Array]] = {
    **{kind: _plain(kind) for kind in Kind},
    Kind.ID16: _ids(32),
    Kind.ID8: _ids(16),
    Kind.COUNT: _from_counts,
    Kind.TIME: _from_times,
    Kind.MS: _from_milliseconds,
    Kind.MONEY: _from_money,
    Kind.COUNTS: _from_count_lists,
    Kind.MAP: _from_maps,
}


def _values(column: Column, array: pa.Array) -> list[Any]:
    values = array.to_pylist()
    convert = _FROM_ARROW.get(column.kind)
    return values if convert is None else [None if value is None else convert(value) for value in values]


_FROM_ARROW: dict[Kind, Callable[[Any], Any]] = {
    Kind.ID16: bytes.hex,
    Kind.ID8: bytes.hex,
    Kind.TIME: lambda value: value.astimezone(UTC),
    Kind.MS: float,
    Kind.WORDS: tuple,
    Kind.MAP: dict,
}

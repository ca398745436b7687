"""Conditions on calls that are not in the store yet: the same words as `where` of a question, on Arrow batches.

In: dimension -> value, None (not known) or a list of these; quantity -> `AtLeast`. Out: a function that finds
the rows which fit.
What it must never know: SQL, HTTP.
Why beside the store: a stream shows a call the moment it is stored, without asking the store again for each listener.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tachograph.call import BY_NAME, Kind, typed
from tachograph.flow.batch import SCHEMA
from tachograph.store.conditions import AtLeast, Where, check_where
from tachograph.web.live import Matching


def matching(where: Where) -> Matching:
    """Which rows of a batch fit every condition. Unknown (a ValueError) for a name that there is not."""
    check_where(where)
    wanted = {name: _wanted(name, value) for name, value in where.items()}

    def places(batch: pa.RecordBatch) -> pa.Array:
        masks = [_fits(_subject(batch, name), values) for name, values in wanted.items()]
        return pc.indices_nonzero(functools.reduce(pc.and_, masks, pa.array(np.ones(batch.num_rows, bool))))

    return places


def _wanted(name: str, value: Any) -> list[Any] | AtLeast:
    if isinstance(value, AtLeast):
        return AtLeast(typed(BY_NAME[name], value.least))
    values = value if isinstance(value, list) else [value]
    return [None if item is None else _typed(name, item) for item in values]


def _typed(name: str, value: Any) -> Any:
    column = BY_NAME.get(name)
    if column is None:
        return str(value)
    if column.kind is Kind.FLAG and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    plain = typed(column, value)
    return bytes.fromhex(plain) if column.kind is Kind.ID16 else plain


def _subject(batch: pa.RecordBatch, name: str) -> pa.Array:
    """The values of a dimension; null where a map lacks the key, or the batch the column."""
    field, _, key = name.partition(".")
    if field not in batch.schema.names:
        return pa.nulls(batch.num_rows, SCHEMA.field(field).type if not key else pa.string())
    column = batch.column(field)
    if key:
        return pc.map_lookup(column, pa.scalar(key), "first")
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _fits(subject: pa.Array, values: list[Any] | AtLeast) -> pa.Array:
    if isinstance(values, AtLeast):
        least = pa.scalar(str(values.least)).cast(subject.type)
        return pc.fill_null(pc.greater_equal(subject, least), False)
    known = pa.array([value for value in values if value is not None], subject.type)
    fits = pc.is_in(subject, known)  # a null is in no set that holds none
    return pc.or_(fits, pc.is_null(subject)) if None in values else fits

"""Hypothesis strategies for Calls, derived from the one definition of the columns."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from tachograph.call import COLUMNS, Call, Column, Kind
from tachograph.flow.batch import COUNT_MAX, MS_MAX, SMALL_MAX, TIME_MAX, TIME_MIN

# All of Unicode but lone surrogates, NUL included.
texts = st.text(st.characters(codec="utf-8"), max_size=12)
counts = st.one_of(st.integers(0, 5000), st.integers(0, COUNT_MAX))
moments = st.datetimes(TIME_MIN.replace(tzinfo=None), TIME_MAX.replace(tzinfo=None), timezones=st.just(UTC))
_STEPS = 10**10


def hex_ids(octets: int) -> st.SearchStrategy[str]:
    return st.binary(min_size=octets, max_size=octets).map(bytes.hex)


BY_KIND: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.ID16: hex_ids(16),
    Kind.ID8: hex_ids(8),
    Kind.WORD: texts,
    Kind.TEXT: texts,
    Kind.JSON: texts.map(lambda text: '{"a":1}' if len(text) % 2 else "{}"),
    Kind.COUNT: counts,
    Kind.SMALL: st.integers(0, SMALL_MAX),
    Kind.TIME: moments,
    Kind.MS: st.integers(0, MS_MAX * 1000 - 1).map(lambda steps: steps / 1000),
    Kind.NUMBER: st.floats(allow_nan=False, allow_infinity=False),
    Kind.MONEY: st.integers(1 - 10**18, 10**18 - 1).map(lambda steps: Decimal(steps).scaleb(-10)),
    Kind.FLAG: st.booleans(),
    Kind.COUNTS: st.lists(counts, min_size=1, max_size=5),
    Kind.WORDS: st.sets(texts, max_size=3).map(lambda words: tuple(sorted(words))),
    Kind.MAP: st.dictionaries(texts, texts, max_size=3),
}


def field_values(column: Column) -> st.SearchStrategy[Any]:
    values = BY_KIND[column.kind]
    return values if column.required else st.none() | values


def calls(**fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    """Any Call that can be stored; `fixed`: strategies for single fields."""
    return st.builds(Call, **{**{column.name: field_values(column) for column in COLUMNS}, **fixed})


def distinct(found: list[Call]) -> list[Call]:
    """The calls under ids of their own, so that none passes for another."""
    return [dataclasses.replace(call, call_id=f"{i:032x}") for i, call in enumerate(found)]


def at(second: float = 0.0, *, day: int = 1, **fields: Any) -> Call:
    """A call on a day of June 2026 with an id of its own by its second."""
    from datetime import timedelta

    started = datetime(2026, 6, day, tzinfo=UTC) + timedelta(seconds=second)
    milliseconds = int(started.timestamp() * 1000)
    fields.setdefault("call_id", f"{milliseconds:012x}7000800000000000{int(second * 7) % 65536:04x}")
    return Call(started_at=started, received_at=started, **fields)

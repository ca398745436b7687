from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import calls

from tachograph.call import COLUMNS, Call
from tachograph.flow import Refused
from tachograph.flow.batch import SCHEMA, from_batch, to_batch


def test_the_schema_has_the_fields_of_call_in_their_order() -> None:
    assert SCHEMA.names == [field.name for field in dataclasses.fields(Call)]
    assert [field.nullable for field in SCHEMA] == [not column.required for column in COLUMNS]


@settings(max_examples=40, deadline=None)
@given(st.lists(calls(), max_size=4))
def test_calls_survive_arrow(given_calls: list[Call]) -> None:
    batch = to_batch(given_calls)
    batch.validate(full=True)
    assert batch.schema == SCHEMA
    assert from_batch(batch) == given_calls


def test_no_calls_are_an_empty_batch() -> None:
    assert from_batch(to_batch([])) == []


@pytest.mark.parametrize("milliseconds", [0.0, 0.001, 0.1, 2.675, 1e11 + 0.123, 999_999_999_999.999])
def test_milliseconds_are_exact(milliseconds: float) -> None:
    assert from_batch(to_batch([Call(duration_ms=milliseconds)]))[0].duration_ms == milliseconds


def test_a_time_in_another_zone_is_the_same_instant_in_utc() -> None:
    there = datetime(2026, 6, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=9)))
    (back,) = from_batch(to_batch([Call(started_at=there)]))
    assert back.started_at == there
    assert back.started_at.tzinfo is UTC


def test_no_gap_counted_is_not_known() -> None:
    assert from_batch(to_batch([Call(itl_buckets=[])]))[0].itl_buckets is None


def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    (back,) = from_batch(to_batch([Call(team="a\ud800b", tags={"k\udfff": "v"}, flags=("\ud800",))]))
    assert (back.team, back.tags, back.flags) == ("a\ufffdb", {"k\ufffd": "v"}, ("\ufffd",))


@pytest.mark.parametrize(
    ("fields", "reason", "name"),
    [
        ({"duration_ms": -1.0}, "out_of_range", "duration_ms"),
        ({"duration_ms": float("nan")}, "out_of_range", "duration_ms"),
        ({"ttft_ms": 1e15}, "out_of_range", "ttft_ms"),
        ({"input_tokens": 2**63}, "out_of_range", "input_tokens"),
        ({"input_tokens": -1}, "out_of_range", "input_tokens"),
        ({"itl_buckets": [1, -1]}, "out_of_range", "itl_buckets"),
        ({"cost_usd": Decimal(10**8)}, "out_of_range", "cost_usd"),
        ({"started_at": datetime(1969, 12, 31, tzinfo=UTC)}, "out_of_range", "started_at"),
        ({"started_at": datetime(2026, 6, 1)}, "malformed", "started_at"),
        ({"call_id": "abc"}, "malformed", "call_id"),
        ({"call_id": "zz" * 16}, "malformed", "call_id"),
        ({"team": None}, "malformed", "team"),
        ({"team": 7}, "malformed", "team"),
        ({"status": 65536}, "malformed", "status"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(fields: dict[str, object], reason: str, name: str) -> None:
    with pytest.raises(Refused) as caught:
        to_batch([Call(), Call(**fields)])  # type: ignore[arg-type]
    assert caught.value.reason == reason
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)

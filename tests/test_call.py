"""The record's own rules: ids, JSON, kinds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tachograph.call import BY_NAME, COLUMNS, ITL_BUCKETS, Call, derive_id, from_dict, itl_bucket, to_dict, whole

MOMENT = datetime(2026, 3, 8, 23, 32, 56, 123456, UTC)


def test_an_id_is_a_version_7_uuid_of_its_millisecond() -> None:
    made = derive_id(MOMENT, b"seed")
    assert int(made[:12], 16) == 1_773_012_776_123  # milliseconds since 1970 of MOMENT
    assert made[12] == "7"
    assert made[16] in "89ab"
    assert len(made) == 32


def test_an_id_is_the_same_for_the_same_seed_and_ordered_by_time() -> None:
    assert derive_id(MOMENT, b"a") == derive_id(MOMENT, b"a") != derive_id(MOMENT, b"b")
    assert derive_id(MOMENT, b"z") < derive_id(MOMENT + timedelta(milliseconds=1), b"a")


def test_a_call_survives_json() -> None:
    call = Call(call_id=derive_id(MOMENT, b"x"), started_at=MOMENT, cost_usd=Decimal("0.0034147500"), ttft_ms=12.345)
    call.tags, call.itl_buckets = {"ticket": "42"}, [0, 3, 1]
    call.flag("b", "a", "b")
    assert call.flags == ("a", "b")
    assert from_dict(to_dict(call)) == call
    assert to_dict(call)["started_at"] == "2026-03-08T23:32:56.123456Z"
    assert to_dict(call)["cost_usd"] == "0.0034147500"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"input_token": 1}, "unknown field 'input_token'"),
        ({"input_tokens": -1}, "input_tokens: '-1' is not an integer >= 0"),
        ({"input_tokens": "many"}, "input_tokens: 'many' is not an integer >= 0"),
        ({"input_tokens": 1.5}, "input_tokens: '1.5' is not an integer >= 0"),
        ({"cost_usd": "NaN"}, "cost_usd: 'NaN' is not an amount"),
        ({"started_at": "2026-03-08T23:32:56"}, "started_at: '2026-03-08T23:32:56' is not a time with its zone"),
        ({"trace_id": "xyz"}, "trace_id: 'xyz' is not 32 hex digits"),
        ({"provider": None}, "provider: null is not allowed"),
        ({"duration_ms": -0.5}, "duration_ms: '-0.5' is not a number of milliseconds >= 0"),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as error:
        from_dict(values)
    assert message in str(error.value)


def test_unknown_stays_unknown() -> None:
    assert whole([None, None]) is None
    assert whole([None, 0]) == 0
    assert whole([3, None, 4]) == 7


@pytest.mark.parametrize(("gap", "bucket"), [(0, 0), (1, 0), (1.1, 1), (2, 4), (2.01, 5), (1024, 40), (1e12, 80)])
def test_gaps_fall_into_their_bucket(gap: float, bucket: int) -> None:
    assert itl_bucket(gap) == bucket < ITL_BUCKETS


def test_every_field_is_described_once() -> None:
    assert len(COLUMNS) == len(BY_NAME) == len(Call.__slots__)
    assert all(column.meaning for column in COLUMNS)

"""The summary: sums, unknowns, percentiles, merging."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from tachograph.call import Call
from tachograph.summary import summarise
from tachograph.testing import generated_day

DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


def call(**values: object) -> Call:
    made = Call(started_at=DAY, provider="openai", model="m", price_status="priced", **values)  # type: ignore[arg-type]
    if made.input_tokens is not None:
        made.usage_source = "reported"
        made.total_tokens = made.input_tokens + (made.output_tokens or 0)
    return made


def test_sums_and_latency_per_thousand_tokens() -> None:
    value = summarise(
        [
            call(input_tokens=700, output_tokens=300, duration_ms=900.0, cost_usd=Decimal("0.01")),
            call(input_tokens=1500, output_tokens=500, duration_ms=1100.0, cost_usd=Decimal("0.02")),
        ]
    ).to_dict()
    assert value["total_tokens"] == 3000
    assert value["cost_usd"] == "0.03"
    assert value["cost_per_1k_tokens_usd"] == "0.01000000"
    assert value["latency_per_1k_tokens_ms"] == 666.667  # 2,000 ms for 3,000 tokens
    assert value["duration_ms"] == {"p50": 900.0, "p90": 1100.0, "p95": 1100.0, "p99": 1100.0, "mean": 1000.0}


def test_unknown_is_not_zero() -> None:
    unpriced = call(input_tokens=5, output_tokens=5)
    unpriced.price_status = "unpriced_model"
    silent = call()
    silent.price_status = "unknown_usage"
    value = summarise([unpriced, silent]).to_dict()
    assert value["cost_usd"] is None
    assert value["unpriced_calls"] == 1
    assert value["unknown_usage_calls"] == 1
    assert value["unpriced_models"] == [{"provider": "openai", "model": "m", "calls": 1}]
    assert summarise([silent]).to_dict()["total_tokens"] is None


def test_a_second_sighting_is_not_counted() -> None:
    again = call(input_tokens=10, output_tokens=1)
    again.same_as = "0" * 32
    value = summarise([call(input_tokens=10, output_tokens=1), again]).to_dict()
    assert (value["calls"], value["sightings"], value["total_tokens"]) == (1, 1, 11)


def test_percentiles_are_values_that_occurred() -> None:
    value = summarise([call(duration_ms=float(n)) for n in range(1, 101)]).to_dict()["duration_ms"]
    assert value == {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "mean": 50.5}


def test_merging_is_counting_all_at_once() -> None:
    calls = list(generated_day(date(2026, 3, 1), 400))
    for index, made in enumerate(calls):
        made.cost_usd = Decimal(index) / 1000
        made.started_at += timedelta(days=index % 3)
    halves = summarise(calls[::2])
    halves.merge(summarise(calls[1::2]))
    assert halves.to_dict() == summarise(calls).to_dict()

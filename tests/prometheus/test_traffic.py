"""Counting a column at a time equals counting a call at a time; halves add up; nothing is lost over a restart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.strategies import at, calls

from tachograph.call import ERROR_TYPES, INPUT_PARTS, ITL_BUCKETS, OPERATIONS, OUTCOMES, OUTPUT_PARTS, Call, itl_bucket
from tachograph.flow.batch import to_batch
from tachograph.prometheus.families import LABELS, families
from tachograph.prometheus.traffic import Traffic

DURATION = "gen_ai_client_operation_duration_seconds"
TOKENS = "gen_ai_client_token_usage"
TTFT = "gen_ai_client_operation_time_to_first_chunk_seconds"
GAPS = "gen_ai_client_operation_time_per_output_chunk_seconds"
WIDE = ("provider", "model", "team", "status", "streamed", "tags.tier")

# No shrinking: calls are wide, and a failing one is small enough to read as it is.
unhurried = settings(deadline=None, max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])
few = st.sampled_from(["", "a", "b\n", "c\0", "other"])
# Any values, also absurd ones, but labels that repeat, so that there are groups.
traffic_calls = calls(
    same_as=st.none() | st.none() | st.just("f" * 32),
    provider=few,
    model=st.none() | few,
    team=few,
    request_model=st.none() | few,
    response_model=st.none() | few,
    operation=st.sampled_from([*OPERATIONS[:2], "junk"]),
    outcome=st.sampled_from([*OUTCOMES, "junk"]),
    error_type=st.none() | st.sampled_from([*ERROR_TYPES[:2], "junk"]),
    price_status=st.sampled_from(["priced", "unpriced_model"]),
    tags=st.dictionaries(st.sampled_from(["tier", "x"]), few, max_size=2),
    itl_buckets=st.none() | st.lists(st.integers(0, 2**40), min_size=1, max_size=90),
)
batches = st.lists(traffic_calls, max_size=8)


def counted(found: Sequence[Call], labels: Sequence[str] = LABELS, series_max: int = 2000) -> Traffic:
    traffic = Traffic(labels, series_max)
    traffic.observe(to_batch(found))
    return traffic


def shown(traffic: Traffic) -> dict[str, Any]:
    return {r.family.name: (dict(r.cells), r.folded) for r in traffic.read()}


def cells(traffic: Traffic, name: str) -> dict[tuple[str, ...], Any]:
    return dict(next(r.cells for r in traffic.read() if r.family.name == name))


def one_by_one(found: Sequence[Call], labels: Sequence[str]) -> dict[str, dict[tuple[str, ...], list[Any]]]:
    """The same figures, a call at a time: name -> key -> [total, buckets, exemplars]."""
    truth: dict[str, dict[tuple[str, ...], list[Any]]] = {family.name: {} for family in families(labels)}
    bounds = {family.name: family.bounds for family in families(labels)}

    def clean(value: Any) -> str:
        return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

    def count(name: str, key: Sequence[Any], value: int, call: Call, times: int | None = None) -> None:
        width = len(bounds[name]) + 1 if bounds[name] else 0
        cell = truth[name].setdefault(tuple(map(clean, key)), [0, [0] * width, {}])
        cell[0] += value
        if width and times is None:
            bucket = next((i for i, bound in enumerate(bounds[name]) if value <= bound), width - 1)
            cell[1][bucket] += 1
            exemplify(cell, bucket, value, call)

    def exemplify(cell: list[Any], bucket: int, value: int, call: Call) -> None:
        if call.trace_id is not None:
            microseconds = (call.received_at - at(0).received_at) // (at(0.000001).received_at - at(0).received_at)
            cell[2][bucket] = (call.trace_id, value, int(at(0).received_at.timestamp()) * 10**6 + microseconds)

    for call in found:
        if call.same_as is not None:
            continue
        error = "other" if call.outcome == "error" and call.error_type is None else call.error_type
        otel = (call.operation, call.provider, call.request_model, call.response_model)
        own = [call.tags.get(name[5:]) if name.startswith("tags.") else getattr(call, name) for name in labels]
        count("tachograph_calls_total", (*own, call.outcome), 1, call)
        if call.outcome == "error":
            count("tachograph_errors_total", (*own, error), 1, call)
        if call.price_status == "unpriced_model":
            count("tachograph_unpriced_calls_total", own, 1, call)
        if call.cost_usd is not None:
            steps = int(call.cost_usd * 10**10)
            name = "tachograph_credits_usd_total" if steps < 0 else "tachograph_cost_usd_total"
            count(name, (*own, call.cost_source), abs(steps), call)
        for part in (*INPUT_PARTS, *OUTPUT_PARTS):
            if getattr(call, part) is not None:
                count("tachograph_tokens_total", (*own, part), getattr(call, part), call)
        if call.duration_ms is not None:
            count(DURATION, (*otel, error), round(call.duration_ms * 1000), call)
        if call.ttft_ms is not None:
            count(TTFT, otel, round(call.ttft_ms * 1000), call)
        for kind in ("input", "output"):
            tokens = getattr(call, f"{kind}_tokens")
            if tokens is not None:
                count(TOKENS, (*otel, kind), tokens, call)
        if call.itl_buckets and sum(call.itl_buckets) and call.itl_mean_ms is not None:
            count(GAPS, otel, round(call.itl_mean_ms * 1000) * sum(call.itl_buckets), call, sum(call.itl_buckets))
            cell = truth[GAPS][tuple(map(clean, otel))]
            for index, gaps in enumerate(call.itl_buckets):
                end_us = 2 ** (index / 4) * 1000
                cell[1][next((i for i, bound in enumerate(bounds[GAPS]) if end_us <= bound), 14)] += gaps
            if call.itl_max_ms is not None:
                longest = round(call.itl_max_ms * 1000)
                exemplify(cell, next((i for i, b in enumerate(bounds[GAPS]) if longest <= b), 14), longest, call)
    return truth


@unhurried
@given(batches, st.sampled_from([LABELS, WIDE, ()]))
def test_a_column_at_a_time_equals_a_call_at_a_time(found: list[Call], labels: Sequence[str]) -> None:
    truth = one_by_one(found, labels)
    for reading in counted(found, labels).read():
        told = {
            key: [cell.total, cell.buckets, {b: (e.trace_id, e.value, e.at_us) for b, e in cell.exemplars.items()}]
            for key, cell in reading.cells
        }
        assert told == truth[reading.family.name], reading.family.name
        assert reading.folded == 0


@unhurried
@given(batches, batches, st.sampled_from([1, 2, 3, 2000]))
def test_two_batches_equal_their_union(first: list[Call], second: list[Call], series_max: int) -> None:
    whole, halves = counted([*first, *second], series_max=series_max), counted(first, series_max=series_max)
    halves.observe(to_batch(second))
    assert shown(halves) == shown(whole)
    assert [list(dict(r.cells)) for r in halves.read()] == [list(dict(r.cells)) for r in whole.read()]


@unhurried
@given(batches, batches, st.sampled_from([1, 3, 2000]))
def test_a_restart_changes_nothing(first: list[Call], second: list[Call], series_max: int) -> None:
    before = counted(first, WIDE, series_max)
    after = Traffic(WIDE, series_max)
    after.restore(json.loads(json.dumps(before.snapshot())))
    assert after.snapshot() == before.snapshot()
    for traffic in (before, after):
        traffic.observe(to_batch(second))
    assert shown(after) == shown(before)


@unhurried
@given(batches, st.integers(1, 4))
def test_folding_bounds_the_series_and_keeps_the_sums(found: list[Call], series_max: int) -> None:
    whole, folded = counted(found).read(), counted(found, series_max=series_max).read()
    for full, short in zip(whole, folded, strict=True):
        assert sum(cell.total for _, cell in short.cells) == sum(cell.total for _, cell in full.cells)
        assert [sum(column) for column in zip(*(cell.buckets for _, cell in short.cells), strict=True)] == [
            sum(column) for column in zip(*(cell.buckets for _, cell in full.cells), strict=True)
        ]
        others = [key for key, _ in short.cells[series_max:]]
        assert all("other" in key for key in others if key)
        kept = dict(short.cells)
        assert any(key not in kept for key, _ in full.cells) == (short.folded > 0)


def test_first_come_is_kept_and_the_rest_is_other() -> None:
    found = [at(i, provider="openai", model=f"m{i}", outcome="error", error_type="timeout") for i in range(5)]
    traffic = counted(found, series_max=2)
    kept = [("openai", "m0", ""), ("openai", "m1", ""), ("other", "other", "other")]
    assert {k: c.total for k, c in cells(traffic, "tachograph_calls_total").items()} == {
        (*who, "error"): total for who, total in zip(kept, (1, 1, 3), strict=True)
    }
    assert [key[-1] for key in cells(traffic, "tachograph_errors_total")] == ["timeout"] * 3
    assert {r.family.name: r.folded for r in traffic.read()}["tachograph_calls_total"] == 3


def test_a_label_has_a_bounded_length() -> None:
    traffic = counted([at(0, model="m" * 300), at(1, model="m" * 400)])
    assert {k[1]: c.total for k, c in cells(traffic, "tachograph_calls_total").items()} == {"m" * 200: 2}


def test_unknown_is_not_counted_and_zero_is() -> None:
    traffic = counted([at(0, input_uncached=0, input_tokens=0), at(1)])
    assert [(k[-1], c.total) for k, c in cells(traffic, "tachograph_tokens_total").items()] == [("input_uncached", 0)]
    assert [(k[-1], sum(c.buckets)) for k, c in cells(traffic, TOKENS).items()] == [("input", 1)]
    assert cells(traffic, DURATION) == {} == cells(traffic, "tachograph_cost_usd_total")


def test_a_credit_is_no_negative_cost() -> None:
    traffic = counted([at(0, cost_usd=Decimal("0.5")), at(1, cost_usd=Decimal("-0.2"))])
    assert [c.total for c in cells(traffic, "tachograph_cost_usd_total").values()] == [5 * 10**9]
    assert [c.total for c in cells(traffic, "tachograph_credits_usd_total").values()] == [2 * 10**9]


def test_bounds_belong_to_their_bucket() -> None:
    traffic = counted([at(i, duration_ms=ms) for i, ms in enumerate((10.0, 10.001, 81_920.0, 81_920.001))])
    (cell,) = cells(traffic, DURATION).values()
    assert cell.buckets == [1, 1, *[0] * 11, 1, 1]


@given(st.floats(0.001, 2e6, allow_nan=False))
def test_a_gap_is_never_counted_too_low_and_at_most_5_percent_too_high(gap_ms: float) -> None:
    buckets = [0] * ITL_BUCKETS
    buckets[itl_bucket(gap_ms)] = 1
    (cell,) = cells(counted([at(0, itl_buckets=buckets, itl_mean_ms=1.0)]), GAPS).values()
    bounds = [10 * 2**power for power in range(14)]
    place = cell.buckets.index(1)
    assert place == len(bounds) or gap_ms <= bounds[place] * 1.000000001
    assert place == 0 or gap_ms > bounds[place - 1] * 0.95


def test_labels_may_change_between_two_runs() -> None:
    found = [at(i, provider="openai", model=f"m{i % 2}", team=f"t{i % 3}") for i in range(6)]
    before = counted(found).snapshot()
    fewer, more = Traffic(("provider",)), Traffic(("provider", "model", "region"))
    for traffic in (fewer, more):
        traffic.restore(before)
    assert {k: c.total for k, c in cells(fewer, "tachograph_calls_total").items()} == {("openai", "ok"): 6}
    assert {k: c.total for k, c in cells(more, "tachograph_calls_total").items()} == {
        ("openai", "m0", "", "ok"): 3,
        ("openai", "m1", "", "ok"): 3,
    }


def test_buckets_of_other_bounds_and_unknown_families_are_forgotten() -> None:
    snapshot = counted([at(0, duration_ms=5.0)]).snapshot()
    snapshot[DURATION]["bounds"][0] += 1
    traffic = Traffic()
    traffic.restore({**snapshot, "gone_total": {}})
    assert cells(traffic, DURATION) == {}
    assert len(cells(traffic, "tachograph_calls_total")) == 1


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (("modle",), "did you mean model?"),
        (("duration_ms",), "docs/call.md"),
        (("tags.",), "is not a label"),
        (("tags.a-b", "tags.a_b"), "one label"),
        (tuple(f"tags.k{i}" for i in range(11)), "at most 10"),
    ],
)
def test_labels_that_cannot_be_are_refused(labels: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match="metrics_labels") as refused:
        Traffic(labels)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_allowed_label_that_a_family_has_itself_is_there_once() -> None:
    names = {family.name: family.label_names for family in families(("provider", "outcome", "cost_source"))}
    assert names["tachograph_calls_total"] == ("provider", "cost_source", "outcome")
    assert names["tachograph_cost_usd_total"] == ("provider", "outcome", "cost_source")

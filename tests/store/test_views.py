"""Heat and versions against the raw rows and against what was written, in any range."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contracts.test_store import JUNE, empty, traffic, unhurried
from tests.strategies import at

from tachograph.call import Call, itl_bucket
from tachograph.store import Store, Unknown, open_store
from tachograph.store.heat import LATENCIES, Heat

ANYONE = {"user_id": [None, "u1", "u2"]}  # no roll-up knows users, so this asks the raw rows
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(f"chdb://{tmp_path_factory.mktemp('views')}") as store:
        yield store


@pytest.fixture
def store(opened: Store) -> Store:
    empty(opened)
    return opened


def cells(heat: Heat) -> dict[tuple[int, float], int]:
    return {(moment, heat.buckets[place][0]): calls for moment, place, calls in heat.cells}


@settings(unhurried, max_examples=4)
@given(
    seed=st.integers(0, 10**6),
    bounds=st.lists(st.integers(0, 2 * 86400 * 10**6), min_size=2, max_size=2, unique=True),
    step=st.sampled_from([60, 3600, 7200, 86400]),
)
def test_heat_from_a_roll_up_is_that_of_the_raw_rows(opened: Store, seed: int, bounds: list[int], step: int) -> None:
    empty(opened)
    everything = [*traffic(seed, 60, 1), *traffic(seed + 1, 60, 2)]
    opened.write(everything, "t")
    low, high = (JUNE + timedelta(microseconds=bound) for bound in sorted(bounds))
    within = [call for call in everything if low <= call.started_at < high]
    for of in LATENCIES:
        asked: dict[str, Any] = {"since": low, "until": high, "step": timedelta(seconds=step)}
        raw, rolled = opened.heat(of, ANYONE, **asked), opened.heat(of, **asked)
        assert raw.table == "calls" and cells(raw) == cells(rolled), of
        if of == "itl_ms":
            assert sum(cells(raw).values()) == sum(sum(call.itl_buckets or []) for call in within)
        else:
            assert sum(cells(raw).values()) == sum(getattr(call, of) is not None for call in within)


def test_a_latency_lies_in_its_bucket(store: Store) -> None:
    chance = random.Random(3)
    for place in range(8):
        empty(store)
        value = round(chance.lognormvariate(5, 3), 3)
        counts = [0] * itl_bucket(value) + [1]
        store.write([at(1, duration_ms=value, itl_buckets=counts)], f"{place}")
        for of, slack in (("duration_ms", 0.001), ("itl_ms", 0.001)):
            for where in ({}, {"user_id": None}):
                heat = store.heat(of, where, since=JUNE, until=JUNE + timedelta(days=1), step=HOUR)
                ((low, high),) = heat.buckets
                assert low * (1 - slack) - 0.001 <= value <= high * (1 + slack) + 0.001, (of, value)


def test_an_unknown_latency_is_refused(store: Store) -> None:
    with pytest.raises(Unknown, match="did you mean 'ttft_ms'"):
        store.heat("tftt_ms", since=JUNE, until=JUNE + HOUR, step=HOUR)


def answered(minute: float, version: str | None, **more: Any) -> Call:
    told = {"provider": "p", "request_model": "m", "response_model": version, "model": "m", **more}
    return dataclasses.replace(at(minute * 60), **told)


def changes(store: Store, low: float = 0, high: float = 10 * 24 * 60) -> list[tuple[float, str, str]]:
    found = store.changes(since=JUNE + timedelta(minutes=low), until=JUNE + timedelta(minutes=high))
    return [((change.at - JUNE).total_seconds() / 60, change.before, change.after) for change in found]


def test_one_version_takes_over_though_the_other_answers_now_and_then(store: Store) -> None:
    old = [answered(minute, "a") for minute in range(0, 300, 3)]
    mixed = [answered(minute + 0.5, "b" if minute % 3 else "a") for minute in range(300, 360)]
    new = [answered(minute, "b") for minute in range(360, 700, 3)]
    strays = [answered(100.1, "b"), answered(500.1, "a"), answered(501.1, "a"), answered(420.2, None)]
    store.write([*old, *mixed, *new, *strays], "t")
    ((minute, before, after),) = changes(store)
    assert (before, after) == ("a", "b") and 300 <= minute <= 360


def test_a_single_call_in_a_quiet_hour_is_no_change(store: Store) -> None:
    calls = [answered(hour * 60 + minute, "a") for hour in (0, 1, 3, 4) for minute in range(10)]
    store.write([*calls, answered(130, "b"), answered(400, "b")], "t")
    assert changes(store) == []
    store.write([answered(410 + place, "b") for place in range(10)], "enough")
    assert changes(store) == [(360, "a", "b")]


def test_one_that_takes_over_two_hours_after_its_first_answer_did_so_with_that(store: Store) -> None:
    old = [answered(minute, "a") for minute in range(0, 300, 3)]
    store.write([*old, answered(190.1, "b"), *(answered(minute, "b") for minute in range(300, 500, 3))], "t")
    ((minute, before, after),) = changes(store)
    assert (minute, before, after) == (pytest.approx(190.1), "a", "b")


def test_half_and_half_is_no_change(store: Store) -> None:
    calls = [answered(minute, "a" if minute % 2 else "b") for minute in range(100, 600)]
    store.write([answered(1, "a"), *calls], "t")
    assert changes(store) == []


@pytest.mark.parametrize(("low", "step"), [(285.3, 1), (290, 1), (240.5, 5), (180, 5)])
def test_a_change_is_told_within_minutes(store: Store, low: float, step: int) -> None:
    old = [answered(minute / 12, "a") for minute in range(100 * 12, 295 * 12)]
    new = [answered(295 + minute / 12, "b") for minute in range(2 * step * 12)]
    store.write([*old, *new[:-1]], "t")
    until = 295 + 2 * step
    assert changes(store, low, until) == [(295, "a", "b")]
    assert changes(store, low, until - step) == []
    assert changes(store, 0, 297) == []  # of whole hours, of which the old one has the last


def test_where_little_is_asked_the_hours_tell_of_a_short_range_too(store: Store) -> None:
    old, new = range(200, 300, 5), range(300, 360, 5)
    store.write([*(answered(minute, "a") for minute in old), *(answered(minute, "b") for minute in new)], "t")
    assert changes(store, 240, 360) == [(300, "a", "b")]


@pytest.mark.parametrize("a_minute", [4, 40])
def test_a_part_that_goes_elsewhere_is_no_change_within_minutes(store: Store, a_minute: int) -> None:
    share = [answered(100 + place / a_minute, "b" if place % 5 == 3 else "a") for place in range(15 * a_minute)]
    strays = [answered(107 + place / 100, "b") for place in range(9)]
    store.write([*share, *strays], "t")
    assert changes(store, 100, 115) == []


@pytest.mark.parametrize("where", [{}, ANYONE, {"provider": "a"}])
def test_versions_are_what_the_calls_say(store: Store, where: dict[str, Any]) -> None:
    chance = random.Random(5)
    calls = [
        dataclasses.replace(
            call,
            request_model=chance.choice(["x", "y"]),
            response_model=chance.choice([None, "x-1", "x-2"]),
            price_id=None if call.cost_usd is None else f"row {chance.randrange(3)}",
        )
        for call in [*traffic(1, 120, 1), *traffic(2, 120, 3)]
    ]
    store.write(calls, "t")
    low, high = JUNE + timedelta(minutes=50), JUNE + timedelta(days=2, hours=15, minutes=7)
    found = store.versions(where, since=low, until=high)
    wanted: dict[tuple[Any, ...], list[Call]] = {}
    for call in calls:
        if low <= call.started_at < high and ("provider" not in where or call.provider == "a"):
            wanted.setdefault((call.provider, call.request_model, call.response_model, call.model), []).append(call)
    assert len(found) == len(wanted)
    for version in found:
        group = wanted[version.provider, version.request_model, version.response_model, version.model]
        costs = [call.cost_usd for call in group if call.cost_usd is not None]
        assert version.calls == len(group) and version.priced_calls == len(costs)
        assert version.cost_usd == (pytest.approx(float(sum(costs))) if costs else None)
        assert (version.first_seen, version.last_seen) == (
            min(call.started_at for call in group),
            max(call.started_at for call in group),
        )
        priced = [call for call in group if call.price_id]
        last = max(priced, key=lambda call: call.started_at).price_id if priced else None
        assert version.price_id == last


def test_of_calls_that_are_gone_the_hour_is_told(store: Store) -> None:
    store.write([answered(10, "a"), answered(130, "a")], "t")
    store.engine.command("ALTER TABLE calls DELETE WHERE 1", mutations_sync=1)
    (version,) = store.versions(since=JUNE, until=JUNE + timedelta(days=1))
    assert (version.calls, version.price_id) == (2, None)
    assert (version.first_seen, version.last_seen) == (JUNE, JUNE + 3 * HOUR - timedelta(microseconds=1))

"""Counting about ourselves: declared names only, several steps at once, over a restart."""

from __future__ import annotations

import json
import threading

import pytest

from tachograph.health import COUNTERS, GAUGES, INTERRUPTED, Health


def balanced(counts: dict[str, object]) -> bool:
    def whole(name: str) -> int:
        value = counts[name]
        return sum(value.values()) if isinstance(value, dict) else value  # type: ignore[return-value]

    fates = ("items_stored_total", "items_deduplicated_total", "items_refused_total", "items_ignored_total")
    return whole("items_accepted_total") == sum(map(whole, fates)) + whole("items_in_flight")


def test_names_are_declared_once_and_nothing_else_is_counted() -> None:
    names = [one.name for one in (*COUNTERS, *GAUGES)]
    assert len(set(names)) == len(names)
    assert all(one.name.endswith("_total") for one in COUNTERS)
    for count in (Health().add, Health().set):
        with pytest.raises(KeyError):
            count("calls_forgotten_total", 1)


def test_whoever_looks_sees_a_change_whole() -> None:
    health, seen, stop = Health(), [], threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.append(balanced(health.snapshot()))  # type: ignore[arg-type]

    looking = threading.Thread(target=look)
    looking.start()
    for _ in range(3000):
        health.change(("items_accepted_total", 5, "otlp_http"), ("items_in_flight", 5, ""))
        health.change(("items_in_flight", -5, ""), ("items_stored_total", 3, ""), ("items_ignored_total", 2, "roll_up"))
    stop.set()
    looking.join()
    assert all(seen)
    assert health.snapshot()["items_stored_total"] == 9000


def test_a_restart_keeps_the_counts_and_the_balance() -> None:
    before = Health()
    before.change(("items_accepted_total", 10, "otlp_http"), ("items_in_flight", 4, ""), ("items_stored_total", 6, ""))
    before.add("batch_seconds_total", 0.125)
    before.set("store_lag_seconds", 3.0)
    after = Health()
    after.add("calls_flagged_total", label="odd")
    after.restore(json.loads(json.dumps(before.snapshot())) | {"gone_total": 3})
    counts = after.snapshot()
    assert counts["items_accepted_total"] == {"otlp_http": 10}
    assert counts["items_refused_total"] == {INTERRUPTED: 4}
    assert (counts["batch_seconds_total"], counts["store_lag_seconds"]) == (0.125, 0)
    assert counts["calls_flagged_total"] == {"odd": 1}
    assert balanced(counts)  # type: ignore[arg-type]


def test_a_label_has_a_bounded_number_of_values() -> None:
    health = Health()
    for number in range(300):
        health.add("items_refused_total", label=f"reason {number}")
    counts = health.snapshot()["items_refused_total"]
    assert isinstance(counts, dict)
    assert (len(counts), counts["other"], sum(counts.values())) == (201, 100, 300)

"""What services report about themselves: kept, each point once, and apart from the calls."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.store.seeing import assert_rolled, put, seen

from tachograph.call import EPOCH
from tachograph.store import Store, open_store

# Lately: points are kept for 90 days.
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
AROUND = {"since": NOON - timedelta(days=1), "until": NOON + timedelta(days=1)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"chdb://{tmp_path}") as store:
        yield store


def point(name: str, after: float = 0.0, **fields: Any) -> dict[str, Any]:
    moment = NOON + timedelta(seconds=after)
    told = {
        "time": (moment - EPOCH) // timedelta(microseconds=1),
        "received_at": moment,
        "metric": "gen_ai.client.token.usage",
        "unit": "{token}",
        "kind": "histogram",
        "temporality": "delta",
        "service": "shop",
        "environment": "prod",
        "provider": "openai",
        "operation": "chat",
        "model": "m",
        "token_type": "input",
        "labels": {"server.address": "api.openai.com"},
        "value": 100.0,
        "count": 2,
        "point_id": hashlib.sha256(name.encode()).digest()[:16],
    }
    return {**told, **fields}


def test_a_point_that_comes_again_is_kept_once(store: Store) -> None:
    points = [point("a"), point("b", 10), point("c", 20, service="other", metric="llm.usage")]
    assert store.write_points(points) == 3
    assert store.write_points(points) == 0
    assert store.write_points([points[1], point("d", 30), points[1], point("d", 30)]) == 1
    assert store.write_points([]) == 0
    assert store.engine.query("SELECT count(), uniqExact(point_id) FROM metric_points") == [(4, 4)]


def test_a_point_that_comes_again_to_a_new_process_is_kept_once(tmp_path: Path) -> None:
    for new in (1, 0):
        with open_store(f"chdb://{tmp_path}") as store:
            assert store.write_points([point("a")]) == new


def test_points_that_differ_only_in_their_id_are_two(store: Store) -> None:
    assert store.write_points([point("a"), point("b")]) == 2
    (row,) = store.reported(**AROUND)
    assert (row["points"], row["value"]) == (2, 200.0)


def test_deltas_are_added_and_totals_are_what_they_grew_by(store: Store) -> None:
    store.write_points([point(f"d{place}", place) for place in range(3)])
    total = {"temporality": "cumulative", "token_type": "output", "kind": "sum"}
    store.write_points([point(f"c{place}", place, value=1000.0 + 7 * place, **total) for place in range(4)])
    store.write_points([point("once", service="young", value=5.0, temporality="cumulative")])
    rows = {(row["service"], row["token_type"]): row["value"] for row in store.reported(**AROUND)}
    assert rows == {("shop", "input"): 300.0, ("shop", "output"): 21.0, ("young", "input"): 5.0}
    assert store.reported(since=NOON + timedelta(days=1), until=NOON + timedelta(days=2)) == []


def test_points_are_never_added_to_calls(store: Store) -> None:
    """A service that sends spans and metrics says everything twice; it is counted once."""
    put(store, [seen("call", NOON, service="shop", tokens=100)])
    store.write_points([point("a", value=100.0), point("b", value=10.0, token_type="output")])
    for by in ((), "service", "model", "user_id"):
        (row,) = store.ask(["calls", "input_tokens", "total_tokens"], by, **AROUND).rows
        assert row.values == (1, 100, 110)
    assert store.stats().calls == 1
    assert {row["token_type"]: row["value"] for row in store.reported(**AROUND)} == {"input": 100.0, "output": 10.0}
    assert_rolled(store)

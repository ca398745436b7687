"""What the screens look at: heat, versions, prices, rate limits, words, and a question as text."""

from __future__ import annotations

import dataclasses
import itertools
import json
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.strategies import at
from tests.web.serving import NOW, parts_over, serving

from tachograph import pricing
from tachograph.call import Call, derive_id
from tachograph.store import MEASURES, Store
from tachograph.store.conditions import DIMENSIONS

DAY = {"since": "2026-11-01", "until": "2026-11-02"}


@pytest.fixture(scope="module")
def address(store: Store) -> Iterator[str]:
    paid = {"provider": "dear", "cost_usd": Decimal(1), "team": "dear"}
    store.write([stated(minute) for minute in range(3)], "stated")
    for minute, price in ((0, "dear/a@start"), (1, "dear/a@2026-11-02"), (2, None)):
        moment = stated(minute).started_at
        store.write([stated(minute, price_id=price, call_id=derive_id(moment, b"dear"), **paid)], f"dear {minute}")
    with serving(parts_over(store)) as served:
        yield served


def stated(minute: int, **more: Any) -> Call:
    moment = datetime(2026, 11, 2, 12, minute, tzinfo=UTC)
    told: dict[str, Any] = {
        "provider": "acme", "request_model": "acme-1", "model": "acme-1", "api_key_id": "k",
        "ratelimit_limit_tokens": 1000, "ratelimit_remaining_tokens": 900 - minute,
        "ratelimit_reset_tokens_ms": 1.5, "ratelimit_remaining_requests": 7 if minute == 0 else None,
        "started_at": moment, "call_id": derive_id(moment, b"stated"), "received_at": moment,
    }  # fmt: skip
    return dataclasses.replace(at(0), **{**told, **more})


def get(address: str, path: str, **query: Any) -> Any:
    url = f"{address}/api/v1/{path}?{urllib.parse.urlencode(query, doseq=True)}"
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=30) as answer:
        return json.loads(answer.read())


def test_the_vocabulary_is_what_may_be_asked(address: str) -> None:
    words = get(address, "vocabulary")
    assert [word["name"] for word in words["measures"]] == list(MEASURES)
    assert [word["name"] for word in words["dimensions"]] == list(DIMENSIONS)
    assert {"name": "team", "meaning": "chargeback: team", "section": "who"} in words["dimensions"]
    assert "trace_id" in {word["name"] for word in words["identities"]}
    assert {"duration_ms", "cost_usd"} < {word["name"] for word in words["quantities"]}
    assert "tags" in words["maps"] and "rate_limited" in words["error_types"] and "ok" in words["outcomes"]


def test_heat_counts_every_call_that_states_the_latency(address: str, store: Store) -> None:
    for of in ("duration_ms", "ttft_ms"):
        heat = get(address, "heat", of=of, step="6h", **DAY)
        counted = store.engine.query(
            f"SELECT count({of}) FROM calls WHERE toDate(started_at) = '2026-11-01' AND same_as IS NULL"
        )
        assert (sum(calls for _, _, calls in heat["rows"]),) == counted[0]
        assert heat["step_seconds"] == 21600 and {at % 21600 for at, _, _ in heat["rows"]} == {0}
        ends = [(bucket["low_ms"], bucket["high_ms"]) for bucket in heat["buckets"]]
        assert all(high == low for (_, high), (low, _) in itertools.pairwise(ends))
        assert max(place for _, place, _ in heat["rows"]) == len(ends) - 1


def test_heat_has_a_step_of_its_own_where_none_is_told(address: str) -> None:
    assert get(address, "heat", **DAY)["step_seconds"] == 1800


def test_models_tell_what_has_no_price_and_the_lines_that_give_it_one(address: str) -> None:
    found = get(address, "models", since="2026-11-01")["models"]
    (unpriced,) = [row for row in found if row["provider"] == "acme"]
    assert unpriced["calls"] == 3 and unpriced["priced_calls"] == 0 and unpriced["cost_usd"] is None
    assert unpriced["first_seen"] == "2026-11-02T12:00:00Z" and unpriced["last_seen"] == "2026-11-02T12:02:00Z"
    book = pricing.price_book(tomllib.loads(unpriced["fix"]))
    assert book.charge(stated(1, input_uncached=10, output_visible=5)).price_status == "priced"
    assert [row["price_id"] for row in found if row["provider"] == "dear"] == ["dear/a@2026-11-02"]
    assert all(row["fix"] is None for row in found if row["priced_calls"] == row["calls"])


def test_the_dated_rows_of_a_model(address: str) -> None:
    found = get(address, "prices", provider="openai", model="gpt-4o")
    assert found["fix"] is None
    assert next(row for row in found["rows"] if row["in_force"])["rates"]["input_uncached"] == "2.5"
    nothing = get(address, "prices", provider="acme", model="acme-1")
    assert nothing["rows"] == [] and "[[price]]" in nothing["fix"]


def test_headroom_is_what_was_stated_last(address: str) -> None:
    (row,) = [row for row in get(address, "headroom", since="24h")["rows"] if row["provider"] == "acme"]
    assert row == {
        "provider": "acme", "model": "acme-1", "api_key_id": "k", "at": "2026-11-02T12:02:00Z",
        "limit_requests": None, "remaining_requests": 7, "reset_requests_ms": None,
        "limit_tokens": 1000, "remaining_tokens": 898, "reset_tokens_ms": 1.5,
    }  # fmt: skip
    assert get(address, "headroom", since="24h", where="provider=nobody")["rows"] == []


def test_a_question_as_text_runs_as_it_stands(address: str, store: Store) -> None:
    nasty = "it's \\ {p0:String} `"
    store.write([stated(9, team=nasty)], "nasty")
    for query in (
        {"measure": "calls,cost_usd,duration_p95_ms", "by": "model", "since": "2026-11-01T00:07:00Z"},
        {"measure": "error_rate", "by": ["team", "tags.a`b"], "step": "6h", "since": "3d"},
        {"measure": "calls", "where": [f"team={nasty}", "provider=acme,openai"], "since": "3d"},
        {"measure": "cost_usd", "by": "user_id", "limit": 3, "where": "streamed=true", "since": "3d"},
    ):
        series = get(address, "ask", **query)
        rows = store.engine.query(get(address, "ask/text", **query)["sql"])
        shown = [tuple(row.values()) for row in series["rows"]]
        assert [tuple(map(plain, row)) for row in rows] == shown, query
    assert shown and get(address, "ask", measure="calls", where=f"team={nasty}", since="3d")["rows"] == [{"calls": 1}]


def plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    return float(value) if isinstance(value, Decimal) else value


def test_what_prometheus_cannot_tell_says_why(address: str) -> None:
    told = get(address, "ask/text", measure="cost_usd,retries,duration_p95_ms", by="model", step="10m")
    assert told["promql"] == [
        {"measure": "cost_usd", "expression": "sum by (model) (increase(tachograph_cost_usd_total[600s]))"}
    ]
    assert {missing["measure"] for missing in told["promql_missing"]} == {"retries", "duration_p95_ms"}


@pytest.mark.parametrize(
    "path", ["heat?of=cost", "prices", "models?since=x", "changes?until=x", "headroom?where=modell=a", "ask/text?by=x"]
)
def test_what_makes_no_sense_is_refused(address: str, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{address}/api/v1/{path}", timeout=30)
    assert refused.value.code == 400
    refused.value.close()


def test_certain_teams_are_shown_theirs_alone(store: Store) -> None:
    from tachograph.web.scoping import TeamData
    from tachograph.web.views import TeamViews

    theirs = TeamViews(store, TeamData(store, ["growth"]).theirs)  # type: ignore[arg-type]
    whole = {"since": NOW - timedelta(days=3), "until": NOW}
    own = store.ask("calls", where={"team": "growth"}, **whole).rows[0].values[0]
    assert sum(version.calls for version in theirs.versions(**whole)) == own
    assert theirs.headroom(**whole) == []
    assert "growth" in theirs.statement("calls", **whole)
    heat = theirs.heat("duration_ms", step=timedelta(hours=1), **whole)
    assert sum(calls for _, _, calls in heat.cells) <= (own or 0)

"""The page: both formats, read back by independent readers, and to the liking of promtool."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from tests.prometheus.tools import promtool
from tests.strategies import at, calls

from tachograph.call import Call
from tachograph.flow.batch import to_batch
from tachograph.health import COUNTERS, Health
from tachograph.prometheus import Metrics
from tachograph.testing import generated_day

# What Prometheus 2.42 and 3 send.
ACCEPT_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
ACCEPT_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3"
unhurried = settings(deadline=None, max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])
TRACE = "0af7651916cd43dd8448eb211c80319c"


def metrics(found: list[Call], health: Health | None = None) -> Metrics:
    page = Metrics(health or Health())
    page.observe(to_batch(found))
    return page


def day() -> list[Call]:
    """A day's traffic with everything on the page: traces, errors, gaps, costs, credits, models without a price."""
    found = list(generated_day(date(2026, 6, 1), 500))
    for index, call in enumerate(found):
        call.trace_id = f"{index + 1:032x}"
        call.cost_usd = Decimal(index - 2) / 1000
        call.cost_source = "list"
        call.price_status = "priced" if index % 7 else "unpriced_model"
    return found


def busy_health() -> Health:
    health = Health()
    for counter in COUNTERS:
        health.add(counter.name, 3, "word" if counter.label else "")
    health.set("items_in_flight", 2)
    health.set("store_lag_seconds", 0.25)
    return health


def test_the_format_is_the_one_that_was_asked_for() -> None:
    page = metrics(day())
    for accept in (ACCEPT_2, ACCEPT_3):
        body, kind = page.exposition(accept)
        assert kind.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
        assert body.endswith(b"# EOF\n")
    for plain in (None, "", "*/*", "text/html", "text/plain"):
        body, kind = page.exposition(plain)
        assert kind.startswith("text/plain; version=0.0.4")
        assert b"# EOF" not in body
        assert b"trace_id" not in body


def test_both_formats_say_the_same() -> None:
    page = metrics(day(), busy_health())

    def read(body: bytes, reader: object) -> dict[object, float]:
        families = reader(body.decode())  # type: ignore[operator]
        samples = [sample for family in families for sample in family.samples if not family.name.startswith("process")]
        found = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
        assert len(found) == len(samples)
        return found

    openmetrics = read(page.exposition(ACCEPT_2)[0], read_openmetrics)
    assert read(page.exposition(None)[0], read_text) == openmetrics
    assert openmetrics["tachograph_items_accepted_total", (("door", "word"),)] == 3
    assert openmetrics["tachograph_store_lag_seconds", ()] == 0.25
    assert len(openmetrics) > 500


def test_a_call_on_the_page() -> None:
    found = at(
        0,
        provider="openai",
        model="gpt-5",
        request_model="gpt-5",
        operation="chat",
        team="search",
        duration_ms=1500.0,
        input_uncached=100,
        input_tokens=100,
        cost_usd=Decimal("0.0125"),
        cost_source="list",
        trace_id=TRACE,
    )
    lines = metrics([found]).exposition(ACCEPT_2)[0].decode().splitlines()
    otel = 'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-5"'
    labels = f'error_type="",{otel},gen_ai_response_model=""'
    name = "gen_ai_client_operation_duration_seconds"
    assert f'{name}_bucket{{{labels},le="1.28"}} 0.0' in lines
    assert f'{name}_bucket{{{labels},le="2.56"}} 1.0 # {{trace_id="{TRACE}"}} 1.5 1780272000.0' in lines
    assert f'{name}_bucket{{{labels},le="+Inf"}} 1.0' in lines
    assert f"{name}_sum{{{labels}}} 1.5" in lines
    assert f"# UNIT {name} seconds" in lines
    own = 'model="gpt-5",provider="openai",team="search"'
    assert f'tachograph_cost_usd_total{{cost_source="list",{own}}} 0.0125' in lines
    assert f'tachograph_tokens_total{{{own},token_type="input_uncached"}} 100.0' in lines
    assert 'tachograph_calls_total{model="gpt-5",outcome="ok",provider="openai",team="search"} 1.0' in lines


def test_promtool_has_no_complaint() -> None:
    code, said = promtool("check", "metrics", page=metrics(day(), busy_health()).exposition(None)[0])
    assert (code, said) == (0, "")


def test_promtool_does_complain_where_there_is_something_to() -> None:
    body = metrics(day()).exposition(None)[0].replace(b"tachograph_calls_total", b"tachograph_calls")
    code, said = promtool("check", "metrics", page=body)
    assert code != 0
    assert "tachograph_calls" in said


@unhurried
@given(st.lists(calls(itl_buckets=st.none()), min_size=1, max_size=4))
def test_whatever_is_stored_can_be_read_back(found: list[Call]) -> None:
    body = metrics(found).exposition(ACCEPT_2)[0].decode()
    samples = [sample for family in read_openmetrics(body) for sample in family.samples]
    counted = [sample.value for sample in samples if sample.name == "tachograph_calls_total"]
    assert sum(counted) == sum(call.same_as is None for call in found)


def test_counters_of_health_survive_a_restart_with_the_traffic() -> None:
    before = metrics(day(), busy_health())
    after = Metrics(Health())
    after.restore(before.snapshot())

    def lines(page: Metrics) -> set[str]:
        gone = ("process_", "tachograph_items_in_flight", "tachograph_store_lag", "tachograph_items_refused")
        return {line for line in page.exposition(ACCEPT_2)[0].decode().splitlines() if not line.startswith(gone)}

    assert lines(after) == lines(before)
    assert 'tachograph_items_refused_total{reason="interrupted"} 2.0' in after.exposition(None)[0].decode()


@pytest.mark.parametrize("snapshot", [{}, {"traffic": {}}, {"health": {}}])
def test_a_snapshot_of_nothing_is_restored(snapshot: dict[str, object]) -> None:
    page = Metrics(Health())
    page.restore(snapshot)
    assert page.snapshot()["health"] == Health().snapshot()

"""What a real Prometheus makes of the page: quantiles, costs, exemplars, and a restart that nobody notices."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from tests.prometheus.scraped import SCRAPE_SECONDS, Prometheus, scraping

from tachograph.call import Call
from tachograph.flow.batch import to_batch
from tachograph.health import Health
from tachograph.prometheus import Metrics

DURATION = "gen_ai_client_operation_duration_seconds"
BOUNDS = [0, *(0.01 * 2**power for power in range(14)), math.inf]
NASTY = 'a\0b\n"c"\\d\x1b\u2028é'


def made(count: int, seed: int) -> list[Call]:
    """Calls of two models with known durations, costs and trace ids, received now."""
    chance, now = random.Random(seed), datetime.now(UTC)
    return [
        Call(
            call_id=f"{seed * 10**6 + index:032x}",
            trace_id=f"{seed * 10**6 + index + 1:032x}",
            started_at=now,
            received_at=now + timedelta(microseconds=index),
            provider="openai",
            operation="chat",
            model=("gpt-5", "gpt-5-mini")[index % 2],
            request_model=("gpt-5", "gpt-5-mini")[index % 2],
            team=NASTY,
            duration_ms=round(chance.lognormvariate(7, 0.8), 3),
            ttft_ms=round(chance.lognormvariate(5, 0.5), 3),
            cost_usd=Decimal(chance.randrange(1, 10**6)) / 10**6,
            cost_source="list",
            input_uncached=chance.randrange(1, 5000),
        )
        for index in range(count)
    ]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    page = Metrics(Health())
    page.observe(to_batch(made(2, seed=1)))  # so that every series has begun before anything is measured
    with scraping(page, tmp_path_factory.mktemp("prometheus")) as found:
        yield found


def bucket(seconds: float) -> tuple[float, float]:
    """The bounds between which a value lies: as near as a histogram can say."""
    place = next(index for index, bound in enumerate(BOUNDS) if seconds <= bound)
    return BOUNDS[place - 1], BOUNDS[place]


def test_prometheus_computes_the_truth(prometheus: Prometheus) -> None:
    found = made(4000, seed=2)
    prometheus.target.metrics.observe(to_batch(found))
    prometheus.scraped_anew()
    assert prometheus.target.kinds == {"application/openmetrics-text"}
    every = [*made(2, seed=1), *found]
    quantiles = prometheus.query(f"histogram_quantile(0.95, sum by (le, gen_ai_request_model) ({DURATION}_bucket))")
    first_chunks = prometheus.query(
        "histogram_quantile(0.95, sum by (le) (gen_ai_client_operation_time_to_first_chunk_seconds_bucket))"
    )
    for model in ("gpt-5", "gpt-5-mini"):
        durations = sorted(call.duration_ms / 1000 for call in every if call.model == model and call.duration_ms)
        low, high = bucket(durations[math.ceil(0.95 * len(durations)) - 1])
        assert low < quantiles[(("gen_ai_request_model", model),)] <= high
        costs = sum(call.cost_usd or 0 for call in every if call.model == model)
        told = prometheus.value(f'sum(tachograph_cost_usd_total{{model="{model}"}})')
        assert told == pytest.approx(float(costs), rel=1e-12)
    ttfts = sorted(call.ttft_ms / 1000 for call in every if call.ttft_ms)
    low, high = bucket(ttfts[math.ceil(0.95 * len(ttfts)) - 1])
    assert low < first_chunks[()] <= high
    assert prometheus.value("sum(tachograph_calls_total)") == len(every)
    tokens = sum(call.input_uncached or 0 for call in every)
    assert prometheus.value('sum(tachograph_tokens_total{token_type="input_uncached"})') == tokens


def test_the_increase_of_the_cost_is_what_was_spent(prometheus: Prometheus) -> None:
    prometheus.scraped_anew(5)  # what was counted before lies before the window
    since = time.time() - 2 * SCRAPE_SECONDS
    spent = made(100, seed=3)
    prometheus.target.metrics.observe(to_batch(spent))
    prometheus.scraped_anew()
    truth = float(sum(call.cost_usd or 0 for call in spent if call.model == "gpt-5"))
    told, stretched_max = prometheus.increase('tachograph_cost_usd_total{model="gpt-5"}', since)
    assert truth * 0.999999 <= told <= truth * stretched_max * 1.000001


def test_a_bucket_leads_to_a_call_that_fell_in_it(prometheus: Prometheus) -> None:
    found = made(500, seed=4)
    prometheus.target.metrics.observe(to_batch(found))
    prometheus.scraped_anew()
    by_trace = {call.trace_id: call for call in found}
    shown = [one for one in prometheus.exemplars(f"{DURATION}_bucket") if one["labels"]["trace_id"] in by_trace]
    reached = {(call.model, bucket((call.duration_ms or 0) / 1000)) for call in found}
    assert len(shown) == len(reached)
    for one in shown:
        call = by_trace[one["labels"]["trace_id"]]
        assert float(one["value"]) * 1000 == pytest.approx(call.duration_ms)
        assert one["timestamp"] == pytest.approx(call.received_at.timestamp(), abs=0.002)


def test_what_a_user_sends_as_a_label_breaks_nothing(prometheus: Prometheus) -> None:
    (labels,) = prometheus.query("sum by (team) (tachograph_calls_total)")
    assert dict(labels)["team"] == NASTY


@pytest.mark.parametrize("restored", [True, False])
def test_a_restart_is_no_reset(prometheus: Prometheus, restored: bool) -> None:
    """20 calls of a model come after the last scrape before the restart, 10 after it.

    Without the snapshot Prometheus sees a reset and misses the 20: the test can tell the two apart.
    """
    selector = 'tachograph_calls_total{model="gpt-5"}'
    prometheus.scraped_anew(5)
    before, since = prometheus.value(selector), time.time() - 2 * SCRAPE_SECONDS
    ended, begun = Metrics(Health()), Metrics(Health())
    ended.restore(prometheus.target.metrics.snapshot())
    ended.observe(to_batch(made(40, seed=5 + restored)))
    if restored:
        begun.restore(json.loads(json.dumps(ended.snapshot())))
    begun.observe(to_batch(made(20, seed=7 + restored)))
    prometheus.target.metrics = begun
    prometheus.scraped_anew()
    resets = prometheus.value(f"resets({selector}[{math.ceil(time.time() - since)}s])")
    told, stretched_max = prometheus.increase(selector, since)
    truth = 30 if restored else 10
    assert (prometheus.value(selector), resets) == ((before + 30, 0) if restored else (10, 1))
    assert truth * 0.999 <= told <= truth * stretched_max * 1.001

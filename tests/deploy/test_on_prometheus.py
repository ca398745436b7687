"""Every query of the dashboards on Prometheus, asked of a real one that scrapes our page and follows the rules."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from tests.deploy.expanding import Json, View, dashboards, panels
from tests.prometheus.scraped import Prometheus, scraping
from tests.prometheus.tools import RULES

from tachograph.call import Call
from tachograph.flow.batch import to_batch
from tachograph.health import COUNTERS, GAUGES, Health
from tachograph.prometheus import Metrics
from tachograph.testing import generated_day

pytestmark = pytest.mark.long

ALL = dashboards("prometheus")
TARGETS = [
    (f"{name}: {panel['title']}: {target['refId']}", panel, target)
    for name, one in ALL.items()
    for panel in panels(one)
    for target in panel["targets"]
]
CHOSEN = {"job": ["tachograph"], "provider": ["openai", "anthropic"], "model": ["gpt-5", "claude-sonnet-4-5"]}
CHOSEN |= {"team": ["search", "support"], "requested": ["gpt-5", "claude-sonnet-4-5"]}


def traffic(seed: int, count: int = 3000) -> list[Call]:
    """Calls of a day, with costs, credits, caches and models without a price."""
    found = list(generated_day(date(2026, 6, 1), count, seed))
    for index, call in enumerate(found):
        call.received_at = datetime.now(UTC)
        call.model = call.model or (call.request_model or "").removeprefix("us.amazon.")
        call.price_status = "priced" if index % 7 else "unpriced_model"
        call.cost_source = "list"
        call.cost_usd = Decimal(1 + index % 50 - (2 if index % 50 == 0 else 0)) / 1000 if index % 7 else None
    return found


def busy(health: Health, times: int) -> None:
    """Everything that we count about ourselves, with a ledger that adds up."""
    for counter in COUNTERS:
        health.add(counter.name, 3 * times, "word" if counter.label else "")
    health.add("items_accepted_total", 9 * times + (2 if times == 1 else 0), "word")
    for gauge in GAUGES:
        health.set(gauge.name, 2)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Every series has begun, and then counted on; the rules are followed twice a second instead of twice a minute."""
    folder, health = tmp_path_factory.mktemp("prometheus"), Health()
    rules = folder / "recording_rules.yml"
    rules.write_text(re.sub(r"interval: \d+s", "interval: 500ms", (RULES / rules.name).read_text()))
    page = Metrics(health)
    page.observe(to_batch(traffic(1)))
    busy(health, 1)
    with scraping(page, folder, [rules]) as running:
        running.scraped_anew(4)
        page.observe(to_batch(traffic(1)))  # the same once more: every series is stretched alike
        busy(health, 2)
        running.scraped_anew(4)
        running.query("model:tachograph_errors:ratio_rate5m >= 0")
        running.query("team:tachograph_cost_usd:per_hour > 0")
        running.query("instance:tachograph_ledger:difference_items")
        yield running


def answered(prometheus: Prometheus, panel: Json, target: Json, view: View) -> list[float]:
    """The figures of every series; of a course, all of them."""
    expression = view.promql(target["expr"])
    if target["instant"]:
        found = prometheus._get("query", query=expression, time=str(view.until))["result"]
        return [float(one["value"][1]) for one in found]
    assert panel["interval"] == "$interval"
    since, until = str(view.until - 60), str(view.until)
    found = prometheus._get("query_range", query=expression, start=since, end=until, step="1")["result"]
    return [float(value) for one in found for _, value in one["values"]]


def view(chosen: bool) -> View:
    now = math.ceil(time.time())
    return View(now - 3600, now, 60, CHOSEN if chosen else {})


@pytest.mark.parametrize(("panel", "target"), [each[1:] for each in TARGETS], ids=[each[0] for each in TARGETS])
def test_every_query_has_an_answer(prometheus: Prometheus, panel: Json, target: Json) -> None:
    for chosen in (False, True):
        found = answered(prometheus, panel, target, view(chosen))
        assert found, f"nothing, chosen: {chosen}"
        assert all(math.isfinite(value) for value in found)


def test_the_figures_are_right(prometheus: Prometheus) -> None:
    """Totals of the range: what came after the first scrape, stretched by Prometheus, each series alike."""
    state, now = {panel["title"]: panel for panel in panels(ALL["prometheus/overview"])}, view(False)
    time.sleep(max(0.0, now.until - time.time()))
    prometheus.scraped_anew(2)  # no sample comes into the range between two of the questions
    found = traffic(1)

    def told(title: str) -> float:
        (value,) = answered(prometheus, state[title], state[title]["targets"][0], now)
        return value

    stretched = told("Calls") / len(found)
    assert 1 <= stretched < 4  # a window that reaches back before the first sample is not filled up
    costs = float(sum(call.cost_usd or 0 for call in found))
    assert told("Cost") == pytest.approx(costs * stretched, rel=1e-6)
    errors = sum(call.outcome == "error" for call in found)
    assert told("Error rate") == pytest.approx(errors / len(found), rel=1e-6)
    unpriced = sum(call.price_status == "unpriced_model" for call in found)
    assert told("Unpriced") == pytest.approx(unpriced / len(found), rel=1e-6)
    cached = sum(call.cache_read or 0 for call in found)
    whole = sum(call.input_tokens or 0 for call in found)
    assert told("From a cache") == pytest.approx(cached / whole, rel=1e-6)
    durations = sorted(call.duration_ms / 1000 for call in found if call.duration_ms and call.error_type is None)
    exact = durations[math.ceil(0.95 * len(durations)) - 1]
    assert exact / 2 < told("p95 latency") < exact * 2  # as near as buckets of a doubling can say


def test_the_ledger_adds_up(prometheus: Prometheus) -> None:
    (panel,) = (panel for panel in panels(ALL["prometheus/health"]) if panel["title"] == "Unaccounted items")
    assert answered(prometheus, panel, panel["targets"][0], view(False)) == [0.0]


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_choice_has_values(prometheus: Prometheus, name: str) -> None:
    asked = [variable for variable in ALL[name]["templating"]["list"] if variable["type"] == "query"]
    assert asked
    for variable in asked:
        match = re.fullmatch(r"label_values\((.+), (\w+)\)", view(False).promql(variable["query"]["query"]))
        assert match
        values = prometheus._get(f"label/{match[2]}/values", **{"match[]": match[1]})
        assert set(values) & {*CHOSEN[variable["name"]]}

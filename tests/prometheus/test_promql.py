"""Questions as PromQL: every expression is accepted by promtool, and what there is none for says why."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.prometheus.tools import promtool

from tachograph.prometheus.promql import promql
from tachograph.store import MEASURES

LABELS = ("provider", "model", "team", "tags.tier")
TEN_MINUTES = timedelta(minutes=10)
NASTY = 'it\'s "a" \\ {b} (c|d) $ \n ü'


@pytest.mark.parametrize(
    ("by", "where"),
    [
        ((), {}),
        (("team", "model"), {"provider": "openai", "team": ["red", None, NASTY]}),
        (("provider",), {"tags.tier": NASTY}),
        (("request_model", "response_model"), {"operation": "chat", "provider": None}),
    ],
)
def test_promtool_accepts_every_expression(tmp_path: Path, by: tuple[str, ...], where: dict[str, object]) -> None:
    found, missing = promql(LABELS, list(MEASURES), by, where, TEN_MINUTES)
    assert {*found, *missing} == set(MEASURES) and found
    assert all(why and "\n" not in why for why in missing.values())
    rules = "".join(
        f"  - record: asked_{name}\n    expr: |\n      " + text.replace("\n", "\n      ") + "\n"
        for name, text in found.items()
    )
    file = tmp_path / "rules.yml"
    file.write_text(f"groups:\n- name: asked\n  rules:\n{rules}")
    code, said = promtool("check", "rules", str(file))
    assert code == 0, said


def test_the_expressions_by_hand() -> None:
    names = ["cost_usd", "error_rate", "duration_p95_ms", "ttft_p50_ms", "tokens_per_minute", "cache_hit_rate"]
    found, missing = promql(LABELS, names, (), {"provider": ["a", "b.c"]}, TEN_MINUTES)
    of = 'provider=~"a|b\\\\.c"'
    assert missing == {}
    assert found["cost_usd"] == f"sum (increase(tachograph_cost_usd_total{{{of}}}[600s]))"
    assert found["error_rate"] == (
        f'sum (increase(tachograph_calls_total{{outcome="error", {of}}}[600s]))'
        f" / sum (increase(tachograph_calls_total{{{of}}}[600s]))"
    )
    assert found["duration_p95_ms"] == (
        "histogram_quantile(0.95, sum by (le) (increase(gen_ai_client_operation_duration_seconds_bucket"
        '{gen_ai_provider_name=~"a|b\\\\.c"}[600s]))) * 1000'
    )
    assert "histogram_quantile(0.5, " in found["ttft_p50_ms"]
    assert found["tokens_per_minute"] == f"sum (increase(tachograph_tokens_total{{{of}}}[600s])) * 60 / 600"
    assert '[600s])) / sum (increase(tachograph_tokens_total{token_type=~"input_uncached|' in found["cache_hit_rate"]


def test_why_there_is_none() -> None:
    _, missing = promql(("model",), ["cost_usd", "duration_p95_ms", "retries"], ("team",), {}, TEN_MINUTES)
    assert missing["cost_usd"] == (
        "tachograph_cost_usd_total has no label for team: add it to the setting `metric_labels`"
    )
    assert (
        "gen_ai_client_operation_duration_seconds has no label for team: it is split by" in missing["duration_p95_ms"]
    )
    assert missing["retries"] == "no metric counts attempts"

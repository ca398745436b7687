"""PromQL for the dashboards on Prometheus: what is chosen, rates, totals, shares, quantiles.

In: names of metrics, labels. Out: queries as Grafana keeps them, with its variables in them.
What it must never know: a panel's title or place.

`increase` knows nothing of a series before its first sample: what a new label set counted until then is in no total.
ClickHouse has it.
"""

from __future__ import annotations

from typing import Any

from deploy.grafana.panels import AMBER, RED, Json, Source, Style, choice, interval_choice, source_choice

SOURCE = Source("prometheus", "prometheus", "Prometheus")

# The choices. `.*` also takes what has no such label: calls without a team are in.
JOB = 'job=~"$job"'
MODEL = f'{JOB},provider=~"$provider",model=~"$model"'
WHO = f'{MODEL},team=~"$team"'
OTEL = f'{JOB},gen_ai_provider_name=~"$provider",gen_ai_request_model=~"$requested"'
ANSWERED = f'{OTEL},error_type=""'  # a burst of quick refusals would make a slow model look fast

DURATION = "gen_ai_client_operation_duration_seconds"
TTFT = "gen_ai_client_operation_time_to_first_chunk_seconds"
GAPS = "gen_ai_client_operation_time_per_output_chunk_seconds"
_QUANTILES = (("p50", "0.5"), ("p95", "0.95"), ("p99", "0.99"))
RECORDED = "From a recording rule, over a window of 5 minutes."
RECORDED_15 = "From a recording rule, over a window of 15 minutes."

ERROR_STEPS = ((0.01, AMBER), (0.05, RED))
SECONDS = Style("s")
SHARE = Style("percentunit", high=1)


def asked(expression: str, legend: str = "", **more: Any) -> Json:
    """A query over the range."""
    made = {
        "datasource": SOURCE.reference,
        "editorMode": "code",
        "expr": expression,
        "legendFormat": legend or "__auto",
    }
    return {**made, "range": True, "instant": False, "refId": "A", **more}


def once(expression: str, **more: Any) -> Json:
    """A query that is answered once, at the end of the range."""
    return asked(expression, range=False, instant=True, **more)


def listed(expression: str) -> Json:
    """A query that is answered once, with rows."""
    return once(expression, format="table")


def rate(metric: str, by: str = "", chosen: str = WHO) -> str:
    """So much a second."""
    return f"sum{_by(by)} (rate({metric}{{{chosen}}}[$__rate_interval]))"


def total(metric: str, by: str = "", chosen: str = WHO) -> str:
    """So much over the range."""
    return f"sum{_by(by)} (increase({metric}{{{chosen}}}[$__range]))"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


def owed(by: str = "", chosen: str = WHO) -> str:
    """Costs less credits; most sources never give credits, and then there is no such series."""
    cost = total("tachograph_cost_usd_total", by, chosen)
    return f"({cost} - ({total('tachograph_credits_usd_total', by, chosen)} or 0 * {cost}))"


def share(part: str, whole: str) -> str:
    """A part that never happened has no series: that is a share of 0."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def quantile(level: str, metric: str, chosen: str, by: str = "", window: str = "$__rate_interval") -> str:
    """A quantile of a histogram; `>= 0` drops what is of no call."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({level}, sum by ({labels}) (rate({metric}_bucket{{{chosen}}}[{window}]))) >= 0"


def quantiles(metric: str, chosen: str) -> list[Json]:
    """Median, 95th and 99th percentile over time."""
    return [asked(quantile(level, metric, chosen), name) for name, level in _QUANTILES]


def recorded(name: str, chosen: str, legend: str = "{{provider}} {{model}}") -> Json:
    """What a recording rule has made."""
    return asked(f"{name}{{{chosen}}}", legend)


def latency(metric: str) -> Json:
    """The recorded 95th percentile of a latency, by requested model."""
    return recorded(f"model:{metric}:p95_5m", OTEL, "{{gen_ai_provider_name}} {{gen_ai_request_model}}")


def _label(label: str, metric: str, chosen: str = "") -> Json:
    text = f"label_values({metric}{{{chosen}}}, {label})"
    return {"qryType": 1, "query": text, "refId": "PrometheusVariableQueryEditor-VariableQuery"}


def variables(*names: str) -> list[Json]:
    """The choices of a dashboard: the data source, the values of these labels, the step."""
    calls, timed = "tachograph_calls_total", f"{DURATION}_count"
    chosen = f'{JOB},provider=~"$provider"'
    known = {
        "job": ("Job", _label("job", "tachograph_build_info")),
        "provider": ("Provider", _label("provider", calls, JOB)),
        "model": ("Model", _label("model", calls, chosen)),
        "team": ("Team", _label("team", calls, chosen)),
        "requested": (
            "Requested model (latency)",
            _label("gen_ai_request_model", timed, f'{JOB},gen_ai_provider_name=~"$provider"'),
        ),
    }
    choices = [choice(name, known[name][0], SOURCE, known[name][1], every=".*") for name in names]
    return [source_choice(SOURCE), *choices, interval_choice()]

"""The overview on Prometheus: cost, tokens, latency, errors, cache.

In: nothing. Out: the dashboard.
What it must never know: SQL, how a panel is written.

Where a figure is split by provider and model, the recorded series of `deploy/prometheus/recording_rules.yml` are taken:
they are few, so that a month is quick. They know neither teams nor, for latencies, the version that answered; there the
metrics themselves are asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from deploy.grafana.panels import AMBER, RED, Json, Style, dashboard, figures, heat, lines, table
from deploy.grafana.promql import (
    ANSWERED,
    DURATION,
    ERROR_STEPS,
    GAPS,
    MODEL,
    OTEL,
    RECORDED,
    RECORDED_15,
    SECONDS,
    SHARE,
    TTFT,
    WHO,
    asked,
    latency,
    listed,
    once,
    owed,
    quantile,
    quantiles,
    rate,
    recorded,
    share,
    total,
    variables,
)


def overview() -> Json:
    """The dashboard."""
    rows: Sequence[tuple[str, Sequence[Json]]] = (
        ("Now, and over the range", _state()),
        ("Latency: of calls that did not fail", _latencies()),
        ("Cost and tokens", _money()),
        ("Errors and calls", _errors()),
    )
    meaning = (
        "Cost, tokens, latency and errors of all model traffic, from Prometheus. Latencies are split by the requested "
        "model and the version that answered, the rest by the canonical model. A call that several instruments saw "
        "counts once. What is not known is in no sum: see the unpriced calls."
    )
    chosen = variables("job", "provider", "model", "team", "requested")
    return dashboard("tachograph-prometheus-overview", "Tachograph: overview", meaning, rows, chosen)


def _state() -> list[Json]:
    calls = total("tachograph_calls_total")
    hourly = f"sum (team_model:tachograph_cost_usd:per_hour{{{WHO}}})"
    shares = ((0.000001, AMBER), (0.05, RED))
    return [
        figures("Cost an hour", "US dollars an hour, over the last 15 minutes.", [once(hourly)], Style("currencyUSD")),
        figures(
            "Cost",
            "US dollars over the range, less credits. Calls without a price are not in it.",
            [once(owed())],
            Style("currencyUSD", decimals=2, low=None),
        ),
        figures("Calls", "Calls over the range, each counted once.", [once(calls)], Style(decimals=0)),
        figures(
            "Error rate",
            "Calls whose outcome is error, of all calls of the range. A filtered answer is an error.",
            [once(share(total("tachograph_errors_total"), calls))],
            Style("percentunit", ERROR_STEPS, 2),
        ),
        figures(
            "p95 latency",
            "To the last byte, over the range, as near as buckets of a doubling can say.",
            [once(quantile("0.95", DURATION, ANSWERED, window="$__range"))],
            SECONDS,
        ),
        figures(
            "p95 to the first content",
            "Of streamed answers, over the range.",
            [once(quantile("0.95", TTFT, OTEL, window="$__range"))],
            SECONDS,
        ),
        figures(
            "Tokens a minute",
            "All parts of input and output, over the last 5 minutes.",
            [once(f"sum (rate(tachograph_tokens_total{{{WHO}}}[5m])) * 60")],
            Style(decimals=0),
        ),
        figures(
            "From a cache",
            "The share of the input tokens of the range that a cache served.",
            [once(share(*_cached("$__range")))],
            SHARE,
        ),
        figures(
            "Unpriced",
            "The share of calls whose model has no price: their cost is in no sum.",
            [once(share(total("tachograph_unpriced_calls_total"), calls))],
            Style("percentunit", shares, 2),
        ),
        figures(
            "Gap between chunks, p95",
            "Between content events of streamed answers, over the range.",
            [once(quantile("0.95", GAPS, OTEL, window="$__range"))],
            SECONDS,
        ),
    ]


def _cached(window: str) -> tuple[str, str]:
    whole = f'{WHO},token_type=~"input_uncached|cache_read|cache_write_.*"'
    read = f'{WHO},token_type="cache_read"'
    return tuple(f"sum (increase(tachograph_tokens_total{{{chosen}}}[{window}]))" for chosen in (read, whole))  # type: ignore[return-value]


def _latencies() -> list[Json]:
    version = "gen_ai_provider_name, gen_ai_response_model"
    named = "{{gen_ai_provider_name}} {{gen_ai_response_model}}"
    return [
        lines("Latency", "To the last byte: median, 95th, 99th percentile.", quantiles(DURATION, ANSWERED), SECONDS),
        lines("p95 latency by requested model", RECORDED, [latency(DURATION)], SECONDS),
        lines(
            "p95 latency by the version that answered",
            "An alias such as `latest` may be answered by another version from one day to the next.",
            [asked(quantile("0.95", DURATION, ANSWERED, version), named)],
            SECONDS,
        ),
        lines("Time to the first content", "Of streamed answers.", quantiles(TTFT, OTEL), SECONDS),
        lines("p95 to the first content by requested model", RECORDED, [latency(TTFT)], SECONDS),
        lines(
            "Gap between chunks",
            "Between content events of a streamed answer: what a reader feels as its pace.",
            quantiles(GAPS, OTEL),
            SECONDS,
        ),
        heat(
            "Latency, spread",
            "Calls by how long they took, failed ones too.",
            [
                asked(
                    f"sum by (le) (increase({DURATION}_bucket{{{OTEL}}}[$__rate_interval]))",
                    "{{le}}",
                    format="heatmap",
                )
            ],
            SECONDS,
            16,
        ),
        lines("p95 gap between chunks by requested model", RECORDED, [latency(GAPS)], SECONDS),
    ]


def _money() -> list[Json]:
    by_model = f"sum by (provider, model) (team_model:tachograph_cost_usd:per_hour{{{WHO}}})"
    tokens = "{{token_type}}"
    return [
        lines(
            "Cost an hour by model",
            f"US dollars an hour. {RECORDED_15}",
            [asked(by_model, "{{provider}} {{model}}")],
            Style("currencyUSD", stacked=True),
            12,
        ),
        lines(
            "Tokens a minute by model",
            f"All parts of input and output, of all teams. {RECORDED}",
            [
                asked(
                    f"sum by (provider, model) (model:tachograph_tokens:per_minute{{{MODEL}}})",
                    "{{provider}} {{model}}",
                )
            ],
            Style(stacked=True),
            12,
        ),
        lines(
            "Tokens a minute by part",
            "The parts are disjoint: together they are the whole.",
            [asked(f"{rate('tachograph_tokens_total', 'token_type')} * 60", tokens)],
            Style(stacked=True),
        ),
        lines(
            "Input from a cache, by model",
            f"The share of the input tokens that a cache served. {RECORDED_15}",
            [recorded("model:tachograph_cache_hit:ratio_rate15m", MODEL)],
            SHARE,
        ),
        table(
            "Calls without a price",
            "By model, over the range. Give the price in the file of the setting `prices`.",
            [listed(f"{total('tachograph_unpriced_calls_total', 'provider, model')} > 0")],
            Style(decimals=0),
            8,
            {"Value": "Calls", "provider": "Provider", "model": "Model"},
        ),
    ]


def _errors() -> list[Json]:
    return [
        lines(
            "Error rate by model",
            f"Calls whose outcome is error, of all. {RECORDED}",
            [recorded("model:tachograph_errors:ratio_rate5m", MODEL)],
            Style("percentunit", ERROR_STEPS),
            12,
        ),
        lines(
            "Errors a minute by fault domain",
            "Whose fault it is: the asker's, the provider's, the network's.",
            [asked(f"{rate('tachograph_errors_total', 'error_type')} * 60", "{{error_type}}")],
            Style(stacked=True, bars=True),
            12,
        ),
        lines(
            "Calls a minute by provider",
            "Each counted once.",
            [asked(f"{rate('tachograph_calls_total', 'provider')} * 60", "{{provider}}")],
            Style(stacked=True),
        ),
        lines(
            "Calls a minute by outcome",
            "`aborted`: the asker left; `truncated`: the stream ended without its last event.",
            [asked(f"{rate('tachograph_calls_total', 'outcome')} * 60", "{{outcome}}")],
            Style(stacked=True),
        ),
        lines(
            "Refused for the rate limit, by model",
            f"Calls that were answered with 429, of all. {RECORDED}",
            [recorded("model:tachograph_rate_limited:ratio_rate5m", MODEL)],
            Style("percentunit", ERROR_STEPS),
        ),
    ]

"""The overview on ClickHouse: cost, tokens, latency, errors, cache, by the version that answered.

In: nothing. Out: the dashboard.
What it must never know: how a figure is computed, how a panel is written.
"""

from __future__ import annotations

from deploy.grafana import sql
from deploy.grafana.clickhouse import (
    CHOSEN,
    ERROR_STEPS,
    HOURLY,
    KINDS,
    MS,
    TABLE,
    VERSION,
    VERSION_NAME,
    asked,
    listed,
    notes,
    raw,
    rolled,
    variables,
)
from deploy.grafana.panels import Json, Style, dashboard, figures, interval_choice, lines, table

_PARTS = {
    "input": "input_uncached",
    "from a cache": "cache_read",
    "to a cache, 5 min": "cache_write_5m",
    "to a cache, 1 h": "cache_write_1h",
    "to a cache, other": "cache_write_other",
    "output": "output_visible",
    "reasoning": "output_reasoning",
}


def overview() -> Json:
    """The dashboard."""
    rows = (
        ("Over the range", _state()),
        ("Latency", _latencies()),
        ("Cost and tokens", _money()),
        ("Errors and calls", _errors()),
        ("Versions", _versions()),
    )
    meaning = (
        "Cost, tokens, latency and errors of all model traffic, by the model version that answered. A call that "
        "several instruments saw counts once. Unknown is in no sum: the shares say how much of a sum is known. "
        f"Totals are of whole minutes, of whole hours where the range is longer than {sql.MINUTES_DAYS} days; "
        "quantiles read from them are off by at most 2.2 %."
    )
    chosen = variables(CHOSEN, interval_choice())
    return dashboard(
        "tachograph-clickhouse-overview", "Tachograph: overview (ClickHouse)", meaning, rows, chosen, notes()
    )


def _state() -> list[Json]:
    traffic: sql.Figures = {
        "Cost": "cost_usd",
        "Cost an hour": HOURLY,
        "Calls": "calls",
        "Tokens": "total_tokens",
        "Tokens a minute": "tokens_per_minute",
    }
    quality: sql.Figures = {
        "p50": "duration_p50_ms",
        "p95": "duration_p95_ms",
        "p99": "duration_p99_ms",
        "p95 to the first content": "ttft_p95_ms",
        "Gap p95": "itl_p95_ms",
        "Error rate": "error_rate",
    }
    known: sql.Figures = {
        "From a cache": "cache_hit_rate",
        "Unpriced": "unpriced_share",
        "Estimated": "estimated_share",
        "Without a team": "unattributed_share",
    }
    return [
        _tiles(
            "Traffic", "Over the range; rates are means of it. Calls without a known cost are not in the cost.", traffic
        ),
        _tiles(
            "Quality",
            "Latency to the last byte and to the first content, gaps between content events, calls whose outcome is "
            "error: of all calls of the range whose value is known, failed ones too.",
            quality,
        ),
        _tiles(
            "Cache, and what is not known",
            "Input tokens that a cache served, of calls that say so; calls without a known cost; calls whose tokens "
            "were estimated; calls that no team can be charged for.",
            known,
        ),
    ]


def _tiles(title: str, meaning: str, wanted: sql.Figures) -> Json:
    query = [asked(sql.rolled(wanted, step=False, chosen=CHOSEN), TABLE)]
    return figures(title, meaning, query, Style(columns={name: KINDS[name] for name in wanted}), 24, 4)


def _latencies() -> list[Json]:
    by_version = Style("ms", display=VERSION_NAME)
    return [
        lines("Latency", "To the last byte: median, 95th, 99th percentile.", rolled(_levels("duration")), MS),
        lines(
            "Time to the first content",
            "Of streamed answers, visible content or reasoning.",
            rolled(_levels("ttft")),
            MS,
        ),
        lines(
            "Gaps between content events",
            "Over all gaps of all streamed answers: what a reader feels as the pace.",
            rolled(_levels("itl")),
            MS,
        ),
        lines(
            "p95 latency by version",
            "Exact, from the single calls.",
            raw({"p95": "duration_p95_ms"}, VERSION),
            by_version,
        ),
        lines("p95 to the first content by version", "Exact.", raw({"p95": "ttft_p95_ms"}, VERSION), by_version),
        lines("p95 gap by version", "Over all gaps of all calls.", raw({"p95": "itl_p95_ms"}, VERSION), by_version),
    ]


def _levels(of: str) -> dict[str, str]:
    return {level: f"{of}_{level}_ms" for level in ("p50", "p95", "p99")}


def _money() -> list[Json]:
    stacked = Style("currencyUSD", display=VERSION_NAME, stacked=True, low=None)
    return [
        lines(
            "Cost an hour by version",
            "US dollars an hour. Calls without a known cost are not in it.",
            raw({"Cost an hour": HOURLY}, VERSION),
            stacked,
            12,
        ),
        lines(
            "Tokens a minute by version",
            "All parts of input and output.",
            raw({"Tokens": "tokens_per_minute"}, VERSION),
            Style(display=VERSION_NAME, stacked=True),
            12,
        ),
        lines(
            "Tokens a minute by part",
            "The parts are disjoint: together they are the whole.",
            rolled({name: (part, "60 / {seconds}") for name, part in _PARTS.items()}),
            Style(stacked=True),
        ),
        lines(
            "Input from a cache, by version",
            "Of calls that say how much a cache served.",
            raw({"Share": "cache_hit_rate"}, VERSION),
            Style("percentunit", display=VERSION_NAME, high=1),
        ),
        lines(
            "Cost of 1,000 tokens by version",
            "Of calls of which cost and tokens are both known.",
            raw({"Cost": "cost_per_1k_tokens_usd"}, VERSION),
            Style("currencyUSD", display=VERSION_NAME, decimals=5),
        ),
    ]


def _errors() -> list[Json]:
    minute = ("errors", "60 / {seconds}")
    return [
        lines(
            "Error rate by version",
            "Calls whose outcome is error, of all. A filtered answer is an error, a shortened one is not.",
            raw({"Error rate": "error_rate"}, VERSION),
            Style("percentunit", ERROR_STEPS, display=VERSION_NAME),
        ),
        lines(
            "Errors a minute by fault domain",
            "Whose fault it is: the asker's, the provider's, the network's.",
            rolled({"Errors": minute}, ("error_type",), "outcome = 'error'"),
            Style(display="${__field.labels.Error type}", stacked=True, bars=True),
        ),
        lines(
            "Calls a minute by provider",
            "Each counted once.",
            rolled({"Calls": "calls_per_minute"}, ("provider",)),
            Style(display="${__field.labels.Provider}", stacked=True),
        ),
    ]


def _versions() -> list[Json]:
    wanted: sql.Figures = {
        "Calls": "calls",
        "Tokens": "total_tokens",
        "Cost": "cost_usd",
        "Cost of 1,000 tokens": "cost_per_1k_tokens_usd",
        "p95": "duration_p95_ms",
        "p95 to the first content": "ttft_p95_ms",
        "Error rate": "error_rate",
        "From a cache": "cache_hit_rate",
        "Unpriced": "unpriced_share",
    }
    return [
        table(
            "Versions",
            "Every model version that answered in the range, and what it was asked as.",
            listed(wanted, ("provider", "request_model", "version"), 'ORDER BY "Cost" DESC NULLS LAST, "Calls" DESC'),
            Style(columns={name: KINDS[name] for name in wanted}),
            16,
        ),
        table(
            "Calls without a known cost",
            "By model and by why: the model has no price, or the tokens are not known.",
            listed(
                {"Calls": "calls"},
                ("provider", "model", "price_status"),
                'ORDER BY "Calls" DESC',
                more="cost_usd IS NULL",
            ),
            Style(columns={"Calls": KINDS["Calls"]}),
            8,
        ),
    ]

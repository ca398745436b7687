"""Single calls on ClickHouse: the slowest, the most expensive, the failed, the latest.

In: nothing. Out: the dashboard.
What it must never know: how a panel is written.
"""

from __future__ import annotations

from collections.abc import Sequence

from deploy.grafana import sql
from deploy.grafana.clickhouse import CHARGED, MS, TABLE, asked, notes, raw, variables
from deploy.grafana.panels import Json, Style, dashboard, interval_choice, lines, table, text_choice

_COLUMNS = {
    "Started": "started_at",
    "Call": "lower(hex(call_id))",
    "Provider": "provider",
    "Requested": "request_model",
    "Answered": "response_model",
    "Team": "team",
    "Outcome": "outcome",
    "Error type": "error_type",
    "Error code": "error_code",
    "Latency": "toFloat64(duration_ms)",
    "First content": "toFloat64(ttft_ms)",
    "Input": "input_tokens",
    "Output": "output_tokens",
    "Cost": "toFloat64(cost_usd)",
    "Trace": "lower(hex(trace_id))",
}


def calls() -> Json:
    """The dashboard."""
    kinds = {
        "Call": Style("string", link=("The call in Tachograph", "${screens}/calls/${__value.raw}")),
        "Latency": MS,
        "First content": MS,
        "Cost": Style("currencyUSD", decimals=6),
        "Input": Style(decimals=0),
        "Output": Style(decimals=0),
    }
    lists = (
        ("Slowest", "By the time to the last byte.", "duration_ms IS NOT NULL", "ORDER BY duration_ms DESC"),
        ("Most expensive", "Of those whose cost is known.", "cost_usd IS NOT NULL", "ORDER BY cost_usd DESC"),
        ("Failed", "The latest whose outcome is not ok.", "outcome != 'ok'", "ORDER BY started_at DESC"),
        ("Latest", "The latest of all.", "", "ORDER BY started_at DESC"),
    )
    chosen = (*CHARGED, "outcome")
    rows = [
        (
            title,
            [table(title, f"The 100 of the range. {meaning}", [_one(chosen, more, order)], Style(columns=kinds), 24)],
        )
        for title, meaning, more, order in lists
    ]
    outcomes = lines(
        "Calls by outcome",
        "`aborted`: the asker left; `truncated`: the stream ended without its last event.",
        raw({"Calls": "calls"}, ("outcome",), chosen),
        Style(display="${__field.labels.Outcome}", stacked=True, bars=True),
        24,
    )
    screens = text_choice(
        "screens", "Tachograph at", "Where Tachograph's own screens are: each call links to its page there", _SCREENS
    )
    meaning = "Single calls: the slowest, the most expensive, the failed, the latest. A call's id leads to its page."
    made = [("Over time", [outcomes]), *rows]
    choices = variables(chosen, interval_choice(), screens)
    return dashboard(
        "tachograph-clickhouse-calls", "Tachograph: calls (ClickHouse)", meaning, made, choices, notes(), "now-6h"
    )


_SCREENS = "http://localhost:4180"  # as `tachograph up` serves them unless told otherwise


def _one(chosen: Sequence[str], more: str, order: str) -> Json:
    return asked(sql.single(_COLUMNS, chosen=chosen, more=more, order=f"{order}\nLIMIT 100"), TABLE)

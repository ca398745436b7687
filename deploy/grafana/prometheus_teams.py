"""The teams on Prometheus: who spends what, on which models.

In: nothing. Out: the dashboard.
What it must never know: SQL, how a panel is written.
"""

from __future__ import annotations

from deploy.grafana.panels import AMBER, RED, Json, Style, dashboard, figures, lines, table
from deploy.grafana.promql import (
    ERROR_STEPS,
    MODEL,
    RECORDED_15,
    WHO,
    asked,
    listed,
    once,
    owed,
    rate,
    share,
    total,
    variables,
)


def teams() -> Json:
    """The dashboard."""
    calls, nobody = total("tachograph_calls_total"), f'{MODEL},team=""'
    by_team = f"sum by (team) (team_model:tachograph_cost_usd:per_hour{{{WHO}}})"
    columns = {
        "Cost": Style("currencyUSD", decimals=2),
        "Error rate": Style("percentunit", ERROR_STEPS, 2),
        "Calls": Style(decimals=0),
        "Tokens": Style(decimals=0),
    }
    names = {"Value #A": "Cost", "Value #B": "Calls", "Value #C": "Tokens", "Value #D": "Error rate", "team": "Team"}
    errors = share(total("tachograph_errors_total", "team"), total("tachograph_calls_total", "team"))
    state = [
        figures("Cost", "US dollars over the range, less credits.", [once(owed())], columns["Cost"], 6),
        figures("Calls", "Over the range, each counted once.", [once(calls)], columns["Calls"], 6),
        figures(
            "Calls without a team",
            "The share of the range's calls that nobody can be charged for.",
            [once(share(total("tachograph_calls_total", "", nobody), calls))],
            Style("percentunit", ((0.01, AMBER), (0.1, RED)), 2),
            6,
        ),
        figures(
            "Cost without a team",
            "US dollars over the range that nobody can be charged for.",
            [once(f"sum (increase(tachograph_cost_usd_total{{{nobody}}}[$__range])) or vector(0)")],
            Style("currencyUSD", ((0.01, AMBER),), 2),
            6,
        ),
    ]
    over_time = [
        lines(
            "Cost an hour by team",
            f"US dollars an hour; without a name: without a team. {RECORDED_15}",
            [asked(by_team, "{{team}}")],
            Style("currencyUSD", stacked=True),
        ),
        lines(
            "Tokens a minute by team",
            "All parts of input and output.",
            [asked(f"{rate('tachograph_tokens_total', 'team')} * 60", "{{team}}")],
            Style(stacked=True),
        ),
        lines(
            "Calls a minute by team",
            "Each counted once.",
            [asked(f"{rate('tachograph_calls_total', 'team')} * 60", "{{team}}")],
            Style(stacked=True),
        ),
    ]
    tables = [
        table(
            "Teams",
            "Over the range. A row without a name is of calls without a team.",
            [listed(text) for text in (owed("team"), *_team_totals(), errors)],
            Style(columns=columns),
            names=names,
        ),
        table(
            "Top models of each team",
            "The five on which a team spent most over the range, in US dollars.",
            [listed(f"topk by (team) (5, {total('tachograph_cost_usd_total', 'team, provider, model')})")],
            Style(columns=columns),
            names={"Value": "Cost", "team": "Team", "provider": "Provider", "model": "Model"},
        ),
    ]
    meaning = "Who spends what, from Prometheus. For projects, features and customers: the dashboard on ClickHouse."
    chosen = variables("job", "provider", "model", "team")
    rows = (("Over the range", state), ("Over time", over_time), ("Totals", tables))
    return dashboard("tachograph-prometheus-teams", "Tachograph: teams", meaning, rows, chosen)


def _team_totals() -> tuple[str, str]:
    return total("tachograph_calls_total", "team"), total("tachograph_tokens_total", "team")

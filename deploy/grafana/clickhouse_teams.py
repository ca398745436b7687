"""The teams on ClickHouse: chargeback by team, project, feature and customer.

In: nothing. Out: the dashboard.
What it must never know: how a figure is computed, how a panel is written.
"""

from __future__ import annotations

from deploy.grafana import sql
from deploy.grafana.clickhouse import CHARGED, HOURLY, KINDS, SERIES, TABLE, asked, listed, notes, raw, variables
from deploy.grafana.panels import Json, Style, dashboard, figures, interval_choice, lines, table


def teams() -> Json:
    """The dashboard."""
    by_team = Style("currencyUSD", display="${__field.labels.Team}", stacked=True, low=None)
    tokens = Style(display="${__field.labels.Team}", stacked=True)
    over_time = [
        lines(
            "Cost an hour by team",
            "US dollars an hour. Calls without a known cost are not in it.",
            raw({"Cost an hour": HOURLY}, ("team",), CHARGED),
            by_team,
            12,
        ),
        lines(
            "Tokens a minute by team",
            "All parts of input and output.",
            raw({"Tokens": "tokens_per_minute"}, ("team",), CHARGED),
            tokens,
            12,
        ),
    ]
    meaning = (
        "Who spends what: chargeback by team, project, feature and customer. Single calls are kept for a while; the "
        "days, by UTC, for longer, but without features and customers. What is not attributed is listed as (none)."
    )
    rows = (
        ("Over the range", [_charged()]),
        ("Over time", over_time),
        ("Chargeback", _chargeback()),
        ("By day", _days()),
    )
    chosen = variables(CHARGED, interval_choice())
    return dashboard(
        "tachograph-clickhouse-teams", "Tachograph: teams (ClickHouse)", meaning, rows, chosen, notes(), "now-7d"
    )


def _charged() -> Json:
    wanted: sql.Figures = {
        "Cost": "cost_usd",
        "Calls": "calls",
        "Tokens": "total_tokens",
        "Without a team": "unattributed_share",
        "Unpriced": "unpriced_share",
    }
    query = [asked(sql.raw(wanted, step=False, chosen=CHARGED), TABLE)]
    meaning = "Of the single calls of the range. Calls without a known cost are not in the cost."
    return figures("Traffic", meaning, query, Style(columns={name: KINDS[name] for name in wanted}), 24, 4)


def _chargeback() -> list[Json]:
    wanted: sql.Figures = {
        "Cost": "cost_usd",
        "Calls": "calls",
        "Tokens": "total_tokens",
        "Error rate": "error_rate",
        "Unpriced": "unpriced_share",
    }
    kinds = {name: KINDS[name] for name in wanted}
    order = 'ORDER BY "Cost" DESC NULLS LAST, "Calls" DESC'
    return [
        table(
            "Chargeback",
            "The 1,000 largest of team, project, feature and customer, from the single calls of the range.",
            listed(wanted, ("team", "project", "feature", "customer"), f"{order}\nLIMIT 1000", CHARGED),
            Style(columns=kinds),
            14,
        ),
        table(
            "Top models of each team",
            "The five on which a team spent most, by the version that answered.",
            listed({"Cost": "cost_usd", "Calls": "calls"}, ("team", "version"), f'{order}\nLIMIT 5 BY "Team"', CHARGED),
            Style(columns={"Cost": KINDS["Cost"], "Calls": KINDS["Calls"]}),
            10,
        ),
    ]


def _days() -> list[Json]:
    by = ("team", "project")
    name = "${__field.labels.Team} ${__field.labels.Project}"
    wanted: sql.Figures = {"Cost": "cost_usd", "Calls": "calls", "Tokens": "total_tokens", "Unpriced": "unpriced_share"}
    course = sql.daily({"Cost": "cost_usd"}, by, step=True, chosen=CHARGED)
    total = sql.daily(wanted, by, step=False, chosen=CHARGED) + '\nORDER BY "Cost" DESC NULLS LAST, "Calls" DESC'
    return [
        lines(
            "Cost a day by team and project",
            "US dollars, of days (UTC) that begin in the range.",
            [asked(course, SERIES)],
            Style("currencyUSD", display=name, stacked=True, bars=True, low=None),
            12,
        ),
        table(
            "Teams and projects",
            "Of days (UTC) that begin in the range, from the roll-up by day.",
            [asked(total, TABLE)],
            Style(columns={name: KINDS[name] for name in wanted}),
        ),
    ]

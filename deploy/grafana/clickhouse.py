"""Queries to ClickHouse as Grafana keeps them, and what the dashboards on it share: choices, units, notes.

In: names of measures and dimensions. Out: queries, variables, annotations.
What it must never know: how a figure is computed (`deploy.grafana.sql`), a panel's title or place.

Beside what Prometheus can show, ClickHouse has the version that answered, projects, features and customers, single
calls, and what was counted before Prometheus looked. It must be a server: a store that is embedded in `tachograph up`
cannot be asked from outside.
"""

from __future__ import annotations

from collections.abc import Sequence

from deploy.grafana import sql
from deploy.grafana.panels import AMBER, RED, Json, Source, Style, choice, source_choice

SOURCE = Source("grafana-clickhouse-datasource", "clickhouse", "ClickHouse")
_PLUGIN = "4.10.0"  # the form of the queries
SERIES, TABLE = 0, 1

CHOSEN = ("provider", "model", "environment")  # what every roll-up can be asked for
CHARGED = ("provider", "model", "team", "environment")
VERSION = ("provider", "version")
VERSION_NAME = "${__field.labels.Provider} ${__field.labels.Version}"

HOURLY = ("cost_usd", "3600 / {seconds}")
ERROR_STEPS = ((0.01, AMBER), (0.05, RED))
UNKNOWN_STEPS = ((0.000001, AMBER), (0.05, RED))
MS = Style("ms")
KINDS = {
    "Cost": Style("currencyUSD", decimals=2),
    "Cost an hour": Style("currencyUSD", decimals=2),
    "Cost of 1,000 tokens": Style("currencyUSD", decimals=5),
    "Cost of a call": Style("currencyUSD", decimals=5),
    "Calls": Style(decimals=0),
    "Tokens": Style(decimals=0),
    "Tokens a minute": Style(decimals=0),
    "Error rate": Style("percentunit", ERROR_STEPS, 2),
    "p50": MS,
    "p95": MS,
    "p99": MS,
    "p95 to the first content": MS,
    "Gap p95": MS,
    "From a cache": Style("percentunit", decimals=1),
    "Unpriced": Style("percentunit", UNKNOWN_STEPS, 2),
    "Estimated": Style("percentunit", UNKNOWN_STEPS, 2),
    "Without a team": Style("percentunit", ERROR_STEPS, 2),
}


def asked(text: str, form: int) -> Json:
    """A query. form: SERIES or TABLE."""
    kind = "timeseries" if form == SERIES else "table"
    made = {"datasource": SOURCE.reference, "editorType": "sql", "format": form, "queryType": kind, "refId": "A"}
    return {**made, "rawSql": text, "pluginVersion": _PLUGIN}


def rolled(figures: sql.Figures, by: Sequence[str] = (), more: str = "") -> list[Json]:
    """Figures over time, from the roll-ups."""
    return [asked(sql.rolled(figures, by, step=True, chosen=CHOSEN, more=more), SERIES)]


def raw(figures: sql.Figures, by: Sequence[str] = (), chosen: Sequence[str] = CHOSEN, more: str = "") -> list[Json]:
    """Figures over time, from the single calls."""
    return [asked(sql.raw(figures, by, step=True, chosen=chosen, more=more), SERIES)]


def listed(
    figures: sql.Figures, by: Sequence[str], order: str, chosen: Sequence[str] = CHOSEN, more: str = ""
) -> list[Json]:
    """Figures of the whole range as rows, from the single calls."""
    return [asked(sql.raw(figures, by, step=False, chosen=chosen, more=more, order=order), TABLE)]


def variables(names: Sequence[str], *more: Json) -> list[Json]:
    """The choices of a dashboard: the data source, the values of these dimensions, and more."""
    choices = [choice(name, name.capitalize(), SOURCE, _variable(name)) for name in names]
    return [source_choice(SOURCE), *choices, *more]


def _variable(name: str) -> Json:
    return {**asked(sql.values(name), TABLE), "refId": f"variable-{name}"}


def notes() -> list[Json]:
    """What happened: deployments and notes that people wrote down, and the first answers of another version."""
    written = (
        "SELECT at AS time, text, kind AS tags\nFROM tachograph.annotations FINAL\n"
        "WHERE deleted = 0\n    AND $__timeFilter(at)\n"
        "    AND (environment = '' OR $__conditionalAll(environment IN (${environment:singlequote}), $environment))\n"
        "ORDER BY time"
    )
    changed = (
        "SELECT time, provider AS tags,\n"
        "    concat(provider, ': ', request_model, ' is answered by ', response_model) AS text\n"
        "FROM\n(\n    SELECT provider, request_model, response_model, min(started_at) AS time,\n"
        "        min(time) OVER (PARTITION BY provider, request_model) AS begun\n"
        "    FROM tachograph.calls\n    WHERE same_as IS NULL\n        AND $__timeFilter(started_at)\n"
        "        AND request_model IS NOT NULL AND response_model IS NOT NULL\n"
        "    GROUP BY provider, request_model, response_model\n)\nWHERE time > begun\nORDER BY time"
    )
    return [_note("Deployments and notes", "blue", written), _note("Another version answers", "purple", changed)]


def _note(name: str, colour: str, text: str) -> Json:
    made = {"name": name, "enable": True, "hide": False, "iconColor": colour, "datasource": SOURCE.reference}
    return {**made, "target": {**asked(text, TABLE), "refId": "annotation"}}

"""The parts of a Grafana dashboard as plain JSON: panels, variables, rows, the whole.

In: titles, meanings, queries, units. Out: dictionaries in Grafana's classic dashboard model, as provisioning reads it.
What it must never know: PromQL, SQL, a figure.

Why not the Grafana Foundation SDK: it numbers its releases for Python by the second they were made
(`1769699998!10.1.0`), has no queries for the ClickHouse plugin, and its builders do not say when a dashboard lacks
something. What we need of the model is this file; what it makes was held against the SDK's JSON schema of the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

SCHEMA_VERSION = 39  # Grafana 11.0; a later one brings it up to date when it loads it
COLUMNS = 24  # of Grafana's grid
TAG = "tachograph"
GREEN, AMBER, RED = "green", "orange", "red"


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of data source. plugin: its id; variable: the one that names the instance, so that no panel does."""

    plugin: str
    variable: str
    label: str

    @property
    def reference(self) -> Json:
        """How a panel names it."""
        return {"type": self.plugin, "uid": f"${{{self.variable}}}"}


@dataclass(frozen=True, slots=True)
class Style:
    """How figures look. unit: as Grafana names it; steps: from which value on which colour; display: a series' name."""

    unit: str = "short"
    steps: Sequence[tuple[float, str]] = ()
    decimals: int | None = None
    display: str = ""
    stacked: bool = False
    bars: bool = False
    low: float | None = 0
    high: float | None = None
    columns: Mapping[str, Style] = field(default_factory=dict)  # of a table or a row of figures: by name
    link: tuple[str, str] | None = None  # (title, address)


def panel(kind: str, title: str, meaning: str, targets: Sequence[Json], style: Style, size: tuple[int, int]) -> Json:
    """A panel; the place in the grid is given by `dashboard`."""
    for letter, target in zip("ABCDEFGH", targets, strict=False):
        target["refId"] = letter
    return {
        "type": kind,
        "title": title,
        "description": meaning,
        "datasource": targets[0]["datasource"],
        "targets": list(targets),
        "fieldConfig": {"defaults": _field(style, kind), "overrides": _overrides(style)},
        "options": _OPTIONS[kind],
        "gridPos": {"w": size[0], "h": size[1]},
    }


def lines(title: str, meaning: str, targets: Sequence[Json], style: Style, wide: int = 8) -> Json:
    """Figures over time. The smallest width of a step is what the variable `interval` says."""
    return {**panel("timeseries", title, meaning, targets, style, (wide, 8)), "interval": "$interval"}


def figures(title: str, meaning: str, targets: Sequence[Json], style: Style, wide: int = 4, high: int = 4) -> Json:
    """One figure, or several side by side."""
    return panel("stat", title, meaning, targets, style, (wide, high))


def table(
    title: str,
    meaning: str,
    targets: Sequence[Json],
    style: Style,
    wide: int = 12,
    names: Mapping[str, str] | None = None,
) -> Json:
    """Rows. names: what the columns of several answers, put beside each other, are called."""
    made = panel("table", title, meaning, targets, style, (wide, 9))
    if names is not None:
        hidden = {"excludeByName": {"Time": True}, "renameByName": dict(names)}
        made["transformations"] = [{"id": "merge", "options": {}}, {"id": "organize", "options": hidden}]
    return made


def heat(title: str, meaning: str, targets: Sequence[Json], style: Style, wide: int = 8) -> Json:
    """Counts in buckets over time."""
    made = panel("heatmap", title, meaning, targets, style, (wide, 8))
    made["fieldConfig"]["defaults"] = {}
    made["options"] = {**_OPTIONS["heatmap"], "yAxis": {"unit": style.unit, "axisPlacement": "left", "reverse": False}}
    return {**made, "interval": "$interval"}


def _field(style: Style, kind: str) -> Json:
    steps: list[Json] = [{"color": GREEN if style.steps else "text", "value": None}]
    steps += [{"color": colour, "value": value} for value, colour in style.steps]
    made: Json = {"unit": style.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    made["color"] = {"mode": "palette-classic" if kind == "timeseries" else "thresholds"}
    limits: Json = {
        "decimals": style.decimals,
        "displayName": style.display or None,
        "min": style.low,
        "max": style.high,
    }
    made |= {name: value for name, value in limits.items() if value is not None}
    if kind == "timeseries":
        made["custom"] = _drawn(style)
    if style.link is not None:
        made["links"] = [_address(style.link)]
    return made


def _drawn(style: Style) -> Json:
    return {
        "drawStyle": "bars" if style.bars else "line",
        "lineWidth": 1,
        "fillOpacity": 60 if style.bars else 20 if style.stacked else 5,
        "showPoints": "auto",
        "spanNulls": False,  # where nothing is known there is a gap, no line
        "stacking": {"mode": "normal" if style.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "line" if style.steps else "off"},
    }


def _overrides(style: Style) -> list[Json]:
    return [
        {"matcher": {"id": "byName", "options": name}, "properties": _properties(column)}
        for name, column in style.columns.items()
    ]


def _properties(style: Style) -> list[Json]:
    made: list[Json] = [{"id": "unit", "value": style.unit}]
    if style.decimals is not None:
        made.append({"id": "decimals", "value": style.decimals})
    if style.steps:
        made.append({"id": "thresholds", "value": _field(style, "stat")["thresholds"]})
    if style.link is not None:
        made.append({"id": "links", "value": [_address(style.link)]})
    return made


def _address(link: tuple[str, str]) -> Json:
    return {"title": link[0], "url": link[1], "targetBlank": True}


_LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: Mapping[str, Json] = {
    "timeseries": {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["mean", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": _LAST,
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
    },
    "table": {
        "frameIndex": 0,
        "showHeader": True,
        "cellHeight": "sm",
        "footer": {"show": False, "reducer": ["sum"], "countRows": False},
    },
    "heatmap": {
        "calculate": False,
        "showValue": "never",
        "cellGap": 1,
        "color": {
            "mode": "scheme",
            "scheme": "Oranges",
            "steps": 64,
            "exponent": 0.5,
            "fill": "dark-orange",
            "reverse": False,
        },
        "filterValues": {"le": 1e-9},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": False},
    },
}


def choice(name: str, label: str, source: Source, query: Any, *, every: str | None = None) -> Json:
    """A variable whose values are asked of the source; any number of them, at first all."""
    made = {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": source.reference,
        "query": query,
        "definition": query["query"] if isinstance(query, dict) and "query" in query else str(query),
        "refresh": 2,  # when the time range changes
        "multi": True,
        "includeAll": True,
        "sort": 1,
        "current": {"text": ["All"], "value": ["$__all"]},
        "options": [],
    }
    return made if every is None else {**made, "allValue": every}


def source_choice(source: Source) -> Json:
    """The variable that names the data source."""
    return {"type": "datasource", "name": source.variable, "label": source.label, "query": source.plugin, "refresh": 1}


def interval_choice() -> Json:
    """The smallest width of a step; `auto`: a hundredth and a half of the range, at least a minute."""
    widths = ["1m", "5m", "15m", "1h", "6h", "1d"]
    auto = {"auto": True, "auto_count": 150, "auto_min": "1m"}
    current = {"text": "auto", "value": "$__auto_interval_interval"}
    made = {"type": "interval", "name": "interval", "label": "Step", "query": ",".join(widths), "refresh": 2}
    return {**made, **auto, "current": current, "options": []}


def text_choice(name: str, label: str, meaning: str, value: str) -> Json:
    """A variable that is written by hand."""
    current = {"text": value, "value": value}
    made = {"type": "textbox", "name": name, "label": label, "description": meaning, "query": value}
    return {**made, "current": current, "options": [{"selected": True, **current}]}


def dashboard(
    uid: str,
    title: str,
    meaning: str,
    rows: Sequence[tuple[str, Sequence[Json]]],
    variables: Sequence[Json],
    notes: Sequence[Json] = (),
    since: str = "now-24h",
) -> Json:
    """The whole. rows: (heading, panels from left to right); a panel that does not fit begins a new line."""
    builtin = {
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
        "name": "Annotations & Alerts",
        "type": "dashboard",
    }
    return {
        "uid": uid,
        "title": title,
        "description": meaning,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # one crosshair over all panels
        "timezone": "browser",
        "time": {"from": since, "to": "now"},
        "refresh": "1m",
        "links": [_siblings()],
        "templating": {"list": list(variables)},
        "annotations": {"list": [builtin, *notes]},
        "panels": _placed(rows),
    }


def _siblings() -> Json:
    """A link to every dashboard of ours, with the same range and the same choices."""
    return {
        "type": "dashboards",
        "title": "Tachograph",
        "tags": [TAG],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }


def _placed(rows: Sequence[tuple[str, Sequence[Json]]]) -> list[Json]:
    placed: list[Json] = []
    top = 0
    for heading, panels in rows:
        at = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        placed.append({"type": "row", "title": heading, "collapsed": False, "panels": [], "gridPos": at})
        left, top, line = 0, top + 1, 0
        for one in panels:
            wide, high = one["gridPos"]["w"], one["gridPos"]["h"]
            if left + wide > COLUMNS:
                left, top, line = 0, top + line, 0
            placed.append({**one, "gridPos": {"x": left, "y": top, "w": wide, "h": high}})
            left, line = left + wide, max(line, high)
        top += line
    return [{"id": number, **one} for number, one in enumerate(placed, 1)]

"""Questions to ClickHouse as SQL with Grafana's macros and choices in it.

In: names of measures and dimensions. Out: SQL for the ClickHouse plugin of Grafana.
What it must never know: how a figure is computed: that is taken from `store.measures`, so that a dashboard cannot
count otherwise than `tachograph ask`.

Roll-ups give whole cells: a range that begins within a minute begins with the next one (an hour, where it is longer
than `MINUTES_DAYS`). The start of a step is computed as `ask` computes it, not by the plugin's `$__timeInterval`: that
rounds steps of more than a day to days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tachograph.call import BY_NAME
from tachograph.store.measures import MEASURES, Measure, figure

MINUTES_DAYS = 3  # a longer range is read from the hours
NONE = "(none)"

# What a query may be asked for, by the name of its column: a measure, or (measure, what it is multiplied by).
Figures = Mapping[str, str | tuple[str, str]]

_LONG = f"dateDiff('day', $__fromTime, $__toTime) > {MINUTES_DAYS}"
_RANGE = "dateDiff('second', $__fromTime, $__toTime)"
_VERSION = "coalesce(response_model, concat(coalesce(request_model, '(unknown)'), ' (version not stated)'))"


def rolled(figures: Figures, by: Sequence[str] = (), *, step: bool, chosen: Sequence[str], more: str = "") -> str:
    """Figures of the roll-ups by minute and by hour. more: a further condition."""
    measures = [_measure(each) for each in figures.values()]
    columns = sorted({"calls", *(column for measure in measures for column in measure.columns)})
    read = ", ".join(dict.fromkeys(("time", *by, "outcome", *columns)))
    hours = f"{_LONG} AND $__interval_s % 3600 = 0" if step else _LONG
    kept = "".join(f"\n        AND {condition}" for condition in _conditions("time", step, chosen, more))
    cells = "\n    UNION ALL\n".join(
        f"    SELECT {read}\n    FROM tachograph.{table}\n    WHERE {when}{kept}"
        for table, when in (("calls_minute", f"NOT ({hours})"), ("calls_hour", f"({hours})"))
    )
    return _select(figures, by, "rolled", step, f"(\n{cells}\n) AS rolled", "", "sum(rolled.calls) != 0")


def daily(figures: Figures, by: Sequence[str], *, step: bool, chosen: Sequence[str]) -> str:
    """Figures of the roll-up by day (UTC), which knows services, teams and projects, and is kept longest."""
    kept = "\n    AND ".join(("$__timeFilter(rolled.time)", *(_chosen(name) for name in chosen)))
    made = _select(
        figures, by, "rolled", False, "tachograph.calls_day AS rolled", f"WHERE {kept}", "sum(rolled.calls) != 0"
    )
    if not step:
        return made
    return (
        made.replace("SELECT\n", "SELECT\n    rolled.time AS time,\n").replace("GROUP BY ", "GROUP BY time, ")
        + "\nORDER BY time"
    )


def raw(
    figures: Figures,
    by: Sequence[str] = (),
    *,
    step: bool,
    chosen: Sequence[str],
    more: str = "",
    order: str = "",
) -> str:
    """Figures of the single calls: by every dimension, also the version that answered (`version`)."""
    kept = "\n    AND ".join(("same_as IS NULL", *_conditions("started_at", step, chosen, more)))
    made = _select(figures, by, "raw", step, "tachograph.calls", f"WHERE {kept}", "count() > 0")
    return f"{made}\n{order}" if order else made


def single(columns: Mapping[str, str], *, chosen: Sequence[str], more: str, order: str) -> str:
    """Single calls, one a row. columns: name -> expression over the raw table."""
    listed = ",\n    ".join(f'{expression} AS "{name}"' for name, expression in columns.items())
    kept = "\n    AND ".join(("same_as IS NULL", *_conditions("started_at", False, chosen, more)))
    return f"SELECT\n    {listed}\nFROM tachograph.calls\nWHERE {kept}\n{order}"


def values(name: str) -> str:
    """The values that a dimension had in the range, for the choice of that name."""
    return (
        f"SELECT DISTINCT {_named(name)} AS value FROM tachograph.calls"
        f" WHERE same_as IS NULL AND $__timeFilter(started_at) ORDER BY value LIMIT 1000"
    )


def _select(figures: Figures, by: Sequence[str], kind: str, step: bool, source: str, where: str, some: str) -> str:
    width = "$__interval_s" if step else _RANGE
    clock = "rolled.time" if kind == "rolled" else "started_at"
    made = [f"{_start(clock)} AS time"] if step else []
    made += [f'{_named(name, "rolled." if kind == "rolled" else "")} AS "{title(name)}"' for name in by]
    among = [_measure(each) for each in figures.values()]
    made += [f'toFloat64({_figure(each, among, kind, width)}) AS "{name}"' for name, each in figures.items()]
    keys = [*(["time"] if step else []), *(f'"{title(name)}"' for name in by)]
    closing = [where, f"GROUP BY {', '.join(keys)}" if keys else "", f"HAVING {some}", "ORDER BY time" if step else ""]
    listed = ",\n    ".join(made)
    return "\n".join((f"SELECT\n    {listed}\nFROM {source}", *(part for part in closing if part)))


def title(name: str) -> str:
    """What the column of a dimension is called: never as the field, which an alias would hide."""
    return name.replace("_", " ").capitalize()


def _measure(wanted: str | tuple[str, str]) -> Measure:
    return MEASURES[wanted if isinstance(wanted, str) else wanted[0]]


def _figure(wanted: str | tuple[str, str], among: Sequence[Measure], kind: str, width: str) -> str:
    text = figure(_measure(wanted), among, kind == "rolled", width)
    return f"({text}) * {wanted[1].replace('{seconds}', width)}" if isinstance(wanted, tuple) else text


def _named(name: str, of: str = "") -> str:
    """A dimension as it is shown: what has no value has a name too, or Grafana could not choose it."""
    if name == "version":
        return _VERSION
    if BY_NAME[name].required:
        return f"if({of}{name} = '', '{NONE}', {of}{name})"
    return f"ifNull({of}{name}, '{NONE}')"


def _conditions(clock: str, step: bool, chosen: Sequence[str], more: str) -> list[str]:
    when = f"{clock} >= {_start('$__fromTime')} AND {clock} <= $__toTime" if step else f"$__timeFilter({clock})"
    return [when, *(_chosen(name) for name in chosen), *([more] if more else [])]


def _start(clock: str) -> str:
    """The start of the step in which a time lies; the first step of a range is a whole one."""
    return f"toDateTime(intDiv(toUnixTimestamp({clock}), $__interval_s) * $__interval_s, 'UTC')"


def _chosen(name: str) -> str:
    return f"$__conditionalAll({_named(name)} IN (${{{name}:singlequote}}), ${name})"

"""Summary, Series, explanation -> what a terminal shows.

In: finished figures. Out: text through rich. What it must never do: compute a figure.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from rich.console import Console
from rich.table import Table

from tachograph.series import Series

ROWS_MAX = 25


def summary(console: Console, value: dict[str, Any], title: str) -> None:
    """A `Summary.to_dict()`."""
    console.print(f"[bold]{title}[/bold]")
    console.print(
        f"{_count(value['calls'])} calls, {_count(value['errors'])} errors"
        + (f", {value['first'][:19]} to {value['last'][:19]} UTC" if value["first"] else "")
        + (f", {_count(value['sightings'])} further sightings not counted" if value["sightings"] else "")
    )
    _figures(console, value)
    _models(console, value["by_model"])
    if len(value["by_day"]) > 1:
        _days(console, value["by_day"])
    if value["unpriced_models"]:
        _unpriced(console, value["unpriced_models"])
    if value["unknown_usage_calls"]:
        console.print(
            f"{_count(value['unknown_usage_calls'])} answered calls state no usage: their cost is unknown, not zero"
        )


def _figures(console: Console, value: dict[str, Any]) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    duration, ttft = value["duration_ms"], value["ttft_ms"]
    table.add_row("cost", _money(value["cost_usd"]), "per 1,000 tokens", _money(value["cost_per_1k_tokens_usd"]))
    table.add_row("tokens in", _count(value["input_tokens"]), "of them from cache", _count(value["cache_read"]))
    table.add_row(
        "tokens out", _count(value["output_tokens"]), "latency per 1,000 tokens", _ms(value["latency_per_1k_tokens_ms"])
    )
    table.add_row("duration p50", _ms(duration["p50"]), "p95 / p99", f"{_ms(duration['p95'])} / {_ms(duration['p99'])}")
    table.add_row("first token p50", _ms(ttft["p50"]), "p95 / p99", f"{_ms(ttft['p95'])} / {_ms(ttft['p99'])}")
    console.print(table)


def _models(console: Console, rows: list[dict[str, Any]]) -> None:
    table = _table("provider", "model")
    for heading in ("calls", "errors", "tokens", "cost USD", "ms per 1k tokens", "p50 ms", "p95 ms"):
        table.add_column(heading, justify="right")
    for row in rows[:ROWS_MAX]:
        table.add_row(
            row["provider"],
            row["model"],
            _count(row["calls"]),
            _count(row["errors"]),
            _count(row["total_tokens"]),
            _money(row["cost_usd"]),
            _ms(row["latency_per_1k_tokens_ms"]),
            _ms(row["duration_ms"]["p50"]),
            _ms(row["duration_ms"]["p95"]),
        )
    console.print(table)
    _more(console, rows)


def _days(console: Console, rows: list[dict[str, Any]]) -> None:
    table = _table("day")
    for heading in ("calls", "errors", "tokens", "cost USD", "p95 ms"):
        table.add_column(heading, justify="right")
    for row in rows[-ROWS_MAX:]:
        table.add_row(
            row["day"],
            _count(row["calls"]),
            _count(row["errors"]),
            _count(row["total_tokens"]),
            _money(row["cost_usd"]),
            _ms(row["duration_ms"]["p95"]),
        )
    console.print(table)
    _more(console, rows)


def _unpriced(console: Console, rows: list[dict[str, Any]]) -> None:
    table = _table("no price for", "model")
    table.add_column("calls", justify="right")
    for row in rows[:ROWS_MAX]:
        table.add_row(row["provider"], row["model"], _count(row["calls"]))
    console.print(table)
    _more(console, rows)
    console.print("give these a price, an alias or a capacity in the file of the setting `prices` (docs/prices.md)")


def series(console: Console, answer: Series) -> None:
    """A Series as a table: time, labels, measures with their units."""
    table = _table(*(["time"] if answer.step else []), *answer.by)
    for name, unit in zip(answer.measures, answer.units, strict=True):
        table.add_column(
            name if unit in ("1", "") or name.endswith(unit.lower()) else f"{name} ({unit})", justify="right"
        )
    for row in answer.rows:
        cells = [_time(row.time, answer.step)] if answer.step else []
        cells += ["-" if label is None else label or "(none)" for label in map(_label, row.labels)]
        table.add_row(*cells, *(_value(value) for value in row.values))
    console.print(table)
    window = f"{answer.since:%Y-%m-%d %H:%M} to {answer.until:%Y-%m-%d %H:%M} UTC"
    console.print(f"{len(answer.rows)} rows from the table {answer.table}, {window}")


def _label(value: Any) -> str | None:
    return None if value is None else str(value)


def calls(console: Console, rows: list[dict[str, Any]]) -> None:
    """Calls as JSON-ready dictionaries, the facts of each in one row."""
    table = _table("file" if rows and "file" in rows[0] else "call", "api", "model", "outcome")
    for heading in ("in", "cached", "out", "reasoning", "cost USD"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            str(row.get("file") or row["call_id"]),
            row["api"],
            row["model"] or "-",
            row["outcome"] + (f" ({row['error_type']})" if row["error_type"] else ""),
            _count(row["input_tokens"]),
            _count(row["cache_read"]),
            _count(row["output_tokens"]),
            _count(row["output_reasoning"]),
            _money(row["cost_usd"]),
        )
    console.print(table)


def checks(console: Console, rows: list[tuple[bool, str, str]]) -> None:
    """What `doctor` found: (fine?, what, how it is or what to do)."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for fine, what, how in rows:
        table.add_row("[green]ok[/green]" if fine else "[red]problem[/red]", what, how)
    console.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _more(console: Console, rows: list[Any]) -> None:
    if len(rows) > ROWS_MAX:
        console.print(f"... and {len(rows) - ROWS_MAX} more; --json has all")


def _time(moment: datetime | None, step: timedelta | None) -> str:
    if moment is None:
        return "-"
    return f"{moment:%Y-%m-%d}" if step and step >= timedelta(days=1) else f"{moment:%Y-%m-%d %H:%M:%S}"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _money(value: str | None) -> str:
    if value is None:
        return "-"
    amount = float(value)
    if 0 < amount < 0.0001:  # little is not nothing
        return f"{amount:.10f}".rstrip("0")
    return f"{amount:,.2f}" if amount >= 100 else f"{amount:.6f}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms" if value >= 10 else f"{value:.2f} ms"


def _value(value: float | int | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 100 else f"{value:.6g}"


def ledger(console: Console, value: dict[str, Any]) -> None:
    """What became of everything that was accepted, with the reasons."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    for name in ("accepted", "stored", "deduplicated", "refused", "ignored", "in_flight"):
        parts = value[name] if isinstance(value[name], dict) else {}
        table.add_row(
            name.replace("_", " "), f"{sum(parts.values()) if isinstance(value[name], dict) else value[name]:,}"
        )
        for label, count in sorted(parts.items()):
            table.add_row(f"  {label}", f"{count:,}")
    console.print(table)
    console.print("balanced" if value["balanced"] else "NOT balanced: please report this")

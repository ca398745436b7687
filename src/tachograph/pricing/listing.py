"""The prices of one model as a list, and the lines of a price file that give one to a model that has none.

In: the price book, a provider and a name, the moment. Out: dated rows, JSON-ready; TOML in the format of `overrides`.
What it must never know: how many calls there are, where a price file is.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

from tachograph.call import Call
from tachograph.pricing.book import PriceBook
from tachograph.pricing.lookup import choose
from tachograph.pricing.rows import MILLION, RATES, PriceRow, Rate, Tiered

_DAY_ONE = date.min


def dated(book: PriceBook, provider: str, model: str, now: datetime) -> list[dict[str, Any]]:
    """The rows for that provider and name (requested, responded or canonical), the latest first of each context."""
    rows = _rows(book, provider, model, now)
    rows.sort(key=lambda row: (row.context, str(row.window), row.source, row.valid_from or _DAY_ONE))
    listed = [_listed(row, _until(row, rows), _in_force(row, rows, provider, now.date())) for row in rows]
    return sorted(listed, key=lambda row: (not row["in_force"], row["since"] or ""), reverse=False)


def fix(book: PriceBook, provider: str, requested: str | None, responded: str | None, now: datetime) -> str | None:
    """What to add to the price file so that calls of these names have a price; None where they have one.

    The figures are to be filled in: nobody but the provider knows them, and a guess would be booked as a cost.
    """
    if book.planned(_call(provider, requested, responded, now))[1] is not None:
        return None
    name = requested if provider == "aws.bedrock" and requested else responded or requested
    if not provider.strip() or name is None or not name.strip() or name != name.strip():
        return None
    model = name.rpartition("/")[2] or name if name.startswith("arn:") else name
    lines = [
        "[[price]]",
        f"provider = {_quoted(provider)}",
        f"model = {_quoted(model)}",
        'source = "list"',
        "# US dollars per million tokens: put the provider's figures in the place of these",
        'rates = { input = "1.00", output = "1.00" }',
    ]
    if model != name:
        lines += ["", "[[alias]]", f"provider = {_quoted(provider)}", f"name = {_quoted(name)}"]
        lines += [f"model = {_quoted(model)}"]
    return "\n".join(lines) + "\n"


def _call(provider: str, requested: str | None, responded: str | None, now: datetime) -> Call:
    return Call(provider=provider, request_model=requested, response_model=responded, started_at=now)


def _rows(book: PriceBook, provider: str, model: str, now: datetime) -> list[PriceRow]:
    canonical, plan = book.planned(_call(provider, model, model, now))
    holders = {(provider, canonical or model), (provider, model)}
    if plan is not None:
        holders.add((plan.holding.row.provider, plan.holding.row.model))
    return [row for row in book.rows if (row.provider, row.model) in holders]


def _in_force(row: PriceRow, rows: list[PriceRow], provider: str, today: date) -> bool:
    """Is it what prices a call of today that its words and hours are for? A contract goes before the list."""
    whole, hours = choose(rows, provider, today, dict(row.context))
    return any(other is row for other in (whole, *hours))


def _until(row: PriceRow, rows: list[PriceRow]) -> date | None:
    """The first day of the next row for the same."""
    later = [
        other.valid_from
        for other in rows
        if other.valid_from is not None
        and other.valid_from > (row.valid_from or _DAY_ONE)
        and (other.provider, other.model, other.context, other.window, other.source)
        == (row.provider, row.model, row.context, row.window, row.source)
    ]
    return min(later, default=None)


def _listed(row: PriceRow, until: date | None, in_force: bool) -> dict[str, Any]:
    since = row.valid_from
    rates: dict[str, str] = {}
    for name, rate in row.rates.items():
        rates |= _rates(name, rate)
    return {
        "price_id": row.price_id,
        "provider": row.provider,
        "model": row.model,
        "since": since.isoformat() if since else None,
        "until": until.isoformat() if until else None,
        "in_force": in_force,
        "context": dict(row.context),
        "window": f"{row.window[0]:%H:%M}-{row.window[1]:%H:%M}" if row.window else None,
        "rates": rates,
        "source": f"{row.source}: {row.origin}" if row.origin else row.source,
    }


def _rates(name: str, rate: Rate) -> dict[str, str]:
    """A rate by its name; what is not priced by the million tokens says in its name what it is a price of."""
    unit = RATES[name]
    label = name if (unit.noun, unit.per) == ("tokens", MILLION) else f"{name} per {unit.per} {unit.noun}"
    if not isinstance(rate, Tiered):
        return {label: str(rate)}
    steps = {f"{label} above {threshold} input tokens": str(value) for threshold, value in rate.steps}
    return {label: str(rate.base), **steps}


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

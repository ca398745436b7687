"""A charge as the multiplication that it is: text for people, a dict for programs.

In: a Call and the price book. Out: aligned lines of plain text, or JSON-ready values with amounts as decimal text.
What it must never know: where prices come from, how they are stored, a terminal.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tachograph.call import Call
from tachograph.pricing.book import PriceBook
from tachograph.pricing.charge import Charge, Line
from tachograph.pricing.rows import MILLION, ONE, THOUSAND, PriceRow

_STATUS_TEXT = {
    "unpriced_model": "no price: the list and the price file know no price of this model at this time",
    "unknown_usage": "no price: the tokens of this call are not known",
    "free": "free",
    "priced": "priced",
}
# How a price list writes what a rate is a price of.
_PER = {MILLION: " per 1M", THOUSAND: " per 1k", ONE: " each"}


def explain(call: Call, book: PriceBook) -> str:
    """The multiplication, line by line, with the row, its dates and source; ends with the total."""
    facts = explanation(call, book)
    head = [
        ("call", f"{facts['call_id']}  {facts['started_at']}"),
        ("provider", facts["provider"]),
        ("model", _models(facts)),
        ("tier", facts["service_tier"] or "default"),
        ("status", _STATUS_TEXT[facts["price_status"]]),
    ]
    lines = [f"{name:<10}{text}" for name, text in head]
    lines += [_row_text(row) for row in facts["rows"]]
    lines += _table(facts["lines"])
    lines += _totals(facts)
    if facts["flags"]:
        lines.append(f"{'flags':<10}{', '.join(facts['flags'])}")
    return "\n".join(line.rstrip() for line in lines)


def explanation(call: Call, book: PriceBook) -> dict[str, Any]:
    """The same as JSON-ready values. Amounts and rates are decimal text in US dollars."""
    charge = book.charge(call)
    lines = charge.lines
    ids = dict.fromkeys([charge.list_price_id or charge.price_id or "", *(line.price_id for line in lines)])
    return {
        "call_id": call.call_id,
        "started_at": call.started_at.isoformat(),
        "provider": call.provider,
        "request_model": call.request_model,
        "response_model": call.response_model,
        "model": charge.model,
        "service_tier": call.service_tier,
        "price_context": dict(call.price_context),
        "price_status": charge.price_status,
        "price_id": charge.price_id,
        "cost_source": charge.cost_source,
        "cost_usd": _text(charge.cost_usd),
        "list_usd": _text(charge.list_usd),
        "difference_usd": _difference(charge),
        "rows": [_row(price_id, row) for price_id in ids if (row := book.row(price_id)) is not None],
        "lines": [_line(line) for line in lines],
        "flags": list(charge.flags),
    }


def _row(price_id: str, row: PriceRow) -> dict[str, Any]:
    return {
        "price_id": price_id,
        "provider": row.provider,
        "model": row.model,
        "valid_from": row.valid_from.isoformat() if row.valid_from else None,
        "hours_utc": f"{row.window[0]:%H:%M}-{row.window[1]:%H:%M}" if row.window else None,
        "context": dict(row.context),
        "source": row.source,
        "origin": row.origin,
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "part": line.part,
        "model": line.model,
        "price_id": line.price_id,
        "quantity": _text(line.quantity),
        "unit": line.unit,
        "per": line.per,
        "rate_usd": _text(line.rate),
        "rate_of": line.rate_of,
        "multipliers": [{"name": name, "factor": _text(factor)} for name, factor in line.multipliers],
        "amount_usd": _text(line.amount.normalize()),
    }


def _difference(charge: Charge) -> str | None:
    """The stated cost less the list's, where the provider stated one."""
    if charge.cost_source != "provider" or charge.cost_usd is None or charge.list_usd is None:
        return None
    return _text(charge.cost_usd - charge.list_usd)


def _text(number: Decimal | None) -> str | None:
    return None if number is None else format(number, "f")


def _models(facts: dict[str, Any]) -> str:
    asked, answered = facts["request_model"] or "not stated", facts["response_model"] or "not stated"
    return f"{facts['model'] or 'unknown'}  (requested {asked}, answered {answered})"


def _row_text(row: dict[str, Any]) -> str:
    since = f"since {row['valid_from']}" if row["valid_from"] else "since ever"
    hours = f", {row['hours_utc']} UTC" if row["hours_utc"] else ""
    return f"{'price':<10}{row['price_id']}  ({row['source']}, {since}{hours}; {row['origin']})"


def _table(lines: list[dict[str, Any]]) -> list[str]:
    cells = [_cells(line) for line in lines]
    if not cells:
        return []
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    return [""] + [
        f"  {part:<{widths[0]}}  {quantity:>{widths[1]}} {unit:<{widths[2]}} x {rate:<{widths[3]}}  = {amount}"
        for part, quantity, unit, rate, amount in cells
    ]


def _cells(line: dict[str, Any]) -> tuple[str, str, str, str, str]:
    rate = f"${line['rate_usd']}{_PER[line['per']]}"
    if line["rate_of"] != line["part"]:
        rate += f" (rate of {line['rate_of']})"
    factors = "".join(f" x {item['factor']} {item['name']}" for item in line["multipliers"])
    quantity = Decimal(line["quantity"])
    return line["part"], f"{quantity:,f}", line["unit"], rate + factors, f"${line['amount_usd']}"


def _totals(facts: dict[str, Any]) -> list[str]:
    if facts["cost_usd"] is None and facts["list_usd"] is None:
        return ["", f"{'total':<10}not known"]
    if facts["cost_source"] != "provider":
        return ["", f"{'total':<10}${facts['cost_usd']}  ({facts['cost_source']})"]
    listed = "not known" if facts["list_usd"] is None else f"${facts['list_usd']}"
    lines = ["", f"{'by list':<10}{listed}", f"{'total':<10}${facts['cost_usd']}  (stated by the provider)"]
    if facts["difference_usd"] is not None:
        lines.append(f"{'stated less list':<18}${facts['difference_usd']}")
    return lines

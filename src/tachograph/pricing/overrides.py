"""The file of prices of one's own -> rows, aliases and multipliers in front of the list.

In: the mapping that a TOML file holds (the caller reads and parses it; decimals may come as text, integers, Decimal or
float, the latter by its shortest spelling) and a Table. Out: the Table with them. Raises PriceFileError, one line that
names the table, the key and the remedy.
What it must never know: a file, a Call, how a charge is computed.

    [[price]]                          # a contract price, or a corrected or additional list price
    provider = "openai"
    model = "gpt-5"                    # canonical name
    match = ["gpt-5", "gpt-5-2025*"]   # names that mean it; default: the model's own name
    from = 2026-01-01                  # first UTC day; default: since ever
    hours = "01:00-04:00"              # UTC; default: all day
    context = { service_tier = "flex" }
    source = "contract"                # or "list"
    unit = "usd_per_million_tokens"    # the only one there is; for whoever wants to say it
    rates = { input = "1.00", cache_read = "0.10", output = "8.00" }
    above = [{ input_tokens = 272000, input = "2.00", output = "12.00" }]

    [[capacity]]                       # self-hosted: what the machines cost, spread over the tokens they serve
    provider = "vllm"
    model = "llama-3.3-70b"
    gpu_count = 4
    usd_per_gpu_hour = "2.50"
    tokens_per_hour = 3600000          # input and output together, at full load
    utilisation = "0.60"               # of the hour at full load; default 1

    [[alias]]                          # a deployment, profile or ARN -> the name of a model
    provider = "azure.ai.openai"
    name = "chat-prod"
    model = "gpt-5-2025-08-07"

    [[multiplier]]
    name = "data_zone"
    factor = "1.1"
    provider = "azure.ai.openai"       # or a list; patterns with *
    model = "gpt-5*"
    requested = "eu-*"                 # the name as requested: a deployment
    context = { service_tier = "*" }
    from = 2026-01-01
    rates = ["input", "output"]        # default: all but fees

Capacity: gpu_count * usd_per_gpu_hour * 1,000,000 / (tokens_per_hour * utilisation) = USD per million tokens, for input
and output alike, to ten decimals; it becomes `cost_source = amortised`.
Rates: the words of `rows.RATES`, with `input` for input_uncached and `output` for output_visible.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from tachograph.pricing.charge import EXACT
from tachograph.pricing.names import pattern
from tachograph.pricing.rows import RATES, Matcher, Multiplier, PriceRow, Rate, Table, Tiered

SHORT = {"input": "input_uncached", "output": "output_visible"}
UNIT = "usd_per_million_tokens"
RATE_MAX = Decimal(10**6)
_RATE_STEP = Decimal("0.0000000001")
_TABLES = ("price", "capacity", "alias", "multiplier")
_KEYS = {
    "price": ("provider", "model", "match", "from", "hours", "context", "source", "unit", "rates", "above", "note"),
    "capacity": (
        "provider",
        "model",
        "match",
        "from",
        "gpu_count",
        "usd_per_gpu_hour",
        "tokens_per_hour",
        "utilisation",
        "note",
    ),
    "alias": ("provider", "name", "model", "note"),
    "multiplier": ("name", "factor", "provider", "model", "requested", "context", "from", "rates", "note"),
}
_REQUIRED = {
    "price": ("provider", "model", "rates"),
    "capacity": ("provider", "model", "gpu_count", "usd_per_gpu_hour", "tokens_per_hour"),
    "alias": ("name", "model"),
    "multiplier": ("name", "factor"),
}
_HOURS = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$")
_NAME = re.compile(r"^[a-z0-9_.]+$")


class PriceFileError(ValueError):
    """A price file that cannot be used; its text is one line that names the key and the remedy."""


def overridden(table: Table, overrides: Mapping[str, Any]) -> Table:
    """The Table with the overrides in front. A row with the id of a listed one takes its place."""
    _known("the price file", overrides, _TABLES)
    rows = {row.price_id: row for row in table.rows}
    matchers: dict[str, list[Matcher]] = {key: list(own) for key, own in table.overriding.items()}
    told: dict[str, str] = {}
    for place, entry in (*_entries(overrides, "price"), *_entries(overrides, "capacity")):
        row = _price(place, entry) if place.startswith("price") else _capacity(place, entry)
        if row.price_id in told:
            raise PriceFileError(
                f"{place}: the same price as {told[row.price_id]} ({row.price_id}): remove one of them"
            )
        told[row.price_id] = place
        rows[row.price_id] = row
        names = _words(place, "match", entry.get("match", [row.model]))
        clauses = tuple(("regex", "^" + pattern(name).pattern) for name in names)
        matchers.setdefault(row.provider, []).append(Matcher(("or", *clauses), row.model))
    aliases = dict(table.aliases)
    for place, entry in _entries(overrides, "alias"):
        holder = _word(place, "provider", entry["provider"]) if "provider" in entry else None
        aliases[holder, _word(place, "name", entry["name"]).lower()] = _word(place, "model", entry["model"])
    multipliers = tuple(_multiplier(place, entry) for place, entry in _entries(overrides, "multiplier"))
    return replace(
        table,
        rows=tuple(rows.values()),
        overriding={key: tuple(own) for key, own in matchers.items()},
        aliases=aliases,
        multipliers=multipliers + table.multipliers,
    )


def _entries(overrides: Mapping[str, Any], kind: str) -> list[tuple[str, Mapping[str, Any]]]:
    """(place, entry) of one kind, with known keys and the required ones there. Places count from 1."""
    value = overrides.get(kind, [])
    if not isinstance(value, list):
        raise PriceFileError(f"{kind}: not a list of tables: write [[{kind}]]")
    found = []
    for number, entry in enumerate(value, 1):
        place = f"{kind} {number}"
        if not isinstance(entry, Mapping):
            raise PriceFileError(f"{place}: not a table: write [[{kind}]]")
        _known(place, entry, _KEYS[kind])
        missing = next((key for key in _REQUIRED[kind] if key not in entry), None)
        if missing:
            raise PriceFileError(f"{place}: `{missing}` is missing: add it")
        found.append((place, entry))
    return found


def _price(place: str, entry: Mapping[str, Any]) -> PriceRow:
    if entry.get("unit", UNIT) != UNIT:
        raise PriceFileError(f"{place}: unit {entry['unit']!r} is not known: state rates in {UNIT!r}")
    source = entry.get("source", "contract")
    if source not in ("contract", "list"):
        raise PriceFileError(f"{place}: source {source!r} is not known: use 'contract' or 'list'")
    return PriceRow(
        provider=_word(place, "provider", entry["provider"]),
        model=_word(place, "model", entry["model"]),
        rates=_rates(place, entry),
        valid_from=_day(place, entry),
        window=_window(place, entry),
        context=_context(place, entry),
        source=source,
        origin="price file",
    )


def _rates(place: str, entry: Mapping[str, Any]) -> dict[str, Rate]:
    base = _plain_rates(f"{place}: rates", entry["rates"])
    if not base:
        raise PriceFileError(f'{place}: rates is empty: state at least one, e.g. input = "1.00"')
    steps = entry.get("above", [])
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
        raise PriceFileError(
            f"{place}: above is not a list of tables: write above = [{{ input_tokens = 272000, ... }}]"
        )
    found: dict[str, list[tuple[int, Decimal]]] = {name: [] for name in base}
    for step in steps:
        threshold = _count(f"{place}: above", "input_tokens", step.get("input_tokens"))
        higher = _plain_rates(f"{place}: above", {key: value for key, value in step.items() if key != "input_tokens"})
        for name, rate in higher.items():
            if name not in base:
                given = next((short for short, word in SHORT.items() if word == name), name)
                raise PriceFileError(f"{place}: above: `{given}` has no rate in rates: add it there")
            found[name].append((threshold, rate))
    return {name: Tiered(rate, tuple(sorted(found[name]))) if found[name] else rate for name, rate in base.items()}


def _plain_rates(place: str, value: Any) -> dict[str, Decimal]:
    if not isinstance(value, Mapping):
        raise PriceFileError(f'{place}: not a table: write rates = {{ input = "1.00", output = "8.00" }}')
    _known(place, value, (*SHORT, *RATES))
    return {SHORT.get(str(key), str(key)): _amount(place, str(key), item) for key, item in value.items()}


def _capacity(place: str, entry: Mapping[str, Any]) -> PriceRow:
    hourly = EXACT.multiply(
        _positive(place, "gpu_count", entry["gpu_count"]), _amount(place, "usd_per_gpu_hour", entry["usd_per_gpu_hour"])
    )
    utilisation = _positive(place, "utilisation", entry.get("utilisation", 1))
    if utilisation > 1:
        raise PriceFileError(f'{place}: utilisation {utilisation} is above 1: write it as a share, e.g. "0.60"')
    served = EXACT.multiply(_positive(place, "tokens_per_hour", entry["tokens_per_hour"]), utilisation)
    rate = EXACT.divide(EXACT.scaleb(hourly, 6), served).quantize(_RATE_STEP, context=EXACT)
    return PriceRow(
        provider=_word(place, "provider", entry["provider"]),
        model=_word(place, "model", entry["model"]),
        rates={"input_uncached": rate, "cache_read": rate, "output_visible": rate},
        valid_from=_day(place, entry),
        source="amortised",
        origin="price file: gpu_count * usd_per_gpu_hour * 1,000,000 / (tokens_per_hour * utilisation)",
    )


def _multiplier(place: str, entry: Mapping[str, Any]) -> Multiplier:
    name = _word(place, "name", entry["name"])
    if not _NAME.match(name):
        raise PriceFileError(f"{place}: name {name!r} has other signs than a-z 0-9 _ .: choose a plain word")
    rates = _words(place, "rates", entry.get("rates", []))
    _known(f"{place}: rates", dict.fromkeys(rates), (*SHORT, *RATES))
    return Multiplier(
        name=name,
        factor=_amount(place, "factor", entry["factor"]),
        providers=_words(place, "provider", entry.get("provider", [])),
        models=_words(place, "model", entry.get("model", [])),
        requested=_words(place, "requested", entry.get("requested", [])),
        when=_context(place, entry),
        valid_from=_day(place, entry),
        rates=tuple(SHORT.get(rate, rate) for rate in rates),
        origin="price file",
    )


def _known(place: str, given: Iterable[str], keys: Iterable[str]) -> None:
    keys = tuple(keys)
    for key in given:
        if key not in keys:
            near = difflib.get_close_matches(str(key), keys, 1, 0.5)
            remedy = f"did you mean `{near[0]}`?" if near else "known are " + ", ".join(keys)
            raise PriceFileError(f"{place}: unknown key `{key}`: {remedy}")


def _word(place: str, key: str, value: Any) -> str:
    if not isinstance(value, str) or not value or value != value.strip():
        raise PriceFileError(f"{place}: {key} {value!r} is not a name: write it in quotes, without blanks around it")
    return value


def _words(place: str, key: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise PriceFileError(f"{place}: {key} {value!r} is not a name nor a list of names: write it in quotes")
    return tuple(_word(place, key, item) for item in value)


def _number(place: str, key: str, value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        raise PriceFileError(f'{place}: {key} {value!r} is not a number: write e.g. "1.25"')
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise PriceFileError(f'{place}: {key} {value!r} is not a number: write e.g. "1.25", in US dollars')
    return number


def _amount(place: str, key: str, value: Any) -> Decimal:
    number = _number(place, key, value)
    if number < 0:
        raise PriceFileError(f"{place}: {key} {value} is negative: prices and factors are 0 or more")
    if number > RATE_MAX:
        raise PriceFileError(f"{place}: {key} {value} is above {RATE_MAX}: rates are in {UNIT}")
    return number


def _positive(place: str, key: str, value: Any) -> Decimal:
    number = _number(place, key, value)
    if not 0 < number <= Decimal(10**15):
        raise PriceFileError(f"{place}: {key} {value} is out of range: it must be above 0")
    return number


def _count(place: str, key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise PriceFileError(f"{place}: {key} {value!r} is not a count: write a whole number of tokens")
    return value


def _day(place: str, entry: Mapping[str, Any]) -> date | None:
    value = entry.get("from")
    if isinstance(value, str):
        value = _parsed(value)
    if "from" in entry and (not isinstance(value, date) or isinstance(value, datetime)):
        raise PriceFileError(f"{place}: from {entry['from']!s} is not a date: write it as 2026-01-31")
    return value


def _parsed(text: str, parse: Callable[[str], date] = date.fromisoformat) -> date | None:
    try:
        return parse(text)
    except ValueError:
        return None


def _window(place: str, entry: Mapping[str, Any]) -> tuple[time, time] | None:
    if "hours" not in entry:
        return None
    found = _HOURS.match(entry["hours"]) if isinstance(entry["hours"], str) else None
    if found is None:
        raise PriceFileError(f'{place}: hours {entry["hours"]!r} are not hours of the day: write "01:00-04:00", in UTC')
    begin, begin_minute, end, end_minute = (int(text) for text in found.groups())
    return time(begin, begin_minute), time(end, end_minute)


def _context(place: str, entry: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    value = entry.get("context", {})
    if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value.values()):
        raise PriceFileError(f'{place}: context is not a table of words: write context = {{ service_tier = "flex" }}')
    return tuple(sorted((str(key), item.lower()) for key, item in value.items()))

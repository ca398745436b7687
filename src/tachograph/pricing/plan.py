"""A row with its multipliers, compiled: counts in, an exact amount out.

In: a `Holding`. Out: amounts as integers of 10^-24 US dollars, so that the common case is seven integer products; and
the same products as Lines when somebody asks. No float, no rounding before the last step.
What it must never know: how the row was found, a Call.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from math import inf
from typing import NamedTuple

from tachograph.call import INPUT_PARTS, OUTPUT_PARTS
from tachograph.pricing.charge import EXACT, Line
from tachograph.pricing.lookup import Holding
from tachograph.pricing.quantities import Quantity, disjoint, input_tokens
from tachograph.pricing.rows import RATES, Multiplier, Rate, Tiered

DIGITS = 24  # of the integer amounts; every list price times every multiplier fits without rounding
MONEY_DIGITS = 10
_STEP = 10 ** (DIGITS - MONEY_DIGITS)
_HALF = _STEP // 2

# Where a row has no rate of its own, the next in the chain is used.
_CHAINS: dict[str, tuple[str, ...]] = {
    "cache_read": ("input_uncached",),
    "cache_write_5m": ("cache_write_other", "input_uncached"),
    "cache_write_1h": ("cache_write_5m", "cache_write_other", "input_uncached"),
    "cache_write_12h": ("cache_write_other", "cache_write_5m", "input_uncached"),
    "cache_write_other": ("cache_write_5m", "input_uncached"),
    "output_reasoning": ("output_visible",),
    "annotated_page": ("page",),
}
_FAST = (*INPUT_PARTS, *OUTPUT_PARTS)


class _Priced(NamedTuple):
    """The rate of one part at one level: whose rate, in dollars as stated, its factors, and all of it as an integer."""

    rate_of: str
    rate: Decimal
    factors: tuple[tuple[str, Decimal], ...]
    integer: int


class _Level(NamedTuple):
    """The rates of requests with more input than the threshold."""

    above: int
    fast: tuple[int, ...]
    parts: dict[str, _Priced]


class Sum(NamedTuple):
    """An integer amount; flags for parts without a rate of their own; whether the row prices anything that was used."""

    amount: int
    flags: set[str]
    known: bool


class Plan:
    """Computes. Immutable.

    price_id, model, source: for the charge. flags: what is odd whatever was used. odd: part -> flag, where its use is
    odd; odd_at: the places of those parts among the arguments of `tokens`. tokened: the row has a rate of tokens. fee:
    what each request costs, as an integer.
    """

    __slots__ = (
        "_levels",
        "fee",
        "flags",
        "free",
        "holding",
        "model",
        "odd",
        "odd_at",
        "price_id",
        "rated",
        "source",
        "tokened",
    )

    def __init__(self, model: str, holding: Holding, provisioned: bool) -> None:
        row = holding.row
        self.holding, self.model, self.source = holding, model, row.source
        self.flags = holding.flags
        self.free = row.free
        names = [item.name for item in holding.multipliers]
        if provisioned and row.source == "list":
            self.free, names = True, ["provisioned"]
            self.flags = ("provisioned",)
        self.price_id = "*".join([row.price_id, *names])
        self._levels = _levels(holding)
        self.rated = frozenset(self._levels[0].parts)
        self.fee = self._levels[0].parts["request"].integer if "request" in self.rated else 0
        self.odd = _odd(self._levels[0].parts)
        self.tokened = not self.rated.isdisjoint(_FAST)
        self.odd_at = tuple(place for place, part in enumerate(_FAST) if part in self.odd)

    def tokens(
        self, uncached: int, read: int, write_5m: int, write_1h: int, write_other: int, visible: int, reasoning: int
    ) -> int:
        """The amount of the seven token parts, without fee."""
        levels = self._levels
        rates = levels[0].fast
        if len(levels) > 1:
            rates = self._level(uncached + read + write_5m + write_1h + write_other).fast
        return (
            uncached * rates[0]
            + read * rates[1]
            + write_5m * rates[2]
            + write_1h * rates[3]
            + write_other * rates[4]
            + visible * rates[5]
            + reasoning * rates[6]
        )

    def levels(self) -> list[tuple[int, float, tuple[int, ...]]]:
        """(more input than this, up to this, the rates of the seven token parts) for each level."""
        starts = [level.above for level in self._levels]
        ends = [*starts[1:], inf]
        return [(level.above, end, level.fast) for level, end in zip(self._levels, ends, strict=True)]

    def parts(self, used: Mapping[str, Quantity]) -> Sum:
        """The amount of whatever was used, without fee."""
        quantities = disjoint(used, self.rated)
        rates = self._levels[0].parts if len(self._levels) == 1 else self._level(input_tokens(used)).parts
        amount, flags, known = 0, set(), bool(self.fee) or not quantities
        for name, quantity in quantities.items():
            rate = rates.get(name)
            if rate is None:
                flags.add("part_unpriced")
                continue
            known = True
            amount += _product(rate, quantity)
            if name in self.odd:
                flags.add(self.odd[name])
        return Sum(amount, flags, known)

    def flagged(self, counts: tuple[int, ...]) -> tuple[str, ...]:
        """The flags of a charge by `tokens`, whose arguments these were."""
        found = {self.odd[_FAST[place]] for place in self.odd_at if counts[place]}
        return tuple(sorted(found.union(self.flags)))

    def lines(self, used: Mapping[str, Quantity], fee: bool = True) -> list[Line]:
        """The products of `parts`, and of the fee."""
        rates = self._level(input_tokens(used)).parts
        quantities = disjoint(used, self.rated)
        if fee and self.fee:
            quantities["request"] = 1
        return [
            self._line(part, quantities[part], rates[part]) for part in RATES if part in quantities and part in rates
        ]

    def _line(self, part: str, quantity: Quantity, priced: _Priced) -> Line:
        unit = RATES[part]
        amount = EXACT.scaleb(Decimal(_product(priced, quantity)), -DIGITS)
        return Line(
            part,
            Decimal(quantity),
            unit.noun,
            unit.per,
            priced.rate,
            priced.rate_of,
            priced.factors,
            amount,
            self.model,
            self.price_id,
        )

    def _level(self, input_tokens: int) -> _Level:
        found = self._levels[0]
        for level in self._levels[1:]:
            if input_tokens > level.above:
                found = level
        return found


def money(amount: int) -> Decimal:
    """An integer amount in dollars to ten decimals, half to even."""
    whole, rest = divmod(amount, _STEP)
    if rest > _HALF or (rest == _HALF and whole & 1):
        whole += 1
    return EXACT.scaleb(Decimal(whole), -MONEY_DIGITS)


def _product(priced: _Priced, quantity: Quantity) -> int:
    if isinstance(quantity, int):
        return priced.integer * quantity
    return int(EXACT.multiply(Decimal(priced.integer), quantity).to_integral_value(ROUND_HALF_EVEN, EXACT))


def _levels(holding: Holding) -> tuple[_Level, ...]:
    rates = holding.row.rates
    steps = {step for rate in rates.values() if isinstance(rate, Tiered) for step, _ in rate.steps}
    return tuple(_level(holding, above) for above in (-1, *sorted(steps)))


def _level(holding: Holding, above: int) -> _Level:
    stated = {name: _at(rate, above + 1) for name, rate in holding.row.rates.items()}
    parts = {}
    for name in RATES:
        priced = _priced(name, stated, holding)
        if priced is not None:
            parts[name] = priced
    return _Level(above, tuple(parts[name].integer if name in parts else 0 for name in _FAST), parts)


def _at(rate: Rate, input_tokens: int) -> Decimal:
    return rate.at(input_tokens) if isinstance(rate, Tiered) else rate


def _priced(name: str, stated: Mapping[str, Decimal], holding: Holding) -> _Priced | None:
    factors: list[tuple[str, Decimal]] = []
    rate_of = name
    if name not in stated:
        derived = next((item for item in holding.derived if item.rate == name), None)
        if derived is not None and "input_uncached" in stated:
            rate_of = "input_uncached"
            factors.append((name, derived.factor))
        else:
            rate_of = next((other for other in _CHAINS.get(name, ()) if other in stated), "")
            if not rate_of:
                return None
    factors += [(item.name, item.factor) for item in holding.multipliers if _scales(item, name)]
    value = stated[rate_of]
    product = value
    for _, factor in factors:
        product = EXACT.multiply(product, factor)
    per_one = EXACT.divide(EXACT.scaleb(product, DIGITS), Decimal(RATES[name].per))
    return _Priced(rate_of, value, tuple(factors), int(per_one.to_integral_value(ROUND_HALF_EVEN, EXACT)))


def _scales(item: Multiplier, name: str) -> bool:
    return name in item.rates if item.rates else RATES[name].scales


def _odd(parts: Mapping[str, _Priced]) -> dict[str, str]:
    """Parts whose use is to be flagged: no rate at all, or cached input at the price of uncached input."""
    found = {part: "part_unpriced" for part in _FAST if part not in parts}
    read = parts.get("cache_read")
    if read is not None and read.rate_of != "cache_read" and not any(name == "cache_read" for name, _ in read.factors):
        found["cache_read"] = "cache_rate_missing"
    return found

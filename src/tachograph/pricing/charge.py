"""The answer: what a Call costs, by which row, and the multiplication.

In: nothing. Out: `Charge` and its `Line`s.
What it must never know: how rows are found, where prices come from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Context, Decimal

EXACT = Context(prec=80)
COST_MAX = Decimal(10**8)  # Call.cost_usd holds amounts below this


@dataclass(frozen=True, slots=True)
class Line:
    """One product of the sum.

    part: what was counted, a word of `rows.RATES`. rate_of: the word whose rate was used, another one where the row has
    none for this part. rate: US dollars per `per` of `unit`, as the row states it. multipliers: (name, factor).
    amount: US dollars, exact. Reading: quantity / per * rate * every factor = amount.
    """

    part: str
    quantity: Decimal
    unit: str
    per: int
    rate: Decimal
    rate_of: str
    multipliers: tuple[tuple[str, Decimal], ...]
    amount: Decimal
    model: str
    price_id: str


@dataclass(slots=True)
class Charge:
    """What a Call costs.

    cost_usd: US dollars to ten decimals; None when it is not known, which is never the same as 0.
    cost_source, price_status: words of Call. price_id: the row, then `*name` for each multiplier; `book.row` finds it.
    model: the canonical name, None where the list knows none.
    list_usd: what the price book says, where the provider stated its own cost and that is `cost_usd`; else as cost_usd.
    flags: words for Call.flags. `lines` are computed when they are asked for, from the Call as it is then.
    """

    cost_usd: Decimal | None
    cost_source: str | None
    price_id: str | None
    price_status: str
    model: str | None
    flags: tuple[str, ...] = ()
    list_usd: Decimal | None = None
    list_price_id: str | None = None
    breakdown: Callable[[], tuple[Line, ...]] | None = field(default=None, repr=False, compare=False)

    @property
    def lines(self) -> tuple[Line, ...]:
        """The products whose exact sum, rounded to ten decimals, is the cost by the price book."""
        return self.breakdown() if self.breakdown is not None else ()

"""Usage x model x day x context -> money.

In: a Call with its token parts, models, tier and price context. Out: a Charge: the amount in US dollars as a decimal,
the id of the dated price row, and the multiplication line by line. Prices are data. Pure: no clock, file, socket,
thread or environment, and no float.
What it must never know: a provider's JSON, SQL, HTTP. It exists so that every figure on every page can be explained.
"""

from __future__ import annotations

from tachograph.pricing.book import PriceBook
from tachograph.pricing.charge import Charge, Line
from tachograph.pricing.rows import PriceRow, Table

__all__ = ["Charge", "Line", "PriceBook", "PriceRow", "Table"]

"""Usage x model x day x context -> money.

In: a Call with its token parts, models, tier and price context. Out: a Charge: the amount in US dollars as a decimal,
the id of the dated price row, and the multiplication line by line. Prices are data. Pure: no clock, file, socket,
thread or environment, and no float.
What it must never know: a provider's JSON, SQL, HTTP. It exists so that every figure on every page can be explained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tachograph.pricing import genai
from tachograph.pricing.book import PriceBook
from tachograph.pricing.charge import Charge, Line
from tachograph.pricing.explain import explain, explanation
from tachograph.pricing.listing import dated, fix
from tachograph.pricing.overrides import PriceFileError, overridden
from tachograph.pricing.rows import PriceRow, Table

__all__ = [
    "Charge",
    "Line",
    "PriceBook",
    "PriceFileError",
    "PriceRow",
    "Table",
    "dated",
    "explain",
    "explanation",
    "fix",
    "overridden",
    "price_book",
]


def price_book(overrides: Mapping[str, Any] | None = None) -> PriceBook:
    """The bundled list with the overrides of a price file in front. Raises PriceFileError.

    overrides: what a TOML file holds, parsed (see `overrides`). Costs about a second of CPU, most of it the import of
    the library that holds the list: build it once and keep it.
    """
    table = genai.bundled()
    return PriceBook(overridden(table, overrides) if overrides else table)

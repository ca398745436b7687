"""One book for all tests of the room: building it costs a second."""

from __future__ import annotations

import pytest

from tachograph.pricing import PriceBook, Table, price_book
from tachograph.pricing.genai import bundled


@pytest.fixture(scope="session")
def table() -> Table:
    return bundled()


@pytest.fixture(scope="session")
def book() -> PriceBook:
    return price_book()

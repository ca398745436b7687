"""One reader and one price book for all tests of the room."""

from __future__ import annotations

import pytest
from tests.dialects.reading import Desk

from tachograph.dialects.reading import SpanReader
from tachograph.dialects.rules import SpanLimits
from tachograph.pricing import PriceBook, price_book


@pytest.fixture(scope="session")
def book() -> PriceBook:
    return price_book()


@pytest.fixture(scope="session")
def desk(book: PriceBook) -> Desk:
    return Desk(SpanReader(SpanLimits()), book)

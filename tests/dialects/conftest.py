"""One engine and one price book for all tests of the room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.dialects.reading import Desk

from tachograph.collecting import SpanReader
from tachograph.dialects.rules import SpanLimits
from tachograph.pricing import PriceBook, price_book
from tachograph.store.engine import Engine


@pytest.fixture(scope="session")
def book() -> PriceBook:
    return price_book()


@pytest.fixture(scope="module")  # one engine in a process at a time
def desk(tmp_path_factory: pytest.TempPathFactory, book: PriceBook) -> Iterator[Desk]:
    engine = Engine(f"chdb://{tmp_path_factory.mktemp('dialects')}")
    yield Desk(SpanReader(engine, SpanLimits()), book)
    engine.close()

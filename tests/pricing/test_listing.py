"""The dated rows of a model, and the lines that give a price to what has none: fed back, they do."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tachograph.call import Call
from tachograph.pricing import PriceBook, dated, fix, price_book

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
OVERRIDES = """
[[price]]
provider = "acme"
model = "one"
from = 2026-01-01
rates = { input = "1.00", output = "2.50", request = "3" }
above = [{ input_tokens = 1000, input = "4.00" }]

[[price]]
provider = "acme"
model = "one"
from = 2026-12-01
rates = { input = "5.00" }
"""


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return price_book(tomllib.loads(OVERRIDES))


def test_each_row_says_from_when_until_when_and_what(book: PriceBook) -> None:
    first, second = dated(book, "acme", "one", NOW)
    assert first == {
        "price_id": "acme/one@2026-01-01+contract",
        "provider": "acme",
        "model": "one",
        "since": "2026-01-01",
        "until": "2026-12-01",
        "in_force": True,
        "context": {},
        "window": None,
        "rates": {
            "input_uncached": "1.00",
            "input_uncached above 1000 input tokens": "4.00",
            "output_visible": "2.50",
            "request per 1000 requests": "3",
        },
        "source": "contract: price file",
    }
    assert (second["since"], second["until"], second["in_force"]) == ("2026-12-01", None, False)


TIERS = """
[[price]]
provider = "acme"
model = "two"
source = "list"
rates = { input = "2" }

[[price]]
provider = "acme"
model = "two"
source = "list"
context = { service_tier = "flex" }
rates = { input = "1" }

[[price]]
provider = "acme"
model = "two"
source = "list"
hours = "16:30-00:30"
rates = { input = "0.5" }
"""
CONTRACT = """
[[price]]
provider = "acme"
model = "two"
from = 2026-01-01
rates = { input = "1.5" }
"""


@pytest.mark.parametrize(("told", "in_force"), [(TIERS, ["0.5", "1", "2"]), (TIERS + CONTRACT, ["1.5"])])
def test_in_force_is_what_prices_the_calls_that_a_row_is_for(told: str, in_force: list[str]) -> None:
    rows = dated(price_book(tomllib.loads(told)), "acme", "two", NOW)
    assert sorted(row["rates"]["input_uncached"] for row in rows if row["in_force"]) == in_force
    by_rate = {row["rates"]["input_uncached"]: (row["context"], row["window"]) for row in rows}
    assert by_rate["1"] == ({"service_tier": "flex"}, None) and by_rate["0.5"] == ({}, "16:30-00:30")


def test_a_model_is_found_by_any_of_its_names(book: PriceBook) -> None:
    by_version = dated(book, "openai", "gpt-4o-2024-08-06", NOW)
    assert by_version and {row["provider"] for row in by_version} == {"openai"}
    assert dated(book, "acme", "nothing of the sort", NOW) == []


@pytest.mark.parametrize(
    ("provider", "requested", "responded"),
    [
        ("acme", "seven", None),
        ("acme", "seven", "seven-2026-01-01"),
        ("acme", 'a "b" \\ c', None),
        ("vllm", "org/Model-7B", "org/Model-7B"),
        ("acme", "ümlaut \U0001f600", None),
        ("aws.bedrock", "arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc", None),
    ],
)
def test_the_lines_give_a_price(book: PriceBook, provider: str, requested: str, responded: str | None) -> None:
    told = fix(book, provider, requested, responded, NOW)
    call = Call(
        provider=provider,
        request_model=requested,
        response_model=responded,
        started_at=NOW,
        input_uncached=1000,
        output_visible=1000,
    )
    assert book.charge(call).price_status == "unpriced_model" and told is not None
    charge = price_book(tomllib.loads(told)).charge(call)
    assert (charge.price_status, charge.cost_usd) == ("priced", Decimal("0.0020000000"))


def test_there_are_none_for_what_has_a_price_or_no_name(book: PriceBook) -> None:
    assert fix(book, "openai", "gpt-4o", None, NOW) is None
    assert fix(book, "acme", None, None, NOW) is None
    assert fix(book, "", "seven", None, NOW) is None

"""The explanation, as people and programs read it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from tachograph.call import Call
from tachograph.pricing import PriceBook, explain, explanation

WHEN = datetime(2026, 11, 20, 12, tzinfo=UTC)


def sonnet() -> Call:
    return Call(
        call_id="0" * 31 + "1",
        provider="anthropic",
        request_model="claude-sonnet-5",
        response_model="claude-sonnet-5-20260601",
        started_at=WHEN,
        price_context={"inference_geo": "us", "web_searches": "3"},
        input_uncached=1_000,
        cache_read=20_000,
        output_visible=500,
        output_reasoning=100,
    )


def test_the_multiplication_line_by_line(book: PriceBook) -> None:
    assert explain(sonnet(), book).splitlines() == [
        "call      00000000000000000000000000000001  2026-11-20T12:00:00+00:00",
        "provider  anthropic",
        "model     claude-sonnet-5  (requested claude-sonnet-5, answered claude-sonnet-5-20260601)",
        "tier      default",
        "status    priced",
        "price     anthropic/claude-sonnet-5@start*us_inference  (list, since ever; genai-prices)",
        "",
        "  input_uncached     1,000 tokens   x $2 per 1M x 1.1 us_inference                            = $0.0022",
        "  cache_read        20,000 tokens   x $0.2 per 1M x 1.1 us_inference                          = $0.0044",
        "  output_visible       500 tokens   x $10 per 1M x 1.1 us_inference                           = $0.0055",
        "  output_reasoning     100 tokens   x $10 per 1M (rate of output_visible) x 1.1 us_inference  = $0.0011",
        "  web_search             3 searches x $10 per 1k                                              = $0.03",
        "",
        "total     $0.0432000000  (list)",
    ]


def test_a_stated_cost_and_the_list_and_the_difference(book: PriceBook) -> None:
    call = sonnet()
    call.cost_usd, call.cost_source = Decimal("0.0500000000"), "provider"
    assert explain(call, book).splitlines()[-3:] == [
        "by list   $0.0432000000",
        "total     $0.0500000000  (stated by the provider)",
        "stated less list  $0.0068000000",
    ]


def test_no_price_says_why(book: PriceBook) -> None:
    text = explain(Call(provider="vllm", response_model="m", started_at=WHEN, input_uncached=5), book)
    assert "no price: the list and the price file know no price of this model at this time" in text
    assert text.endswith("total     not known")


def test_the_same_for_programs(book: PriceBook) -> None:
    facts = explanation(sonnet(), book)
    assert facts["cost_usd"] == facts["list_usd"] == "0.0432000000"
    assert facts["price_id"] == "anthropic/claude-sonnet-5@start*us_inference"
    assert facts["rows"] == [
        {
            "price_id": "anthropic/claude-sonnet-5@start*us_inference",
            "provider": "anthropic",
            "model": "claude-sonnet-5",
            "valid_from": None,
            "hours_utc": None,
            "context": {},
            "source": "list",
            "origin": "genai-prices",
        }
    ]
    assert facts["lines"][0] == {
        "part": "input_uncached",
        "model": "claude-sonnet-5",
        "price_id": "anthropic/claude-sonnet-5@start*us_inference",
        "quantity": "1000",
        "unit": "tokens",
        "per": 1_000_000,
        "rate_usd": "2",
        "rate_of": "input_uncached",
        "multipliers": [{"name": "us_inference", "factor": "1.1"}],
        "amount_usd": "0.0022",
    }

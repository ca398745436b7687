"""What holds for every Call."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.call import COST_SOURCES, MONEY_STEP, OPERATIONS, PRICE_STATUSES, Call
from tachograph.pricing import PriceBook, explain, explanation
from tachograph.pricing.context import COUNTING_KEYS, SELECTING_KEYS
from tachograph.pricing.plan import DIGITS, money

COUNTS = st.none() | st.integers(0, 10**7) | st.integers(0, 10**12)
MODELS = st.sampled_from(
    (
        "gpt-5",
        "gpt-5.6-sol",
        "gpt-realtime",
        "whisper-1",
        "text-embedding-3-small",
        "claude-sonnet-5",
        "claude-sonnet-4-5",
        "us.anthropic.claude-sonnet-5",
        "gemini-2.5-pro",
        "gemini-2.5-flash",
        "deepseek-v4-flash",
        "grok-4",
        "sonar",
        "command-a",
        "openai/gpt-oss-20b",
        "mistral-ocr-4-1",
    )
)
PROVIDERS = st.sampled_from(
    (
        "openai",
        "azure.ai.openai",
        "anthropic",
        "aws.bedrock",
        "gcp.gemini",
        "gcp.vertex_ai",
        "deepseek",
        "x_ai",
        "perplexity",
        "cohere",
        "openrouter",
        "huggingface",
        "mistral_ai",
        "vllm",
    )
)
ENTRY = st.dictionaries(
    st.sampled_from(("type", "model", "input_uncached", "cache_read", "output_visible")),
    st.none() | st.integers(-5, 10**6) | MODELS | st.floats(),
)
CONTEXT = st.fixed_dictionaries(
    {},
    optional={
        **{
            key: st.sampled_from(("batch", "fast", "us", "true", "eu", "fireworks-ai", "optimized", "low", "\x00"))
            for key in SELECTING_KEYS
        },
        **{key: st.integers(0, 10**6).map(str) | st.text(max_size=5) for key in COUNTING_KEYS},
        "iterations": st.lists(ENTRY, max_size=3).map(json.dumps) | st.text(max_size=20),
    },
)
CALLS = st.builds(
    Call,
    provider=PROVIDERS | st.text(max_size=20),
    request_model=st.none() | MODELS | st.text(max_size=40),
    response_model=st.none() | MODELS | st.text(max_size=40),
    model=st.none() | MODELS,
    operation=st.sampled_from(OPERATIONS),
    service_tier=st.none() | st.sampled_from(("flex", "priority", "batch", "scale", "auto", "ON_DEMAND_FLEX", "x")),
    started_at=st.datetimes(timezones=st.none() | st.just(UTC) | st.timezones()),
    price_context=st.just({}) | CONTEXT,
    cost_usd=st.none() | st.decimals(0, 100, places=10),
    cost_source=st.none() | st.sampled_from(COST_SOURCES),
    input_uncached=COUNTS,
    cache_read=COUNTS,
    cache_write_5m=COUNTS,
    cache_write_1h=COUNTS,
    cache_write_other=COUNTS,
    output_visible=COUNTS,
    output_reasoning=COUNTS,
    audio_input=COUNTS,
    audio_output=COUNTS,
    image_input=COUNTS,
    image_output=COUNTS,
)


@settings(max_examples=600, deadline=None)
@given(call=CALLS)
def test_every_call_has_a_charge_that_is_the_sum_of_its_lines(book: PriceBook, call: Call) -> None:
    charge = book.charge(call)
    assert charge.price_status in PRICE_STATUSES
    assert (charge.cost_usd is None) == (charge.price_status in ("unpriced_model", "unknown_usage"))
    assert (charge.cost_usd is None) == (charge.cost_source is None) == (charge.price_id is None)
    if charge.cost_usd is not None:
        assert 0 <= charge.cost_usd < 10**8
        assert charge.cost_usd == charge.cost_usd.quantize(MONEY_STEP)
    if charge.cost_usd is not None and charge.cost_source != "provider":
        assert charge.price_id is not None and book.row(charge.price_id) is not None
    if charge.list_usd is not None and charge.lines:
        assert all(line.amount >= 0 for line in charge.lines)
        assert sum((line.amount for line in charge.lines), Decimal(0)).quantize(MONEY_STEP) == charge.list_usd


@settings(max_examples=150, deadline=None)
@given(call=CALLS)
def test_every_call_can_be_explained(book: PriceBook, call: Call) -> None:
    assert "total" in explain(call, book)
    assert json.loads(json.dumps(explanation(call, book)))["price_status"] in PRICE_STATUSES


@given(amount=st.integers(0, 10**36))
def test_money_rounds_as_decimal_does(amount: int) -> None:
    exact = Decimal(f"{amount}e-{DIGITS}")
    assert money(amount) == exact.quantize(MONEY_STEP)


@settings(max_examples=200, deadline=None)
@given(call=CALLS, more=st.integers(1, 10**6))
def test_more_output_never_costs_less(book: PriceBook, call: Call, more: int) -> None:
    call.cost_source, call.price_context = None, {}
    before = book.charge(call).cost_usd
    call.output_reasoning = (call.output_reasoning or 0) + more
    after = book.charge(call).cost_usd
    assert before is None or after is None or after >= before


def test_asking_again_gives_the_same(book: PriceBook) -> None:
    call = Call(
        provider="openai", response_model="gpt-5", started_at=datetime(2026, 11, 1, tzinfo=UTC), output_visible=7
    )
    assert book.charge(call) == book.charge(call)

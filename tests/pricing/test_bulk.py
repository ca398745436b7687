"""Charges by the column are those of `PriceBook.charge`, to the last digit and with every word beside them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.call import Call
from tachograph.pricing import PriceBook
from tachograph.pricing.bulk import PARTS, Bills, bill

DAY = datetime(2026, 11, 1, tzinfo=UTC)
MODELS = (
    ("openai", "gpt-5"),
    ("openai", "gpt-5-mini"),
    ("openai", "gpt-realtime"),
    ("openai", "whisper-1"),
    ("openai", "text-embedding-3-small"),
    ("openai", "nobody's-model"),
    ("azure.ai.openai", "gpt-5"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-sonnet-5"),
    ("aws.bedrock", "us.anthropic.claude-sonnet-5"),
    ("gcp.gemini", "gemini-2.5-pro"),
    ("gcp.vertex_ai", "gemini-2.5-flash"),
    ("deepseek", "deepseek-v4-flash"),
    ("x_ai", "grok-4"),
    ("perplexity", "sonar"),
    ("cohere", "command-a"),
    ("mistral_ai", "mistral-ocr-4-1"),
    ("vllm", "Qwen/Qwen3-8B"),
    ("unknown", None),
)
# What turns a price: nothing, a handful, the steps of tiered prices and their neighbours, more than 64 bits can bill.
COUNTS = st.one_of(
    st.none(),
    st.just(0),
    st.integers(0, 50_000),
    st.sampled_from([128_000, 128_001, 200_000, 200_001, 272_000, 272_001, 10**9, 10**12]),
)
USED = st.fixed_dictionaries(dict.fromkeys(PARTS, COUNTS))
CALLS = st.builds(
    lambda model, tier, speed, day, used: Call(
        provider=model[0],
        request_model=model[1],
        service_tier=tier,
        price_context={"speed": speed} if speed else {},
        started_at=DAY + timedelta(days=day),
        **used,
    ),
    st.sampled_from(MODELS),
    st.sampled_from([None, None, "flex", "priority", "batch"]),
    st.sampled_from([None, None, "fast"]),
    st.integers(-900, 0),
    USED,
)


def billed(book: PriceBook, calls: Sequence[Call]) -> tuple[Bills, list[int]]:
    """The calls by the column, those that are priced alike as one group; the group of each."""
    groups: list[Call] = []
    known: dict[Any, int] = {}
    group_of = []
    for call in calls:
        key = (call.provider, call.request_model, call.service_tier, str(call.price_context), call.started_at)
        if key not in known:
            known[key] = len(groups)
            groups.append(call)
        group_of.append(known[key])
    counts = np.array(
        [[np.nan if (n := getattr(call, part)) is None else n for call in calls] for part in PARTS], float
    )
    return bill(book, groups, np.array(group_of, np.int64), counts), group_of


@settings(max_examples=200, deadline=None)
@given(st.lists(CALLS, min_size=1, max_size=30))
def test_what_is_plain_is_what_the_book_says(book: PriceBook, calls: list[Call]) -> None:
    bills, group_of = billed(book, calls)
    for row, (call, group) in enumerate(zip(calls, group_of, strict=True)):
        charge = book.charge(call)
        assert bills.models[group] == charge.model
        if not bills.plain[row]:
            continue
        assert bool(bills.known[row]) == (charge.cost_usd is not None)
        if charge.cost_usd is None:
            assert not charge.flags
            assert (charge.price_status == "unpriced_model") == (bills.unpriced[group] and any_count(call))
            continue
        assert int(bills.steps[row]) == int(charge.cost_usd.scaleb(10))
        assert (bills.sources[group], bills.price_ids[group]) == (charge.cost_source, charge.price_id)
        assert charge.price_status == "priced"
        odd = {flag for flag, rows in bills.odd.items() if rows[row]}
        assert odd.union(bills.flags[group]) == set(charge.flags)


def any_count(call: Call) -> bool:
    return any(getattr(call, part) is not None for part in PARTS)


def test_common_calls_are_plain(book: PriceBook) -> None:
    used = {"input_uncached": 1000, "cache_read": 400, "output_visible": 50}
    calls = [Call(provider=p, request_model=m, started_at=DAY, **used) for p, m in MODELS[:2] + MODELS[6:12]]
    bills, _ = billed(book, calls)
    assert bills.plain.all() and bills.known.all() and (bills.steps > 0).all()


def test_a_half_is_rounded_to_the_even_step(book: PriceBook) -> None:
    # Amounts of few tokens end in fractions of a step.
    calls = [
        Call(provider="openai", request_model="gpt-5", started_at=DAY, input_uncached=tokens, cache_read=tokens % 7)
        for tokens in range(1, 400)
    ]
    bills, _ = billed(book, calls)
    assert [int(steps) for steps in bills.steps] == [int(book.charge(call).cost_usd.scaleb(10)) for call in calls]  # type: ignore[union-attr]


def test_amounts_beyond_64_bits_are_left_to_the_book(book: PriceBook) -> None:
    calls = [
        Call(provider="openai", request_model="gpt-5", started_at=DAY, input_uncached=10**12, output_visible=10**12)
    ]
    bills, _ = billed(book, calls)
    assert not bills.plain.any() or int(bills.steps[0]) == int(book.charge(calls[0]).cost_usd.scaleb(10))  # type: ignore[union-attr]


def test_nothing_is_billed_of_nothing(book: PriceBook) -> None:
    bills, _ = billed(book, [])
    assert len(bills.plain) == len(bills.steps) == len(bills.known) == 0

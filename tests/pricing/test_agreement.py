"""The flattened table against the library that it was flattened from: every model, every dated price, every context."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot

from tachograph.call import MONEY_STEP, Call
from tachograph.pricing import PriceBook

WORDS = {
    "azure": "azure.ai.openai",
    "aws": "aws.bedrock",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "x-ai": "x_ai",
    "moonshotai": "moonshot_ai",
    "github-copilot": "github",
}
SIZES = (1_000, 300_000)  # below and above every threshold of long context

# Where we differ on purpose.
NOT_FREE = "a model without rates is not free unless the list says so"
HOURS = "hours of the day belong to the revision that precedes them in the list, not to all of the past"
HISTORY = "batch and tiers before the list has rows for them: multiplied, the library charges the standard price"
PASSED = "before a router's first dated price its vendor's list holds, not the oldest price that is known of the router"


def cases() -> Iterator[tuple[Any, Any, datetime, dict[str, str]]]:
    for provider in get_snapshot().providers:
        for model in provider.models:
            if provider.find_model(model.id) is not model:
                continue  # another model of the list takes this name
            for moment in sorted(moments(model)):
                yield provider, model, moment, {}
                for variant in model.price_variants or ():
                    yield provider, model, moment, variant.when


def moments(model: Any) -> set[datetime]:
    conditional = model.prices if isinstance(model.prices, list) else []
    constraints = [item.constraint for item in (*conditional, *(model.price_variants or ()))]
    days = {date(2026, 11, 20)}
    clocks = {time(12)}
    for constraint in constraints:
        if hasattr(constraint, "start_date"):
            days |= {constraint.start_date, constraint.start_date - timedelta(days=1)}
        if hasattr(constraint, "start_time"):
            clocks |= {constraint.start_time.replace(tzinfo=None), constraint.end_time.replace(tzinfo=None)}
    return {datetime.combine(day, clock, UTC) for day in days for clock in clocks}


def usages(prices: Any, size: int) -> tuple[Usage, Call]:
    """The same usage for both, in parts for which the price has a rate."""
    priced = vars(prices)
    call = Call(input_uncached=size, output_visible=700, output_reasoning=77)
    told: dict[str, int] = {"input_tokens": size, "output_tokens": 777}
    subsets = {
        "cache_read_mtok": ("cache_read", "cache_read_tokens", 5_000),
        "cache_write_mtok": ("cache_write_5m", "cache_write_tokens", 300),
        "cache_write_1h_mtok": ("cache_write_1h", "cache_write_1h_tokens", 200),
    }
    for key, (part, name, number) in subsets.items():
        if key in priced:
            setattr(call, part, number)
            told[name] = told.get(name, 0) + number
            told["input_tokens"] += number
    if "cache_write_1h_tokens" in told:
        told["cache_write_tokens"] = told.get("cache_write_tokens", 0) + 200
    if "output_reasoning_mtok" in priced:
        told["output_reasoning_tokens"] = 77
    media = {
        "input_audio_mtok": ("audio_input", "input_audio_tokens", 90),
        "output_audio_mtok": ("audio_output", "output_audio_tokens", 60),
        "input_image_mtok": ("image_input", "input_image_tokens", 40),
        "output_image_mtok": ("image_output", "output_image_tokens", 30),
    }
    for key, (part, name, number) in media.items():
        if key in priced:
            setattr(call, part, number)
            told[name] = number
    for key, name, number in (
        ("cache_audio_read_mtok", "audio_cache_read", 20),
        ("cache_image_read_mtok", "image_cache_read", 10),
    ):
        if key in priced:
            told[f"cache_{name.split('_')[0]}_read_tokens"] = number
            call.price_context[name] = str(number)
    return Usage(**told), call


def reason(provider: Any, model: Any, moment: datetime, context: dict[str, str]) -> str | None:
    """Why the book and the library differ here; None: no reason is known."""
    conditional = model.prices if isinstance(model.prices, list) else []
    if not conditional and not vars(model.prices):
        return NOT_FREE
    days = [item.constraint.start_date for item in conditional if hasattr(item.constraint, "start_date")]
    if provider.id == "openrouter" and days and moment.date() < min(days):
        return PASSED
    hourly = [item for item in conditional if hasattr(item.constraint, "start_time")]
    if hourly and days and moment.date() < max(days):
        return HOURS
    in_force = any(
        variant.when == context and (variant.constraint is None or variant.constraint.active(moment))
        for variant in model.price_variants or ()
    )
    return HISTORY if context and not in_force else None


def placed(call: Call, provider: str, model: str, moment: datetime, context: dict[str, str]) -> Call:
    extra = {**call.price_context, **context}
    tier = extra.pop("service_tier", None)
    word = WORDS.get(provider, provider)
    if provider.startswith("huggingface_"):
        word, extra["route"] = "huggingface", provider.removeprefix("huggingface_")
    return dataclasses.replace(
        call, provider=word, request_model=model, started_at=moment, service_tier=tier, price_context=extra
    )


def test_every_model_agrees_with_the_library(book: PriceBook) -> None:
    compared, differing, unexplained = 0, set(), []
    for provider, model, moment, context in cases():
        prices = model.get_prices(moment, context)
        for size in SIZES:
            usage, call = usages(prices, size)
            theirs = calc_price(
                usage,
                model.id,
                provider_id=provider.id,
                genai_request_timestamp=moment,
                price_context=context,
            ).total_price
            ours = book.charge(placed(call, provider.id, model.id, moment, context))
            compared += 1
            if ours.cost_usd != theirs.quantize(MONEY_STEP):
                if theirs == 0 and ours.price_status == "unknown_usage" and ours.model == model.id:
                    continue  # billed by units that this usage does not have
                why = reason(provider, model, moment, context)
                if why is None:
                    unexplained.append((provider.id, model.id, moment, context, size, theirs, ours))
                else:
                    differing.add(why)
    assert unexplained == []
    assert differing == {NOT_FREE, HOURS, HISTORY, PASSED}
    assert compared > 5_000


def test_the_sum_of_lines_is_the_cost_for_every_row(book: PriceBook) -> None:
    for row in book.rows:
        call = Call(
            provider=row.provider,
            request_model=row.model,
            started_at=datetime.combine(row.valid_from or date(2026, 1, 1), time(3), UTC),
            price_context=dict(row.context),
            input_uncached=1_234,
            cache_read=56,
            output_visible=789,
        )
        charge = book.charge(call)
        if charge.cost_usd is not None and charge.price_status == "priced":
            exact = sum((line.amount for line in charge.lines), Decimal(0))
            assert exact.quantize(MONEY_STEP) == charge.cost_usd

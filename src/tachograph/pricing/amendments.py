"""What the bundled list lacks: multipliers, cache lifetimes, request fees. Data, each with its source.

In: nothing. Out: four tables that `genai.flatten` adds to the list. An override file may add more of the same kind.
What it must never know: a Call, how a charge is computed.

A multiplier holds where no row was made for its condition, so that a row in force always wins: the list has batch and
tier rows from 2026-10-12 on and says that it does not model the history before. Of several multipliers of one name the
first that fits is taken: the more specific stand first.
"""

from __future__ import annotations

from decimal import Decimal

from tachograph.pricing.rows import Derived, Multiplier, PriceRow, Rate

_OPENAI = ("openai", "azure.ai.openai", "azure.ai.inference")
_GOOGLE = ("gcp.gemini", "gcp.vertex_ai", "gcp.gen_ai")
_ANTHROPIC = ("anthropic",)
_BEDROCK = ("aws.bedrock",)

_OPENAI_PRICES = "OpenAI price page: tiers and batch as a factor of the standard price"
_OPENAI_RESIDENCY = "OpenAI: data residency +10 % for models released on or after 2026-03-05"
_ANTHROPIC_PRICES = "Anthropic price page: batch, fast mode, US-only inference, prompt caching"
_ANTHROPIC_FAST = "Anthropic fast mode page: six times the standard price on Opus 4.6 and 4.7, twice since Opus 4.8"
_GOOGLE_PRICES = "Gemini price page: batch and flex -50 %, priority +80 %"
_BEDROCK_TIERS = "Amazon Bedrock price page: flex and batch -50 %, priority +75 %"


def _many(
    name: str,
    factors: dict[str, str],
    providers: tuple[str, ...],
    when: tuple[tuple[str, str], ...],
    origin: str,
) -> tuple[Multiplier, ...]:
    return tuple(
        Multiplier(name, Decimal(factor), providers, (pattern,), when=when, origin=origin)
        for pattern, factor in factors.items()
    )


# What a tier of faster service costs, by model: pattern -> factor; the first that fits.
_OPENAI_PRIORITY = {
    "gpt-5.5*": "2.5",
    "gpt-5-mini*": "1.8",
    "gpt-4.1-nano*": "2",
    "gpt-4.1*": "1.75",
    "gpt-4o-2024-05-13": "1.75",
    "gpt-4o-mini*": "1.666666667",
    "gpt-4o*": "1.7",
    "o3*": "1.75",
    "o4-mini*": "1.818181818",
    "*": "2",
}

# Models released on or after 2026-03-05.
_OPENAI_RESIDENT = ("gpt-5.4*", "gpt-5.5*", "gpt-5.6*", "gpt-6*", "gpt-image-2*", "gpt-live*", "gpt-realtime-2*")

MULTIPLIERS: tuple[Multiplier, ...] = (
    Multiplier("ultrafast", Decimal(6), _OPENAI, when=(("service_tier", "ultrafast"),), origin=_OPENAI_PRICES),
    Multiplier("flex", Decimal("0.5"), _OPENAI, when=(("service_tier", "flex"),), origin=_OPENAI_PRICES),
    Multiplier("batch", Decimal("0.5"), _OPENAI, when=(("processing", "batch"),), origin=_OPENAI_PRICES),
    *_many("priority", _OPENAI_PRIORITY, _OPENAI, (("service_tier", "priority"),), _OPENAI_PRICES),
    *_many("fast", _OPENAI_PRIORITY, _OPENAI, (("service_tier", "fast"),), _OPENAI_PRICES),
    Multiplier(
        "data_residency",
        Decimal("1.1"),
        ("openai",),
        _OPENAI_RESIDENT,
        when=(("data_residency", "*"),),
        origin=_OPENAI_RESIDENCY,
    ),
    Multiplier("batch", Decimal("0.5"), _ANTHROPIC, when=(("processing", "batch"),), origin=_ANTHROPIC_PRICES),
    *_many(
        "fast_mode",
        {"*claude-opus-4-6*": "6", "*claude-opus-4-7*": "6", "*claude*": "2"},
        (*_ANTHROPIC, *_GOOGLE),
        (("speed", "fast"),),
        _ANTHROPIC_FAST,
    ),
    Multiplier(
        "us_inference",
        Decimal("1.1"),
        _ANTHROPIC,
        when=(("inference_geo", "us"),),
        origin=_ANTHROPIC_PRICES,
    ),
    Multiplier("batch", Decimal("0.5"), _GOOGLE, when=(("processing", "batch"),), origin=_GOOGLE_PRICES),
    Multiplier("flex", Decimal("0.5"), _GOOGLE, when=(("service_tier", "flex"),), origin=_GOOGLE_PRICES),
    Multiplier("priority", Decimal("1.8"), _GOOGLE, when=(("service_tier", "priority"),), origin=_GOOGLE_PRICES),
    Multiplier("batch", Decimal("0.5"), _BEDROCK, when=(("processing", "batch"),), origin=_BEDROCK_TIERS),
    Multiplier("flex", Decimal("0.5"), _BEDROCK, when=(("service_tier", "flex"),), origin=_BEDROCK_TIERS),
    Multiplier("priority", Decimal("1.75"), _BEDROCK, when=(("service_tier", "priority"),), origin=_BEDROCK_TIERS),
    Multiplier(
        "batch",
        Decimal("0.5"),
        ("mistral_ai", "groq"),
        when=(("processing", "batch"),),
        origin="Mistral and Groq price pages: batch -50 %",
    ),
)

# Rates that a row lacks, as a factor of its input rate; the first that fits.
DERIVED: tuple[Derived, ...] = (
    Derived("cache_read", Decimal("0.025"), ("*claude-fable-5-1*", "*claude-mythos-5-1*"), origin=_ANTHROPIC_PRICES),
    Derived("cache_read", Decimal("0.1"), ("*claude*",), origin=_ANTHROPIC_PRICES),
    Derived("cache_write_5m", Decimal("1.25"), ("*claude*",), origin=_ANTHROPIC_PRICES),
    Derived("cache_write_1h", Decimal(2), ("*claude*",), origin=_ANTHROPIC_PRICES),
    # Cache writes are billed from GPT-5.6 on; those kept 12 hours at 2.5 times the input.
    Derived(
        "cache_write_12h", Decimal("2.5"), ("gpt-5.6*", "gpt-6*"), _OPENAI, origin="litellm price table, 12 h cache"
    ),
)

# Variants that the list lacks: (our provider, model) -> (context, rates that differ).
_SONAR = {"low": Decimal(5), "medium": Decimal(8), "high": Decimal(12)}
_SONAR_PRO = {"low": Decimal(6), "medium": Decimal(10), "high": Decimal(14)}


def _request_fee(fees: dict[str, Decimal]) -> tuple[tuple[tuple[tuple[str, str], ...], dict[str, Rate]], ...]:
    return tuple(((("search_context_size", size),), {"request": fee}) for size, fee in fees.items())


# Perplexity price page: the fee of a request depends on the size of the search context; the list has the highest.
AMENDMENTS: dict[tuple[str, str], tuple[tuple[tuple[tuple[str, str], ...], dict[str, Rate]], ...]] = {
    ("perplexity", "sonar"): _request_fee(_SONAR),
    ("perplexity", "sonar-reasoning"): _request_fee(_SONAR),
    ("perplexity", "sonar-pro"): _request_fee(_SONAR_PRO),
    ("perplexity", "sonar-reasoning-pro"): _request_fee(_SONAR_PRO),
}

# Models that the list lacks: (row, names that mean it).
_RERANK: dict[str, Rate] = {"search_unit": Decimal(2)}
_COHERE_PRICES = "Cohere price page: rerank, USD per 1,000 searches"
MODELS: tuple[tuple[PriceRow, tuple[str, ...]], ...] = (
    (
        PriceRow("cohere", "rerank-v3.0", _RERANK, origin=_COHERE_PRICES),
        ("rerank-english-v3.0", "rerank-multilingual-v3.0"),
    ),
    (PriceRow("cohere", "rerank-v3.5", _RERANK, origin=_COHERE_PRICES), ("rerank-v3.5",)),
)

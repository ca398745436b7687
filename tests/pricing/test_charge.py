"""What calls cost, against amounts computed by hand."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tachograph.call import Call
from tachograph.pricing import PriceBook, Table

NOVEMBER = datetime(2026, 11, 20, 12, tzinfo=UTC)
K = 1_000
M = 1_000_000


def call(provider: str, model: str | None, **fields: Any) -> Call:
    fields.setdefault("started_at", NOVEMBER)
    return Call(provider=provider, response_model=model, **fields)


def tokens(uncached: int, output: int, **fields: Any) -> dict[str, Any]:
    return {"input_uncached": uncached, "output_visible": output, **fields}


# (what is shown, the call, cost in US dollars, price_id)
CASES: list[tuple[str, Call, str, str]] = [
    (
        "plain: 1000 x 1.25 + 500 x 0.125 + 150 x 10",
        call("openai", "gpt-5-2025-08-07", **tokens(K, 100, cache_read=500, output_reasoning=50)),
        "0.0028125000",
        "openai/gpt-5@start",
    ),
    (
        "flex by its own row",
        call("openai", "gpt-5", service_tier="flex", **tokens(M, M)),
        "5.6250000000",
        "openai/gpt-5@2026-10-12+service_tier=flex",
    ),
    (
        "flex before the list has a row",
        call("openai", "gpt-5", service_tier="flex", started_at=datetime(2026, 5, 1, tzinfo=UTC), **tokens(M, M)),
        "5.6250000000",
        "openai/gpt-5@start*flex",
    ),
    (
        "priority before the list has a row, 1.75 on GPT-4.1",
        call("openai", "gpt-4.1", service_tier="priority", started_at=datetime(2026, 5, 1, tzinfo=UTC), **tokens(M, M)),
        "17.5000000000",
        "openai/gpt-4.1@start*priority",
    ),
    (
        "batch before the list has a row",
        call(
            "openai",
            "gpt-5",
            price_context={"processing": "batch"},
            started_at=datetime(2026, 5, 1, tzinfo=UTC),
            **tokens(M, M),
        ),
        "5.6250000000",
        "openai/gpt-5@start*batch",
    ),
    (
        "ultrafast is six times the standard price",
        call("openai", "gpt-5", service_tier="ultrafast", **tokens(M, M)),
        "67.5000000000",
        "openai/gpt-5@start*ultrafast",
    ),
    (
        "long context: all 300,000 tokens at the higher rate, 0.3 x 8 + 0.001 x 30",
        call("openai", "gpt-5.6-sol", **tokens(300 * K, K)),
        "2.4300000000",
        "openai/gpt-5.6-sol@2026-08-21",
    ),
    (
        "exactly at the threshold: the lower rate, 0.272 x 4",
        call("openai", "gpt-5.6-sol", **tokens(272 * K, 0)),
        "1.0880000000",
        "openai/gpt-5.6-sol@2026-08-21",
    ),
    (
        "cached input counts towards the threshold: 0.272 x 8 + 0.001 x 0.8",
        call("openai", "gpt-5.6-sol", **tokens(272 * K, 0, cache_read=K)),
        "2.1768000000",
        "openai/gpt-5.6-sol@2026-08-21",
    ),
    (
        "the day before the price changed",
        call("openai", "gpt-5.6-sol", started_at=datetime(2026, 8, 20, 23, 59, tzinfo=UTC), **tokens(M // 10, 0)),
        "0.5000000000",
        "openai/gpt-5.6-sol@start",
    ),
    (
        "data residency, 1.1 on models since GPT-5.4",
        call("openai", "gpt-5.6-sol", price_context={"data_residency": "eu"}, **tokens(100 * K, 0)),
        "0.4400000000",
        "openai/gpt-5.6-sol@2026-08-21*data_residency",
    ),
    (
        "data residency does not cost more on older models",
        call("openai", "gpt-5", price_context={"data_residency": "eu"}, **tokens(M, 0)),
        "1.2500000000",
        "openai/gpt-5@start",
    ),
    (
        "12 h cache writes at 2.5 times the input, the others at their rate: 0.06 x 10 + 0.04 x 5",
        call(
            "openai",
            "gpt-5.6-sol",
            price_context={"cache_write_12h": "60000"},
            **tokens(0, 0, cache_write_other=100 * K),
        ),
        "0.8000000000",
        "openai/gpt-5.6-sol@2026-08-21",
    ),
    (
        "cache writes before GPT-5.6 are plain input",
        call("openai", "gpt-5", **tokens(0, 0, cache_write_other=M)),
        "1.2500000000",
        "openai/gpt-5@start",
    ),
    (
        "Azure by its deployment, batch applied to a model of the fallback",
        call("azure.ai.openai", "gpt-5-nano-2025-08-07", price_context={"processing": "batch"}, **tokens(M, M)),
        "0.2250000000",
        "openai/gpt-5-nano@2026-10-14+processing=batch",
    ),
    (
        "Azure's other endpoint",
        call("azure.ai.inference", "grok-4-fast-reasoning", **tokens(M, M)),
        "0.7000000000",
        "x_ai/grok-4-fast-reasoning@start",
    ),
    (
        "Anthropic, two cache lifetimes, US inference, searches: (1 + 0.25 + 0.4) x 1.1 x 2 ... + 0.03",
        call(
            "anthropic",
            "claude-sonnet-5",
            price_context={"inference_geo": "us", "web_searches": "3"},
            **tokens(M, 0, cache_write_5m=100 * K, cache_write_1h=100 * K),
        ),
        "2.9450000000",
        "anthropic/claude-sonnet-5@start*us_inference",
    ),
    (
        "cache reads of Fable 5.1 at a fortieth",
        call("anthropic", "claude-fable-5-1", **tokens(0, 0, cache_read=M)),
        "0.2500000000",
        "anthropic/claude-fable-5-1@start",
    ),
    (
        "fast mode by its row",
        call("anthropic", "claude-opus-5", price_context={"speed": "fast"}, **tokens(M, 0)),
        "10.0000000000",
        "anthropic/claude-opus-5@start+speed=fast",
    ),
    (
        "fast mode of Opus 4.6, six times",
        call("anthropic", "claude-opus-4-6", price_context={"speed": "fast"}, **tokens(100 * K, 0)),
        "3.0000000000",
        "anthropic/claude-opus-4-6@2026-03-13*fast_mode",
    ),
    (
        "the batch tier of Anthropic",
        call("anthropic", "claude-sonnet-4-0", service_tier="batch", **tokens(M, 0)),
        "1.5000000000",
        "anthropic/claude-sonnet-4-0@start*batch",
    ),
    (
        "1 h cache writes where the row has no rate: twice the input",
        call(
            "aws.bedrock",
            None,
            request_model="anthropic.claude-sonnet-4-20250514-v1:0",
            **tokens(0, 0, cache_write_1h=M),
        ),
        "6.0000000000",
        "aws.bedrock/regional.anthropic.claude-sonnet-4-20250514-v1:0@start",
    ),
    (
        "Bedrock: the requested regional profile decides, not the model that answered",
        call(
            "aws.bedrock",
            "claude-haiku-4-5-20251001",
            request_model="global.anthropic.claude-haiku-4-5-20251001-v1:0",
            **tokens(M, 0),
        ),
        "1.0000000000",
        "aws.bedrock/global.anthropic.claude-haiku-4-5-20251001-v1:0@start",
    ),
    (
        "Bedrock: a regional profile costs a tenth more; percent-encoded as in a path",
        call(
            "aws.bedrock",
            "claude-haiku-4-5-20251001",
            request_model="eu.anthropic.claude-haiku-4-5-20251001-v1%3A0",
            **tokens(M, 0),
        ),
        "1.1000000000",
        "aws.bedrock/regional.anthropic.claude-haiku-4-5-20251001-v1:0@start",
    ),
    (
        "Bedrock: the ARN of a public profile names its model",
        call(
            "aws.bedrock",
            None,
            request_model="arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-micro-v1:0",
            **tokens(M, 0),
        ),
        "0.0350000000",
        "aws.bedrock/amazon.nova-micro-v1:0@start",
    ),
    (
        "Bedrock flex",
        call("aws.bedrock", None, request_model="amazon.nova-pro-v1:0", service_tier="flex", **tokens(M, 0)),
        "0.4000000000",
        "aws.bedrock/amazon.nova-pro-v1:0@start*flex",
    ),
    (
        "Bedrock speaking OpenAI's format",
        call("aws.bedrock", "openai.gpt-oss-20b-1:0", request_model="OpenAI.gpt-oss-20b-1:0", **tokens(M, 0)),
        "0.0700000000",
        "aws.bedrock/openai.gpt-oss-20b-1:0@start",
    ),
    (
        "Gemini with a path before its name",
        call("gcp.gemini", "models/gemini-2.5-flash", **tokens(M, 0)),
        "0.3000000000",
        "gcp.gemini/gemini-2.5-flash@start",
    ),
    (
        "Vertex flex, as its traffic type says",
        call("gcp.vertex_ai", "gemini-2.5-flash", price_context={"traffic_type": "ON_DEMAND_FLEX"}, **tokens(M, 0)),
        "0.1500000000",
        "gcp.vertex_ai/gemini-2.5-flash@start*flex",
    ),
    (
        "Claude on Vertex falls back to Anthropic",
        call("gcp.vertex_ai", "claude-sonnet-5@20260601", **tokens(M, 0)),
        "2.0000000000",
        "anthropic/claude-sonnet-5@start",
    ),
    (
        "DeepSeek at a peak hour",
        call("deepseek", "deepseek-v4-flash", started_at=datetime(2026, 11, 20, 1, tzinfo=UTC), **tokens(M, M)),
        "1.5000000000",
        "deepseek/deepseek-v4-flash@2026-09-10+01:00-04:00",
    ),
    (
        "DeepSeek when the peak is over",
        call("deepseek", "deepseek-v4-flash", started_at=datetime(2026, 11, 20, 4, tzinfo=UTC), **tokens(M, M)),
        "0.7500000000",
        "deepseek/deepseek-v4-flash@2026-09-10",
    ),
    (
        "DeepSeek before there were peak hours",
        call("deepseek", "deepseek-v4-flash", started_at=datetime(2026, 8, 20, 2, tzinfo=UTC), **tokens(M, M)),
        "0.8800000000",
        "deepseek/deepseek-v4-flash@2026-08-17",
    ),
    (
        "audio and cached audio out of their parts: 500 x 4 + 400 x 32 + 80 x 0.4 + 20 x 0.4 + 10 x 16 + 90 x 64",
        call(
            "openai",
            "gpt-realtime",
            price_context={"audio_cache_read": "20"},
            **tokens(900, 100, cache_read=100, audio_input=420, audio_output=90),
        ),
        "0.0207600000",
        "openai/gpt-realtime@start",
    ),
    (
        "more audio than the uncached input can hold was cached: 100 x 32 + 50 x 0.4",
        call("openai", "gpt-realtime", **tokens(100, 0, cache_read=50, audio_input=150)),
        "0.0032200000",
        "openai/gpt-realtime@start",
    ),
    (
        "audio of a model without a rate for it is input",
        call("openai", "gpt-5", **tokens(M, 0, audio_input=M // 2)),
        "1.2500000000",
        "openai/gpt-5@start",
    ),
    (
        "image output: 1000 x 3 + 1290 x 60",
        call("gcp.gemini", "gemini-3.1-flash-image-preview", **tokens(0, 2290, image_output=1290)),
        "0.0804000000",
        "gcp.gemini/gemini-3.1-flash-image-preview@start",
    ),
    (
        "transcription by the second: 90 s of 0.36 an hour",
        call("openai", "whisper-1", operation="transcription", price_context={"input_seconds": "90"}),
        "0.0090000000",
        "openai/whisper-1@start",
    ),
    (
        "Groq bills ten seconds at least: 10 / 3600 x 0.111",
        call("groq", "whisper-large-v3", operation="transcription", price_context={"input_seconds": "2.5"}),
        "0.0003083333",
        "groq/whisper-large-v3@start",
    ),
    (
        "document pages: 12 x 4 / 1000",
        call("mistral_ai", "mistral-ocr-4-1", price_context={"pages": "12"}),
        "0.0480000000",
        "mistral_ai/mistral-ocr-4-1@start",
    ),
    (
        "what Cohere bills, not what the model saw",
        call("cohere", "command-a", price_context={"billed_input": "12", "billed_output": "10"}, **tokens(212, 30)),
        "0.0001300000",
        "cohere/command-a@start",
    ),
    (
        "rerank by its search units: 3 x 2 / 1000",
        call("cohere", None, request_model="rerank-english-v3.0", price_context={"search_units": "3"}),
        "0.0060000000",
        "cohere/rerank-v3.0@start",
    ),
    (
        "the fee of a request by its search context: 17 x 1 + 7 x 5 + 0.005",
        call("perplexity", "sonar-reasoning", price_context={"search_context_size": "low"}, **tokens(17, 7)),
        "0.0050520000",
        "perplexity/sonar-reasoning@start+search_context_size=low",
    ),
    (
        "the upstream's price behind the Hugging Face router",
        call("huggingface", "openai/gpt-oss-20b", price_context={"route": "fireworks-ai"}, **tokens(M, M)),
        "0.2500000000",
        "huggingface/openai/gpt-oss-20b@start+route=fireworks-ai",
    ),
    (
        "a router that leaves out the vendor it was asked for",
        call(
            "openrouter",
            "text-embedding-3-small",
            request_model="openai/text-embedding-3-small",
            operation="embeddings",
            input_uncached=M,
        ),
        "0.0200000000",
        "openai/text-embedding-3-small@start",
    ),
    (
        "a router's own capacity is billed by the token: 17 x 0.3 + 14 x 2.5",
        call("openrouter", "google/gemini-2.5-flash", service_tier="provisioned", **tokens(17, 14)),
        "0.0000401000",
        "openrouter/google/gemini-2.5-flash@2026-10-19",
    ),
    (
        "a name of Bedrock's OpenAI endpoint",
        call("aws.bedrock", "openai.gpt-oss-20b", **tokens(M, M)),
        "0.3700000000",
        "aws.bedrock/openai.gpt-oss-20b-1:0@start",
    ),
    (
        "OpenRouter with a compact date and a cache write",
        call(
            "openrouter",
            "anthropic/claude-4.6-sonnet-20260217",
            **tokens(3, 100, cache_read=2240, cache_write_other=329),
        ),
        "0.0034147500",
        "openrouter/anthropic/claude-sonnet-4.6@start",
    ),
    (
        "a router that answered with another vendor's model, at that vendor's price: 8 x 3 + 679 x 0.75 + 187 x 15",
        call(
            "openrouter",
            "x-ai/grok-4-0709",
            request_model="google/gemini-2.0-flash-exp:free",
            **tokens(8, 69, cache_read=679, output_reasoning=118),
        ),
        "0.0033382500",
        "x_ai/grok-4-0709@start",
    ),
    (
        "a router before its first dated price: what the vendor's list said then, 4012 x 6.25 + 8 x 5 + 5 x 30",
        call(
            "openrouter",
            "openai/gpt-5.6-sol",
            started_at=datetime(2026, 7, 17, tzinfo=UTC),
            **tokens(8, 5, cache_write_other=4012),
        ),
        "0.0252650000",
        "openai/gpt-5.6-sol@start",
    ),
    (
        "the requested name where the responded one is not known",
        call("openai", "ft-gateway-7", request_model="gpt-5", **tokens(M, 0)),
        "1.2500000000",
        "openai/gpt-5@start",
    ),
    ("names in capitals", call("openai", "GPT-5", **tokens(M, 0)), "1.2500000000", "openai/gpt-5@start"),
    ("a measured zero costs nothing", call("openai", "gpt-5", **tokens(0, 0)), "0.0000000000", "openai/gpt-5@start"),
]


@pytest.mark.parametrize(("shown", "asked", "cost", "price_id"), CASES, ids=[case[0][:50] for case in CASES])
def test_cost(book: PriceBook, shown: str, asked: Call, cost: str, price_id: str) -> None:
    charge = book.charge(asked)
    assert (f"{charge.cost_usd:f}", charge.price_id) == (cost, price_id)
    assert (charge.cost_source, charge.price_status, charge.flags) == ("list", "priced", ())
    row = book.row(price_id)
    assert row is not None and charge.model is not None and charge.model.endswith(row.model)
    exact = sum((line.amount for line in charge.lines), Decimal(0))
    assert exact.quantize(Decimal("0.0000000001")) == charge.cost_usd


NOT_PRICED: list[tuple[str, Call, str, str | None]] = [
    ("unknown model", call("openai", "gpt-99", **tokens(5, 5)), "unpriced_model", None),
    ("self-hosted", call("vllm", "meta-llama/Llama-3.3-70B-Instruct", **tokens(5, 5)), "unpriced_model", None),
    ("no names", call("openai", None, **tokens(5, 5)), "unpriced_model", None),
    ("unknown provider", call("unknown", "gpt-5", **tokens(5, 5)), "unpriced_model", None),
    ("no usage", call("openai", "gpt-5"), "unknown_usage", "gpt-5"),
    ("a failed call", call("openai", "gpt-5", outcome="error", status=429), "unknown_usage", "gpt-5"),
    (
        "output, where only input is billed",
        call("openai", "text-embedding-3-small", **tokens(0, 5)),
        "unknown_usage",
        "text-embedding-3-small",
    ),
    ("tokens, where seconds are billed", call("openai", "whisper-1", **tokens(5, 0)), "unknown_usage", "whisper-1"),
    (
        "an application profile, without an alias",
        call(
            "aws.bedrock",
            None,
            request_model="arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/us.amazon.nova-micro-v1",
            **tokens(5, 5),
        ),
        "unpriced_model",
        None,
    ),
    ("no route behind a router", call("huggingface", "openai/gpt-oss-20b", **tokens(5, 5)), "unpriced_model", None),
    ("absurd counts", call("openai", "gpt-5", **tokens(10**15, 5)), "unknown_usage", "gpt-5"),
    (
        "listed without a price",
        call("cerebras", "qwen-3-coder-480b", **tokens(5, 5)),
        "unpriced_model",
        "qwen-3-coder-480b",
    ),
]


@pytest.mark.parametrize(("shown", "asked", "status", "model"), NOT_PRICED, ids=[case[0] for case in NOT_PRICED])
def test_no_price_is_null(book: PriceBook, shown: str, asked: Call, status: str, model: str | None) -> None:
    charge = book.charge(asked)
    assert (charge.cost_usd, charge.cost_source, charge.price_id) == (None, None, None)
    assert (charge.price_status, charge.model, charge.lines) == (status, model, ())


FREE: list[tuple[str, Call, str, tuple[str, ...]]] = [
    (
        "counting tokens",
        call("anthropic", "claude-sonnet-5", operation="count_tokens", input_uncached=9),
        "any/count_tokens@start",
        (),
    ),
    (
        "a free variant, even without usage",
        call("openrouter", "openai/gpt-oss-20b:free"),
        "openrouter/openai/gpt-oss-20b:free@start",
        (),
    ),
    (
        "provisioned throughput",
        call(
            "gcp.vertex_ai",
            "gemini-2.5-flash",
            price_context={"traffic_type": "PROVISIONED_THROUGHPUT"},
            **tokens(5, 5),
        ),
        "gcp.vertex_ai/gemini-2.5-flash@start*provisioned",
        ("provisioned",),
    ),
    (
        "the scale tier",
        call("openai", "gpt-5", service_tier="scale", **tokens(5, 5)),
        "openai/gpt-5@start*provisioned",
        ("provisioned",),
    ),
]


@pytest.mark.parametrize(("shown", "asked", "price_id", "flags"), FREE, ids=[case[0] for case in FREE])
def test_free(book: PriceBook, shown: str, asked: Call, price_id: str, flags: tuple[str, ...]) -> None:
    charge = book.charge(asked)
    assert (charge.cost_usd, charge.price_status, charge.price_id, charge.flags) == (0, "free", price_id, flags)
    assert book.row(price_id) is not None


def test_spilled_over_is_pay_as_you_go(book: PriceBook) -> None:
    context = {"provisioned": "true", "spilled_over": "true"}
    assert book.charge(call("azure.ai.openai", "gpt-5", price_context=context, **tokens(M, 0))).cost_usd == Decimal(
        "1.25"
    )


def test_flags_say_what_was_guessed(book: PriceBook) -> None:
    tier = book.charge(call("x_ai", "grok-4", service_tier="express", **tokens(M, 0)))
    assert (tier.cost_usd, tier.flags) == (3, ("tier_price_unknown",))
    cached = book.charge(call("groq", "llama-3.3-70b-versatile", **tokens(0, 0, cache_read=M)))
    assert (cached.cost_usd, cached.flags) == (Decimal("0.59"), ("cache_rate_missing",))
    searched = book.charge(call("groq", "llama-3.3-70b-versatile", price_context={"web_searches": "1"}, **tokens(M, 0)))
    assert (searched.cost_usd, searched.flags) == (Decimal("0.59"), ("part_unpriced",))


def test_a_stated_cost_stands_and_the_list_stands_beside_it(book: PriceBook) -> None:
    charge = book.charge(call("x_ai", "grok-4", cost_usd=Decimal("2.5"), cost_source="provider", **tokens(M, 0)))
    assert (charge.cost_usd, charge.cost_source, charge.price_status) == (Decimal("2.5"), "provider", "priced")
    assert (charge.price_id, charge.list_usd, charge.list_price_id) == ("x_ai/stated", 3, "x_ai/grok-4-0709@start")


def test_a_stated_cost_stands_without_a_price_of_ours(book: PriceBook) -> None:
    charge = book.charge(call("openrouter", "new/model", cost_usd=Decimal("0.01"), cost_source="provider"))
    assert (charge.cost_usd, charge.price_status, charge.list_usd) == (Decimal("0.01"), "priced", None)


def iterations(*entries: dict[str, Any]) -> dict[str, str]:
    return {"iterations": json.dumps(entries)}


def test_inner_calls_are_priced_one_by_one(book: PriceBook) -> None:
    """200k input at 2, an advisor's 100k at 5, a compaction of 50k, and one search; not the top level."""
    context = iterations(
        {"type": "message", "input_uncached": 200 * K, "output_visible": 0},
        {"type": "advisor_message", "model": "claude-opus-4-8", "input_uncached": 100 * K, "output_visible": K},
        {"type": "compaction", "input_uncached": 50 * K, "output_visible": 0},
    )
    asked = call("anthropic", "claude-sonnet-5", price_context={**context, "web_searches": "1"}, **tokens(200 * K, 0))
    charge = book.charge(asked)
    assert charge.cost_usd == Decimal("0.4") + Decimal("0.5") + Decimal("0.025") + Decimal("0.1") + Decimal("0.01")
    assert [line.model for line in charge.lines] == ["claude-sonnet-5"] * 2 + ["claude-opus-4-8"] * 2 + [
        "claude-sonnet-5"
    ]
    assert charge.price_id == "anthropic/claude-sonnet-5@start"


def test_an_inner_call_without_a_price_leaves_the_whole_unpriced(book: PriceBook) -> None:
    context = iterations({"type": "advisor_message", "model": "claude-unheard-of", "input_uncached": 5})
    charge = book.charge(call("anthropic", "claude-sonnet-5", price_context=context, **tokens(M, 0)))
    assert (charge.cost_usd, charge.price_status, charge.flags) == (None, "unpriced_model", ("iteration_unpriced",))


@pytest.mark.parametrize("text", ["{", "[]", "[1]", '"x"', "null", "[" * 100_000])
def test_an_unreadable_list_of_inner_calls_leaves_the_top_level(book: PriceBook, text: str) -> None:
    charge = book.charge(call("anthropic", "claude-sonnet-5", price_context={"iterations": text}, **tokens(M, 0)))
    assert (charge.cost_usd, charge.flags) == (2, ("iterations_unreadable",))


def test_ids_are_unique_and_found(book: PriceBook) -> None:
    ids = [row.price_id for row in book.rows]
    assert len(ids) == len(set(ids))
    assert not any("*" in price_id for price_id in ids)
    assert all(book.row(price_id) is not None for price_id in ids)
    assert book.row("nobody/nothing@start") is None


def test_a_time_in_another_zone_is_the_same_moment(book: PriceBook) -> None:
    local = datetime.fromisoformat("2026-11-20T09:30:00+08:00")
    assert book.charge(call("deepseek", "deepseek-v4-flash", started_at=local, **tokens(M, 0))).cost_usd == Decimal(
        "0.3"
    )
    assert local.date() == date(2026, 11, 20)


def test_what_is_remembered_is_bounded(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tachograph.pricing.book.PLANS_MAX", 10)
    small = PriceBook(table)
    for number in range(100):
        assert small.charge(call("openai", f"gpt-unheard-of-{number}", **tokens(1, 1))).price_status == "unpriced_model"
        assert small.charge(call("openai", "gpt-5", **tokens(M, 0))).cost_usd == Decimal("1.25")
        assert len(small._entries) <= 10

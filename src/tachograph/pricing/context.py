"""What moves a price besides the model and the tokens: the one table of words, and their meaning.

In: the provider, `service_tier` and `price_context` of a Call, verbatim as a reader left them. Out: `Conditions`, the
words by which price rows and multipliers are chosen, and the counted units that are billed beside tokens.
What it must never know: a rate, a provider's JSON, a clock. It exists so that the rooms that write `price_context` and
the room that reads it agree in one place; a key that is not listed here (and that no price row of an override names)
moves no price.

Selecting keys: they choose the row or a multiplier. Values are compared without regard to case.

| where | key | values | who says it | effect |
|---|---|---|---|---|
| field | `service_tier` | `default` `standard` `auto` `on_demand` (list price); `flex` `priority` `fast` `ultrafast` \
`batch` `scale` `reserved` `performance` `ON_DEMAND_FLEX` ... | answer, last event | row of that tier, \
else multiplier, else list price with flag `tier_price_unknown` |
| `price_context` | `processing` | `batch` | batch results; Anthropic `service_tier: batch` needs no key | batch price |
| | `speed` | `fast` (`standard` is list price) | Anthropic `usage.speed` | fast-mode price |
| | `inference_geo` | `us`; `global` and `not_available` are list price | Anthropic `usage.inference_geo` | x 1.1 |
| | `data_residency` | `us` `eu` `au` `in` ... | OpenAI request host | x 1.1 for models since 2026-03-05 |
| | `traffic_type` | `ON_DEMAND`, `ON_DEMAND_PRIORITY`, `ON_DEMAND_FLEX`, `ON_DEMAND_OFFPEAK`, \
`PROVISIONED_THROUGHPUT` or its number | Vertex `usageMetadata.trafficType` | as the tier; provisioned: see below |
| | `route` | upstream's name, e.g. `fireworks-ai`, `together`, `mistral/eu` | \
`x-inference-provider` or the path (Hugging Face) | the upstream's row |
| | `provisioned` | `true` | settings, where the answer cannot say it (Azure PTU, Bedrock provisioned) | see below |
| | `spilled_over` | `true` | Azure `x-ms-is-spilled-over` | pay-as-you-go although `provisioned` |
| | `latency` | `optimized` | Bedrock `performanceConfig.latency` | row or flag `tier_price_unknown` |
| | `search_context_size` | `low` `medium` `high` | Perplexity request | row of an override; else the list's own rate |
| | `search_type` | `fast` `web` `pro` | Perplexity request | row of that kind |

Counting keys: decimal digits in text; how many were used. Subsets lie within the token parts of the Call.

| key | unit | of |
|---|---|---|
| `web_searches` | searches billed | `server_tool_use.web_search_requests`, `tool_usage.web_search.num_requests`, ... |
| `storage_searches` | file searches billed | OpenAI file search calls |
| `search_units` | Cohere rerank units | `billed_units.search_units` |
| `pages`, `annotated_pages` | document pages | Mistral OCR `usage_info.pages_processed` |
| `images` | images, where billed apiece | image generation, embeddings |
| `characters` | characters | speech, old Vertex embeddings |
| `text_messages` | messages | xAI voice |
| `input_seconds`, `output_seconds` | seconds of audio, may have a fraction | transcription `usage.seconds`, Mistral \
`prompt_audio_seconds`, voice |
| `audio_cache_read`, `image_cache_read` | tokens, subset of `cache_read` | `cached_tokens_details` |
| `video_input`, `video_output` | tokens, subset of input, output | Gemini modality VIDEO |
| `citation_tokens` | tokens beside the output | Perplexity deep research |
| `cache_write_12h` | tokens, subset of `cache_write_other` | OpenAI `cache_write_tokens_details.ttl_12h_tokens` |
| `billed_input`, `billed_output` | tokens | Cohere `billed_units`, where the Call's counts are what the model saw: \
they are then priced instead of the Call's |

`iterations`: a JSON list, one object per inner call: `type` (`message`, `fallback_message`, `compaction`,
`advisor_message`), `model` (absent or null: the Call's) and token parts under the Call's names. When it is there, the
list is priced instead of the Call's own token parts, each entry by its own model; other counted units are charged once.

Provisioned throughput (Vertex `PROVISIONED_THROUGHPUT`, OpenAI `scale`, Bedrock `reserved`, `provisioned`): the tokens
cost nothing more at the margin, the capacity is paid by the hour. Charged 0 with `price_status = free` and flag
`provisioned`, unless a contract or capacity row of the override file prices the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

SELECTING_KEYS = (
    "processing",
    "speed",
    "inference_geo",
    "data_residency",
    "traffic_type",
    "route",
    "provisioned",
    "spilled_over",
    "latency",
    "search_context_size",
    "search_type",
)
COUNTING_KEYS = (
    "web_searches",
    "storage_searches",
    "search_units",
    "pages",
    "annotated_pages",
    "images",
    "characters",
    "text_messages",
    "input_seconds",
    "output_seconds",
    "audio_cache_read",
    "image_cache_read",
    "video_input",
    "video_output",
    "citation_tokens",
    "cache_write_12h",
    "billed_input",
    "billed_output",
)
_COUNTING = frozenset(COUNTING_KEYS)
ITERATIONS_KEY = "iterations"

# Words of tiers, in lower case, that mean the list price.
_STANDARD = frozenset(
    (
        "",
        "auto",
        "default",
        "standard",
        "standard_only",
        "on_demand",
        "unspecified",
        "traffic_type_unspecified",
        "0",
        "1",
    )
)
_PROVISIONED = frozenset(("provisioned_throughput", "provisioned", "scale", "reserved", "2"))
_PREFIXES = ("service_tier_", "on_demand_")
# Selecting values that change nothing.
_NEUTRAL: frozenset[tuple[str, str]] = frozenset(
    (
        ("speed", "standard"),
        ("inference_geo", "global"),
        ("inference_geo", "not_available"),
        ("processing", "online"),
        ("latency", "standard"),
    )
)
# Groq serves flex at the price of on_demand (providers.md A8); a router bills by the token on its own capacity too.
_SAME_PRICE: frozenset[tuple[str, str]] = frozenset((("groq", "flex"), ("openrouter", "provisioned")))

COUNT_MAX = Decimal(10**12)


def conditions(provider: str, service_tier: str | None, selected: Mapping[str, str]) -> dict[str, str]:
    """The words by which rows and multipliers are chosen; what means the list price is left out.

    `selected`: the selecting keys of a `price_context`. `provisioned=true` stands for all capacity paid by the hour.
    """
    words = {key: value.lower() for key, value in selected.items() if (key, value.lower()) not in _NEUTRAL and value}
    for tier in (service_tier, words.pop("traffic_type", None)):
        _take_tier(words, provider, (tier or "").lower())
    if words.pop("spilled_over", "") == "true":
        words.pop("provisioned", None)
    if words.get("provisioned", "true") != "true":
        del words["provisioned"]
    return words


def _take_tier(words: dict[str, str], provider: str, tier: str) -> None:
    for prefix in _PREFIXES:
        tier = tier.removeprefix(prefix)
    if tier in _STANDARD or (provider, tier) in _SAME_PRICE:
        return
    if tier in _PROVISIONED:
        words["provisioned"] = "true"
    elif tier == "batch":
        words["processing"] = "batch"
    else:
        words["service_tier"] = tier


def counted(price_context: Mapping[str, str]) -> dict[str, Decimal]:
    """The counting keys of a `price_context` as numbers; what is no count above zero is left out."""
    found = {}
    for key, text in price_context.items():
        if key in _COUNTING:
            number = count(text)
            if number:
                found[key] = number
    return found


def count(text: object) -> Decimal | None:
    """A count: finite, not negative, at most 10^12. None where it is none."""
    try:
        number = Decimal(str(text))
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 <= number <= COUNT_MAX else None

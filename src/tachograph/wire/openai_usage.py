"""The usage objects, costs and request members that the OpenAI kinds share.

In: the members of requests and `usage` objects in OpenAI's two spellings (`prompt_tokens`, `input_tokens`) with all
details that compatible servers add. Out: Found, Tokens. Source: providers.md A0, A1.9, A2, A7 to A10.
What it must never know: choices, items, events: where in an answer a usage object stands.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tachograph.wire import tokens as arithmetic
from tachograph.wire.format import Asked
from tachograph.wire.found import Found, count, mapping, merged, money, name, number
from tachograph.wire.tokens import PARTS, Tokens

TICKS_PER_USD = Decimal(10**10)  # xAI `cost_in_usd_ticks`

_AZURE_DEPLOYMENT = re.compile(r"/deployments/([^/]+)/")

# Models that think before they answer: only for these is an unexplained gap in the total booked as reasoning.
_REASONING_MODEL = re.compile(
    r"(^|[/.])(o[1345](-|$)|gpt-[5-9]|gpt-oss|gemini-(2\.5|[3-9])|gemini-flash|gemini-pro|grok-(3-mini|[4-9])"
    r"|deepseek-(r|v[3-9]|reasoner)|qwen3|qwq|magistral|kimi-k[2-9]|glm-[4-9]|claude-.*(3-7|4|5)|minimax-m|mimo"
    r"|sonar-(reasoning|deep)|nova-[2-9]|command-a-reasoning)|reason|think",
    re.IGNORECASE,
)

# Members of a request that say more than its model.
_ASKED = frozenset(
    (
        *("max_completion_tokens", "max_output_tokens", "max_tokens", "temperature", "user", "safety_identifier"),
        *("search_context_size", "web_search_options"),
    )
)
# Members of a usage object that state money, or what is billed beside tokens.
_BILLED = frozenset(
    (
        *("cost", "cost_in_usd_ticks", "citation_tokens", "num_search_queries", "search_context_size"),
        *("server_tool_use", "server_tool_use_details", "server_side_tool_usage_details"),
        *("seconds", "prompt_audio_seconds"),
    )
)


def is_reasoning(found: Found) -> bool:
    """Whether the model is known to think, or was seen thinking in this answer."""
    if found.reasoning_seen:
        return True
    answered, requested = found.response_model, found.request_model
    return bool((answered and _thinks(answered)) or (requested and _thinks(requested)))


@functools.lru_cache(maxsize=1024)  # a process asks few models, and often
def _thinks(model: str) -> bool:
    return _REASONING_MODEL.search(model) is not None


def created(value: Any) -> datetime | None:
    """Unix seconds, as `created` and `created_at` give them."""
    seconds = value if type(value) is int else number(value)
    if seconds is None or not 1e9 < seconds < 5e9:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def request_facts(found: Found, asked: Asked) -> None:
    """Model, limits, tier and user of a request in OpenAI's vocabulary. Azure's deployment is in the path."""
    members = asked.members
    deployment = _AZURE_DEPLOYMENT.search(asked.path) if "/deployments/" in asked.path else None
    found.request_model = name(deployment.group(1)) if deployment else name(members.get("model"))
    if _ASKED.isdisjoint(members):
        return
    if found.max_output_tokens is None:
        found.max_output_tokens = first(members, "max_completion_tokens", "max_output_tokens", "max_tokens")
    found.temperature = number(members.get("temperature"))
    found.user_id = name(members.get("user")) or name(members.get("safety_identifier"))
    if "search_context_size" in members or "web_search_options" in members:
        _searches_asked(found, members)


def _searches_asked(found: Found, members: Mapping[str, Any]) -> None:
    for value in (members.get("search_context_size"), mapping(members.get("web_search_options"))):
        size = name(value) if isinstance(value, str) else name(mapping(value).get("search_context_size"))
        if size:
            found.price_context["search_context_size"] = size
    kind = name(mapping(members.get("web_search_options")).get("search_type"))
    if kind:
        found.price_context["search_type"] = kind


def take_usage(found: Found, value: Any) -> None:
    """A usage object as it came: merged over what came before, with the money and the units that it states."""
    usage = mapping(value)
    if not usage:
        return
    found.usage = merged(found.usage, usage)
    found.service_tier = name(usage.get("service_tier")) or found.service_tier
    if not _BILLED.isdisjoint(usage):
        _cost(found, usage)
        _units(found, usage)


def _cost(found: Found, usage: dict[str, Any]) -> None:
    ticks = count(usage.get("cost_in_usd_ticks"))
    if ticks or (ticks is not None and found.provider == "x_ai"):  # who hosts Grok elsewhere leaves a zero there
        found.cost_usd = Decimal(ticks) / TICKS_PER_USD
    stated = usage.get("cost")
    stated = money(mapping(stated).get("total_cost") if isinstance(stated, dict) else stated)
    if stated is None:
        return
    found.cost_usd = stated
    if usage.get("is_byok") is True:  # `cost` is then only the router's fee
        upstream = money(mapping(usage.get("cost_details")).get("upstream_inference_cost"))
        found.cost_usd = None if upstream is None else money(stated + upstream)


def _units(found: Found, usage: dict[str, Any]) -> None:
    """What is billed beside tokens: searches, seconds, citations."""
    server_tools = mapping(usage.get("server_tool_use_details")) or mapping(usage.get("server_tool_use"))
    xai = mapping(usage.get("server_side_tool_usage_details"))
    found_of_xai = [count(xai.get(member)) for member in ("web_search_calls", "x_search_calls")]
    searches = first(server_tools, "web_search_requests")
    if searches is None and any(value is not None for value in found_of_xai):
        searches = sum(value or 0 for value in found_of_xai)
    if searches is None:
        searches = count(usage.get("num_search_queries"))
    unit(found, "web_searches", searches)
    unit(found, "citation_tokens", count(usage.get("citation_tokens")))
    size = name(usage.get("search_context_size"))
    if size:
        found.price_context["search_context_size"] = size
    for member in ("seconds", "prompt_audio_seconds"):
        seconds = number(usage.get(member))
        if seconds is not None and seconds > 0:
            found.price_context["input_seconds"] = digits(seconds)


def digits(amount: float) -> str:
    """Seconds for `price_context`: to the millisecond, without an exponent."""
    return f"{amount:.3f}".rstrip("0").rstrip(".")


def unit(found: Found, key: str, value: int | None) -> None:
    """A counted unit of `price_context`; nothing where it is zero or unknown."""
    if value:
        found.price_context[key] = str(value)


def chat_tokens(found: Found) -> Tokens | None:
    """The parts of what the call used; of llama.cpp's `timings` where no usage came."""
    if not found.usage:
        return _llamacpp(mapping(found.usage_copies.get("timings")))
    tokens = usage_tokens(found.usage, reasoning_model=is_reasoning(found))
    if tokens.cache_read is None and found.usage_copies:  # servers that state it beside the usage: llama.cpp, Fireworks
        _cached_beside(tokens, found)
    _cache_details(found)
    return tokens


def usage_tokens(usage: dict[str, Any], *, reasoning_model: bool = False) -> Tokens:
    """The parts of one usage object, in either spelling."""
    inputs = details(usage, "prompt_tokens_details", "prompt_token_details", "input_tokens_details")
    inputs = inputs or details(usage, "input_token_details")
    outputs = details(usage, "completion_tokens_details", "completion_token_details", "output_tokens_details")
    outputs = outputs or details(usage, "output_token_details")
    written = first(inputs, "cache_write_tokens", "cache_creation_tokens")
    audio = first(inputs, "audio_tokens")
    return arithmetic.inclusive(
        input_tokens=first(usage, "prompt_tokens", "input_tokens"),
        output_tokens=first(usage, "completion_tokens", "output_tokens"),
        total_tokens=count(usage.get("total_tokens")),
        cache_read=_cached(usage, inputs),
        cache_write_other=count(usage.get("cache_creation_input_tokens")) if written is None else written,
        reasoning=_reasoning(usage, outputs),
        audio_input=_audio_beside(usage) if audio is None else audio,
        audio_output=count(outputs.get("audio_tokens")),
        image_input=first(inputs, "image_tokens"),
        image_output=count(outputs.get("image_tokens")),
        reasoning_model=reasoning_model,
    )


def details(usage: dict[str, Any], *names: str) -> dict[str, Any]:
    """The first of the named members that is an object; else an empty one."""
    for member in names:
        value = usage.get(member)
        if value and isinstance(value, dict):
            return value
    return {}


def first(members: Mapping[str, Any], *names: str) -> int | None:
    """The first of the named members that is a count."""
    for member in names:
        value = members.get(member)
        if value is not None and (found := count(value)) is not None:
            return found
    return None


def iteration(tokens: Tokens, model: str | None = None, kind: str = "message") -> dict[str, Any]:
    """An inner call that is priced apart: its known parts under the Call's names. No model: the Call's own."""
    parts = {part: getattr(tokens, part) for part in PARTS if getattr(tokens, part) is not None}
    return {"type": kind, **({"model": model} if model else {}), **parts}


def _cached(usage: dict[str, Any], inputs: dict[str, Any]) -> int | None:
    stated = first(inputs, "cached_tokens", "cache_read_tokens")
    if stated is None:
        stated = first(usage, "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
    return stated


def _reasoning(usage: dict[str, Any], outputs: dict[str, Any]) -> int | None:
    stated = count(outputs.get("reasoning_tokens"))
    return count(usage.get("reasoning_tokens")) if stated is None else stated


def _audio_beside(usage: dict[str, Any]) -> int | None:
    """Mistral counts audio in the total only: where it states its seconds (0 of a short one), the gap is that audio."""
    prompt, total = count(usage.get("prompt_tokens")), count(usage.get("total_tokens"))
    if number(usage.get("prompt_audio_seconds")) is None or prompt is None or total is None:
        return None
    return max(0, total - prompt - (count(usage.get("completion_tokens")) or 0)) or None


def _cached_beside(tokens: Tokens, found: Found) -> None:
    cached = count(mapping(found.usage_copies.get("timings")).get("cache_n"))
    for holder in ("perf_metrics", "headers"):
        if cached is None:
            members = mapping(found.usage_copies.get(holder))
            cached = first(members, "cached-prompt-tokens", "fireworks-cached-prompt-tokens")
    if cached is not None and tokens.input_uncached is not None and cached <= tokens.input_uncached:
        tokens.cache_read, tokens.input_uncached = cached, tokens.input_uncached - cached


def _cache_details(found: Found) -> None:
    """Subsets of the cached tokens that have a price of their own."""
    usage = found.usage or {}
    inputs = details(usage, "input_tokens_details", "prompt_tokens_details", "input_token_details")
    if "cache_write_tokens_details" not in inputs and "cached_tokens_details" not in inputs:
        return
    written = mapping(inputs.get("cache_write_tokens_details"))
    unit(found, "cache_write_12h", count(written.get("ttl_12h_tokens")))
    read = mapping(inputs.get("cached_tokens_details"))
    unit(found, "audio_cache_read", count(read.get("audio_tokens")))
    unit(found, "image_cache_read", count(read.get("image_tokens")))


def _llamacpp(timings: dict[str, Any]) -> Tokens | None:
    """llama.cpp states `prompt_n` without what its cache held (`cache_n`)."""
    prompt, predicted = count(timings.get("prompt_n")), count(timings.get("predicted_n"))
    if prompt is None and predicted is None:
        return None
    return arithmetic.exclusive(input_tokens=prompt, output_tokens=predicted, cache_read=count(timings.get("cache_n")))

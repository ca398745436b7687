"""The usage objects and request members that the OpenAI kinds share.

In: the members of requests and `usage` objects in OpenAI's two spellings (`prompt_tokens`, `input_tokens`) with all
details that compatible servers add. Out: Found, Tokens. Source: providers.md A0, A2, A9, A10.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from tachograph.wire import tokens as arithmetic
from tachograph.wire.format import Asked
from tachograph.wire.found import Found, count, mapping, name, number
from tachograph.wire.tokens import Tokens

_AZURE_DEPLOYMENT = re.compile(r"/deployments/([^/]+)/")

# Models that think before they answer: only for these is an unexplained gap in the total booked as reasoning.
_REASONING_MODEL = re.compile(
    r"(^|[/.])(o[1345](-|$)|gpt-[5-9]|gpt-oss|gemini-(2\.5|[3-9])|gemini-flash|gemini-pro|grok-(3-mini|[4-9])"
    r"|deepseek-(r|v[3-9]|reasoner)|qwen3|qwq|magistral|kimi-k[2-9]|glm-[4-9]|claude-.*(3-7|4|5)|minimax-m|mimo"
    r"|sonar-(reasoning|deep)|nova-[2-9]|command-a-reasoning)|reason|think",
    re.IGNORECASE,
)


def is_reasoning(found: Found) -> bool:
    """Whether the model is known to think, or was seen thinking in this answer."""
    if found.reasoning_seen:
        return True
    return any(_REASONING_MODEL.search(model) for model in (found.response_model, found.request_model) if model)


def created(value: Any) -> datetime | None:
    """Unix seconds, as `created` and `created_at` give them."""
    seconds = number(value)
    if seconds is None or not 1e9 < seconds < 5e9:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def request_facts(found: Found, asked: Asked) -> None:
    """Model, limits, tier and user of a request in OpenAI's vocabulary."""
    members = asked.members
    deployment = _AZURE_DEPLOYMENT.search(asked.path)
    found.request_model = name(deployment.group(1)) if deployment else name(members.get("model"))
    for member in ("max_completion_tokens", "max_output_tokens", "max_tokens"):
        if found.max_output_tokens is None:
            found.max_output_tokens = count(members.get(member))
    found.temperature = number(members.get("temperature"))
    found.requested_tier = name(members.get("service_tier"))
    found.user_id = name(members.get("user")) or name(members.get("safety_identifier"))


def chat_tokens(found: Found) -> Tokens | None:
    """The parts of a chat or text completion; of llama.cpp's `timings` where no usage came."""
    usage = found.usage
    if not usage:
        return _llamacpp(mapping(found.usage_copies.get("timings")))
    inputs = details(usage, "prompt_tokens_details", "prompt_token_details", "input_tokens_details")
    outputs = details(usage, "completion_tokens_details", "completion_token_details", "output_tokens_details")
    return arithmetic.inclusive(
        input_tokens=first(usage, "prompt_tokens", "input_tokens"),
        output_tokens=first(usage, "completion_tokens", "output_tokens"),
        total_tokens=count(usage.get("total_tokens")),
        cache_read=_cached(usage, inputs),
        cache_write_other=first(inputs, "cache_write_tokens", "cache_creation_tokens"),
        reasoning=_reasoning(usage, outputs),
        audio_input=count(inputs.get("audio_tokens")),
        audio_output=count(outputs.get("audio_tokens")),
        image_input=count(inputs.get("image_tokens")),
        image_output=count(outputs.get("image_tokens")),
        reasoning_model=is_reasoning(found),
    )


def details(usage: dict[str, Any], *names: str) -> dict[str, Any]:
    """The first of the named members that is an object; else an empty one."""
    for member in names:
        if mapping(usage.get(member)):
            return mapping(usage[member])
    return {}


def first(members: dict[str, Any], *names: str) -> int | None:
    """The first of the named members that is a count."""
    for member in names:
        found = count(members.get(member))
        if found is not None:
            return found
    return None


def _cached(usage: dict[str, Any], inputs: dict[str, Any]) -> int | None:
    stated = first(inputs, "cached_tokens", "cache_read_tokens")
    if stated is None:
        stated = first(usage, "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
    return stated


def _reasoning(usage: dict[str, Any], outputs: dict[str, Any]) -> int | None:
    stated = count(outputs.get("reasoning_tokens"))
    return count(usage.get("reasoning_tokens")) if stated is None else stated


def _llamacpp(timings: dict[str, Any]) -> Tokens | None:
    """llama.cpp states `prompt_n` without what its cache held (`cache_n`)."""
    prompt, predicted = count(timings.get("prompt_n")), count(timings.get("predicted_n"))
    if prompt is None and predicted is None:
        return None
    return arithmetic.exclusive(input_tokens=prompt, output_tokens=predicted, cache_read=count(timings.get("cache_n")))
